"""Makers that see the order book: values of positions, heads, the gate, one quote from two executors."""

import math

import numpy as np
import pytest

from flowhft.desk.compiled import begin, freeze, quote
from flowhft.errors import DataError, UsageError
from flowhft.features.book import MIRROR, NAMES, SIGN
from flowhft.features.scales import Scales, by_side, scales_of, standard
from flowhft.learn.recordings.examples import Examples
from flowhft.learn.recordings.fit import Aims, learn, maker_of
from flowhft.learn.recordings.gate import gate_of
from flowhft.learn.recordings.heads import fit_heads
from flowhft.policies import rules
from flowhft.policies.book import ARRAYS, BookMaker
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.inventory_value import inventory_value
from flowhft.policies.policy import Policy
from flowhft.policies.reference import Reference
from flowhft.types import Estimates, Observation

COUNT = len(NAMES)
OFFSETS = (2, 1, 0, -2)
SPREAD = NAMES.index("log_spread")


def slow_values(chance, edge, limit, risk, cost, quoted=(True, True), rounds=4_000):
    """Relative value iteration, written from the equation and nothing else."""
    positions = range(-limit, limit + 1)
    value = {q: 0.0 for q in positions}
    rate = 0.0
    for _ in range(rounds):
        after = {}
        for q in positions:
            total = 0.0
            for side, step in enumerate((1, -1)):
                if not -limit <= q + step <= limit or not (quoted[side] or q * step < 0):
                    continue
                score = chance[:, side] * (edge[:, side] - cost + value[q + step] - value[q])
                total += float(np.maximum(score.max(axis=1), 0.0).mean())
            after[q] = value[q] + total - risk * q * q
        rate = after[0] - value[0]
        value = {q: after[q] - after[0] for q in positions}
    return np.array([value[q] for q in positions]), rate


@pytest.mark.parametrize(("cost", "quoted"), [(0.0, (True, True)), (0.4, (True, True)), (0.0, (True, False))])
def test_values_of_positions_solve_their_equation(cost, quoted):
    chance_of = np.random.default_rng(3)
    chance = chance_of.uniform(0.1, 0.5, (10, 2, 3))
    edge = chance_of.normal(0.1, 1.0, (10, 2, 3))
    own = inventory_value(chance, edge, 2, 0.01, cost, quoted)
    slow, rate = slow_values(chance, edge, 2, 0.01, cost, quoted)
    np.testing.assert_allclose(own.value, slow, atol=1e-6)
    assert own.rate == pytest.approx(rate, abs=1e-9)
    assert np.abs(own.value[[0, -1]]).max() > 0.01  # there is something to be right about


def test_values_of_positions_are_those_of_the_exact_optimum():
    """Fills at A exp(-k d) at every distance of a fine grid: the stationary optimum of the oracle."""
    volatility, intensity, decay, gamma, dt = 0.6, 2.0, 1.1, 0.05, 1e-4
    estimates = Estimates(volatility, 0.0, intensity, decay, horizon=1.0, inventory_limit=4.0)
    oracle = rules.get("oracle_stationary")
    coefficients = oracle.coefficients(estimates, gamma)
    distance = np.arange(0.0, 4.0, 0.002)
    chance = np.broadcast_to(intensity * dt * np.exp(-decay * distance), (1, 2, len(distance)))
    edge = np.broadcast_to(distance, chance.shape)
    own = inventory_value(chance, edge, 4, 0.5 * gamma * volatility**2 * dt)
    for q in range(-3, 4):
        seen = Observation(0.0, 1.0, 0.0, float(q), 0.0, 0.0, 0.0, 0.0, 0.0)
        exact = oracle.quote(coefficients, seen, (0.0, 0.0))
        score = chance[0, 0] * (distance + own.value[q + 5] - own.value[q + 4])
        assert distance[np.argmax(score)] == pytest.approx(float(exact.half_spread_bid), abs=0.01)


def test_a_position_that_nothing_closes_is_worth_less_than_any_other():
    own = inventory_value(np.full((1, 2, 1), 0.1), np.full((1, 2, 1), -1.0), 2, 0.01)
    assert own.rate == pytest.approx(0.0, abs=1e-12)  # it stays out
    assert own.value[2] == 0.0
    assert np.all(np.diff(own.value[2:]) < 0.0)
    assert np.all(np.diff(own.value[:3]) > 0.0)


def examples(steps=3_000, seed=0, name="made up", drift=0.0):
    """Fills and edges of known heads: logit and edge fall with the distance and follow two signals."""
    random = np.random.default_rng(seed)
    signals = random.normal(size=(steps, COUNT))
    signals[:, SPREAD] = np.log(6.0) + 0.1 * random.normal(size=steps)
    scales = scales_of(signals, 2.0)
    seen = by_side(standard(scales, signals))
    logit = -0.3 + 0.4 * np.array(OFFSETS) + 0.5 * seen[:, :, :1]
    gain = 0.2 - 0.1 * np.array(OFFSETS) + 0.3 * seen[:, :, 1:2]
    filled = random.uniform(size=logit.shape) < 1.0 / (1.0 + np.exp(-logit))
    edge = np.where(filled, 2.0 * (gain + drift + random.normal(size=gain.shape)), np.nan)
    time = np.arange(steps, dtype=np.int64) * 500_000_000
    mid = 1_000.0 + np.cumsum(random.normal(0.0, 2.0 * np.sqrt(0.5), steps))  # 2 ticks in a second
    return Examples(name, time, mid, signals, np.ones(filled.shape, bool), filled, edge, scales)


def test_heads_find_what_fills_and_edges_were_made_of():
    fitted = fit_heads([examples(), examples(seed=1)])
    fill, edge = fitted.heads
    np.testing.assert_allclose(fill[:, 0], -0.3 + 0.4 * np.array(OFFSETS), atol=0.08)
    np.testing.assert_allclose(fill[:, 1], 0.5, atol=0.08)
    np.testing.assert_allclose(edge[:, 0], 0.2 - 0.1 * np.array(OFFSETS), atol=0.08)
    np.testing.assert_allclose(edge[:, 2], 0.3, atol=0.08)
    others = np.delete(np.arange(1, COUNT + 1), [0, 1])
    assert np.abs(fill[:, others]).max() < 0.1
    assert np.abs(edge[:, others]).max() < 0.1


def test_what_heads_say_out_of_fold_they_were_not_shown():
    """Edges without any rule: in sample a rich head finds one, out of fold it does not."""
    one = examples(600)
    random = np.random.default_rng(5)
    noise = one._replace(edge=np.where(one.filled, random.normal(size=one.edge.shape), np.nan))
    fitted = fit_heads([noise])
    known = np.isfinite(noise.edge)
    assert np.corrcoef(fitted.gain[0][known], noise.edge[known])[0, 1] < 0.1


def test_too_few_fills_are_refused():
    with pytest.raises(DataError, match=r"`labels` must hold 50 fills.*received \d+ in made up"):
        fit_heads([examples(20)])


def test_the_gate_counts_what_orders_did_and_not_what_was_promised():
    one = examples(drift=-2.0)
    promising = np.ones(one.placed.shape)
    bid, ask = gate_of(one, 0.5 * promising, promising, np.zeros(7), 300.0)
    assert not bid.quoted
    assert not ask.quoted
    assert bid.promised == pytest.approx(2.0)
    assert bid.edge < -2.0
    good = examples(drift=2.0)
    bid, ask = gate_of(good, 0.5 * promising, promising, np.zeros(7), 300.0)
    assert bid.quoted
    assert ask.quoted
    assert not gate_of(good, 0.5 * promising, promising, np.zeros(7), 300.0, cost=bid.edge)[0].quoted
    blocks = (good.time_ns // 300_000_000_000).astype(int)
    taken = good.filled[:, 0, 0]
    sums = np.array([(good.edge[taken & (blocks == b), 0, 0] - bid.edge).sum() for b in np.unique(blocks)])
    assert bid.error == pytest.approx(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / taken.sum())


def maker(seed=0, limit=3, quoted=(1.0, 1.0), cost=0.1):
    random = np.random.default_rng(seed)
    heads = (len(OFFSETS), 1 + COUNT)
    scale = np.exp(0.2 * random.normal(size=COUNT))
    value = -0.1 * np.arange(-limit, limit + 1.0) ** 2
    arrays = dict(
        zip(
            ARRAYS,
            (
                np.array(OFFSETS, float),
                np.zeros(COUNT),
                scale * scale[MIRROR],
                0.3 * random.normal(size=heads),
                0.3 * random.normal(size=heads),
                value,
                np.array(quoted),
            ),
            strict=True,
        )
    )
    return BookMaker(arrays, 1.7, cost)


def observed(count=300, seed=1):
    """What it might see: a mid on half ticks, spreads of 1 to 9, now and then a signal that is not known."""
    random = np.random.default_rng(seed)
    mid = 0.0
    for i in range(count):
        spread = int(random.integers(1, 10))
        mid += 0.5 * random.integers(-3, 4)
        mid = math.floor(mid) + 0.5 * (spread % 2)
        book = random.normal(size=COUNT)
        book[SPREAD] = math.log(spread)
        if i % 17 == 0:
            book[3] = math.nan
        yield Observation(
            0.5 * i, 1.0, mid, float(random.integers(-3, 4)), 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, book
        )


@pytest.mark.parametrize("quoted", [(1.0, 1.0), (0.0, 1.0)])
def test_the_desk_quotes_as_the_reference(quoted):
    policy = Policy(maker(quoted=quoted))
    frozen, slow = freeze(policy), Reference(policy)
    own, other = begin(frozen, 0), slow.init()
    sides = set()
    for seen in observed():
        wanted = quote(frozen, own, seen)
        expected, other = slow.act(other, seen)
        np.testing.assert_array_equal(wanted, expected)
        sides.add((math.isnan(wanted.half_spread_bid), math.isnan(wanted.half_spread_ask)))
    assert len(sides) > 2  # it quoted both, one, none


def test_a_book_and_its_mirror_image_are_quoted_alike():
    frozen = freeze(Policy(maker()))
    for seen in observed(100):
        wanted = quote(frozen, begin(frozen, 0), seen)
        other = seen._replace(
            book=SIGN * seen.book[MIRROR], inventory=-seen.inventory, mid_price=-seen.mid_price
        )
        mirrored = quote(frozen, begin(frozen, 0), other)
        np.testing.assert_array_equal(wanted[:2], mirrored[1::-1])


def test_an_order_that_stands_is_left_for_a_price_that_is_twice_as_good_only():
    one, seen = maker(cost=0.0), next(iter(observed()))
    one.arrays["fill"][:], one.arrays["edge"][:] = 0.0, 0.0
    one.arrays["edge"][:, 0] = (1.0, 0.6, 0.5, 0.4)
    one.arrays["value"][:] = 0.0
    seen.book[SPREAD] = math.log(8)
    seen = seen._replace(inventory=0.0)
    frozen = freeze(Policy(one))
    memory = begin(frozen, 0)
    first = quote(frozen, memory, seen)
    assert first.half_spread_bid == 4.0 - 2.0
    seen = seen._replace(mid_price=seen.mid_price + 1.0)  # what was 2 inside is 1 inside now: 2 x 0.6 > 1.0
    assert quote(frozen, memory, seen).half_spread_bid == 4.0 - 1.0
    one.arrays["edge"][:, 0] = (1.3, 0.6, 0.5, 0.4)
    frozen = freeze(Policy(one))
    memory = begin(frozen, 0)
    quote(frozen, memory, seen)
    seen = seen._replace(mid_price=seen.mid_price + 1.0)
    assert quote(frozen, memory, seen).half_spread_bid == 4.0 - 2.0


def test_a_side_that_does_not_earn_takes_a_position_back_only():
    frozen = freeze(Policy(maker(quoted=(0.0, 0.0))))
    for seen in observed(100):
        wanted = quote(frozen, begin(frozen, 0), seen)
        if seen.inventory >= 0.0:
            assert math.isnan(wanted.half_spread_bid)
        if seen.inventory <= 0.0:
            assert math.isnan(wanted.half_spread_ask)


def test_a_maker_keeps_within_its_limit():
    frozen = freeze(Policy(maker()))
    for seen in observed(100):
        wanted = quote(frozen, begin(frozen, 0), seen._replace(inventory=2.5))
        assert math.isnan(wanted.half_spread_bid)


def test_a_market_without_a_book_is_an_error():
    frozen = freeze(Policy(maker()))
    blind = next(iter(observed()))._replace(book=None)
    with pytest.raises(
        UsageError, match=rf"`book` of the observation must hold the {COUNT} signals.*received none"
    ):
        quote(frozen, begin(frozen, 0), blind)


def test_a_maker_is_kept_in_a_file(tmp_path):
    policy = Policy(maker(), training={"seed": 3})
    save_policy(tmp_path / "maker.safetensors", policy)
    again = load_policy(tmp_path / "maker.safetensors")
    assert again.training == {"seed": 3}
    for name in ARRAYS:
        np.testing.assert_array_equal(again.core.arrays[name], policy.core.arrays[name])
    assert (again.core.unit, again.core.cost, again.core.kept) == (1.7, 0.1, 2.0)


def test_a_maker_of_other_signals_is_refused(tmp_path, monkeypatch):
    save_policy(tmp_path / "maker.safetensors", Policy(maker()))
    monkeypatch.setattr("flowhft.policies.book.NAMES", (*NAMES[:-1], "another"))
    with pytest.raises(DataError, match=r"signals of the book.*another"):
        load_policy(tmp_path / "maker.safetensors")


def test_a_maker_learns_to_stay_out_where_fills_cost():
    aims = Aims(OFFSETS, 0.5, 2.0)
    losing = examples(drift=-3.0)
    result = learn([losing], [0], losing.scales, aims)
    assert not result.gates[0].quoted
    assert not result.gates[1].quoted
    assert list(result.maker.arrays["quoted"]) == [0.0, 0.0]
    winning = examples()
    result = learn([winning], [0], winning.scales, aims)
    assert result.value.rate > 0.0


def test_heads_of_several_recordings_are_gated_together_in_their_own_units():
    one, two = examples(), examples(seed=2)
    two = two._replace(edge=5.0 * two.edge, scales=Scales(two.scales.centre, two.scales.scale, 10.0))
    fitted = fit_heads([one, two])
    result = maker_of(fitted, [one, two], [0, 1], one.scales, Aims(OFFSETS, 0.5, 2.0))
    alone = maker_of(fitted, [one, two], [0], one.scales, Aims(OFFSETS, 0.5, 2.0))
    assert result.gates[0].fills > alone.gates[0].fills
    assert result.gates[0].edge == pytest.approx(alone.gates[0].edge, abs=0.1)
