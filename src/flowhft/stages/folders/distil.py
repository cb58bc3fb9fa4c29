"""Distil: a flow policy of many steps into one of a single evaluation."""

from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Positional

from flowhft.errors import UsageError, require
from flowhft.learn.settings import DataSettings, DistilSettings
from flowhft.runs.folder import plain, write_table
from flowhft.stages.folder import begin, identity_of, identity_of_run, run_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Distil(Stage):
    """Settings of a distillation."""

    policy: Positional[str]
    """A .safetensors file or a run folder of a flow policy, with options in brackets:
    `runs/imitate[steps=32]` distils 32 steps."""
    demonstrations: Positional[Path]
    """Run folder of `flowhft demonstrate` or `flowhft teach`: where the policy is asked for quotes."""
    data: DataSettings = DataSettings()
    distil: DistilSettings = DistilSettings()


def run(settings: Distil, listener: Listener | None = None) -> Path:
    """Draw a policy's answers, and train another one to give them at once."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.flow.policy import as_data, flow_policy
    from flowhft.learn.demonstrations.book_files import is_of_books, read_teaching
    from flowhft.learn.demonstrations.dataset import sensed
    from flowhft.learn.demonstrations.dataset_files import read_episodes, read_shown
    from flowhft.learn.demonstrations.episodes import choose
    from flowhft.learn.imitation.distil import distil, require_many_steps
    from flowhft.learn.imitation.examine import examination, teachers_in
    from flowhft.learn.imitation.fit import CURVE_UNITS
    from flowhft.policies.file import save_policy
    from flowhft.policies.flow import drawn_by, has_map
    from flowhft.policies.names import find_policy

    named = find_policy(settings.policy)
    flow = drawn_by(named.policy)
    if flow is None or named.path is None:
        raise UsageError(
            f"`policy` must be a flow policy; received '{settings.policy}'. Name a .safetensors file or a "
            "run folder of `flowhft imitate`."
        )
    require(not named.delay, "policy", "be distilled without a delay", f"'{settings.policy}'")
    teacher = flow_policy(flow)
    require_many_steps(teacher)
    require(
        not has_map(named.as_data()),
        "policy",
        "be distilled before it is adapted or trained",
        f"'{settings.policy}', which has a map behind it",
        "Distil the flow policy within, then adapt what comes of it.",
    )
    parents = {
        "policy": identity_of(named.path),
        "demonstrations": identity_of_run(settings.demonstrations, "demonstrations", "demonstrate", "teach"),
    }
    run = run_of(settings, "distil", parents, policy=named.remembered)
    if work := begin(run, listener):
        examined, on_books = None, is_of_books(settings.demonstrations)
        with listener.stage("sense the demonstrations"):
            if on_books:
                demonstrations = read_teaching(settings.demonstrations).demonstrations
            else:
                episodes, scenarios = read_episodes(settings.demonstrations)
                episodes = choose(episodes, settings.data)
                shown = list(read_shown(settings.demonstrations, episodes, scenarios))
                demonstrations = sensed(shown, teacher.sensor, teacher.settings.features)
        if settings.distil.examine_scenarios and not on_books:
            with listener.stage("let the policy trade, to be compared with"):
                examined = examination(
                    teachers_in(episodes, scenarios),
                    settings.distil.examine_scenarios,
                    settings.distil.examine_paths,
                    settings.seed,
                    instead=teacher,
                )
        with listener.stage(f"distil {named.name}") as progress:
            policy, curve = distil(
                teacher,
                demonstrations,
                settings.distil,
                settings.seed,
                work / "checkpoints",
                progress,
                examined,
            )
        write_table(work / "curve.parquet", curve, CURVE_UNITS)
        about = {"seed": settings.seed, "settings": plain(settings.distil), "parents": run.parents}
        core = named.as_data().core.with_flow(policy.data())  # type: ignore[attr-defined]
        save_policy(work / "policy.safetensors", replace(as_data(policy, training=about), core=core))
        run.finish(policy=named.name, **curve.row(-1, named=True))
    return run.folder
