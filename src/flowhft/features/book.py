"""The signals of an order book: what a policy may see of it, by name, with what becomes of each in a mirror.

A market seen from the other side is the same market: bids are asks, buyers are sellers, a rise is a fall. A
signal that says which way the market leans changes its sign there (`odd`), one that belongs to a side becomes
that of the other. A policy whose ask is its bid in the mirrored market cannot lean by what it learned.

What they are is worked out by `flowhft.desk.signals`, for recordings and live markets alike.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

DECAYS = (0.5, 2.0, 10.0, 30.0)  # seconds
DECAY_NAMES = ("500ms", "2s", "10s", "30s")
BAND = 2e-4  # of the mid: how far the wider band of the book reaches from it
NEAR_TICKS = 8  # how far the narrower band reaches behind each side's best price
VOLATILITY_DECAYS = (30.0, 300.0)  # seconds
ACTIVITY_DECAYS = (1, 3)  # places in `DECAYS`


class Signal(NamedTuple):
    """One number that a book or its trades tell.

    Attributes:
        name: of the signal.
        unit: it is counted in.
        mirror: name of the signal that it becomes when bid and ask are exchanged.
        odd: whether its sign changes there too; positive where the bid is stronger or the price rose.
        source: who proposed it, or how it is defined where nobody in particular did.
    """

    name: str
    unit: str
    mirror: str
    odd: bool
    source: str


_CONT = "Cont, Kukanov and Stoikov (2014), eq. 1-3, summed with exponential decay"
_BOTH = "(bid - ask) / (bid + ask) of the lots there"


def _odd(name: str, unit: str, source: str) -> Signal:
    return Signal(name, unit, name, True, source)


def _even(name: str, unit: str, source: str, mirror: str | None = None) -> Signal:
    return Signal(name, unit, mirror or name, False, source)


SIGNALS = (
    _odd("touch_imbalance", "1", f"{_BOTH}: at the best prices"),
    _odd("imbalance_2bp", "1", f"{_BOTH}: within 2 bp of the mid, the best prices always"),
    _odd("imbalance_8_ticks", "1", f"{_BOTH}: at each side's best price and up to 8 ticks behind it"),
    _odd("microprice", "ticks", "mean of the best prices, each weighed by the other's lots, less the mid"),
    *(_odd(f"order_flow_imbalance_{name}", "lots", _CONT) for name in DECAY_NAMES),
    *(
        _odd(f"signed_volume_{name}", "lots^0.5", "side x root of the lots of a market order, decayed sum")
        for name in DECAY_NAMES
    ),
    *(
        _odd(f"return_{name}", "ticks", "mid less its own exponentially decayed average")
        for name in DECAY_NAMES
    ),
    _odd("last_trade", "ticks", "price of the last trade less the mid"),
    _even("log_spread", "log ticks", "best ask less best bid"),
    _even("activity_2s", "log1p 1/s", "rate of market orders, decayed"),
    _even("activity_30s", "log1p 1/s", "rate of market orders, decayed"),
    _even(
        "volatility_30s", "ticks / sqrt(s)", "root of the decayed mean of squared moves over whole seconds"
    ),
    _even(
        "volatility_300s", "ticks / sqrt(s)", "root of the decayed mean of squared moves over whole seconds"
    ),
    _even("log_bid_size", "log lots", "at the best bid", "log_ask_size"),
    _even("log_ask_size", "log lots", "at the best ask", "log_bid_size"),
    _even("log_bid_depth_2bp", "log lots", "within 2 bp of the mid, the best always", "log_ask_depth_2bp"),
    _even("log_ask_depth_2bp", "log lots", "within 2 bp of the mid, the best always", "log_bid_depth_2bp"),
)
NAMES = tuple(signal.name for signal in SIGNALS)
MIRROR = np.array([NAMES.index(signal.mirror) for signal in SIGNALS])
SIGN = np.array([-1.0 if signal.odd else 1.0 for signal in SIGNALS])
# The nine that forecast the mid on markets that they were not fitted to.
FORECASTING = (
    "touch_imbalance",
    "imbalance_2bp",
    "order_flow_imbalance_500ms",
    "order_flow_imbalance_2s",
    "signed_volume_500ms",
    "signed_volume_2s",
    "return_500ms",
    "return_2s",
    "last_trade",
)


def mirrored(signals: Float[np.ndarray, "... signal"]) -> Float[np.ndarray, "... signal"]:
    """Return the signals of the same book seen from the other side: bid and ask exchanged.

    Args:
        signals: in the order of `NAMES`.
    """
    return SIGN * signals[..., MIRROR]
