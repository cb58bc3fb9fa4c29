"""Limits that a person sets for a desk: what `flowhft.desk.risk` holds every order to."""

from dataclasses import dataclass

from flowhft.errors import require


@dataclass(frozen=True)
class RiskSettings:
    """Limits that no order passes. By default none is set, and nothing but the inventory limit stands."""

    max_inventory: float | None = None
    """Most inventory, long or short, in orders, counting all that may still fill. At it only orders that make
    the position smaller are sent."""
    max_notional: float | None = None
    """Most that the position may be worth at the mid, long or short, in the currency of PnL, counting all
    that may still fill. At it only orders that make the position smaller are sent."""
    max_order_rate: int | None = None
    """Most new orders within any second, both sides together. Cancellations always pass: a quote that may not
    be replaced is withdrawn."""
    max_distance: float | None = None
    """Farthest that a new order may lie from the mid, on either side of it, ticks."""
    max_loss: float | None = None
    """Loss since the start at the mid, fees paid, in the currency of PnL, at which everything is withdrawn
    and nothing is sent any more."""

    def __post_init__(self) -> None:
        for name in ("max_inventory", "max_notional", "max_distance", "max_loss"):
            limit = getattr(self, name)
            if limit is not None:
                require(0.0 < limit < float("inf"), name, "be positive and finite, or none", limit)
        if self.max_order_rate is not None:
            rate = self.max_order_rate
            require(1 <= rate <= 1_000_000, "max_order_rate", "lie between 1 and 1,000,000 orders", rate)
