"""Answers: how often others improve the best price further after somebody has improved it.

In a replay nobody answers our orders, and one that improves the touch has priority over everybody for as long
as it stands. In the market it is often improved upon at once. The share of improvements that are is what
`--replay.answered` stands for.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flowhft.errors import DataError, require
from flowhft.metrics.estimators import RATIO, Interval, interval
from flowhft.recordings.book import TopOfBook, top_of_book
from flowhft.recordings.ticks import Recording

WITHIN = 1.0  # second
BLOCKS = 40  # of time, over which the interval is


class Answers(NamedTuple):
    """How often improvements of the best price were answered.

    Attributes:
        share: of them, with Student's interval over blocks of time.
        improvements: how many there were, of both sides.
    """

    share: Interval
    improvements: int


def answers(recording: Recording, within: float = WITHIN, confidence: float = 0.99) -> Answers:
    """Return the share of improvements of the best price that were improved upon next.

    An improvement is a new best price of a side that is better than the one before. It is answered if the
    next change of that side's best price comes within `within` seconds, on the venue's clock, and is an
    improvement again. Whose orders they are is not known: somebody may answer himself.

    Args:
        recording: with a book or best prices.
        within: seconds, positive.
        confidence: of the interval.

    Raises:
        DataError: no best price was ever improved.

    Example:
        >>> from flowhft.recordings import read_recording, sample_recording
        >>> found = answers(read_recording(sample_recording()))
        >>> 0.0 < found.share.low < found.share.value < found.share.high < 1.0
        True
    """
    found = answers_in(top_of_book(recording), within, confidence)
    if found is None:
        raise DataError(
            f"`{recording.name}` must hold improvements of its best prices; received none in "
            f"{len(recording.events):,} events. Use a longer recording."
        )
    return found


def answers_in(top: TopOfBook, within: float = WITHIN, confidence: float = 0.99) -> Answers | None:
    """Return the share of improvements that were improved upon next, as `answers`; None without any.

    Args:
        top: best prices of a recording.
        within: seconds, positive.
        confidence: of the interval.
    """
    require(within > 0.0, "within", "be positive, seconds", within)
    both = (top.bid_quantity > 0) & (top.ask_quantity > 0)
    time_ns = top.exchange_time_ns[both]
    sides = [
        _improved(time_ns, sign * price[both], within)
        for sign, price in ((1, top.best_bid), (-1, top.best_ask))
    ]
    when, answered = (np.concatenate(values) for values in zip(*sides, strict=True))
    if len(when) == 0:
        return None
    first, last = int(time_ns[0]), int(time_ns[-1])
    block = np.minimum((when - first) * BLOCKS // max(last - first, 1), BLOCKS - 1)
    made = np.bincount(block, minlength=BLOCKS).astype(np.float64)
    met = np.bincount(block, answered, minlength=BLOCKS)
    return Answers(interval(*RATIO(met, made), confidence), len(when))


def answered_share(recording: Recording) -> float:
    """Return the share of improvements that were improved upon next, as `answers`; 0 without any.

    Args:
        recording: with a book or best prices.
    """
    found = answers_in(top_of_book(recording))
    return 0.0 if found is None else found.share.value


def _improved(
    time_ns: Int[np.ndarray, " change"], key: Int[np.ndarray, " change"], within: float
) -> tuple[Int[np.ndarray, " improvement"], Float[np.ndarray, " improvement"]]:
    """Return when a side's best price was improved, and whether the next change of it improved it again.

    Args:
        time_ns: of all changes of the top.
        key: the side's best price, larger for better.
        within: seconds.
    """
    moved = np.flatnonzero(np.diff(key) != 0) + 1
    better, when = key[moved] > key[moved - 1], time_ns[moved]
    following = np.append(better[1:], False) & (np.append(np.diff(when), 2**62) <= round(1e9 * within))
    return when[better], following[better].astype(np.float64)
