"""Fractional Gaussian noise with its full covariance, for any Hurst exponent."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from flowhft.simulate.market.randomness import NOISE, normal, pair, path_key


def covariance(steps: int, hurst_exponent: float) -> Float[np.ndarray, " lag"]:
    """Return the covariance of standard fractional Gaussian noise at lags 0 to steps.

    (|k+1|^2H - 2 |k|^2H + |k-1|^2H) / 2, in float64: the second difference cancels badly in float32.

    Args:
        steps: the largest lag.
        hurst_exponent: H in (0, 1).
    """
    power = np.arange(steps + 2, dtype=np.float64) ** (2.0 * hurst_exponent)
    behind = np.concatenate([[1.0], power[:-2]])  # |0 - 1|^2H = 1
    return 0.5 * (power[1:] - 2.0 * power[:-1] + behind)


def memory_spectrum(steps: int, hurst_exponent: float) -> Complex[np.ndarray, " frequency"]:
    """Return the Fourier transform of the covariance at lags 1 to steps - 1, padded to 2 steps.

    Multiplied with the transform of a path it gives, for every step, the sum over the steps before it of the
    path times the covariance at their distance.

    Args:
        steps: length of the paths.
        hurst_exponent: H in (0, 1).
    """
    kernel = np.zeros(2 * steps)
    kernel[1:steps] = covariance(steps, hurst_exponent)[1:steps]
    return np.fft.rfft(kernel)


def spectrum(steps: int, hurst_exponent: float) -> Float[np.ndarray, " frequency"]:
    """Return the amplitudes of the Fourier modes of fractional Gaussian noise, for `fractional_noise`.

    The `covariance` is embedded in a circulant matrix of twice the size; its eigenvalues are the Fourier
    transform of its first row and are not negative for any H in (0, 1). Worked out once per market.

    Args:
        steps: length of the paths.
        hurst_exponent: H in (0, 1).

    Returns:
        Square roots of 2 steps x eigenvalue, shape (steps + 1,).

    Source: R. B. Davies, D. S. Harte, "Tests for Hurst effect", Biometrika 74(1), 1987; A. T. A. Wood,
    G. Chan, "Simulation of stationary Gaussian processes in [0,1]^d", JCGS 3(4), 1994.
    """
    row = covariance(steps, hurst_exponent)
    circle = np.concatenate([row, row[-2:0:-1]])  # period 2 steps
    eigenvalues = np.maximum(np.fft.rfft(circle).real, 0.0)  # rounding may leave -1e-17
    return np.sqrt(2.0 * steps * eigenvalues)


def fractional_noise(key: PRNGKeyArray, amplitude: Float[Array, " frequency"]) -> Float[Array, " step"]:
    """Draw one path of standard fractional Gaussian noise with its full covariance.

    Args:
        key: of the path.
        amplitude: from `spectrum`, shape (steps + 1,).
    """
    steps = amplitude.shape[0] - 1
    words = pair(path_key(key), NOISE, jnp.arange(steps + 1))
    # Interior frequencies are complex with half the variance in each part; the two ends are real.
    end = (jnp.arange(steps + 1) == 0) | (jnp.arange(steps + 1) == steps)
    real = normal(words[0]) * jnp.where(end, 1.0, jnp.sqrt(0.5))
    imaginary = normal(words[1]) * jnp.where(end, 0.0, jnp.sqrt(0.5))
    return jnp.fft.irfft(amplitude * (real + 1j * imaginary), n=2 * steps)[:steps]
