"""What Binance sends over its web sockets, as the tables of a session, held on disk beyond a chunk."""

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.binance.chain import Stretches
from flowhft.recordings.binance.messages import EVENTS, Messages, read_messages, with_levels
from flowhft.recordings.files import ROW, blocks, decoding, require_utf8
from flowhft.recordings.grid import Grid
from flowhft.recordings.ticks import Finding
from flowhft.runs.files import to_disk

BLOCK = 1 << 22  # bytes of text that are read at once
KINDS = ("snapshot", "depth", "trades", "aggregated", "bbo")
PRICES = {"price", "bid_px", "ask_px"}
QUANTITIES = {"qty", "bid_qty", "ask_qty"}
SHOWN = 80  # characters of a line that a message quotes
UNREADABLE = (ValueError, AttributeError, TypeError, RecursionError)
WRONG = (ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def symbol_in(line: str) -> str | None:
    """Return the symbol that a line is about; None where it says none, or is of a kind that is left out.

    Raises:
        ValueError: it is no time and object of JSON.
        AttributeError: likewise.
        RecursionError: likewise.
    """
    stamp, _, text = line.strip().partition(" ")
    int(stamp)
    message = json.loads(text)
    message = message.get("data", message)
    return message.get("s") if message.get("e") in EVENTS else None


class Piece(NamedTuple):
    """A chunk of a table, in memory or on disk, and the rows that it comes from."""

    table: pl.DataFrame | Path
    first: int
    last: int


class Lines:
    """The tables of a stream of lines. Decimal numbers stay text until their unit is known.

    What one chunk holds stays in memory, the rest goes to a folder that vanishes with this object.

    Args:
        paths: the files, in the order of time; their lines are counted through.
        rows: of a table that make a chunk.
        repair: leave out lines that cannot be read, instead of raising.

    Attributes:
        starts: number of the first line of each file.
        findings: what was found.
        market: spot, usdm or coinm, by the form of the depth messages; None where there are none.
        symbol: what all messages are about.
        prices: that came first, and what they are multiples of.
        quantities: likewise.
        stretches: of depth without a gap.
        others: messages of other kinds -> how many.
    """

    def __init__(self, paths: Sequence[Path], rows: int, repair: bool) -> None:
        self.starts: list[int] = []
        self.findings: list[Finding] = []
        self.market: str | None = None
        self.symbol: str | None = None
        self.prices, self.quantities = Grid("price"), Grid("quantity")
        self.stretches = Stretches()
        self.others: dict[str, int] = {}
        self._rows, self._repair = rows, repair
        self._frames: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
        self._pieces: dict[str, list[Piece]] = {kind: [] for kind in KINDS}
        self._folder: Path | None = None
        self._row = self._wrong = 0
        for path in paths:
            self._path = path
            self._read(path)
        for kind in KINDS:
            self._seal(kind, whole=False)

    def pieces(self, kind: str, first: int, end: int) -> Iterator[pl.DataFrame]:
        """Yield the rows `first` to `end` (left out) of a table, in chunks."""
        for piece in self._pieces[kind]:
            if piece.last >= first and piece.first < end:
                table = pl.read_parquet(piece.table) if isinstance(piece.table, Path) else piece.table
                if first <= piece.first and piece.last < end:
                    yield table
                else:
                    yield table.filter((pl.col(ROW) >= first) & (pl.col(ROW) < end))

    def holds(self, kind: str) -> bool:
        """Return whether a table has any row."""
        return bool(self._pieces[kind])

    def _read(self, path: Path) -> None:
        begin, self._wrong = self._row, 0
        self.starts.append(begin)
        with decoding(path, "lines of text"):
            content = blocks(path, BLOCK)
            while True:
                try:
                    block = next(content, None)
                except EOFError:
                    if not self._repair:
                        raise
                    self._warn(f"ended at row {self._row - begin:,}: the compressed file is cut short.")
                    break
                if block is None:
                    break
                require_utf8(block, self._row - begin, path)
                lines = pl.Series("line", block.decode().removesuffix("\n").split("\n"), dtype=pl.String)
                numbered = pl.DataFrame(
                    {ROW: pl.int_range(len(lines), eager=True) + self._row, "line": lines}
                )
                self._row += len(lines)
                self._take(numbered.filter(lines.str.strip_chars() != ""))
        if self._row == begin:
            raise RecordingError("must hold lines; received none. Record the session again.", path)
        if self._wrong:
            self._warn(f"dropped {self._wrong:,} lines that could not be read.")

    def _warn(self, what: str) -> None:
        self.findings.append(Finding("warning", f"`{self._path.name}`: {what}"))

    def _take(self, lines: pl.DataFrame) -> None:
        """Read lines; where one of them cannot be, by halves, until it is found."""
        if lines.height == 0:
            return
        try:
            messages = read_messages(lines, self.symbol, self.market)
        except WRONG as cause:
            if lines.height == 1:
                self._fault(lines[ROW][0], lines["line"][0], cause)
                return
            if self._repair and (kept := self._readable(lines)).height < lines.height:
                self._take(kept)
                return
            half = lines.height // 2
            self._take(lines.head(half))
            self._take(lines.slice(half))
            return
        self._hold(messages)

    def _readable(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Return the lines that may be read; to find all that is wrong by halves would take too long."""
        symbol, kept = self.symbol, []
        for line in lines["line"]:
            try:
                about = symbol_in(line)
            except UNREADABLE:
                kept.append(False)
                continue
            symbol = symbol or about
            kept.append(about in (None, symbol))
        self._wrong += len(kept) - sum(kept)
        return lines.filter(kept)

    def _fault(self, row: int, line: str, cause: BaseException) -> None:
        """Raise what is wrong with a line, or count it."""
        if self._repair:
            self._wrong += 1
            return
        why = str(cause).split("\n")[0][: 2 * SHOWN]
        try:
            json.loads(line.partition(" ")[2])
        except UNREADABLE as unread:  # says where it breaks off
            why = str(unread)
        raise RecordingError(
            "must be the local time in ns, a blank and a message of Binance; received "
            f"{line[:SHOWN]!r} ({why}). Copy the file again, or read with `repair` to drop such lines.",
            self._path,
            row - self.starts[-1],
        ) from cause

    def _hold(self, messages: Messages) -> None:
        """Take over what lines say."""
        self.symbol, self.market = messages.symbol, messages.market
        for name, count in messages.others.items():
            self.others[name] = self.others.get(name, 0) + count
        tables = dict(messages.tables)
        if "snapshot" in tables:
            numbers = tables["snapshot"].select(ROW, "last_update_id").unique(maintain_order=True)
            self.stretches.snapshots += numbers.rows()
        if messages.depth.height:
            linked = self.stretches.follow(messages.market or "", messages.depth, messages.levels["of"])
            tables["depth"] = with_levels(linked, messages.levels)
        for kind, table in tables.items():
            for names, grid in ((PRICES, self.prices), (QUANTITIES, self.quantities)):
                for name in sorted(names & set(table.columns)):
                    grid.feed(table[name], of_book=kind not in ("trades", "aggregated"))
            if table.height:
                self._frames[kind].append(table)
            if sum(frame.height for frame in self._frames[kind]) >= self._rows:
                self._seal(kind)

    def _seal(self, kind: str, whole: bool = True) -> None:
        """Close chunks, only whole ones or the rest too; the first of a table stays in memory."""
        if not self._frames[kind]:
            return
        table = pl.concat(self._frames[kind])
        end = table.height // self._rows * self._rows if whole else table.height
        self._frames[kind] = [table.slice(end)] if end < table.height else []
        for begin in range(0, end, self._rows):
            self._keep(kind, table.slice(begin, min(self._rows, end - begin)))

    def _keep(self, kind: str, table: pl.DataFrame) -> None:
        first, last = int(table[ROW][0]), int(table[ROW][-1])
        held: pl.DataFrame | Path = table
        if self._pieces[kind]:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="flowhft-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            held = self._folder / f"{kind}-{len(self._pieces[kind])}.parquet"
            with to_disk(held):
                table.write_parquet(held, compression="lz4")
        self._pieces[kind].append(Piece(held, first, last))
