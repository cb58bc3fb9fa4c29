"""Settings of a walk. Nothing here imports jax: a command line shows its help."""

from dataclasses import dataclass

from flowhft.errors import require

LEARN_SHARE, TRADE_SHARE = 0.4, 0.1  # of the first session, where no lengths are set


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
