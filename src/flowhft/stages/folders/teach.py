"""Teach: let a maker that sees the order book show what it would quote on recordings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional

from flowhft import __version__
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import replacing, write_json
from flowhft.runs.ranges import Count, Range, check_ranges
from flowhft.runs.resume import JSON, Finished
from flowhft.stages.folder import begin, identity_of, run_of
from flowhft.stages.stage import Listener, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Teach(Stage):
    """Settings of demonstrations on recordings."""

    maker: Positional[str]
    """Run folder of `flowhft learn`, or its policy file."""
    recordings: tuple[Path, ...]
    """Recordings with a book, the one that the maker is for first; on the others it has their own scales."""
    share: float = 0.6
    """Share of each recording's time that is shown, from its start; the rest is not looked at."""
    rounds: Count = 12
    """Times that every decision is shown, with other positions."""
    steps: Annotated[int, Range(2, unit="decision")] = 32
    """Decisions of a session, in which a position stays."""
    student: str = ""
    """A policy that imitates the maker: one more round of the first recording goes where it leads."""
    repair: bool = False
    """Mend what can be mended in the recordings, and say what was done."""
    replay: ReplaySettings = ReplaySettings()
    instrument: InstrumentSettings = InstrumentSettings()

    def __post_init__(self) -> None:
        check_ranges(self)
        require(0.0 < self.share <= 1.0, "share", "lie above 0 and not above 1", self.share)


def run(settings: Teach, listener: Listener | None = None) -> Path:
    """Show recording by recording and round by round; what is finished of an interrupted run is kept."""
    listener = listener or Silent()
    from flowhft.learn.demonstrations import book_files as files
    from flowhft.learn.demonstrations.dataset_files import CARD, shard_name
    from flowhft.policies.file import save_policy
    from flowhft.policies.names import find_policy
    from flowhft.policies.policy import Policy
    from flowhft.recordings.formats.read import read_recording
    from flowhft.stages.recording import identity_of_recording
    from flowhft.stages.teach import first_part, maker_in, require_same_market, rounds_of

    require(len(settings.recordings) > 0, "recordings", "name one or more", "none")
    named = find_policy(settings.maker)
    known = maker_in(named.policy, settings.maker)
    student = find_policy(settings.student) if settings.student else None
    if student is not None:
        require_same_market(student.policy, known[0])
    with listener.stage("read the recordings"):
        recordings = [
            read_recording(path, repair=settings.repair, instrument=settings.instrument)
            for path in settings.recordings
        ]
    parents = {f"recording {number}": identity_of_recording(one) for number, one in enumerate(recordings, 1)}
    for name, policy in (("maker", named), ("student", student)):
        if policy is not None and policy.path is not None:
            parents[name] = identity_of(policy.path)
    led_by = student.remembered if student else ""
    run = run_of(settings, "teach", parents, maker=named.remembered, student=led_by)
    if work := begin(run, listener):
        finished, listed, shards = Finished(work / "shards", JSON), list[dict[str, Any]](), list[Any]()
        total = settings.rounds * len(recordings) + (student is not None)
        with listener.stage("show") as progress:
            for number, recording in enumerate(recordings):
                progress(len(shards) / total, recording.name)
                part = first_part(recording, settings.share, known, settings.replay, own=number == 0)
                decisions, teacher = work / f"decisions-{number:04d}.parquet", work / f"teacher-{number:04d}"
                teacher = teacher.with_suffix(".safetensors")
                table = files.decisions_table(part.tape.time_ns, part.tape.book)
                about = files.write_file(decisions, table, files.DECISION_UNITS)
                save_policy(teacher, Policy(part.maker))
                listed.append({"name": recording.name, "decisions": about, "teacher": files.noted(teacher)})
                offsets = part.maker.arrays["offsets"]
                shown = rounds_of(
                    part,
                    str(number),
                    settings.rounds,
                    settings.steps,
                    settings.seed,
                    student.policy if student is not None and number == 0 else None,
                )
                for name, ask in shown:
                    key = f"shard-{len(shards):04d}"
                    if key not in finished:
                        path = work / shard_name(len(shards))
                        rows = files.rows_of(ask(), offsets)
                        written = files.write_file(path, rows, files.ROW_UNITS)
                        told = {"recording": number, "round": name, "choices": files.choices_in(rows)}
                        finished.keep(key, written | told, [path])
                    shards.append(finished[key])
                    progress(len(shards) / total, f"{recording.name}, {name}")
        card = files.card_of(
            listed,
            shards,
            {
                "flowhft": __version__,
                "maker": named.name,
                "student": student.name if student else "",
                "share": settings.share,
                "steps": settings.steps,
                "seed": settings.seed,
            },
        )
        write_json(work / CARD, card)
        with replacing(work / Path(CARD).with_suffix(".md")) as temporary:
            temporary.write_text(files.page_of(card), encoding="utf-8")
        run.finish(pairs=card["pairs"], recordings=len(listed), shards=len(shards), choices=card["choices"])
    return run.folder
