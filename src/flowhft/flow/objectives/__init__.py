"""What a flow policy learns, one file a method: a loss, and how to draw from its minimiser.

`loss` works on a batch, since methods differ in how they share it out; `sample` draws one chunk.
`OBJECTIVES` is the table of names.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import UnknownNameError
from flowhft.flow.interpolant import Batch
from flowhft.flow.network import VelocityField
from flowhft.flow.objectives import flow_matching, shortcut
from flowhft.flow.settings import SamplerSettings

Loss = Callable[[VelocityField, VelocityField, PRNGKeyArray, Batch], Float[Array, ""]]
Sample = Callable[
    [VelocityField, PRNGKeyArray, Float[Array, " feature"], int, SamplerSettings], Float[Array, " chunk"]
]


@dataclass(frozen=True)
class Objective:
    """A way to train a flow policy and to draw quotes from it.

    Attributes:
        name: what the command line calls it.
        summary: one line for people.
        loss: (network, ema, key, batch) -> scalar; `ema` is the running average of the network.
        sample: (network, key, scaled features, chunk size, sampler) -> scaled chunk.
        label_of: (sampler, finest label) -> the label with which the sampler asks the network; raises
            UsageError for a sampler that the objective does not train.
        sampler: the sampler that suits it.
    """

    name: str
    summary: str
    loss: Loss
    sample: Sample
    label_of: Callable[[SamplerSettings, int], int]
    sampler: SamplerSettings


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "flow_matching",
            "the velocity from noise to quotes, integrated in several steps",
            flow_matching.loss,
            flow_matching.sample,
            flow_matching.label_of,
            flow_matching.DEFAULT_SAMPLER,
        ),
        Objective(
            "shortcut",
            "steps that know their size, from one up",
            shortcut.loss,
            shortcut.sample,
            shortcut.label_of,
            shortcut.DEFAULT_SAMPLER,
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
