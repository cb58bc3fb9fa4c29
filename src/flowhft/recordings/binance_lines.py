"""The lines that Binance sends over its web sockets, as the tables of a session, held on disk beyond a chunk.

    1723161255123456789 {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":...,"b":[...],"a":[...]}}
    1723161255223456789 {"lastUpdateId":5012345,"E":...,"T":...,"bids":[["61837.6","3.788"],...],"asks":[...]}

A line is the local time in ns, a blank, and the message: of a combined stream, of a single one (without
`stream` and `data`), or the answer to a request for the order book (REST).

Source: Binance API documentation, "Diff. Book Depth Streams", "Trade Streams", "Individual Symbol Book
Ticker Streams", "Order Book", of spot, USDⓈ-M and COIN-M; lines as hftbacktest's `collector` writes them.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.binance_chain import Held, Stretches
from flowhft.recordings.binance_tables import INSURANCE, LIQUIDATED, MARKET_ORDER, OTHER
from flowhft.recordings.files import ROW, blocks, decimals_of, decoding, require_utf8
from flowhft.recordings.ticks import Finding

BATCH = 100_000  # levels and lines that are held as Python objects before they become tables
PRICES = {"price", "bid_px", "ask_px"}
QUANTITIES = {"qty", "bid_qty", "ask_qty"}
TRADE_KINDS = {"MARKET": MARKET_ORDER, "INSURANCE_FUND": INSURANCE, "ADL": LIQUIDATED}
EVENTS = {"depthUpdate": "depth", "trade": "trades", "aggTrade": "aggregated", "bookTicker": "bbo"}
SHOWN = 80  # characters of a line that a message quotes
WRONG = (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, AttributeError,
         pl.exceptions.PolarsError)  # fmt: skip


def _whole(values: list[Any]) -> pl.Series:
    """Return whole numbers; raises where one is anything else."""
    if any(type(value) is not int for value in values):
        raise TypeError("whole numbers")
    return pl.Series(values, dtype=pl.Int64, strict=True)


def _texts(values: list[Any]) -> pl.Series:
    """Return decimal numbers in words, as Binance sends them; raises where one is anything else."""
    texts = pl.Series(values, dtype=pl.String, strict=True)
    if not texts.cast(pl.Float64, strict=True).is_finite().all():
        raise ValueError("decimal numbers in quotation marks")
    return texts


def _levels(held: Held, sides: tuple[str, str], ids: dict[str, list[Any]]) -> pl.DataFrame:
    """Return levels, one a row: bids, then asks of each message, with what the message says of itself."""
    both = [message[side] for _, _, message in held for side in sides]
    levels = [level for side in both for level in side]
    counts = np.array([len(side) for side in both], np.int64)
    of = np.repeat(np.arange(len(held)), counts.reshape(-1, 2).sum(axis=1))
    about = {name: _whole(values) for name, values in ids.items()}
    return pl.DataFrame(
        {
            **{name: values.gather(of) for name, values in about.items()},
            "side": np.repeat(np.tile([1, -1], len(held)), counts),
            "price": _texts([level[0] for level in levels]),
            "qty": _texts([level[1] for level in levels]),
        }
    )


def _times(held: Held) -> dict[str, list[Any]]:
    return {
        ROW: [row for row, _, _ in held],
        "local_ns": [local for _, local, _ in held],
        "exch_ms": [message.get("E", 0) for _, _, message in held],
        "txn_ms": [message.get("T", 0) for _, _, message in held],
    }


def _depth(held: Held) -> pl.DataFrame:
    ids = {
        **_times(held),
        "first_id": [message["U"] for _, _, message in held],
        "final_id": [message["u"] for _, _, message in held],
        "prev_id": [message.get("pu", 0) for _, _, message in held],
    }
    return _levels(held, ("b", "a"), ids)


def _snapshot(held: Held) -> pl.DataFrame:
    times = _times(held)
    ids = {
        ROW: times[ROW],
        "local_ns": times["local_ns"],
        "last_update_id": [message["lastUpdateId"] for _, _, message in held],
    }
    return _levels(held, ("bids", "asks"), ids)


def _trades(held: Held, number: str = "t") -> pl.DataFrame:
    messages = [message for _, _, message in held]
    maker = pl.Series([message["m"] for message in messages], dtype=pl.Boolean, strict=True)
    if maker.has_nulls():
        raise TypeError("`m` true or false")
    return pl.DataFrame(
        {
            **{name: _whole(values) for name, values in _times(held).items()},
            "trade_id": _whole([message[number] for message in messages]),
            "price": _texts([message["p"] for message in messages]),
            "qty": _texts([message["q"] for message in messages]),
            "aggressor": 1 - 2 * maker.cast(pl.Int64),  # the buyer is the maker: a seller met it
            "kind": [TRADE_KINDS.get(message.get("X", "MARKET"), OTHER) for message in messages],
        }
    )


def _aggregated(held: Held) -> pl.DataFrame:
    return _trades(held, "a")


def _bbo(held: Held) -> pl.DataFrame:
    messages = [message for _, _, message in held]
    return pl.DataFrame(
        {
            **{name: _whole(values) for name, values in _times(held).items()},
            "update_id": _whole([message["u"] for message in messages]),
            **{
                name: _texts([message[key] for message in messages])
                for name, key in (("bid_px", "b"), ("bid_qty", "B"), ("ask_px", "a"), ("ask_qty", "A"))
            },
        }
    )


TABLES: dict[str, Callable[[Held], pl.DataFrame]] = {
    "snapshot": _snapshot,
    "depth": _depth,
    "trades": _trades,
    "aggregated": _aggregated,
    "bbo": _bbo,
}


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
        decimals: of the most exact price and quantity.
        stretches: of depth without a gap.
        others: messages of other kinds -> how many.
    """

    def __init__(self, paths: Sequence[Path], rows: int, repair: bool) -> None:
        self.starts: list[int] = []
        self.findings: list[Finding] = []
        self.market: str | None = None
        self.symbol: str | None = None
        self.decimals = {"price": 0, "quantity": 0}
        self.stretches = Stretches()
        self.others: dict[str, int] = {}
        self._rows, self._repair = rows, repair
        self._held: dict[str, Held] = {kind: [] for kind in TABLES}
        self._frames: dict[str, list[pl.DataFrame]] = {kind: [] for kind in TABLES}
        self._pieces: dict[str, list[Piece]] = {kind: [] for kind in TABLES}
        self._folder: Path | None = None
        self._row = self._size = self._wrong = 0
        for path in paths:
            self._path = path
            self._read(path)
        self._flush()
        for kind in TABLES:
            self._seal(kind)

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
            content = blocks(path, 1 << 22)
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
                self._take(block.decode().removesuffix("\n").split("\n"))
        self._flush()
        if self._row == begin:
            raise RecordingError("must hold lines; received none. Record the session again.", path)
        if self._wrong:
            self._warn(f"dropped {self._wrong:,} lines that could not be read.")

    def _warn(self, what: str) -> None:
        self.findings.append(Finding("warning", f"`{self._path.name}`: {what}"))

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            row = self._row
            self._row += 1
            stamp, _, text = line.partition(" ")
            try:
                message = json.loads(text)
                local = int(stamp)
                data = message.get("data", message)
                kind = self._kind(message, data)
            except WRONG as cause:
                if line.strip():
                    self._fault(row, line, cause)
                continue
            if kind is not None:
                self._held[kind].append((row, local, data))
                self._size += 1
                if kind == "depth":
                    self._size += len(data.get("b", ())) + len(data.get("a", ()))
                if self._size >= min(BATCH, self._rows):
                    self._flush()

    def _kind(self, message: dict[str, Any], data: dict[str, Any]) -> str | None:
        """Return the table that a message belongs to; None for none."""
        event = data.get("e")
        kind = EVENTS.get(event)  # type: ignore[arg-type]
        if event is None:
            if "lastUpdateId" in message:
                return "snapshot"
            if "B" in data and "u" in data:  # best prices of the spot market have no name
                kind, event = "bbo", "bookTicker"
        partial = kind == "depth" and "@depth" in (stream := message.get("stream", "")) and (
            stream.partition("@depth")[2][:1].isdigit()  # the best 5, 10 or 20 levels: no changes
        )  # fmt: skip
        if kind is None or partial:
            name = "partial depth" if partial else str(event or "answer to a request")
            self.others[name] = self.others.get(name, 0) + 1
            return None
        if self.symbol is None:
            self.symbol = str(data["s"])
        elif data["s"] != self.symbol:
            raise ValueError(f"`s` must be {self.symbol} as in the lines before")
        if kind == "depth":
            market = "coinm" if "ps" in data else "usdm" if "pu" in data else "spot"
            self.market = self.market or market
            if market != self.market:
                raise ValueError(f"a message of the market {market}, after some of {self.market}")
        return kind

    def _fault(self, row: int, line: str, cause: Exception) -> None:
        """Raise what is wrong with a line, or count it."""
        if self._repair:
            self._wrong += 1
            return
        why = f"no {cause} there" if isinstance(cause, KeyError) else str(cause).split("\n")[0]
        raise RecordingError(
            "must be the local time in ns, a blank and a message of Binance; received "
            f"{line[:SHOWN]!r} ({why}). Copy the file again, or read with `repair` to drop such lines.",
            self._path,
            row - self.starts[-1],
        ) from cause

    def _flush(self) -> None:
        """Make tables of what is held."""
        self._size = 0
        for kind, held in self._held.items():
            if not held:
                continue
            self._held[kind] = []
            try:
                table = TABLES[kind](held)
            except WRONG:
                held = [one for one in held if self._sound(kind, one)]
                if not held:
                    continue
                table = TABLES[kind](held)
            if kind == "depth" and self.stretches.follow(self.market or "", held):
                table = TABLES[kind](held)
            elif kind == "snapshot":
                self.stretches.snapshots += [(row, message["lastUpdateId"]) for row, _, message in held]
            for names, what in ((PRICES, "price"), (QUANTITIES, "quantity")):
                for name in names & set(table.columns):
                    self.decimals[what] = max(self.decimals[what], decimals_of(table[name].unique()))
            if table.height:
                self._frames[kind].append(table)
            if sum(frame.height for frame in self._frames[kind]) >= self._rows:
                self._seal(kind)

    def _sound(self, kind: str, one: tuple[int, int, dict[str, Any]]) -> bool:
        """Return whether a message can be read."""
        try:
            TABLES[kind]([one])
        except WRONG as cause:
            self._fault(one[0], f"{one[1]} {one[2]}", cause)
            return False
        return True

    def _seal(self, kind: str) -> None:
        """Close a chunk; the first of a table stays in memory."""
        if not self._frames[kind]:
            return
        table = pl.concat(self._frames[kind])
        self._frames[kind] = []
        first, last = int(table[ROW][0]), int(table[ROW][-1])
        if self._pieces[kind]:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="flowhft-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / f"{kind}-{len(self._pieces[kind])}.parquet"
            table.write_parquet(path, compression="lz4")
            self._pieces[kind].append(Piece(path, first, last))
        else:
            self._pieces[kind].append(Piece(table, first, last))
