"""kill -9 at random moments: what was in work goes on, and ends in the same bytes (the demo: `test_demo`)."""

import random
from pathlib import Path

import pytest
from killing import assert_same, killed, left_alone

from flowhft.recordings import sample_recording

# Of each command, in one run that is begun again after every one: a dozen, most where a try takes least.
KILLS = {"evaluate": 4, "walk": 8}
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
    "evaluate": ("evaluate", "--scenarios", "two.toml", "--policies", "glft", "--paths", 50_000),
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


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Return where the folders are that nobody killed, and how many files each command puts in place."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "two.toml").write_text(TWO)
    return folder, {}


def kill_and_compare(shop, command: str, folder: Path, seed: int, kills: int, monkeypatch) -> tuple[int, int]:
    """Kill a run again and again; return how many files its last try put in place, and a whole run."""
    whole, writes = shop
    monkeypatch.chdir(whole)
    arguments = (*COMMANDS[command], "--quiet", "--out")
    if command not in writes:
        writes[command] = left_alone(*arguments, command).writes
    chance = random.Random(f"{command}/{seed}")
    for _ in range(kills):
        killed(chance, writes[command] // (kills + 1), *arguments, folder)
    again = left_alone(*arguments, folder).writes
    assert_same(folder, whole / command)
    return again, writes[command]


@pytest.mark.parametrize("command", KILLS)
def test_a_killed_command_ends_in_the_same_bytes(shop, tmp_path, monkeypatch, command):
    again, whole = kill_and_compare(shop, command, tmp_path / command, 0, KILLS[command], monkeypatch)
    assert again <= whole  # what is there is not done again


@pytest.mark.slow  # as above, with more luck, and a training, of which every try takes its time
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_killed_again_and_again_ends_in_the_same_bytes(
    shop, tmp_path, monkeypatch, command
):
    again, whole = kill_and_compare(shop, command, tmp_path / command, 1, 8, monkeypatch)
    assert again <= whole  # what is there is not done again
