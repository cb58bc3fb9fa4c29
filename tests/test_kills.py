"""kill -9 at random moments: whatever was in work goes on, and ends in the same bytes.

A process counts the files that it puts in their places and kills itself a random while after a random one of
them, or just before it is in its place. So kills fall into every stage however fast the machine is, and
which ones is the same in every run but for that while.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from conftest import CACHE
from program import manifest

from flowhft.recordings import sample_recording
from flowhft.runs.folder import MANIFEST, REPORT, UNFINISHED

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from flowhft.cli.main import main
last, after, replace, count = int(sys.argv.pop(1)), float(sys.argv.pop(1)), Path.replace, 0
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def counting(path, target):
    global count
    count += 1
    if count == last and after < 0.0:
        die()
    done = replace(path, target)
    if count == last:
        threading.Timer(after, die).start()
    return done
Path.replace = counting
code = main()
print(count)
sys.exit(code)
"""
ALIVE = -1  # a write that never comes
KILLS = 3
LONGEST = 0.3  # seconds from a write to the kill after it
TINY_DEMO = """
demonstrations = 4
updates = 20
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
TWO = """
[[scenario]]
name = "one"
dt = 0.2
base_intensity = 20.0
volatility = 0.1
[[scenario]]
name = "other"
dt = 0.2
base_intensity = 20.0
volatility = 0.2
"""
COMMANDS = {
    "demo": ("demo", "--config", "demo.toml"),
    "evaluate": ("evaluate", "--scenarios", "two.toml", "--policies", "glft,white_noise", "--paths", 50_000),
    "train": (
        *("train", "--family.markets", "paper", "--family.scenarios", 4, "--family.held-out", 3),
        *("--family.paths", 4, "--family.held-out-paths", 8, "--regime.updates", 12, "--regime.batch", 2),
        *("--regime.units", 4, "--regime.checkpoint-every", 2),
    ),
    "walk": (
        *("backtest", sample_recording(), "--walk-forward", "--policies", "glft", "--walk.adapt", ""),
        *("--walk.learn", 240, "--walk.trade", 40, "--cores", 1, "--replay.decision-latency-us", 100),
        *("--replay.horizon", 20, "--replay.decision-interval", 0.5),
    ),
}


class Ended(NamedTuple):
    """How a process ended, and how many files it had put in their places if nobody killed it."""

    code: int
    writes: int


def run(shop: Path, command: str, folder: Path, last: int = ALIVE, after: float = 0.0) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (last, after, *COMMANDS[command], "--out", folder))],
        cwd=shop,
        env=os.environ | {"FLOWHFT_CACHE": str(CACHE)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return Ended(done.returncode, int(done.stdout.split()[-1]) if done.returncode == 0 else 0)


def results(folder: Path) -> dict[str, str]:
    """Return the hash of every file, of what the clock has no part in: neither manifests nor reports tell."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, REPORT):
            content = path.read_bytes()
            if path.name == "curve.parquet":
                content = repr(pl.read_parquet(path).drop("seconds").to_dict(as_series=False)).encode()
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the commands read, and theirs that nobody killed."""
    shop = tmp_path_factory.mktemp("kills")
    (shop / "demo.toml").write_text(TINY_DEMO)
    (shop / "two.toml").write_text(TWO)
    return shop


@pytest.fixture(scope="module")
def whole(shop: Path) -> dict[str, int]:
    """Return how many files each command puts in their places; their finished folders are in the shop."""
    return {}


def killed(shop: Path, whole: dict[str, int], command: str, folder: Path, seed: int, kills: int) -> None:
    """Kill a command some times, let it end, and hold it to the one that nobody killed."""
    if command not in whole:
        ended = run(shop, command, shop / command)
        assert ended.code == 0
        whole[command] = ended.writes
    chance = random.Random(f"{command}/{seed}")
    for _ in range(kills):
        last = chance.randint(1, max(1, whole[command] // (kills + 1)))
        after = -1.0 if chance.random() < 0.3 else chance.uniform(0.0, LONGEST)
        assert run(shop, command, folder, last, after).code == -signal.SIGKILL
    ended = run(shop, command, folder)
    assert ended.code == 0
    assert ended.writes <= whole[command]  # what was there was not done again
    assert results(folder) == results(shop / command)
    assert not list(folder.rglob(UNFINISHED))
    assert not list(folder.rglob("*.part"))
    for name in ("fingerprint", "config", "parents", "files"):
        mine, theirs = (manifest(place)[name] for place in (folder, shop / command))
        if name == "files":
            mine, theirs = mine.keys(), theirs.keys()
        assert mine == theirs, name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_ends_in_the_same_bytes(shop, whole, tmp_path, command):
    killed(shop, whole, command, tmp_path / command, 0, KILLS)


@pytest.mark.slow  # as above, with more luck
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_killed_again_and_again_ends_in_the_same_bytes(
    shop, whole, tmp_path, command, seed
):
    killed(shop, whole, command, tmp_path / command, seed, 8)
