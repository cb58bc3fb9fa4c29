"""What the files of a recording must keep, as tables of checks, and the function that holds files to them.

By default a broken rule is an error with its file, row and value. With `repair` each check's own remedy
is applied instead, and a finding says how many rows it touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flowhft.errors import RecordingError
from flowhft.recordings.files import ROW
from flowhft.recordings.ticks import Finding

# What `repair` does with the rows that break a rule, and what the error tells to do by hand.
REMEDIES = {
    "drop": "Remove the row, or read with `repair` to drop all such rows.",
    "sort": "Sort the file by this column, or read with `repair` to sort it.",
    "cut": "Record the session again, or read with `repair` to end it before this row.",
    "accept": "Fetch what is missing, or read with `repair` to go on without it.",
    "none": "No repair can guess this: convert or record the file again.",
}
REPAIRED = {
    "drop": "dropped {count:,} rows (the first is row {row:,})",
    "sort": "sorted by `{column}`: {count:,} rows went back (the first is row {row:,})",
    "cut": "ended before row {row:,}",
    "accept": "kept {count:,} rows that break a rule (the first is row {row:,})",
}

YEAR_2000_NS = 946_684_800 * 10**9
YEAR_2100_NS = 4_102_444_800 * 10**9
YEAR_2000_MS, YEAR_2100_MS = YEAR_2000_NS // 10**6, YEAR_2100_NS // 10**6
DAY_NS = 86_400 * 10**9
HOUR_NS = 3_600 * 10**9
LARGEST = 2**53  # of a price or quantity: whole numbers up to here survive float64


class Check(NamedTuple):
    """A rule that every row of a file must keep.

    Attributes:
        column: what the message names.
        must: the rule, as a sentence that follows "must".
        broken: true in the rows that break it.
        remedy: what `repair` does, a key of `REMEDIES`.
        before: whether the message also shows the value of the row before.
    """

    column: str
    must: str
    broken: pl.Expr
    remedy: str
    before: bool = False


def hold(
    table: pl.DataFrame, checks: Sequence[Check], path: Path, repair: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """Hold a table to its checks, in their order.

    Args:
        table: with the column `ROW`.
        checks: each sees what the ones before it left, so that a later one may rely on an earlier one.
        path: the file, for messages.
        repair: apply remedies instead of raising.

    Returns:
        The table, repaired where needed, and a warning a repair.

    Raises:
        RecordingError: a rule is broken and `repair` is off or has no remedy.
    """
    findings = []
    for check in checks:
        broken = table.select(check.broken.fill_null(False).alias("broken"))["broken"]
        count = int(broken.sum())
        if count == 0:
            continue
        position = int(broken.arg_true()[0])
        row = int(table[ROW][position])
        if not repair or check.remedy == "none":
            value = f"{table[check.column][position]}"
            if check.before and position > 0:
                value += f" after {table[check.column][position - 1]}"
            raise RecordingError(
                f"`{check.column}` must {check.must}; received {value}. {REMEDIES[check.remedy]}", path, row
            )
        if check.remedy == "drop":
            table = table.filter(~broken)
        elif check.remedy == "sort":
            table = table.sort(check.column, maintain_order=True)
        elif check.remedy == "cut":
            table = table.head(position)
        what = REPAIRED[check.remedy].format(count=count, row=row, column=check.column)
        findings.append(Finding("warning", f"`{path.name}`: {what}; `{check.column}` must {check.must}."))
        if table.height == 0:
            raise RecordingError("repair must leave rows; received none. Record the session again.", path)
    return table, findings


# Broken rules that several files share.


def _null(*columns: str) -> list[Check]:
    return [Check(name, "not be null", pl.col(name).is_null(), "drop") for name in columns]


def _outside(column: str, low: int, high: int) -> pl.Expr:
    return ~pl.col(column).is_between(low, high)


def _goes_back(column: str) -> pl.Expr:
    return pl.col(column).diff() < 0


def _epoch_ns(column: str) -> Check:
    return Check(
        column,
        "be nanoseconds since 1970, in the years 2000 to 2100",
        _outside(column, YEAR_2000_NS, YEAR_2100_NS),
        "drop",
    )


def _epoch_ms(column: str) -> list[Check]:
    known = pl.col(column) != 0
    apart = (pl.col("local_ns") - pl.col(column) * 10**6).abs() > HOUR_NS
    return [
        Check(
            column,
            "be 0 (unknown) or milliseconds since 1970, in the years 2000 to 2100",
            known & _outside(column, YEAR_2000_MS, YEAR_2100_MS),
            "drop",
        ),
        Check(column, "be within an hour of `local_ns`", known & apart, "drop"),
    ]


def _positive(*columns: str, where: pl.Expr | None = None) -> list[Check]:
    """Return checks that prices or quantities are above 0 and not absurd, in the rows `where` says."""
    rows = pl.lit(True) if where is None else where
    return [
        Check(name, "be positive and at most 2^53", rows & _outside(name, 1, LARGEST), "drop")
        for name in columns
    ]


def _plus_minus(column: str, where: pl.Expr | None = None) -> Check:
    rows = pl.lit(True) if where is None else where
    return Check(column, "be +1 or -1", rows & ~pl.col(column).is_in([1, -1]), "drop")


_BACK = "not go back"
_local_order = Check("local_ns", _BACK, _goes_back("local_ns"), "sort", before=True)

SNAPSHOT_COLUMNS = ("local_ns", "last_update_id", "side", "price", "qty")
SNAPSHOT_CHECKS = (
    *_null(*SNAPSHOT_COLUMNS),
    _epoch_ns("local_ns"),
    _plus_minus("side"),
    *_positive("price", "qty"),
    Check(
        "last_update_id",
        "be one for the whole book",
        pl.col("last_update_id").diff() != 0,
        "none",
        before=True,
    ),
    Check("price", "be listed once a side", pl.struct("side", "price").is_first_distinct().not_(), "drop"),
    Check(
        "price",
        "not cross the book: every bid stands below the best ask",
        (pl.col("side") == 1) & (pl.col("price") >= pl.col("price").filter(pl.col("side") == -1).min()),
        "none",
    ),
)

DEPTH_COLUMNS = (
    "local_ns", "exch_ms", "txn_ms", "first_id", "final_id", "prev_id", "side", "price", "qty",
)  # fmt: skip
DEPTH_CHECKS = (
    *_null(*DEPTH_COLUMNS),
    _epoch_ns("local_ns"),
    *_epoch_ms("exch_ms"),
    *_epoch_ms("txn_ms"),
    _plus_minus("side"),
    *_positive("price"),
    Check("qty", "be 0 (gone) or more and at most 2^53", _outside("qty", 0, LARGEST), "drop"),
    _local_order,
    Check(
        "final_id",
        "grow from message to message (this one is a duplicate or comes late)",
        pl.col("final_id") < pl.col("final_id").cum_max(),
        "drop",
        before=True,
    ),
)


def chain_checks(spot: bool, last_update_id: int) -> list[Check]:
    """Return the checks that no depth message is lost between the snapshot and the end.

    Args:
        spot: spot numbers every update, futures name the message before.
        last_update_id: of the snapshot; the table holds the messages with `final_id` from it on.
    """
    first = pl.int_range(pl.len()) == 0
    new_message = pl.col("final_id") != pl.col("final_id").shift()
    before = pl.col("final_id").shift()
    if spot:
        column, rule = "first_id", "be the `final_id` before plus 1: messages are lost"
        late, gap = pl.col(column) > last_update_id + 1, pl.col(column) != before + 1
    else:
        column, rule = "prev_id", "be the `final_id` of the message before: messages are lost"
        late, gap = pl.col(column) > last_update_id, pl.col(column) != before
    return [
        Check(
            column, f"reach back to the snapshot's `last_update_id`, {last_update_id}", first & late, "none"
        ),
        Check(column, rule, new_message & gap, "cut"),
    ]


CROSSED = (
    Check(
        "price", "not cross the book: best bid below best ask after each message", pl.col("crossed"), "cut"
    ),
)

TRADES_COLUMNS = ("local_ns", "exch_ms", "txn_ms", "trade_id", "price", "qty", "aggressor", "kind")
TRADES_CHECKS = (
    *_null(*TRADES_COLUMNS),
    _epoch_ns("local_ns"),
    *_epoch_ms("exch_ms"),
    *_epoch_ms("txn_ms"),
    *_positive("price", "qty", where=pl.col("kind") == 0),
    _plus_minus("aggressor", where=pl.col("kind") == 0),
    Check("trade_id", "be unique", pl.col("trade_id").is_first_distinct().not_(), "drop"),
    _local_order,
    # Where the engine's time is missing for some rows only, the event's own time stands in for it.
    Check("txn_ms", _BACK, (pl.col("txn_ms") > 0) & _goes_back("txn_ms"), "sort", before=True),
    Check("exch_ms", _BACK, (pl.col("exch_ms") > 0) & _goes_back("exch_ms"), "sort", before=True),
    Check("trade_id", _BACK, _goes_back("trade_id"), "sort", before=True),
    Check("trade_id", "grow by 1: trades are lost", pl.col("trade_id").diff() > 1, "accept", before=True),
)

BBO_COLUMNS = ("local_ns", "exch_ms", "txn_ms", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty")
BBO_CHECKS = (
    *_null(*BBO_COLUMNS),
    _epoch_ns("local_ns"),
    *_epoch_ms("exch_ms"),
    *_epoch_ms("txn_ms"),
    *_positive("bid_px", "bid_qty", "ask_px", "ask_qty"),
    Check(
        "bid_px", "stand below `ask_px`: the book is crossed", pl.col("bid_px") >= pl.col("ask_px"), "drop"
    ),
    _local_order,
    Check("update_id", _BACK, pl.col("update_id") < pl.col("update_id").cum_max(), "drop", before=True),
)

HALT = 7
TICK = 100  # USD x 10,000 in one tick of 0.01 USD
MESSAGE_COLUMNS = ("time_ns", "type", "order_id", "size", "price", "side")
_order = pl.col("type") != HALT
MESSAGE_CHECKS = (
    *_null(*MESSAGE_COLUMNS),
    Check("time_ns", "be nanoseconds after midnight, within a day", _outside("time_ns", 0, DAY_NS), "drop"),
    Check("type", "be one of LOBSTER's types 1 to 7", _outside("type", 1, 7), "drop"),
    *_positive("size", "price", where=_order),
    _plus_minus("side", where=_order),
    Check("time_ns", _BACK, _goes_back("time_ns"), "sort", before=True),
)


def book_columns(levels: int) -> tuple[str, ...]:
    """Return the columns of a LOBSTER book, in the vendor's order."""
    return tuple(
        f"{name}_{level}"
        for level in range(1, levels + 1)
        for name in ("ask_px", "ask_sz", "bid_px", "bid_sz")
    )


def book_checks(levels: int) -> list[Check]:
    """Return the checks of a LOBSTER book; a price of -1 is an empty level: only empty levels follow it."""
    checks = _null(*book_columns(levels))
    for level in range(1, levels + 1):
        for side, further in (("ask", 1), ("bid", -1)):
            price, size = f"{side}_px_{level}", f"{side}_sz_{level}"
            there = pl.col(price) != -1
            checks += [
                Check(
                    price,
                    f"be -1 (empty) or a positive multiple of {TICK} (0.01 USD, in USD x 10,000)",
                    there & (_outside(price, 1, LARGEST) | (pl.col(price) % TICK != 0)),
                    "drop",
                ),
                *_positive(size, where=there),
            ]
            if level > 1:
                nearer = f"{side}_px_{level - 1}"
                beyond = (pl.col(nearer) != -1) & (further * (pl.col(price) - pl.col(nearer)) > 0)
                checks.append(
                    Check(price, f"stand further from the mid than `{nearer}`", there & ~beyond, "drop")
                )
    both = (pl.col("bid_px_1") != -1) & (pl.col("ask_px_1") != -1)
    crossed = both & (pl.col("bid_px_1") >= pl.col("ask_px_1"))
    return [*checks, Check("bid_px_1", "stand below `ask_px_1`: the book is crossed", crossed, "drop")]
