"""The queue rule: how an order of ours advances, and what a trade leaves for it.

One rule for the venue that fills orders of a session (`flowhft.desk.replay.house`) and for orders that were
never sent (`flowhft.desk.replay.labels`). Booked whole it is hftbacktest's rule, to the last digit, which is
its oracle. What reaches an order:

    a trade at its price        what exceeds the lots ahead of it: ahead falls by the trade
    a trade beyond its price    all of the trade
    the other side's book       comes to its price or beyond: it is met

and the order is filled whole by whatever reaches it, or, capped, by no more than that. An order that was
answered (`improve`) has lost its priority: any trade at or beyond its price eats what stands ahead of it
first, until one goes beyond the touch that it had improved.

Not modelled: that what we take is missing for others.

Source: hftbacktest 2.4 (N. Kazakov), its queue models and exchange without partial fills; the probability
models after E. Rigtorp, "Estimating order queue position", 2013. Deviations: capped, answered, hidden.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numba import njit

from flowhft.desk.compiled.chance import uniform
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import require

MODELS = ("risk_adverse", "log_prob", "log_prob2", "power_prob", "power_prob2", "power_prob3")
RISK_ADVERSE, LOG_PROB, LOG_PROB2, POWER_PROB, POWER_PROB2, POWER_PROB3 = range(len(MODELS))


class QueueRule(NamedTuple):
    """How orders advance and fill.

    Attributes:
        model: place in `MODELS`.
        power: exponent of the `power_prob` models.
        whole: whether what reaches an order fills it whole; else by no more lots than reached it.
        hidden: whether trades inside the spread, which no displayed order explains, reach orders.
        answered: share of the orders that improve the touch and lose their priority, 0 to 1.
        seed: of the draws which of them do.
    """

    model: int
    power: float
    whole: bool
    hidden: bool
    answered: float
    seed: int


def rule_of(settings: ReplaySettings, seed: int) -> QueueRule:
    """Return the settings of a replay as the queue rule has them.

    Args:
        settings: queue model, how fills are booked, answers and hidden executions are used.
        seed: of the draws which orders are answered.

    Raises:
        UsageError: the queue is one of single orders.
    """
    require(
        settings.queue_model in MODELS,
        "queue_model",
        f"be one of levels: {', '.join(MODELS)}",
        settings.queue_model,
        "Only hftbacktest knows the queue of single orders.",
    )
    return QueueRule(
        model=MODELS.index(settings.queue_model),
        power=float(settings.queue_power),
        whole=not settings.capped,
        hidden=settings.hidden,
        answered=settings.answered_share,
        seed=seed,
    )


# What is known of an order's place: lots ahead of it, lots that traded at its price since its level last
# changed, and the touch that it improved where it was answered for that, ticks; `PRIORITY` where it was not.
AHEAD, TRADED, TOUCH = range(3)
PRIORITY = 2.0**62


@njit(error_model="numpy")
def _least(one: float, other: float) -> float:
    """Return the smaller of two numbers; of a number and NaN, the number."""
    if one != one:
        return other
    return one if other != other or one <= other else other


@njit(error_model="numpy")
def _weight(rule: QueueRule, lots: float) -> float:
    """Return f(lots): log(1 + lots), or a power of them."""
    if rule.model == LOG_PROB or rule.model == LOG_PROB2:
        return math.log(1.0 + lots)
    return lots**rule.power


@njit(error_model="numpy")
def share_behind(rule: QueueRule, front: float, back: float) -> float:
    """Return the share of cancellations at a level that were behind an order.

    f(back) / (f(back) + f(front)) for `log_prob` and `power_prob`, f(back) / f(back + front) for those with a
    2, 1 - f(front / (front + back)) for `power_prob3`, with f(x) = log(1 + x) or x^power. NaN where both are
    0; infinite counts as 1.

    Args:
        rule: with the model.
        front: lots ahead.
        back: lots behind.
    """
    if rule.model == POWER_PROB3:
        share = 1.0 - _weight(rule, front / (front + back))
    elif rule.model == LOG_PROB2 or rule.model == POWER_PROB2:
        share = _weight(rule, back) / _weight(rule, back + front)
    else:
        share = _weight(rule, back) / (_weight(rule, back) + _weight(rule, front))
    return 1.0 if math.isinf(share) else share


@njit(error_model="numpy")
def level_changed(rule: QueueRule, place: Float[np.ndarray, "3"], before: float, after: float) -> None:
    """Let an order advance as the level at its price changes.

    With `risk_adverse` no more is ahead than the level holds. The others take what shrank beyond trades for
    cancellations, of which `share_behind` came from behind.

    Args:
        rule: with the model.
        place: of the order; changed.
        before: lots of the level.
        after: likewise.
    """
    if place[TOUCH] != PRIORITY:
        return  # what stands ahead of it stands at a better price
    if rule.model == RISK_ADVERSE:
        place[AHEAD] = min(place[AHEAD], after)
        return
    shrank = before - after - place[TRADED]
    place[TRADED] = 0.0
    front = place[AHEAD]
    if shrank < 0.0:
        place[AHEAD] = _least(front, after)
        return
    back = before - front
    share = share_behind(rule, front, back)
    front = front - (1.0 - share) * shrank + _least(back - share * shrank, 0.0)
    place[AHEAD] = _least(front, after)


@njit(error_model="numpy")
def join(place: Float[np.ndarray, "3"], lots: float) -> None:
    """Put an order behind the lots that stand at its price.

    Args:
        place: of the order; written.
        lots: at its price.
    """
    place[AHEAD], place[TRADED], place[TOUCH] = lots, 0.0, PRIORITY


@njit
def improve(rule: QueueRule, place: Float[np.ndarray, "3"], number: int, touch: int, lots: float) -> None:
    """Let an order that stands before the touch be answered, or not, by a draw that its number decides.

    Who answers quotes a tick better and as much as stood at the touch, at the very moment: that much is ahead
    of our order from now on, and does not leave but by trades.

    Args:
        rule: with the share of those that are answered.
        place: of the order, after `join`; changed.
        number: of the order.
        touch: the best price that it improved, ticks.
        lots: that stand there.
    """
    if rule.answered <= 0.0:
        return
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(rule.seed) + np.uint64(number) * np.uint64(0xD1342543DE82EF95)
    if uniform(state) < rule.answered:
        place[AHEAD], place[TOUCH] = lots, float(touch)


@njit(error_model="numpy")
def reached_by_trade(
    rule: QueueRule, place: Float[np.ndarray, "3"], sign: int, price: int, traded: int, lots: int
) -> int:
    """Return the lots of a trade that reach an order, which it advances.

    Args:
        rule: that it obeys.
        place: of the order; changed.
        sign: 1 of a bid, -1 of an ask.
        price: of the order, ticks.
        traded: price of the trade, at or beyond it, ticks.
        lots: of the trade.
    """
    if place[TOUCH] != PRIORITY:
        if sign * (place[TOUCH] - traded) > 0.0:
            return lots  # nothing stands ahead any more
    elif price != traded:
        return lots
    place[AHEAD] -= lots
    place[TRADED] += lots
    reached = math.floor(0.5 - place[AHEAD])
    if reached > 0:
        place[AHEAD] = 0.0
        return int(reached)
    return 0


@njit
def filled_of(rule: QueueRule, left: int, reached: int) -> int:
    """Return the lots of an order that are filled by what reached it.

    Args:
        rule: whether it is filled whole.
        left: lots of the order that are not filled yet.
        reached: lots that reached it.
    """
    if rule.whole:
        return left if reached > 0 else 0
    return min(left, reached)
