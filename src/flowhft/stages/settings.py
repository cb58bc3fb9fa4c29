"""Settings of stages. Nothing here imports jax: a command line shows its help."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.errors import require
from flowhft.runs.ranges import Count, NotNegative, Positive, Range, Several, check_ranges

MOST_PATHS = 1_000_000_000  # indices of paths are 32 bits
# How warnings begin that are true of the recording at hand, and not of every replay.
OF_THIS_RECORDING = ("recording: ", "calibration: ", "closed time: ", "in sample: ")
# Of an interval's units: longer than the memory of order flow, much shorter than a recording.
BLOCK_SECONDS = 10.0
BLOCK_STEPS = 10  # decisions in a block at least, where they are far apart
MOST_COSTS = 400  # points of a grid, each a replay of every policy
LEARN_SHARE, TRADE_SHARE = 0.4, 0.1  # of the first session of a walk, where no lengths are set


def require_evaluation(paths: int, confidence: float, chunk: int, delay: int) -> None:
    """Refuse numbers with which nothing can be evaluated (see `flowhft.stages.evaluate.evaluate`).

    Raises:
        UsageError: naming the number.
    """
    require(2 <= paths <= MOST_PATHS, "paths", f"lie between 2 and {MOST_PATHS:,}", paths)
    require(0.0 < confidence < 1.0, "confidence", "lie between 0 and 1", confidence)
    require(chunk >= 1, "chunk", "be at least 1", chunk)
    require(delay >= 0, "delay", "be 0 steps or more", delay)


@dataclass(frozen=True)
class SweepSettings:
    """What everything is replayed at once more: every fee with every latency, and every way to book fills."""

    fees: Annotated[tuple[Annotated[float, Range(-10_000.0)], ...], Several(0, distinct=True)] = ()
    """Maker fees, basis points; only the replay's own if none is named."""
    latencies: Annotated[tuple[NotNegative, ...], Several(0, distinct=True)] = ()
    """Latencies to the venue, and as much back, milliseconds; only the replay's own if none is named."""
    bookings: bool = False
    """Whether fills are booked whole, capped, capped + answered and without hidden executions, side by
    side."""

    def __post_init__(self) -> None:
        check_ranges(self)
        size = max(1, len(self.fees)) * max(1, len(self.latencies))
        require(size <= MOST_COSTS, "fees", f"make a grid of at most {MOST_COSTS} points", size)

    @property
    def asked(self) -> bool:
        """Whether there is anything to sweep over."""
        return bool(self.fees or self.latencies or self.bookings)


@dataclass(frozen=True)
class WalkSettings:
    """How a walk rolls on: the lengths of its windows, and what is fitted in each."""

    learn: Positive | None = None
    """Seconds before a window that its market is calibrated on; by default 0.4 of the first session."""
    trade: Positive | None = None
    """Seconds that are traded before the market is calibrated again; by default 0.1 of the first session."""
    adapt: str = "flowhft"
    """Saved policy that is adapted to every calibrated market (by `state`) and trades under the name
    `adapted`; empty for none."""
    paths: Annotated[int, Range(2)] = 400
    """Simulated sessions on which a candidate of the adaptation is judged, and as many fresh ones."""
    generations: Count = 6
    """Generations of the adaptation's search after its grid."""
    teachers: int = 0
    """Simulated sessions by which the risk aversion of every expert is chosen in every calibrated market; 0
    for the scenario's own, 0.1 k."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.teachers == 0 or self.teachers >= 2, "teachers", "be 0, or at least 2", self.teachers)
