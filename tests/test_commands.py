"""Every command from end to end on tiny sizes: results, refusals, interruptions, resumption, run folders."""

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from lab_policies import loaded
from program import begin_process, contents, flowhft, manifest

from flowhft.policies.adapter import IDENTITY
from flowhft.recordings.formats.sample import sample_recording
from flowhft.runs.folder import MANIFEST, UNFINISHED, read_json

FEW = ("--paths", "30")  # no more than one call holds: whatever simulates them shares its programs
SOLO = 'name = "solo"\ndt = 0.05\n'
MIXED = """
[[scenario]]
name = "relative"
dt = 0.02
hurst_exponent = 0.3
[[scenario]]
name = "additive"
price = "additive"
volatility = 20.0
horizon = 2.0
dt = 0.1
currency = "USD"
"""
SMALL_NETWORK = ("--network.width", "8", "--network.blocks", "1", "--network.horizon", "2")
TRAINING = (
    *(*SMALL_NETWORK, "--training.updates", "40", "--training.batch", "32"),
    *("--training.examine-scenarios", "1", "--training.examine-paths", "4"),
)
DISTIL = (
    *("--distil.updates", "40", "--distil.batch", "32"),
    *("--distil.examine-scenarios", "1", "--distil.examine-paths", "4"),
)
TEACHERS = (
    *("--teachers.paths", "20", "--teachers.experts", "glft,white_noise"),
    *("--teachers.risk-aversions", "0.1"),
)
SEARCH = ("--search.paths", "8", "--search.fresh-paths", "8", "--search.rounds", "1", "--search.candidates")
FAST_DESK = ("--replay.decision-latency-us", "100", "--replay.horizon", "2", "--replay.order-lots", "5")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one finished run of every command that others build on, and scenario files."""
    shop = tmp_path_factory.mktemp("shop")
    (shop / "solo.toml").write_text(SOLO)
    (shop / "mixed.toml").write_text(MIXED)
    solo = ("--scenarios", shop / "solo.toml")
    for arguments in (
        ("calibrate", sample_recording(), "--share", "0.6", "--calibration.bootstrap-samples", "100"),
        ("demonstrate", *solo, "--paths", "6", *TEACHERS),
        ("imitate", shop / "demonstrate", *TRAINING),
        ("distil", f"{shop / 'imitate'}[steps=4]", shop / "demonstrate", *DISTIL),
        ("adapt", shop / "imitate", *solo, *SEARCH, "3"),
        ("freeze", shop / "adapt"),
        ("simulate", *solo, "--policies", f"glft,learned={shop / 'imitate'}", "--paths", "3"),
        ("evaluate", *solo, "--policies", f"glft,white_noise,learned={shop / 'imitate'}", *FEW),
        (
            *("backtest", sample_recording(), "--calibration", shop / "calibrate", "--after", "0.6"),
            *("--policies", f"glft,adapted={shop / 'adapt'},frozen={shop / 'freeze'}", *FAST_DESK),
        ),
    ):
        said = flowhft(*arguments, "--out", shop / str(arguments[0]), "--json", "--quiet")
        assert said.err == ""
        assert said.json["folder"] == str(shop / str(arguments[0]))
        (shop / f"{arguments[0]}.said").write_text(said.out)
    return shop


def said_by(shop: Path, command: str) -> dict[str, Any]:
    return json.loads((shop / f"{command}.said").read_text())


@pytest.fixture
def solo(shop: Path) -> tuple:
    """Arguments of a judgement that takes a moment."""
    return ("evaluate", "--scenarios", shop / "solo.toml", "--policies", "glft,white_noise", *FEW)


# --- results ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["calibrate", "demonstrate", "imitate", "distil", "adapt", "freeze", "simulate", "evaluate", "backtest"],
)
def test_a_finished_folder_holds_what_its_manifest_lists_and_nothing_else(shop, command):
    folder = shop / command
    listed = manifest(folder)
    assert listed["command"] == command
    assert listed["files"] == {n: h for n, h in contents(folder).items() if n != "report.html"}
    assert listed["files"]
    assert str(shop) not in json.dumps(listed["config"])  # where things lie identifies nothing


def test_evaluate_prints_the_rows_that_programs_read(shop):
    result = said_by(shop, "evaluate")
    needed = {"scenario", "policy", "paths", "pnl", "pnl_low", "pnl_high", "sharpe", "max_drawdown"}
    assert all(needed <= row.keys() for row in result["results"])
    assert [row["policy"] for row in result["results"]] == ["glft", "white_noise", "learned", "no_quote"]
    *trading, home = result["results"]
    assert all(row["paths"] == 30 and row["pnl_low"] < row["pnl"] < row["pnl_high"] for row in trading)
    assert home["pnl_low"] == home["pnl"] == home["pnl_high"] == 0.0
    assert result["reference"] == "glft"
    pnl = {row["policy"]: row["pnl"] for row in result["results"]}
    assert [row["policy"] for row in result["differences"]] == ["white_noise", "learned", "no_quote"]
    for row in result["differences"]:
        assert row["reference"] == "glft"
        assert row["pnl"] == pytest.approx(pnl[row["policy"]] - pnl["glft"], abs=1e-9)


def test_what_is_distilled_quotes_at_once(shop):
    saved, adapter = loaded(shop / "distil" / "policy.safetensors")
    assert (saved.objective, saved.sampler.steps, adapter) == ("rectified", 1, IDENTITY)
    said = said_by(shop, "distil")
    assert said["policy"] == "imitate[steps=4]"
    assert said["teacher_pnl"] != said["closed_loop_pnl"]
    assert flowhft("report", shop / "distil", "--quiet").code == 0


def test_one_policy_differs_from_nothing(shop, tmp_path):
    said = flowhft(
        *("evaluate", "--scenarios", shop / "solo.toml", "--policies", "no_quote", *FEW),
        *("--out", tmp_path / "run", "--json", "--quiet"),
    )
    assert said.json["differences"] == []
    assert len(said.json["results"]) == 1
    assert flowhft("report", tmp_path / "run").code == 0


@pytest.mark.slow
def test_scenarios_of_different_steps_prices_and_currencies_are_judged_together(shop, tmp_path):
    files = f"{shop / 'mixed.toml'}, {shop / 'solo.toml'}"
    arguments = ("evaluate", "--scenarios", files, "--policies", "glft", "--paths", "20")
    result = flowhft(*arguments, "--out", tmp_path / "run", "--json", "--quiet").json
    rows = [row for row in result["results"] if row["policy"] == "glft"]
    assert [row["scenario"] for row in rows] == ["relative", "additive", "solo"]
    assert [row["currency"] for row in rows] == ["price units", "USD", "price units"]
    table = flowhft(*arguments, "--out", tmp_path / "run", "--quiet").out
    assert "money in the currency of the scenario" in table  # no one currency holds for the column


@pytest.mark.slow
def test_demonstrations_of_different_length_are_learned_from(shop, tmp_path):
    shown = tmp_path / "shown"
    arguments = ("demonstrate", "--scenarios", shop / "mixed.toml", "--paths", "3", *TEACHERS, "--out", shown)
    result = flowhft(*arguments, "--json", "--quiet").json
    assert result["pairs"] == 3 * (50 + 20)  # 1 s of 0.02 s, 2 s of 0.1 s
    lessons = pl.read_parquet(shown / "lessons.parquet")
    assert (lessons["paths"] * lessons["steps"]).sort().to_list() == [60, 150]
    assert flowhft("imitate", shown, *TRAINING, "--out", tmp_path / "learned", "--quiet").code == 0


@pytest.mark.slow
def test_the_preset_of_the_paper_is_another_market(tmp_path):
    def pnl(market: str) -> float:
        said = flowhft(
            *("evaluate", "--scenarios", "T1.HH", "--policies", "glft", "--paths", "200"),
            *("--market", market, "--out", tmp_path / market, "--json", "--quiet"),
        )
        return said.json["results"][0]["inventory_pnl"]

    assert pnl("paper") != pnl("correct")


def test_the_same_seed_gives_the_same_files_and_another_one_does_not(shop, solo, tmp_path):
    first, again = (flowhft(*solo, "--out", tmp_path / name, "--quiet", "--json").json for name in "ab")
    other = flowhft(*solo, "--out", tmp_path / "c", "--seed", "1", "--quiet", "--json").json
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert first["results"] == again["results"] != other["results"]
    simulate = (
        "simulate",
        "--scenarios",
        shop / "solo.toml",
        "--policies",
        "glft",
        "--paths",
        "3",
        "--quiet",
    )
    for name, seed in (("d", 0), ("e", 0), ("f", 1)):
        assert flowhft(*simulate, "--out", tmp_path / name, "--seed", seed).code == 0
    assert contents(tmp_path / "d") == contents(tmp_path / "e") != contents(tmp_path / "f")


def test_a_frozen_policy_trades_like_the_one_it_was_frozen_from(shop):
    rows = {row["policy"]: row for row in said_by(shop, "backtest")["results"]}
    adapted, frozen = (
        {key: value for key, value in rows[name].items() if key != "policy"} for name in ("adapted", "frozen")
    )
    assert adapted == frozen
    assert adapted["pnl"] != rows["glft"]["pnl"]


def test_a_backtest_writes_journals_that_say_what_its_tables_say(shop, tmp_path):
    given = ("backtest", sample_recording(), "--calibration", shop / "calibrate", "--after", "0.6")
    given += ("--policies", "glft", *FAST_DESK, "--out", tmp_path / "run", "--quiet", "--json")
    left = tmp_path / "run" / "journal" / "of_an_earlier_run"
    (tmp_path / "run" / ".flowhft-unfinished").mkdir(parents=True)
    left.mkdir(parents=True)
    result = flowhft(*given, "--journal").json
    journals = tmp_path / "run" / "journal"
    assert sorted(path.name for path in journals.iterdir()) == ["glft", "no_quote"]
    (expected,) = (row for row in said_by(shop, "backtest")["results"] if row["policy"] == "glft")
    ours, home = result["results"]
    for name in ("pnl", "fills", "max_drawdown", "quoting_ratio"):
        assert ours[name] == expected[name], name  # as without a journal
    page = flowhft("report", journals / "glft", "--json", "--quiet").json["report"]
    assert "each trading alone" in Path(page).read_text(encoding="utf-8")
    judged = read_json(journals / "glft" / "backtest" / "backtest.json")
    whole = read_json(tmp_path / "run" / "backtest.json")
    for name in ("total_pnl", "orders", "run_drawdown"):
        assert judged[name]["glft"] == whole[name]["glft"], name
    assert flowhft("report", journals / "no_quote", "--quiet").code == 0  # who never trades
    assert home["fills"] == 0.0


def test_money_is_that_of_the_orders_of_the_replay_not_of_the_calibration(shop):
    judged, recording = (read_json(shop / "backtest" / f"{name}.json") for name in ("backtest", "recording"))
    calibrated = read_json(shop / "calibrate" / "calibration.json")["facts"]["order_lots"]
    assert judged["settings"]["order_lots"] == 5 != calibrated
    course = pl.read_parquet(shop / "backtest" / "equity.parquet")
    for policy, fallen in judged["run_drawdown"].items():  # over the whole run, in its currency
        assert fallen == course.filter(pl.col("policy") == policy)["drawdown"].max()
    assert said_by(shop, "backtest")["run_drawdown"] == judged["run_drawdown"]
    fills = pl.read_parquet(shop / "backtest" / "fills.parquet")
    break_even = judged["break_even_fee_bps"]
    assert break_even.pop("no_quote") is None  # who never trades has no fee to bear
    for policy, bps in break_even.items():
        of = fills.filter(pl.col("policy") == policy)
        traded = recording["tick_size"] * recording["lot_size"] * float((of["price"] * of["lots"]).sum())
        assert judged["total_pnl"][policy] == pytest.approx(1e-4 * bps * traded, rel=1e-9)


def test_every_command_leaves_something_to_report_or_says_what_does(shop, tmp_path):
    for command in ("calibrate", "demonstrate", "imitate", "adapt", "evaluate", "backtest"):
        folder = shutil.copytree(shop / command, tmp_path / command)
        result = flowhft("report", folder, "--json", "--quiet").json
        assert Path(result["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
        assert flowhft("info", folder).code == 0
    said = flowhft("report", shop / "freeze", "--quiet")
    assert said.code == 3
    assert "must hold the tables of a run" in said.err


def test_options_of_a_file_are_those_of_the_flags(shop, tmp_path):
    (tmp_path / "evaluate.toml").write_text(
        f'scenarios = "{shop / "solo.toml"}"\npolicies = "glft"\npaths = 30\n'
        "seed = 3\nquiet = true\njson = true\n"
    )
    by_file = flowhft("evaluate", "--config", tmp_path / "evaluate.toml", "--out", tmp_path / "file")
    by_flags = flowhft(
        *("evaluate", "--scenarios", shop / "solo.toml", "--policies", "glft", "--paths", "30"),
        *("--seed", "3", "--quiet", "--json", "--out", tmp_path / "flags"),
    )
    assert by_file.json["results"] == by_flags.json["results"]
    assert manifest(tmp_path / "file")["fingerprint"] == manifest(tmp_path / "flags")["fingerprint"]


# --- what identifies a run --------------------------------------------------------------------------------


def test_a_finished_run_is_not_repeated_and_says_the_same(shop, tmp_path):
    folder = shutil.copytree(shop / "evaluate", tmp_path / "evaluate")
    moved = shutil.copytree(shop / "imitate", tmp_path / "elsewhere")  # paths do not identify anything
    scenario = shutil.copy(shop / "solo.toml", tmp_path / "solo.toml")
    arguments = ("evaluate", "--scenarios", scenario, *FEW, "--out", folder)
    policies = f"glft,white_noise,learned={moved / 'policy.safetensors'}"
    before = (folder / MANIFEST).stat().st_mtime_ns
    said = flowhft(*arguments, "--policies", policies, "--json")
    assert f"evaluate: already done in {folder}" in said.err
    assert said.json["results"] == said_by(shop, "evaluate")["results"]
    assert (folder / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("changed", ["scenario", "policy", "damage"])
def test_changed_content_is_noticed(shop, tmp_path, changed):
    folder = tmp_path / "simulate"
    scenario, policy = tmp_path / "solo.toml", tmp_path / "policy.safetensors"
    shutil.copy(shop / "solo.toml", scenario)
    shutil.copy(shop / "imitate" / "policy.safetensors", policy)
    arguments = ("simulate", "--scenarios", scenario, "--policies", f"learned={policy}", "--paths", "3")
    assert flowhft(*arguments, "--out", folder, "--quiet").code == 0
    before, identity = contents(folder), manifest(folder)["fingerprint"]
    if changed == "scenario":
        scenario.write_text(SOLO + "volatility = 0.1\n")
    elif changed == "policy":
        shutil.copy(shop / "adapt" / "policy.safetensors", policy)
    else:
        (folder / "000-00.parquet").write_bytes(b"PAR1")
    said = flowhft(*arguments, "--out", folder)
    assert "already done" not in said.err
    assert (manifest(folder)["fingerprint"] == identity) == (changed == "damage")
    assert (contents(folder) == before) == (changed == "damage")


def test_another_configuration_in_the_same_folder_leaves_nothing_of_the_first(shop, tmp_path):
    folder = tmp_path / "simulate"
    arguments = ("simulate", "--scenarios", shop / "solo.toml", "--paths", "3", "--out", folder, "--quiet")
    assert flowhft(*arguments, "--policies", "glft,white_noise").code == 0
    assert sorted(manifest(folder)["files"]) == ["000-00.parquet", "000-01.parquet"]
    (folder / "my notes.txt").write_text("keep")
    assert flowhft(*arguments, "--policies", "glft").code == 0
    assert sorted(manifest(folder)["files"]) == ["000-00.parquet"]
    assert sorted(path.name for path in folder.iterdir()) == ["000-00.parquet", MANIFEST, "my notes.txt"]


@pytest.mark.parametrize("content", ["holiday.jpg", "manifest.json", "folder"])
def test_a_folder_of_somebody_else_is_left_alone(solo, tmp_path, content):
    if content == "folder":
        (tmp_path / content).mkdir()
    else:
        (tmp_path / content).write_text('{"name": "a web page"}')
    for arguments in (solo, ("demo",)):
        said = flowhft(*arguments, "--out", tmp_path, "--quiet")
        assert said.code == 3
        assert f"`out` must be new, empty or a run folder; `{tmp_path}` holds {content}." in said.err
    assert [path.name for path in tmp_path.iterdir()] == [content]


# --- refusals ---------------------------------------------------------------------------------------------

EVALUATE = "evaluate --policies glft --scenarios"
JUDGE = "evaluate --scenarios T1.HH --policies"
CALIBRATE = "calibrate {recording}"
BACKTEST = "backtest {recording} --policies glft --calibration"

REFUSED = [
    # missing files and files of the wrong kind
    (3, "calibrate nowhere", "`nowhere`: must be a session's prefix, one of its files, or a folder"),
    (3, "calibrate {shop}/freeze/manifest.json", "must be a file of a known layout; its name is of none."),
    (3, "calibrate {shop}/solo.toml", "unknown table 'name'; it must be one of depth, quotes, recording"),
    (3, f"{EVALUATE} none.toml", "`none.toml` does not exist."),
    (
        2,
        "backtest {recording} --policies glft --walk-forward --journal",
        "`journal` must not be given when walking forward; received True. Leave it out",
    ),
    (3, f"{JUDGE} none.safetensors", "must be a file that holds a policy; there is none."),
    (3, f"{JUDGE} {{shop}}/solo.toml", "must be a whole safetensors file;"),
    (3, f"{JUDGE} {{shop}}/evaluate", "must hold a policy; it has no policy.safetensors or frozen.safet"),
    (3, f"{JUDGE} glft --teachers {{shop}}/imitate", "`teachers` must be a run folder of `flowhft demonstr"),
    (
        3,
        "imitate {shop}/adapt",
        "`demonstrations` must be a run folder of `flowhft demonstrate` or `flowhft teach`; `flowhft ad",
    ),
    (3, "imitate nowhere", "`nowhere` must be a run folder; it does not exist."),
    (3, "imitate {shop}/solo.toml", "must be a run folder; it is a file."),
    (2, "distil glft {shop}/demonstrate", "`policy` must be a flow policy; received 'glft'. Name a .safet"),
    (2, "distil {shop}/imitate[delay=1] {shop}/demonstrate", "`policy` must be distilled without a delay;"),
    (2, "distil {shop}/imitate[warm_start=0.5] {shop}/demonstrate", "`warm_start` must be 0 for a policy th"),
    (2, "distil {shop}/adapt[steps=4] {shop}/demonstrate", "`policy` must be distilled before it is adapted"),
    (2, "distil flowhft[steps=8] {shop}/demonstrate", "`policy` must be distilled before it is adapted or t"),
    (2, "distil {shop}/imitate[steps=1] {shop}/demonstrate", "`policy` must quote in several evaluations to"),
    (3, "distil {shop}/imitate {shop}/adapt", "`demonstrations` must be a run folder of `flowhft demonstr"),
    (2, "distil {shop}/imitate {shop}/demonstrate --distil.pairs 0", "`pairs` must be at least 1; received"),
    (3, f"{BACKTEST} {{shop}}/adapt", "`calibration` must be a run folder of `flowhft calibrate`;"),
    (3, f"{BACKTEST} nowhere", "`nowhere` must be a run folder; it does not exist."),
    (3, "report nowhere", "`folder` must be a run folder; `nowhere` does not exist."),
    (3, "info nowhere", "`nowhere` must be a run folder; it does not exist."),
    (3, f"{EVALUATE} T1.HH --out {{shop}}/solo.toml", "`out` must be a folder; received the file"),
    (3, "demo --recording nowhere", "`nowhere`: must be a session's prefix"),
    # names
    (2, f"{EVALUATE} T1.HHH", "unknown scenario 'T1.HHH'; did you mean 'T1.HH'?"),
    (2, f"{EVALUATE} ,", "`scenarios` must name at least one scenario; received ','."),
    (2, f"{JUDGE} gltf", "unknown policy 'gltf'; did you mean 'glft'?"),
    (2, f"{JUDGE} gltf@0.1", "unknown policy 'gltf'; did you mean 'glft'?"),
    (2, f"{JUDGE} glft@-1", "`policies` must have a positive number after @; received 'glft@-1'."),
    (
        2,
        f"{JUDGE} glft,glft",
        "`policies` must have different names; received 'glft,glft'. Write label=path.",
    ),
    (2, f"{JUDGE} ,", "`policies` must name at least one policy; received ','."),
    (2, f"{JUDGE} glft --reference gltf", "`reference` must be one of glft, no_quote; received 'gltf'."),
    (
        2,
        f"{JUDGE} glft --market papr",
        "`--market` must be one of 'correct', 'paper', 'informed'; received 'papr'.",
    ),
    (2, "distil x", "`demonstrations` must be given; received nothing. See `flowhft distil --help`."),
    (2, "distil", "`policy` must be given; received nothing. See `flowhft distil --help`."),
    (2, "distil --polcy x y", "unknown option '--polcy'"),
    (2, "freeze --policy glft", "`policy` must be given by its place, without `--policy`. See `flowhft fre"),
    (2, f"{JUDGE} glft --path 3", "unknown option '--path'; did you mean '--paths'?"),
    (2, "evaluate --policies glft", "`--scenarios` must be given; received nothing."),
    (
        2,
        "demonstrate --scenarios T1.HH --teachers.experts gltf",
        "unknown expert 'gltf'; did you mean 'glft'?",
    ),
    (2, "adapt glft --scenarios T1.HH", "`policy` must be a saved policy; received 'glft'."),
    (2, "adapt {shop}/imitate --scenarios T1.HH --only T1.HL", "unknown scenario 'T1.HL'; did you mean"),
    (2, "freeze glft", "`scenario` must name the one market that glft is told; received ''."),
    (2, "freeze glft --scenario {shop}/mixed.toml", "`scenario` must name the one market that glft is told;"),
    (2, "freeze {shop}/adapt --scenario {shop}/mixed.toml", "must name the one market that adapt quotes in;"),
    # numbers
    (2, f"{JUDGE} glft --paths 1", "`paths` must lie between 2 and 1,000,000,000; received 1."),
    (2, f"{JUDGE} glft --paths 1000000000000", "`paths` must lie between 2 and 1,000,000,000; received"),
    (2, f"{JUDGE} glft --paths 1e3", "`--paths` must be a whole number; received '1e3'."),
    (2, f"{JUDGE} glft --confidence 1", "`confidence` must lie between 0 and 1; received 1.0."),
    (2, "simulate --scenarios T1.HH --policies glft --paths 0", "`paths` must be at least 1; received 0."),
    (2, "simulate --scenarios T1.HH --policies glft --paths 900000000", "`paths` must keep a table of 100"),
    (2, "demonstrate --scenarios T1.HH --paths 900000000", "`paths` must keep all demonstrations within"),
    (
        2,
        "demonstrate --scenarios T1.HH --teachers.risk-aversions 0",
        "`risk_aversions` must be positive and finite;",
    ),
    (2, "imitate {shop}/demonstrate --training.batch 33", "`batch` must be a multiple of 32; received 33."),
    (2, f"{CALIBRATE} --share 0", "`share` must lie above 0 and not above 1; received 0.0."),
    (2, f"{CALIBRATE} --dt 2 --horizon 1", "`dt` must not exceed the horizon; received dt 2.0 s with hor"),
    (2, f"{CALIBRATE} --dt -1", "`dt` must be positive and finite; received -1.0."),
    (2, f"{CALIBRATE} --order-lots 0", "`order_lots` must be at least 1 lot; received 0."),
    (2, f"{CALIBRATE} --maker-fee-bps nan", "`maker_fee_bps` must be below 10,000 in absolute value;"),
    (3, f"{CALIBRATE} --share 0.01", "`volatility` must be measured on 30 intervals"),
    (2, f"{BACKTEST} {{shop}}/calibrate --after 1", "`after` must lie in [0, 1); received 1.0."),
    (
        2,
        f"{BACKTEST} {{shop}}/calibrate --after 0.95",
        "`horizon` must fit at least twice into the recording",
    ),
    (2, "demo --share 1", "`share` must lie between 0 and 1; received 1.0. Policies are judged on the rest"),
    (2, "demo --paths 1", "`paths` must lie between 2 and"),
]


@pytest.mark.parametrize(("code", "call", "says"), REFUSED, ids=[call for _, call, _ in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(shop, tmp_path, monkeypatch, code, call, says):
    monkeypatch.chdir(tmp_path)
    words = [word.format(shop=shop, recording=sample_recording()) for word in call.split()]
    said = flowhft(*words, "--quiet")
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("error: ")
    assert says in said.err
    assert said.err.count("\n") == 1
    assert not list(tmp_path.rglob(MANIFEST))


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (2, "hurst_exponent = 1.0", "`hurst_exponent` must lie strictly between 0 and 1; received 1.0"),
        (2, "hurst_exponent = 0.0", "`hurst_exponent` must lie strictly between 0 and 1; received 0.0"),
        (
            2,
            "self_excitation = 10.0",
            "so that the branching ratio is below 1; received 10.0 with excitation",
        ),
        (2, "volatility = -1.0", "`volatility` must be positive and finite; received -1.0 [scenario 'x']."),
        (2, "volatility = nan", "`volatility` must be positive and finite; received nan"),
        (2, "dt = 2.0", "`dt` must not exceed the horizon; received dt 2.0 s with horizon 1.0 s"),
        (2, "dt = 0.03", "`horizon` must be a whole number of steps of dt;"),
        (
            2,
            "base_intensity = 1e6",
            "`dt` must be so short that no more than 20 market orders fall on a step",
        ),
        (2, "jump_intensity = 1e6", "`dt` must be so short that no more than 20 jumps fall on a step"),
        (2, "volatilty = 1", "unknown scenario key 'volatilty'; did you mean 'volatility'?"),
        (2, "steps = 3", "unknown scenario key 'steps'"),
        (2, 'dt = "a"', "`dt` must be a number; received 'a'"),
        (2, 'price = "x"', "`price` must be one of lognormal, additive; received 'x'"),
        (2, "[[scenario]]\nname = 1", "must hold one scenario at the top level or only [[scenario]] tables."),
        (3, "dt = ", "must be TOML;"),
    ],
)
def test_an_impossible_market_is_refused(tmp_path, code, text, says):
    (tmp_path / "x.toml").write_text(f'name = "x"\n{text}\n')
    for command in ("evaluate", "simulate"):
        said = flowhft(command, "--scenarios", tmp_path / "x.toml", "--policies", "glft", "--quiet")
        assert said.code == code
        assert says in said.err
        assert said.err.count("\n") == 1
    for content in ("scenario = 3", "scenario = [1]", "scenario = []"):
        (tmp_path / "x.toml").write_text(content)
        assert flowhft("evaluate", "--scenarios", tmp_path / "x.toml", "--policies", "glft").code == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "demonstrations-0000.parquet",
            b"PAR1",
            "must be as it was written; its hash is not that of the card",
        ),
        ("demonstrations-0000.parquet", None, "must be as it was written; it is gone"),
        ("demonstrations.json", b"{", "must be JSON"),
        ("demonstrations.json", b'{"format": "flowhft.demonstrations"}', "must be the card of a data set"),
        ("lessons.parquet", b"PAR1", "must be Parquet"),
        ("scenarios.toml", b'name = "other"', "must hold the scenarios of the lessons"),
        (MANIFEST, None, "must be a finished run folder; it has no manifest.json"),
        (MANIFEST, b"[", "must be JSON"),
    ],
)
def test_a_damaged_run_is_not_built_upon(shop, tmp_path, name, content, says):
    folder = shutil.copytree(shop / "demonstrate", tmp_path / "demonstrate")
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    said = flowhft("imitate", folder, *TRAINING, "--out", tmp_path / "learned", "--quiet")
    assert said.code == 3
    assert says in said.err
    assert not (tmp_path / "learned" / MANIFEST).exists()


# --- stopped in the middle --------------------------------------------------------------------------------


def stop_at(monkeypatch: pytest.MonkeyPatch, write: int, failure: BaseException) -> None:
    """Let the n-th file that is put in its place not get there."""
    replace, count = Path.replace, iter(range(10_000))

    def stopping(path: Path, target: Path) -> Path:
        if next(count) == write:
            raise failure
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopping)


@pytest.mark.parametrize("write", range(5))
def test_wherever_a_disk_is_full_nothing_looks_finished_and_the_rerun_is_whole(
    shop, tmp_path, monkeypatch, write
):
    """The writes of a simulation: its two tables, their two moves into the folder, the manifest."""
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    arguments = (
        "simulate",
        "--scenarios",
        shop / "solo.toml",
        "--policies",
        "glft,white_noise",
        "--paths",
        "3",
    )
    assert flowhft(*arguments, "--out", whole, "--quiet").code == 0
    with monkeypatch.context() as patch:
        stop_at(patch, write, OSError(28, "No space left on device"))
        said = flowhft(*arguments, "--out", folder, "--quiet")
    assert (said.code, said.out) == (3, "")
    assert "must fit on the disk; received: No space left on device." in said.err
    assert said.err.count("\n") == 1
    assert not (folder / MANIFEST).exists()
    assert flowhft(*arguments, "--out", folder, "--quiet").code == 0
    assert contents(folder) == contents(whole)
    assert not (folder / UNFINISHED).exists()


def test_an_earlier_result_stays_until_the_next_one_is_whole(shop, tmp_path, monkeypatch):
    folder = tmp_path / "simulate"
    arguments = (
        "simulate",
        "--scenarios",
        shop / "solo.toml",
        "--policies",
        "glft",
        "--out",
        folder,
        "--quiet",
    )
    assert flowhft(*arguments, "--paths", "3").code == 0
    before = contents(folder)
    with monkeypatch.context() as patch:
        stop_at(patch, 0, KeyboardInterrupt())
        assert flowhft(*arguments, "--paths", "4").code == 130
    assert {name: h for name, h in contents(folder).items() if not name.startswith(UNFINISHED)} == before
    assert flowhft("simulate", *arguments[1:], "--paths", "3").code == 0  # still known as finished
    assert manifest(folder)["config"]["paths"] == 3


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on_after_its_last_scenario(shop, tmp_path, monkeypatch):
    from flowhft.simulate import job as span

    arguments = (
        "evaluate",
        "--scenarios",
        shop / "mixed.toml",
        "--policies",
        "glft,white_noise",
        "--paths",
        "20",
    )
    assert flowhft(*arguments, "--out", tmp_path / "whole", "--quiet").code == 0
    evaluate_one, judged = span.evaluate_span, []

    def interrupting(job: Any, place: Any, *rest: Any) -> Any:
        if place.name == "additive":
            raise KeyboardInterrupt
        return evaluate_one(job, place, *rest)

    def counting(job: Any, place: Any, *rest: Any) -> Any:
        judged.append(place.name)
        return evaluate_one(job, place, *rest)

    folder = tmp_path / "stopped"
    monkeypatch.setattr(span, "evaluate_span", interrupting)
    said = flowhft(*arguments, "--out", folder, "--quiet")
    assert (said.code, said.out) == (130, "")
    where = f"interrupted; finished stages are in {folder}; run the same command again to resume"
    assert said.err.strip() == where
    assert not (folder / MANIFEST).exists()
    assert flowhft("report", folder).code == 3  # half a judgement is none
    monkeypatch.setattr(span, "evaluate_span", counting)
    said = flowhft(*arguments, "--out", folder, "--quiet", "--seed", "1")
    assert (said.code, judged) == (2, [])  # nothing of another seed is used, and nothing is dropped for it
    assert "`seed` was 0 and is 1" in said.err
    assert flowhft(*arguments, "--out", folder, "--quiet").code == 0
    assert judged == ["additive"]
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_training_resumes_from_its_checkpoint_bit_for_bit(shop, tmp_path):
    folder, whole = tmp_path / "learned", tmp_path / "whole"
    command = ("imitate", shop / "demonstrate", *SMALL_NETWORK, "--training.batch", "32", "--quiet")
    settings = (
        *("--training.updates", "20000", "--training.checkpoint-every", "100"),
        *("--training.examine-scenarios", "0"),
    )
    process = begin_process(*command, *settings, "--out", folder)
    try:
        deadline = time.monotonic() + 90.0
        while not (result := list(folder.glob(f"{UNFINISHED}/*/checkpoints/*.arrays"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / MANIFEST).exists()
    said = flowhft("evaluate", "--scenarios", "T1.HH", "--policies", folder, "--quiet")
    assert said.code == 3
    assert "must be a finished run folder" in said.err
    (result[0].parent / ".half.part").write_bytes(b"half")  # what a kill within a write leaves
    assert flowhft(*command, *settings, "--out", folder).code == 0
    assert flowhft(*command, *settings, "--out", whole).code == 0
    first = pl.read_parquet(folder / "curve.parquet").drop("seconds")
    assert first.equals(pl.read_parquet(whole / "curve.parquet").drop("seconds"))
    assert (folder / "policy.safetensors").read_bytes() == (whole / "policy.safetensors").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["curve.parquet", MANIFEST, "policy.safetensors"]


def test_a_disk_that_is_really_full_is_one_line(shop, tmp_path):
    """A limit on the size of files stands for the disk: writes fail in the kernel, below every library."""

    folder = tmp_path / "frozen"
    process = begin_process("freeze", shop / "adapt", "--out", folder, largest_file=1024)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (3, "")
    assert "frozen.safetensors` must fit on the disk; received: File too large." in err
    assert err.count("\n") == 1
    assert not (folder / MANIFEST).exists()
    assert flowhft("freeze", shop / "adapt", "--out", folder, "--quiet").code == 0
    assert contents(folder) == contents(shop / "freeze")


# --- other recordings -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lobster_session_goes_through_calibration_and_backtest(shared_data, tmp_path):
    recording = shared_data / "lobster_nasdaq_2012" / "AAPL"
    calibrated = tmp_path / "calibrate"
    said = flowhft(
        *("calibrate", recording, "--share", "0.5", "--calibration.bootstrap-samples", "100"),
        *("--order-lots", "100", "--out", calibrated, "--json", "--quiet"),
    )
    assert said.json["facts"]["currency"] == "USD"
    result = flowhft(
        *("backtest", recording, "--calibration", calibrated, "--after", "0.5", "--policies", "glft"),
        *("--replay.decision-latency-us", "100", "--replay.order-lots", "100"),
        *("--out", tmp_path / "backtest", "--json", "--quiet"),
    ).json
    assert result["results"][0]["currency"] == "USD"
    assert result["results"][0]["fills"] > 0
