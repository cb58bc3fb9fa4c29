"""Random numbers for compiled loops: a stream of its own for every policy's memory.

SplitMix64: a counter and a mixing function, 64 bits of state. Policies that quote side by side do not shift
each other's numbers, as they would with numba's one generator a thread.

Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 14.
"""

import math

import numpy as np
from jaxtyping import UInt64
from numba import njit

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@njit
def bits(state: UInt64[np.ndarray, "1"]) -> np.uint64:
    """Return 64 random bits and move the state on."""
    state[0] += _GOLDEN_GAMMA
    mixed = state[0]
    mixed = (mixed ^ (mixed >> _30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _27)) * _MIX_2
    return mixed ^ (mixed >> _31)


@njit
def uniform(state: UInt64[np.ndarray, "1"]) -> float:
    """Return a number uniform on [0, 1), a multiple of 2^-53."""
    return (bits(state) >> _11) * 2.0**-53


@njit
def normal_pair(state: UInt64[np.ndarray, "1"]) -> tuple[float, float]:
    """Return two independent standard normal numbers (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    angle = 2.0 * math.pi * uniform(state)
    return radius * math.cos(angle), radius * math.sin(angle)
