"""Controls: makers that should earn less if what the real one earns comes from what it sees.

`constants` knows how often orders of each price fill and what they earn on average, and nothing of the
moment. `flipped` takes every signal that leans for its opposite. `shuffled` learned from fates of orders that
were dealt out again among the decisions. `shifted` sees the signals of ten minutes before.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from flowhft.features.book import NAMES, SIGN
from flowhft.learn.recordings.examples import Examples
from flowhft.policies.book import BookMaker

SHIFT = 600.0  # seconds
_SPREAD = NAMES.index("log_spread")


def constants(examples: Sequence[Examples]) -> list[Examples]:
    """Return examples whose signals say nothing: all are at their means."""
    return [one._replace(signals=np.broadcast_to(one.scales.centre, one.signals.shape)) for one in examples]


def shuffled(examples: Sequence[Examples], seed: int) -> list[Examples]:
    """Return examples in which the fates of orders are those of other decisions of the recording.

    Args:
        examples: of each recording.
        seed: of the permutations.
    """
    mixed = []
    for number, one in enumerate(examples):
        order = np.random.default_rng([seed, number]).permutation(len(one.time_ns))
        mixed.append(one._replace(placed=one.placed[order], filled=one.filled[order], edge=one.edge[order]))
    return mixed


def flipped(maker: BookMaker) -> BookMaker:
    """Return a maker that takes every signal that leans for its opposite."""
    turned = {name: maker.arrays[name].copy() for name in ("fill", "edge")}
    for weights in turned.values():
        weights[:, 1:] *= SIGN
    return replace(maker, arrays={**maker.arrays, **turned})


def shifted(
    book: Float[np.ndarray, "step signal"], time_ns: Int[np.ndarray, " step"], seconds: float = SHIFT
) -> Float[np.ndarray, "step signal"]:
    """Return the signals of so long before, those of the end where there were none; the spread is today's.

    Args:
        book: signals at each decision.
        time_ns: of the decisions, at equal distances.
        seconds: by which they are late.
    """
    steps = len(time_ns)
    apart = round(seconds * 1e9 / float(time_ns[1] - time_ns[0])) % steps
    moved = np.roll(book, apart, axis=0)
    moved[:, _SPREAD] = book[:, _SPREAD]
    return moved
