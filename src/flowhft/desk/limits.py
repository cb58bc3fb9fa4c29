"""Limits that a person sets for a desk: what `flowhft.desk.risk` holds every order to."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.runs.ranges import Positive, Range, check_ranges

Limit = Positive | None


@dataclass(frozen=True)
class RiskSettings:
    """Limits that no order passes. By default none is set, and nothing but the inventory limit stands."""

    max_inventory: Limit = None
    """Most inventory, long or short, in orders, counting all that may still fill. At it only orders that make
    the position smaller are sent."""
    max_notional: Limit = None
    """Most that the position may be worth at the mid, long or short, in the currency of PnL, counting all
    that may still fill. At it only orders that make the position smaller are sent."""
    max_order_rate: Annotated[int, Range(1, 1_000_000, unit="orders")] | None = None
    """Most new orders within any second, both sides together. Cancellations always pass: a quote that may not
    be replaced is withdrawn."""
    max_distance: Limit = None
    """Farthest that a new order may lie from the mid, on either side of it, ticks."""
    max_loss: Limit = None
    """Loss since the start at the mid, fees paid, in the currency of PnL, at which everything is withdrawn
    and nothing is sent any more."""

    def __post_init__(self) -> None:
        check_ranges(self)
