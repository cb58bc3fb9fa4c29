"""How a fractional price goes on: linear forecasts from running means, for a grid of Hurst exponents.

The best forecast of fractional noise weighs all its past by a slow power of its age. A sum of a few
exponentials comes close to that, and a running mean is one number to remember: a forecast from `KEEPS`
running means explains 99.7 % or more of what the best one from 400 past steps explains (a test holds it to
that).
"""

import numpy as np

# What is kept of a running mean of moves in a step; the first is the last move itself.
KEEPS = (0.0, 0.55, 0.8, 0.92, 0.975)
# Hurst exponents among which a market is taken to be one, and what is believed of them at first. A price
# without memory is no point on a scale but a kind of its own: half of the prior is on it.
HURST = (0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85)
PRIOR = (1 / 12, 1 / 12, 1 / 12, 1 / 2, 1 / 12, 1 / 12, 1 / 12)
# Steps ahead.
AHEAD = (1, 5, 20)
_PAST = 400  # steps of the past of which the weights are worked out


def autocovariance(hurst: float, lags: int) -> np.ndarray:
    """Return the autocovariance of fractional noise of unit variance at lags 0 .. lags - 1, shape (lag,).

    Source: B. Mandelbrot, J. Van Ness, "Fractional Brownian motions, fractional noises and applications",
    SIAM Review 10(4), 1968.
    """
    lag = np.arange(lags, dtype=np.float64)
    power = 2.0 * hurst
    return 0.5 * ((lag + 1.0) ** power - 2.0 * lag**power + np.abs(lag - 1.0) ** power)


def _forecasts(hurst: float) -> tuple[np.ndarray, float]:
    """Return weights (ahead, mean) of the running means in forecasts, and the next move's variance.

    The least squares of a sum of coming moves on the running means, by their covariances; the variance is
    what is left of that of the next move.
    """
    ages = np.arange(_PAST)
    kernels = np.array([(1.0 - keep) * keep**ages if keep else 1.0 * (ages == 0) for keep in KEEPS])
    covariance = autocovariance(hurst, _PAST + max(AHEAD))
    lags = np.abs(ages[:, None] - ages[None, :])
    of_means = kernels @ covariance[lags] @ kernels.T
    coming = np.cumsum([covariance[step + ages] for step in range(1, max(AHEAD) + 1)], axis=0)
    with_means = coming[[ahead - 1 for ahead in AHEAD]] @ kernels.T
    weights = np.linalg.solve(of_means, with_means.T).T
    return weights, float(1.0 - weights[0] @ with_means[0])


def _tables() -> tuple[tuple[tuple[tuple[float, ...], ...], ...], tuple[float, ...]]:
    results = [_forecasts(hurst) for hurst in HURST]
    weights = tuple(
        tuple(tuple(float(value) for value in weights[ahead]) for weights, _ in results)
        for ahead in range(len(AHEAD))
    )
    return weights, tuple(variance for _, variance in results)


# WEIGHTS[ahead][hurst][mean] of the forecasts, and the variance of the next move around the first of them, in
# units of that of a move.
WEIGHTS, LEFT_OVER = _tables()
