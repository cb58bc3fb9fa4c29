"""How the fills of a replay are booked: in words, and four ways side by side, from kind to strict."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowhft.desk.replay.settings import SINGLE_ORDERS, ReplaySettings
from flowhft.errors import require
from flowhft.recordings.instrument import Instrument
from flowhft.report.numbers import counted

_OF_THEM = "of the orders that improve the best price"
HEADLINE = "capped + answered"
# What is left of a gain; `answered` is in shares of those that the replay has answered.
BOOKINGS: Mapping[str, Mapping[str, Any]] = {
    "whole": {"fills": "whole", "answered": 0.0, "hidden": True},
    "capped": {"fills": "capped", "answered": 0.0, "hidden": True},
    HEADLINE: {"fills": "capped", "answered": 1.0, "hidden": True},
    "without hidden": {"fills": "capped", "answered": 1.0, "hidden": False},
}


def bookings_of(settings: ReplaySettings) -> dict[str, ReplaySettings]:
    """Return the settings of a replay for every way of booking its fills, by its name in `BOOKINGS`.

    Args:
        settings: of the replay, with the share of answered orders settled.

    Raises:
        UsageError: its fills can be booked in one way only.
    """
    require(
        settings.post_only and settings.queue_model != SINGLE_ORDERS,
        "sweep.bookings",
        "be left out where orders may take or the queue is one of single orders",
        f"post_only {settings.post_only}, queue_model {settings.queue_model}",
        "Capped fills are not known there.",
    )
    share = settings.answered_share
    return {
        name: replace(settings, partial_fills=False, **{**how, "answered": share * how["answered"]})
        for name, how in BOOKINGS.items()
    }


def order_in_words(instrument: Instrument, price: float, lots: int) -> str:
    """Return the size of an order, with its value.

    Args:
        instrument: that is traded.
        price: ticks.
        lots: of an order.

    Example:
        >>> order_in_words(Instrument("binance-usdm", "BTCUSDT", "USDT", 0.1, 0.001), 640_000.0, 3)
        '3 lots, 192 USDT'
    """
    return f"{counted(lots, 'lot')}, {instrument.notional(price, lots):,.4g} {instrument.currency}"


def booked(settings: ReplaySettings, order: str = "") -> str:
    """Return how fills were booked and how large an order was, in two sentences.

    Args:
        settings: of the replay.
        order: its size in words; by default its lots.

    Example:
        >>> booked(ReplaySettings(answered=0.25), "3 lots").partition(". ")[2]
        'Orders are of 3 lots.'
    """
    how = "capped at what was traded" if settings.capped else "booked whole by the first trade"
    share = settings.answered_share
    answered = f"{100.0 * share:.3g} % {_OF_THEM} are answered and lose their priority"
    if not share:
        answered = f"none {_OF_THEM} is answered"
    hidden = "count" if settings.hidden else "do not count"
    size = order or counted(settings.lots, "lot")
    return f"Fills are {how}, {answered}, and hidden executions {hidden}. Orders are of {size}."
