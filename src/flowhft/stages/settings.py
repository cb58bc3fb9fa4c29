"""Settings of stages. Nothing here imports jax: a command line shows its help."""

from dataclasses import dataclass

from flowhft.errors import require

MOST_PATHS = 1_000_000_000  # indices of paths are 32 bits
# How warnings begin that are true of the recording at hand, and not of every replay.
OF_THIS_RECORDING = ("recording: ", "calibration: ", "closed time: ")
BLOCK_SECONDS = 10.0  # of the bootstrap: longer than the memory of order flow, much shorter than a recording
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
    """The costs at which everything is replayed once more: every fee with every latency."""

    fees: tuple[float, ...] = ()
    """Maker fees, basis points; only the replay's own if none is named."""
    latencies: tuple[float, ...] = ()
    """Latencies to the venue, and as much back, milliseconds; only the replay's own if none is named."""

    def __post_init__(self) -> None:
        for name, least in (("fees", -10_000.0), ("latencies", 0.0)):
            values = getattr(self, name)
            require(len(set(values)) == len(values), name, "hold every number once", values)
            rule = "be above -10,000 and finite" if least else "be 0 or more, and finite"
            inside = all(least <= value < float("inf") for value in values)
            require(inside, name, rule, values)
        size = max(1, len(self.fees)) * max(1, len(self.latencies))
        require(size <= MOST_COSTS, "fees", f"make a grid of at most {MOST_COSTS} points", size)

    @property
    def asked(self) -> bool:
        """Whether there is anything to sweep over."""
        return bool(self.fees or self.latencies)


@dataclass(frozen=True)
class WalkSettings:
    """How a walk rolls on: the lengths of its windows, and what is fitted in each."""

    learn: float | None = None
    """Seconds before a window that its market is calibrated on; by default 0.4 of the first session."""
    trade: float | None = None
    """Seconds that are traded before the market is calibrated again; by default 0.1 of the first session."""
    adapt: str = "flowhft"
    """Saved policy that is adapted to every calibrated market (by `state`) and trades under the name
    `adapted`; empty for none."""
    paths: int = 400
    """Simulated sessions on which a candidate of the adaptation is judged, and as many fresh ones."""
    generations: int = 6
    """Generations of the adaptation's search after its grid."""
    teachers: int = 0
    """Simulated sessions by which the risk aversion of every expert is chosen in every calibrated market; 0
    for the scenario's own, 0.1 k."""

    def __post_init__(self) -> None:
        for name in ("learn", "trade"):
            seconds = getattr(self, name)
            require(
                seconds is None or 0.0 < seconds < float("inf"),
                name,
                "be positive and finite",
                f"{seconds} s",
            )
        require(self.paths >= 2, "paths", "be at least 2", self.paths)
        require(self.generations >= 1, "generations", "be at least 1", self.generations)
        require(self.teachers == 0 or self.teachers >= 2, "teachers", "be 0, or at least 2", self.teachers)
