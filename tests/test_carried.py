"""What a simulation carries: single precision, sessions of so many steps, prices that can be."""

import math

import numpy as np
import polars as pl
import pytest
from program import flowhft

from flowhft.cli.evaluate import result_of
from flowhft.errors import UsageError
from flowhft.learn.frontier import reached_at
from flowhft.policies import rules
from flowhft.policies.names import find_policy
from flowhft.policies.rule import Rule
from flowhft.report.numbers import with_ends
from flowhft.rl.gymnasium.settings import EnvSettings
from flowhft.runs.folder import write_table
from flowhft.scenarios.carried import CARRIED, LEAST, MOST, MOST_STEPS
from flowhft.scenarios.presets import PRESETS, SETS
from flowhft.scenarios.scenario import RULES, Scenario


@pytest.mark.parametrize("name", CARRIED)
@pytest.mark.parametrize("value", [1e300, 1e39, 1e13, 1e-13, 1e-300])
def test_a_number_that_single_precision_does_not_carry_is_refused_by_its_key(name, value):
    with pytest.raises(UsageError, match=rf"`\w+` must .*received {value:g}|`{name}` must"):
        Scenario("x", **{name: value})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"drift": -1e300}, "`drift` must be 0 or lie between 1e-12 and 1e"),
        (
            {"volatility": 25.0},
            r"`volatility` must give a log-normal price .* received 25.*price = \"additive\"",
        ),
        ({"volatility": 0.5, "burst_intensity": 1.0, "burst_factor": 50.0}, "`volatility` must give"),
        ({"volatility": 0.5, "horizon": 100.0}, "`volatility` must give"),
        ({"drift": 20.0}, "`drift` must give a log-normal price a trend"),
        ({"jump_mean": -80.0}, "`jump_mean` must give a log-normal price a jump"),
        ({"jump_deviation": 30.0}, "`jump_deviation` must give"),
        ({"jump_intensity": 1e3, "jump_mean": 0.1}, "`jump_intensity` must give"),
        ({"maker_fee": 25.0}, "`maker_fee` must be a share of the traded value"),
        ({"hurst_exponent": 1e-300}, "`hurst_exponent` must lie between"),
        ({"hurst_exponent": 1.0 - 1e-12}, "`hurst_exponent` must lie between"),
        ({"tick_value": 1e300}, "`tick_value` must lie between"),
        (
            {"risk_aversion": 1e9, "volatility": 1e6, "price": "additive"},
            "`risk_aversion` must give a lot a skew",
        ),
    ],
)
def test_numbers_that_are_sound_apart_and_not_together_are_refused(change, why):
    with pytest.raises(UsageError, match=why):
        Scenario("x", **change)


@pytest.mark.parametrize(
    "change",
    [
        {"volatility": 25.0, "price": "additive"},
        {"volatility": 1e-12},
        {"fill_decay": 1e-6, "volatility": 1e4, "price": "additive", "risk_aversion": 1e-7},
        {"inventory_limit": math.inf},
        {"tick_value": 2.8e-9},  # a contract of 100 USD, in BTC
        {"horizon": 86_400.0, "dt": 0.1, "volatility": 1e-4},
    ],
)
def test_what_markets_are_like_is_carried(change):
    assert Scenario("x", **change).steps <= MOST_STEPS


@pytest.mark.parametrize("market", PRESETS)
def test_every_scenario_that_has_a_name_is_carried(market):
    assert all(one.steps > 0 for each in SETS.values() for one in each.make(market).values())


@pytest.mark.parametrize(("horizon", "dt"), [(1e12, 1e-3), (1e9, 1e-9), (1e308, 1e-308), (1e6, 0.5)])
def test_steps_without_bound_are_refused_with_the_memory_that_they_would_take(tmp_path, horizon, dt):
    with pytest.raises(UsageError, match="`horizon` must be") as refusal:
        Scenario("long", horizon=horizon, dt=dt, base_intensity=1.0, volatility=1e-8)
    if horizon <= MOST:
        assert "at most 1,000,000 steps of dt" in str(refusal.value)
        assert "of memory" in str(refusal.value)
    path = tmp_path / "long.toml"
    path.write_text(f'name = "long"\nhorizon = {horizon!r}\ndt = {dt!r}\nbase_intensity = 1.0')
    said = flowhft("evaluate", "--scenarios", path, "--policies", "glft", "--out", tmp_path / "run")
    assert said.code == 2
    assert not (tmp_path / "run").exists()


def test_time_added_up_in_single_precision_is_right_within_a_hundredth_or_so_for_as_many_steps():
    for dt in (0.01, 0.1, 0.5, 1e-3):
        time = np.add.accumulate(np.full(MOST_STEPS, dt, np.float32), dtype=np.float32)[-1]
        assert abs(time / (MOST_STEPS * dt) - 1.0) < 0.02


@pytest.mark.parametrize("exponent", [-12, -6, 0, 6, 12])
def test_corners_come_to_numbers_or_are_refused(exponent):
    """Every key at a power of ten: what follows from a scenario that is accepted is finite."""
    for name in RULES:
        try:
            scenario = Scenario("x", **{name: 10.0**exponent})
        except UsageError:
            continue
        told = (*scenario.estimates()[:5], *scenario.mean_intensities, scenario.step_deviation)
        assert all(math.isfinite(value) for value in told), name
        assert math.isfinite(scenario.lost_share()), name
        assert np.isfinite(np.float32([getattr(scenario, key) or 0.0 for key in CARRIED])).all(), name
        assert LEAST <= MOST


@pytest.mark.parametrize("risk_aversion", [1e300, 1e13])
def test_a_risk_aversion_that_single_precision_does_not_carry_is_refused(risk_aversion):
    with pytest.raises(UsageError, match=r"`policies` must have at most 1e\+12 after @"):
        find_policy(f"glft@{risk_aversion}")
    with pytest.raises(UsageError, match="`risk_aversion` must be positive and at most"):
        Rule(rules.get("glft"), risk_aversion).in_market(Scenario("x"))
    for name in ("largest_offset", "inventory_penalty"):
        with pytest.raises(UsageError, match=f"`{name}` must be at most"):
            EnvSettings(**{name: risk_aversion})


# --- where a result is no number all the same -------------------------------------------------------------


def test_a_difference_that_is_no_number_is_shown_as_such_with_a_warning(tmp_path):
    folder = tmp_path / "run"
    said = flowhft(
        "evaluate", "--scenarios", "T1.LL", "--policies", "glft,white_noise", "--paths", 30, "--out", folder
    )
    assert said.code == 0, said.err
    for name in ("results", "differences"):
        path = folder / f"{name}.parquet"
        table = pl.read_parquet(path)
        gone = {key: None for key in ("pnl", "pnl_low", "pnl_high")}
        rows = [row | gone if row["policy"] == "white_noise" else row for row in table.to_dicts()]
        write_table(path, pl.DataFrame(rows, schema=table.schema), {})
    shown = result_of(folder).shown
    assert shown[0].rows[1][-1] == "n/a"
    assert "warning: the PnL of white_noise in T1.LL is not a number" in shown[1]


def test_an_interval_without_ends_is_written():
    assert with_ends(None, None, None) == "n/a"
    assert with_ends(1.0, None, 2.0) == "+1 [n/a, +2]"
    curve = [{"pnl_deviation": None, "pnl": None}, {"pnl_deviation": 1.0, "pnl": 2.0}]
    assert reached_at(curve, 2.0) == 2.0
    assert math.isnan(reached_at(curve, None))
