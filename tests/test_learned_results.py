"""`flowhft reproduce learned`: how wins are counted, what the blind do not see, and the command."""

import dataclasses
import json
import re
import shutil

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from program import contents, flowhft
from renderings import assert_both_say_the_same
from table_list import assert_listed

from flowhft.features import NAMES, sensor_in_units
from flowhft.flow.normaliser import Normaliser
from flowhft.flow.policy import as_data
from flowhft.learn.regime.plain import plain_policy
from flowhft.policies.names import Named
from flowhft.policies.regime_adapter import TOLD, RegimeAdapter, shapes_of
from flowhft.policies.rules import EXPERTS as RULES
from flowhft.report.blocks import Figures, read
from flowhft.report.markdown import markdown
from flowhft.studies.learned import misses, wins
from flowhft.studies.learned.attribution import blinded
from flowhft.studies.learned.dial import BESIDE
from flowhft.studies.learned.document import document
from flowhft.studies.learned.lineup import Member, sees_premium
from flowhft.studies.learned.repeats import (
    often_missed,
    relative_spread,
    repeat_counts,
    repeats_in,
    trained_again,
    with_wins,
)
from flowhft.studies.learned.sentences import sentences_of
from flowhft.studies.learned.settings import StudySettings
from flowhft.studies.learned.stages import at_dial
from flowhft.studies.learned.summaries import compare_variants
from flowhft.studies.learned.targets import cell_targets, imitation_targets, surely_apart
from flowhft.studies.learned.wins import THREE, counts_of, makers_of, oriented, wins_of
from flowhft.types import Interval

TINY = (
    *("--policy", "glft@0.03", "--pretrained", "glft@0.1", "--markets", "paper", "--cells", "T1.LL,T2.LL"),
    *("--paths", 60, "--detail-paths", 40, "--dials", "0.01,0.1", "--without-ppo", "--without-tuned"),
)
SECTIONS = ("--sections", "cells,worth,dial")


SENSOR = sensor_in_units(1.0 / 1.5, 0.01, 1.0)


def cell(pnl, sharpe, max_drawdown, utility, role="expert"):
    return dict(pnl=pnl, sharpe=sharpe, max_drawdown=max_drawdown, utility=utility, role=role)


def judged(experts, ours):
    """Return results and margins of one cell as the judgement would, with intervals of half width 1."""
    policies = {**experts, "flowhft": ours | {"role": "learned"}}
    results = [
        {"market": "paper", "scenario": "T1.HH", "policy": name, "rule": name if name in RULES else "", **row}
        for name, row in policies.items()
    ]
    margins = []
    for rival, theirs in experts.items():
        for metric in wins.COMPARED:
            value = ours[metric] - theirs[metric]
            gain = oriented(metric, Interval(value, value - 1.0, value + 1.0))
            names = {"market": "paper", "scenario": "T1.HH", "policy": "flowhft", "rival": rival}
            margins.append(
                {**names, "metric": metric, "gain": gain.value, "low": gain.low, "high": gain.high}
            )
    return pl.DataFrame(results), pl.DataFrame(margins)


EXPERTS = {
    "avellaneda_stoikov": cell(0.1, 0.1, 0.01, 0.05),  # hardly trades
    "glft_as_run": cell(25.0, 4.0, 60.0, 20.0),
    "glft_drift_as_run": cell(30.0, 3.0, 70.0, 18.0),
}


def test_each_metric_has_its_own_best_rival_and_who_stays_at_home_is_none():
    result = wins_of(*judged(EXPERTS, cell(31.0, 6.0, 50.0, 30.0)))
    ours = {row["metric"]: row for row in result.filter(pl.col("against") == "experts").iter_rows(named=True)}
    assert {metric: row["rival"] for metric, row in ours.items()} == {
        "pnl": "glft_drift_as_run",
        "sharpe": "glft_as_run",
        "max_drawdown": "glft_as_run",
        "utility": "glft_as_run",
    }
    assert all(row["better"] for row in ours.values())
    # A gain of 1 with an interval that reaches 0 is better and not surely so; less drawdown is a gain.
    assert {metric: row["surely"] for metric, row in ours.items()} == {
        "pnl": False,
        "sharpe": True,
        "max_drawdown": True,
        "utility": True,
    }
    assert ours["max_drawdown"]["gain"] == 10.0
    counted = {row["against"]: row for row in counts_of(result).iter_rows(named=True)}
    assert (counted["experts"]["all_three"], counted["experts"]["all_three_surely"]) == (1, 0)
    literal = counted["experts, those that hardly trade too"]
    assert (literal["all_three"], literal["max_drawdown"]) == (0, 0)  # nobody undercuts no drawdown


def test_a_loss_in_one_metric_is_no_win_and_the_target_names_the_cell():
    result = wins_of(*judged(EXPERTS, cell(29.0, 6.0, 50.0, 30.0)))
    assert counts_of(result).filter(pl.col("against") == "experts")["all_three"].to_list() == [0]
    printed = pl.DataFrame(schema={"policy": pl.String, "row": pl.String})
    (target, surely) = cell_targets(result, printed)
    assert (target.found, target.of, target.misses) == (0, 1, "T1.HH")
    assert target.hit is None  # one cell of 24 decides nothing
    assert surely.needed == 21


def test_in_utility_who_stays_at_home_is_a_rival_too():
    """Where every maker loses, as among informed traders, not to trade is what has to be beaten."""
    losing = {
        "avellaneda_stoikov": cell(0.1, 0.5, 0.01, 0.05),
        "glft_as_run": cell(5.0, 0.1, 60.0, -7.0),
        "glft_drift_as_run": cell(4.0, 0.1, 70.0, -8.0),
    }
    result = wins_of(*judged(losing, cell(6.0, 0.3, 50.0, -2.0))).filter(pl.col("against") == "experts")
    ours = {row["metric"]: row for row in result.iter_rows(named=True)}
    assert (ours["utility"]["rival"], ours["utility"]["better"]) == ("avellaneda_stoikov", False)
    assert (ours["max_drawdown"]["rival"], ours["max_drawdown"]["better"]) == ("glft_as_run", True)


def judged_as(policy, **numbers):
    """Return every metric that a reason looks at: more PnL than ours at more risk, but for what is said."""
    origin = {"policy": policy, "rule": policy if policy in RULES else ""}
    return (
        origin
        | {"pnl": 32.0, "sharpe": 2.0, "max_drawdown": 80.0, "pnl_deviation": 16.0, "fills": 50.0}
        | numbers
    )


@pytest.mark.parametrize(
    ("metric", "rival", "numbers", "reason"),
    [
        ("pnl", "glft_drift_as_run", {}, "it is told the drift; without it, it has 25.0 (`glft_as_run`)"),
        ("pnl", "glft_drift_as_run", {"pnl": 24.0}, "it risks more"),  # the drift brought it nothing
        ("pnl", "avellaneda_stoikov_raw", {}, "its PnL has a standard deviation of 16.0, ours 6.00"),
        ("sharpe", "glft_as_run", {"pnl": 15.0, "fills": 30.0}, "it trades less, and earns 50 % of our PnL"),
        (
            "pnl",
            "avellaneda_stoikov",
            {"fills": 0.5},
            "it all but stays at home, 0.500 fills a session to our",
        ),
        ("utility", "avellaneda_stoikov", {"fills": 0.5}, "and utility pays above a Sharpe ratio of 0.25"),
        # what the numbers do not bear out is not said
        ("pnl", "glft_as_run", {"pnl_deviation": 5.0}, "the numbers give none"),
        (
            "sharpe",
            "glft_as_run",
            {"pnl": 15.0, "fills": 80.0, "pnl_deviation": 5.0},
            "the numbers give none",
        ),
        (
            "sharpe",
            "glft_as_run",
            {"pnl": -15.0, "fills": 30.0, "pnl_deviation": 5.0},
            "the numbers give none",
        ),
        ("sharpe", "glft_drift_as_run", {"sharpe": None, "pnl_deviation": 5.0}, "the numbers give none"),
    ],
)
def test_a_miss_has_the_reason_that_the_numbers_give(metric, rival, numbers, reason):
    ours = judged_as(policy="flowhft", pnl=30.0, sharpe=5.0, max_drawdown=50.0, pnl_deviation=6.0, fills=40.0)
    plain = judged_as(policy="glft_as_run", pnl=25.0, max_drawdown=60.0)
    theirs = judged_as(policy=rival, **numbers)
    assert reason in misses.reason_of(metric, ours, theirs, {"glft_as_run": plain})


def test_misses_are_named_with_the_settings_of_the_dial_that_would_have_won():
    results, margins = judged(EXPERTS, cell(29.5, 6.0, 50.0, 30.0))
    results = results.with_columns(pnl_deviation=pl.lit(5.0), fills=pl.lit(40.0))
    result = wins_of(results, margins)

    def on_the_dial(name, dial, pnl, sharpe, drawdown):
        names = {"market": "paper", "scenario": "T1.HH", "policy": name, "dial": dial, "paths": 64}
        return names | {"pnl": pnl, "sharpe": sharpe, "max_drawdown": drawdown}

    dial = pl.DataFrame(
        [
            on_the_dial("flowhft", 0.1, 33.0, 3.5, 80.0),  # too much risk
            on_the_dial("flowhft", 0.2, 31.0, 4.5, 55.0),
            on_the_dial("flowhft", 0.4, 28.0, 7.0, 40.0),  # too little
            *(
                on_the_dial(name, None, one["pnl"], one["sharpe"], one["max_drawdown"])
                for name, one in EXPERTS.items()
                if name in BESIDE
            ),
        ]
    )
    (row,) = misses.misses_of(result, results, dial).iter_rows(named=True)
    assert (row["scenario"], row["metric"], row["rival"]) == ("T1.HH", "pnl", "glft_drift_as_run")
    assert row["gain"] == -0.5
    assert row["reason"].endswith(
        "which may be chance; all three metrics are better at dial 0.2 (64 sessions)"
    )
    # Where one that counts was not judged beside the settings, nothing can be said of them.
    (fewer,) = misses.misses_of(result, results, dial.filter(pl.col("policy") != "glft_drift_as_run"))[
        "reason"
    ]
    assert fewer.endswith("which may be chance")
    (alone,) = misses.misses_of(result, results, None)["reason"].to_list()
    assert alone.endswith("which may be chance")
    every = wins_of(*judged(EXPERTS, cell(31.0, 6.0, 50.0, 30.0)))
    assert misses.misses_of(every, results, dial).is_empty()


def test_the_printed_row_is_counted_and_what_is_short_of_it_named():
    rows = [
        {
            "scenario": scenario,
            "policy": "flowhft",
            "row": "flow_finetuned",
            "metric": metric,
            "better": better,
        }
        for scenario, better in (("T1.HH", True), ("T1.LL", False))
        for metric in THREE
    ]
    (said,) = sentences_of({"printed": pl.DataFrame(rows)})["sentence"].to_list()
    assert "all three metrics better in 1 of 2 cells; short of it are 1 in PnL (T1.LL)" in said


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("flowhft", "flowhft@0.3"),
        ("runs/x@0.1", "runs/x@0.3"),
        ("runs/x@0.1[delay=2,steps=1]", "runs/x@0.3[delay=2,steps=1]"),
    ],
)
def test_a_setting_of_the_dial_keeps_the_options_behind_the_name(written, at):
    assert at_dial(written, 0.3) == at
    assert at_dial(at_dial(written), 0.3) == at


def test_where_nobody_earns_anything_everybody_is_a_rival():
    assert makers_of({"a": -2.0, "b": -1.0}) == ["a", "b"]
    assert makers_of({"a": 10.0, "b": 5.0, "c": 4.9}) == ["a", "b"]


def test_imitation_is_compared_with_its_teacher_and_one_step_with_many():
    rows = [
        {"objective": objective, "steps": steps, "scenario": f"T1.{n}", "against": rival}
        | {"sharpe": 0.0, "max_drawdown": 0.0, "pnl": gap}
        for objective, steps, rival, gap in (
            ("flow_matching", 32, "teacher", 0.029),
            ("flow_map", 1, "teacher", 0.04),
            ("flow_map", 1, "flow_matching", 0.011),
            ("flow_map", 1, "itself", -0.009),
            ("shortcut", 1, "flow_matching", -0.009),
            ("rectified", 1, "flow_matching", -0.009),
        )
        for n in range(24)
    ]
    targets = imitation_targets(pl.DataFrame(rows))
    assert [target.hit for target in targets] == [True, True]
    assert targets[1].wanted.endswith("by the best of: distilled (24), flow map (0), shortcut (24)")
    (alone,) = imitation_targets(pl.DataFrame([row for row in rows if row["objective"] == "flow_map"]))
    assert (alone.found, alone.hit) == (0, False)


def test_what_chance_could_have_done_is_not_counted_as_apart():
    ends = {f"{metric}_{end}": 0.0 for metric in ("sharpe", "max_drawdown") for end in ("low", "high")}
    rows = pl.DataFrame(
        [
            ends | {"pnl_low": low, "pnl_high": high}
            for low, high in ((0.005, 0.03), (0.02, 0.03), (-0.03, -0.02))
        ]
    )
    assert surely_apart(rows, 0.01) == 2


def test_the_blind_do_not_see_where_the_price_goes_and_see_the_rest():
    count = len(NAMES["context"])
    scales = Normaliser(*(jnp.ones(n) for n in (count, count, 2, 2)))
    hidden = np.asarray(blinded({"normaliser": scales})["normaliser"].feature_std) > 1.0
    seen = {name for name, away in zip(NAMES["context"], hidden, strict=True) if not away}
    assert {"inventory", "time_left", "volatility", "rate_bid"} <= seen
    assert {"forecast_1", "forecast_20", "persistence", "trend", "move_1"}.isdisjoint(seen)


def test_the_page_says_that_a_policy_is_told_the_kind_of_market_only_where_it_listens():
    regime = RegimeAdapter(**{name: np.zeros(shape) for name, shape in shapes_of(2).items()})
    for told, listens in (("log_risk", False), ("premium", True), ("informed", True)):
        weight = np.zeros((2, len(TOLD)))
        weight[1, TOLD.index(told)] = 0.5
        policy = as_data(plain_policy(SENSOR), regime._replace(weight_told=weight))
        assert sees_premium(Member(Named("flowhft", "flowhft", policy), "learned")) == listens


def test_sentences_follow_the_numbers_of_the_seeds():
    def study(gap):
        rows = [
            {
                "study": "observation",
                "variant": kind,
                "instructors": 1,
                "horizon": 1,
                "steps": 1,
                "execute": 1,
            }
            | {"noise_scale": 0.0, "noise": "fresh", "seed": seed, "scenario": "T1.LL", "teacher": "best"}
            | {"features": kind, "objective": "flow_matching", "sharpe": 1.0, "max_drawdown": 1.0}
            | {"utility": 10.0 + 0.01 * seed * (kind == "paper") + gap * (kind == "context"), "pnl": 1.0}
            | {f"teacher_{name}": 1.0 for name in ("pnl", "sharpe", "max_drawdown", "utility")}
            for kind in ("context", "paper")
            for seed in range(5)
        ]
        table = pl.DataFrame(rows)
        (sentence,) = (
            row["sentence"]
            for row in sentences_of({"studies": table}).iter_rows(named=True)
            if row["section"] == "observation"
        )
        assert compare_variants(table)["utility_spread"].to_list()[0] == 0.0
        return sentence

    assert study(1.0).endswith("better.")
    assert study(-1.0).endswith("worse.")
    assert study(0.02).endswith("a tie over these seeds.")


def test_studies_and_imitations_are_told_in_both_renderings():
    kinds = [(steps, noise, execute) for steps in (1, 8) for noise in ("fresh", "held") for execute in (1, 4)]
    rows = [
        {
            "study": name,
            "variant": variant,
            "instructors": 1,
            "horizon": 4,
            "steps": steps,
            "execute": execute,
        }
        | {"noise_scale": 0.5, "noise": noise, "seed": seed, "scenario": "T1.LL", "teacher": "best"}
        | {
            "features": variant,
            "objective": "flow_matching",
            "latency_us": 12.5 if name == "objectives" else None,
        }
        | {"pnl": 20.0 + seed, "sharpe": 1.0, "max_drawdown": 4.0 + steps, "utility": 10.0 + seed}
        | {f"teacher_{metric}": 8.0 for metric in ("pnl", "sharpe", "max_drawdown", "utility")}
        for name in ("objectives", "observation")
        for variant in ("context", "paper")
        for steps, noise, execute in kinds
        for seed in range(2)
    ]
    values = ("pnl", "sharpe", "max_drawdown", "spread_pnl", "rms_inventory")
    imitated = [
        {"objective": objective, "steps": steps, "scenario": f"T1.{n}", "against": rival, "paths": 64}
        | {f"{metric}{end}": 0.01 * n + shift for metric in values for end, shift in ENDS}
        for objective, steps, rival in (("flow_matching", 32, "teacher"), ("rectified", 1, "flow_matching"))
        for n in range(3)
    ]
    tables = {"studies": pl.DataFrame(rows), "imitation": pl.DataFrame(imitated)}
    tables["study_summaries"] = compare_variants(tables["studies"])
    tables["sentences"] = sentences_of(tables)
    settings = {"commands": ["flowhft reproduce learned"], "seed": 0, "policy": None, "told_premium": False}
    study = {"study": dataclasses.asdict(StudySettings())}
    stages = {name: study for name in ("imitation", "objectives", "observation")}
    page = document(tables, settings | {"stages": stages})
    assert [section.key for section in page.sections] == list(stages)
    said, _ = assert_both_say_the_same(page)
    assert "*rectified*".strip("*") + " is flow matching with its 32 Euler steps distilled into one" in said
    drawn = [block for section in page.sections for block in section.blocks if isinstance(block, Figures)]
    assert [len(one.plots) for one in drawn] == [3, 4, 4]
    labels = json.loads(drawn[1].plots[0])["layout"]["yaxis"]["ticktext"]
    assert labels[-1] == "context, evaluations 1, executed 1, fresh"


ENDS = (("", 0.0), ("_low", -0.005), ("_high", 0.005))


def trainings(ours, control):
    """Return what trainings reach in one cell, which each wins where its PnL is above 30."""
    names = trained_again(["glft"] * len(ours), ["glft"] * len(control))
    results, margins = {}, []
    for (name, (whose, _, member)), pnl in zip(names.items(), (*ours, *control), strict=True):
        assert (member.name, name.partition(".")[0]) == (name, whose)
        result, paired = judged(EXPERTS, cell(pnl, 6.0, 50.0, 30.0))
        for row in result.iter_rows(named=True):
            row = row | {"policy": name} if row["policy"] == "flowhft" else row
            results[row["policy"]] = row | {"paths": 7}
        margins.append(paired.with_columns(policy=pl.lit(name)))
    return with_wins(repeats_in(pl.DataFrame(list(results.values())), pl.concat(margins), names))


def test_trainings_are_counted_one_by_one_and_their_misses_named():
    result = trainings([31.5, 29.0, 33.0], [35.0])
    assert result["all_three"].to_list() == [True, False, True, True]
    assert result["all_three_surely"].to_list() == [True, False, True, True]
    assert result["useful"].all()
    mine = result.filter(pl.col("policy") == "flowhft")
    assert mine["training"].to_list() == [0, 1, 2]
    assert often_missed(mine, "all_three") == [("T1.HH", 1)]
    assert often_missed(mine, "useful") == []
    assert relative_spread(mine, "pnl") == pytest.approx(np.std([31.5, 29.0, 33.0], ddof=1) / (93.5 / 3))
    assert repeat_counts(result)["all_three"].to_list() == [1, 0, 1, 1]
    told = sentences_of({"trainings": result})["sentence"].to_list()
    assert "in 1, 0, 1 of 1 cells" in told[0]
    assert told[0].endswith("missed, with by how many trainings: T1.HH (1).")
    assert told[-1].endswith("flowhft 0.7, plain_network 1.0 cells.")  # one training tells nothing of chance


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        ([35.0] * 5, "the control is better (p = 0.0079)"),
        ([35.0] * 2, "not told apart by these"),
        ([29.0] * 5, "not told apart"),
    ],
)
def test_trainings_are_told_apart_by_their_spread(control, verdict):
    assert verdict in sentences_of({"trainings": trainings([29.0] * 5, control)})["sentence"].to_list()[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned") / "run"
    page = folder.parent / "page.md"
    command = ("reproduce", "learned", *TINY, "--out", folder, "--docs", page, "--json", "--quiet")
    assert flowhft(*command, "--sections", "cells,worth").code == 0
    again = ("--trainings", "glft@0.1", "--plain-trainings", "glft@0.02")
    said = flowhft(*command, "--sections", "dial,trainings", *again)
    assert said.code == 0, said.err
    result = said.json
    assert len(result["cells"]) == 2 * 10
    assert {row["policy"] for row in result["dial"]} >= {"flowhft", "oracle_told", "no_quote"}
    (home,) = (row for row in result["cells"] if (row["policy"], row["scenario"]) == ("no_quote", "T1.LL"))
    assert (home["family"], home["rule"], home["role"]) == ("baseline", "no_quote", "baseline")
    assert (home["pnl"], home["max_drawdown"], home["quoting_ratio"]) == (0.0, 0.0, 0.0)
    assert not {row["rival"] for row in result["wins"]} & {"no_quote"}  # it stands there, and is no rival
    return folder


@pytest.mark.slow
def test_the_page_has_the_sections_that_ran_and_nothing_of_the_machine(finished):
    page = (finished / "results.md").read_text()
    assert page == (finished.parent / "page.md").read_text()
    headings = ("## Targets", "### Paper market, cell by cell", "## Trained again", "## Where the gain")
    for heading in (*headings, "## The risk dial"):
        assert heading in page
    assert "Faithful imitation" not in page
    calls = [line for line in page.splitlines() if line.startswith("    flowhft reproduce learned ")]
    assert [re.findall(r"--sections (\S+)", call) for call in calls] == [["cells,worth"], ["dial,trainings"]]
    assert not re.search(r"/tmp|/home|/work|20\d\d-\d\d|\bNone\b|\bnan\b", page)
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    report = (finished / "report.html").read_text()
    for section in ("targets", "cells", "trainings", "worth", "dial"):
        assert f'id="{section}"' in report
    result = read(finished)
    assert markdown(result) == page
    assert_both_say_the_same(result)
    assert assert_listed(finished) >= 6
    units = pl.read_parquet_metadata(finished / "misses.parquet")
    assert "price units" in str(units)
    worth = pl.read_parquet(finished / "worth.parquet").filter(pl.col("policy") == "flowhft")
    assert worth["forecast_pnl"].to_list() == [0.0, 0.0]  # a closed form forecasts nothing


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(finished):
    before = contents(finished)
    assert flowhft("reproduce", "learned", *TINY, *SECTIONS, "--out", finished, "--quiet").code == 0
    assert contents(finished) == before


@pytest.mark.slow
def test_the_page_names_the_calls_that_made_what_it_shows(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    for dial in ("0.02", "0.05"):  # the second takes the place of the first
        again = ("--sections", "dial", "--dials", dial, "--out", folder, "--quiet")
        assert flowhft("reproduce", "learned", *TINY, *again).code == 0
    calls = re.findall(
        r"^    flowhft .*?--sections (\S+).*--dials (\S+)", (folder / "results.md").read_text(), re.M
    )
    assert calls == [("cells,worth", "0.01,0.1"), ("dial,trainings", "0.01,0.1"), ("dial", "0.05")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--sections", "cels"), 2, "`sections` must name some of"),
        (("--cells", "liquidity-low"), 2, "`cells` must be cells of the paper"),
        (("--markets", "papper"), 2, "papper"),
        (("--detail-paths", 1), 2, "`detail_paths` must lie between 2 and"),
        (("--policy", "nowhere"), 2, "nowhere"),
        (("--policy", "glft", "--dials", "0"), 2, "`policies` must have a positive number after @"),
        (("--without-ppo", "--agents", "nowhere"), 2, "`agents` must not be given"),
        (("--study.seeds", 0), 2, "`seeds` must be at least 1"),
        (("--sections", "cells,trainings"), 2, "`trainings` must name trainings"),
        (("--sections", "cells", "--trainings", "glft"), 2, "Add it"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(arguments, code, words, tmp_path):
    said = flowhft("reproduce", "learned", *arguments, "--out", tmp_path / "run")
    assert (said.code, words in said.err) == (code, True), said.err
    assert not (tmp_path / "run").exists()
