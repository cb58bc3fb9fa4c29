"""The last layer: the output weights and biases of a flow network, fitted to a market by the gradient.

The map behind a policy moves every quote alike. The output layer can move them by what the network has worked
out of the market; what it has worked out, all layers before, stays as it is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import polars as pl
from jaxtyping import Array, Float

from flowhft.errors import require
from flowhft.flow.policy import FlowPolicy
from flowhft.learn.adapt.gradient import climb, cut, score_along
from flowhft.learn.adapt.notes import Record, quotes_at_nodes
from flowhft.learn.adapt.objective import Score, clearly_better, gain
from flowhft.learn.settings import AdaptSettings, GradientSettings
from flowhft.policies.adapter import IDENTITY
from flowhft.types import Progress, no_progress

# Judges many policies at once, all of them on the same paths.
PoliciesEvaluator = Callable[[Sequence[FlowPolicy]], list[Score]]


class Layer(NamedTuple):
    """What is added to the output layer: float32, shapes (chunk, width) and (chunk,)."""

    weight: Float[Array, "chunk width"]
    bias: Float[Array, " chunk"]


class Refit(NamedTuple):
    """What the ascent found.

    Attributes:
        policy: the best on the second paths; the one that came in unless another is clearly better.
        rows: one row a check, as of a search, and the `change`: root of the sum of squares of what was added.
        best: its score there.
        before: the score of the policy that came in.
        edges: "updates" where it was still getting better at the end.
    """

    policy: FlowPolicy
    rows: pl.DataFrame
    best: Score
    before: Score
    edges: tuple[str, ...]


def with_layer(policy: FlowPolicy, layer: Layer) -> FlowPolicy:
    """Return a policy with something added to its network's output layer."""
    return eqx.tree_at(
        lambda one: (one.network.output.weight, one.network.output.bias),
        policy,
        (policy.network.output.weight + layer.weight, policy.network.output.bias + layer.bias),
    )


def refit_last_layer(
    evaluator: PoliciesEvaluator,
    policy: FlowPolicy,
    records: Sequence[Record],
    search: AdaptSettings,
    settings: GradientSettings,
    progress: Progress = no_progress,
) -> Refit:
    """Fit the output layer of a flow policy by the gradient.

    Args:
        evaluator: judges policies by simulation on the second paths.
        policy: all but its output layer stays as it is. It draws a chunk a step: of an older chunk there is
            nothing to learn.
        records: of the policy along the paths that updates learn from, one a market.
        search: criterion.
        settings: of the ascent.
        progress: told as it goes.

    Raises:
        UsageError: the policy executes more than a step of a chunk.
    """
    require(
        policy.sampler.execute == 1,
        "execute",
        "be 1 where the last layer is fitted",
        policy.sampler.execute,
        "Use --method state, or a policy that draws a chunk at every step.",
    )

    def score(layer: Layer, records: list[Record]) -> Float[Array, ""]:
        moved = with_layer(policy, layer)

        def quotes(record: Record) -> Float[Array, "path step node side"]:
            return jax.vmap(jax.vmap(lambda moment: quotes_at_nodes(moved, moment)))(record.moment)

        return score_along(quotes, records, search)

    def check(layer: Layer) -> tuple[Score, Score]:
        before, after = evaluator([policy, with_layer(policy, layer)])
        return before, after

    output = policy.network.output
    start = Layer(jnp.zeros_like(output.weight), jnp.zeros_like(output.bias))
    result = climb(
        score, start, cut(records, settings.batches), check, settings.layer_rate, settings, progress
    )
    kept = clearly_better(result.outcome, result.start)
    chosen = result.best if kept else start
    tried = [(0, start, result.start), *result.checked]
    rows = []
    for number, layer, evaluated in tried:
        difference = gain(evaluated, result.start)
        rows.append(
            {
                "round": number,
                "direction": "last_layer" if number else "none",
                **IDENTITY._asdict(),
                "change": float(jnp.sqrt(sum(jnp.sum(part**2) for part in layer))),
                "score": evaluated.value,
                "difference": difference.value,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "chosen": layer is chosen,
            }
        )
    return Refit(
        with_layer(policy, chosen) if kept else policy,
        pl.DataFrame(rows),
        result.outcome if kept else result.start,
        result.start,
        ("updates",) if result.edge else (),
    )
