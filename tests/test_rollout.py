"""The loop, paired random numbers, accounts, evaluation, teachers and adaptation."""

import csv
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from flowhft.errors import UsageError
from flowhft.learn.adapt.adapt import adapt
from flowhft.learn.select import select_teachers
from flowhft.learn.settings import AdaptSettings, TeacherSettings
from flowhft.metrics.measures import measure
from flowhft.metrics.table import summarise
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.names import find_policies, find_policy, tune
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate import rollout as rollouts
from flowhft.simulate.evaluate import evaluate_scenario, fingerprint
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.closed_form import Adapted
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one, evaluate_together, rollout

SMALL = Scenario(
    "small", dt=0.05, base_intensity=30.0, self_excitation=2.0, cross_excitation=1.0, maker_fee=1e-4
)


def test_the_account_of_a_path_equals_the_measures_of_its_trajectory():
    market, policy = build(SMALL), closed_form("glft", SMALL, 0.05)
    kept = measure(rollout(market, policy, paths=40, seed=5, scenario="a"))
    folded = evaluate_one(market, policy, paths=40, seed=5, scenario="a")
    assert kept.keys() == folded.keys()
    for name, values in kept.items():
        np.testing.assert_allclose(folded[name], values, rtol=2e-5, atol=2e-5, err_msg=name)


def test_equity_is_cash_plus_inventory_at_the_mid():
    trajectory = rollout(build(SMALL), closed_form("white_noise", SMALL), paths=30, seed=1, scenario="a")
    seen = trajectory.observation
    gain = np.cumsum(trajectory.spread_pnl + trajectory.inventory_pnl - trajectory.fee, axis=1)
    np.testing.assert_allclose((seen.cash + seen.inventory * seen.mid_price)[:, 1:], gain[:, :-1], atol=2e-3)


def test_results_do_not_depend_on_chunks_and_ranges_are_disjoint():
    """Nor on who else is judged: a policy among others gives the bits that it gives alone."""
    market, policy = build(SMALL), closed_form("glft", SMALL)
    noise = closed_form("white_noise", SMALL)
    whole = evaluate_one(market, policy, paths=64, seed=0, scenario="a")
    late = evaluate_one(market, policy, paths=24, seed=0, scenario="a", first=40)
    cut = evaluate_together(market, [noise, policy], paths=64, seed=0, scenario="a", chunk=20)[1]
    for name, values in whole.items():
        np.testing.assert_array_equal(cut[name], values)
        np.testing.assert_array_equal(late[name], values[40:])
    assert len(np.unique(whole["pnl"])) > 50  # a few sessions trade nothing


def test_policies_meet_the_same_market_and_seeds_and_names_differ():
    market = build(SMALL)
    one, two = (
        rollout(market, closed_form(name, SMALL), paths=20, seed=0, scenario="a")
        for name in ("glft", "white_noise")
    )
    np.testing.assert_array_equal(one.observation.mid_price, two.observation.mid_price)
    np.testing.assert_array_equal(one.observation.arrivals_bid, two.observation.arrivals_bid)
    assert not np.array_equal(one.quote.half_spread_bid, two.quote.half_spread_bid)
    for seed, name in ((1, "a"), (0, "b")):
        other = rollout(market, closed_form("glft", SMALL), paths=20, seed=seed, scenario=name)
        assert not np.array_equal(other.observation.mid_price, one.observation.mid_price)


def test_the_market_and_a_policy_draw_from_streams_of_their_own(monkeypatch):
    """A policy that drew with the market's key would know, in its noise, what the market is about to do."""
    asked, key_for = [], rollouts.key_for

    def spy(seed, *names):
        asked.append((seed, *names))
        return key_for(seed, *names)

    monkeypatch.setattr(rollouts, "key_for", spy)
    evaluate_one(build(SMALL), closed_form("white_noise", SMALL), paths=64, seed=3, scenario="a")
    assert len(asked) == len(set(asked)) == 2
    assert all(seed == 3 and "a" in names for seed, *names in asked)


def test_a_policy_sees_nothing_of_the_future():
    """Two worlds that agree up to step 10 give the same quotes up to step 10, and others after."""
    import jax

    market, policy = build(SMALL), closed_form("glft", SMALL, 0.1)
    world = market.draw(jax.random.key(0))
    later = jnp.arange(market.steps) >= 10
    changed = world._replace(
        move=jnp.where(later, -world.move, world.move),
        order_flow=jnp.where(later[:, None], 1.0 - world.order_flow, world.order_flow),
    )
    one, two = (rollouts.one_path(market, policy, w, jax.random.key(1)) for w in (world, changed))
    np.testing.assert_array_equal(one.quote.half_spread_bid[:11], two.quote.half_spread_bid[:11])
    assert not np.array_equal(one.quote.half_spread_bid, two.quote.half_spread_bid)


PRINTED = {("T1.HH", "glft_as_run"): (25.1, 0.37, 60.6), ("T2.LH", "glft_drift_as_run"): (40.8, 1.10, 7.7)}


@pytest.mark.parametrize(("cell", "expert"), list(PRINTED))
def test_the_paper_preset_reproduces_the_printed_rows(cell, expert):
    """Within 5 % plus the sampling error of 30,000 paths (one standard error, PnL: about 0.4 in T1.HH)."""
    scenario = paper_test("paper")[cell]
    result = summarise(
        evaluate_one(build(scenario), closed_form(expert, scenario), paths=30_000, seed=0, scenario=cell)
    )
    for name, printed in zip(("pnl", "sharpe", "max_drawdown"), PRINTED[cell, expert], strict=True):
        error = (result[name].high - result[name].low) / (2 * 2.576)
        assert abs(result[name].value - printed) < 0.05 * printed + 2 * error, name


def test_the_reversed_inventory_sign_shows_in_the_drawdown():
    scenario = paper_test("paper")["T1.HH"]
    expert = closed_form("avellaneda_stoikov_as_run", scenario)
    mended = type(expert)(expert.coefficients._replace(lean=jnp.asarray(1.0)), expert.expert)
    reversed_sign, right_sign = (
        summarise(evaluate_one(build(scenario), policy, paths=8_000, seed=0, scenario="T1.HH"))[
            "max_drawdown"
        ].value
        for policy in (expert, mended)
    )
    assert 225 < reversed_sign < 265  # printed: 241.65
    assert 55 < right_sign < 75  # about 65


def test_the_printed_table_is_read_as_such(shared_data):
    rows = list(csv.DictReader((shared_data.parent / "paper" / "flowhft_tables.csv").open()))
    printed = {(f"T{r['table']}.{r['cell']}", f"{r['policy']}_as_run"): r for r in rows}
    for key, values in PRINTED.items():
        assert float(printed[key]["pnl"]) == pytest.approx(values[0], abs=0.06)


# --- evaluation --------------------------------------------------------------------------------------


def test_judgement_has_a_row_per_policy_and_pairs_differences():
    policies = {name: partial(in_lab, find_policy(name)) for name in ("white_noise", "glft@0.05", "glft@0.5")}
    result = evaluate_scenario(
        SMALL.but(tick_value=2.0), policies, paths=400, seed=0, reference="white_noise"
    )
    assert [row["policy"] for row in result.results] == list(policies)
    assert [row["policy"] for row in result.differences] == ["glft@0.05", "glft@0.5"]
    by = {row["policy"]: row for row in result.results}
    for row in result.differences:
        assert row["pnl"] == pytest.approx(by[row["policy"]]["pnl"] - by["white_noise"]["pnl"])
        assert row["pnl_low"] < row["pnl"] < row["pnl_high"]
    plain = evaluate_scenario(SMALL, policies, paths=400, seed=0, reference="white_noise").results[1]
    assert by["glft@0.05"]["pnl"] == pytest.approx(2.0 * plain["pnl"])  # money is in currency
    assert by["glft@0.05"]["sharpe"] == pytest.approx(plain["sharpe"])  # a ratio is not


def test_fingerprint_of_a_closed_form_is_its_formula():
    scenario = SMALL.but(risk_aversion=0.05)
    table = fingerprint(
        scenario, "as", closed_form("avellaneda_stoikov", scenario), (-2.0, 0.0, 2.0), (1.0, 0.5)
    )
    base = np.log1p(0.05 / 1.5) / 0.05 + 0.01  # a fee of 1e-4 of 100 ticks
    for row in table.iter_rows(named=True):
        risk = 0.05 * 20.0**2 * row["time_left"]
        assert row["half_spread_bid"] == pytest.approx(base + (0.5 + row["inventory"]) * risk, rel=1e-4)
        assert row["half_spread_ask"] == pytest.approx(base + (0.5 - row["inventory"]) * risk, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("avellanda_stoikov", "unknown policy 'avellanda_stoikov'; did you mean 'avellaneda_stoikov'?"),
        ("glft@zero", "`policies` must have a positive number after @; received 'glft@zero'"),
        ("glft@-1", "positive number"),
        ("glft,glft", "`policies` must have different names"),
        ("", "`policies` must name at least one policy"),
    ],
)
def test_bad_policy_names_are_refused(text, words):
    with pytest.raises(UsageError) as refusal:
        find_policies(text)
    assert words in str(refusal.value)


# --- teachers and adaptation -------------------------------------------------------------------------


@pytest.mark.slow
def test_the_teacher_is_the_one_that_is_best_by_far():
    """Noise loses to a maker, and a maker who hardly quotes loses to one who does."""
    calm = SMALL.but(name="calm", volatility=0.05)
    settings = TeacherSettings(experts=("white_noise", "glft"), risk_aversions=(0.05, 50.0), paths=500)
    teachers, table, choices = select_teachers([calm], settings, seed=0)
    assert (teachers[0].expert, teachers[0].risk_aversion) == ("glft", 0.05 * 1.5)
    chosen = table.filter(table["chosen"])
    assert len(table) == 4  # noise is tried once; who stays at home stands beside the candidates
    assert choices["margin_low"][0] > 0
    assert chosen["score"][0] == table["score"].max()
    best = tune(find_policies("glft,glft@3"), table)
    assert in_lab(best[0], calm).coefficients.base == closed_form("glft", calm, 0.075).coefficients.base
    assert in_lab(best[1], calm).coefficients.base == closed_form("glft", calm, 3.0).coefficients.base


@pytest.mark.slow
def test_adaptation_finds_a_known_offset_and_reports_the_winners_curse():
    """A policy that quotes a width far from the best one: the adapter mends it and fresh paths agree."""
    market = Scenario("still", volatility=0.02, base_intensity=40.0, dt=0.05)
    best = closed_form("glft", market, 0.01)
    wide = Adapted(best, Adapter(*(jnp.asarray(v) for v in (1.0, 0.9, 0.9, 0.0))))
    settings = AdaptSettings(criterion="pnl", paths=600, fresh_paths=600, rounds=2, candidates=5)
    result = adapt([wide], [market], settings, seed=0)
    assert result.validation.low > 0
    assert result.fresh.low > 0
    width = (result.adapter.offset_bid + result.adapter.offset_ask) / 2
    assert -1.3 < width + (result.adapter.scale - 1.0) * 1.6 < -0.3
    assert result.search.filter("chosen").height >= 1
    # Candidates that are better by less than a standard error do not take its place.
    assert 0 <= result.search["score"].max() - result.search.filter("chosen")["score"][0] < 0.15
    again = adapt([wide], [market], settings, seed=0)
    assert again.adapter == result.adapter


def test_the_identity_adapter_changes_nothing():
    policy = closed_form("glft", SMALL)
    plain = evaluate_one(build(SMALL), policy, paths=16, seed=0, scenario="a")
    moved = Adapted(policy, Adapter(*(jnp.asarray(v, jnp.float32) for v in IDENTITY)))
    np.testing.assert_allclose(
        evaluate_one(build(SMALL), moved, paths=16, seed=0, scenario="a")["pnl"], plain["pnl"], rtol=1e-5
    )
