"""Teachers: the best expert of each scenario, chosen now or by a run before."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flowhft.errors import UsageError, require
from flowhft.learn.settings import TeacherSettings
from flowhft.runs.files import entry
from flowhft.runs.folder import MANIFEST, manifest_of
from flowhft.runs.resume import JSON, Finished
from flowhft.runs.tables import table_of
from flowhft.runs.tables.kinds import read_known
from flowhft.stages.folder import identity_of, identity_of_run
from flowhft.types import Progress

if TYPE_CHECKING:
    from flowhft.learn.select import Selection, Teacher
    from flowhft.scenarios.scenario import Scenario


def select_resumably(
    work: Path, scenarios: "list[Scenario]", settings: TeacherSettings, seed: int, progress: Progress
) -> "list[Selection]":
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

    results, finished = [], Finished(work / "parts", JSON)
    for i, scenario in enumerate(scenarios):
        progress(i / len(scenarios), scenario.name)
        rows = finished.get(f"{i:04d}", lambda where=scenario: select_in(where, settings, seed, scenarios))  # type: ignore[misc]
        results.append(Selection(**rows))
    return results


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

    selected_in = entry(manifest_of(selection), selection / MANIFEST, "config", "market")
    if selected_in != market:
        raise UsageError(
            f"`market` must be that of the selection; received '{market}', and `{selection}` selected in "
            f"'{selected_in}'. Select in '{market}' too."
        )
    choices = read_known(selection / "choices.parquet", table_of("select", "choices"))
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


def scores_from(folder: Path) -> tuple[str, pl.DataFrame]:
    """Return the identity of a finished demonstrate or select run, and its table of candidates.

    Raises:
        DataError: there is no such folder, it is not finished, or another command wrote it.
    """
    if manifest_of(folder).get("command") == "select":
        known = read_known(folder / "selection.parquet", table_of("select", "selection"))
        return identity_of(folder), known
    identity = identity_of_run(folder, "teachers", "demonstrate")
    return identity, read_known(folder / "teachers.parquet", table_of("demonstrate", "teachers"))
