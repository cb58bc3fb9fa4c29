"""The report: says what the tables say and no more, shows what is there, loads nothing from anywhere."""

import html.parser
import itertools
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import LEARNED, REFERENCE, differences, results, write_run

from flowhft.errors import DataError
from flowhft.metrics.table import LATER, METRICS
from flowhft.policies.origin import origin_before
from flowhft.report import build, charts, numbers, theme, verdict
from flowhft.report import sections as report_sections
from flowhft.report.evidence import Evidence, gather
from flowhft.report.markup import element, figure, text
from flowhft.report.sections.calibration import fill_curve_figure
from flowhft.report.sections.comparison import difference_map
from flowhft.report.sections.replayed import markout_figure
from flowhft.runs import folder as runs
from flowhft.types import Interval

VOID = {"meta", "br", "wbr"}


class Page(html.parser.HTMLParser):
    """Reads a page and refuses one whose elements do not close in order."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.identities: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        result = dict(attrs)
        if "id" in result:
            self.identities.append(result["id"])
        self.links += [
            result[name] for name in ("href", "src", "action", "data", "poster") if result.get(name)
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass  # <path/>: opened and closed at once

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def shown(self) -> str:
        """What people read."""
        return " ".join(" ".join(self.words).split())


def read(folder: Path) -> Page:
    return Page(build(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A demonstration with every file."""
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(whole) -> Page:
    return read(whole)


def test_the_page_is_well_formed_and_every_link_leads_somewhere_inside_it(page):
    assert len(set(page.identities)) == len(page.identities)
    assert page.links, "the page has a table of contents"
    assert {link.removeprefix("#") for link in page.links} <= set(page.identities)


def test_the_page_loads_nothing(whole, page):
    assert not [link for link in page.links if not link.startswith("#")]
    document = (whole / "report.html").read_text(encoding="utf-8")
    own = document.replace(max(page.scripts, key=len), "")  # all but plotly.js, which names its licence
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import|https?://", re.sub(r'href="#', "", own))
    assert "default-src 'none'" in own, "the browser is told so too"
    assert document.count("plotly.js v") <= 2, "plotly.js stands in the page once"


def test_results_of_before_have_no_sortino_and_are_read(whole, tmp_path):
    folder = tmp_path / "before"
    shutil.copytree(whole, folder)
    for path in folder.rglob("*.parquet"):
        table = pl.read_parquet(path)
        later = [name for name in table.columns if name.startswith(LATER)]
        if later:
            table.drop(later).write_parquet(path)
    results = gather(folder).table("evaluate/results")
    assert results["sortino"].is_null().all()
    assert results["pnl"].is_not_null().all()


def test_a_page_without_javascript_still_has_every_table(page):
    for metric in METRICS.values():
        assert metric.definition in page.shown


def test_no_number_is_raw(page):
    assert not re.findall(r"\d\.\d{6,}", page.shown), "three significant digits are enough for people"
    assert "nan" not in re.findall(r"[a-z]+", page.shown.lower()), "what is not known is n/a or not there"


SECTIONS = {
    "recording": "recording",
    "backtest": "backtest",
    "evaluate": "simulation",
    "calibrate": "calibration",
    "demonstrate": "teachers",
    "imitate": "training",
    "adapt": "adaptation",
}


def test_a_whole_run_shows_every_section(page):
    wanted = {
        "headline",
        "fingerprint",
        "choices",
        "definitions",
        "warnings",
        "provenance",
        *SECTIONS.values(),
    }
    assert wanted <= set(page.identities)


@pytest.mark.parametrize("stage", SECTIONS)
def test_a_section_is_there_if_and_only_if_its_files_are(whole, tmp_path, stage):
    shutil.copytree(whole / stage, tmp_path / "one" / stage)
    alone = read(tmp_path / "one")
    assert {name for name in SECTIONS.values() if name in alone.identities} == {SECTIONS[stage]}
    shutil.copytree(whole, tmp_path / "rest", ignore=shutil.ignore_patterns(stage, "report.html"))
    rest = read(tmp_path / "rest")
    assert {name for name in SECTIONS.values() if name in rest.identities} == {*SECTIONS.values()} - {
        SECTIONS[stage]
    }


@pytest.mark.parametrize("stage", ["calibrate", "evaluate", "backtest", "demonstrate", "adapt"])
def test_the_folder_of_a_single_command_reads_as_its_stage_does(whole, tmp_path, stage):
    shutil.copytree(whole / stage, tmp_path / "here")
    shutil.copytree(whole / stage, tmp_path / "there" / stage)
    assert gather(tmp_path / "here").tables.keys() == gather(tmp_path / "there").tables.keys()
    assert read(tmp_path / "here").identities == read(tmp_path / "there").identities


def test_the_training_curve_is_named_after_its_objective(whole, tmp_path):
    shutil.copytree(whole / "imitate" / "shortcut", tmp_path / "any-name")
    assert list(gather(tmp_path / "any-name").curves) == ["shortcut"]


def test_a_calibration_that_wrote_down_its_recording_shows_it(whole, tmp_path):
    shutil.copytree(whole / "calibrate", tmp_path / "run")
    shutil.copy(whole / "recording" / "recording.json", tmp_path / "run")
    assert "recording" in read(tmp_path / "run").identities
    shutil.copytree(tmp_path / "run", tmp_path / "demo" / "calibrate")
    assert "recording" in read(tmp_path / "demo").identities


def test_names_are_escaped_wherever_they_come_from(whole, tmp_path):
    evil = "</script><script>alert('&')</script>"
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    for path in (tmp_path / "run").rglob("*.parquet"):
        table = runs.read_table(path)
        names = [name for name in ("policy", "expert", "scenario", "reference") if name in table.columns]
        table = table.with_columns(
            pl.col(name).replace({LEARNED: evil, "glft_drift": evil, "centre": evil}) for name in names
        )
        runs.write_table(path, table, runs.units_of(path))
    recording = runs.read_json(tmp_path / "run/recording/recording.json")
    runs.write_json(tmp_path / "run/recording/recording.json", recording | {"symbol": evil, "venue": evil})
    dirty = read(tmp_path / "run")
    assert not [script for script in dirty.scripts if script.startswith("alert")]
    assert evil in dirty.shown.replace("−", "-"), "it is shown, as text"


def test_the_report_never_imports_the_lab():
    code = "import sys, flowhft.report; sys.exit(int('jax' in sys.modules or 'equinox' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- errors


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        build(tmp_path / "nowhere")


def test_a_folder_with_nothing_to_show(tmp_path):
    with pytest.raises(DataError, match="must hold the tables of a run"):
        build(tmp_path)


def test_a_table_that_lacks_a_column_is_named(whole, tmp_path):
    shutil.copytree(whole / "backtest", tmp_path / "backtest")
    path = tmp_path / "backtest" / "markouts.parquet"
    runs.write_table(path, runs.read_table(path).drop("fills"), {})
    with pytest.raises(DataError, match=r"markouts.parquet` must have the column 'fills'"):
        build(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_judgement_of_one_policy_has_nothing_to_subtract(whole, tmp_path):
    shutil.copytree(whole / "evaluate", tmp_path / "evaluate")
    path = tmp_path / "evaluate" / "differences.parquet"
    runs.write_table(path, pl.DataFrame(schema={"scenario": str, "policy": str, "reference": str}), {})
    assert "simulation" in read(tmp_path).identities


def test_a_damaged_table_is_named(whole, tmp_path):
    shutil.copytree(whole / "backtest", tmp_path / "backtest")
    (tmp_path / "backtest" / "equity.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"equity.parquet` must be Parquet"):
        build(tmp_path)


# ---- the verdict


def judged(**pnl: tuple[float, float, float]) -> pl.DataFrame:
    """Make a table whose rows have a PnL with its interval, and nothing else known."""
    rows = []
    for policy, (value, low, high) in pnl.items():
        family, rule = origin_before(policy)
        row = {"scenario": "unseen", "policy": policy, "family": family, "rule": rule}
        row |= {"reference": REFERENCE, "paths": 1}
        for name in METRICS:
            row |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
        rows.append(row | {"pnl": value, "pnl_low": low, "pnl_high": high})
    return pl.DataFrame(rows)


RESULTS = judged(glft=(5.0, 4.0, 6.0), white_noise=(-3.0, -4.0, -2.0), learned=(6.0, 5.0, 7.0))


def said(difference: tuple[float, float, float], table: pl.DataFrame = RESULTS) -> list[str]:
    return list(verdict.on_recording(table, judged(learned=difference), "learned", "on X", "USD"))


def test_a_win_is_called_a_win_with_its_interval():
    first, *rest = said((1.0, 0.25, 1.75))
    assert first == "learned beats glft on X (PnL difference 1.00 USD a session, 99 % interval 0.25 to 1.75)."
    assert rest == []


def test_a_loss_says_plainly_that_the_learned_policy_does_not_win():
    (first,) = said((-1.0, -1.75, -0.25), judged(glft=(5.0, 4.0, 6.0), learned=(4.0, 3.0, 5.0)))
    assert first.startswith("learned does not beat glft on X: it earns less")
    assert "-1.75 to -0.25" in first


@pytest.mark.parametrize(
    "difference", [(1.0, -0.25, 2.25), (-1.0, -2.25, 0.25), (1.0, 0.0, 2.0), (0.0, 0.0, 0.0)]
)
def test_an_interval_that_holds_zero_is_no_win_however_large_the_difference(difference):
    first = said(difference)[0]
    assert first.startswith("learned does not beat glft on X: the two cannot be told apart")


@pytest.mark.parametrize(
    "difference", [(1.0, math.nan, math.nan), (math.nan, math.nan, math.nan), (1.0, 0.5, math.inf)]
)
def test_what_has_no_interval_is_not_judged(difference):
    assert said(difference)[0].startswith("Whether learned beats glft on X cannot be said")


def test_beating_the_reference_is_not_beating_the_best_expert():
    table = judged(glft=(5.0, 4.0, 6.0), avellaneda_stoikov=(7.0, 6.0, 8.0), learned=(6.0, 5.0, 7.0))
    first, second = said((1.0, 0.25, 1.75), table)
    assert first.startswith("learned does not beat avellaneda_stoikov, the best expert on X in hindsight")
    assert "no interval for this pair" in first
    assert second.startswith("learned beats glft")


def test_the_best_expert_is_the_one_to_beat_where_it_was_paired():
    table = judged(glft=(5.0, 4.0, 6.0), avellaneda_stoikov=(7.0, 6.0, 8.0), learned=(6.0, 5.0, 7.0))
    pairs = pl.concat(
        [
            judged(learned=(1.0, 0.25, 1.75)),
            judged(learned=(-1.0, -1.75, -0.25)).with_columns(reference=pl.lit("avellaneda_stoikov")),
        ]
    )
    (first,) = verdict.on_recording(table, pairs, "learned", "on X", "USD")
    assert first.startswith("learned does not beat avellaneda_stoikov on X: it earns less")


def test_experts_alone_are_reported_as_such():
    first, second = verdict.on_recording(
        RESULTS.filter(pl.col("policy") != "learned"), None, None, "on X", "USD"
    )
    assert (
        first
        == "Of the experts, glft earns the most on X (PnL 5.00 USD a session, 99 % interval 4.00 to 6.00)."
    )
    assert second == "No learned policy was judged."


def test_to_be_better_than_others_is_not_to_be_good():
    losing = judged(glft=(-5.0, -6.0, -4.0), learned=(-4.0, -5.0, -3.0))
    assert said((1.0, 0.25, 1.75), losing)[1].startswith("learned loses money on X (PnL -4.00 USD a session")
    doubtful = judged(glft=(-1.0, -2.0, 0.5), learned=(0.5, -0.5, 1.5))
    assert said((1.5, 0.5, 2.5), doubtful)[1].startswith(
        "Whether learned earns anything at all on X cannot be said"
    )
    (first, _) = verdict.on_recording(losing.filter(pl.col("policy") == "glft"), None, None, "on X", "USD")
    assert first.startswith("Of the experts, glft loses the least on X (PnL -5.00 USD")


def test_less_drawdown_is_better_and_more_sharpe_is():
    assert verdict.outcome("max_drawdown", Interval(-1.0, -2.0, -0.5)) == "better"
    assert verdict.outcome("sharpe", Interval(-1.0, -2.0, -0.5)) == "worse"
    assert verdict.outcome("fills", Interval(-1.0, -2.0, -0.5)) == "even", "neither more nor less is better"


def test_scenarios_are_counted_by_their_own_intervals():
    table = pl.concat([RESULTS.with_columns(scenario=pl.lit(name), paths=pl.lit(100)) for name in "abcd"])
    outcomes = [(1.0, 0.5, 1.5), (-1.0, -1.5, -0.5), (1.0, -0.5, 2.5), (1.0, math.nan, math.nan)]
    pairs = pl.concat(
        [
            judged(learned=one).with_columns(scenario=pl.lit(name))
            for one, name in zip(outcomes, "abcd", strict=True)
        ]
    )
    last = list(verdict.in_simulation(table, pairs, "learned", "USD"))[-1]
    assert last.startswith(
        "Over all 4 simulated scenarios, learned earns more than glft in 1, less in 1, and cannot be"
    )
    assert "in 2 (each by its own 99 % interval)" in last


def test_the_headline_puts_the_recording_before_the_simulation(whole):
    sentences = verdict.headline(gather(whole))
    on_recording = next(
        n for n, sentence in enumerate(sentences) if "on the unseen 30 min of BTCUSDT" in sentence
    )
    in_simulation = next(n for n, sentence in enumerate(sentences) if "2,000 simulated sessions" in sentence)
    assert on_recording == 0 < in_simulation
    assert sentences[-1].startswith("One recording is one stretch of one day")


def test_the_rows_of_a_table_say_what_their_policies_are(tmp_path):
    """A name is only asked where a folder of before says nothing else."""
    table = results(("centre",), 2, 0.1, np.random.default_rng(0))
    plain = table.drop("family", "rule")
    runs.write_table(tmp_path / "results.parquet", plain, {})
    assert gather(tmp_path).tables["evaluate/results"].equals(table)
    called = {"glft": "mine", "shortcut": "glft@2", "oracle": "flowhft"}
    renamed = table.with_columns(pl.col("policy").replace(called))
    runs.write_table(tmp_path / "results.parquet", renamed, {})
    runs.write_table(
        tmp_path / "fingerprint.parquet",
        renamed.select("policy", inventory=0.0, time_left=1.0, half_spread_bid=1.0, half_spread_ask=1.0),
        {},
    )
    evidence = gather(tmp_path)
    assert evidence.origins["mine"] == ("rule", "glft")
    assert evidence.origins["glft@2"] == ("learned", "")
    prints = evidence.tables["evaluate/fingerprint"]
    assert dict(prints.select("policy", "family").iter_rows())["flowhft"] == "bound"
    styles = theme.styles_of(evidence.origins, evidence.learned)
    assert styles["mine"] == theme.styles_of({"glft": origin_before("glft")})["glft"]
    assert (styles["glft@2"].learned, styles["flowhft"].colour) == (True, theme.BLACK)
    assert (
        verdict.best_expert(renamed.filter(pl.col("policy").is_in(list(called.values()))), "centre") == "mine"
    )


def test_what_a_name_tells_of_folders_of_before():
    for name in ("glft", "glft@0.01", "glft (0.1)", "glft[delay=2]", "glft_tuned"):
        assert origin_before(name) == ("rule", "glft")
    assert origin_before("white_noise").family == "baseline"
    assert origin_before("oracle").family == "bound"
    assert origin_before("tuned") == ("rule", "")
    assert {origin_before(name) for name in ("shortcut", "glft_student", "flowhft")} == {("learned", "")}


# ---- numbers


@given(st.floats(1e-4, 1e8), st.sampled_from([1, -1]))
def test_three_significant_digits_are_within_half_of_the_last_one(magnitude, sign):
    value = sign * magnitude
    written = numbers.significant(value)
    assert math.isclose(float(written.replace(",", "")), value, rel_tol=5.001e-3)
    digits = re.sub(r"\D", "", written).lstrip("0")
    assert len(digits) == 3 or (magnitude >= 1000 and "." not in written)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4))
def test_numbers_that_are_read_together_have_the_same_decimals_and_keep_their_order(values):
    written = numbers.together(*values)
    assert len({len(number.partition(".")[2]) for number in written if "e" not in number}) <= 1
    back = [float(number.replace(",", "")) for number in written]
    pairs = sorted(zip(values, back, strict=True))
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(pairs))
    assert "-0" not in {number.rstrip("0").rstrip(".") for number in written}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0 s"),
        (4.2e-6, "4.20 µs"),
        (0.1, "100 ms"),
        (1.0, "1 s"),
        (59.9, "59.9 s"),
        (75.0, "1 min 15 s"),
        (1805.2, "30 min"),
        (3599.9, "1 h"),
        (8103.0, "2 h 15 min"),
        (-90.0, "-1 min 30 s"),
        (float("nan"), "n/a"),
    ],
)
def test_durations(seconds, written):
    assert numbers.duration(seconds) == written


def test_what_was_set_is_written_as_it_was_set():
    assert [numbers.exact(value) for value in (0.001, 5.0, 100.0, 0.0, -2.5)] == [
        "0.001",
        "5",
        "100",
        "0",
        "-2.5",
    ]


def test_minus_signs_are_set_where_numbers_are_and_nowhere_else():
    assert text("-1.5 to -.2 (-3)") == "−1.5 to −.2 (−3)"
    assert text("2024-07-18 risk-averse a-1") == "2024-07-18 risk-averse a-1"
    assert text("a < b & c") == "a &lt; b &amp; c"
    assert element("td", element("b", "<")) == "<td><b>&lt;</b></td>", "markup is not escaped twice"


# ---- figures


def test_no_extreme_is_lost_when_a_curve_is_thinned():
    values = np.random.default_rng(3).normal(size=50_000)
    values[12_345], values[40_000] = 99.0, -99.0
    kept = theme.thinned(values, 500)
    assert len(kept) <= 502
    assert {0, 12_345, 40_000, 49_999} <= set(kept.tolist())
    assert np.all(np.diff(kept) > 0)


def test_every_policy_has_a_look_of_its_own_and_closed_forms_keep_theirs():
    names = [
        *("white_noise", "avellaneda_stoikov", "glft", "glft_drift", "glft@0.1", "glft_as_run", "oracle"),
        *("flow_matching", "shortcut", "shortcut_adapted", "regression", "ppo"),
    ]
    styles = theme.styles_of({name: origin_before(name) for name in names}, "shortcut_adapted")
    assert len({(style.colour, style.dash) for style in styles.values()}) == len(names)
    assert styles["shortcut_adapted"].colour == theme.VERMILION, "the policy that the report is about"
    assert theme.styles_of({"glft": origin_before("glft")})["glft"] == styles["glft"]


def test_attribution_bars_add_up_to_the_pnl():
    table = results(("centre",), 10, 0.1, np.random.default_rng(0)).with_columns(
        pnl=pl.col("spread_pnl") + pl.col("inventory_pnl") - pl.col("fee")
    )
    plot = charts.attribution(table, "USD")
    bars = sum(np.asarray(trace.x) for trace in plot.data if trace.type == "bar")
    np.testing.assert_allclose(bars, plot.data[-1].x)
    assert list(plot.data[-1].y) == table["policy"].to_list()[::-1]


def test_a_horizon_without_fills_is_left_out_of_the_markouts():
    table = pl.DataFrame(
        {
            "policy": "glft",
            "horizon": [0.0, 1.0, 60.0],
            "fills": [10, 10, 0],
            "markout": [-0.5, -1.0, math.nan],
            "markout_error": [0.1, math.nan, math.nan],
        }
    )
    (line,) = markout_figure(
        table, "markout", theme.styles_of({"glft": origin_before("glft")}), "Markout"
    ).data
    assert list(line.y) == [-0.5, -1.0]


def test_a_rate_of_zero_has_no_place_on_a_logarithmic_axis():
    table = pl.DataFrame(
        {
            "side": "bid",
            "distance": [0.0, 10.0, 20.0],
            "rate": [1.0, 0.1, 0.0],
            "standard_error": [0.1, 0.01, 0.0],
            "fitted": [1.0, 0.1, 0.01],
        }
    )
    points, _ = fill_curve_figure(table).data
    assert list(points.y) == [1.0, 0.1]


def test_only_differences_that_can_be_told_from_zero_are_tinted():
    result = {
        "a": Interval(2.0, 1.0, 3.0),
        "b": Interval(2.0, -1.0, 5.0),
        "c": Interval(math.nan, math.nan, math.nan),
    }
    written = difference_map([("here", "pnl", result)], "glft", "scenario")
    cells = re.findall(r"<td[^>]*>", written)
    assert [("background" in one) for one in cells] == [True, False, False]
    drawdown = difference_map([("here", "max_drawdown", {"a": result["a"]})], "glft", "scenario")
    colours = [re.search(r"rgba\((\d+,\d+,\d+)", one)[1] for one in (written, drawdown)]
    assert colours[0] != colours[1], "more PnL is better, more drawdown is worse"


def test_a_figure_cannot_end_the_script_that_holds_it():
    plot = theme.blank("</script>", "y")
    assert figure(plot, "caption").count("</script>") == 1


def test_a_policy_that_never_trades_can_be_shown():
    """NaN where a ratio does not exist, zeros elsewhere: the report of an honest, idle policy."""
    table = results(("centre",), 2, 0.1, np.random.default_rng(0))
    idle = pl.col("policy") == "white_noise"
    table = table.with_columns(
        pl.when(idle)
        .then(math.nan if name == "sharpe" else 0.0)
        .otherwise(pl.col(f"{name}{end}"))
        .alias(f"{name}{end}")
        for name in METRICS
        for end in ("", "_low", "_high")
    )
    evidence = Evidence({"evaluate/results": table, "evaluate/differences": differences(table, 0.5)})
    from flowhft.report.build import render

    assert "n/a" in Page(render(evidence)).shown


def test_titles_of_sections_are_words_not_names_of_code():
    for section in report_sections.SECTIONS:
        assert not re.search(r"[a-z][A-Z]|_", section.title), section.title
