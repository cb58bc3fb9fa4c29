"""What a flow policy learns, one file a method: a loss, and the sampler that suits it.

`loss` works on a batch, since methods differ in how they share it out. How its minimiser is sampled is a row
of `flowhft.policies.plans`. `OBJECTIVES` is the table of names.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import UnknownNameError
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
from flowhft.policies.plans import PlanOf, plan_of
from flowhft.policies.settings import SamplerSettings

Loss = Callable[[VelocityField, VelocityField, PRNGKeyArray, Batch], Float[Array, ""]]


@dataclass(frozen=True)
class Objective:
    """A way to train a flow policy and to draw quotes from it.

    Attributes:
        name: what the command line calls it.
        summary: one line for people.
        loss: (network, ema, key, batch) -> scalar; `ema` is the running average of the network.
        sampler: the sampler that suits it.
        plan: how its minimiser is sampled, of an objective that is not in this table; None for the row of its
            name in `flowhft.policies.plans`.
    """

    name: str
    summary: str
    loss: Loss
    sampler: SamplerSettings
    plan: PlanOf | None = None

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
            sampler: one that passed `flowhft.policies.plans.require_sampler`.
        """
        if sampler.solver == "adaptive":
            return integrate_adaptively(network, x, features, sampler.warm_start, sampler.tolerance)
        return follow(network, plan_of(self.name, sampler, network.finest), x, features)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "flow_matching",
            "the velocity from noise to quotes, integrated in several steps",
            flow_matching.loss,
            flow_matching.DEFAULT_SAMPLER,
        ),
        Objective(
            "shortcut",
            "steps that know their size, 1, 2, 4, ... of them",
            shortcut.loss,
            shortcut.DEFAULT_SAMPLER,
        ),
        Objective(
            "flow_map",
            "jumps between any two flow times, any number of them",
            flow_map.loss,
            flow_map.DEFAULT_SAMPLER,
        ),
        Objective(
            "rectified",
            "the velocity of paths that another flow has straightened, for one step",
            rectified.loss,
            rectified.DEFAULT_SAMPLER,
        ),
        Objective(
            "regression",
            "the mean quote, at once (a control)",
            regression.loss,
            regression.DEFAULT_SAMPLER,
        ),
        Objective(
            "minimal_iterative",
            "the mean quote, and a second look at it (a control)",
            minimal_iterative.loss,
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
