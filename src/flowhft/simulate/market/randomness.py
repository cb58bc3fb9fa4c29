"""Random numbers by counter: any word of a path's streams from (key, stream, index), nothing in between.

The generator is Threefry-2x32 with 20 rounds, the one that jax's keys use, written out as plain arithmetic:
within a loop over steps the compiler then draws, transforms and uses a number in one pass, which costs a
quarter of drawing whole arrays first. What a path draws depends on its key alone, never on how many paths
are simulated at once or where.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC11, 2011; library Random123.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

Words = UInt32[Array, "..."]

# The streams of a path; a number is used once, so each consumer has its own.
ORDER_FLOW, PRICE, NOISE, BURSTS, PARTS, IMBALANCE = range(6)

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
ROUNDS = 20  # 13 pass every test of BigCrush; the rest is margin, as in jax


class PathKey(NamedTuple):
    """The key of one path: two words."""

    first: Words
    second: Words


def path_key(key: PRNGKeyArray) -> PathKey:
    """Return the two words of a key of jax's Threefry generator.

    Args:
        key: of the path; used once.
    """
    data = jax.random.key_data(key)
    return PathKey(data[0], data[1])


def threefry(key: PathKey, first: Words, second: Words) -> tuple[Words, Words]:
    """Return the two words of Threefry-2x32-20 at a counter.

    Args:
        key: two words.
        first: word of the counter, of any shape.
        second: word of the counter, of any shape.
    """
    schedule = (key.first, key.second, key.first ^ key.second ^ PARITY)
    left, right = first + schedule[0], second + schedule[1]
    for number in range(ROUNDS):
        turn = ROTATIONS[number // 4 % 2][number % 4]
        left = left + right
        right = ((right << np.uint32(turn)) | (right >> np.uint32(32 - turn))) ^ left
        if number % 4 == 3:  # the key is added again after every fourth round
            group = number // 4 + 1
            left = left + schedule[group % 3]
            right = right + schedule[(group + 1) % 3] + np.uint32(group)
    return left, right


def pair(key: PathKey, stream: int, index: Array) -> tuple[Words, Words]:
    """Return two random words, each uniform on 32 bits and independent of all others of the path.

    Args:
        key: of the path.
        stream: which of the path's streams.
        index: place in the stream, not negative, of any shape.
    """
    return threefry(key, index.astype(jnp.uint32), jnp.uint32(stream))


def uniform(words: Words) -> Float[Array, "..."]:
    """Turn random words into numbers uniform on [0, 1), multiples of 2^-24.

    Args:
        words: each used once.
    """
    # By way of signed integers: unsigned ones convert slowly.
    return (words >> np.uint32(8)).astype(jnp.int32).astype(jnp.float32) * np.float32(2.0**-24)


def normal(words: Words) -> Float[Array, "..."]:
    """Turn random words into standard normal numbers, at most 5.4 in size.

    Args:
        words: each used once.
    """
    # As signed integers, scaled just into (-1, 1): the inverse error function is infinite at the ends.
    signed = jax.lax.bitcast_convert_type(words, jnp.int32).astype(jnp.float32)
    inside = signed * np.float32(2.0**-31 * (1.0 - 2.0**-24))
    return np.float32(np.sqrt(2.0)) * jax.lax.erf_inv(inside)
