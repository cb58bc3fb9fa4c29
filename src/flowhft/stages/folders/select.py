"""Select: which expert is best in which scenario, by how much, and where that cannot be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowhft.errors import require
from flowhft.learn.settings import TeacherSettings
from flowhft.metrics.table import RISK_WEIGHT
from flowhft.runs.folder import write_json, write_table
from flowhft.scenarios.presets import Preset
from flowhft.stages.folder import begin, run_of, scenarios_of
from flowhft.stages.notes import note_edges
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.teachers import select_resumably

_DEFAULT = TeacherSettings()


@dataclass(frozen=True, kw_only=True)
class Select(Stage):
    """Settings of a choice among experts."""

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    candidates: tuple[str, ...] = _DEFAULT.experts
    """Experts among which is chosen."""
    risk_aversions: tuple[float, ...] = _DEFAULT.risk_aversions
    """Risk aversions that each is tried with, in units of the fill decay k."""
    criterion: Literal["pnl", "sharpe", "utility"] = _DEFAULT.criterion
    """What the best is best in: mean PnL, Sharpe ratio, or mean less `risk_weight` standard deviations."""
    risk_weight: float = RISK_WEIGHT
    """Standard deviations that `utility` takes off the mean."""
    paths: int = _DEFAULT.paths
    """Sessions by which a candidate is judged in each scenario."""
    fresh_paths: int = _DEFAULT.fresh_paths
    """Fresh sessions on which all are judged once more, which have no part in the choice."""


def run(settings: Select, listener: Listener | None = None) -> Path:
    """Choose the best expert per scenario; finished scenarios are kept and not done again."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.learn.select import tables_of, units_of, wins_of
    from flowhft.scenarios.presets import find_scenarios

    require(len(settings.candidates) >= 1, "candidates", "name at least one expert", "none")
    require(
        len(set(settings.candidates)) == len(settings.candidates),
        "candidates",
        "name every expert once",
        f"'{','.join(settings.candidates)}'",
    )
    teachers = TeacherSettings(
        experts=settings.candidates,
        risk_aversions=settings.risk_aversions,
        criterion=settings.criterion,
        risk_weight=settings.risk_weight,
        paths=settings.paths,
        fresh_paths=settings.fresh_paths,
    )
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    named, files = scenarios_of(settings.scenarios)
    run = run_of(settings, "select", files, scenarios=named)
    if work := begin(run, listener):
        with listener.stage("choose the best expert per scenario") as progress:
            outcome = select_resumably(work, scenarios, teachers, settings.seed, progress)
        candidates, choices = tables_of(outcome)
        note_edges(candidates, "--risk-aversions", listener)
        units = units_of(settings.criterion)
        write_table(work / "selection.parquet", candidates, units)
        write_table(work / "choices.parquet", choices, units)
        result = {
            "criterion": settings.criterion,
            "scenarios": len(scenarios),
            "candidates": candidates["risk_aversion"].count() // len(scenarios),
            "ties": int(choices["tie"].sum()),
            "wins": wins_of(choices),
        }
        write_json(work / "selection.json", result)
        run.finish(**result)
    return run.folder
