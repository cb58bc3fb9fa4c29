"""`flowhft distil`: a flow policy of many steps into one of a single evaluation."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, identity_of_run, run_of, summary_of
from flowhft.cli.terminal import Terminal
from flowhft.errors import UsageError, require
from flowhft.learn.settings import DataSettings, DistilSettings
from flowhft.runs.folder import plain, write_table


@dataclass(frozen=True, kw_only=True)
class Distil(Command):
    """Train a policy that quotes in one evaluation of its network what another one works out in many.

    Writes policy.safetensors and curve.parquet; an interrupted training resumes from its last checkpoint and
    ends bit for bit as it would have.
    """

    policy: Positional[str]
    """A .safetensors file or a run folder of a flow policy, with options in brackets:
    `runs/imitate[steps=32]` distils 32 steps."""
    demonstrations: Positional[Path]
    """Run folder of `flowhft demonstrate`: where the policy is asked for quotes."""
    data: DataSettings = DataSettings()
    distil: DistilSettings = DistilSettings()

    def run(self, terminal: Terminal) -> Result:
        """Draw the policy's answers, and train."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.flow.policy import flow_policy, save_policy
        from flowhft.learn.demonstrations.dataset import sensed
        from flowhft.learn.demonstrations.lessons import choose
        from flowhft.learn.demonstrations.recorded import read_lessons, read_shown
        from flowhft.learn.imitation.distil import distil
        from flowhft.learn.imitation.examine import examination, teachers_in
        from flowhft.learn.imitation.fit import CURVE_UNITS
        from flowhft.policies.flow import flow_in, has_map
        from flowhft.policies.names import find_policy

        named = find_policy(self.policy)
        flow = flow_in(named.policy)
        if flow is None or named.path is None:
            raise UsageError(
                f"`policy` must be a flow policy; received '{self.policy}'. Name a .safetensors file or a "
                "run folder of `flowhft imitate`."
            )
        require(not named.delay, "policy", "be distilled without a delay", f"'{self.policy}'")
        teacher = flow_policy(flow)
        require(
            not has_map(named.as_data()),
            "policy",
            "be distilled before it is adapted or trained",
            f"'{self.policy}', which has a map behind it",
            "Distil the flow policy within, then adapt what comes of it.",
        )
        parents = {
            "policy": identity_of(named.path),
            "demonstrations": identity_of_run(self.demonstrations, "demonstrations", "demonstrate"),
        }
        run = run_of(self, "distil", parents, policy=named.remembered)
        if work := begin(run, terminal):
            lessons, scenarios = read_lessons(self.demonstrations)
            lessons = choose(lessons, self.data)
            with terminal.stage("sense the demonstrations"):
                shown = list(read_shown(self.demonstrations, lessons, scenarios))
                demonstrations = sensed(shown, teacher.sensor, teacher.settings.features)
            examined = None
            if self.distil.examine_scenarios:
                with terminal.stage("let the policy trade, to be compared with"):
                    examined = examination(
                        teachers_in(lessons, scenarios),
                        self.distil.examine_scenarios,
                        self.distil.examine_paths,
                        self.seed,
                        instead=teacher,
                    )
            with terminal.stage(f"distil {named.name}") as progress:
                policy, curve = distil(
                    teacher,
                    demonstrations,
                    self.distil,
                    self.seed,
                    work / "checkpoints",
                    progress,
                    examined,
                )
            write_table(work / "curve.parquet", curve, CURVE_UNITS)
            about = {"seed": self.seed, "settings": plain(self.distil), "parents": run.parents}
            save_policy(work / "policy.safetensors", policy, training=about)
            run.finish(policy=named.name, **curve.row(-1, named=True))
        summary = summary_of(run.folder)
        lines = [
            f"{summary['update']:,} updates in {summary['seconds']:.0f} s; validation loss "
            f"{summary['validation_loss']:.2e}"
        ]
        if summary["closed_loop_pnl"] is not None:
            lines.append(
                f"In closed loop: PnL {summary['closed_loop_pnl']:.4g} with one evaluation, "
                f"{summary['teacher_pnl']:.4g} on the same sessions as it was (tick x lot)"
            )
        return Result(
            summary={"folder": run.folder, **summary},
            shown=[*lines, f"The policy is {run.folder / 'policy.safetensors'}"],
        )
