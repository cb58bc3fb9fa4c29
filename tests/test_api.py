"""The public names: what `import flowhft` offers, that commands call the same, and what plugs in."""

import ast
import doctest
import importlib
import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from program import flowhft as program
from program import manifest

import flowhft
from flowhft.errors import UnknownNameError, UsageError
from flowhft.flow.objectives import OBJECTIVES
from flowhft.learn.demonstrations.dataset_files import Shown
from flowhft.learn.demonstrations.demonstrate import record
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.learn.settings import AdaptSettings, GridSettings, TrainingSettings
from flowhft.policies.file import save_policy
from flowhft.policies.plans import PLANS
from flowhft.policies.rules import EXPERTS, glft
from flowhft.policies.settings import NetworkSettings
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.split import split
from flowhft.runs.folder import read_table
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.policies import NO_QUOTE, lineup
from flowhft.stages.settings import SweepSettings

SOURCE = Path(flowhft.__file__)
SOLO = Scenario("solo", horizon=0.5, dt=0.05)
LIGHT = ("jax", "numba", "numpy", "polars", "equinox", "plotly")
FAST = flowhft.ReplaySettings(decision_latency_us=100.0, horizon=5.0)


def leaning(observation):
    lean = 0.2 * observation.inventory
    return 0.5 + lean, 0.5 - lean


def in_a_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def recording():
    return flowhft.read_recording(flowhft.sample_recording())


@pytest.fixture(scope="module")
def market(recording):
    return flowhft.scenario_of(flowhft.calibrate(recording), recording)


@pytest.fixture(scope="module")
def shown():
    lesson = Episodes(SOLO, "glft", SOLO.risk_aversion, True, 0, 12)
    trajectory = record(lesson, seed=0)
    unknown = np.full_like(trajectory.observation.intensity_bid, np.nan)
    seen = trajectory.observation._replace(intensity_bid=unknown, intensity_ask=unknown)
    return [Shown(SOLO, "glft", SOLO.risk_aversion, seen, trajectory.quote)]


# Names


def test_all_is_what_is_there():
    assert sorted(flowhft.__all__) == sorted([*flowhft._PUBLIC, "__version__"])
    assert 20 <= len(flowhft.__all__) <= 30
    assert set(flowhft.__all__) <= set(dir(flowhft))
    for name in flowhft.__all__:
        assert getattr(flowhft, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = flowhft.no_such_name


def test_type_checkers_see_the_very_same_names():
    (block,) = [
        node
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname or alias.name: getattr(importlib.import_module(line.module), alias.name)
        for line in block.body
        for alias in line.names
    }
    assert set(seen) == set(flowhft._PUBLIC)
    for name, thing in seen.items():
        if flowhft._PUBLIC[name]:
            assert getattr(flowhft, name) is thing, name
        else:  # a room that is called itself
            assert callable(getattr(flowhft, name))
            assert inspect.ismodule(getattr(flowhft, name))


def test_importing_flowhft_imports_nothing_else():
    code = f"import sys, flowhft; print([name for name in {LIGHT} if name in sys.modules])"
    assert in_a_process(code).strip() == "[]"


def test_words_and_recordings_need_no_lab():
    code = (
        "import sys, flowhft\n"
        "flowhft.Observation, flowhft.Quote, flowhft.METRICS, flowhft.Expert, flowhft.ReplaySettings\n"
        "recording = flowhft.read_recording(flowhft.sample_recording())\n"
        "flowhft.find_scenarios('T1.LL')\n"
        "print('jax' in sys.modules)\n"
    )
    assert in_a_process(code).strip() == "False"


def test_a_room_is_called_in_whatever_order_names_are_imported():
    code = (
        "import flowhft.calibrate.calibrate, flowhft.report.build\n"
        "from flowhft import calibrate, report\n"
        "assert callable(calibrate) and callable(report)\n"
        "assert flowhft.calibrate is calibrate and calibrate.calibrate.calibrate\n"
        "print('ok')\n"
    )
    assert in_a_process(code).strip() == "ok"


def test_typed_marker_lies_where_packages_have_it():
    assert (SOURCE.parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["evaluate", "frozen", "calibrated"])
def test_examples_of_docstrings_run(name):
    module = importlib.import_module(f"flowhft.stages.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_old_name_of_frozen_policies_works_and_says_so():
    from flowhft.desk import compiled

    sys.modules.pop("flowhft.frozen", None)
    with pytest.warns(DeprecationWarning, match=r"flowhft\.load_frozen"):
        old = importlib.import_module("flowhft.frozen")
    assert set(old.__all__) <= set(compiled.__all__)
    for name in old.__all__:
        assert getattr(old, name) is getattr(compiled, name)


# The desk


def test_a_frozen_file_quotes_without_the_lab(tmp_path, market):
    frozen = flowhft.load_frozen("glft", market)
    told = flowhft.load_policy("glft").as_data().in_market(market)
    save_policy(tmp_path / "frozen.safetensors", told)
    (tmp_path / "jax.py").write_text("raise ImportError('the desk reached jax')\n")
    code = (
        "import sys, flowhft\n"
        f"frozen = flowhft.load_frozen({str(tmp_path / 'frozen.safetensors')!r})\n"
        "memory = flowhft.begin(frozen, seed=0)\n"
        "seen = flowhft.Observation(0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 1.0)\n"
        "wanted = flowhft.quote(frozen, memory, seen)\n"
        "print(repr(float(wanted.half_spread_bid)))\n"
    )
    seen = flowhft.Observation(0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    here = flowhft.quote(frozen, flowhft.begin(frozen, seed=0), seen)
    assert float(in_a_process(code, PYTHONPATH=f"{tmp_path}:{SOURCE.parents[1]}")) == here.half_spread_bid


def test_an_expert_is_not_frozen_without_a_market():
    with pytest.raises(UsageError, match="`scenario` must say which market glft is told"):
        flowhft.load_frozen("glft")


# Evaluations


def test_a_command_writes_what_the_function_returns(tmp_path):
    said = program(
        *("evaluate", "--scenarios", "T1.LL,T2.HH", "--policies", "white_noise,glft", "--paths", "30"),
        *("--reference", "glft", "--seed", "3", "--delay", "1", "--out", tmp_path / "run", "--quiet"),
    )
    assert said.code == 0, said.err
    result = flowhft.evaluate(
        ["white_noise", "glft"],
        ["T1.LL", "T2.HH"],
        30,
        reference="glft",
        seed=3,
        delay=1,
    )
    for name in ("results", "differences", "equity", "inventory", "markouts", "fingerprint"):
        assert_frame_equal(read_table(tmp_path / "run" / f"{name}.parquet"), getattr(result, name))
    result.save(tmp_path / "saved")
    for path in (tmp_path / "saved").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / path.name).read_bytes()


def test_what_a_user_gives_may_have_any_form():
    expert = replace(EXPERTS["glft"], name="mine", coefficients=lambda e, g: glft.coefficients(e, 2.0 * g))
    plain = flowhft.evaluate("glft,white_noise", "T1.LL", 30).results
    (named,) = flowhft.find_scenarios("T1.LL")
    for policies, scenarios in (
        (["glft", "white_noise"], named),
        (("glft", EXPERTS["white_noise"]), ["T1.LL"]),
        ({"glft": EXPERTS["glft"], "white_noise": flowhft.load_policy("white_noise")}, [named]),
    ):
        assert_frame_equal(flowhft.evaluate(policies, scenarios, 30).results, plain)
    mixed = flowhft.evaluate([expert, "glft"], [named, "T2.HH"], 30)
    assert mixed.results["policy"].to_list() == ["mine", "glft", NO_QUOTE] * 2
    assert mixed.results["scenario"].unique(maintain_order=True).to_list() == ["T1.LL", "T2.HH"]
    mine, theirs = mixed.results["half_spread"][:2]
    assert mine != theirs
    assert "mine" in repr(mixed)
    assert "T2.HH" in repr(mixed)


@pytest.mark.parametrize(
    ("policies", "options", "words"),
    [
        ({}, {}, "`policies` must name at least one policy; received none"),
        ("glft,glft", {}, "`policies` must have different names; received 'glft,glft'. Write label=path."),
        ("glft", {"reference": "gltf"}, "`reference` must be one of glft, no_quote; received 'gltf'"),
        ({"mine": 3.0}, {}, "the policy mine must be a function of the observation"),
        ("glft", {"paths": 1}, "`paths` must lie between 2 and"),
        ("glft", {"confidence": 1.0}, "`confidence` must lie between 0 and 1"),
        ("glft", {"delay": -1}, "`delay` must be 0 steps or more"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(policies, options, words):
    with pytest.raises(UsageError, match="^" + words.replace(".", r"\.")):
        flowhft.evaluate(policies, SOLO, **{"paths": 10, **options})


def test_scenarios_that_cannot_be_are_refused():
    for scenarios, words in (("", "at least one"), ([SOLO, SOLO], "different names")):
        with pytest.raises(UsageError, match=f"`scenarios` must .*{words}"):
            flowhft.evaluate("glft", scenarios, 10)
    with pytest.raises(UnknownNameError, match="unknown scenario 'T9'"):
        flowhft.evaluate("glft", [SOLO, "T9"], 10)


# Your own


def test_your_own_policy_stands_beside_experts():
    result = flowhft.evaluate({"mine": leaning, "glft": "glft"}, "T1.LL", 20)
    assert result.results["policy"].to_list() == ["mine", "glft", NO_QUOTE]
    mine = result.results.filter(policy="mine").to_dicts()[0]
    assert mine["fills"] > 0
    assert mine["half_spread"] == pytest.approx(0.5, abs=1e-6)  # leaning moves both sides alike
    assert flowhft.evaluate([leaning], "T1.LL", 20).results["pnl"][0] == mine["pnl"]
    late = flowhft.evaluate({"mine": leaning}, "T1.LL", 20, delay=5).results.filter(policy="mine")
    assert late["pnl"][0] != mine["pnl"]


def test_your_own_file_is_named_on_the_command_line_and_remembered_by_its_content(tmp_path):
    file = tmp_path / "my_policy.py"
    file.write_text("def lean(seen):\n    return 0.5 + 0.2 * seen.inventory, 0.5 - 0.2 * seen.inventory\n")
    arguments = ("evaluate", "--scenarios", "T1.LL", "--paths", "20", "--quiet", "--out", tmp_path / "run")
    said = program(*arguments, "--policies", f"mine={file}:lean,glft")
    assert said.code == 0, said.err
    written = read_table(tmp_path / "run" / "results.parquet")
    assert_frame_equal(written, flowhft.evaluate({"mine": leaning, "glft": "glft"}, "T1.LL", 20).results)
    before = manifest(tmp_path / "run")
    assert len(before["parents"]["policy mine"]) == 16
    assert "mine:lean" in before["config"]["policies"]
    assert str(tmp_path) not in json.dumps(before["config"])
    file.write_text(file.read_text().replace("0.5", "0.6"))
    assert program(*arguments, "--policies", f"mine={file}:lean,glft").code == 0
    after = manifest(tmp_path / "run")
    assert after["parents"]["policy mine"] != before["parents"]["policy mine"]
    assert after["fingerprint"] != before["fingerprint"]
    assert not written.equals(read_table(tmp_path / "run" / "results.parquet"))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{file}:laen", "unknown policy in my_policy.py 'laen'; did you mean 'lean'?"),
        ("m={file}:lean[steps=2]", "`steps` must stand behind a flow policy"),
        ("m={file}x:lean", "unknown policy"),
        ("m=none.py:lean", "must be a Python file with a policy; there is none"),
    ],
)
def test_your_own_policy_named_wrongly_is_refused_in_one_line(tmp_path, written, words):
    file = tmp_path / "my_policy.py"
    file.write_text("def lean(seen):\n    return 0.5, 0.5\n")
    said = program("evaluate", "--scenarios", "T1.LL", "--policies", written.format(file=file))
    assert said.code in (2, 3)
    assert words in said.err


# Who stays at home


def test_who_stays_at_home_is_last_and_the_reference_only_if_asked_for():
    assert lineup("glft,white_noise").names == ["glft", "white_noise", NO_QUOTE]
    assert lineup("glft").reference == "glft"
    assert lineup("glft", NO_QUOTE).reference == NO_QUOTE
    for given in ("no_quote,glft", "home=no_quote,glft"):
        assert len(lineup(given).names) == 2
    assert lineup(lineup("glft")).names == ["glft", NO_QUOTE]


def test_who_stays_at_home_earns_exactly_nothing_in_simulation():
    result = flowhft.evaluate("glft", "T1.LL,stress.crash", 30)
    home = result.results.filter(policy=NO_QUOTE)
    for name in ("pnl", "spread_pnl", "inventory_pnl", "fee", "max_drawdown", "fills", "quoting_ratio"):
        assert (home.select(f"^{name}(_low|_high)?$") == 0.0).to_numpy().all(), name
    for name in ("sharpe", "effective_spread", "fill_ratio", "half_spread"):
        assert home[name].null_count() == home.height, name
    glft_alone = result.results.filter(policy="glft")
    away = result.differences.filter(policy=NO_QUOTE)
    np.testing.assert_allclose(away["pnl"], -glft_alone["pnl"], rtol=1e-12)
    np.testing.assert_allclose(away["pnl_low"], -glft_alone["pnl_high"], rtol=1e-9)
    assert result.markouts.filter(policy=NO_QUOTE)["fills"].sum() == 0
    assert result.fingerprint.filter(policy=NO_QUOTE)["half_spread_bid"].is_nan().all()


def test_who_stays_at_home_earns_exactly_nothing_on_a_recording(recording, market):
    result = flowhft.replay(
        recording, "glft", scenario=market, settings=FAST, sweep=SweepSettings(fees=(0.0, 5.0))
    )
    home = result.results.filter(policy=NO_QUOTE)
    for name in ("pnl", "fills", "turnover", "max_drawdown", "quoting_ratio"):
        assert (home.select(f"^{name}(_low|_high)?$") == 0.0).to_numpy().all(), name
    assert home["sharpe"].is_nan().all()
    assert (result.costs.filter(policy=NO_QUOTE)["pnl"] == 0.0).all()
    assert result.fills.filter(policy=NO_QUOTE).height == 0
    assert result.record["break_even_fee_bps"][NO_QUOTE] is None
    assert set(result.record["orders"][NO_QUOTE]) == {0}
    assert result.record["learned"] is None
    assert NO_QUOTE in repr(result)


# Recordings


def test_one_call_calibrates_the_first_part_and_replays_the_rest(recording, tmp_path):
    once = flowhft.backtest(recording, "glft", after=0.6, settings=FAST)
    learn, unseen = split(recording, 0.6)
    twice = flowhft.replay(unseen, "glft", calibration=flowhft.calibrate(learn), settings=FAST)
    assert_frame_equal(once.results, twice.results)
    assert once.record["warnings"] == twice.record["warnings"]
    once.save(tmp_path)
    assert_frame_equal(read_table(tmp_path / "equity.parquet"), once.equity)
    assert json.loads((tmp_path / "backtest.json").read_text())["sessions"] == once.record["sessions"]
    assert flowhft.report(tmp_path).is_file()


@pytest.mark.slow
def test_a_replay_of_what_it_calibrates_on_says_that_it_is_in_sample(recording):
    result = flowhft.replay(flowhft.sample_recording(), "glft", settings=FAST)
    assert "in sample" in result.record["warnings"][-1]
    known = flowhft.replay(recording, "glft", calibration=flowhft.calibrate(recording), settings=FAST)
    assert_frame_equal(result.results, known.results)
    assert not any("in sample" in warning for warning in known.record["warnings"])


def test_a_replay_minds_what_is_said_of_fees_and_the_least_order(recording, market):
    said = InstrumentSettings(maker_fee_bps=-0.5, taker_fee_bps=0.0, minimum_notional=500.0)
    told = flowhft.read_recording(flowhft.sample_recording(), instrument=said)
    plain = flowhft.replay(recording, "no_quote", scenario=market, settings=FAST)
    result = flowhft.replay(told, "no_quote", scenario=market, settings=FAST)
    assert_frame_equal(result.results, plain.results)
    more = set(result.record["warnings"]) - set(plain.record["warnings"])
    assert more == {"`maker_fee_bps` of the replay is 0; the venue's is said to be -0.5."}
    least = replace(told, instrument=told.instrument._replace(minimum_notional=1e6))
    with pytest.raises(UsageError, match=r"`order_lots` must make orders of 1000000.0 USDT or more"):
        flowhft.replay(least, "no_quote", scenario=market, settings=FAST)


# Learning


@pytest.mark.slow
def test_imitate_takes_an_objective_of_your_own(shown):
    mine = replace(OBJECTIVES["regression"], name="my_regression", plan=PLANS["regression"])
    network = NetworkSettings(horizon=2, width=8, blocks=1)
    training = TrainingSettings(updates=20, batch=32, examine_scenarios=0, checkpoint_every=10)
    try:
        result = flowhft.imitate(shown, objective=mine, network=network, training=training)
        assert result.flow.objective == "my_regression"
        with pytest.raises(UsageError, match="`objective` must have a name of its own"):
            flowhft.imitate(
                shown, objective=replace(mine, summary="another"), network=network, training=training
            )
        known = flowhft.imitate(shown, objective="regression", network=network, training=training)
        both = flowhft.evaluate({"mine": result.policy, "known": known.policy}, SOLO, 20).results
        assert both["pnl"][0] == both["pnl"][1]  # the same arithmetic under two names
    finally:
        OBJECTIVES.pop("my_regression", None)
        PLANS.pop("my_regression", None)
    with pytest.raises(UsageError, match="`plan` must say how a new objective is sampled; received None"):
        flowhft.imitate(shown, objective=replace(mine, plan=None), network=network, training=training)


@pytest.mark.slow
def test_a_policy_is_imitated_adapted_saved_and_found_again(shown, tmp_path):
    network = NetworkSettings(horizon=2, width=8, blocks=1)
    training = TrainingSettings(updates=20, batch=32, examine_scenarios=0, checkpoint_every=10)
    learned = flowhft.imitate(shown, network=network, training=training)
    assert learned.curve["update"].to_list()
    learned.save(tmp_path / "imitated.safetensors")
    search, grid = AdaptSettings(paths=8, fresh_paths=8), GridSettings(scales=(1.0,), offsets=(-0.1, 0.0))
    adapted = flowhft.adapt(learned.policy, SOLO, method="paper", search=search, grid=grid)
    again = flowhft.adapt(tmp_path / "imitated.safetensors", SOLO, method="paper", search=search, grid=grid)
    assert adapted.found.adapter == again.found.adapter
    adapted.save(tmp_path / "adapted.safetensors")
    result = flowhft.evaluate(
        {"now": adapted.policy, "saved": str(tmp_path / "adapted.safetensors")}, SOLO, 20
    ).results
    assert result["pnl"][0] == result["pnl"][1]
    with pytest.raises(UsageError, match="`policy` must be a saved policy; received 'glft'"):
        flowhft.adapt("glft", SOLO)
