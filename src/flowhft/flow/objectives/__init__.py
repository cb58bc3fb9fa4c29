"""What a flow policy learns, one file a method: a loss, and the plan by which its minimiser is sampled.

`loss` works on a batch, since methods differ in how they share it out; a `Plan` says where the network is
asked for one chunk and what is done with its answers. `OBJECTIVES` is the table of names.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import UnknownNameError, require
from flowhft.flow.adaptive import integrate_adaptively
from flowhft.flow.interpolant import Batch
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import (
    flow_map,
    flow_matching,
    minimal_iterative,
    rectified,
    regression,
    shortcut,
)
from flowhft.flow.sampler import follow
from flowhft.flow.settings import SamplerSettings
from flowhft.policies.plan import Plan

Loss = Callable[[VelocityField, VelocityField, PRNGKeyArray, Batch], Float[Array, ""]]


@dataclass(frozen=True)
class Objective:
    """A way to train a flow policy and to draw quotes from it.

    Attributes:
        name: what the command line calls it.
        summary: one line for people.
        loss: (network, ema, key, batch) -> scalar; `ema` is the running average of the network.
        plan: (sampler, finest) -> the evaluations that draw a chunk; raises UsageError for a sampler that the
            objective does not train.
        sampler: the sampler that suits it.
        adaptive: whether it learns the velocity of a flow, which an adaptive solver can integrate.
    """

    name: str
    summary: str
    loss: Loss
    plan: Callable[[SamplerSettings, int], Plan]
    sampler: SamplerSettings
    adaptive: bool = False

    def require_sampler(self, sampler: SamplerSettings, finest: int) -> None:
        """Require a sampler that this objective trains.

        Args:
            sampler: how a chunk is to be drawn.
            finest: of the network.

        Raises:
            UsageError: it does not.
        """
        if sampler.solver != "adaptive":
            self.plan(sampler, finest)
            return
        require(
            self.adaptive,
            "solver",
            f"be euler for a {self.name} policy: only flow_matching and rectified ones take adaptive steps",
            repr(sampler.solver),
        )

    def carry(
        self,
        network: VelocityField,
        x: Float[Array, " chunk"],
        features: Float[Array, " feature"],
        sampler: SamplerSettings,
    ) -> Float[Array, " chunk"]:
        """Return one scaled chunk: x carried from where the sampler begins to flow time 1.

        Args:
            network: trained by this objective.
            x: noise, or at the warm start's flow time (1 - t) noise + t (the chunk that is known).
            features: scaled.
            sampler: one that passed `require_sampler`.
        """
        if sampler.solver == "adaptive":
            return integrate_adaptively(network, x, features, sampler.warm_start, sampler.tolerance)
        return follow(network, self.plan(sampler, network.finest), x, features)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "flow_matching",
            "the velocity from noise to quotes, integrated in several steps",
            flow_matching.loss,
            flow_matching.plan,
            flow_matching.DEFAULT_SAMPLER,
            adaptive=True,
        ),
        Objective(
            "shortcut",
            "steps that know their size, 1, 2, 4, ... of them",
            shortcut.loss,
            shortcut.plan,
            shortcut.DEFAULT_SAMPLER,
        ),
        Objective(
            "flow_map",
            "jumps between any two flow times, any number of them",
            flow_map.loss,
            flow_map.plan,
            flow_map.DEFAULT_SAMPLER,
        ),
        Objective(
            "rectified",
            "the velocity of paths that another flow has straightened, for one step",
            rectified.loss,
            rectified.plan,
            rectified.DEFAULT_SAMPLER,
            adaptive=True,
        ),
        Objective(
            "regression",
            "the mean quote, at once (a control)",
            regression.loss,
            regression.plan,
            regression.DEFAULT_SAMPLER,
        ),
        Objective(
            "minimal_iterative",
            "the mean quote, and a second look at it (a control)",
            minimal_iterative.loss,
            minimal_iterative.plan,
            minimal_iterative.DEFAULT_SAMPLER,
        ),
    )
}


def get(name: str) -> Objective:
    """Return the objective of this name.

    Raises:
        UnknownNameError: with the nearest name that exists.
    """
    if name not in OBJECTIVES:
        raise UnknownNameError("objective", name, OBJECTIVES)
    return OBJECTIVES[name]
