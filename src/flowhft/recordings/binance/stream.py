"""Reads Binance's streams as they came over the wire: lines of a local time and a JSON message, gzip or not.

    [MARKET_]SYMBOL_DATE.gz, .jsonl, .jsonl.gz and so on; several days are one stream

The lines are sorted into the tables of a session (`binance_lines.py`), which is then read as one of Parquet
files is (`binance_session.py`). Where depth messages are lost and a later snapshot makes the book known
again, what follows is another session.

Tick and lot are those of `grid.py`, unless a TOML file beside the first file, of the same name, says others.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings import columns
from flowhft.recordings.binance.lines import PRICES, QUANTITIES, Lines
from flowhft.recordings.binance.session import session_source
from flowhft.recordings.binance.tables import Tables
from flowhft.recordings.checks.validate import CHAINS
from flowhft.recordings.columns import Column
from flowhft.recordings.described import beside, identified
from flowhft.recordings.files import ROW
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import Finding

FILE = re.compile(r"(?P<stem>[A-Za-z0-9_]+_\d{8})(?=\.)(?:\.(?:jsonl|ndjson|json|txt|log|dat))?(?:\.gz)?")


class _Stream:
    """A stream whose lines have been sorted."""

    def __init__(self, paths: tuple[Path, ...], options: Options) -> None:
        self.paths, self.repair = paths, options.repair
        self.lines = Lines(paths, options.rows, options.repair)
        self.findings = list(self.lines.findings)
        if self.lines.market is None or self.lines.symbol is None or not self.lines.stretches.all:
            raise RecordingError(
                "must hold depth messages (`depthUpdate`); received none. Subscribe to SYMBOL@depth.",
                paths[0],
            )
        self.market = self.lines.market
        result = {
            "venue": f"binance-{self.market}",
            "symbol": self.lines.symbol.upper(),
            "tick_size": lambda: self.lines.prices.unit(paths[0]),
            "lot_size": lambda: self.lines.quantities.unit(paths[0]),
        }
        self.instrument, findings = identified(paths[0], options.instrument, result, paths[0])
        self.findings += findings
        self.traded = "trades" if self.lines.holds("trades") else "aggregated"
        if self.traded == "trades" and self.lines.holds("aggregated"):
            self._note("aggregated trades (aggTrade) are left out: the single ones are there.")
        if not self.lines.holds(self.traded):
            self._note("no trades: nothing can be calibrated or replayed that needs them.", "warning")
        if not self.lines.holds("bbo"):
            self._note("no best prices (bookTicker): they are rebuilt from the depth.")
        for kind, count in self.lines.others.items():
            self._note(f"{count:,} messages of other kinds ({kind}) are left out.")

    def _note(self, what: str, severity: str = "note") -> None:
        self.findings.append(Finding(severity, what))

    def place(self, row: int) -> tuple[Path, int]:
        """Return the file and its row of a line of the stream."""
        number = max(n for n, start in enumerate(self.lines.starts) if start <= row)
        return self.paths[number], row - self.lines.starts[number]

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Name the file and its row in errors that know only the line of the stream."""
        try:
            yield
        except RecordingError as fault:
            if fault.row is None or fault.row < (self.lines.starts[1:] or [2**62])[0]:
                raise
            message = str(fault).partition(f"`{fault.path}`: ")[2]
            raise RecordingError(message, *self.place(fault.row)) from fault

    def sessions(self) -> list[Tables]:
        """Return the tables of each session.

        Raises:
            RecordingError: messages are lost and no snapshot follows, and repair is off; or nothing is left.
        """
        stretches = self.lines.stretches
        result = {number: stretches.opening(number, self.market) for number in range(len(stretches.all))}
        usable = {number: snapshot for number, snapshot in result.items() if snapshot is not None}
        if not usable:
            if not stretches.snapshots:
                raise RecordingError(
                    "must hold a snapshot of the order book (`lastUpdateId`, REST); received none. Record it "
                    "too, or name the files of the days before it as well.",
                    self.paths[0],
                )
            first = stretches.snapshots[0]  # which does not fit: the session says why
            usable = {max(n for n, here in enumerate(stretches.all) if here.row <= first[0]): first}
        used = {row for row, _ in usable.values()}
        spare = sum(row not in used for row, _ in stretches.snapshots)
        if spare:
            self._note(f"{spare:,} further snapshots are left out: the book was known.")
        lost = CHAINS[self.market].must
        for number, here in enumerate(stretches.all):
            path, row = self.place(here.begin)
            gap = f"`{CHAINS[self.market].column}` must {lost}, {here.missed}; received {here.link}"
            if number in usable:
                if here.missed is not None:
                    self._note(f"row {row:,} of `{path.name}`: messages are lost ({gap}). A later snapshot "
                               "begins the book again.", "warning")  # fmt: skip
                continue
            if here.missed is not None and not self.repair and number > min(usable):
                raise RecordingError(
                    f"{gap}: messages are lost, and no snapshot follows. Record the session again, or read "
                    "with `repair` to leave out what follows.",
                    path,
                    row,
                )
            self._note(
                f"{here.messages:,} depth messages from row {row:,} of `{path.name}` on are left out: no "
                "snapshot makes the book known.", "warning",
            )  # fmt: skip
        return [self._tables(number, snapshot) for number, (snapshot, _) in sorted(usable.items())]

    def _tables(self, number: int, snapshot: int) -> Tables:
        stretches = self.lines.stretches
        rows = {
            kind: (stretches.all[number].row, stretches.end(number)) for kind in ("depth", "trades", "bbo")
        }
        rows["snapshot"] = (snapshot, snapshot + 1)
        kinds = {kind: self.traded if kind == "trades" else kind for kind in rows}

        def read(kind: str) -> Iterator[pl.DataFrame]:
            for table in self.lines.pieces(kinds[kind], *rows[kind]):
                yield self._in_units(table)

        path = {kind: self.paths[0] for kind, of in kinds.items() if self.lines.holds(of)}
        return Tables(self.market, self.instrument, path, read)

    def _in_units(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table in whole ticks and lots."""
        sizes = dict.fromkeys(PRICES, self.instrument.tick_size)
        sizes |= dict.fromkeys(QUANTITIES, self.instrument.lot_size)
        here = [name for name in table.columns if name in sizes]
        made = table.with_columns(columns.units(Column(name), sizes[name]).alias(name) for name in here)
        for name in here:
            odd = made[name].is_null().arg_true()
            if len(odd):
                raise RecordingError(
                    f"`{name}` must be a multiple of {sizes[name]:g}, the "
                    f"{'tick' if name in PRICES else 'lot'}; received {table[name][odd[0]]}. "
                    f"Say it in `{beside(self.paths[0]).name}`.",
                    self.paths[0],
                    int(made[ROW][odd[0]]),
                )
        return made


def open_stream(path: Path, options: Options) -> Source:
    """Open what came over Binance's web sockets.

    Args:
        path: the first file; those that go on with it are `options.more`.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    paths = (path, *options.more)
    stream = _Stream(paths, options)
    tables = stream.sessions()
    with stream.placed():
        source = session_source(tables, paths, options.repair)
    source.findings.extend(stream.findings)
    return replace(source, chunks=_chunks(stream, source))


def _chunks(stream: _Stream, source: Source) -> Iterator[Chunk]:
    with stream.placed():
        yield from source.chunks


BINANCE_STREAM = Reader(
    "binance-stream",
    "SYMBOL_DATE.gz or .jsonl, each line the local time in ns and a JSON message",
    "Binance's web socket messages as they came, with snapshots (REST)",
    lambda path: path if FILE.fullmatch(path.name) else None,
    open_stream,
    continues=True,
)
