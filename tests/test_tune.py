"""Tuned controls: what the search finds, its file, its frozen form, its command."""

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from program import flowhft

from flowhft.desk.compiled import begin
from flowhft.desk.compiled import quote as desk_quote
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import DataError, UsageError
from flowhft.learn.settings import AdaptSettings, TuneSettings
from flowhft.learn.tune import chosen_of, quoting, tune_in, tuned_policies
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.members import Members
from flowhft.policies.names import find_policy
from flowhft.runs.archive import write_archive
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one
from flowhft.types import Observation

SMALL = Scenario(
    "small", dt=0.05, volatility=0.1, base_intensity=20.0, self_excitation=1.0, cross_excitation=1.0
)
SEARCH = AdaptSettings(paths=200, fresh_paths=400, rounds=1, candidates=3)


@pytest.fixture(scope="module")
def tuning():
    timid = SMALL.but(name="timid", risk_aversion=40.0)
    settings = TuneSettings(risk_aversions=(0.03, 0.1, 0.3), search=SEARCH)
    return timid, tune_in(timid, ("glft", "avellaneda_stoikov"), settings, seed=0)


@pytest.mark.slow
def test_tuning_mends_an_absurd_risk_aversion_and_fresh_paths_agree(tuning):
    _, result = tuning
    assert [row["expert"] for row in result.rows] == ["glft", "avellaneda_stoikov"]
    assert sum(row["chosen"] for row in result.rows) == 1
    for row in result.rows:
        assert row["risk_aversion"] < 1.0
        assert row["validation"] > 0.0
        assert row["fresh_low"] > 0.0
        assert row["winners_curse"] == pytest.approx(row["validation"] - row["fresh"])
        tried = [one for one in result.search if one["expert"] == row["expert"]]
        risks = [one["risk_aversion"] for one in tried if one["direction"] == "risk_aversion"]
        assert risks == pytest.approx(
            [40.0, 0.045, 0.15, 0.45]
        )  # the scenario's own, then the grid, once each
        assert max(one["difference"] for one in tried) >= row["validation"] - 1e-9


@pytest.mark.slow
def test_a_tuned_control_survives_its_file_and_freezes_to_the_same_quotes(tuning, tmp_path):
    timid, result = tuning
    chosen = chosen_of(pl.DataFrame(result.rows), "glft")
    save_policy(tmp_path / "glft_tuned.safetensors", tuned_policies(chosen, {"market": "correct"}))
    named = find_policy(str(tmp_path / "glft_tuned.safetensors"))
    assert named.name == "glft_tuned"
    assert isinstance(named.as_data().core, Members)
    assert named.needs_scenario
    # What the table says of fresh paths is what judging the tuned policy there gives, from the file as well.
    for policy in (quoting(chosen["timid"], timid), in_lab(named, timid)):
        pnl = evaluate_one(build(timid), policy, paths=400, seed=0, scenario="tune/fresh/timid")["pnl"]
        assert result.rows[0]["score"] == pytest.approx(pnl.mean() - 0.25 * pnl.std(ddof=1), rel=1e-6)
    # A chosen map of zeros would freeze right by chance: this one has every number.
    adapter = Adapter(1.25, 0.5, -0.25, 0.125, 0.0625)
    moved = tuned_policies({"timid": chosen["timid"]._replace(adapter=adapter)}, {})
    numbers = (0.2, 0.8, 0.0, 2.0, 0.0, 0.0, 0.0, 20.0, 20.0)
    frozen = freeze(moved, timid)
    desk = desk_quote(frozen, begin(frozen, 0), Observation(*numbers))
    lab, _ = in_lab(moved, timid).act((), Observation(*(jnp.asarray(x, jnp.float32) for x in numbers)), None)
    np.testing.assert_allclose(np.array(desk), np.array(lab), rtol=1e-5)
    with pytest.raises(UsageError, match=r"unknown scenario 'small'.* made scenario by scenario"):
        in_lab(named, SMALL)
    with pytest.raises(UsageError, match="`scenario` must say which of several policies"):
        freeze(named)


def test_a_file_of_the_time_before_the_slope_has_none(tmp_path):
    path = tmp_path / "old.safetensors"
    arrays = {
        "risk_aversion": np.array([0.5], np.float32),
        "adapter": np.array([[1.25, 0.5, -0.25, 0.125]], np.float32),
    }
    header = {"format": "flowhft.tuned", "version": 1, "scenarios": ["a"], "experts": ["glft"]}
    write_archive(path, arrays, header)
    assert load_policy(path).core.policies["a"].adapter == Adapter(1.25, 0.5, -0.25, 0.125, 0.0)


@pytest.mark.parametrize(
    ("header", "risk", "words"),
    [
        ({"scenarios": ["a"], "experts": ["nobody"]}, 1.0, "unknown expert 'nobody'"),
        ({"scenarios": ["a"], "experts": [["glft"]]}, 1.0, "must describe a policy"),
        (
            {"scenarios": ["a", "a"], "experts": ["glft", "glft"]},
            1.0,
            "must name one known expert a scenario",
        ),
        ({"experts": ["glft"]}, 1.0, "header is not one: 'scenarios'"),
        ({"scenarios": ["a"], "experts": ["glft"]}, -1.0, "`risk_aversion` must be positive"),
        (
            {"scenarios": ["a"], "experts": ["glft"], "version": 9},
            1.0,
            "must be of version 1 of a policy",
        ),
    ],
)
def test_a_damaged_file_of_tuned_controls_is_refused(tmp_path, header, risk, words):
    path = tmp_path / "x.safetensors"
    arrays = {
        "risk_aversion": np.array([risk], np.float32),
        "adapter": np.array([IDENTITY], np.float32),
    }
    write_archive(path, arrays, {"format": "flowhft.tuned", "version": 1} | header)
    with pytest.raises(DataError, match=words):
        load_policy(path)


def test_the_command_tunes_every_scenario_and_evaluate_takes_what_it_wrote(tmp_path):
    (tmp_path / "two.toml").write_text(
        "\n".join(f'[[scenario]]\nname = "v{v}"\ndt = 0.05\nvolatility = {v}\n' for v in (0.05, 0.2))
    )
    said = flowhft(
        *("tune", "--scenarios", tmp_path / "two.toml", "--policies", "glft", "--risk-aversions", "0.03,0.3"),
        *("--search.paths", "40", "--search.fresh-paths", "40", "--search.rounds", "1"),
        *("--search.candidates", "3", "--out", tmp_path / "tune", "--json", "--quiet"),
    )
    assert {row["scenario"] for row in said.json["tuning"]} == {"v0.05", "v0.2"}
    judged = flowhft(
        *("evaluate", "--scenarios", tmp_path / "two.toml", "--paths", "20", "--json", "--quiet"),
        *("--policies", f"tuned={tmp_path / 'tune'},{tmp_path / 'tune' / 'glft_tuned.safetensors'}"),
        *("--out", tmp_path / "judged"),
    )
    pnl = {(row["scenario"], row["policy"]): row["pnl"] for row in judged.json["results"]}
    assert {policy for _, policy in pnl} == {"tuned", "glft_tuned", "no_quote"}
    assert pnl["v0.2", "tuned"] == pnl["v0.2", "glft_tuned"]  # one expert was tuned: it is the best
    assert flowhft("report", tmp_path / "tune").code == 0
    assert "Tuning gains beyond chance" in (tmp_path / "tune" / "report.html").read_text()
