"""Demonstrate: choose the best expert per scenario and keep what it sees and quotes."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from flowhft import __version__
from flowhft.errors import UsageError, require
from flowhft.learn.settings import TeacherSettings
from flowhft.runs.folder import read_table, replacing, write_json, write_table
from flowhft.runs.resume import JSON, Finished
from flowhft.scenarios.presets import Preset
from flowhft.stages.folder import begin, identity_of_run, run_of, scenarios_of, summary_of
from flowhft.stages.notes import note_edges, note_losses, note_silence
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.teachers import select_resumably, teachers_from
from flowhft.types import Progress

if TYPE_CHECKING:
    from flowhft.learn.demonstrations.demonstrate import Course
    from flowhft.work.task import Executor

MOST_ROWS = 1_000_000_000  # of a data set; sessions are numbered in 32 bits


@dataclass(frozen=True, kw_only=True)
class Demonstrate(Stage):
    """Settings of a data set of demonstrations."""

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


def run(settings: Demonstrate, listener: Listener | None = None) -> Path:
    """Choose the teachers, and record what they see and quote, shard by shard."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    device = prepare()
    from flowhft.learn.demonstrations.card import card_of, page_of
    from flowhft.learn.demonstrations.dataset_files import CARD, EPISODES, SCENARIOS, episodes_table
    from flowhft.learn.demonstrations.demonstrate import FURTHEST, Course, episodes_of
    from flowhft.learn.demonstrations.episodes import UNITS, plan
    from flowhft.learn.select import best_of_each, tables_of, teachers_of, units_of
    from flowhft.scenarios.files import scenarios_to_toml
    from flowhft.scenarios.presets import find_scenarios
    from flowhft.work.cluster import cluster
    from flowhft.work.task import do_here

    require(settings.paths >= 1, "paths", "be at least 1", settings.paths)
    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    each = (
        len(settings.teachers.experts) if settings.demonstrators == "every" and not settings.selection else 1
    )
    rows = each * settings.paths * sum(scenario.steps for scenario in scenarios)
    require(
        rows <= MOST_ROWS, "paths", f"keep all demonstrations within {MOST_ROWS:,} rows", f"{rows:,} rows"
    )
    named, files = scenarios_of(settings.scenarios)
    if settings.selection:
        if settings.teachers != TeacherSettings():
            raise UsageError(
                "`teachers` must be left as it is together with `--selection`, which has chosen already. "
                "Leave one of them out."
            )
        files |= {"selection": identity_of_run(settings.selection, "selection", "select")}
        teachers = teachers_from(settings.selection, scenarios, settings.market)
    run = run_of(settings, "demonstrate", files, scenarios=named)
    if work := begin(run, listener):
        note_losses(scenarios, listener)
        if settings.selection:
            candidates, choices = (
                read_table(settings.selection / name) for name in ("selection.parquet", "choices.parquet")
            )
            criterion = summary_of(settings.selection)["criterion"]
        else:
            criterion = settings.teachers.criterion
            with listener.stage("choose the best expert per scenario") as progress:
                result = select_resumably(work, scenarios, settings.teachers, settings.seed, progress)
            candidates, choices = tables_of(result)
            note_edges(candidates, "--teachers.risk-aversions", listener)
            teachers = teachers_of(choices, scenarios)
        names = [scenario.name for scenario in scenarios]
        candidates, choices = (
            table.filter(pl.col("scenario").is_in(names)) for table in (candidates, choices)
        )
        others = best_of_each(candidates, scenarios) if settings.demonstrators == "every" else []
        course = Course(plan(episodes_of(teachers, others, settings.paths)), scenarios, settings.seed)
        with listener.stage("demonstrate") as progress, contextlib.ExitStack() as stack:
            executor = (
                stack.enter_context(cluster(settings.ray, device, prepare)) if settings.ray else do_here
            )
            records = record_resumably(work, course, executor, progress)
        episodes = episodes_table(course.shards, records, criterion, settings.seed)
        for file, table, units in (
            ("teachers.parquet", candidates, units_of(criterion)),
            ("choices.parquet", choices, units_of(criterion)),
            (EPISODES, episodes, UNITS),
        ):
            write_table(work / file, table, units)
        with replacing(work / SCENARIOS) as temporary:
            temporary.write_text(scenarios_to_toml(scenarios), encoding="utf-8")
        card = card_of(
            episodes,
            records,
            int(choices["tie"].sum()),
            {
                "flowhft": __version__,
                "market": settings.market,
                "asked": named,
                "seed": settings.seed,
                "criterion": criterion,
                "furthest": FURTHEST,
            },
        )
        write_json(work / CARD, card)
        with replacing(work / Path(CARD).with_suffix(".md")) as temporary:
            temporary.write_text(page_of(card), encoding="utf-8")
        note_silence(card, listener)
        run.finish(
            pairs=card["pairs"],
            bytes=card["bytes"],
            shards=len(records),
            teachers={t.scenario.name: t.expert for t in teachers},
        )
    return run.folder


def record_resumably(
    work: Path, course: "Course", executor: "Executor", progress: Progress
) -> list[dict[str, Any]]:
    """Record shard by shard, each kept as soon as it is done, so that a run that was ended goes on there.

    Args:
        work: the run's folder, in which shards are written.
        course: what is recorded.
        executor: who records; see `flowhft.work.cluster` for another one than this process.
        progress: told what happens.

    Returns:
        What the card is to say about every shard, in order.
    """
    from flowhft.learn.demonstrations.dataset_files import shard_name, write_shard

    tasks = course.tasks()
    finished = Finished(work / "shards", JSON)
    missing = [task for task in tasks if str(task.span) not in finished]
    done = len(tasks) - len(missing)

    def tell(share: float, now: str) -> None:
        progress((done + share) / len(tasks), now)

    for task, table in executor(course, missing, tell):
        number = task.span.scenario
        path = work / shard_name(number)
        finished.keep(task.span, write_shard(path, table, course.shards[number]), [path])
        done += 1
        tell(0.0, f"{path.name}: {table.height:,} pairs")
    return [finished[task.span] for task in tasks]
