"""What is traded: the units of its prices and quantities, and how they become money.

A linear contract gains its quantity times the move of the price. An inverse one is a fixed value V in
dollars, settled in the coin: bought at P and sold at Q it gains V (1/P - 1/Q) coins. The account of either is
kept in the same unit, a tick x lot. With R the price at which an inverse contract is measured,

    worth(P) = P                  value(P) = P              linear
    worth(P) = R (2 - R / P)      value(P) = R^2 / P        inverse

and V (1/P - 1/Q) is V / R^2 (worth(Q) - worth(P)). So differences of `worth` are PnL and sums of `value` are
what was traded, in units of `Instrument.tick_value`: exactly. At R one tick is worth one tick, so that all
else that counts ticks, quotes and what policies see, is to first order what it is for a linear contract.
"""

from typing import Any, NamedTuple


class Instrument(NamedTuple):
    """What was traded where, in which units, and on what terms.

    Attributes:
        venue: where it was traded, for example "binance-usdm".
        symbol: what was traded, for example "BTCUSDT".
        currency: unit of prices, for example "USDT".
        tick_size: price of one tick, in `currency`.
        lot_size: quantity of one lot, in the base asset, or in contracts where the venue counts those.
        inverse: whether a contract is a fixed value in `currency`, settled in the coin.
        contract_value: base assets in a quantity of 1; of an inverse contract its value in `currency`.
        settlement: currency of PnL where it is not that of prices, for example "BTC"; empty where it is.
        maker_fee_bps: of the traded value, basis points; negative is a rebate; None: not known.
        taker_fee_bps: likewise, of orders that trade on arrival.
        minimum_notional: least value of an order, in `currency`; None: not known.
    """

    venue: str
    symbol: str
    currency: str
    tick_size: float
    lot_size: float
    inverse: bool = False
    contract_value: float = 1.0
    settlement: str = ""
    maker_fee_bps: float | None = None
    taker_fee_bps: float | None = None
    minimum_notional: float | None = None

    @property
    def name(self) -> str:
        """Return venue and symbol, as reports show them."""
        return f"{self.venue} {self.symbol}"

    @property
    def money(self) -> str:
        """Return the currency of PnL."""
        return self.settlement or self.currency

    @property
    def facts(self) -> dict[str, Any]:
        """Return all that is known of it, ready for JSON."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def reference(self, price: float) -> float:
        """Return the price at which the contract is measured: the one given if it is inverse, 0 if linear.

        Args:
            price: ticks; one that is known before trading begins.
        """
        return price if self.inverse else 0.0

    def tick_value(self, price: float) -> float:
        """Return what a move by one tick of one lot brings, in the currency of PnL.

        Args:
            price: of reference, ticks; without effect on a linear contract.

        Example:
            >>> Instrument("binance-spot", "BTCUSDT", "USDT", 0.01, 0.001).tick_value(6_000_000.0)
            1e-05
        """
        if not self.inverse:
            return self.tick_size * self.lot_size * self.contract_value
        return self.lot_size * self.contract_value / (self.tick_size * price**2)

    def notional(self, price: float, lots: float) -> float:
        """Return the value of an order in `currency`.

        Args:
            price: ticks.
            lots: its quantity.
        """
        quantity = lots * self.lot_size * self.contract_value
        return quantity if self.inverse else quantity * price * self.tick_size

    def __str__(self) -> str:
        """Return what must be the same in recordings that are joined, for people."""
        inverse = f", inverse, contracts of {self.contract_value:g}" if self.inverse else ""
        return (
            f"{self.name} in {self.currency} with ticks of {self.tick_size:g} and lots of "
            f"{self.lot_size:g}{inverse}"
        )


UNITS = ("venue", "symbol", "currency", "tick_size", "lot_size")


def worth(price: float, reference: float) -> float:
    """Return what a lot brings that is sold at a price, up to a constant, ticks.

    Args:
        price: ticks.
        reference: of the instrument, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * (2.0 - reference / price)


def value(price: float, reference: float) -> float:
    """Return the value of a lot that is traded at a price, of which fees are a share, ticks.

    Args:
        price: ticks.
        reference: of the instrument, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * reference / price
