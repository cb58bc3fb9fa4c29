"""Every policy on every recording of a folder, and the page of the results."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowhft.errors import require
from flowhft.runs.folder import Run
from flowhft.stages.folder import RUNS
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.tables import units_in
from flowhft.studies.page import StudyResult, claim, settle, write_page
from flowhft.studies.real.stages import RecordingWork, Sizes
from flowhft.studies.recordings import outcomes_of, recordings_to_take
from flowhft.types import Progress

NAME = "reproduce real"
PAGE = "real-markets.md"
# What `--quick` takes for options that are left as they are.
QUICK: dict[str, Any] = {
    "demonstrations": 4,
    "updates": 20,
    "teacher_paths": 64,
    "adapt_paths": 32,
    "adapt_generations": 1,
    "walk_paths": 32,
    "walk_generations": 1,
    "fees": (0.0, 1.0),
    "latencies": (5.0,),
}


@dataclass(frozen=True, kw_only=True)
class Reproduce(Stage):
    """Settings of what is spent on every recording."""

    data: Path | None = None
    """Folder of recordings, in folders of their own or not; the bundled recording if none is named."""
    recordings: tuple[str, ...] = ()
    """Names of the recordings to take now, as the page has them; all by default."""
    share: float = 0.6
    """Share of each recording's time to learn from, from its start; the rest is what is judged on."""
    demonstrations: int = 50
    """Sessions that the best expert demonstrates in each of nine regimes."""
    updates: int = 2_000
    """Updates of the training by imitation."""
    teacher_paths: int = 500
    """Simulated sessions by which the risk aversion of an expert is chosen."""
    adapt_paths: int = 256
    """Simulated sessions by which a candidate of the adaptation is judged."""
    adapt_generations: int = 5
    """Generations of the adaptation's search after its grid."""
    walk_paths: int = 128
    """The same in every window of a walk."""
    walk_generations: int = 3
    """The same in every window of a walk."""
    fees: tuple[float, ...] = (0.0, 1.0, 2.0)
    """Maker fees of the sweep, basis points."""
    latencies: tuple[float, ...] = (1.0, 5.0, 50.0)
    """Latencies of the sweep, milliseconds."""
    quick: bool = False
    """A first look: few sessions and updates, where those are not set."""
    cores: int = 0
    """Processes that work on recordings side by side; 0 for one a core of the machine."""
    docs: Path | None = None
    """File that the page real-markets.md is copied to."""


def run(settings: Reproduce, listener: Listener | None = None) -> Path:
    """Do what is not done yet of every recording, and write down what all of them found.

    Args:
        settings: of the study.
        listener: told how it goes.

    Returns:
        The finished run folder, with one of each recording in it.
    """
    from flowhft.studies.real.document import document
    from flowhft.studies.real.findings import tables_of

    listener = listener or Silent()
    if settings.quick:
        changes = {
            name: value
            for name, value in QUICK.items()
            if getattr(settings, name) == getattr(Reproduce, name)
        }
        return run(replace(settings, quick=False, **changes), listener)
    require(0.0 < settings.share < 1.0, "share", "lie between 0 and 1", settings.share, "0.6 judges on 40 %.")
    require(settings.cores >= 0, "cores", "be 0 or more", settings.cores)
    prefixes = recordings_to_take(settings.data, settings.recordings)
    folder = settings.out or RUNS / "reproduce-real"
    claim(folder, listener)
    with listener.stage("judge on real recordings") as progress:
        outcomes = _outcomes(settings, prefixes, folder, progress)
    done = {f"{name}/{stage}": i for name, one in outcomes.items() for stage, i in one["done"].items()}
    refused = {name: one["refused"] for name, one in outcomes.items()}
    settle(folder)

    def find(work: Path) -> StudyResult:
        tables = tables_of(folder, outcomes)
        about = {"command": typed(settings), "seed": settings.seed, "share": settings.share}
        page = document(tables, about | {"whole": not settings.recordings})
        units = {name: units_in(NAME, name, "currency of the recording") for name in tables}
        return StudyResult(tables, units, page, {"refused": refused})

    page = Run(folder, NAME, {"command": typed(settings), "refused": refused}, settings.seed, done)
    write_page(page, PAGE, listener, find, settings.docs)
    return folder


def _outcomes(
    settings: Reproduce, prefixes: Mapping[str, Path], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Run the stages of every recording, several recordings at a time."""
    from flowhft.simulate.devices import prepare

    work = RecordingWork(
        tuple(path.resolve() for path in prefixes.values()),
        tuple(prefixes),
        folder.resolve(),
        Sizes(
            settings.share,
            settings.demonstrations,
            settings.updates,
            settings.teacher_paths,
            settings.adapt_paths,
            settings.adapt_generations,
            settings.walk_paths,
            settings.walk_generations,
            settings.fees,
            settings.latencies,
        ),
        settings.seed,
    )
    return outcomes_of(work, tuple(prefixes), settings.cores, prepare, progress)


def typed(settings: Reproduce) -> str:
    """Return the command that makes the page, without folders that are nobody else's."""
    usual, words = Reproduce, [f"flowhft {NAME}"]
    if settings.data:
        words.append("--data FOLDER")
    for name in ("recordings", "share", *(key for key in QUICK)):
        value = getattr(settings, name)
        if value != getattr(usual, name):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join([*words, f"--seed {settings.seed}", f"--docs docs/{PAGE}"])
