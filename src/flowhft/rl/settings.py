"""Settings of reinforcement learning. Nothing here imports jax, so that help is shown at once."""

from dataclasses import dataclass
from typing import Literal

from flowhft.errors import require


@dataclass(frozen=True)
class PpoSettings:
    """How agents are trained by proximal policy optimisation (PPO)."""

    inventory_penalty: float = 1.0
    """phi of the reward, change of equity - phi inventory^2 dt, in ticks / (lot x second)."""
    updates: int = 150
    """Updates of the policy, each from fresh episodes."""
    environments: int = 64
    """Episodes that an update learns from."""
    epochs: int = 4
    """Passes over the episodes of an update."""
    minibatches: int = 8
    """Steps of the optimiser in a pass."""
    seeds: int = 4
    """Agents trained side by side, from different seeds; the best on validation paths is kept."""
    layers: tuple[int, ...] = (64, 64)
    """Units of the hidden layers, of the actor and of the critic."""
    discount: float = 1.0
    """Factor on the future from one step to the next; sessions end, so that 1 is allowed."""
    trace: float = 0.8
    """lambda of generalised advantage estimation: 0 trusts the critic, 1 only what happened."""
    clip: float = 0.2
    """Largest change of an action's probability in an update that still pays, as a share."""
    learning_rate: float = 1e-3
    """Of the optimiser (Adam) at the start."""
    decay: Literal["linear", "none"] = "linear"
    """How the learning rate goes: to 0 at the last update, or not at all."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    value: float = 0.5
    """Weight of the critic's loss."""
    gradient: float = 0.5
    """Largest norm of a gradient; a longer one is scaled down to it."""
    exploration: float = 0.5
    """Standard deviation of actions at the start, in units of 1 / k."""
    validation: int = 10_000
    """Episodes, of a stream of their own, by which seeds are compared."""
    checkpoint_every: int = 25
    """Updates between two checkpoints, from which an interrupted training resumes exactly."""

    def __post_init__(self) -> None:
        for name in ("updates", "environments", "epochs", "minibatches", "seeds", "checkpoint_every"):
            require(getattr(self, name) >= 1, name, "be at least 1", getattr(self, name))
        require(self.validation >= 2, "validation", "be at least 2", self.validation)
        require(
            len(self.layers) >= 1 and min(self.layers) >= 1,
            "layers",
            "hold at least one layer of at least one unit",
            self.layers,
        )
        for name in ("discount", "trace"):
            require(0.0 <= getattr(self, name) <= 1.0, name, "lie in [0, 1]", getattr(self, name))
        for name in ("clip", "learning_rate", "gradient", "exploration"):
            value = getattr(self, name)
            require(0.0 < value < float("inf"), name, "be positive and finite", value)
        for name in ("inventory_penalty", "entropy", "value"):
            value = getattr(self, name)
            require(0.0 <= value < float("inf"), name, "be finite and not negative", value)
        require(self.decay in ("linear", "none"), "decay", "be linear or none", repr(self.decay))
