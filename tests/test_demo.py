"""The demo from end to end, tiny: the whole line, an interruption late in it, and what a rerun then makes."""

import importlib
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from killing import Ended, assert_same, killed, left_alone, results
from program import begin_process, flowhft, manifest

from flowhft.cli.backtest import Backtest
from flowhft.cli.main import COMMANDS
from flowhft.runs.folder import MANIFEST, UNFINISHED
from flowhft.stages.folders import backtest

TINY = """
demonstrations = 4
updates = 40
paths = 20
[replay]
decision-latency-us = 100
[teachers]
paths = 20
experts = ["glft"]
risk-aversions = [0.1]
[network]
width = 8
blocks = 1
horizon = 2
[search]
paths = 8
fresh-paths = 8
[state]
generations = 1
population = 4
"""
LEARNED = ("calibrate", "demonstrate", "imitate/shortcut", "adapt", "freeze", "learn")
STAGES = (*LEARNED, "evaluate", "backtest")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, config: Path) -> tuple[Path, Ended]:
    """Return the folder of a demo that nobody interrupted, and how it ended."""
    folder = tmp_path_factory.mktemp("whole") / "demo"
    return folder, left_alone("demo", "--config", config, "--out", folder, "--json")


def test_the_demo_tells_the_whole_story(whole):
    folder, said = whole
    result = json.loads(said.out)
    assert result["folder"] == str(folder)
    assert result["verdict"]
    experts = ["white_noise", "avellaneda_stoikov", "glft", "glft_drift"]
    simulated = [*experts, "shortcut", "flowhft", "adapted", "no_quote"]
    # On the recording `flowhft` sees the order book, and so does a maker that learned on its first part.
    replayed = [*experts, "shortcut", "adapted", "book", "flowhft", "no_quote"]
    for rows, policies in ((result["simulation"], simulated), (result["recording"], replayed)):
        assert [row["policy"] for row in rows] == policies
        assert all(row["pnl_low"] <= row["pnl"] <= row["pnl_high"] for row in rows)
    assert Path(result["frozen"]).is_file()
    assert Path(result["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    # Of the few sessions of this size, a teacher may have had no fill in one scenario, and says so.
    lines = [line for line in said.err.splitlines() if not line.startswith("warning: no order of")]
    assert all(line.split(": ")[1].startswith("done in ") for line in lines), said.err


def test_every_stage_is_a_finished_folder_and_so_is_the_whole(whole):
    folder, _ = whole
    assert not list(folder.rglob(UNFINISHED))
    stages = manifest(folder)["summary"]["stages"]
    for stage in STAGES:
        result = manifest(folder / stage)
        assert result["command"] == stage.split("/")[0]
        assert stages[stage.replace("/", " ")] == result["fingerprint"]
    assert manifest(folder)["files"].keys() == {"report.html"}
    # The unseen part is what the calibration did not see.
    seen, unseen = (manifest(folder / stage)["parents"]["recording"] for stage in ("calibrate", "backtest"))
    assert seen != unseen


def test_a_finished_demo_elsewhere_is_found_finished(whole, config, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "moved")
    said = flowhft("demo", "--config", config, "--out", folder)
    assert said.code == 0
    assert [line for line in said.err.splitlines() if "already done" in line] == [
        f"{stage.split('/')[0]}: already done in {folder / stage}" for stage in STAGES
    ]
    assert results(folder) == results(whole[0])
    assert f"The run folder is {folder}" in said.out


def test_the_demo_calls_the_functions_that_commands_call(whole, config, tmp_path, monkeypatch):
    folder, called = shutil.copytree(whole[0], tmp_path / "moved"), []

    def spied(function):
        return lambda *arguments: (called.append(function), function(*arguments))[1]

    commands = [stage.split("/")[0] for stage in STAGES]
    kinds = [getattr(importlib.import_module(COMMANDS[name][0]), COMMANDS[name][1]) for name in commands]
    replay_once = backtest.run
    for name in commands:
        module = importlib.import_module(f"flowhft.stages.folders.{name}")
        monkeypatch.setattr(module, "run", spied(module.run))
    assert flowhft("demo", "--config", config, "--out", folder, "--quiet").code == 0
    # Walking forward is a study: the command `backtest` reaches the stage through it.
    assert called == [replay_once if kind is Backtest else kind.stage for kind in kinds]


@pytest.mark.slow
def test_a_demo_that_is_killed_and_interrupted_ends_in_the_same_bytes(whole, config, tmp_path):
    """Killed twice on its way, interrupted in its evaluation, killed once more: then it is let alone."""
    folder, chance = tmp_path / "demo", random.Random(0)
    command = ("demo", "--config", config, "--out", folder)
    for _ in range(2):
        killed(chance, whole[1].writes // 5, *command)
        assert not (folder / MANIFEST).exists()
    process = begin_process(*command)
    try:
        deadline = time.monotonic() + 300.0
        while not list(folder.glob(f"evaluate/{UNFINISHED}/*/moments/0000-0000.moments")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == (
        f"interrupted; finished stages are in {folder}; run the same command again to resume"
    )
    assert "Traceback" not in err
    assert not (folder / MANIFEST).exists()
    assert not (folder / "evaluate" / MANIFEST).exists()
    finished = {stage: (folder / stage / MANIFEST).stat().st_mtime_ns for stage in LEARNED}

    other = flowhft("demo", "--config", config, "--state.generations", "2", "--out", folder, "--quiet")
    assert other.code == 2  # before anything is lost
    assert "`state.generations` was" in other.err
    killed(chance, 12, *command)
    said = json.loads(left_alone(*command, "--json").out)
    assert {stage: (folder / stage / MANIFEST).stat().st_mtime_ns for stage in LEARNED} == finished
    before = json.loads(whole[1].out)
    for part in ("simulation", "recording", "verdict"):
        assert said[part] == before[part], part
    assert_same(folder, whole[0])


def test_another_configuration_withdraws_the_old_conclusion_first(whole, config, tmp_path, monkeypatch):
    from flowhft.stages import adapt

    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    folder = shutil.copytree(whole[0], tmp_path / "demo")
    monkeypatch.setattr(adapt, "fitted", interrupt)
    said = flowhft("demo", "--config", config, "--state.generations", "2", "--out", folder, "--quiet")
    assert said.code == 130
    assert said.err.strip().startswith(f"interrupted; finished stages are in {folder};")
    assert not (folder / MANIFEST).exists()
    assert not (folder / "report.html").exists()
    assert (folder / "imitate" / "shortcut" / MANIFEST).is_file()  # what did not change is still finished
