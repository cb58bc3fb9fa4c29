"""Reads LOBSTER sessions: order messages and the book after each, aligned row by row.

    SYMBOL_messages.parquet + SYMBOL_book<LEVELS>.parquet                    named columns, times in ns
    SYMBOL_DATE_START_END_message_<LEVELS>.csv + ..._orderbook_<LEVELS>.csv  as the vendor ships them

Prices are USD x 10,000, a tick is 0.01 USD, a lot one share, times count from midnight in New York.

Source: LOBSTER, limit order book reconstruction system, lobsterdata.com; R. Huang and T. Polak (2011).
"""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int
from numba import njit

from flowhft.errors import RecordingError
from flowhft.recordings.files import ROW, decoding, opened, read_columns, same_scale, whole_numbers
from flowhft.recordings.ticks import (
    BUY,
    DEPTH,
    SELL,
    SNAPSHOT,
    TOP,
    TRADE,
    Finding,
    Recording,
    make_events,
)
from flowhft.recordings.validate import (
    HALT,
    MESSAGE_CHECKS,
    MESSAGE_COLUMNS,
    TICK,
    book_checks,
    book_columns,
    hold,
)

EXECUTION = 4  # of a visible order
HIDDEN_EXECUTION = 5
AUCTION = 6
EMPTY = -1  # price of a level that holds nothing
DUMMY_PRICE = 9_999_999_999  # the vendor's word for the same, negative for bids
HALTS = {-1: "trading halts", 0: "quoting resumes", 1: "trading resumes"}  # what the price of type 7 says
SIDES = ((BUY, "bid"), (SELL, "ask"))

Levels = Int[np.ndarray, "row level"]


@njit(cache=True)
def _level_changes(price, size, further, row_out, price_out, size_out):  # type: ignore[no-untyped-def]
    """Walk old and new levels of one side together, best first; write those that differ, return their number.

    `further` is +1 for asks and -1 for bids: the direction away from the mid. A level that is no longer
    listed, gone or out of sight, gets size 0. Outputs of length 0 make this a count.
    """
    count, levels, write = 0, price.shape[1], len(row_out) > 0
    for row in range(1, len(price)):
        old = new = 0
        while True:
            old_there = old < levels and price[row - 1, old] != EMPTY
            new_there = new < levels and price[row, new] != EMPTY
            if not old_there and not new_there:
                break
            if old_there and new_there and price[row - 1, old] == price[row, new]:
                changed = size[row - 1, old] != size[row, new]
                at, holds = price[row, new], size[row, new]
                old += 1
                new += 1
            elif old_there and (not new_there or further * (price[row - 1, old] - price[row, new]) < 0):
                changed, at, holds = True, price[row - 1, old], 0
                old += 1
            else:
                changed, at, holds = True, price[row, new], size[row, new]
                new += 1
            if changed:
                if write:
                    row_out[count], price_out[count], size_out[count] = row, at, holds
                count += 1
    return count


def _side_changes(price: Levels, size: Levels, further: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, price and size of every level of one side that differs from the row before."""
    nothing = np.zeros(0, np.int64)
    count = _level_changes(price, size, further, nothing, nothing, nothing)
    row, at, holds = (np.empty(count, np.int64) for _ in range(3))
    if count:
        _level_changes(price, size, further, row, at, holds)
    return row, at, holds


def _side(table: pl.DataFrame, name: str, levels: int) -> tuple[Levels, Levels]:
    """Return prices (ticks, `EMPTY` where there is none) and sizes (lots) of one side, shape (row, level)."""
    price, size = (
        np.ascontiguousarray(
            table.select(f"{name}_{what}_{level}" for level in range(1, levels + 1)).to_numpy()
        )
        for what in ("px", "sz")
    )
    there = price != EMPTY
    return np.where(there, price // TICK, EMPTY), np.where(there, size, 0)


def _toward_mid(price: np.ndarray, aggressor: np.ndarray) -> np.ndarray:
    """Round prices to ticks so that no trade seems to reach further than it did: buys down, sells up."""
    return np.where(aggressor == BUY, price // TICK, -(-price // TICK))


def _events(table: pl.DataFrame, levels: int) -> np.ndarray:
    """Return the session as events: the first row's book, then each row's trade, top and changed levels."""
    time, message = table["time_ns"].to_numpy(), table[ROW].to_numpy()
    rows, parts = [], []

    def add(
        row: np.ndarray, kind: int, side: np.ndarray | int, price: np.ndarray, quantity: np.ndarray
    ) -> None:
        rows.append(row)
        parts.append(make_events(kind, side, time[row], time[row], price, quantity, message[row]))

    sides = {side: _side(table, name, levels) for side, name in SIDES}
    for side, (price, size) in sides.items():
        there = price[0] != EMPTY
        add(np.zeros(int(there.sum()), np.int64), SNAPSHOT, side, price[0][there], size[0][there])

    kind = table["type"].to_numpy()
    # The first row's message is already in the first book: a trade of it would come after its own effect.
    traded = np.flatnonzero(((kind == EXECUTION) | (kind == HIDDEN_EXECUTION)) & (np.arange(len(kind)) > 0))
    aggressor = -table["side"].to_numpy()[traded]
    price = _toward_mid(table["price"].to_numpy()[traded], aggressor)
    add(traded, TRADE, aggressor, price, table["size"].to_numpy()[traded])

    best = np.stack([values[:, 0] for side in sides.values() for values in side])
    moved = np.flatnonzero(np.concatenate([[True], np.any(best[:, 1:] != best[:, :-1], axis=0)]))
    for side, (price, size) in sides.items():
        add(moved, TOP, side, np.maximum(price[moved, 0], 0), size[moved, 0])

    for side, (price, size) in sides.items():
        row, at, holds = _side_changes(price, size, -side)
        add(row, DEPTH, side, at, holds)
    return np.concatenate(parts)[np.argsort(np.concatenate(rows), kind="stable")]


def _vendor_table(path: Path) -> pl.DataFrame:
    """Return a CSV file without header as text columns."""
    with decoding(path, "LOBSTER's comma-separated text"):
        return pl.read_csv(path, has_header=False, infer_schema=False)


def _numbers(text: pl.DataFrame, exact: dict[str, pl.Expr], path: Path) -> pl.DataFrame:
    """Turn text into int64 columns by the expressions given, one a column.

    Raises:
        RecordingError: a text is no such number.
    """
    numbers = text.select(expression.alias(name) for name, expression in exact.items())
    for name, source in zip(numbers.columns, text.columns, strict=False):
        odd = (numbers[name].is_null() & text[source].is_not_null()).arg_true()
        if len(odd):
            row = int(odd[0])
            raise RecordingError(
                f"`{name}` must be a number; received {text[source][row]!r}. Copy the file again.",
                path,
                row,
            )
    return whole_numbers(numbers, numbers.columns, path)


def _whole(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().cast(pl.Int64, strict=False)


def _seconds_to_ns(column: str) -> pl.Expr:
    """Read decimal seconds as whole nanoseconds by their digits: a float would lose the last of them."""
    text = pl.col(column).str.strip_chars()
    valid = text.str.contains(r"^\d{1,6}(\.\d{0,9})?$")
    whole = text.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    decimals = (
        text.str.extract(r"\.(\d{1,9})$").fill_null("0").str.pad_end(9, "0").cast(pl.Int64, strict=False)
    )
    return pl.when(valid).then(whole * 1_000_000_000 + decimals)


def _read_csv(messages_path: Path, book_path: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Return messages, book and its number of levels from the vendor's two CSV files."""
    text = _vendor_table(messages_path)
    if text.width < len(MESSAGE_COLUMNS):
        raise RecordingError(
            f"must have the columns {', '.join(MESSAGE_COLUMNS)}; received {text.width} columns. "
            "Copy the vendor's message file.",
            messages_path,
        )
    exact = {
        name: (_seconds_to_ns if name == "time_ns" else _whole)(source)
        for name, source in zip(MESSAGE_COLUMNS, text.columns, strict=False)
    }
    messages = _numbers(text, exact, messages_path)
    text = _vendor_table(book_path)
    levels, rest = divmod(text.width, 4)
    if rest:
        raise RecordingError(
            f"must have four columns a level; received {text.width}. Copy the vendor's orderbook file.",
            book_path,
        )
    columns = dict(zip(book_columns(levels), text.columns, strict=True))
    book = _numbers(text, {name: _whole(source) for name, source in columns.items()}, book_path)
    prices = pl.col("^.*_px_.*$")
    return (
        messages,
        book.with_columns(pl.when(prices.abs() == DUMMY_PRICE).then(EMPTY).otherwise(prices).name.keep()),
        levels,
    )


def _read_parquet(messages_path: Path, book_path: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Return messages, book and its number of levels from the two Parquet files."""
    messages = read_columns(messages_path, MESSAGE_COLUMNS)
    book = opened(book_path)
    levels = max(1, sum(name.startswith("ask_px_") for name in book.columns))
    return messages, whole_numbers(book, book_columns(levels), book_path), levels


def read_lobster(messages_path: Path, book_path: Path, symbol: str, *, repair: bool = False) -> Recording:
    """Read a LOBSTER session.

    The book after the first message opens the recording; from then on every visible level that changes is
    a depth event, and a level that leaves the visible window gets quantity 0, so that the rebuilt book
    always is the visible one. Executions of visible *and* hidden orders are trades: both show how far a
    market order reached. Their aggressor is the opposite of the resting order's side. Hidden executions
    between two ticks are rounded toward the mid. Auctions (type 6) are no market orders and are left out.

    There is one clock: local and exchange time are equal, and every latency reads 0.

    Args:
        messages_path: `SYMBOL_messages.parquet` or `..._message_<LEVELS>.csv`.
        book_path: `SYMBOL_book<LEVELS>.parquet` or `..._orderbook_<LEVELS>.csv`.
        symbol: what was traded.
        repair: mend what can be mended, and say so in the findings.

    Raises:
        RecordingError: a file is missing, damaged, or breaks a rule.
    """
    read = _read_csv if messages_path.suffix == ".csv" else _read_parquet
    messages, book, levels = read(messages_path, book_path)
    if messages.height != book.height:
        raise RecordingError(
            f"must have a row for each of the {messages.height:,} rows of `{messages_path.name}`; received "
            f"{book.height:,}. One of them is cut short: copy both again.",
            book_path,
        )
    # Held as one table: a row that is dropped from the book takes its message with it, and back.
    table = messages.hstack(book.drop(ROW))
    table, findings = hold(table, MESSAGE_CHECKS, messages_path, repair)
    table, more = hold(table, book_checks(levels), book_path, repair)
    asks = table["ask_px_1"].filter(table["ask_px_1"] != EMPTY)
    same_scale(table["price"].filter(table["type"] != HALT), messages_path, asks, book_path)
    return Recording(
        venue="nasdaq",
        symbol=symbol,
        currency="USD",
        tick_size=0.01,
        lot_size=1.0,
        events=_events(table, levels),
        files=(messages_path, book_path),
        findings=(*findings, *more, *_facts(table, levels, messages_path)),
    )


def _facts(table: pl.DataFrame, levels: int, path: Path) -> list[Finding]:
    """Return what a reader of the recording should know, errors apart."""
    kind = table["type"]
    facts = [
        Finding(
            "note", "one clock only: local time is the exchange's, so latencies read 0 and must be assumed."
        ),
        Finding("note", f"{levels} levels a side are visible; a level out of sight counts as empty."),
        Finding("note", "the first message is in the first book already and makes no event of its own."),
    ]
    hidden = table.filter(kind == HIDDEN_EXECUTION)
    if hidden.height:
        between = int((hidden["price"] % TICK != 0).sum())
        visible = int((kind == EXECUTION).sum())
        facts.append(
            Finding(
                "note",
                f"{hidden.height:,} of {hidden.height + visible:,} executions met hidden orders; {between:,} "
                "of them between two ticks, rounded toward the mid.",
            )
        )
    auctions = int((kind == AUCTION).sum())
    if auctions:
        facts.append(Finding("note", f"{auctions:,} auction trades are left out: they are no market orders."))
    for row, time, price in table.filter(kind == HALT).select(ROW, "time_ns", "price").rows():
        what = HALTS.get(price, f"halt message with price {price}")
        facts.append(
            Finding("warning", f"row {row:,} of `{path.name}`: {what}, {time / 1e9:.3f} s after midnight.")
        )
    return facts
