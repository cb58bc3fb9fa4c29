"""Train: the network that adapts a frozen policy to whatever market it senses."""

from dataclasses import dataclass, replace
from pathlib import Path

from flowhft.errors import UsageError, require
from flowhft.learn.regime.settings import FamilySettings, RegimeSettings
from flowhft.runs.folder import plain, write_table
from flowhft.stages.folder import begin, identity_of, run_of
from flowhft.stages.stage import Listener, Silent, Stage

PILOT, PILOT_PATHS = 48, 32  # held-out scenarios, and sessions of each, that are scored along the training


@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """Settings of a regime adapter, and of the family of markets that it learns in."""

    base: str = ""
    """Flow policy that quotes within, frozen: a .safetensors file or a run folder of `flowhft imitate`, with
    options in brackets; none is the control, half-spreads of 1 / k."""
    family: FamilySettings = FamilySettings()
    regime: RegimeSettings = RegimeSettings()


def run(settings: Train, listener: Listener | None = None) -> Path:
    """Make the banks, train, choose the dial, save."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.flow.policy import as_data, flow_policy
    from flowhft.learn.regime.bank import make_bank
    from flowhft.learn.regime.family import draw_family
    from flowhft.learn.regime.held_out import TABLE_UNITS, choose_dial, evaluate_dials, held_out_table
    from flowhft.learn.regime.plain import plain_policy
    from flowhft.learn.regime.train import CURVE_UNITS, train
    from flowhft.policies.file import save_policy
    from flowhft.policies.flow import flow_in
    from flowhft.policies.names import find_policy
    from flowhft.scenarios.known import units_of
    from flowhft.scenarios.sensor import sensor_for

    parents, remembered, base = {}, "", None
    if settings.base:
        named = find_policy(settings.base)
        flow = flow_in(named.policy)
        if flow is None or named.path is None:
            raise UsageError(
                f"`base` must be a flow policy; received '{settings.base}'. Name a .safetensors file."
            )
        base = flow
        require(not named.delay, "base", "be trained behind without a delay", f"'{settings.base}'")
        require(not named.needs_scenario, "base", "not be told the market", f"'{settings.base}'")
        require(
            base.sampler.noise_scale == 0.0 and base.sampler.execute == 1,
            "base",
            "quote without chance and draw a chunk every step",
            f"'{settings.base}'",
            "Write policy[noise_scale=0,execute=1].",
        )
        parents, remembered = {"base": identity_of(named.path)}, named.remembered
    run = run_of(settings, "train", parents, base=remembered)
    if work := begin(run, listener):
        banks = {}
        families = {
            "train": draw_family(settings.family, settings.family.scenarios, settings.seed, "train"),
            "held out": draw_family(settings.family, settings.family.held_out, settings.seed, "held out"),
        }
        units = units_of(families["train"][0])
        base = None if base is None else base.in_units(*units)
        within = plain_policy(sensor_for(families["train"][0])) if base is None else flow_policy(base)
        for name, part, paths in (
            ("train", families["train"], settings.family.paths),
            ("pilot", families["held out"][:PILOT], PILOT_PATHS),
        ):
            with listener.stage(f"walk through random markets ({name})") as progress:
                banks[name] = make_bank(
                    part,
                    paths,
                    settings.seed,
                    within.sensor,
                    None if base is None else within,
                    settings.regime.swing,
                    progress,
                )
        with listener.stage("train") as progress:
            trained = train(
                banks["train"], banks["pilot"], settings.regime, settings.seed, work / "checkpoints", progress
            )
        learned = as_data(within, trained.regime)
        with listener.stage("judge risk dials in held-out markets") as progress:
            evaluated = evaluate_dials(
                learned,
                families["held out"],
                settings.regime.settings_shown,
                settings.family.held_out_paths,
                settings.seed,
                work / "held-out",
                progress,
            )
        table = held_out_table(evaluated)
        dial = choose_dial(table)
        chosen = learned.at_dial(dial)
        write_table(work / "curve.parquet", trained.curve, CURVE_UNITS)
        write_table(work / "held_out.parquet", table, TABLE_UNITS)
        about = {
            "seed": settings.seed,
            "family": plain(settings.family),
            "settings": plain(settings.regime),
            "base": remembered,
            "parents": run.parents,
        }
        trained_for = replace(chosen, dial=settings.regime.dial, training=about)
        save_policy(work / "policy.safetensors", trained_for)
        run.finish(dial=dial, **trained.curve.row(-1, named=True))
    return run.folder
