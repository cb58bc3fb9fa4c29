"""What a lot of a recording is worth: most contracts in the currency of their price, inverse ones in a coin.

A linear contract gains its quantity times the move of the price. An inverse one is a fixed value V in
dollars, settled in the coin: bought at P and sold at Q it gains V (1/P - 1/Q) coins. The account of either is
kept in the same unit, a tick x lot. With R the price at which an inverse contract is measured (`Contract`),

    worth(P) = P                  value(P) = P              linear
    worth(P) = R (2 - R / P)      value(P) = R^2 / P        inverse

and V (1/P - 1/Q) is V / R^2 (worth(Q) - worth(P)). So differences of `worth` are PnL and sums of `value` are
what was traded, in units of `Contract.tick_value`: exactly. At R one tick is worth one tick, so that all else
that counts ticks, quotes and what policies see, is to first order what it is for a linear contract.
"""

from typing import NamedTuple

from flowhft.recordings.ticks import Recording

# Venues whose contracts are inverse, by the name in a recording; Tardis calls the same market by the second.
INVERSE_VENUES = ("binance-coinm", "binance-delivery")
# Dollars of a contract. Source: Binance, contract specifications of COIN-M futures.
CONTRACT_VALUES = {"BTC": 100.0}
CONTRACT_VALUE = 10.0


class Contract(NamedTuple):
    """How prices of a recording become money.

    Attributes:
        currency: of PnL.
        tick_value: of a move by one tick, at the reference, of one lot of the recording; in the currency.
        reference: price at which an inverse contract is measured, ticks; 0 for a linear contract.
    """

    currency: str
    tick_value: float
    reference: float = 0.0


def contract_of(venue: str, symbol: str, currency: str, tick: float, lot: float, price: float) -> Contract:
    """Return the contract of an instrument.

    Args:
        venue: as in `Recording`, and so are the others.
        symbol: of an inverse contract it begins with the coin: BTCUSD, BTCUSD_PERP.
        currency: of prices.
        tick: price of a tick.
        lot: quantity of a lot; of an inverse contract, contracts.
        price: of reference, ticks: one that is known before trading begins.

    Example:
        >>> contract_of("binance-coinm", "BTCUSD", "USD", 0.1, 1.0, 500_000.0).currency
        'BTC'
    """
    if venue not in INVERSE_VENUES:
        return Contract(currency, tick * lot)
    coin = symbol.upper().split("USD")[0]
    value = CONTRACT_VALUES.get(coin, CONTRACT_VALUE)
    return Contract(coin, lot * value / (tick * price**2), price)


def contract_in(recording: Recording, price: float) -> Contract:
    """Return the contract of a recording, measured at a price in ticks (see `contract_of`)."""
    return contract_of(
        recording.venue,
        recording.symbol,
        recording.currency,
        recording.tick_size,
        recording.lot_size,
        price,
    )


def worth(price: float, reference: float) -> float:
    """Return what a lot brings that is sold at a price, up to a constant, ticks.

    Args:
        price: ticks.
        reference: of the contract, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * (2.0 - reference / price)


def value(price: float, reference: float) -> float:
    """Return the value of a lot that is traded at a price, of which fees are a share, ticks.

    Args:
        price: ticks.
        reference: of the contract, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * reference / price
