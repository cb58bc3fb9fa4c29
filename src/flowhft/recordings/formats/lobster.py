"""Reads LOBSTER sessions: order messages and the book after each, aligned row by row.

    SYMBOL_messages.parquet + SYMBOL_book<LEVELS>.parquet                    named columns, times in ns
    SYMBOL_DATE_START_END_message_<LEVELS>.csv + ..._orderbook_<LEVELS>.csv  as the vendor ships them

Prices are USD x 10,000, a lot is one share, times count from midnight in New York. A tick is
0.01 USD, of a share below one dollar 0.0001 USD.

Source: LOBSTER, limit order book reconstruction system, lobsterdata.com; R. Huang and T. Polak (2011).
"""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.checks.rules import Keeper
from flowhft.recordings.checks.validate import (
    HALT,
    MESSAGE_CHECKS,
    MESSAGE_COLUMNS,
    book_checks,
    book_columns,
)
from flowhft.recordings.closed import halts_told
from flowhft.recordings.described import Guess, identified
from flowhft.recordings.files import (
    ROW,
    chunks_of,
    decoding,
    in_step,
    numbers,
    read_columns,
    same_scale,
    text_chunks,
    whole,
    whole_numbers,
)
from flowhft.recordings.levels import EMPTY, SIDES, Levels, Rows, book_events
from flowhft.recordings.orders import Messages, OrderBook
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Chunk, Source, counted_in
from flowhft.recordings.ticks import BUY, DEPTH, SNAPSHOT, TRADE, Closed, Finding

PARQUET = re.compile(r"(?P<prefix>.+)_(?P<part>messages|book)(?P<levels>\d*)\.parquet")
TEXT = re.compile(r"(?P<prefix>.+)_(?P<part>message|orderbook)_(?P<levels>\d+)\.csv")
DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
EXECUTION = 4  # of a visible order
HIDDEN_EXECUTION = 5
AUCTION = 6
SCALE = 10_000  # stored number / price in USD
PENNY, FRACTION = 0.01, 0.0001  # USD: the least step of quotes, from 1 USD on and below (SEC Rule 612)
LOOKED_AT = 1_000  # rows from the beginning that tell which
DUMMY_PRICE = 9_999_999_999  # the vendor's word for the same, negative for bids
TRADES = 1
HALTS = {
    -1: "trading halts",
    0: "quoting resumes",
    TRADES: "trading resumes",
}  # what the price of type 7 says


def _side(table: pl.DataFrame, name: str, levels: int, tick: int) -> tuple[Levels, Levels]:
    """Return prices (ticks, `EMPTY` where there is none) and sizes (lots) of one side, shape (row, level)."""
    price, size = (
        np.ascontiguousarray(
            table.select(f"{name}_{what}_{level}" for level in range(1, levels + 1)).to_numpy()
        )
        for what in ("px", "sz")
    )
    there = price != EMPTY
    return np.where(there, price // tick, EMPTY), np.where(there, size, 0)


def _toward_mid(price: np.ndarray, aggressor: np.ndarray, tick: int) -> np.ndarray:
    """Round prices to ticks so that no trade seems to reach further than it did: buys down, sells up."""
    return np.where(aggressor == BUY, price // tick, -(-price // tick))


def _seconds_to_ns(column: str) -> pl.Expr:
    """Read decimal seconds as whole nanoseconds by their digits: a float would lose the last of them."""
    text = pl.col(column).str.strip_chars()
    valid = text.str.contains(r"^\d{1,6}(\.\d{0,9})?$")
    seconds = text.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    decimals = (
        text.str.extract(r"\.(\d{1,9})$").fill_null("0").str.pad_end(9, "0").cast(pl.Int64, strict=False)
    )
    return pl.when(valid).then(seconds * 1_000_000_000 + decimals)


def _order_messages(table: pl.DataFrame, rows: Rows, tick: int) -> Messages:
    """Return the messages of a table as what they say of single orders."""
    return Messages(
        table["type"].to_numpy(),
        table["order_id"].to_numpy(),
        table["side"].to_numpy(),
        table["price"].to_numpy() // tick,
        table["size"].to_numpy(),
        *rows,
    )


class _Tape:
    """Turns aligned tables of messages and books into events and orders, chunk by chunk."""

    def __init__(self, levels: int, midnight_ns: int, tick: int) -> None:
        self.levels = levels
        self.tick = tick
        self.midnight_ns = midnight_ns
        self.orders = OrderBook()
        self._last: pl.DataFrame | None = None  # the row that the next chunk is compared with

    def chunk(self, table: pl.DataFrame) -> Chunk:
        """Return the events of the next rows: of each its trade, top and changed levels."""
        first = self._last is None
        table = table if self._last is None else pl.concat([self._last, table])
        self._last = table.tail(1)
        time = table["time_ns"].to_numpy() + self.midnight_ns
        rows = Rows(time, time, table[ROW].to_numpy())
        kind = table["type"].to_numpy()
        # The first row's message is already in the first book: a trade of it would come after its effect.
        later = np.arange(len(kind)) > 0
        traded = np.flatnonzero(((kind == EXECUTION) | (kind == HIDDEN_EXECUTION)) & later)
        aggressor = -table["side"].to_numpy()[traded]
        price = _toward_mid(table["price"].to_numpy()[traded], aggressor, self.tick)
        trades = rows.events(traded, TRADE, aggressor, price, table["size"].to_numpy()[traded])
        sides = {side: _side(table, name, self.levels, self.tick) for side, name in SIDES}
        parts, at_row = book_events(rows, sides, first)
        row = np.concatenate([traded, *at_row])
        order = np.argsort(row, kind="stable")
        events = np.concatenate([trades, *parts])[order]

        changes = []
        if first:
            changes.append(self.orders.open(events[events["kind"] == SNAPSHOT]))
        depth = events["kind"] == DEPTH
        message = Messages(*(column[1:] for column in _order_messages(table, rows, self.tick)))
        changes.append(self.orders.follow(message, events[depth], row[order][depth] - 1))
        return Chunk(events, np.concatenate(changes))


def _table(messages: pl.DataFrame, book: pl.DataFrame) -> pl.DataFrame:
    """Return both as one table: a row that is dropped from the book takes its message with it, and back."""
    return messages.hstack(book.drop(ROW))


def _book_of_text(text: pl.DataFrame, path: Path, first: int) -> pl.DataFrame:
    """Return the vendor's orderbook as numbers, -1 for the price of an empty level."""
    levels, rest = divmod(text.width, 4)
    if rest:
        raise RecordingError(
            f"must have four columns a level; received {text.width}. Copy the vendor's orderbook file.", path
        )
    columns = dict(zip(book_columns(levels), text.columns, strict=True))
    book = numbers(text, {name: whole(source) for name, source in columns.items()}, path, first)
    prices = pl.col("^.*_px_.*$")
    return book.with_columns(pl.when(prices.abs() == DUMMY_PRICE).then(EMPTY).otherwise(prices).name.keep())


def _messages_of_text(text: pl.DataFrame, path: Path, first: int) -> pl.DataFrame:
    """Return the vendor's messages as numbers."""
    if text.width < len(MESSAGE_COLUMNS):
        raise RecordingError(
            f"must have the columns {', '.join(MESSAGE_COLUMNS)}; received {text.width} columns. "
            "Copy the vendor's message file.",
            path,
        )
    exact = {
        name: (_seconds_to_ns if name == "time_ns" else whole)(source)
        for name, source in zip(MESSAGE_COLUMNS, text.columns, strict=False)
    }
    return numbers(text, exact, path, first)


def _counted(
    path: Path, rows: int, convert: Callable[[pl.DataFrame, Path, int], pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    first = 0
    for text in text_chunks(path, header=False, rows=rows):
        yield convert(text, path, first)
        first += text.height


def _book_of_parquet(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    first = 0
    for chunk in chunks_of(path, rows):
        levels = max(1, sum(name.startswith("ask_px_") for name in chunk.columns))
        yield whole_numbers(chunk, book_columns(levels), path, first)
        first += chunk.height


def _files(prefix: Path) -> tuple[Path, Path]:
    """Return the message and the book file of a session; the deepest of several, Parquet before text."""
    for pattern, first, second in ((PARQUET, "messages", "book"), (TEXT, "message", "orderbook")):
        results: dict[str, dict[int, Path]] = {first: {}, second: {}}
        for path in prefix.parent.iterdir() if prefix.parent.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match is not None and match["prefix"] == prefix.name and path.is_file():
                results[match["part"]][int(match["levels"] or 0)] = path
        for missing, there in ((first, second), (second, first)):
            if results[there] and not results[missing]:
                name = next(iter(results[there].values())).name
                raise RecordingError(
                    f"must have a `{missing}` file beside `{name}`; there is none. Put both into one folder.",
                    prefix,
                )
        if results[second]:
            levels = max(results[second])
            messages = results[first]
            return messages.get(levels, messages[max(messages)]), results[second][levels]
    raise RecordingError(f"must be the prefix of LOBSTER files, {LOBSTER.files}; received none.", prefix)


def _midnight(prefix: Path, file: Path) -> int:
    """Return the midnight in New York that a session's times count from, ns since 1970."""
    date = DATE.search(prefix.name)
    with decoding(file, "named with a date that exists"):
        if date is None:
            raise ValueError("no date, so that it cannot be joined with other days")
        day = pl.Series([date[0]]).str.to_datetime("%Y-%m-%d", time_unit="ns")
        return int(day.dt.replace_time_zone("America/New_York").dt.epoch("ns")[0])


def open_lobster(prefix: Path, options: Options) -> Source:
    """Open a LOBSTER session.

    The book after the first message opens the recording; from then on every visible level that changes is
    a depth event, and a level that leaves the visible window gets quantity 0, so that the rebuilt book
    always is the visible one. Executions of visible *and* hidden orders are trades: both show how far a
    market order reached. Their aggressor is the opposite of the resting order's side. Hidden executions
    between two ticks are rounded toward the mid. Auctions (type 6) are no market orders and are left out.
    Single orders are kept with the vendor's numbers; what nobody saw of a level is a lump (`orders.py`).

    There is one clock: local and exchange time are equal, and every latency reads 0. Times count from
    midnight in New York, or from 1970 where `options.dated` says that days are joined.

    Args:
        prefix: what the names of the message and the book file begin with.
        options: of reading.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    messages_path, book_path = _files(prefix)
    if messages_path.suffix == ".parquet":
        messages = read_columns(messages_path, MESSAGE_COLUMNS, options.rows)
    else:
        messages = _counted(messages_path, options.rows, _messages_of_text)
    result = {
        "venue": "nasdaq",
        "symbol": prefix.name.split("_")[0],
        "currency": "USD",
        "tick_size": lambda: _tick_of(next(_books(book_path, LOOKED_AT))),
        "lot_size": 1.0,
    }
    instrument, findings = identified(prefix, options.instrument, result, messages_path)
    tick = round(instrument.tick_size * SCALE)
    if tick < 1 or not math.isclose(tick, instrument.tick_size * SCALE):
        raise RecordingError(
            f"`tick_size` must be a multiple of {FRACTION:g} USD, in which LOBSTER's prices are; received "
            f"{instrument.tick_size:g}. Say another.",
            messages_path,
        )
    midnight = _midnight(prefix, messages_path) if options.dated else 0
    pairs = in_step(messages, _books(book_path, options.rows))
    closed: list[Closed] = []
    source = Source(
        instrument,
        files=(messages_path, book_path),
        chunks=_chunks(pairs, messages_path, book_path, midnight, tick, options.repair, findings, closed),
        findings=findings,
        closed=closed,
    )
    return counted_in(source, instrument.tick_size, 1.0)


def _books(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    if path.suffix == ".parquet":
        return _book_of_parquet(path, rows)
    return _counted(path, rows, _book_of_text)


def _tick_of(book: pl.DataFrame) -> Guess:
    """Return the tick by the first books: that of a share below one dollar, if it is one."""
    bids = book["bid_px_1"].filter(book["bid_px_1"] > 0).to_numpy()
    below = len(bids) > 0 and float(np.median(bids)) < SCALE
    return Guess(
        FRACTION if below else PENNY,
        f"the first bids stand {'below' if below else 'from'} 1 USD{'' if below else ' on'}",
    )


def _chunks(
    pairs: Iterator[list[pl.DataFrame]],
    messages_path: Path,
    book_path: Path,
    midnight_ns: int,
    tick: int,
    repair: bool,
    findings: list[Finding],
    closed: list[Closed],
) -> Iterator[Chunk]:
    """Yield the chunks of a session, and say what was found in it, and when the venue halted it."""
    keeper = Keeper(MESSAGE_CHECKS, messages_path, repair)
    facts = _Facts(messages_path, tick)
    tape: _Tape | None = None
    books: Keeper | None = None
    for messages, book in pairs:
        if messages.height != book.height:
            longer, shorter = (messages_path, book_path) if messages.height else (book_path, messages_path)
            rows = facts.rows + max(messages.height, book.height)
            raise RecordingError(
                f"must have a row for each of the {rows:,} rows of `{longer.name}`; received {facts.rows:,}. "
                "One of them is cut short: copy both again.",
                shorter,
            )
        levels = (book.width - 1) // 4
        facts.rows += book.height
        if tape is None or books is None:
            tape = _Tape(levels, midnight_ns, tick)
            books = Keeper(book_checks(levels, tick), book_path, repair)
        table = books.hold(keeper.hold(_table(messages, book)))
        if table.height:
            facts.look(table)
            asks = table["ask_px_1"].filter(table["ask_px_1"] != EMPTY)
            same_scale(table["price"].filter(table["type"] != HALT), messages_path, asks, book_path)
            yield tape.chunk(table)
    if tape is not None and books is not None:
        findings += [*keeper.findings(), *books.findings(), *facts.findings(tape)]
        closed += halts_told((midnight_ns + time, price == TRADES) for time, price in facts.halts)


class _Facts:
    """What a reader of the recording should know, errors apart."""

    def __init__(self, path: Path, tick: int) -> None:
        self.path = path
        self.tick = tick
        self.rows = 0
        self._hidden = self._between = self._visible = self._auctions = 0
        self._halts: list[Finding] = []
        self.halts: list[tuple[int, int]] = []  # ns after midnight, price

    def look(self, table: pl.DataFrame) -> None:
        """Count what is in the next rows."""
        kind = table["type"]
        hidden = table.filter(kind == HIDDEN_EXECUTION)
        self._hidden += hidden.height
        self._between += int((hidden["price"] % self.tick != 0).sum())
        self._visible += int((kind == EXECUTION).sum())
        self._auctions += int((kind == AUCTION).sum())
        for row, time, price in table.filter(kind == HALT).select(ROW, "time_ns", "price").rows():
            what = HALTS.get(price, f"halt message with price {price}")
            message = f"row {row:,} of `{self.path.name}`: {what}, {time / 1e9:.3f} s after midnight."
            self._halts.append(Finding("warning", message))
            if price in (-1, TRADES):
                self.halts.append((time, price))

    def findings(self, tape: _Tape) -> list[Finding]:
        """Return what was seen."""
        others = "; the others concern levels out of sight, or orders that nobody saw"
        others = others if tape.orders.explained < tape.orders.rows else ""
        messages = [
            "one clock only: local time is the exchange's, so latencies read 0 and must be assumed.",
            f"levels that are visible a side: {tape.levels}; one out of sight counts as empty.",
            "the first message is in the first book already and makes no event of its own.",
            f"single orders: after {tape.orders.explained:,} of {tape.orders.rows:,} messages the level that "
            f"they are about holds exactly what its orders say{others}.",
        ]
        if self._hidden:
            messages.append(
                f"{self._hidden:,} of {self._hidden + self._visible:,} executions met hidden orders; "
                f"{self._between:,} of them between two ticks, rounded toward the mid."
            )
        if self._auctions:
            messages.append(f"{self._auctions:,} auction trades are left out: they are no market orders.")
        return [*(Finding("note", one) for one in messages), *self._halts]


def _session_of(path: Path) -> Path | None:
    match = PARQUET.fullmatch(path.name) or TEXT.fullmatch(path.name)
    return None if match is None else path.with_name(match["prefix"])


LOBSTER = Reader(
    "lobster",
    "SYMBOL_messages.parquet with SYMBOL_book<LEVELS>.parquet, or ..._message_<LEVELS>.csv with "
    "..._orderbook_<LEVELS>.csv",
    "LOBSTER order messages and the visible book after each",
    _session_of,
    open_lobster,
)
