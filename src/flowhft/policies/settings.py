"""Settings of a flow policy: what the network is, and how quotes are drawn from it.

Nothing here imports jax, so that a command line can show its help at once.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from flowhft.errors import require
from flowhft.features import ANSWERS, HALF_SPREADS, NAMES
from flowhft.runs.ranges import Count, Inside, NotNegative, Range, check_ranges

ObjectiveName = Literal[
    "flow_matching", "shortcut", "flow_map", "rectified", "regression", "minimal_iterative"
]

FeaturesName = Literal["context", "paper", "told", "book"]

MOST_EVALUATIONS = 4096  # steps of a sampler: each is worked out beforehand, and none learns from more


def is_power_of_two(number: int) -> bool:
    """Return whether a number is 1, 2, 4, 8, ..."""
    return number >= 1 and number & (number - 1) == 0


@dataclass(frozen=True)
class NetworkSettings:
    """Shape of the velocity network."""

    features: FeaturesName = "context"
    """What the policy senses: `context` estimates the regime, `paper` is the state of the FlowHFT paper,
    `told` is `context` and the numbers of the scenario, which only a simulation knows: a control; `book` is
    the order book as each side sees it, for demonstrations of `flowhft teach`."""
    horizon: Annotated[int, Range(1, unit="step")] = 16
    """Steps that one chunk of quotes predicts."""
    width: Annotated[int, Range(2, unit="units")] = 128
    """Units of every hidden layer."""
    blocks: Count = 3
    """Residual blocks."""
    finest: int = 8
    """Most steps of a shortcut sampler, a power of two: its ladder is 1, 2, 4, ... up to this."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(
            is_power_of_two(self.finest),
            "finest",
            "be a power of two, since a shortcut of step d is learned from two of d / 2",
            self.finest,
            "Choose 1, 2, 4, 8, ...",
        )

    @property
    def feature_count(self) -> int:
        """Return F, the number of features."""
        return len(NAMES[self.features])

    @property
    def answers(self) -> tuple[str, ...]:
        """Return what a step of a chunk holds: two half-spreads, or a score for every choice of a side."""
        return ANSWERS.get(self.features, HALF_SPREADS)

    @property
    def chunk_size(self) -> int:
        """Return D, the numbers in a chunk of quotes: those of a step times the horizon."""
        return len(self.answers) * self.horizon


@dataclass(frozen=True)
class SamplerSettings:
    """How a chunk of quotes is drawn from the network."""

    steps: Count = 8
    """Steps from noise to quotes; a shortcut policy takes a power of two up to its `finest`, a regression
    takes 1 and a minimal_iterative policy 2."""
    solver: Literal["euler", "heun", "adaptive"] = "euler"
    """`euler` asks the network once a step, `heun` twice (second order), `adaptive` as often as `tolerance`
    wants (it cannot be frozen); all but `euler` for flow_matching and rectified policies only."""
    tolerance: Inside = 1e-4
    """Error of a step that the adaptive solver allows itself, relative and absolute."""
    noise_scale: NotNegative = 0.0
    """Standard deviation of the initial noise: 0 quotes deterministically, 1 like the experts' mixture."""
    noise: Literal["fresh", "held"] = "fresh"
    """`fresh` noise for every chunk, or `held`: the same all session, which stays with one expert's ways."""
    warm_start: Annotated[float, Range(0.0, 1.0, most_open=True, fix="0 begins every chunk from noise.")] = (
        0.0
    )
    """Flow time at which a chunk begins from the one before, moved up by what was quoted; 0 is from noise."""
    execute: Annotated[int, Range(1, unit="step")] = 1
    """Steps of a chunk that are quoted before the next chunk is drawn, at most the network's `horizon`."""

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.steps <= MOST_EVALUATIONS, "steps", f"be at most {MOST_EVALUATIONS:,}", self.steps)
