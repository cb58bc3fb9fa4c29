"""From features and half-spreads to numbers of order one, and back."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flowhft.errors import require

# Scaled features and scaled quotes beyond this many standard deviations are clipped.
REACH = 5.0
# A feature or a side that never varied is left unscaled: below this a standard deviation is rounding.
SMALLEST_DEVIATION = 1e-6
# The deviation of a hidden feature: finite, as all that is saved, and 0 is left of what is divided by it.
HIDDEN = 1e30


class Normaliser(NamedTuple):
    """Means and standard deviations over the training split; saved with the weights.

    Attributes:
        feature_mean, feature_std: (feature,), in the unit of each feature.
        action_mean, action_scale: (side,), ticks: bid, ask.
    """

    feature_mean: Float[Array, " feature"]
    feature_std: Float[Array, " feature"]
    action_mean: Float[Array, " side"]
    action_scale: Float[Array, " side"]


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each column, worked out in float64."""
    mean = np.mean(values, axis=0, dtype=np.float64)
    deviation = np.std(values, axis=0, dtype=np.float64)
    varies = deviation > SMALLEST_DEVIATION * (1.0 + np.abs(mean))
    return np.asarray(mean, np.float32), np.where(varies, deviation, 1.0).astype(np.float32)


def fit_normaliser(
    features: Float[np.ndarray, "sample feature"], quotes: Float[np.ndarray, "sample side"]
) -> Normaliser:
    """Fit the normaliser. Give it the training split only: what is held out must stay unseen.

    Args:
        features: as the feature function returns them.
        quotes: half-spreads, ticks; columns bid and ask.
    """
    feature_mean, feature_std = _mean_and_deviation(features)
    action_mean, action_scale = _mean_and_deviation(quotes)
    return Normaliser(
        *(jnp.asarray(value) for value in (feature_mean, feature_std, action_mean, action_scale))
    )


def hide(normaliser: Normaliser, names: Sequence[str], prefixes: Sequence[str]) -> Normaliser:
    """Return a normaliser behind which some features are always at their mean: the network cannot see them.

    Args:
        normaliser: of all features.
        names: of the features, in their order.
        prefixes: beginnings of the names of those that are hidden.

    Raises:
        UsageError: no feature's name begins like that.
    """
    for prefix in prefixes:
        require(
            bool(prefix) and any(name.startswith(prefix) for name in names),
            "hidden",
            "be the beginning of a feature's name",
            f"'{prefix}'",
            f"Features are {', '.join(names)}.",
        )
    hidden = np.array([name.startswith(tuple(prefixes)) for name in names], bool)
    return normaliser._replace(feature_std=jnp.where(hidden, HIDDEN, normaliser.feature_std))


def scale_features(
    normaliser: Normaliser, features: Float[Array, "*batch feature"]
) -> Float[Array, "*batch feature"]:
    """Return (features - mean) / std, clipped to +-5."""
    return jnp.clip((features - normaliser.feature_mean) / normaliser.feature_std, -REACH, REACH)


def scale_quotes(normaliser: Normaliser, quotes: Float[Array, "*batch side"]) -> Float[Array, "*batch side"]:
    """Return (half_spread - mean) / scale for each side; not clipped."""
    return (quotes - normaliser.action_mean) / normaliser.action_scale


def unscale_quotes(
    normaliser: Normaliser, actions: Float[Array, "*batch side"]
) -> Float[Array, "*batch side"]:
    """Return half-spreads in ticks from scaled ones, clipped to +-5 first: the final sample only."""
    return jnp.clip(actions, -REACH, REACH) * normaliser.action_scale + normaliser.action_mean
