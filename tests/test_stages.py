"""Stages: what a command does is a function of settings that a study and a notebook call alike."""

import importlib
import os
import subprocess
import sys
from dataclasses import fields

import pytest
from program import contents, flowhft, manifest

from flowhft.cli.command import Action, Command
from flowhft.cli.main import COMMANDS
from flowhft.errors import UsageError
from flowhft.runs.folder import MANIFEST
from flowhft.stages.folders import backtest, select
from flowhft.stages.stage import Silent, Stage

KINDS = {name: getattr(importlib.import_module(module), kind) for name, (module, kind, _) in COMMANDS.items()}
LEAVING = {name: kind for name, kind in KINDS.items() if issubclass(kind, Command)}
TWO = """
[[scenario]]
name = "calm"
dt = 0.1
volatility = 0.05
[[scenario]]
name = "wild"
dt = 0.1
volatility = 0.2
"""


def test_every_command_that_leaves_a_folder_is_here():
    looking = {"data check", "data convert", "scenarios", "export", "bench latency", "report", "info"}
    assert LEAVING.keys() == COMMANDS.keys() - looking


@pytest.mark.parametrize("name", LEAVING)
def test_a_command_is_a_stage_with_a_face(name):
    """Its options are the settings of a stage, and what runs is the stage's function, not a copy of it."""
    kind = LEAVING[name]
    (settings,) = (base for base in kind.__bases__ if base is not Command)
    room = importlib.import_module(settings.__module__)
    assert issubclass(settings, Stage)
    assert settings.__module__.split(".")[1] in ("stages", "studies")
    assert {f.name for f in fields(kind)} == {f.name for f in fields(settings)} | {
        f.name for f in fields(Action)
    }
    if name == "backtest":  # or a walk, which is a study
        assert settings is backtest.Backtest
        room = importlib.import_module("flowhft.studies.walk_forward.walk")
    assert kind.stage is room.run


def test_stages_and_studies_need_no_command_line(tmp_path):
    """Where the command line is not there at all: a package of its name that fails stands in its place."""
    code = (
        "import importlib, pkgutil, sys, flowhft\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('flowhft.cli', 'rich')):\n"
        "            raise ImportError(f'a stage reached {name}')\n"
        "sys.meta_path.insert(0, Gone())\n"
        "for name in ('stages', 'studies'):\n"
        "    package = importlib.import_module(f'flowhft.{name}')\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "from flowhft.stages.folders import simulate\n"
        "from pathlib import Path\n"
        "asked = simulate.Simulate(scenarios='T1.HH', policies='glft', paths=1, out=Path('here'))\n"
        "print(simulate.run(asked))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("here\n", "")
    assert (tmp_path / "here" / MANIFEST).is_file()


def test_a_stage_called_from_python_leaves_the_folder_of_the_command(tmp_path):
    (tmp_path / "two.toml").write_text(TWO)
    sizes = ("--candidates", "glft", "--risk-aversions", "0.1,0.2", "--paths", "20", "--fresh-paths", "10")
    said = flowhft("select", "--scenarios", tmp_path / "two.toml", *sizes, "--out", tmp_path / "said")
    assert said.code == 0
    shares = []
    listener = Silent(lambda share, now: shares.append(share))
    settings = select.Select(
        scenarios=str(tmp_path / "two.toml"),
        candidates=("glft",),
        risk_aversions=(0.1, 0.2),
        paths=20,
        fresh_paths=10,
        out=tmp_path / "called",
    )
    folder = select.run(settings, listener)
    assert folder == listener.where == tmp_path / "called"
    assert shares == [0.0, 0.5]
    assert contents(folder) == contents(tmp_path / "said")
    for name in ("command", "config", "fingerprint", "parents", "summary", "files"):
        assert manifest(folder)[name] == manifest(tmp_path / "said")[name]
    # The command finds it done, as the function finds what the command has done.
    again = flowhft("select", "--scenarios", tmp_path / "two.toml", *sizes, "--out", folder)
    assert f"select: already done in {folder}" in again.err
    select.run(settings, listener)
    assert listener.notes[-1] == f"select: already done in {folder}"


def test_a_walk_is_not_taken_for_a_backtest(tmp_path):
    walking = backtest.Backtest(recording=tmp_path, policies="glft", walk_forward=True)
    with pytest.raises(UsageError, match="`walk_forward` must be left to"):
        backtest.run(walking)
