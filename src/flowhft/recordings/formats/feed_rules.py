"""What the tables of a feed must keep, whatever their columns are called."""

import polars as pl

from flowhft.recordings.checks.rules import (
    HOUR_NS,
    LARGEST,
    UNITS_OR_ZONE,
    YEAR_2000_NS,
    YEAR_2100_NS,
    Check,
    clock_not_back,
    epoch_ns,
    not_null,
    outside,
    plus_minus,
    positive,
)

LOCKED_SHARE = 0.1  # of quotes: brokers quote no spread at times (2 % of a day of EUR/USD)
NEEDED = {
    "depth": ("side", "price", "quantity"),
    "trades": ("side", "price", "quantity"),
    "quotes": ("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
}
OPTIONAL = {"depth": ("snapshot",), "trades": (), "quotes": ()}
TIMES = ("local_time", "exchange_time")  # one of them at least


def _plain_rules(kind: str) -> list[Check]:
    """Return what every table must keep but for its prices."""
    latency = pl.col("local_ns") - pl.col("exchange_ns")
    apart = latency.abs() > HOUR_NS
    odd = outside("exchange_ns", YEAR_2000_NS, YEAR_2100_NS) | apart
    usual = pl.when(~odd).then(latency).forward_fill().fill_null(strategy="backward").fill_null(0)
    levels = "leave" if kind == "depth" else "drop"  # without a level the book is not right
    return [
        *not_null("local_ns", remedy="replace"),
        *not_null("exchange_ns", remedy="replace", instead=pl.col("local_ns") - usual),
        epoch_ns("local_ns", remedy="replace"),
        epoch_ns("exchange_ns", remedy="replace")._replace(instead=pl.col("local_ns") - usual),
        Check(
            "exchange_ns",
            "be within an hour of `local_ns`",
            apart,
            "replace",
            instead=pl.col("local_ns") - usual,
            format=UNITS_OR_ZONE,
        ),
        *(
            []
            if kind == "quotes"
            else [
                *not_null(*NEEDED[kind], remedy=levels),
                plus_minus("side", remedy=levels),
                *positive("price", remedy=levels),
            ]
        ),
        *clock_not_back("local_ns", "exchange_ns"),
    ]


def rules(kind: str, levels: int) -> list[Check]:
    """Return what a table of a feed must keep.

    Args:
        kind: a key of `NEEDED`.
        levels: of quotes, how many a side.
    """
    if kind == "trades":
        return [*_plain_rules(kind), *positive("quantity")]
    if kind == "depth":
        return [
            *_plain_rules(kind),
            Check(
                "quantity", "be 0 (gone) or more and at most 2^53", outside("quantity", 0, LARGEST), "leave"
            ),
        ]
    held = _plain_rules(kind)
    for level in range(1, levels + 1):
        for name, further in (("bid", -1), ("ask", 1)):
            price, quantity = f"{name}_price_{level}", f"{name}_quantity_{level}"
            there = pl.col(price).is_not_null()
            held += positive(price, quantity, where=there)
            half = there & pl.col(quantity).is_null()
            held.append(Check(quantity, "be there where a price is", half, "drop"))
            if level > 1:
                nearer = pl.col(f"{name}_price_{level - 1}")
                beyond = nearer.is_not_null() & (further * (pl.col(price) - nearer) > 0)
                held.append(
                    Check(
                        price, f"stand further from the mid than level {level - 1}", there & ~beyond, "drop"
                    )
                )
    crossed = pl.col("bid_price_1") >= pl.col("ask_price_1")
    must = "stand below `ask_price_1`: the book is crossed"
    return [*held, Check("bid_price_1", must, crossed, "drop", share=LOCKED_SHARE)]
