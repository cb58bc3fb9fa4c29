"""What a maker for a recording learns from: its own first part, and recordings of the same kind of market.

A recording of another day is learned from whole. One of the same day ends, for learning, where the part
begins that the maker will be evaluated on, by the clock; and the fate of an order must have been known by
then.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from flowhft.errors import DataError
from flowhft.features.scales import scales_of, second_move
from flowhft.learn.recordings.examples import Examples

DAY_NS = 86_400_000_000_000
LATE = 0.05  # seconds by which what became of an order is known later than its life and horizon say


class Seen(NamedTuple):
    """A recording, as learning knows it.

    Attributes:
        name: of it.
        first_ns, last_ns: its events, local clock.
        examples: its decisions.
        known_after: seconds from a decision until the fate of its orders is known.
    """

    name: str
    first_ns: int
    last_ns: int
    examples: Examples
    known_after: float

    @property
    def day(self) -> int:
        """Return the day of its first event."""
        return self.first_ns // DAY_NS

    def border_ns(self, share: float) -> int:
        """Return when the part begins that is not learned from, local clock."""
        return self.first_ns + round(share * (self.last_ns - self.first_ns))

    def until(self, time_ns: int) -> Examples:
        """Return its decisions whose orders' fate was known at a time, in scales of their own."""
        known = time_ns - round((self.known_after + LATE) * 1e9)
        return rescaled(self.examples.between(None, known))


def dated(name: str, time_ns: int) -> str:
    """Return the name of a recording with its date, where its times count from 1970.

    Args:
        name: of it.
        time_ns: of one of its events.
    """
    return name if time_ns < DAY_NS else f"{name} {datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d}"


def rescaled(examples: Examples) -> Examples:
    """Return examples in the scales of their own signals and moves: nothing else of the recording is in them.

    Where their mid never moves, the unit of moves stays.
    """
    unit = second_move(examples.time_ns, examples.mid_price) if len(examples.time_ns) > 1 else 0.0
    return examples._replace(scales=scales_of(examples.signals, unit or examples.scales.unit))


class TrainingSet(NamedTuple):
    """What a maker for one recording learns from.

    Attributes:
        examples: of each recording, those with decisions.
        like: which of them its positions are valued on, and its gate is set on.
        own: the recording's first part, which its scales are of.
    """

    examples: tuple[Examples, ...]
    like: tuple[int, ...]
    own: Examples


def whole(recordings: Sequence[Seen]) -> TrainingSet:
    """Return what a maker for any market like those of some recordings learns from: all of them, whole."""
    parts = tuple(rescaled(one.examples) for one in recordings)
    return TrainingSet(parts, tuple(range(len(parts))), parts[0])


def training_set(
    evaluated: Seen, others: Sequence[Seen], share: float, *, own_part: bool = True
) -> TrainingSet:
    """Return what a maker for a recording learns from.

    Args:
        evaluated: the recording that it is for.
        others: of the same kind of market.
        share: of the recording's time, from its start, that may be learned from.
        own_part: whether heads, values and gate see its own first part and other recordings of its day; else
            they see those of other days alone, and of its own only the scales are taken.

    Raises:
        DataError: nothing is left to learn from.
    """
    border = evaluated.border_ns(share)
    own = evaluated.until(border)
    parts = [
        one.until(border) if one.day == evaluated.day else rescaled(one.examples)
        for one in others
        if own_part or one.day != evaluated.day
    ]
    parts = [part for part in parts if len(part.time_ns) > 1]
    if own_part:
        return TrainingSet((own, *parts), (0,), own)
    if not parts:
        raise DataError(
            f"`recordings` must hold one of another day than `{evaluated.name}` to learn without it; "
            f"received {len(others)} of its own day. Name one, or learn from its own first part."
        )
    return TrainingSet(tuple(parts), tuple(range(len(parts))), own)
