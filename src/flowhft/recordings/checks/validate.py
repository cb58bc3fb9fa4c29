"""What the files of Binance and LOBSTER sessions must keep, as tables of checks; see `rules.py`."""

from typing import NamedTuple

import polars as pl

from flowhft.recordings.checks.rules import (
    DAY_NS,
    LARGEST,
    UNKNOWN,
    Check,
    clock_not_back,
    epoch_ms,
    epoch_ns,
    goes_back,
    not_null,
    outside,
    plus_minus,
    positive,
)

SNAPSHOT_COLUMNS = ("local_ns", "last_update_id", "side", "price", "qty")
VENUE_TIMES = ("exch_ms", "txn_ms")
# What the snapshot or a depth message says of a level cannot be left out: the book would not be right.
SNAPSHOT_CHECKS = (
    *not_null("local_ns", remedy="replace"),
    *not_null("last_update_id", "side", "price", "qty", remedy="none"),
    epoch_ns("local_ns", remedy="replace"),
    plus_minus("side", remedy="none"),
    *positive("price", "qty", remedy="none"),
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
    *not_null("local_ns", remedy="replace"),
    *not_null(*VENUE_TIMES, remedy="replace", instead=UNKNOWN),
    *not_null("first_id", "final_id", "prev_id", "side", "price", "qty", remedy="leave"),
    epoch_ns("local_ns", remedy="replace"),
    *epoch_ms("exch_ms"),
    *epoch_ms("txn_ms"),
    plus_minus("side", remedy="leave"),
    *positive("price", remedy="leave"),
    Check("qty", "be 0 (gone) or more and at most 2^53", outside("qty", 0, LARGEST), "leave"),
    *clock_not_back("local_ns", "final_id"),
    Check(
        "final_id",
        "grow from message to message (this one is a duplicate or comes late)",
        pl.col("final_id") < pl.col("final_id").cum_max(),
        "drop",
        before=True,
    ),
)


class Chain(NamedTuple):
    """How a market links its depth messages.

    Attributes:
        column: of a message, which names the one before it.
        ahead: how much it lies above the `final_id` of that message.
        must: the rule, as a sentence that follows "must".
    """

    column: str
    ahead: int
    must: str


_FUTURES = Chain("prev_id", 0, "be the `final_id` of the message before")
# Spot numbers every update (U = u before + 1), futures name the message before (pu = u before).
CHAINS = {
    "spot": Chain("first_id", 1, "be the `final_id` before plus 1"),
    "usdm": _FUTURES,
    "coinm": _FUTURES,
}


def chain_checks(chain: Chain, last_update_id: int) -> list[Check]:
    """Return the checks that no depth message is lost between the snapshot and the end.

    A message reaches back to the snapshot where the one before it would not change the snapshot's book. The
    venue asks more of futures, U <= `last_update_id`; but numbers between a message's `prev_id` and its U
    belong to no update of the book, and a snapshot is often numbered by the `prev_id` itself.

    Args:
        chain: of the market.
        last_update_id: of the snapshot; the table holds the messages with `final_id` from `last_update_id` +
            `chain.ahead` on.
    """
    first = pl.int_range(pl.len()) == 0
    before = pl.col("final_id").shift()
    late = pl.col(chain.column) > last_update_id + chain.ahead
    gap = (pl.col("final_id") != before) & (pl.col(chain.column) != before + chain.ahead)
    return [
        Check(
            chain.column,
            f"reach back to the snapshot's `last_update_id`, {last_update_id}",
            first & late,
            "none",
        ),
        Check(chain.column, f"{chain.must}: messages are lost", gap, "cut"),
    ]


TRADES_COLUMNS = ("local_ns", "exch_ms", "txn_ms", "trade_id", "price", "qty", "aggressor", "kind")
TRADES_CHECKS = (
    *not_null(*VENUE_TIMES, remedy="replace", instead=UNKNOWN),
    *not_null(*TRADES_COLUMNS),
    epoch_ns("local_ns"),
    *epoch_ms("exch_ms"),
    *epoch_ms("txn_ms"),
    *positive("price", "qty", where=pl.col("kind") == 0),
    plus_minus("aggressor", where=pl.col("kind") == 0),
    Check("trade_id", "be unique", pl.col("trade_id").is_first_distinct().not_(), "drop"),
    *clock_not_back("local_ns", "trade_id"),
    # Where the engine's time is missing for some rows only, the event's own time stands in for it.
    Check("txn_ms", "not go back", (pl.col("txn_ms") > 0) & goes_back("txn_ms"), "sort", before=True),
    Check("exch_ms", "not go back", (pl.col("exch_ms") > 0) & goes_back("exch_ms"), "sort", before=True),
    Check("trade_id", "not go back", goes_back("trade_id"), "sort", before=True),
    clock_not_back("local_ns", "trade_id")[1],  # once more: in the order of numbers
    Check("trade_id", "grow by 1: trades are lost", pl.col("trade_id").diff() > 1, "accept", before=True),
)

BBO_COLUMNS = ("local_ns", "exch_ms", "txn_ms", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty")
BBO_CHECKS = (
    *not_null(*VENUE_TIMES, remedy="replace", instead=UNKNOWN),
    *not_null(*BBO_COLUMNS),
    epoch_ns("local_ns"),
    *epoch_ms("exch_ms"),
    *epoch_ms("txn_ms"),
    *positive("bid_px", "bid_qty", "ask_px", "ask_qty"),
    Check(
        "bid_px", "stand below `ask_px`: the book is crossed", pl.col("bid_px") >= pl.col("ask_px"), "drop"
    ),
    *clock_not_back("local_ns", "update_id"),
    Check(
        "update_id", "not go back", pl.col("update_id") < pl.col("update_id").cum_max(), "drop", before=True
    ),
)

HALT = 7
MESSAGE_COLUMNS = ("time_ns", "type", "order_id", "size", "price", "side")
_order = pl.col("type") != HALT
MESSAGE_CHECKS = (
    *not_null(*MESSAGE_COLUMNS),
    Check("time_ns", "be nanoseconds after midnight, within a day", outside("time_ns", 0, DAY_NS), "drop"),
    Check("type", "be one of LOBSTER's types 1 to 7", outside("type", 1, 7), "drop"),
    *positive("size", "price", where=_order),
    plus_minus("side", where=_order),
    Check("time_ns", "not go back", goes_back("time_ns"), "sort", before=True),
)


def book_columns(levels: int) -> tuple[str, ...]:
    """Return the columns of a LOBSTER book, in the vendor's order."""
    return tuple(
        f"{name}_{level}"
        for level in range(1, levels + 1)
        for name in ("ask_px", "ask_sz", "bid_px", "bid_sz")
    )


def book_checks(levels: int, tick: int) -> list[Check]:
    """Return the checks of a LOBSTER book; a price of -1 is an empty level: only empty levels follow it.

    Args:
        levels: a side.
        tick: in USD x 10,000.
    """
    checks = not_null(*book_columns(levels))
    for level in range(1, levels + 1):
        for side, further in (("ask", 1), ("bid", -1)):
            price, size = f"{side}_px_{level}", f"{side}_sz_{level}"
            there = pl.col(price) != -1
            checks += [
                Check(
                    price,
                    f"be -1 (empty) or a positive multiple of {tick} (a tick, {tick / 10_000:g} USD, in USD "
                    "x 10,000; `tick_size` says another)",
                    there & (outside(price, 1, LARGEST) | (pl.col(price) % tick != 0)),
                    "drop",
                ),
                *positive(size, where=there),
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
