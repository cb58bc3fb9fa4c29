"""`flowhft select`: which expert is best in which scenario, by how much, and where that cannot be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, identity_of_run, kept, run_of, scenarios_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.learn.settings import TeacherSettings
from flowhft.metrics.table import RISK_WEIGHT
from flowhft.runs.folder import manifest_of, read_table, write_json, write_table
from flowhft.scenarios.presets import Preset
from flowhft.types import Progress

if TYPE_CHECKING:
    from flowhft.learn.select import Teacher
    from flowhft.scenarios.scenario import Scenario

SHOWN_SCENARIOS = 30  # more do not fit a terminal: the report and choices.parquet have them all
_DEFAULT = TeacherSettings()


@dataclass(frozen=True, kw_only=True)
class Select(Command):
    """Run every expert at every risk aversion in every scenario, and choose the best one per scenario.

    Writes selection.parquet (every candidate in every scenario), choices.parquet (the choice per scenario,
    its margins and its ties) and selection.json (who wins how often). Margins are measured on the paths that
    chose, which flatter the choice, and on fresh ones; a tie is what fresh paths cannot tell apart.
    """

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

    def run(self, terminal: Terminal) -> Result:
        """Select scenario by scenario; finished ones are kept and not judged again."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.learn.select import tables_of, units_of, wins_of
        from flowhft.scenarios.presets import find_scenarios

        require(len(self.candidates) >= 1, "candidates", "name at least one expert", "none")
        require(
            len(set(self.candidates)) == len(self.candidates),
            "candidates",
            "name every expert once",
            f"'{','.join(self.candidates)}'",
        )
        settings = TeacherSettings(
            experts=self.candidates,
            risk_aversions=self.risk_aversions,
            criterion=self.criterion,
            risk_weight=self.risk_weight,
            paths=self.paths,
            fresh_paths=self.fresh_paths,
        )
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        run = run_of(self, "select", files, scenarios=named)
        if work := begin(run, terminal):
            with terminal.stage("choose the best expert per scenario") as progress:
                found = select_resumably(work, scenarios, settings, self.seed, progress)
            candidates, choices = tables_of(found)
            note_edges(candidates, "--risk-aversions", terminal)
            units = units_of(self.criterion)
            write_table(work / "selection.parquet", candidates, units)
            write_table(work / "choices.parquet", choices, units)
            result = {
                "criterion": self.criterion,
                "scenarios": len(scenarios),
                "candidates": candidates["risk_aversion"].count() // len(scenarios),
                "ties": int(choices["tie"].sum()),
                "wins": wins_of(choices),
            }
            write_json(work / "selection.json", result)
            run.finish(**result)
        choices = read_table(run.folder / "choices.parquet")
        summary = summary_of(run.folder)
        shown: list[str | Table] = []
        if choices.height <= SHOWN_SCENARIOS:
            shown.append(table_of_choices(choices))
        return Result(
            summary={"folder": run.folder, **summary, "choices": choices.to_dicts()},
            shown=[
                *shown,
                table_of_wins(summary["wins"], summary["criterion"]),
                f"{summary['ties']} of {choices.height} choices are ties: fresh paths do not tell another "
                "expert from the choice",
                f"The selection is in {run.folder}; draw who wins where with `flowhft report {run.folder}`",
            ],
        )


def select_resumably(
    work: Path, scenarios: "list[Scenario]", settings: TeacherSettings, seed: int, progress: Progress
) -> list[Any]:
    """Select in every scenario, each kept as soon as it is done, so that a run that was ended goes on there.

    Args:
        work: the run's folder, in which the finished scenarios are kept.
        scenarios: where.
        settings: candidates, criterion and number of paths.
        seed: of the run.
        progress: told before every scenario.

    Returns:
        A `flowhft.learn.select.Selection` per scenario, read back from what was kept.
    """
    from flowhft.learn.select import Selection, select_in

    found = []
    for i, scenario in enumerate(scenarios):
        part = work / "parts" / f"{i:04d}.json"
        progress(i / len(scenarios), scenario.name)
        found.append(
            kept(part, Selection, lambda where=scenario: select_in(where, settings, seed, scenarios))  # type: ignore[misc]
        )
    return found


def teachers_from(selection: Path, scenarios: "list[Scenario]", market: str) -> "list[Teacher]":
    """Return the teachers that a finished run of `flowhft select` chose.

    Args:
        selection: its folder.
        scenarios: where a teacher is wanted.
        market: preset of the named scenarios, which must be the one that was selected in.

    Raises:
        UsageError: the run did not cover a scenario, selected in another market, or in a scenario that has
            the same name and is another.
    """
    from flowhft.learn.select import AXES, teachers_of

    selected_in = manifest_of(selection)["config"]["market"]
    if selected_in != market:
        raise UsageError(
            f"`market` must be that of the selection; received '{market}', and `{selection}` selected in "
            f"'{selected_in}'. Select in '{market}' too."
        )
    choices = read_table(selection / "choices.parquet")
    teachers = teachers_of(choices, scenarios)
    selected = {row["scenario"]: row for row in choices.iter_rows(named=True)}
    for scenario in scenarios:
        for name in AXES:
            now, then = getattr(scenario, name), selected[scenario.name][name]
            require(
                now == then,
                "scenarios",
                f"be those of the selection, where '{scenario.name}' has {name} {then:g}",
                f"one with {name} {now:g}",
                "Select there too.",
            )
    return teachers


def note_edges(candidates: pl.DataFrame, option: str, terminal: Terminal) -> None:
    """Say it where the risk aversion that was chosen is the lowest or the highest that was tried.

    Args:
        candidates: the table of candidates.
        option: that says which are tried.
        terminal: is told in one line, if there is something to tell.
    """
    from flowhft.learn.select import at_the_edge

    scenarios = candidates["scenario"].n_unique()
    for count, end, beyond in zip(
        at_the_edge(candidates), ("lowest", "highest"), ("lower", "higher"), strict=True
    ):
        if count:
            terminal.note(
                f"warning: in {count} of {scenarios} scenarios the best risk aversion is the {end} that was "
                f"tried; a {beyond} one may be better still (`{option}`)."
            )


def scores_from(folder: Path) -> tuple[str, pl.DataFrame]:
    """Return the identity of a finished demonstrate or select run, and its table of candidates.

    Raises:
        DataError: there is no such folder, it is not finished, or another command wrote it.
    """
    if manifest_of(folder).get("command") == "select":
        return identity_of(folder), read_table(folder / "selection.parquet")
    identity = identity_of_run(folder, "teachers", "demonstrate")
    return identity, read_table(folder / "teachers.parquet")


def table_of_choices(choices: pl.DataFrame) -> Table:
    """Return the choices for people, one row per scenario."""

    def over(row: dict[str, Any], margin: str) -> str:
        value, low, high = (row[f"{margin}{end}"] for end in ("", "_low", "_high"))
        return "none" if value is None or low is None else f"{value:.3g} [{low:.3g}, {high:.3g}]"

    return Table(
        columns=[
            "scenario",
            "choice",
            "risk aversion",
            "fresh score",
            "margin over the best other expert",
            "the same on fresh paths",
            "ties with",
        ],
        rows=[
            [
                row["scenario"],
                row["expert"],
                row["risk_aversion"],
                row["fresh_score"],
                over(row, "margin"),
                over(row, "fresh_margin"),
                row["ties"].replace(",", ", ") or "none",
            ]
            for row in choices.iter_rows(named=True)
        ],
    )


def table_of_wins(wins: list[dict[str, Any]], criterion: str) -> Table:
    """Return who wins how often for people, by the criterion that chose first."""
    order = sorted(wins, key=lambda row: row["criterion"] != criterion)
    return Table(
        columns=["criterion", "expert", "wins", "clear", "ties"],
        rows=[[row[name] for name in ("criterion", "expert", "wins", "clear", "ties")] for row in order],
        title="Who wins in how many scenarios",
    )
