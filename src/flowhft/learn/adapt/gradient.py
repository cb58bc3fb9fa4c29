"""Pathwise gradient: Adam up the score, through the market, without a sampled fill.

Fills are expected, not drawn, and yet their variance counts whole: the law of inventory is propagated along
every path (`flowhft.learn.regime.law`), with the first two moments of the wealth at every inventory. To put
expected fills into the inventory itself would be simpler and wrong: a maker who trades as often on both sides
would then hold nothing and have no risk.

What the gradient proposes is judged by simulation, on paths of their own: the law takes what the policy
senses from its own run, and the intensity of orders that own fills excite by its mean.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from flowhft.learn.adapt.notes import Moment, Record
from flowhft.learn.adapt.objective import Score, clearly_better
from flowhft.learn.adapt.search import Evaluator, Scales, Search, adapter_at, plain, row_of, table_of
from flowhft.learn.regime.law import NODES, Law, law_along
from flowhft.learn.settings import AdaptSettings, GradientSettings
from flowhft.metrics.estimators import RISK_WEIGHT
from flowhft.policies.adapter import IDENTITY, Adapter, adapt_quote
from flowhft.types import Progress, Quote, no_progress

# Share of the whole gain that the last check of an ascent may add before more updates are worth trying.
STILL_RISING = 0.02


def adapted_nodes(
    adapter: Adapter, moment: Moment, base: Float[Array, "node side"]
) -> Float[Array, "node side"]:
    """Return the half-spreads at the nodes with an adapter behind them, ticks."""
    seen = moment.observation._replace(inventory=jnp.asarray(NODES, jnp.float32))
    return jnp.stack(adapt_quote(adapter, Quote(base[:, 0], base[:, 1]), seen)[:2], axis=-1)


def score_of(law: Law, settings: AdaptSettings) -> Float[Array, ""]:
    """Return the criterion of a maker whose law along every path is known, paths first.

    Args:
        law: fields of shape (path,).
        settings: criterion and weight of inventory.
    """
    mean, centre = jnp.mean(law.mean), jnp.mean(law.realised)
    # Relative to the centre: in single precision the difference of two large squares would be noise.
    variance = jnp.mean(law.square - 2.0 * centre * law.realised + centre**2 + law.jumps)
    deviation = jnp.sqrt(jnp.maximum(variance, 1e-12))
    held = settings.inventory_weight * jnp.mean(law.square_inventory)
    if settings.criterion == "pnl":
        return mean - held
    if settings.criterion == "sharpe":
        return mean / deviation - held
    return mean - RISK_WEIGHT * deviation - held


def score_along(
    quotes: Callable[[Record], Float[Array, "path step node side"]],
    records: Sequence[Record],
    settings: AdaptSettings,
) -> Float[Array, ""]:
    """Return the mean score over markets of what quotes at the nodes, by the law.

    Args:
        quotes: half-spreads at the nodes along the paths of a record, ticks.
        records: one a market.
        settings: criterion.
    """
    laws = [jax.vmap(law_along)(record.path_law, quotes(record)) for record in records]
    return jnp.mean(jnp.stack([score_of(law, settings) for law in laws]))


class Climb(NamedTuple):
    """Where an ascent ended.

    Attributes:
        best: the parameters that were best on the second paths.
        outcome: their score there.
        start: the score at the start.
        checked: update, parameters and score of every check.
        edge: whether it was still rising when updates ran out.
    """

    best: Any
    outcome: Score
    start: Score
    checked: list[tuple[int, Any, Score]]
    edge: bool


def climb(
    score: Callable[[Any, list[Record]], Float[Array, ""]],
    start: Any,
    batches: Sequence[list[Record]],
    check: Callable[[Any], tuple[Score, Score]],
    rate: float,
    settings: GradientSettings,
    progress: Progress = no_progress,
) -> Climb:
    """Go up the gradient of a score by Adam, and stop where a second set of paths sees no gain any more.

    Args:
        score: of parameters along records, by the law.
        start: parameters.
        batches: records of the paths that updates learn from, one batch an update, round and round.
        check: judges the start and parameters by simulation on the second paths.
        rate: learning rate, which falls to 0 along a cosine.
        settings: updates, checks, patience.
        progress: told before every check.
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, settings.updates))
    )

    @eqx.filter_jit
    def update(parameters: Any, state: Any, records: list[Record]) -> tuple[Any, Any]:
        slope = jax.grad(lambda own: -score(own, records))(parameters)
        steps, state = optimiser.update(slope, state, parameters)
        return optax.apply_updates(parameters, steps), state

    parameters, state = start, optimiser.init(start)
    beginning, outcome = check(start)
    best, highest = start, outcome
    checked, waited = [], 0
    for number in range(1, settings.updates + 1):
        parameters, state = update(parameters, state, batches[(number - 1) % len(batches)])
        if number % settings.check_every and number != settings.updates:
            continue
        progress(number / settings.updates, f"update {number}")
        _, outcome = check(parameters)
        checked.append((number, parameters, outcome))
        better = outcome.value > highest.value
        if better:
            best, highest, waited = parameters, outcome, 0
        else:
            waited += 1
            if waited >= settings.patience:
                break
    before = max((outcome.value for _, _, outcome in checked[:-1]), default=beginning.value)
    rising = checked[-1][2].value - before > STILL_RISING * (highest.value - beginning.value)
    return Climb(best, highest, beginning, checked, rising)


def cut(records: Sequence[Record], batches: int) -> list[list[Record]]:
    """Cut the paths of records into equal batches."""
    paths = records[0].base.shape[0]
    size = paths // batches
    return [
        [jax.tree.map(lambda leaf, n=n: leaf[n * size : (n + 1) * size], record) for record in records]
        for n in range(batches)
    ]


def search_by_gradient(
    evaluator: Evaluator,
    records: Sequence[Record],
    scales: Scales,
    search: AdaptSettings,
    settings: GradientSettings,
    progress: Progress = no_progress,
) -> Search:
    """Search offsets, scale, skew and slope by the gradient.

    Args:
        evaluator: judges adapters by simulation on the second paths.
        records: of the frozen policy along the paths that updates learn from, one a market.
        scales: in which steps are measured.
        search: criterion.
        settings: of the ascent.
        progress: told as it goes.
    """

    def score(point: Float[Array, "5"], records: list[Record]) -> Float[Array, ""]:
        adapter = adapter_at(point, scales, jnp.exp)

        def quotes(record: Record) -> Float[Array, "path step node side"]:
            return jax.vmap(jax.vmap(lambda *now: adapted_nodes(adapter, *now)))(record.moment, record.base)

        return score_along(quotes, records, search)

    def check(point: Float[Array, "5"]) -> tuple[Score, Score]:
        before, after = evaluator([IDENTITY, plain(adapter_at(point, scales))])
        return before, after

    result = climb(
        score, jnp.zeros(5), cut(records, settings.batches), check, settings.rate, settings, progress
    )
    rows = [row_of(0, "none", IDENTITY, result.start, result.start)]
    rows += [
        row_of(number, "gradient", plain(adapter_at(point, scales)), outcome, result.start)
        for number, point, outcome in result.checked
    ]
    chosen, best = plain(adapter_at(result.best, scales)), result.outcome
    if not clearly_better(best, result.start):
        chosen, best = IDENTITY, result.start
    return Search(chosen, table_of(rows, chosen), best, result.start, ("updates",) if result.edge else ())
