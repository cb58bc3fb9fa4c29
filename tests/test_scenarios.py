"""Scenarios: their rules, what follows from them, presets and named sets, files, and the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from program import flowhft

from flowhft.cli.terminal import Terminal
from flowhft.errors import DataError, UsageError
from flowhft.scenarios.files import read_scenarios, scenarios_to_toml
from flowhft.scenarios.presets import (
    INFORMED,
    PRESETS,
    SETS,
    find_scenarios,
    grid_around,
    paper_test,
    paper_train,
    scenario_in,
    stress,
)
from flowhft.scenarios.scenario import MOST_CARRIED, Scenario
from flowhft.stages.notes import note_losses

ROOT = Path(__file__).parents[1]

# What follows from the parameters


def test_mean_intensities_and_branching_are_those_of_the_excitation_matrix():
    random = np.random.default_rng(0)
    for _ in range(20):
        own, own_ask, cross, cross_ask, bid, ask = random.uniform(0.0, 4.0, 6)
        scenario = Scenario(
            "any", base_intensity=1 + bid, base_intensity_ask=1 + ask, self_excitation=own,
            self_excitation_ask=own_ask, cross_excitation=cross, cross_excitation_ask=cross_ask,
        )  # fmt: skip
        g = np.array([[own, cross], [cross_ask, own_ask]]) / scenario.decay
        assert scenario.branching_ratio == pytest.approx(np.abs(np.linalg.eigvals(g)).max(), rel=1e-9)
        mean = np.linalg.solve(np.eye(2) - g, [1 + bid, 1 + ask])
        np.testing.assert_allclose(scenario.mean_intensities, mean, rtol=1e-9)
        assert scenario.estimates().intensity == pytest.approx(mean.mean(), rel=1e-9)


def test_a_side_without_numbers_of_its_own_is_like_the_other():
    alike = Scenario("alike", base_intensity=30.0, self_excitation=3.0, cross_excitation=1.0)
    spelt = alike.but(base_intensity_ask=30.0, self_excitation_ask=3.0, cross_excitation_ask=1.0)
    assert alike.excitation == spelt.excitation == ((3.0, 1.0), (1.0, 3.0))
    assert alike.mean_intensities == spelt.mean_intensities == pytest.approx((50.0, 50.0))
    fills = alike.but(exciter="own_fills", base_intensity_ask=10.0)
    assert fills.mean_intensities == (30.0, 10.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": " "}, "`name` must not be empty"),
        ({"hurst_exponent": 1.0}, "`hurst_exponent` must lie strictly between 0 and 1; received 1.0"),
        ({"volatility": -0.1}, "`volatility` must be positive and finite; received -0.1"),
        ({"volatility": float("nan")}, "`volatility` must be positive"),
        ({"drift": float("inf")}, "`drift` must be finite; received inf"),
        ({"burst_intensity": -1.0}, "`burst_intensity` must not be negative; received -1.0"),
        ({"burst_duration": 0.0}, "`burst_duration` must be positive and finite; received 0.0"),
        ({"burst_factor": 0.0}, "`burst_factor` must be positive and finite; received 0.0"),
        ({"base_intensity_ask": 0.0}, "`base_intensity_ask` must be positive and finite; received 0.0"),
        ({"self_excitation_ask": -1.0}, "`self_excitation_ask` must not be negative; received -1.0"),
        ({"cross_excitation_ask": -1.0}, "`cross_excitation_ask` must not be negative; received -1.0"),
        ({"self_excitation": 9.0, "cross_excitation": 2.0}, "branching ratio is below 1; received 10.0"),
        (
            {"cross_excitation": 1.0, "cross_excitation_ask": 101.0},
            "every eigenvalue of excitation so that the branching ratio is below 1; received 10.0 with "
            "excitation 0.0 + 1.0 at the bid, 0.0 + 101.0 at the ask",
        ),
        ({"dt": 2.0}, "`dt` must not exceed the horizon; received dt 2.0 s with horizon 1.0 s"),
        ({"dt": 0.3}, "`horizon` must be a whole number of steps"),
        ({"base_intensity_ask": 5_000.0}, "no more than 20 market orders fall on a step on average"),
        ({"decay": 200.0, "exact_decay": False}, "below 1 / dt"),
        ({"price": "normal"}, "`price` must be one of lognormal, additive; received 'normal'"),
        ({"exciter": "fills"}, "`exciter` must be one of arrivals, own_fills; received 'fills'"),
        (
            {"adverse_selection": 7.0},
            "`adverse_selection` must be at most 3 standard deviations of a step's move, 6",
        ),
        ({"inventory_limit": 0.0}, "`inventory_limit` must be at least 1 lot; received 0.0"),
    ],
)
def test_impossible_parameters_are_refused(change, words):
    with pytest.raises(UsageError) as refusal:
        Scenario(**{"name": "bad"} | change)
    assert words in str(refusal.value)
    assert "name" in change or "[scenario 'bad']" in str(refusal.value)


# Presets and named sets


def test_presets_are_those_of_the_paper():
    cells, grid = paper_test("paper"), paper_train()
    assert len(cells) == 24
    assert len(grid) == 486
    hh = cells["T4.LH"]
    assert (hh.hurst_exponent, hh.drift, hh.volatility, hh.base_intensity) == (0.2, 0.02, 0.05, 60.0)
    assert not hh.jumps_compensated
    assert hh.exciter == "own_fills"
    assert paper_test("correct")["T4.LH"].jumps_compensated
    # 486 scenarios x 100 episodes x 1/dt steps is 3.645 million pairs, not what the paper prints.
    assert sum(100 * scenario.steps for scenario in grid.values()) == 3_645_000


def test_informed_is_correct_but_for_adverse_selection_which_a_step_can_carry():
    correct, informed = paper_test("correct"), paper_test("informed")
    for name, scenario in informed.items():
        assert scenario.but(adverse_selection=0.0) == correct[name]
        most = MOST_CARRIED * scenario.step_deviation
        assert scenario.adverse_selection == min(INFORMED / scenario.fill_decay, most) > 0.0
    # Steps that move little carry less: the calm cells without memory, and all that trend.
    whole = {n for n, s in informed.items() if s.adverse_selection == INFORMED / s.fill_decay}
    assert whole == {f"T{t}.H{demand}" for t in "1234" for demand in "HL"} | {
        "T3.LH",
        "T3.LL",
        "T4.LH",
        "T4.LL",
    }
    assert scenario_in("informed", "mine", adverse_selection=0.0).adverse_selection == 0.0


@pytest.mark.parametrize("count", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_informed_is_as_strong_as_the_recordings_say(shared_data, count):
    """The median over all recordings that can be calibrated, as the benchmark prints it; by default one."""
    futures = shared_data / "binance_feed_l2"
    sessions = sorted(str(path).removesuffix("_trades.parquet") for path in futures.glob("*_trades.parquet"))
    stocks = [str(shared_data / "lobster_nasdaq_2012" / symbol) for symbol in ("GOOG", "AAPL")]
    program = ROOT / "benchmarks" / "adverse_selection.py"
    chosen = [*sessions, *stocks] if count > 1 else [s for s in sessions if "usdm_btcusdt_20240718" in s]
    done = subprocess.run(
        [sys.executable, program, *chosen, "--json"], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    assert result["refused"] == []
    assert len(result["recordings"]) == count
    # One recording alone has a standard error of 0.09.
    assert result["median"]["of_distance"] == pytest.approx(INFORMED, abs=0.05 if count > 1 else 0.1)
    assert all(0.5 < row["of_distance"] < 3.0 for row in result["recordings"])


def test_every_set_is_whole_in_every_preset_and_names_are_its_own():
    sizes = {name: len(one.make("correct")) for name, one in SETS.items()}
    assert (sizes["paper-test"], sizes["paper-train"]) == (24, 486)
    for market in PRESETS:
        names = [name for one in SETS.values() for name in one.make(market)]
        assert len(set(names)) == len(names) == sum(sizes.values())
        for one in SETS.values():
            for name, scenario in one.make(market).items():
                assert scenario.name == name
                if scenario.order_flow is not None:  # says everything itself, whatever the preset
                    assert scenario == SETS["order-flow"].make("correct")[name]
                    continue
                assert scenario.exciter == ("own_fills" if market == "paper" else "arrivals")
                assert (scenario.adverse_selection > 0.0) == (market == "informed")


def test_levels_of_liquidity_differ_in_orders_and_depth_alone():
    levels = [
        list(SETS[f"liquidity-{level}"].make("correct").values()) for level in ("high", "medium", "low")
    ]
    for high, medium, low in zip(*levels, strict=True):
        assert high.but(name="x", base_intensity=25.0, fill_decay=1.5) == medium.but(name="x")
        assert low.but(name="x", base_intensity=25.0, fill_decay=1.5) == medium.but(name="x")
        assert (high.base_intensity, medium.base_intensity, low.base_intensity) == (60.0, 25.0, 10.0)
        # 1 / k goes with the root of the time between orders.
        assert high.fill_decay / low.fill_decay == pytest.approx(np.sqrt(6.0))


def test_stress_is_what_its_name_says():
    under = stress()
    calm = scenario_in("correct", "calm", volatility=0.1, base_intensity=25.0)
    jump = {n: s.jump_intensity * (s.jump_mean**2 + s.jump_deviation**2) for n, s in under.items()}
    assert jump["stress.jump_storm"] > 40 * calm.jump_intensity * (calm.jump_mean**2 + calm.jump_deviation**2)
    assert under["stress.crash"].jump_mean < -0.1
    bursts = under["stress.volatility_bursts"]
    share = bursts.burst_intensity / (bursts.burst_intensity + 1.0 / bursts.burst_duration)
    assert share == pytest.approx(1 / 6)
    assert bursts.burst_factor == 5.0
    assert under["stress.liquidity_drought"].mean_intensity == pytest.approx(calm.mean_intensity / 10)
    assert under["stress.avalanches"].mean_intensity == pytest.approx(calm.mean_intensity)
    assert under["stress.avalanches"].branching_ratio == pytest.approx(0.9)
    bid, ask = under["stress.one_sided_flow"].mean_intensities
    assert bid / ask == pytest.approx(4.0, rel=0.05)


def test_scenarios_are_found_by_set_and_by_their_own_name_once_each():
    grid = "dt0.01.drift0.01.vol0.1.H0.3.jumps0.05.rate10"
    result = find_scenarios(f"stress.crash, {grid}, stress, T1.HH, paper-test", "paper")
    names = [scenario.name for scenario in result]
    assert names[:2] == ["stress.crash", grid]
    assert names[7] == "T1.HH"
    assert len(names) == len(set(names)) == 1 + 1 + 5 + 24
    assert result[1] == paper_train("paper")[grid]
    assert result[0] == stress("paper")["stress.crash"]
    assert find_scenarios("") == []


@pytest.mark.parametrize(
    ("names", "market", "words"),
    [
        ("T1.XX", "correct", "unknown scenario 'T1.XX'; did you mean 'T1"),
        ("stres", "correct", "unknown scenario 'stres'; did you mean 'stress'?"),
        ("stress.crush", "correct", "unknown scenario 'stress.crush'; did you mean 'stress.crash'?"),
        ("dt0.01.drift0.01", "correct", "did you mean 'dt0.01.drift"),
        ("?", "correct", "unknown scenario '?'; it must be one of liquidity-high, liquidity-low,"),
        ("T1.HH", "papr", "unknown market preset 'papr'; did you mean 'paper'?"),
        ("mine.toml", "paper", "`market` must be left at 'correct' where all scenarios come from files"),
        (
            "mine.toml,T1.HH",
            "correct",
            "`name` must differ between scenarios; received 'T1.HH' of `mine.toml` and of the preset "
            "'correct', which differ in jumps_compensated, exciter, exact_decay.",
        ),
        (
            "mine.toml,other.toml",
            "correct",
            "received 'T1.HH' of `mine.toml` and of `other.toml`, which differ in drift. Rename one",
        ),
    ],
)
def test_lists_of_scenarios_that_cannot_be_are_refused(tmp_path, monkeypatch, names, market, words):
    monkeypatch.chdir(tmp_path)
    cell = paper_test("paper")["T1.HH"]
    Path("mine.toml").write_text(scenarios_to_toml([cell]))
    Path("other.toml").write_text(scenarios_to_toml([cell.but(drift=0.5)]))
    with pytest.raises(UsageError) as refusal:
        find_scenarios(names, market)
    assert words in str(refusal.value)
    assert [s.name for s in find_scenarios("mine.toml,T1.HH", "paper")] == ["T1.HH"]  # the same one: no clash


def test_grid_around_has_the_centre_first_and_distinct_names():
    centre = Scenario("x", price="additive", volatility=4.0, horizon=30.0, dt=0.1)
    assert len(grid_around(centre)) == 9
    harmed = grid_around(centre.but(adverse_selection=1.5 * centre.step_deviation, base_intensity_ask=5.0))
    for scenario in harmed:  # the same in units of a step's move, whatever the volatility
        assert scenario.adverse_selection == pytest.approx(1.5 * scenario.step_deviation)
        assert scenario.base_intensity / scenario.base_intensity_ask == 10.0
    grid = grid_around(centre, drift=(-0.5, 0.5))
    assert len({scenario.name for scenario in grid}) == len(grid) == 11
    assert grid[0].name == "centre"
    assert grid[-1].drift * 30.0 == pytest.approx(0.5 * 4.0 * np.sqrt(30.0))


# Files


def test_scenarios_survive_toml(tmp_path):
    before = [
        *list(paper_test("paper").values())[:2],
        *stress("informed").values(),
        Scenario('a "quoted" \\ name', price="additive", drift=-1.0, refill=True),
    ]
    path = tmp_path / "s.toml"
    path.write_text(scenarios_to_toml(before))
    assert read_scenarios(path) == before
    assert find_scenarios(str(path)) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\nvolatilty = 0.1', "unknown scenario key 'volatilty'; did you mean 'volatility'?"),
        ('name = "a"\nvolatility = "high"', "`volatility` must be a number; received 'high'"),
        ('name = "a"\nbase_intensity_ask = true', "`base_intensity_ask` must be a number; received True"),
        ('name = "a"\njumps_compensated = 1', "`jumps_compensated` must be true or false; received 1"),
        ('name = "a"\nrefill = "yes"', "`refill` must be true or false; received 'yes'"),
        ('name = "a"\nexciter = 1', "`exciter` must be a string; received 1"),
        ('name = "a"\nvolatility = -1', "`volatility` must be positive and finite; received -1.0"),
        ("volatility = 0.1", "`name` must be given for every scenario"),
        ("scenario = []", "`scenario` must hold at least one scenario; received an empty list"),
        ("scenario = 3", "must hold one scenario at the top level or only [[scenario]] tables."),
        (
            '[[scenario]]\nname="a"\n[[scenario]]\nname="a"\n[[scenario]]\nname="b"',
            "`name` must differ between scenarios; received a twice",
        ),
    ],
)
def test_bad_scenario_files_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refusal:
        read_scenarios(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_scenario_file_that_is_missing_or_no_toml_is_bad_data(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        find_scenarios(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("dt = ")
    with pytest.raises(DataError, match="must be TOML"):
        find_scenarios(str(tmp_path / "bad.toml"))


# The command, and the warning of others


def test_the_command_lists_sets_shows_scenarios_and_saves_what_others_read(tmp_path):
    sets = flowhft("scenarios", "--json").json["sets"]
    assert {row["set"]: row["scenarios"] for row in sets} == {
        n: len(s.make("correct")) for n, s in SETS.items()
    }
    assert "paper-train" in flowhft("scenarios").out
    path = tmp_path / "mine.toml"
    shown = flowhft("scenarios", "stress,T1.LL", "--market", "informed", "--save", path)
    assert shown.code == 0, shown.err
    assert all(name in shown.out for name in (*stress(), "T1.LL", str(path)))
    wanted = find_scenarios("stress,T1.LL", "informed")
    assert find_scenarios(str(path)) == wanted
    whole = flowhft("scenarios", path, "--json").json["scenarios"]
    assert [row["name"] for row in whole] == [scenario.name for scenario in wanted]
    one = whole[5]
    assert one["self_excitation_ask"] == 2.5
    assert (one["mean_intensity_bid"], one["mean_intensity_ask"]) == pytest.approx(wanted[5].mean_intensities)
    assert one["lost_share"] == pytest.approx(wanted[5].lost_share())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save", "x.toml"], "`save` must come with names of scenarios"),
        (["stress", "--save", "x.txt"], "`save` must end in .toml; received `x.txt`"),
        (["stress", "--save", "old.toml"], "`save` must be a new file; received `old.toml`, which exists."),
        ([" , "], "`names` must name at least one scenario"),
        (["stress", "--market", "real"], "market"),
    ],
)
def test_the_command_refuses_what_it_cannot_save(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("old.toml").write_text("kept")
    said = flowhft("scenarios", *arguments)
    assert said.code == 2
    assert words in said.err
    assert Path("old.toml").read_text() == "kept"


def test_lost_orders_are_told_where_they_are_many(capsys):
    busy, quiet = paper_test()["T1.HH"], Scenario("quiet", base_intensity=5.0)
    note_losses([busy, quiet], Terminal())
    said = capsys.readouterr().err
    assert "in 1 of 2 scenarios, more than 5% of the orders that reach a quote at 1 / k" in said
    assert "(16% in T1.HH)" in said
    note_losses([quiet, busy.but(refill=True)], Terminal())
    note_losses([busy], Terminal(quiet=True))
    assert capsys.readouterr().err == ""
