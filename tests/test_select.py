"""Contests, the choice of experts with its margins and ties, its map."""

import json

import jax
import numpy as np
import polars as pl
import pytest
from program import contents, flowhft

from flowhft.errors import UsageError
from flowhft.learn import select
from flowhft.learn.select import candidates_in, select_in, select_teachers, teachers_of, wins_of
from flowhft.learn.settings import TeacherSettings
from flowhft.policies.adapter import Adapter
from flowhft.report.sections.winners import colours_of, is_grid, winners_map, wins_bars
from flowhft.scenarios.presets import paper_train
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.many import evaluate_many, stack
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.closed_form import adapted
from flowhft.simulate.rollout import evaluate_one
from flowhft.stages.teachers import teachers_from

SMALL = Scenario(
    "small", dt=0.05, volatility=0.1, base_intensity=20.0, self_excitation=1.0, cross_excitation=1.0
)
FEW = TeacherSettings(risk_aversions=(0.03, 0.3), paths=200, fresh_paths=200)
SIZES = ("--paths", "60", "--fresh-paths", "60", "--risk-aversions", "0.03,0.3")


# --- contests -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_contest_gives_every_policy_what_it_gets_alone():
    """To rounding, whatever its kind and whoever else takes part, in the order given."""
    market = build(SMALL)
    policies = [
        closed_form("glft", SMALL, 0.1),
        closed_form("white_noise", SMALL),
        adapted(closed_form("glft", SMALL, 0.1), Adapter(1.0, 0.1, 0.1, 0.05)),
        closed_form("glft", SMALL, 0.5),
    ]
    result = evaluate_many(market, policies, paths=50, seed=3, scenario="x")
    for policy, measures in zip(policies, result, strict=True):
        alone = evaluate_one(market, policy, paths=50, seed=3, scenario="x")
        assert measures.keys() == alone.keys()
        for name, values in alone.items():
            np.testing.assert_allclose(measures[name], values, rtol=1e-5, atol=1e-5)


def test_a_contest_shares_what_policies_have_in_common():
    """One network behind several adapters is not copied for each of them."""
    shared = closed_form("glft", SMALL, 0.1)
    varied, fixed = stack([adapted(shared, Adapter(1.0, width, width, 0.0)) for width in (0.0, 0.2)])
    assert [leaf.shape for leaf in jax.tree.leaves(varied)] == [(2,)] * 5  # only the adapters' numbers
    assert jax.tree.leaves(fixed.policy.coefficients) == list(shared.coefficients)


# --- the choice ---------------------------------------------------------------------------------------


def test_candidates_are_every_expert_at_every_risk_aversion_and_noise_once():
    result = candidates_in(SMALL, FEW)
    assert [c.expert for c in result].count("white_noise") == 1
    assert len(result) == 1 + 3 * 2
    assert {c.risk_aversion for c in result} == {0.03 * 1.5, 0.3 * 1.5}


def test_experts_that_quote_the_same_tie_and_a_told_drift_wins_clearly():
    """Without drift glft and glft_drift are one policy; with a strong drift the one that is told it wins."""
    flat, trend = SMALL.but(name="flat"), SMALL.but(name="trend", drift=0.5)
    teachers, candidates, choices = select_teachers([flat, trend], FEW, seed=0)
    by = {row["scenario"]: row for row in choices.iter_rows(named=True)}
    assert {by["flat"]["expert"], by["flat"]["rival_expert"]} == {"glft", "glft_drift"}
    assert by["flat"]["margin"] == by["flat"]["fresh_margin"] == 0.0
    assert by["flat"]["tie"]
    assert "glft_drift" in by["flat"]["ties"].split(",")
    assert by["trend"]["expert"] == "glft_drift"
    assert by["trend"]["fresh_margin_low"] > 0.0
    assert not by["trend"]["tie"]
    assert by["trend"]["ties"] == ""
    assert [teacher.expert for teacher in teachers] == [by[s]["expert"] for s in ("flat", "trend")]
    assert candidates.filter("chosen").height == 2
    for row in candidates.filter("chosen").iter_rows(named=True):
        same = candidates.filter(pl.col("scenario") == row["scenario"]).drop_nulls("risk_aversion")
        assert row["score"] == same["score"].max()
        assert row["score_low"] < row["score"] < row["score_high"]
    counts = {(row["criterion"], row["expert"]): row for row in wins_of(choices)}
    assert sum(row["wins"] for row in counts.values()) == 3 * 2
    assert all(row["wins"] == row["clear"] + row["ties"] for row in counts.values())
    assert counts["utility", "glft_drift"]["clear"] >= 1


def test_who_stays_at_home_stands_beside_the_candidates_and_is_none_unless_it_is_named():
    alone, named = (
        select_in(
            SMALL, TeacherSettings(experts=experts, risk_aversions=(0.1,), paths=30, fresh_paths=20), seed=0
        )
        for experts in (("glft",), ("glft", "no_quote"))
    )
    first, home = alone.candidates
    again, judged = named.candidates
    assert first == again  # the others are what they were
    assert (home["expert"], home["risk_aversion"], home["chosen"]) == ("no_quote", None, False)
    assert judged["risk_aversion"] == 0.1 * SMALL.fill_decay
    for name in home.keys() - {"risk_aversion", "chosen"}:  # what a simulation finds
        assert home[name] == judged[name] or np.isnan([home[name], judged[name]]).all(), name
    assert home["quoting_ratio"] == 0.0 < first["quoting_ratio"]
    assert alone.choice["rival_expert"] is None
    assert named.choice["rival_expert"] == "no_quote"
    worst = TeacherSettings(experts=("white_noise",), paths=30, fresh_paths=20, criterion="sharpe")
    assert select_in(SMALL.but(volatility=2.0), worst, seed=0).choice["expert"] == "white_noise"


@pytest.mark.slow
def test_margins_on_the_paths_that_chose_flatter_the_choice():
    """The winner's curse: among candidates that differ by chance, the fresh margin is smaller.

    Three risk aversions so close that their true scores differ by less than chance: the margin of the best on
    30 paths is never negative, and on fresh paths falls to either side. Over 200 seeds the mean of what is
    lost is above zero by more than three of its standard errors: without the curse, one false alarm in 700.
    """
    settings = TeacherSettings(
        experts=("glft",), risk_aversions=(0.1, 0.12, 0.14), criterion="pnl", paths=30, fresh_paths=30
    )
    results = [select_in(SMALL, settings, seed).choice for seed in range(200)]
    margins, fresh = (
        np.array([row[name] for row in results]) for name in ("next_margin", "fresh_next_margin")
    )
    assert (margins >= 0.0).all()
    assert (fresh < 0.0).any()
    lost = margins - fresh
    assert lost.mean() > 3.0 * lost.std(ddof=1) / len(lost) ** 0.5
    # One expert has no rival: nothing to compare it with, and no tie.
    assert {row["rival_expert"] for row in results} == {None}
    assert np.isnan(results[0]["margin"])
    assert not results[0]["tie"]


@pytest.mark.slow
def test_the_criterion_and_the_weight_of_risk_decide():
    """A maker who hardly quotes has little PnL and less risk: all that a heavy weight of risk leaves."""
    base = dict(experts=("glft",), risk_aversions=(0.01, 30.0), paths=200, fresh_paths=2)
    wild = SMALL.but(name="wild", volatility=0.4)
    chosen = {
        weight: select_in(
            wild, TeacherSettings(**base, criterion="utility", risk_weight=weight), seed=0
        ).choice["risk_aversion"]
        for weight in (0.0, 100.0)
    }
    assert chosen == {0.0: 0.015, 100.0: 45.0}
    pnl = select_in(wild, TeacherSettings(**base, criterion="pnl"), seed=0).choice
    none = select_in(wild, TeacherSettings(**base, criterion="utility", risk_weight=0.0), seed=0).choice
    assert none["score"] == pytest.approx(pnl["score"])


def test_where_nobody_is_ever_filled_nobody_wins(monkeypatch):
    """Without a fill no expert has a Sharpe ratio: whoever is named first is told from nobody."""
    nothing = {"pnl": np.zeros(9), "max_drawdown": np.zeros(9), "standing": np.zeros(9)}
    monkeypatch.setattr(select, "evaluate_many", lambda market, policies, **_: [nothing] * len(policies))
    _, _, choices = select_teachers([SMALL], FEW, seed=0)
    (row,) = [row for row in wins_of(choices) if row["criterion"] == "sharpe"]
    assert (row["clear"], row["ties"]) == (0, 1)


def test_a_scenario_that_was_not_selected_has_no_teacher():
    choices = pl.DataFrame({"scenario": ["a"], "expert": ["glft"], "risk_aversion": [0.1]})
    assert teachers_of(choices, [SMALL.but(name="a")])[0].expert == "glft"
    with pytest.raises(
        UsageError, match="`scenarios` must be among the 1 of the selection; received 'small'"
    ):
        teachers_of(choices, [SMALL])


# --- the command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("select")
    names = ("calm", "calm.trend", "wild", "wild.trend")
    text = "\n".join(
        f'[[scenario]]\nname = "{name}"\ndt = 0.05\nvolatility = {0.05 if "calm" in name else 0.2}\n'
        f"drift = {0.5 if 'trend' in name else 0.0}\n"
        for name in names
    )
    (folder / "four.toml").write_text(text)
    said = flowhft("select", "--scenarios", folder / "four.toml", *SIZES, "--out", folder / "run", "--json")
    return folder, said.json


def test_select_writes_tables_and_says_who_wins(selected):
    folder, result = selected
    choices = pl.read_parquet(folder / "run" / "choices.parquet")
    assert choices.height == result["scenarios"] == 4
    assert result["candidates"] == 7
    assert result["ties"] == choices["tie"].sum()
    assert json.loads((folder / "run" / "selection.json").read_text())["wins"] == result["wins"]
    selection = pl.read_parquet(folder / "run" / "selection.parquet")
    assert selection.height == 4 * (7 + 1)  # no_quote beside them
    (home,) = selection.filter(pl.col("risk_aversion").is_null())["expert"].unique()
    assert home == "no_quote"
    report = flowhft("report", folder / "run")
    assert report.code == 0
    page = (folder / "run" / "report.html").read_text()
    for row in result["wins"]:
        if row["criterion"] == "utility":
            assert f"{row['expert']} was chosen in {row['wins']}" in page


def test_an_interrupted_selection_goes_on_where_it_stopped(selected, tmp_path, monkeypatch):
    folder, _ = selected
    arguments = ("select", "--scenarios", folder / "four.toml", *SIZES, "--out", tmp_path / "run", "--quiet")
    judged = []

    def stop_at_three(scenario, *rest):
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(scenario.name)
        return select_in(scenario, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(select, "select_in", stop_at_three)
        assert flowhft(*arguments).code == 130
    changed = flowhft(*arguments, "--criterion", "pnl")
    assert changed.code == 2
    assert "`criterion` was utility and is pnl" in changed.err
    with monkeypatch.context() as patch:
        patch.setattr(select, "select_in", lambda s, *rest: (judged.append(s.name), select_in(s, *rest))[1])
        assert flowhft(*arguments).code == 0
    assert judged == ["calm", "calm.trend", "wild", "wild.trend"]
    before = {name: digest for name, digest in contents(folder / "run").items() if name != "report.html"}
    assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_a_selection_teaches_demonstrations_and_tells_experts_their_risk_aversion(selected, tmp_path):
    folder, result = selected
    chosen = {row["scenario"]: (row["expert"], row["risk_aversion"]) for row in result["choices"]}
    said = flowhft(
        *("demonstrate", "--scenarios", folder / "four.toml", "--selection", folder / "run"),
        *("--paths", "2", "--out", tmp_path / "shown", "--json", "--quiet"),
    )
    assert {row["scenario"]: (row["expert"], row["risk_aversion"]) for row in said.json["chosen"]} == chosen
    with pytest.raises(UsageError, match="`market` must be that of the selection; received 'paper', and"):
        teachers_from(folder / "run", [SMALL], "paper")
    wilder = SMALL.but(name="calm", volatility=0.4)
    with pytest.raises(
        UsageError, match=r"where 'calm' has volatility 0\.05; received one with volatility 0\.4"
    ):
        teachers_from(folder / "run", [wilder], "correct")
    twice = ("--selection", folder / "run", "--teachers.criterion", "pnl", "--paths", "2")
    ignored = flowhft("demonstrate", "--scenarios", folder / "four.toml", *twice)
    assert "`teachers` must be left as it is together with `--selection`" in ignored.err
    missing = flowhft("demonstrate", "--scenarios", "T1.HH", "--selection", folder / "run", "--paths", "2")
    assert "`scenarios` must be among the 4 of the selection; received 'T1.HH'." in missing.err
    judged = flowhft(
        *("evaluate", "--scenarios", folder / "four.toml", "--policies", "glft", "--paths", "40"),
        *("--teachers", folder / "run", "--out", tmp_path / "judged", "--json", "--quiet"),
    )
    assert judged.code == 0, judged.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("select --scenarios T1.HHH", "unknown scenario 'T1.HHH'; did you mean 'T1.HH'?"),
        ("select --scenarios ,", "`scenarios` must name at least one scenario"),
        ("select --scenarios T1.HH --candidates gltf", "unknown expert 'gltf'; did you mean 'glft'?"),
        ("select --scenarios T1.HH --candidates ,", "`candidates` must name at least one expert"),
        ("select --scenarios T1.HH --candidates glft,glft", "`candidates` must name every expert once"),
        (
            "select --scenarios T1.HH --criterion profit",
            "`--criterion` must be one of 'pnl', 'sharpe', 'util",
        ),
        ("select --scenarios T1.HH --risk-aversions 0", "`risk_aversions` must be positive"),
        ("select --scenarios T1.HH --risk-weight -1", "`risk_weight` must be 0 or more; received -1.0."),
        ("select --scenarios T1.HH --paths 1", "`paths` must lie between 2 and 1,000,000; received 1."),
        ("tune --scenarios T1.HH --policies gltf", "unknown expert 'gltf'; did you mean 'glft'?"),
        ("tune --scenarios T1.HH --policies glft,glft", "`policies` must have different names"),
        ("tune --scenarios T1.HH --risk-aversions -1", "`risk_aversions` must be positive"),
        ("tune --scenarios T1.HH --search.paths 2000000", "`paths` must lie between 2 and 1,000,000"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    said = flowhft(*arguments.split())
    assert said.code == 2
    assert words in said.err


# --- the map ------------------------------------------------------------------------------------------


def grid_of_choices() -> pl.DataFrame:
    """Return choices over the training grid: glft_drift where drift is 0.2, ties where volatility is 0.4."""
    rows = [
        {
            "scenario": name,
            "expert": "glft_drift" if scenario.drift == 0.2 else "glft",
            "risk_aversion": 0.15,
            "rival_expert": "avellaneda_stoikov",
            "tie": scenario.volatility == 0.4,
            "ties": "avellaneda_stoikov" if scenario.volatility == 0.4 else "",
            **{
                f"{margin}{end}": value
                for margin in ("margin", "fresh_margin")
                for end, value in (("", 1.0), ("_low", 0.5), ("_high", 1.5))
            },
            **{f"winner_{c}": "glft" for c in ("pnl", "sharpe", "utility")},
            **{f"tie_{c}": False for c in ("pnl", "sharpe", "utility")},
            **{axis: getattr(scenario, axis) for axis in select.AXES},
        }
        for name, scenario in paper_train().items()
    ]
    return pl.DataFrame(rows)


def test_the_map_puts_every_scenario_of_the_grid_where_its_labels_say():
    choices = grid_of_choices()
    experts = ["avellaneda_stoikov", "glft", "glft_drift"]
    assert is_grid(choices)
    assert not is_grid(choices.head(485))
    assert not is_grid(choices.head(1))
    assert not is_grid(choices.drop("dt"))
    plot = winners_map(choices, experts)
    panels = [trace for trace in plot.data if trace.type == "heatmap"]
    assert len(panels) == 6
    assert sum(int(np.isfinite(panel.z).sum()) for panel in panels) == 486
    for panel in panels:
        for row, column in zip(*np.nonzero(np.isfinite(panel.z)), strict=True):
            told = panel.text[row][column]
            drift = float(told.split("drift ")[1].split(",")[0])
            volatility = float(told.split("volatility ")[1].split(",")[0])
            winner = "glft_drift" if drift == 0.2 else "glft"
            assert panel.z[row][column] == 2 * experts.index(winner) + (volatility == 0.4) + 0.5
            assert told.startswith(f"<b>{winner}</b>")
    # The first panel's columns: three rates within drift 0.01, a gap, and so on; rows likewise.
    assert np.isnan(panels[0].z[0][3])
    assert "rate 10" in panels[0].text[0][0]
    assert "drift 0.05" in panels[0].text[0][4]
    marks = [
        trace for trace in plot.data if trace.type == "scatter" and trace.x is not None and len(trace.x) > 1
    ]
    assert sum(len(trace.x) for trace in marks) == 486 // 3
    bars = wins_bars(choices, experts)
    assert [list(bar.x) for bar in bars.data] == [[486, 486, 486]]


def test_every_expert_of_the_map_has_a_colour_of_its_own():
    names = ["glft", "glft_drift", "oracle", "oracle_cara", "avellaneda_stoikov", "glft_as_run"]
    assert len(set(colours_of(names).values())) == len(names)
