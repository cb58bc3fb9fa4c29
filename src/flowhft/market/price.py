"""The mid price: a fractional jump-diffusion with exact increments.

    lognormal:  S_{i+1} = S_i exp(mu dt + sigma dB_i - sigma^2 (t_{i+1}^{2H} - t_i^{2H}) / 2 + J_i)
    additive:   S_{i+1} = S_i + mu dt + sigma dB_i + J_i

dB is fractional Gaussian noise of standard deviation dt^H with its full covariance; J_i is the sum of the
jumps of the step. The price does not depend on the maker, so a whole path is drawn at once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

Scalar = Float[Array, ""] | float


def spectrum(steps: int, hurst_exponent: float) -> Float[np.ndarray, " frequency"]:
    """Return the amplitudes of the Fourier modes of fractional Gaussian noise, for `fractional_noise`.

    The covariance cov(k) = (|k+1|^2H - 2 |k|^2H + |k-1|^2H) / 2 is embedded in a circulant matrix of twice
    the size; its eigenvalues are the Fourier transform of its first row and are not negative for any H in
    (0, 1). Worked out once per market, in float64: the second difference cancels badly in float32.

    Args:
        steps: length of the paths.
        hurst_exponent: H in (0, 1).

    Returns:
        Square roots of 2 steps x eigenvalue, shape (steps + 1,).

    Source: R. B. Davies, D. S. Harte, "Tests for Hurst effect", Biometrika 74(1), 1987; A. T. A. Wood,
    G. Chan, "Simulation of stationary Gaussian processes in [0,1]^d", JCGS 3(4), 1994.
    """
    power = np.arange(steps + 2, dtype=np.float64) ** (2.0 * hurst_exponent)
    behind = np.concatenate([[1.0], power[:-2]])  # |0 - 1|^2H = 1
    covariance = 0.5 * (power[1:] - 2.0 * power[:-1] + behind)
    circle = np.concatenate([covariance, covariance[-2:0:-1]])  # period 2 steps
    eigenvalues = np.maximum(np.fft.rfft(circle).real, 0.0)  # rounding may leave -1e-17
    return np.sqrt(2.0 * steps * eigenvalues)


def fractional_noise(key: PRNGKeyArray, amplitude: Float[Array, " frequency"]) -> Float[Array, " step"]:
    """Draw one path of standard fractional Gaussian noise with its full covariance.

    Args:
        key: used once.
        amplitude: from `spectrum`, shape (steps + 1,).
    """
    steps = amplitude.shape[0] - 1
    normal = jax.random.normal(key, (2, steps + 1))
    # Interior frequencies are complex with half the variance in each part; the two ends are real.
    end = (jnp.arange(steps + 1) == 0) | (jnp.arange(steps + 1) == steps)
    real = normal[0] * jnp.where(end, 1.0, jnp.sqrt(0.5))
    imaginary = normal[1] * jnp.where(end, 0.0, jnp.sqrt(0.5))
    return jnp.fft.irfft(amplitude * (real + 1j * imaginary), n=2 * steps)[:steps]


def poisson(
    uniform: Float[Array, "..."], mean: Float[Array, "..."], terms: int
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Turn uniform numbers into Poisson counts by inversion, cut off at `terms`.

    Args:
        uniform: in [0, 1).
        mean: of the counts.
        terms: the largest count that can occur; chosen where the tail beyond it is negligible.

    Returns:
        The counts, and what is left of the uniform numbers: where in its count's share of [0, 1) each lies,
        again uniform on [0, 1) and independent of the count.
    """
    probability = jnp.exp(-mean)
    cumulative = probability
    count, below, own = jnp.zeros_like(uniform), jnp.zeros_like(uniform), probability
    for n in range(1, terms + 1):
        probability = probability * (mean * (1.0 / n))
        above = uniform >= cumulative
        count = jnp.where(above, float(n), count)
        below = jnp.where(above, cumulative, below)
        own = jnp.where(above, probability, own)
        cumulative = cumulative + probability
    return count, jnp.minimum((uniform - below) / jnp.maximum(own, 1e-30), 1.0)


def jump_counts(key: PRNGKeyArray, steps: int, mean: Scalar, terms: int) -> Float[Array, " step"]:
    """Draw how many jumps fall into every step.

    Args:
        key: used once.
        steps: of the path.
        mean: of the counts.
        terms: the largest count that can occur.
    """
    return poisson(jax.random.uniform(key, (steps,)), jnp.asarray(mean), terms)[0]
