"""Settings of a maker that learns from recordings."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.errors import require
from flowhft.learn.recordings.fit import Aims
from flowhft.recordings.opening import AFTER_OPENING
from flowhft.runs.ranges import Count, NotNegative, Positive, Range, check_ranges

OFFSETS = (6, 3, 2, 1, 0, -2, -6, -12)


@dataclass(frozen=True)
class MakerSettings:
    """What a maker is made for. The defaults suit shares; a coin on Binance moves faster: 0.2, 1 and 5 s."""

    interval: Positive = 0.5
    """Seconds between two decisions."""
    lifetime: Positive = 2.0
    """Seconds after its decision at which an order that is learned from is withdrawn."""
    edge_horizon: Positive = 10.0
    """Seconds after a fill at which it is evaluated what it was worth."""
    offsets: tuple[int, ...] = OFFSETS
    """Ticks by which an order betters the best price of its side: 0 joins it, below 0 stands behind it."""
    risk_aversion: NotNegative = 0.002
    """Gamma times the deviation u of the mid's move in a second: holding q orders costs gamma u^2 q^2 / 2 a
    second."""
    limit: Count = 3
    """Most that it holds, orders."""
    order_lots: Annotated[int, Range(0, unit="lot")] = 0
    """Size of an order, lots of the recording; 0 for that of the replay, else a third of the median market
    order."""
    block: Positive = 300.0
    """Seconds that count as one independent part where errors are worked out."""
    after_opening: NotNegative = AFTER_OPENING
    """Seconds after an exchange's opening that are left out; a market that never closes has none."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(len(self.offsets) > 0, "offsets", "name one price or more", "none")
        require(
            len(set(self.offsets)) == len(self.offsets), "offsets", "differ from each other", self.offsets
        )
        require(
            self.lifetime >= self.interval,
            "lifetime",
            f"be at least the interval, {self.interval} s",
            f"{self.lifetime} s",
        )

    @property
    def aims(self) -> Aims:
        """Return what heads and values are made for."""
        return Aims(self.offsets, self.interval, self.lifetime, self.risk_aversion, self.limit, self.block)
