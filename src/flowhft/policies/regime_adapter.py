"""The regime adapter: a small network that works out, step by step, the map behind a frozen policy.

An `Adapter` is fitted to one market. This one reads the market from the features that the policy within
senses, and is told how much risk is worth (the dial) and of which kind the market is believed to be. Plain
arithmetic: numpy, numba and jax run it alike.
"""

from typing import NamedTuple

from flowhft.features import NAMES
from flowhft.policies.adapter import Adapter
from flowhft.types import Numeric

# What the network looks at, of the features of kind "context": the rest has weight 0. All of it would be the
# same whatever we quote, or nearly so: then the law of the inventory given the market is known exactly in
# training. Inventory itself enters by the skew alone. Rates enter by their mean over both sides.
SEES = (
    "time_left",
    "volatility",
    "trend",
    "toxicity",
    "persistence",
    "forecast_1",
    "forecast_5",
    "forecast_20",
    "move_1",
    "move_2",
    "rate_bid",
    "rate_ask",
    "fill_rate_bid",
    "fill_rate_ask",
)
# Own fill rates stand beside the rates, since in the paper's runs own fills are the only orders that are
# seen: their ratio tells that market from one where all orders are.
TOGETHER = (("rate_bid", "rate_ask"), ("fill_rate_bid", "fill_rate_ask"))
# What it is told besides: a preference, and two views on the kind of market.
TOLD = ("log_risk", "premium", "informed")
# Outputs: width and lean in units of 1 / k, skew in such units a lot; what the factor on the quotes of the
# policy within has more than 1. With width, lean and factor it has the whole map of the paper's fine-tuning.
OUTPUTS = ("width", "lean", "skew", "scale")
SKEW_UNIT = 0.2  # so that all outputs are of order one
FURTHEST = 5.0  # standard deviations at which a feature is softly cut


class RegimeAdapter(NamedTuple):
    """A network of two hidden layers with the activation x / sqrt(1 + x^2), and what it is told.

    Arrays are of one type (float32 in the lab; numba's products want it so); `told` and `half_spread` are
    data like the weights, so that another dial or another market's unit needs no new program.

    Attributes:
        mean, std: of the features, shape (feature,): those of kind "context", in their order.
        weight_1: shape (unit, feature); columns of features that are not in `SEES` are 0.
        weight_told: shape (unit, told).
        bias_1: shape (unit,).
        weight_2: shape (unit, unit).
        bias_2: shape (unit,).
        weight_3: shape (output, unit): rows as in `OUTPUTS`.
        bias_3: shape (output,).
        told: what it is told, shape (told,), as in `TOLD`. log_risk: the logarithm of the risk dial c, what
            halving the risk is worth against a gain of the mean. premium: share of the jumps' mean effect
            that is believed to be left in the drift, 0 to 1. informed: whether traders are believed to be
            informed, 0 or 1. Both are views on the kind of market, not on its parameters: how volatile, busy,
            persistent or toxic it is remains to be sensed.
        half_spread: unit of the outputs, ticks: 1 / k.
    """

    mean: Numeric
    std: Numeric
    weight_1: Numeric
    weight_told: Numeric
    bias_1: Numeric
    weight_2: Numeric
    bias_2: Numeric
    weight_3: Numeric
    bias_3: Numeric
    told: Numeric
    half_spread: Numeric


def shapes_of(units: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a regime adapter, by name.

    Args:
        units: of both hidden layers.
    """
    features, outputs = len(NAMES["context"]), len(OUTPUTS)
    return {
        "mean": (features,),
        "std": (features,),
        "weight_1": (units, features),
        "weight_told": (units, len(TOLD)),
        "bias_1": (units,),
        "weight_2": (units, units),
        "bias_2": (units,),
        "weight_3": (outputs, units),
        "bias_3": (outputs,),
        "told": (len(TOLD),),
        "half_spread": (),
    }


def adapter_at(regime: RegimeAdapter, features: Numeric) -> Adapter:
    """Return the map for this moment, offsets and skew in ticks.

    Args:
        regime: the network.
        features: of kind "context", an array of shape (feature,).
    """
    scaled = (features - regime.mean) / regime.std
    scaled = scaled / (1.0 + scaled * scaled / FURTHEST**2) ** 0.5
    hidden = regime.weight_1 @ scaled + (regime.weight_told @ regime.told + regime.bias_1)
    hidden = hidden / (1.0 + hidden * hidden) ** 0.5
    hidden = regime.weight_2 @ hidden + regime.bias_2
    hidden = hidden / (1.0 + hidden * hidden) ** 0.5
    output = regime.weight_3 @ hidden + regime.bias_3
    width, lean, skew = output[0], output[1], output[2]
    return Adapter(
        scale=1.0 + output[3],
        offset_bid=regime.half_spread * (width - lean),
        offset_ask=regime.half_spread * (width + lean),
        skew=regime.half_spread * SKEW_UNIT * skew,
        slope=0.0,
    )
