"""Settings of learning. Nothing here imports jax, so that a command line can show its help at once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from flowhft.errors import require
from flowhft.metrics.table import RISK_WEIGHT
from flowhft.policies import rules as experts
from flowhft.policies.settings import ObjectiveName
from flowhft.runs.ranges import (
    Count,
    CountOrNone,
    Inside,
    NotNegative,
    Open,
    Positive,
    Range,
    Several,
    check_ranges,
)

# A batch is cut into quarters (shortcut, flow_map) of groups of eight (samples that share a flow time).
BATCH_UNIT = 32
StopBy = Literal["validation_loss", "closed_loop"]
MOST_SESSIONS = 1_000_000  # a candidate: the measures of each of its sessions are held in memory
BELOW_ONE = Range(0.0, 1.0, most_open=True)


@dataclass(frozen=True)
class TrainingSettings:
    """How a flow policy is trained on demonstrations."""

    objective: Annotated[ObjectiveName, Open()] = "flow_matching"
    """What the network learns: `flow_matching` (a velocity, for several steps), `shortcut` or `flow_map`
    (steps that know their size, from one up), `rectified` (what `flowhft distil` learns), `regression` or
    `minimal_iterative` (controls)."""
    updates: Count = 80_000
    """Updates of the weights; the last is done at a learning rate of 0. Some 8 ms each on two cores."""
    batch: int = 1024
    """Chunks an update learns from, a multiple of 32."""
    learning_rate: Positive = 3e-4
    """Highest learning rate: reached after the warm-up, then a cosine down to 0."""
    warmup: CountOrNone = 500
    """Updates over which the learning rate rises from 0; at most half of `updates` is used."""
    weight_decay: NotNegative = 1e-4
    """Decay of matrices (AdamW); biases do not decay."""
    clip: Positive = 1.0
    """Largest norm of a gradient; a longer one is scaled down to it."""
    ema: Annotated[float, BELOW_ONE] = 0.999
    """Weight of the past in the running average of the network, reached by the ramp (1 + n) / (10 + n)."""
    quiet_share: Annotated[float, BELOW_ONE] = 0.5
    """Share of samples that begin at less than full noise, down to none. A policy that quotes without noise
    in few steps needs them; 0 is right for one that only ever draws at full noise."""
    hidden: tuple[str, ...] = ()
    """Features that the network cannot see, by the beginnings of their names: `fill` hides own fills. A base
    for `flowhft train` should see neither fills nor orders (which own fills may be all of): that training
    looks at other inventories along one path, and fills would tell of the one that was held there."""
    held_out: Inside = 0.1
    """Share of the demonstrated sessions that is held out for the validation loss."""
    checkpoint_every: Count = 2_000
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""
    examine_every: Count = 5_000
    """Updates between two examinations, in which the policy trades in closed loop beside its teachers."""
    examine_scenarios: CountOrNone = 4
    """Demonstrated scenarios, drawn at random, that examinations are held in; 0 for no closed loop."""
    examine_paths: Annotated[int, Range(2)] = 128
    """Sessions of an examination in each of its scenarios: fresh ones, the same every time."""
    patience: CountOrNone = 0
    """Examinations in a row without a better one after which training ends early and keeps the best network;
    0 trains to the end and keeps the last."""
    stop_by: StopBy = "validation_loss"
    """What is better: a smaller loss on held-out sessions (`validation_loss`), or results in closed loop that
    are nearer to the teachers' (`closed_loop`). Counts with `patience` only."""

    def __post_init__(self) -> None:
        check_ranges(self)
        whole = self.batch >= BATCH_UNIT and self.batch % BATCH_UNIT == 0
        require(whole, "batch", f"be a multiple of {BATCH_UNIT}", self.batch)
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
    pairs: Count = 500_000
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
        check_ranges(self)
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
    sessions: CountOrNone = 0
    """Sessions of every teacher and scenario, the first ones; 0 for all."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in self.teachers:
            experts.get(name)


@dataclass(frozen=True)
class TeacherSettings:
    """How the expert that teaches in a scenario is chosen."""

    experts: Annotated[tuple[str, ...], Several(distinct=True, name="expert")] = (
        "white_noise",
        "avellaneda_stoikov",
        "glft",
        "glft_drift",
    )
    """Experts that may teach."""
    risk_aversions: Annotated[tuple[Positive, ...], Several()] = (0.01, 0.03, 0.1, 0.3)
    """Risk aversions that each is tried with, in units of the fill decay k."""
    criterion: Literal["pnl", "sharpe", "utility"] = "utility"
    """What the best is best in: mean PnL, Sharpe ratio, or mean less risk weight x standard deviation."""
    risk_weight: NotNegative = RISK_WEIGHT
    """Standard deviations that `utility` takes off the mean."""
    paths: Annotated[int, Range(2, MOST_SESSIONS)] = 2_000
    """Sessions by which a candidate is judged."""
    fresh_paths: Annotated[int, Range(2, MOST_SESSIONS)] = 2_000
    """Fresh sessions on which all are judged once more: those that chose flatter the choice."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in self.experts:
            experts.get(name)


@dataclass(frozen=True)
class AdaptSettings:
    """How the map behind a policy is fitted to today's market: what all methods share, and the turns."""

    criterion: Literal["pnl", "sharpe", "utility"] = "utility"
    """What is improved: mean PnL, Sharpe ratio, or mean less a quarter of a standard deviation."""
    inventory_weight: NotNegative = 0.0
    """Taken off the criterion for every lot^2 of the mean squared inventory: a risk of its own."""
    paths: Annotated[int, Range(2, MOST_SESSIONS)] = 1_000
    """Validation sessions on which every candidate is judged."""
    fresh_paths: Annotated[int, Range(2, MOST_SESSIONS)] = 4_000
    """Fresh sessions on which the choice is judged once."""
    rounds: Count = 2
    """Method `turns`: turns through the directions (skew, width, lean, scale)."""
    candidates: int = 7
    """Method `turns`: points of the grid along a direction, the current one in the middle: an odd number."""
    shrink: Annotated[float, Range(0.0, 1.0, least_open=True)] = 0.4
    """Method `turns`: factor on the grid from one round to the next."""

    def __post_init__(self) -> None:
        check_ranges(self)
        odd = self.candidates >= 3 and self.candidates % 2 == 1
        require(odd, "candidates", "be an odd number from 3", self.candidates)


AdaptMethod = Literal["turns", "paper", "printed", "state", "gradient", "last_layer"]


@dataclass(frozen=True)
class GridSettings:
    """The grid of the paper's fine-tuning: every scale with every pair of offsets."""

    scales: Annotated[tuple[Positive, ...], Several(distinct=True)] = (0.9, 1.0, 1.1)
    """Factors on both half-spreads."""
    offsets: Annotated[tuple[Annotated[float, Range()], ...], Several(distinct=True)] = (
        -0.45,
        -0.3,
        -0.15,
        0.0,
        0.15,
        0.3,
        0.45,
    )
    """Offsets that each side is tried with, in units of 1 / k: 0.15 is 0.1 of the paper's price units."""

    def __post_init__(self) -> None:
        check_ranges(self)
        size = len(self.scales) * len(self.offsets) ** 2
        require(size <= MOST_POINTS, "offsets", f"make a grid of at most {MOST_POINTS:,} points", size)


MOST_POINTS = 2_000  # of the paper's grid: each is an account of every path


@dataclass(frozen=True)
class StateSettings:
    """The state-affine search: a grid of skew and width, then CMA-ES in all five directions."""

    population: Annotated[int, Range(4)] = 12
    """Candidates of a generation."""
    generations: Count = 12
    """Generations of CMA-ES after the grid."""
    step: Positive = 0.5
    """First standard deviation, in units of half (width, lean) or three tenths (skew, slope) of 1 / k."""
    bound: float = 8.0
    """Farthest candidate in any direction, in the same units; a choice there is warned of."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(2.0 < self.bound < float("inf"), "bound", "exceed 2, where the grid ends", self.bound)


@dataclass(frozen=True)
class GradientSettings:
    """The ascent along the gradient: Adam on validation paths, stopped by a second set of them."""

    paths: Annotated[int, Range(2, MOST_SESSIONS)] = 256
    """Validation sessions along which the law of inventory is worked out."""
    batches: Count = 2
    """Parts that they are cut into: one is learned from an update, round and round."""
    updates: Count = 80
    """Most updates."""
    rate: Positive = 0.15
    """Learning rate of the map, in units of half (width, lean) or three tenths (skew, slope) of 1 / k."""
    layer_rate: Positive = 1e-3
    """Learning rate of the output layer (method `last_layer`)."""
    check_every: Count = 10
    """Updates between two checks on the second paths, `--search.paths` of them, by simulation."""
    patience: Count = 3
    """Checks in a row without a better one after which the ascent ends."""

    def __post_init__(self) -> None:
        check_ranges(self)
        most = self.paths // 2
        require(self.batches <= most, "batches", f"lie between 1 and {most}", self.batches)


@dataclass(frozen=True)
class TuneSettings:
    """How a closed form is tuned to a scenario: its risk aversion, then the map behind it."""

    risk_aversions: Annotated[tuple[Positive, ...], Several()] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """Risk aversions that are tried besides the scenario's own, in units of the fill decay k."""
    search: AdaptSettings = AdaptSettings()
    """Criterion, paths, and the search for the map."""

    def __post_init__(self) -> None:
        check_ranges(self)
