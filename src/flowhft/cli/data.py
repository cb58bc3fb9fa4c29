"""`flowhft data`: look at recordings strictly, and convert them, one chunk in memory at a time."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.recordings.described import InstrumentSettings

if TYPE_CHECKING:
    from flowhft.recordings.source import Source

Format = Literal[
    "binance", "binance-stream", "lobster", "bitstamp", "tardis", "declared", "hftbacktest", "ticks"
]


@dataclass(frozen=True, kw_only=True)
class DataCheck(Action):
    """Read a recording, and say what is in it and what is wrong with it.

    Ends with exit code 3 and the file and row of the first fault where there is one.
    """

    path: Positional[Path]
    """A session: the prefix of its files, any one of them, or a folder of sessions of one instrument."""
    more: tuple[Path, ...] = ()
    """Further sessions of the same instrument, in the order of time, with commas."""
    repair: bool = False
    """Sort or drop what is at fault instead, and say how many rows."""
    format: Format | None = None
    """How the files are written; recognised by their names where it is not given."""
    instrument: InstrumentSettings = InstrumentSettings()

    def run(self, terminal: Terminal) -> Result:
        """Read it, rebuild the best prices, count the market orders."""
        from flowhft.recordings.checks.summary import Summary
        from flowhft.recordings.formats.read import open_recording
        from flowhft.report.numbers import duration, significant

        with terminal.stage(f"reading {self.path}"):
            paths = [self.path, *self.more]
            source = open_recording(paths, repair=self.repair, format=self.format, instrument=self.instrument)
            summary = Summary()
            for chunk in source.chunks:
                summary.feed(chunk.events, chunk.orders)
        closed = sum(one.end_ns - one.start_ns for one in source.closed) * 1e-9
        between = sum(max(start - end, 0) for (_, end), (start, _) in pairwise(source.sessions)) * 1e-9
        facts = _about(source) | summary.facts(closed + between)
        findings = [{"severity": finding.severity, "message": finding.message} for finding in source.findings]
        name = f"{facts['venue']} {facts['symbol']}"
        rows = [
            ("duration", duration(facts["seconds"])),
            ("tick", f"{facts['tick_size']:g} {facts['currency']}"),
            ("lot", f"{facts['lot_size']:g}"),
            *((name, f"{number:,}") for name, number in facts["events"].items()),
            *([("changes of orders", f"{facts['order_changes']:,}")] if facts["order_changes"] else []),
            (
                "market orders",
                f"{facts['market_orders']:,}, {significant(facts['market_orders_per_second'])} a second",
            ),
            ("market spread", f"{significant(facts['market_spread_mean'])} ticks in the mean of time"),
            ("clock offset", f"{facts['clock_offset_ms']:g} ms added to the local clock"),
        ]
        if source.closed:
            rows.insert(1, ("closed", f"{duration(closed)}, in {len(source.closed):,} parts"))
        if len(source.sessions) > 1:
            rows.insert(0, ("sessions", f"{len(source.sessions)}"))
        return Result(
            facts | {"findings": findings},
            [
                Table(("what", "value"), rows, title=f"{name}: {summary.total:,} events"),
                *(f"{finding['severity']}: {finding['message']}" for finding in findings),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class DataConvert(Action):
    """Write a recording as one file: in the tick schema, or as events of hftbacktest.

    The same checks are made as by `flowhft data check`. Parquet is written chunk by chunk; an .npz file is
    made in memory.
    """

    path: Positional[Path]
    """A session: the prefix of its files, any one of them, or a folder of sessions of one instrument."""
    to: Literal["parquet", "npz"]
    """What to write: parquet (the tick schema, NAME.ticks.parquet) or npz (hftbacktest)."""
    out: Path
    """The file to write."""
    repair: bool = False
    """Sort or drop what is at fault instead, and say how many rows."""
    format: Format | None = None
    """How the files are written; recognised by their names where it is not given."""
    instrument: InstrumentSettings = InstrumentSettings()

    def run(self, terminal: Terminal) -> Result:
        """Read it, check it, and write it."""
        from flowhft.recordings.formats.npz import write_npz
        from flowhft.recordings.formats.read import open_recording
        from flowhft.recordings.formats.tick_files import SUFFIX, write_ticks
        from flowhft.recordings.source import assembled

        ending = SUFFIX if self.to == "parquet" else ".npz"
        require(
            self.out.name.endswith(ending), "out", f"end with {ending}", self.out, "It is known by its name."
        )
        if self.out.exists():
            raise UsageError(f"`out` must be a new file; received {self.out}. Remove it, or choose another.")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with terminal.stage(f"converting {self.path}"):
            source = open_recording(
                self.path, repair=self.repair, format=self.format, instrument=self.instrument
            )
            if self.to == "parquet":
                rows = write_ticks(source, self.out)
            else:
                rows = write_npz(assembled(source), self.out)
        findings = [{"severity": finding.severity, "message": finding.message} for finding in source.findings]
        facts = _about(source) | {"rows": rows, "out": str(self.out), "findings": findings}
        return Result(
            facts,
            [
                f"{rows:,} rows in {self.out}",
                *(f"{finding['severity']}: {finding['message']}" for finding in findings),
            ],
        )


def _about(source: "Source") -> dict[str, Any]:
    """Return what a recording is of, once its chunks are through."""
    from flowhft.recordings.closed import closed_facts

    return {
        **source.instrument.facts,
        "clock_offset_ms": source.clock_offset_ns * 1e-6,
        "files": [str(file) for file in source.files],
        "sessions": [list(session) for session in source.sessions],
        "closed": closed_facts(source.closed),
    }
