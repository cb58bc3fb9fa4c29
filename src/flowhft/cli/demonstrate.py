"""`flowhft demonstrate`: choose the best expert per scenario and keep what it sees and quotes."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from flowhft import __version__
from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, scenarios_of, summary_of
from flowhft.cli.scenarios import note_losses
from flowhft.cli.select import SHOWN_SCENARIOS, note_edges, select_resumably, table_of_choices, teachers_from
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.learn.settings import TeacherSettings
from flowhft.runs.folder import read_table, replacing, write_json, write_table
from flowhft.scenarios.presets import Preset
from flowhft.types import Progress

if TYPE_CHECKING:
    from flowhft.learn.demonstrations.demonstrate import Course
    from flowhft.work.task import Crew

MOST_ROWS = 1_000_000_000  # of a data set; sessions are numbered in 32 bits


@dataclass(frozen=True, kw_only=True)
class Demonstrate(Command):
    """Run every expert in every scenario, choose the best one per scenario, and record it as the teacher.

    Writes teachers.parquet (every candidate with its score), choices.parquet (the teacher per scenario, its
    margins and ties), the data set: shards demonstrations-*.parquet (a row a step: what was seen and quoted),
    lessons.parquet (who taught where) and scenarios.toml, and its card: demonstrations.json and
    demonstrations.md (sizes, shares of the teachers, ranges, hashes). Finished scenarios and shards are kept:
    an interrupted run goes on with the next.
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-train, stress: see `flowhft scenarios`) or TOML files."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    paths: int = 100
    """Sessions that each teacher demonstrates in a scenario."""
    demonstrators: Literal["best", "every"] = "best"
    """Who demonstrates: the `best` expert of each scenario, or `every` one there, with the risk aversion that
    suits it best, so that what is learned from one can be compared with what is learned from another."""
    selection: Path | None = None
    """A select run: its choices teach, instead of those of a selection here."""
    ray: str = ""
    """Record on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    teachers: TeacherSettings = TeacherSettings()

    def run(self, terminal: Terminal) -> Result:
        """Select, then demonstrate shard by shard."""
        from flowhft.simulate.devices import prepare

        device = prepare()
        from flowhft.learn.demonstrations.card import card_of, page_of
        from flowhft.learn.demonstrations.demonstrate import FURTHEST, Course, lessons_of
        from flowhft.learn.demonstrations.lessons import UNITS, plan
        from flowhft.learn.demonstrations.recorded import CARD, LESSONS, SCENARIOS, lessons_table
        from flowhft.learn.select import best_of_each, tables_of, teachers_of, units_of
        from flowhft.scenarios.files import scenarios_to_toml
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.work.cluster import cluster
        from flowhft.work.task import do_here

        require(self.paths >= 1, "paths", "be at least 1", self.paths)
        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        each = len(self.teachers.experts) if self.demonstrators == "every" and not self.selection else 1
        rows = each * self.paths * sum(scenario.steps for scenario in scenarios)
        require(
            rows <= MOST_ROWS, "paths", f"keep all demonstrations within {MOST_ROWS:,} rows", f"{rows:,} rows"
        )
        named, files = scenarios_of(self.scenarios)
        if self.selection:
            if self.teachers != TeacherSettings():
                raise UsageError(
                    "`teachers` must be left as it is together with `--selection`, which has chosen already. "
                    "Leave one of them out."
                )
            files |= {"selection": identity_of_run(self.selection, "selection", "select")}
            teachers = teachers_from(self.selection, scenarios, self.market)
        run = run_of(self, "demonstrate", files, scenarios=named)
        if work := begin(run, terminal):
            note_losses(scenarios, terminal)
            if self.selection:
                candidates, choices = (
                    read_table(self.selection / name) for name in ("selection.parquet", "choices.parquet")
                )
                criterion = summary_of(self.selection)["criterion"]
            else:
                criterion = self.teachers.criterion
                with terminal.stage("choose the best expert per scenario") as progress:
                    found = select_resumably(work, scenarios, self.teachers, self.seed, progress)
                candidates, choices = tables_of(found)
                note_edges(candidates, "--teachers.risk-aversions", terminal)
                teachers = teachers_of(choices, scenarios)
            names = [scenario.name for scenario in scenarios]
            candidates, choices = (
                table.filter(pl.col("scenario").is_in(names)) for table in (candidates, choices)
            )
            others = best_of_each(candidates, scenarios) if self.demonstrators == "every" else []
            course = Course(plan(lessons_of(teachers, others, self.paths)), scenarios, self.seed)
            with terminal.stage("demonstrate") as progress, contextlib.ExitStack() as stack:
                crew = stack.enter_context(cluster(self.ray, device, prepare)) if self.ray else do_here
                records = record_resumably(work, course, crew, progress)
            lessons = lessons_table(course.shards, records, criterion, self.seed)
            for file, table, units in (
                ("teachers.parquet", candidates, units_of(criterion)),
                ("choices.parquet", choices, units_of(criterion)),
                (LESSONS, lessons, UNITS),
            ):
                write_table(work / file, table, units)
            with replacing(work / SCENARIOS) as temporary:
                temporary.write_text(scenarios_to_toml(scenarios), encoding="utf-8")
            card = card_of(
                lessons,
                records,
                int(choices["tie"].sum()),
                {
                    "flowhft": __version__,
                    "market": self.market,
                    "asked": named,
                    "seed": self.seed,
                    "criterion": criterion,
                    "furthest": FURTHEST,
                },
            )
            write_json(work / CARD, card)
            with replacing(work / Path(CARD).with_suffix(".md")) as temporary:
                temporary.write_text(page_of(card), encoding="utf-8")
            note_silence(card, terminal)
            run.finish(
                pairs=card["pairs"],
                bytes=card["bytes"],
                shards=len(records),
                teachers={t.scenario.name: t.expert for t in teachers},
            )
        choices = read_table(run.folder / "choices.parquet")
        summary = summary_of(run.folder)
        table_shown: list[str | Table] = (
            [table_of_choices(choices)] if choices.height <= SHOWN_SCENARIOS else []
        )
        return Result(
            summary={"folder": run.folder, **summary, "chosen": choices.to_dicts()},
            shown=[
                *table_shown,
                f"{summary['pairs']:,} pairs of observation and quote are in {run.folder} "
                f"({summary['bytes'] / 1e6:.1f} MB), described by {Path(CARD).with_suffix('.md')}",
            ],
        )


def record_resumably(work: Path, course: "Course", crew: "Crew", progress: Progress) -> list[dict[str, Any]]:
    """Record shard by shard, each kept as soon as it is done, so that a run that was ended goes on there.

    Args:
        work: the run's folder, in which shards are written.
        course: what is recorded.
        crew: who records; see `flowhft.work.cluster` for another one than this process.
        progress: told what happens.

    Returns:
        What the card is to say about every shard, in order.
    """
    from flowhft.learn.demonstrations.recorded import kept_shard, shard_name, write_shard

    tasks = course.tasks()
    places = [
        (work / shard_name(number), work / "shards" / f"{number:04d}.json") for number in range(len(tasks))
    ]
    records = {number: kept_shard(*place) for number, place in enumerate(places)}
    missing = [task for task in tasks if records[task.span.scenario] is None]
    done = len(tasks) - len(missing)

    def tell(share: float, now: str) -> None:
        progress((done + share) / len(tasks), now)

    for task, table in crew(course, missing, tell):
        number = task.span.scenario
        path, note = places[number]
        record = write_shard(path, table, course.shards[number])
        write_json(note, record)
        records[number] = record
        done += 1
        tell(0.0, f"{path.name}: {table.height:,} pairs")
    return [record for _, record in sorted(records.items()) if record is not None]


def note_silence(card: dict[str, Any], terminal: Terminal) -> None:
    """Say which teachers were never filled: from them only silence can be learned.

    Raises:
        UsageError: nobody was filled anywhere.
    """
    silent = card["never_filled"]
    if not silent:
        return
    first = silent[0]
    where = f"{first['expert']} with risk aversion {first['risk_aversion']:g} in '{first['scenario']}'"
    fix = (
        "Lower the risk aversions (`--teachers.risk-aversions`), choose by another criterion, or leave the "
        "scenario out."
    )
    if all(row["fills_a_session"] == 0.0 for row in card["teachers"]):
        raise UsageError(
            f"`teachers` must trade; received {where}, which nobody filled, nor any other. {fix}"
        )
    more = f", and {len(silent) - 1} more teachers (see the card)" if len(silent) > 1 else ""
    terminal.note(
        f"warning: no order of {where} was filled in {first['paths']:,} sessions{more}: only silence can be "
        f"learned from them. {fix}"
    )
