"""The bar: the experts that a policy is to beat, and which of them count in a market.

An expert that hardly trades takes no risk either, and no maker can risk less than who stays at home: where
mean, ratio and risk are compared one by one, an expert counts only if it earns at least `LEAST_SHARE` of what
the best of them earns there. In utility everybody counts: there, to stay at home is an answer like any other.
"""

import numpy as np
from jaxtyping import Bool, Float

LEAST_SHARE = 0.5
# As the issue of beating them was set: correct Avellaneda-Stoikov, and what the paper ran; and what it ran of
# Avellaneda-Stoikov with the right sign, which unlike the correct form trades in every market.
BASELINES = ("avellaneda_stoikov", "glft_as_run", "glft_drift_as_run", "avellaneda_stoikov_raw")
# Among informed traders, where utility is compared, all other closed forms too.
IN_UTILITY = (*BASELINES, "glft", "glft_drift")
# Preset -> the experts that are to be beaten there.
EXPERTS: dict[str, tuple[str, ...]] = {"paper": BASELINES, "correct": BASELINES, "informed": IN_UTILITY}


def by_utility(market: str) -> bool:
    """Return whether policies are compared by utility alone in a preset: where traders are informed."""
    return market == "informed"


def makers(mean: Float[np.ndarray, "... expert"]) -> Bool[np.ndarray, "... expert"]:
    """Return who makes a market: earns at least `LEAST_SHARE` of what the best of all does.

    Args:
        mean: what every expert earns; where nobody earns anything, all of them count.
    """
    most = mean.max(axis=-1, keepdims=True)
    return (mean >= LEAST_SHARE * most) | (most <= 0.0)
