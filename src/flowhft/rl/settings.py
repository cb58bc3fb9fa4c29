"""Settings of reinforcement learning. Nothing here imports jax, so that help is shown at once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from flowhft.runs.ranges import Count, NotNegative, Positive, Range, Several, Share, check_ranges


@dataclass(frozen=True)
class PpoSettings:
    """How agents are trained by proximal policy optimisation (PPO)."""

    inventory_penalty: NotNegative = 1.0
    """phi of the reward, change of equity - phi inventory^2 dt, in ticks / (lot x second)."""
    updates: Count = 150
    """Updates of the policy, each from fresh episodes."""
    environments: Count = 64
    """Episodes that an update learns from."""
    epochs: Count = 4
    """Passes over the episodes of an update."""
    minibatches: Count = 8
    """Steps of the optimiser in a pass."""
    seeds: Count = 4
    """Agents trained side by side, from different seeds; the best on validation paths is kept."""
    layers: Annotated[tuple[Count, ...], Several(name="layer")] = (64, 64)
    """Units of the hidden layers, of the actor and of the critic."""
    discount: Share = 1.0
    """Factor on the future from one step to the next; sessions end, so that 1 is allowed."""
    trace: Share = 0.8
    """lambda of generalised advantage estimation: 0 trusts the critic, 1 only what happened."""
    clip: Positive = 0.2
    """Largest change of an action's probability in an update that still pays, as a share."""
    learning_rate: Positive = 1e-3
    """Of the optimiser (Adam) at the start."""
    decay: Literal["linear", "none"] = "linear"
    """How the learning rate goes: to 0 at the last update, or not at all."""
    entropy: NotNegative = 0.0
    """Weight of the entropy bonus."""
    value: NotNegative = 0.5
    """Weight of the critic's loss."""
    gradient: Positive = 0.5
    """Largest norm of a gradient; a longer one is scaled down to it."""
    exploration: Positive = 0.5
    """Standard deviation of actions at the start, in units of 1 / k."""
    validation: Annotated[int, Range(2)] = 10_000
    """Episodes, of a stream of their own, by which seeds are compared."""
    checkpoint_every: Count = 25
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""

    def __post_init__(self) -> None:
        check_ranges(self)
