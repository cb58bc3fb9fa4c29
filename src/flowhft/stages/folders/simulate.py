"""Simulate: run policies in simulated markets and keep every step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flowhft.errors import require
from flowhft.runs import tables
from flowhft.runs.folder import stream, write_table
from flowhft.scenarios.files import scenarios_to_toml
from flowhft.scenarios.presets import Preset
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.orders import Orders, require_free_orders
from flowhft.simulate.market.tick_settings import TickSettings
from flowhft.stages.folder import begin, policies_of, run_of, scenarios_of
from flowhft.stages.notes import note_losses
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.types import SCALARS, Trajectory

MOST_ROWS = 20_000_000  # of one table, so that it and its making fit in a few GB
UNITS = tables.units_of("simulate", "000-00")


@dataclass(frozen=True, kw_only=True)
class Simulate(Stage):
    """Settings of a simulation."""

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: str
    """Comma-separated experts (glft, or glft@RISK_AVERSION), .safetensors files, run folders, or your own
    (mine=my_policy.py:NAME)."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    paths: int = 100
    """Sessions simulated per policy and scenario."""
    export_ticks: bool = False
    """Write every session as a recording, too, and the scenario in the ticks of the recordings."""
    ticks: TickSettings = TickSettings()


def run(settings: Simulate, listener: Listener | None = None) -> Path:
    """Simulate and write every step."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.scenarios.presets import find_scenarios
    from flowhft.simulate.market.market import build
    from flowhft.simulate.quoting.lab import in_lab
    from flowhft.simulate.rollout import order_flow, rollout
    from flowhft.stages.policies import find_policies

    require(settings.paths >= 1, "paths", "be at least 1", settings.paths)
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    for scenario in scenarios if settings.export_ticks else ():
        require_free_orders(scenario)
    longest = max(scenario.steps for scenario in scenarios)
    require(
        settings.paths * longest <= MOST_ROWS,
        "paths",
        f"keep a table of {longest:,} steps a session within {MOST_ROWS:,} rows",
        settings.paths,
        "`flowhft evaluate` judges more paths without keeping their steps.",
    )
    policies = find_policies(settings.policies)
    named, files = scenarios_of(settings.scenarios)
    called, saved = policies_of(policies)
    run = run_of(settings, "simulate", files | saved, scenarios=named, policies=called)
    if work := begin(run, listener):
        note_losses(scenarios, listener)
        rows = []
        with listener.stage("simulate") as progress:
            for i, scenario in enumerate(scenarios):
                for j, policy in enumerate(policies):
                    done = (i * len(policies) + j) / (len(scenarios) * len(policies))
                    progress(done, f"{policy.name} in {scenario.name}")
                    trajectory = rollout(
                        build(scenario),
                        in_lab(policy, scenario),
                        paths=settings.paths,
                        seed=settings.seed,
                        scenario=f"simulate/{scenario.name}",
                    )
                    table = trajectory_table(trajectory)
                    file = f"{i:03d}-{j:02d}.parquet"
                    write_table(work / file, table, UNITS)
                    rows.append(
                        {
                            "scenario": scenario.name,
                            "policy": policy.name,
                            "file": file,
                            "rows": len(table),
                        }
                    )
                if settings.export_ticks:
                    orders = order_flow(
                        build(scenario),
                        paths=settings.paths,
                        seed=settings.seed,
                        scenario=f"simulate/{scenario.name}",
                    )
                    rows += _export(settings, work / f"{i:03d}-ticks", scenario, orders)
        run.finish(tables=rows)
    return run.folder


def _export(settings: Simulate, prefix: Path, scenario: Scenario, orders: Orders) -> list[dict[str, Any]]:
    """Write the sessions of a scenario as PREFIX-PATH.npz, and it in their ticks as PREFIX.toml."""
    from flowhft.recordings.formats.npz import write_npz
    from flowhft.simulate.market.ticks import on_grid, recording_of

    prefix.with_suffix(".toml").write_text(scenarios_to_toml([on_grid(scenario, settings.ticks.grid)]))
    rows = []
    for path in range(settings.paths):
        drawn = stream(settings.seed, "simulate", "ticks", scenario.name, path)
        recording = recording_of(scenario, orders, path, settings.ticks, drawn)
        file = prefix.with_name(f"{prefix.name}-{path:05d}.npz")
        size = write_npz(recording, file)
        rows.append({"scenario": scenario.name, "policy": "market orders", "file": file.name, "rows": size})
    return rows


def trajectory_table(trajectory: Trajectory) -> pl.DataFrame:
    """Lay a trajectory out as a table: one row per path and step.

    Args:
        trajectory: arrays of shape (path, step).
    """
    paths, steps = np.shape(trajectory.fee)
    columns = {
        **dict(zip(SCALARS, trajectory.observation.scalars, strict=True)),
        **trajectory.quote._asdict(),
        "fill_bid": trajectory.fill.bid,
        "fill_ask": trajectory.fill.ask,
        "spread_pnl": trajectory.spread_pnl,
        "inventory_pnl": trajectory.inventory_pnl,
        "fee": trajectory.fee,
    }
    index = {"path": np.repeat(np.arange(paths), steps), "step": np.tile(np.arange(steps), paths)}
    return pl.DataFrame(index | {name: np.asarray(values).reshape(-1) for name, values in columns.items()})
