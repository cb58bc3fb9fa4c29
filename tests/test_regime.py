"""The regime adapter: the law by which it is trained, the family, its training, its file and its units."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numba
import numpy as np
import polars as pl
import pytest
from lab_policies import loaded
from program import contents, flowhft

from flowhft.errors import UnknownNameError, UsageError
from flowhft.features import NAMES, context_features, remember_nothing, sense, sensor_in_units
from flowhft.flow.network import init_network
from flowhft.flow.policy import as_data, save_policy
from flowhft.learn.regime import law
from flowhft.learn.regime.bank import Bank, Constant, make_bank
from flowhft.learn.regime.baselines import BASELINES, LEAST_SHARE, makers
from flowhft.learn.regime.family import draw_family, market_of
from flowhft.learn.regime.held_out import THREE, choose_dial, evaluate_dials, held_out_table
from flowhft.learn.regime.law import NODES, Law, PathLaw, law_along
from flowhft.learn.regime.network import fit_scales, init_weights, narrow, quotes_along, widen
from flowhft.learn.regime.plain import plain_policy
from flowhft.learn.regime.score import ENOUGH, SMALL, gain_of, risk_of, satisfied, score_of, softest
from flowhft.learn.regime.settings import FamilySettings, RegimeSettings
from flowhft.learn.regime.train import train
from flowhft.learn.regime.worlds import draw_worlds
from flowhft.metrics.table import METRICS
from flowhft.policies.adapter import IDENTITY
from flowhft.policies.names import Named, find_policy
from flowhft.policies.regime_adapter import SEES, RegimeAdapter, adapter_at, shapes_of
from flowhft.policies.settings import NetworkSettings
from flowhft.scenarios.presets import paper_test, scenario_in
from flowhft.simulate.market.market import build
from flowhft.simulate.market.price import poisson
from flowhft.simulate.quoting.closed_form import adapted
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one, rollout
from flowhft.types import Observation

SENSOR = sensor_in_units(1.0 / 1.5, 0.01, 1.0)
DIAL = (0.02, 1.0)


def _regime(seed: int = 0, size: float = 0.3) -> RegimeAdapter:
    """Return a network of random weights, for all features."""
    random = np.random.default_rng(seed)
    weights = init_weights(8, seed)
    weights = weights._replace(weight_3=jnp.asarray(size * random.standard_normal((4, 8)), jnp.float32))
    scales = fit_scales(random.standard_normal((50, len(SEES))), DIAL, True)
    told = jnp.asarray([math.log(0.1), 0.0, 0.0])
    return widen(narrow(weights, scales, told, jnp.asarray(1.0 / 1.5)))


def _features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(len(NAMES["context"])).astype(np.float32)


# --- the runtime


def test_adapter_is_the_same_in_numpy_numba_and_jax() -> None:
    regime = RegimeAdapter(*(np.asarray(value, np.float64) for value in _regime()))
    regime = regime._replace(half_spread=float(regime.half_spread))
    features = _features().astype(np.float64)
    plain = adapter_at(regime, features)
    assert abs(plain.offset_bid - plain.offset_ask) > 0.01
    assert abs(plain.skew) > 1e-3
    np.testing.assert_allclose(numba.njit(adapter_at)(regime, features), plain, rtol=1e-10)
    np.testing.assert_allclose(jax.jit(adapter_at)(_regime(), features), plain, rtol=1e-4, atol=1e-6)


def test_an_untrained_adapter_is_the_identity() -> None:
    adapter = adapter_at(_regime(size=0.0), _features())
    assert adapter._asdict() == pytest.approx(IDENTITY._asdict())


def test_only_what_it_sees_matters_and_sides_together() -> None:
    regime, features = _regime(), _features()
    names = NAMES["context"]
    before = adapter_at(regime, features)
    for name in names:
        changed = features.copy()
        changed[names.index(name)] += 0.7
        same = np.allclose(adapter_at(regime, changed), before, atol=1e-7)
        assert same == (name not in SEES), name
    swapped = features.copy()
    swapped[[names.index("rate_bid"), names.index("rate_ask")]] = features[
        [names.index("rate_ask"), names.index("rate_bid")]
    ]
    np.testing.assert_allclose(adapter_at(regime, swapped), before, rtol=1e-4, atol=1e-6)


# --- the law


def _way(steps: int, **changes: object) -> PathLaw:
    random = np.random.default_rng(3)
    move = random.standard_normal(steps)
    values = dict(
        intensity=20.0 + 5.0 * random.random((steps, 2)),
        tilt=np.exp(0.3 * random.standard_normal((steps, 2))),
        move=move,
        expected_move=0.1 * random.standard_normal(steps),
        move_at_fill=move,
        expected_at_fill=0.2 * random.standard_normal(steps),
        jump_variance=0.04,
        excitation=np.array([[2.0, 1.0], [0.5, 3.0]]),
        fade=0.9,
        reach=1.0,
        most_reaching=1.0,
        fill_decay=1.5,
        dt=0.05,
    )
    return jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), PathLaw(**(values | changes)))


def _enumerated(way: PathLaw, quotes: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean, E[W], E[W^2] and the jumps' variance by going through every sequence of fills."""
    excitation, fade = np.asarray(way.excitation, np.float64), float(way.fade)
    branches, own = [(1.0, 0, 0.0)], np.zeros(2)  # probability, inventory, wealth
    mean = jumps = 0.0
    for step in range(len(way.move)):
        rate = (np.asarray(way.intensity[step]) + own) * np.asarray(way.tilt[step]) * float(way.dt)
        after, bought, sold = [], 0.0, 0.0
        for probability, q, wealth in branches:
            sides = [np.interp(q, NODES, quotes[step, :, side]) for side in (0, 1)]
            buy, sell = 1.0 - np.exp(-rate * np.minimum(np.exp(-1.5 * np.array(sides)), 1.0))
            mean += probability * q * float(way.expected_move[step])
            for bid, ask in ((0, 0), (1, 0), (0, 1), (1, 1)):
                p = probability * (buy if bid else 1.0 - buy) * (sell if ask else 1.0 - sell)
                income = bid * sides[0] + ask * sides[1]
                mean += p * (income + (bid - ask) * float(way.expected_at_fill[step]))
                gain = income + q * float(way.move[step]) + (bid - ask) * float(way.move_at_fill[step])
                after.append((p, q + bid - ask, wealth + gain))
                bought, sold = bought + p * bid, sold + p * ask
        jumps += sum(p * q * q for p, q, _ in after) * float(way.jump_variance)
        own = fade * own + excitation @ np.array([bought, sold])
        branches = after
    first, second = (sum(p * w**n for p, _, w in branches) for n in (1, 2))
    return mean, first, second, jumps


def test_law_equals_every_sequence_of_fills() -> None:
    random = np.random.default_rng(5)
    quotes = 0.5 + 0.2 * random.random((3, len(NODES), 2))
    way = _way(3)
    result = law_along(way, jnp.asarray(quotes, jnp.float32))
    expected = _enumerated(way, quotes)
    np.testing.assert_allclose(
        [result.mean, result.realised, result.square, result.jumps], expected, rtol=2e-5
    )
    # What would be missed if own fills did not excite.
    calm = _enumerated(_way(3, excitation=np.zeros((2, 2))), quotes)
    assert abs(calm[2] / expected[2] - 1.0) > 1e-3


def test_law_has_the_right_gradient() -> None:
    way = _way(6)
    base = jnp.asarray(0.5 + 0.02 * np.random.default_rng(7).standard_normal((6, len(NODES), 2)), jnp.float32)
    direction = jnp.asarray(np.random.default_rng(8).standard_normal(base.shape), jnp.float32)

    def utility(size: jax.Array) -> jax.Array:
        result = law_along(way, base + size * direction)
        return result.mean - 0.1 * (result.square - result.realised**2 + result.jumps + result.swing)

    slope = float(jax.grad(utility)(0.0))
    by_difference = float(utility(0.02) - utility(-0.02)) / 0.04
    assert abs(slope) > 0.05
    assert slope == pytest.approx(by_difference, rel=0.01)


@pytest.mark.slow  # a faster test holds the law to every sequence of fills
@pytest.mark.parametrize(
    ("market", "hurst"),
    [("paper", 0.5), ("informed", 0.7)],
    ids=["own fills excite", "fills see moves, memory"],
)
def test_law_equals_simulation(market: str, hurst: float) -> None:
    """Mean within 5 standard errors, fills within 1 %, deviation within 6 %: no false alarm in practice."""
    scenario = scenario_in(
        market,
        f"law/{market}/0",
        volatility=0.1,
        base_intensity=15.0,
        hurst_exponent=hurst,
        jump_intensity=0.5,
    )
    paths, sessions, half_spread, skew = 512, 8_192, 0.9, 0.06
    bank = make_bank([scenario], paths, 0, SENSOR, None, 0.5, chunk=1)
    nodes = np.array(NODES)
    quotes = jnp.asarray(np.stack([half_spread + skew * nodes, half_spread - skew * nodes], -1), jnp.float32)
    way = jax.tree.map(lambda values: values[0], bank.path_law)
    laws = jax.jit(jax.vmap(law_along, in_axes=(0, None)))(
        way, jnp.broadcast_to(quotes, (100, *quotes.shape))
    )
    policy = adapted(Constant(jnp.float32(half_spread)), IDENTITY._replace(skew=skew))
    result = evaluate_one(build(scenario), policy, paths=sessions, seed=1, scenario="law")
    mean, deviation = float(np.mean(laws.mean)), math.exp(0.5 * float(risk_of(laws, 0.0)))
    error = math.hypot(np.std(laws.mean) / paths**0.5, np.std(result["pnl"]) / sessions**0.5)
    assert mean == pytest.approx(np.mean(result["pnl"]), abs=float(5.0 * error))
    assert deviation == pytest.approx(np.std(result["pnl"]), rel=0.06)
    assert float(np.mean(laws.fills)) == pytest.approx(np.mean(result["fills"]), rel=0.01)
    assert 5.0 * error < 0.15 * deviation  # or the test would say nothing


def test_orders_beyond_the_largest_count_still_reach_quotes() -> None:
    uniforms = jnp.linspace(0.001, 0.999, 200)
    for mean in (60.0, 500.0):  # far more than 20 are counted
        count, left = poisson(uniforms, jnp.asarray(mean), 20)
        assert (np.asarray(count) == 20).all()
        assert float(np.mean(left)) == pytest.approx(0.5, abs=0.01)
        assert np.all((left >= 0.0) & (left <= 1.0))


# --- paths, family


@pytest.mark.slow
@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_worlds_know_what_is_known_of_a_move(hurst: float) -> None:
    """Every bound is 5 standard errors or more: fewer than one false alarm in a million."""
    scenario = scenario_in("paper", "x/paper/0", volatility=0.2, hurst_exponent=hurst, jump_intensity=2.0)
    worlds = draw_worlds(scenario, 4000, np.random.default_rng(1))
    surprise = worlds.smooth - worlds.expected
    number = surprise.size**0.5
    assert abs(np.mean(surprise)) < 5.0 * np.std(surprise) / number
    for past in (worlds.smooth[:, :-1], worlds.expected[:, 1:]):
        product = surprise[:, 1:] * past
        assert abs(np.mean(product)) < 5.0 * np.std(product) / number
    # A move without memory knows nothing but its drift; with memory the past explains some of it.
    explained = np.var(worlds.expected) / np.var(worlds.smooth)
    assert explained < 1e-3 if hurst == 0.5 else explained > 0.15
    jump = worlds.move - worlds.smooth
    assert np.mean(jump**2) == pytest.approx(worlds.jump_variance, rel=0.35)  # squares of rare jumps
    assert abs(np.mean(jump)) < 5.0 * np.std(jump) / number
    # The same price as the market's own.
    ours, theirs = (
        worlds.move.sum(axis=1),
        rollout(
            build(scenario), Constant(jnp.float32(1.0)), paths=4000, seed=3, scenario="worlds"
        ).observation.mid_price[:, -1],
    )
    ours = ours - worlds.move[:, -1]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=float(5.0 * np.std(theirs) / 44.0))
    assert np.std(ours) == pytest.approx(float(np.std(theirs)), rel=0.12)


def test_family_is_broad_and_holds_no_test_cell() -> None:
    settings = FamilySettings()
    family = draw_family(settings, 300, 0, "train")
    assert family[:30] == draw_family(settings, 30, 0, "train")
    assert family[:30] != draw_family(settings, 30, 1, "train")
    markets = [market_of(scenario) for scenario in family]
    assert all(markets.count(market) == 100 for market in ("paper", "correct", "informed"))
    assert 0.22 < np.mean([scenario.hurst_exponent == 0.5 for scenario in family]) < 0.48
    for name in ("volatility", "base_intensity", "drift", "jump_intensity", "jump_mean"):
        low, high = getattr(settings, name)
        values = np.array([getattr(scenario, name) for scenario in family])
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high >= values.max() > high - 0.1 * (high - low)
    cells = [dataclasses.replace(cell, name="x") for cell in paper_test("paper").values()]
    assert not any(dataclasses.replace(scenario, name="x") in cells for scenario in family)
    for scenario in family:
        assert (scenario.adverse_selection > 0.0) == (market_of(scenario) == "informed")


def test_family_settings_say_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="`volatility` must be positive"):
        FamilySettings(volatility=(0.0, 0.1))
    with pytest.raises(UsageError, match="`drift` must be two numbers, the lower one first"):
        FamilySettings(drift=(0.1, 0.0))
    with pytest.raises(UsageError, match="`markets` must hold at least one preset"):
        FamilySettings(markets=())
    with pytest.raises(UnknownNameError, match="unknown market preset 'papper'; did you mean 'paper'"):
        FamilySettings(markets=("papper",))
    with pytest.raises(UsageError, match="`settings_shown` must lie within the trained dial"):
        RegimeSettings(settings_shown=(2.0,))


# --- the score


def test_soft_minimum_and_gain() -> None:
    assert float(softest(jnp.asarray(0.3), jnp.asarray(-0.1), 1e-3)) == pytest.approx(-0.1, abs=1e-3)
    assert float(softest(jnp.asarray(0.3), jnp.asarray(-0.1), 10.0)) == pytest.approx(0.1, abs=0.01)
    assert float(gain_of(jnp.asarray(12.0), jnp.asarray(10.0), jnp.asarray(1.0))) == pytest.approx(
        math.log(1.2)
    )
    losing = jax.grad(gain_of)(jnp.asarray(-50.0), jnp.asarray(-2.0), jnp.asarray(1.0))
    assert 0.0 < float(losing) < 10.0  # finite, and still worth to lose less


def _laws(mean: float, deviation: float) -> Law:
    """Return laws of three paths with that mean, variance and quadratic variation."""
    ones = jnp.ones(3)
    nothing, squares = 0.0 * ones, deviation**2 * ones
    return Law(mean * ones, mean * ones, mean**2 + squares, nothing, squares, nothing, nothing)


def test_among_informed_traders_only_utility_counts() -> None:
    numbers = {"bar_mean": 30.0, "bar_risk": math.log(4.0), "bar_utility": -0.1, "scale": 2.0, "dial": 0.5}
    bars = {name: jnp.asarray(value) for name, value in numbers.items()}

    def score(mean: float, deviation: float, by_utility: float) -> float:
        laws = _laws(mean, deviation)
        return float(score_of(laws, **bars, by_utility=jnp.asarray(by_utility), softness=1e-4, swing=0.5))

    # utility = 1 - 0.5 x 6 = -2; a maker without risk would earn 2 / SMALL
    expected = math.log(1.0 + (-2.0 + 0.1) / (2.0 / SMALL))
    assert score(1.0, 6.0, 1.0) == pytest.approx(expected, rel=1e-3)
    assert score(0.0, 0.0, 1.0) > 0.0 > score(1.0, 6.0, 1.0)  # to stay at home beats it, and the bar
    # elsewhere that is far below the bar's mean, whatever it risks
    assert score(0.0, 0.0, 0.0) < -1.0
    assert score(33.0, 1.0, 0.0) == pytest.approx(float(satisfied(jnp.log(33.0 / 30.0))), rel=1e-2)


def test_who_hardly_trades_sets_no_bar() -> None:
    counts = makers(np.array([[10.0, 5.0, 4.9], [-1.0, -3.0, -2.0]]))
    np.testing.assert_array_equal(counts, [[True, True, False], [True, True, True]])


# --- training


@pytest.fixture(scope="module")
def banks() -> tuple[Bank, Bank]:
    """Return small banks for training and for the score of other scenarios along the way."""
    settings = FamilySettings(markets=("paper",))
    family, others = (draw_family(settings, 6, 0, name) for name in ("train", "held out"))
    train_on, pilot = (make_bank(part, 4, 0, SENSOR, None, 0.5, chunk=6) for part in (family, others))
    return train_on, pilot


def _settings(updates: int) -> RegimeSettings:
    return RegimeSettings(
        updates=updates, batch=4, units=8, settings_shown=(0.05, 0.5), checkpoint_every=4, learning_rate=0.02
    )


@pytest.mark.slow
def test_training_improves_and_resumes_bit_for_bit(
    banks: tuple[Bank, Bank], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowhft.learn.regime.train.ROW", 4)
    whole = train(*banks, _settings(12), 0, tmp_path / "whole")
    scores = whole.curve["held_out_score"]
    assert scores[-1] > scores[0]

    def stop(done: float, now: str) -> None:
        if done >= 0.75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*banks, _settings(12), 0, tmp_path / "parts", stop)
    again = train(*banks, _settings(12), 0, tmp_path / "parts")
    for one, other in zip(whole.regime, again.regime, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_training_stops_at_a_score_that_is_no_number(banks: tuple[Bank, Bank], tmp_path: Path) -> None:
    broken = banks[0]._replace(bar_mean=np.full_like(banks[0].bar_mean, np.nan))
    with pytest.raises(UsageError, match="`score` must stay finite; received nan"):
        train(broken, banks[1], _settings(12), 0, tmp_path)


@pytest.mark.slow
def test_quotes_along_a_path_are_those_of_the_policy() -> None:
    """The quotes that training judges are the ones that the policy then makes, at its inventories."""
    scenario = scenario_in("correct", "T", volatility=0.1, base_intensity=40.0)
    regime = _regime()
    policy = in_lab(as_data(plain_policy(SENSOR), regime), scenario)
    trajectory = rollout(build(scenario), policy, paths=16, seed=0, scenario="quotes")
    seen = _seen_along(trajectory.observation)
    places = np.array([NAMES["context"].index(name) for name in SEES])
    small = regime._replace(
        mean=regime.mean[places], std=regime.std[places], weight_1=regime.weight_1[:, places]
    )
    quotes = np.asarray(jax.vmap(lambda row: quotes_along(small, row, None))(seen[..., places]))
    inventory = trajectory.observation.inventory
    rows = law.SPREAD_OUT[inventory.astype(int) + law.LIMIT]  # from nodes to the inventory of every step
    for side, quoted in enumerate(trajectory.quote[:2]):
        np.testing.assert_allclose(np.sum(rows * quotes[..., side], axis=-1), quoted, atol=2e-4)
    assert np.ptp(inventory) >= 4


def _seen_along(observation: Observation) -> np.ndarray:
    """Return all features of kind "context" along paths, by numpy, step by step."""
    paths, steps = np.shape(observation.time)
    memory, rows = jax.tree.map(lambda value: np.full(paths, value), remember_nothing(SENSOR)), []
    for step in range(steps):
        now = Observation(*(np.asarray(values, np.float64)[:, step] for values in observation.scalars))
        memory = sense(SENSOR, memory, now)
        rows.append(np.stack(context_features(SENSOR, memory, now), axis=-1))
    return np.stack(rows, axis=1).astype(np.float32)


# --- the policy and its file


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the file of an untrained policy with a regime adapter."""
    path = tmp_path / "sensing.safetensors"
    save_policy(path, plain_policy(SENSOR), _regime(), {"seed": 3}, dial=DIAL)
    return path


def test_file_holds_the_network(saved: Path) -> None:
    policy, regime = loaded(saved)
    assert isinstance(regime, RegimeAdapter)
    for value, original, shape in zip(regime, _regime(), shapes_of(8).values(), strict=True):
        np.testing.assert_array_equal(value, original)
        assert np.shape(value) == shape
    assert policy.sensor == SENSOR


def test_dial_behind_the_name(saved: Path) -> None:
    policy = find_policy(f"{saved}@0.3").as_data()
    assert isinstance(policy.regime, RegimeAdapter)
    np.testing.assert_allclose(policy.regime.told, [math.log(0.3), 0.0, 0.0], rtol=1e-6)
    assert find_policy(f"{saved}@0.3").name == "sensing@0.3"
    for wrong in ("0", "7", "-1", "nan", "much"):
        with pytest.raises(UsageError, match=r"trained for, 0\.02 to 1"):
            find_policy(f"{saved}@{wrong}")


def test_dial_behind_what_has_none(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_policy(path, plain_policy(SENSOR))
    with pytest.raises(UsageError, match="have no @ behind what has no dial"):
        find_policy(f"{path}@0.3")


def test_it_is_the_same_policy_everywhere(saved: Path) -> None:
    saved_policy = find_policy(str(saved))
    for market in ("paper", "correct"):
        cells = paper_test(market)
        one, other = (in_lab(saved_policy, cells[name]) for name in ("T1.HH", "T4.LL"))
        assert jax.tree.structure(one) == jax.tree.structure(other)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_it_quotes_in_units_of_its_market(saved: Path) -> None:
    """The same sessions in a market of ten times smaller ticks: the same fills at ten times the distance."""
    saved_policy = find_policy(str(saved))
    scenario = scenario_in("correct", "T", volatility=20.0, price="additive", jump_intensity=0.0)
    fine = scenario.but(volatility=200.0, fill_decay=scenario.fill_decay / 10.0, initial_price=1000.0)
    coarse_run, fine_run = (
        rollout(build(there), in_lab(saved_policy, there), paths=16, seed=0, scenario="units")
        for there in (scenario, fine)
    )
    np.testing.assert_array_equal(coarse_run.fill.bid, fine_run.fill.bid)
    np.testing.assert_allclose(
        10.0 * coarse_run.quote.half_spread_bid, fine_run.quote.half_spread_bid, rtol=1e-3
    )


def test_it_does_not_look_at_the_intensity(saved: Path) -> None:
    scenario = paper_test("paper")["T1.HH"]
    policy = in_lab(find_policy(str(saved)), scenario)
    seen = Observation(*(jnp.float32(x) for x in (0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 30.0, 60.0, 0.0, 1.0)))
    one, other = (
        policy.act(policy.init(), seen._replace(intensity_bid=jnp.float32(x)), jax.random.key(0))[0]
        for x in (5.0, 500.0)
    )
    assert one == other


def test_the_policy_is_told_of_which_kind_the_market_is(saved: Path) -> None:
    saved_policy = find_policy(str(saved))
    told = {
        market: in_lab(saved_policy, paper_test(market)["T1.HH"]).regime.told[1:].tolist()
        for market in ("paper", "correct", "informed")
    }
    assert told == {"paper": [1.0, 0.0], "correct": [0.0, 0.0], "informed": [0.0, 1.0]}


def test_inventory_beyond_the_outermost_nodes_goes_on_straight() -> None:
    for row, inventory in zip(law.SPREAD_OUT, law.INVENTORY, strict=True):
        assert row @ np.array(NODES) == pytest.approx(inventory, abs=1e-4)
        assert row.sum() == pytest.approx(1.0, abs=1e-5)


# --- held-out markets


@pytest.mark.slow
def test_held_out_markets_are_judged_as_by_evaluate(tmp_path: Path) -> None:
    family = draw_family(FamilySettings(markets=("paper", "informed")), 2, 0, "held out")
    learned = as_data(plain_policy(SENSOR), _regime())
    rows = evaluate_dials(learned, family, (0.1, 0.5), 64, 0, tmp_path)
    ours = dataclasses.replace(find_policy("glft"), policy=learned.at_dial(0.5))
    scenario = family[0]
    like = [one for one in family if market_of(one) == market_of(scenario)]
    row = rows.row(1, named=True)
    assert (row["scenario"], row["dial"]) == (scenario.name, 0.5)

    def judged(policy: Named) -> dict[str, float]:
        market = build(scenario, like=like)
        measures = evaluate_one(market, in_lab(policy, scenario), paths=64, seed=0, scenario=scenario.name)
        result = {name: METRICS[name].estimator(measures[METRICS[name].of])[0] for name in THREE}
        if scenario.hurst_exponent == 0.5:  # the mean of the moves' expectations
            mean = float(np.mean(measures["expected_pnl"]))
            result |= {"pnl": mean, "sharpe": mean / float(np.std(measures["pnl"], ddof=1))}
        return result

    result = judged(ours)
    assert {name: row[name] for name in THREE} == pytest.approx(result, rel=1e-4)
    experts = [judged(find_policy(name)) for name in BASELINES]
    most = max(one["pnl"] for one in experts)
    assert row["bar_pnl"] == pytest.approx(most, rel=1e-5)
    trading = [one["max_drawdown"] for one in experts if one["pnl"] >= LEAST_SHARE * most]
    assert row["bar_max_drawdown"] == pytest.approx(min(trading), rel=1e-5)
    # What was found is kept: nothing is simulated again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowhft.learn.regime.held_out.evaluate_many", None)
        assert evaluate_dials(learned, family, (0.1, 0.5), 64, 0, tmp_path).equals(rows)


def test_the_dial_that_wins_most_is_chosen_and_of_equals_the_calmer_one() -> None:
    def row(market: str, dial: float, pnl: float, drawdown: float, utility: float) -> dict[str, Any]:
        ours = {"pnl": pnl, "sharpe": 2.0, "max_drawdown": drawdown, "utility": utility}
        bar = {"bar_pnl": 10.0, "bar_sharpe": 1.0, "bar_max_drawdown": 5.0, "bar_utility": 1.0}
        return {"market": market, "scenario": "one", "dial": dial} | ours | bar

    rows = [
        *(row("paper", 0.1, 11.0, 6.0, 0.0), row("informed", 0.1, 1.0, 9.0, 2.0)),  # wins by utility alone
        *(row("paper", 0.2, 11.0, 4.0, 0.0), row("informed", 0.2, 1.0, 9.0, 2.0)),
        *(row("paper", 0.4, 12.0, 4.0, 0.0), row("informed", 0.4, 1.0, 9.0, 3.0)),
        *(row("paper", 0.8, 9.0, 1.0, 9.0), row("informed", 0.8, 1.0, 9.0, 0.0)),
    ]
    table = held_out_table(pl.DataFrame(rows))
    won = dict(table.filter(pl.col("market") == "all").select("dial", "won").iter_rows())
    assert won == {0.1: 0.5, 0.2: 1.0, 0.4: 1.0, 0.8: 0.0}
    assert choose_dial(table) == 0.4
    paper = table.filter(pl.col("market") == "paper")
    assert paper["pnl_ratio"].to_list() == pytest.approx([1.1, 1.1, 1.2, 0.9])
    assert paper["better_drawdown"].to_list() == [0.0, 1.0, 1.0, 1.0]


# --- the command


@pytest.mark.slow
def test_command_trains_behind_a_frozen_policy(tmp_path: Path) -> None:
    base, out = tmp_path / "base.safetensors", tmp_path / "out"
    settings = NetworkSettings(horizon=2, width=4, blocks=1)
    network = init_network(settings, 1)
    random = np.random.default_rng(2).standard_normal(network.output.weight.shape)
    output = dataclasses.replace(network.output, weight=jnp.asarray(0.3 * random, jnp.float32))
    plain = plain_policy(SENSOR)
    save_policy(
        base,
        dataclasses.replace(plain, network=dataclasses.replace(network, output=output), settings=settings),
    )
    sizes = {"scenarios": 3, "paths": 2, "held-out": 2, "held-out-paths": 2, "markets": "paper"}
    small = [word for name, value in sizes.items() for word in (f"--family.{name}", value)]
    small += [word for name in ("updates", "batch", "units") for word in (f"--regime.{name}", 2)]
    command = ("train", "--base", base, *small, "--out", out, "--json")
    said = flowhft(*command).json
    assert said["update"] == 2
    assert {row["market"] for row in said["held_out"]} == {"paper", "all"}
    assert contents(out).keys() >= {"policy.safetensors", "curve.parquet", "held_out.parquet"}
    policy, regime = loaded(out / "policy.safetensors")
    assert isinstance(regime, RegimeAdapter)
    assert float(regime.told[0]) == pytest.approx(math.log(said["dial"]))
    np.testing.assert_array_equal(policy.network.output.weight, output.weight)  # frozen
    before = contents(out)
    assert flowhft(*command).json["update"] == 2
    assert contents(out) == before
    noisy = flowhft("train", "--base", f"{base}[noise_scale=1]", *small, "--out", tmp_path / "no")
    assert noisy.code == 2
    assert "`base` must quote without chance" in noisy.err
    assert flowhft("train", "--base", "glft", "--out", tmp_path / "no").code == 2


def test_a_gain_counts_less_the_more_there_is_and_a_loss_whole() -> None:
    gains = jnp.asarray([-0.5, -1e-3, 0.0, 1e-3, ENOUGH, 1.0])
    counted = np.asarray(satisfied(gains))
    np.testing.assert_allclose(counted[:3], gains[:3], atol=1e-7)
    assert counted[4] == pytest.approx(ENOUGH * math.log(2.0))
    slope = np.asarray(jax.vmap(jax.grad(lambda x: satisfied(x)))(jnp.asarray([-0.2, 1e-6, ENOUGH])))
    np.testing.assert_allclose(slope, [1.0, 1.0, 0.5], rtol=1e-3)
