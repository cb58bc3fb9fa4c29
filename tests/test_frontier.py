"""The frontier: the sweep, its margins, the command and its figure; slow: all 24 cells in simulation."""

import json
import math
import re

import pytest

from flowhft.cli.main import main
from flowhft.errors import UsageError
from flowhft.learn.frontier import frontier, reached_at
from flowhft.policies import rules as experts
from flowhft.scenarios.presets import paper_test
from flowhft.simulate.quoting import closed_form


@pytest.fixture(scope="module")
def drawn():
    scenario = paper_test()["T1.LL"]
    named = {name: lambda s, name=name: closed_form(name, s) for name in ("glft", "white_noise", "oracle")}
    return frontier(
        scenario, [experts.get("oracle")], (1e-4, 0.1, 30.0), named, paths=1_000, seed=0
    ), scenario


@pytest.mark.slow
def test_the_frontier_trades_profit_for_risk(drawn):
    (points, _), scenario = drawn
    curve = [row for row in points if row["risk_aversion"] is not None]
    assert [row["risk_aversion"] for row in curve] == [1e-4, 0.1, scenario.risk_aversion, 30.0]
    for name in ("pnl", "pnl_deviation", "rms_inventory"):
        values = [row[name] for row in curve]
        assert values == sorted(values, reverse=True), name
    assert all(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] for row in points for name in ("pnl",))


def test_margins_are_paired_and_that_of_the_oracle_itself_is_zero(drawn):
    (_, margins), _ = drawn
    result = {row["policy"]: row for row in margins}
    assert result["oracle"]["margin"] == result["oracle"]["margin_high"] == 0.0
    assert result["glft"]["margin_low"] > 0.0
    assert result["white_noise"]["margin_low"] > result["glft"]["margin_high"]


def test_what_a_curve_reaches_is_interpolated():
    curve = [{"pnl_deviation": d, "pnl": p} for d, p in ((3.0, 4.0), (1.0, 1.0), (2.0, 5.0))]
    assert reached_at(curve, 1.5) == 3.0
    assert reached_at(curve, 3.0) == reached_at(curve, 99.0) == 5.0  # more risk must not be worth less
    assert math.isnan(reached_at(curve, 0.5))
    assert math.isnan(reached_at([], 1.0))


@pytest.mark.parametrize("wrong", [[], [0.0], [-1.0], [math.nan]])
def test_a_sweep_needs_positive_risk_aversions(wrong):
    with pytest.raises(UsageError, match="`risk_aversions` must be positive numbers"):
        frontier(paper_test()["T1.LL"], [experts.get("oracle")], wrong, {}, paths=10, seed=0)


def test_an_expert_is_swept_once():
    oracle = experts.get("oracle")
    with pytest.raises(UsageError, match="`swept` must name each expert once; received oracle, oracle"):
        frontier(paper_test()["T1.LL"], [oracle, oracle], [1.0], {}, paths=10, seed=0)


def test_the_command_leaves_a_folder_and_a_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = "frontier --scenarios T1.LL --policies glft --risk-aversions 0.1,30 --paths 1000 --out run"
    assert main(command.split()) == 0
    told = capsys.readouterr().out
    assert "at least as good on its own objective in 2 of 2" in told
    assert re.search(r"^T1.LL +glft ", told, re.MULTILINE)  # whoever is not swept has a row
    assert re.search(r"^T1.LL +no_quote ", told, re.MULTILINE)
    assert main([*command.split(), "--json"]) == 0  # done already: read back, nothing simulated again
    result = json.loads(capsys.readouterr().out)
    assert result["behind"] == 0
    ends = [row for row in result["frontier"] if row["risk_aversion"] is None]
    assert [(row["policy"], row["family"], row["rule"]) for row in ends] == [
        ("glft", "rule", "glft"),
        ("no_quote", "baseline", "no_quote"),
    ]
    assert (ends[1]["pnl"], ends[1]["quoting_ratio"]) == (0.0, 0.0)
    assert ends[0]["quoting_ratio"] > 0.5
    assert main(["report", "run"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The frontier of the exact optimum" in page
    assert re.search(r"<td>no_quote</td><td>0 ± 0</td><td>0 ± 0</td><td>0</td>", page)
    assert "On its own objective oracle is better in 2 of 2 comparisons, cannot be told apart in 0" in page
    assert main(["frontier", "--scenarios", "T1.LL", "--swept", "orakel", "--out", "other"]) == 2
    assert "did you mean 'oracle'?" in capsys.readouterr().err


@pytest.mark.slow
def test_in_simulation_the_oracle_is_at_least_as_good_as_every_closed_form_in_all_cells():
    """The correct market with its Hawkes flow: 50,000 sessions a cell, intervals of 99.99 %.

    In two cells hardly anybody trades, and Avellaneda-Stoikov loses 0.0005: a million tell that apart.
    """
    cells = list(paper_test().values())
    names = ("white_noise", "avellaneda_stoikov", "glft", "glft_drift")
    policies = {name: lambda s, name=name: closed_form(name, s) for name in names}
    for scenario in cells:
        margins = frontier(
            scenario,
            [experts.get("oracle")],
            [scenario.risk_aversion],
            policies,
            paths=50_000,
            seed=0,
            like=[cell for cell in cells if cell.steps == scenario.steps],
            confidence=0.9999,
        ).margins
        assert all(row["margin_high"] > 0.0 for row in margins), margins
        quiet = {"avellaneda_stoikov"} if scenario.name in ("T1.HL", "T2.HL") else set()
        assert all(row["margin_low"] > 0.0 for row in margins if row["policy"] not in quiet), margins
