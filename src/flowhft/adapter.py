"""The adapter: a small map behind a policy that fits it to today's market, the policy itself frozen.

Plain arithmetic: numpy, numba and jax run it alike.
"""

from typing import NamedTuple

from flowhft.types import Numeric, Quote


class Adapter(NamedTuple):
    """What is done to a quote.

    Attributes:
        scale: factor on both half-spreads.
        offset_bid: ticks added to the bid's half-spread.
        offset_ask: ticks added to the ask's half-spread.
        skew: ticks per lot: a long position widens the bid and narrows the ask.
    """

    scale: Numeric
    offset_bid: Numeric
    offset_ask: Numeric
    skew: Numeric


IDENTITY = Adapter(scale=1.0, offset_bid=0.0, offset_ask=0.0, skew=0.0)


def adapt_quote(adapter: Adapter, quote: Quote, inventory: Numeric) -> Quote:
    """Return scale * half_spread + offset + skew * q for the bid, and with - skew * q for the ask.

    Args:
        adapter: the map.
        quote: half-spreads, ticks.
        inventory: q, lots.

    Source: the affine map is that of the FlowHFT paper's fine-tuning (there without `skew`, which is the
    term that an exact optimum has and a scalar cannot imitate).
    """
    lean = adapter.skew * inventory
    return Quote(
        adapter.scale * quote.half_spread_bid + adapter.offset_bid + lean,
        adapter.scale * quote.half_spread_ask + adapter.offset_ask - lean,
    )
