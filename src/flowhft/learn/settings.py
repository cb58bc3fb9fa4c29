"""Settings of learning. Nothing here imports jax, so that a command line can show its help at once."""

from dataclasses import dataclass
from typing import Literal, get_args

from flowhft.errors import require
from flowhft.metrics.table import CRITERIA, RISK_WEIGHT
from flowhft.policies import rules as experts
from flowhft.policies.settings import ObjectiveName

# A batch is cut into quarters (shortcut, flow_map) of groups of eight (samples that share a flow time).
BATCH_UNIT = 32
StopBy = Literal["validation_loss", "closed_loop"]
MOST_SESSIONS = 1_000_000  # a candidate: the measures of each of its sessions are held in memory


@dataclass(frozen=True)
class TrainingSettings:
    """How a flow policy is trained on demonstrations."""

    objective: ObjectiveName = "flow_matching"
    """What the network learns: `flow_matching` (a velocity, for several steps), `shortcut` or `flow_map`
    (steps that know their size, from one up), `rectified` (what `flowhft distil` learns), `regression` or
    `minimal_iterative` (controls)."""
    updates: int = 80_000
    """Updates of the weights; the last is done at a learning rate of 0. Some 8 ms each on two cores."""
    batch: int = 1024
    """Chunks an update learns from, a multiple of 32."""
    learning_rate: float = 3e-4
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    warmup: int = 500
    """Updates over which the learning rate rises from 0; at most half of `updates` is used."""
    weight_decay: float = 1e-4
    """Decay of matrices (AdamW); biases do not decay."""
    clip: float = 1.0
    """Largest norm of a gradient; a longer one is scaled down to it."""
    ema: float = 0.999
    """Weight of the past in the running average of the network, reached by the ramp (1 + n) / (10 + n)."""
    quiet_share: float = 0.5
    """Share of samples that begin at less than full noise, down to none. A policy that quotes without noise
    in few steps needs them; 0 is right for one that only ever draws at full noise."""
    hidden: tuple[str, ...] = ()
    """Features that the network cannot see, by the beginnings of their names: `fill` hides own fills. A base
    for `flowhft train` should see neither fills nor orders (which own fills may be all of): that training
    looks at other inventories along one path, and fills would tell of the one that was held there."""
    held_out: float = 0.1
    """Share of the demonstrated sessions that is held out for the validation loss."""
    checkpoint_every: int = 2_000
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""
    examine_every: int = 5_000
    """Updates between two examinations, in which the policy trades in closed loop beside its teachers."""
    examine_scenarios: int = 4
    """Demonstrated scenarios, drawn at random, that examinations are held in; 0 for no closed loop."""
    examine_paths: int = 128
    """Sessions of an examination in each of its scenarios: fresh ones, the same every time."""
    patience: int = 0
    """Examinations in a row without a better one after which training ends early and keeps the best network;
    0 trains to the end and keeps the last."""
    stop_by: StopBy = "validation_loss"
    """What is better: a smaller loss on held-out sessions (`validation_loss`), or results in closed loop that
    are nearer to the teachers' (`closed_loop`). Counts with `patience` only."""

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
        require(0.0 <= self.quiet_share < 1.0, "quiet_share", "lie in [0, 1)", self.quiet_share)
        require(0.0 < self.held_out < 1.0, "held_out", "lie between 0 and 1", self.held_out)
        for name in ("checkpoint_every", "examine_every"):
            require(getattr(self, name) >= 1, name, "be at least 1", getattr(self, name))
        for name in ("examine_scenarios", "patience"):
            require(getattr(self, name) >= 0, name, "be 0 or more", getattr(self, name))
        require(self.examine_paths >= 2, "examine_paths", "be at least 2", self.examine_paths)
        require(
            self.stop_by in get_args(StopBy),
            "stop_by",
            f"be one of {', '.join(get_args(StopBy))}",
            repr(self.stop_by),
        )
        require(
            not self.patience or self.stop_by != "closed_loop" or self.examine_scenarios > 0,
            "stop_by",
            "be validation_loss where there is no closed loop",
            "closed_loop with examine_scenarios 0",
            "Examine in a scenario at least.",
        )


@dataclass(frozen=True)
class DistilSettings:
    """How a policy of many steps is distilled into one of a single evaluation."""

    updates: int = 40_000
    """Updates of the weights; the last is done at a learning rate of 0."""
    batch: int = 512
    """Pairs of noise and chunk that an update learns from, a multiple of 32."""
    learning_rate: float = 1e-3
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    pairs: int = 500_000
    """Steps of the demonstrations, drawn at random if there are more, at which the policy is asked; 2,048
    more for the validation loss."""
    held_out: float = 0.1
    """Share of the demonstrated sessions that is held out for the validation loss."""
    checkpoint_every: int = 2_000
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""
    examine_every: int = 20_000
    """Updates between two examinations, in which it trades in closed loop beside the policy of many steps."""
    examine_scenarios: int = 4
    """Demonstrated scenarios, drawn at random, that examinations are held in; 0 for no closed loop."""
    examine_paths: int = 512
    """Sessions of an examination in each of its scenarios: fresh ones, the same every time."""

    def __post_init__(self) -> None:
        require(self.pairs >= 1, "pairs", "be at least 1", self.pairs)
        _ = self.training  # which refuses what cannot be

    @property
    def training(self) -> TrainingSettings:
        """Return the settings of its training: noise and what is seen are those of the policy."""
        own = {name: value for name, value in vars(self).items() if name != "pairs"}
        return TrainingSettings(objective="rectified", quiet_share=0.0, **own)


@dataclass(frozen=True)
class DataSettings:
    """What of a data set is learned from."""

    scenarios: tuple[str, ...] = ()
    """Scenarios; all that were demonstrated if none is named."""
    teachers: tuple[str, ...] = ()
    """Experts, in every scenario where they demonstrate; the chosen one of each if none is named."""
    sessions: int = 0
    """Sessions of every teacher and scenario, the first ones; 0 for all."""

    def __post_init__(self) -> None:
        for name in self.teachers:
            experts.get(name)
        require(self.sessions >= 0, "sessions", "be 0 or more", self.sessions)


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
    """How the map behind a policy is fitted to today's market: what all methods share, and the turns."""

    criterion: Literal["pnl", "sharpe", "utility"] = "utility"
    """What is improved: mean PnL, Sharpe ratio, or mean less a quarter of a standard deviation."""
    inventory_weight: float = 0.0
    """Taken off the criterion for every lot^2 of the mean squared inventory: a risk of its own."""
    paths: int = 1_000
    """Validation sessions on which every candidate is judged."""
    fresh_paths: int = 4_000
    """Fresh sessions on which the choice is judged once."""
    rounds: int = 2
    """Method `turns`: turns through the directions (skew, width, lean, scale)."""
    candidates: int = 7
    """Method `turns`: points of the grid along a direction, the current one in the middle: an odd number."""
    shrink: float = 0.4
    """Method `turns`: factor on the grid from one round to the next."""

    def __post_init__(self) -> None:
        require(
            self.criterion in CRITERIA, "criterion", f"be one of {', '.join(CRITERIA)}", repr(self.criterion)
        )
        require(
            0.0 <= self.inventory_weight < float("inf"),
            "inventory_weight",
            "be 0 or more",
            self.inventory_weight,
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


AdaptMethod = Literal["turns", "paper", "printed", "state", "gradient", "last_layer"]


@dataclass(frozen=True)
class GridSettings:
    """The grid of the paper's fine-tuning: every scale with every pair of offsets."""

    scales: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Factors on both half-spreads."""
    offsets: tuple[float, ...] = (-0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45)
    """Offsets that each side is tried with, in units of 1 / k: 0.15 is 0.1 of the paper's price units."""

    def __post_init__(self) -> None:
        for name, least in (("scales", 0.0), ("offsets", float("-inf"))):
            values = getattr(self, name)
            require(len(values) >= 1, name, "hold at least one number", "none")
            require(len(set(values)) == len(values), name, "hold every number once", values)
            rule = "be finite" if least < 0.0 else "be positive and finite"
            require(all(least < value < float("inf") for value in values), name, rule, values)
        size = len(self.scales) * len(self.offsets) ** 2
        require(size <= MOST_POINTS, "offsets", f"make a grid of at most {MOST_POINTS:,} points", size)


MOST_POINTS = 2_000  # of the paper's grid: each is an account of every path


@dataclass(frozen=True)
class StateSettings:
    """The state-affine search: a grid of skew and width, then CMA-ES in all five directions."""

    population: int = 12
    """Candidates of a generation."""
    generations: int = 12
    """Generations of CMA-ES after the grid."""
    step: float = 0.5
    """First standard deviation, in units of half (width, lean) or three tenths (skew, slope) of 1 / k."""
    bound: float = 8.0
    """Farthest candidate in any direction, in the same units; a choice there is warned of."""

    def __post_init__(self) -> None:
        require(self.population >= 4, "population", "be at least 4", self.population)
        require(self.generations >= 1, "generations", "be at least 1", self.generations)
        require(0.0 < self.step < float("inf"), "step", "be positive", self.step)
        require(2.0 < self.bound < float("inf"), "bound", "exceed 2, where the grid ends", self.bound)


@dataclass(frozen=True)
class GradientSettings:
    """The ascent along the gradient: Adam on validation paths, stopped by a second set of them."""

    paths: int = 256
    """Validation sessions along which the law of inventory is worked out."""
    batches: int = 2
    """Parts that they are cut into: one is learned from an update, round and round."""
    updates: int = 80
    """Most updates."""
    rate: float = 0.15
    """Learning rate of the map, in units of half (width, lean) or three tenths (skew, slope) of 1 / k."""
    layer_rate: float = 1e-3
    """Learning rate of the output layer (method `last_layer`)."""
    check_every: int = 10
    """Updates between two checks on the second paths, `--search.paths` of them, by simulation."""
    patience: int = 3
    """Checks in a row without a better one after which the ascent ends."""

    def __post_init__(self) -> None:
        require(2 <= self.paths <= MOST_SESSIONS, "paths", f"lie between 2 and {MOST_SESSIONS:,}", self.paths)
        most = self.paths // 2
        require(1 <= self.batches <= most, "batches", f"lie between 1 and {most}", self.batches)
        for name in ("updates", "check_every", "patience"):
            require(getattr(self, name) >= 1, name, "be at least 1", getattr(self, name))
        for name in ("rate", "layer_rate"):
            require(0.0 < getattr(self, name) < float("inf"), name, "be positive", getattr(self, name))


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
