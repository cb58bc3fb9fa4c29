"""The adapter: a small map behind a policy that fits it to today's market, the policy itself frozen.

Plain arithmetic: numpy, numba and jax run it alike.
"""

from typing import NamedTuple

from flowhft.types import Numeric, Observation, Quote


class Adapter(NamedTuple):
    """What is done to a quote.

    Attributes:
        scale: factor on both half-spreads.
        offset_bid: ticks added to the bid's half-spread.
        offset_ask: ticks added to the ask's half-spread.
        skew: ticks per lot: a long position widens the bid and narrows the ask.
        slope: ticks per lot and second: what the skew has more for every second that is left of the session.
    """

    scale: Numeric
    offset_bid: Numeric
    offset_ask: Numeric
    skew: Numeric
    slope: Numeric = 0.0


IDENTITY = Adapter(scale=1.0, offset_bid=0.0, offset_ask=0.0, skew=0.0, slope=0.0)


def compose(outer: Adapter, inner: Adapter) -> Adapter:
    """Return the one map that does what `inner` and then `outer` do."""
    return Adapter(
        outer.scale * inner.scale,
        outer.scale * inner.offset_bid + outer.offset_bid,
        outer.scale * inner.offset_ask + outer.offset_ask,
        outer.scale * inner.skew + outer.skew,
        outer.scale * inner.slope + outer.slope,
    )


def adapt_quote(adapter: Adapter, quote: Quote, observation: Observation) -> Quote:
    """Return scale * half_spread + offset + (skew + slope * time_left) * q for the bid, - (...) for the ask.

    Args:
        adapter: the map.
        quote: half-spreads, ticks.
        observation: `inventory` q in lots and `time_left` in seconds are used.

    Source: the affine map is that of the FlowHFT paper's fine-tuning. The skew is not: it is the term that an
    exact optimum has and a scalar cannot imitate. In the long run it is constant (Gueant, Lehalle,
    Fernandez-Tapia, 2013), and without memory of the price it ends with the session: gamma sigma^2 time_left
    (M. Avellaneda, S. Stoikov, 2008, equation (3.17)) is `slope` alone.
    """
    lean = (adapter.skew + adapter.slope * observation.time_left) * observation.inventory
    return Quote(
        adapter.scale * quote.half_spread_bid + adapter.offset_bid + lean,
        adapter.scale * quote.half_spread_ask + adapter.offset_ask - lean,
        quote.size_bid,
        quote.size_ask,
    )
