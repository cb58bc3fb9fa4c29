"""Settings of exported recordings: the book that simulated market orders meet."""

from dataclasses import dataclass

from flowhft.runs.ranges import Count, CountOrNone, check_ranges


@dataclass(frozen=True)
class TickSettings:
    """The book that simulated market orders meet in an exported recording."""

    grid: Count = 1
    """Ticks of the recording in one tick of the scenario: the paper's tick is a whole price unit, 100 makes
    it cents. The scenario in finer ticks is written beside the recording."""
    gap: CountOrNone = 0
    """Empty ticks a side between the mid and the best price, beyond the least that there can be. Who quotes
    in the gap is alone at its price; who quotes in the book waits in a queue."""
    levels: Count = 20
    """Price levels a side that are shown."""
    depth: Count = 100
    """Lots of the recording at every level, restored after every order; ten are one of the simulator's."""

    def __post_init__(self) -> None:
        check_ranges(self)
