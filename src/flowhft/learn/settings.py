"""Settings of learning. Nothing here imports jax, so that a command line can show its help at once."""

from dataclasses import dataclass
from typing import Literal

from flowhft import experts
from flowhft.errors import require
from flowhft.flow.settings import ObjectiveName
from flowhft.metrics import CRITERIA, RISK_WEIGHT

# A batch is cut into quarters (shortcut) of groups of eight (samples that share a flow time).
BATCH_UNIT = 32
MOST_SESSIONS = 1_000_000  # a candidate: the measures of each of its sessions are held in memory


@dataclass(frozen=True)
class TrainingSettings:
    """How a flow policy is trained on demonstrations."""

    objective: ObjectiveName = "flow_matching"
    """What the network learns: `flow_matching` (several steps) or `shortcut` (from one step up)."""
    updates: int = 20_000
    """Updates of the weights."""
    batch: int = 1024
    """Chunks an update learns from, a multiple of 32."""
    learning_rate: float = 3e-4
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    warmup: int = 500
    """Updates over which the learning rate rises from 0; at most half of `updates` is used."""
    weight_decay: float = 1e-4
    """Decay of matrices (AdamW); biases and label embeddings do not decay."""
    clip: float = 1.0
    """Largest norm of a gradient; a longer one is scaled down to it."""
    ema: float = 0.999
    """Weight of the past in the running average of the network, reached by the ramp (1 + n) / (10 + n)."""
    held_out: float = 0.1
    """Share of the demonstrated sessions that is held out for the validation loss."""
    checkpoint_every: int = 2_000
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""

    def __post_init__(self) -> None:
        require(self.updates >= 1, "updates", "be at least 1", self.updates)
        require(
            self.batch >= BATCH_UNIT and self.batch % BATCH_UNIT == 0,
            "batch",
            f"be a multiple of {BATCH_UNIT}",
            self.batch,
        )
        require(0.0 < self.learning_rate < float("inf"), "learning_rate", "be positive", self.learning_rate)
        require(self.warmup >= 0, "warmup", "be 0 or more", self.warmup)
        require(self.weight_decay >= 0.0, "weight_decay", "be 0 or more", self.weight_decay)
        require(self.clip > 0.0, "clip", "be positive", self.clip)
        require(0.0 <= self.ema < 1.0, "ema", "lie in [0, 1)", self.ema)
        require(0.0 < self.held_out < 1.0, "held_out", "lie between 0 and 1", self.held_out)
        require(self.checkpoint_every >= 1, "checkpoint_every", "be at least 1", self.checkpoint_every)


@dataclass(frozen=True)
class TeacherSettings:
    """How the expert that teaches in a scenario is chosen."""

    experts: tuple[str, ...] = ("white_noise", "avellaneda_stoikov", "glft", "glft_drift")
    """Experts that may teach."""
    risk_aversions: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Risk aversions that each is tried with, in units of the fill decay k."""
    criterion: Literal["pnl", "sharpe", "utility"] = "utility"
    """What the best is best in: mean PnL, Sharpe ratio, or mean less risk weight x standard deviation."""
    risk_weight: float = RISK_WEIGHT
    """Standard deviations that `utility` takes off the mean."""
    paths: int = 2_000
    """Sessions by which a candidate is judged."""
    fresh_paths: int = 2_000
    """Fresh sessions on which all are judged once more: those that chose flatter the choice."""

    def __post_init__(self) -> None:
        require(len(self.experts) >= 1, "experts", "name at least one expert", "none")
        for name in self.experts:
            experts.get(name)
        require(
            len(set(self.experts)) == len(self.experts),
            "experts",
            "name every expert once",
            ",".join(self.experts),
        )
        require(len(self.risk_aversions) >= 1, "risk_aversions", "hold at least one number", "none")
        require(
            all(0.0 < value < float("inf") for value in self.risk_aversions),
            "risk_aversions",
            "be positive",
            self.risk_aversions,
        )
        require(
            self.criterion in CRITERIA, "criterion", f"be one of {', '.join(CRITERIA)}", repr(self.criterion)
        )
        require(0.0 <= self.risk_weight < float("inf"), "risk_weight", "be 0 or more", self.risk_weight)
        require(2 <= self.paths <= MOST_SESSIONS, "paths", f"lie between 2 and {MOST_SESSIONS:,}", self.paths)
        require(
            2 <= self.fresh_paths <= MOST_SESSIONS,
            "fresh_paths",
            f"lie between 2 and {MOST_SESSIONS:,}",
            self.fresh_paths,
        )


@dataclass(frozen=True)
class AdaptSettings:
    """How the map behind a policy is fitted to today's market."""

    criterion: Literal["pnl", "sharpe", "utility"] = "utility"
    """What is improved: mean PnL, Sharpe ratio, or mean less a quarter of a standard deviation."""
    paths: int = 1_000
    """Validation sessions on which every candidate is judged."""
    fresh_paths: int = 4_000
    """Fresh sessions on which the choice is judged once."""
    rounds: int = 2
    """Turns through the directions (skew, width, lean, scale)."""
    candidates: int = 7
    """Points of the grid along a direction, the current one in the middle: an odd number."""
    shrink: float = 0.4
    """Factor on the grid from one round to the next."""

    def __post_init__(self) -> None:
        require(
            self.criterion in CRITERIA, "criterion", f"be one of {', '.join(CRITERIA)}", repr(self.criterion)
        )
        for name in ("paths", "fresh_paths"):
            value = getattr(self, name)
            require(2 <= value <= MOST_SESSIONS, name, f"lie between 2 and {MOST_SESSIONS:,}", value)
        require(self.rounds >= 1, "rounds", "be at least 1", self.rounds)
        require(
            self.candidates >= 3 and self.candidates % 2 == 1,
            "candidates",
            "be an odd number from 3",
            self.candidates,
        )
        require(0.0 < self.shrink <= 1.0, "shrink", "lie in (0, 1]", self.shrink)


@dataclass(frozen=True)
class TuneSettings:
    """How a closed form is tuned to a scenario: its risk aversion, then the map behind it."""

    risk_aversions: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """Risk aversions that are tried besides the scenario's own, in units of the fill decay k."""
    search: AdaptSettings = AdaptSettings()
    """Criterion, paths, and the search for the map."""

    def __post_init__(self) -> None:
        require(len(self.risk_aversions) >= 1, "risk_aversions", "hold at least one number", "none")
        require(
            all(0.0 < value < float("inf") for value in self.risk_aversions),
            "risk_aversions",
            "be positive",
            self.risk_aversions,
        )
