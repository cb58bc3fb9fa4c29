"""Run folders: finished means finished, whole or not at all, and the same run is known by its fingerprint."""

import dataclasses
import gc
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowhft.errors import DataError, UsageError
from flowhft.runs import folder as runs
from flowhft.runs import lock
from flowhft.runs.folder import (
    UNFINISHED,
    Run,
    manifest_of,
    read_json,
    read_table,
    stream,
    units_of,
    write_json,
    write_table,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 64
    levels: tuple[float, ...] = (0.5, 1.0)
    path: Path | None = None


class Pair(NamedTuple):
    left: float
    right: float


def run_in(folder: Path, **changes) -> Run:
    return Run(**{"folder": folder, "command": "toy", "config": Settings(), "seed": 0, **changes})


# --- finished or not --------------------------------------------------------------------------------------


def test_a_run_is_finished_only_when_its_manifest_is_written(tmp_path):
    run = run_in(tmp_path / "run")
    assert not run.finished
    write_json(run.begin() / "numbers.json", {"a": 1})
    assert not run.finished
    with pytest.raises(DataError, match=r"must be a finished run folder; it has no manifest\.json"):
        manifest_of(run.folder)
    run.finish(pnl=1.5)
    assert run.finished
    manifest = manifest_of(run.folder)
    assert manifest["summary"] == {"pnl": 1.5}
    assert manifest["config"] == {"width": 64, "levels": [0.5, 1.0], "path": None}
    assert manifest["fingerprint"] == run.fingerprint
    content = (run.folder / "numbers.json").read_bytes()
    assert manifest["files"] == {"numbers.json": hashlib.sha256(content).hexdigest()}


def test_beginning_again_keeps_the_result_until_another_takes_its_place(tmp_path):
    first, second = run_in(tmp_path), run_in(tmp_path, seed=1)
    work = first.begin()
    write_json(work / "numbers.json", [1])
    write_json(work / "more.json", [1])
    first.finish()
    (tmp_path / "report.html").write_text("of the first")
    (tmp_path / "notes.txt").write_text("of a person")
    write_json(second.begin() / "numbers.json", [2])
    assert first.finished
    assert read_json(tmp_path / "numbers.json") == [1]
    second.finish()
    assert second.finished
    assert not first.finished
    assert read_json(tmp_path / "numbers.json") == [2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "notes.txt", "numbers.json"]


def test_what_an_interrupted_run_had_done_is_there_when_it_begins_again(tmp_path):
    write_json(run_in(tmp_path).begin() / "parts" / "0.json", [1])
    (run_in(tmp_path).work / "parts" / ".1.json.77.part").write_text("half")
    work = run_in(tmp_path).begin()
    assert [path.name for path in work.rglob("*.*")] == ["0.json"]
    run_in(tmp_path).finish()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]  # parts are not the result


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "`seed` was 0 and is 1"),
        ({"config": Settings(width=65)}, "`width` was 64 and is 65"),
        ({"config": Settings(width=65, levels=(0.5,))}, "`width` was 64 and is 65; `levels` was [0.5, 1.0]"),
        ({"parents": {"policy glft": "0123"}}, "`policy glft` was null and is 0123"),
        ({"command": "other"}, "`command` was toy and is other"),
    ],
)
def test_unfinished_work_of_other_options_is_not_dropped_and_the_option_is_named(tmp_path, changes, said):
    part = run_in(tmp_path).begin() / "parts" / "0.json"
    write_json(part, [1])
    with pytest.raises(UsageError) as refusal:
        run_in(tmp_path, **changes).begin()
    assert said in str(refusal.value)
    assert f"Choose another folder, or remove `{tmp_path / UNFINISHED}`" in str(refusal.value)
    assert read_json(part) == [1]
    assert run_in(tmp_path).begin() == part.parent.parent  # the same options still go on


def test_unfinished_work_of_another_version_is_not_dropped(tmp_path, monkeypatch):
    write_json(run_in(tmp_path).begin() / "parts" / "0.json", [1])
    with monkeypatch.context() as patch:
        patch.setattr(runs, "__version__", "99")
        with pytest.raises(UsageError, match=r"`version` was .+ and is 99"):
            run_in(tmp_path).begin()
    next((tmp_path / UNFINISHED).glob("*.json")).unlink()  # as versions before 0.2 left it
    with pytest.raises(UsageError, match="it was begun by another version of flowhft"):
        run_in(tmp_path, seed=1).begin()


def test_unfinished_stages_belong_to_the_run_that_began_them(tmp_path):
    """A run of runs keeps nothing in its own folder of work: its stages are what could be lost."""
    whole, stage = run_in(tmp_path), run_in(tmp_path / "stage", command="stage")
    whole.begin()
    run_in(tmp_path, seed=1).begin()  # nothing was done yet
    stage.begin()
    stage.finish()
    with pytest.raises(UsageError, match="`seed` was"):
        run_in(tmp_path, seed=2).begin()


def test_what_could_not_be_resumed_is_begun_anew(tmp_path):
    write_json(run_in(tmp_path).begin() / "numbers.json", [1])
    assert list(run_in(tmp_path, seed=1).begin().iterdir()) == []


def test_the_manifest_is_the_last_file_and_an_interrupted_run_has_none(tmp_path, monkeypatch):
    run = run_in(tmp_path)
    write_json(run.begin() / "numbers.json", [1])
    replace = Path.replace

    def interrupt(path, target):
        if target.name == "manifest.json":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.finish()
    assert not run.finished
    assert sorted(path.name for path in tmp_path.iterdir()) == [".flowhft-unfinished", "numbers.json"]


def test_what_a_kill_within_the_end_of_a_run_leaves_is_tidied_up(tmp_path, monkeypatch):
    run = run_in(tmp_path)
    write_json(run.begin() / "numbers.json", [1])
    (tmp_path / ".manifest.json.77.part").write_text("half")
    assert [path.name for path in run_in(tmp_path).begin().iterdir()] == ["numbers.json"]

    def interrupt(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.finish()
    assert run.finished
    other = tmp_path / UNFINISHED / "other.json"
    other.write_text("{}")  # unfinished work of other options is not ours to remove
    run.tidy()
    assert sorted(path.name for path in (tmp_path / UNFINISHED).iterdir()) == ["other.json"]
    other.unlink()
    run.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "numbers.json"]


@pytest.mark.parametrize("damage", [b"", None])
def test_a_result_that_was_changed_is_not_finished(tmp_path, damage):
    run = run_in(tmp_path)
    write_json(run.begin() / "numbers.json", [1])
    run.finish()
    path = tmp_path / "numbers.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert not run.finished


def test_a_manifest_that_lists_files_elsewhere_removes_none_of_them(tmp_path):
    run = run_in(tmp_path / "run")
    run.begin()
    run.finish()
    precious = tmp_path / "precious.txt"
    precious.write_text("keep")
    manifest = read_json(run.folder / "manifest.json")
    write_json(
        run.folder / "manifest.json", manifest | {"files": {"../precious.txt": "0", str(precious): "0"}}
    )
    run.withdraw()
    assert precious.read_text() == "keep"
    assert list(run.folder.iterdir()) == []


def test_two_processes_in_one_folder_do_not_vouch_for_nothing(tmp_path):
    first, second = run_in(tmp_path), run_in(tmp_path)
    write_json(first.begin() / "numbers.json", [1])
    second.begin()
    first.finish()
    with pytest.raises(DataError, match="must stay until the run ends; it is gone"):
        second.finish()
    assert first.finished


BEGIN = """
import sys, time
from pathlib import Path
from flowhft.runs.folder import Run
run = Run(Path(sys.argv[1]), "toy", {}, int(sys.argv[2]))
run.begin()
print("begun", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_folder_that_another_process_writes_is_refused_until_that_is_killed(tmp_path, seed):
    folder = tmp_path / "run"
    run = Run(folder, "toy", {}, 0)
    other = subprocess.Popen(
        [sys.executable, "-c", BEGIN, folder, str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "begun\n"
    try:
        with pytest.raises(
            UsageError, match=rf"process {other.pid} is writing `{folder}`. Wait until it has"
        ):
            run.begin()
        run.tidy()  # what is not ours stays
        assert (folder / UNFINISHED / f"{Run(folder, 'toy', {}, seed).fingerprint}.json").is_file()
    finally:
        other.kill()
        other.communicate()
    write_json(run.begin() / "numbers.json", [1])  # the system has given the lock back
    run.begin()  # and we may begin again
    run.finish()
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "numbers.json"]


FREE = """
import sys
from pathlib import Path
from flowhft.runs.folder import Run
Run(Path(sys.argv[1]), "toy", {}, int(sys.argv[2])).begin()
"""


def begins_elsewhere(folder: Path, seed: int) -> None:
    subprocess.run([sys.executable, "-c", FREE, folder, str(seed)], check=True)


def test_whoever_is_refused_or_gives_up_lets_go_of_the_folder(tmp_path):
    first = Run(tmp_path, "toy", {}, 0)
    (first.begin() / "part").mkdir()
    (first.work / "part" / "piece").write_text("kept")
    again = Run(tmp_path, "toy", {}, 0)
    again.begin()
    del first  # its lock was taken again since
    gc.collect()
    assert (tmp_path / UNFINISHED / lock.NAME).is_file()
    other = Run(tmp_path, "toy", {}, 1)
    del again
    gc.collect()
    with pytest.raises(UsageError, match="`out` must not hold unfinished work of other options"):
        other.begin()
    assert not (tmp_path / UNFINISHED / lock.NAME).exists()
    begins_elsewhere(tmp_path, 0)

    def gives_up() -> None:
        run = Run(tmp_path, "toy", {}, 0)
        run.begin()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gives_up()
    gc.collect()
    begins_elsewhere(tmp_path, 0)


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path):
    lock.take(tmp_path, tmp_path)
    (tmp_path / lock.NAME).unlink()
    lock.take(tmp_path, tmp_path)
    assert (tmp_path / lock.NAME).read_text() == f"{os.getpid()}\n"
    lock.drop(tmp_path)
    lock.drop(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        lock.take(tmp_path / "file", tmp_path)


def test_a_run_of_another_configuration_is_not_this_one(tmp_path):
    run_in(tmp_path).begin()
    run_in(tmp_path).finish()
    assert run_in(tmp_path).finished
    assert not run_in(tmp_path, seed=1).finished


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "other"},
        {"config": Settings(width=65)},
        {"config": Settings(levels=(0.5,))},
        {"seed": 1},
        {"parents": {"policy": "0123"}},
    ],
)
def test_everything_that_could_change_the_result_changes_the_fingerprint(tmp_path, changes, monkeypatch):
    before = run_in(tmp_path)
    assert run_in(tmp_path, **changes).fingerprint != before.fingerprint
    assert run_in(tmp_path / "elsewhere").fingerprint == before.fingerprint  # where it is kept does not
    result = before.fingerprint
    monkeypatch.setattr(runs, "__version__", "99")
    assert before.fingerprint != result


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(
        DataError, match=r"`out` must be a folder; received the file .*file\. Choose another path\."
    ):
        run_in(file).begin()
    with pytest.raises(DataError, match="must be a run folder; it does not exist"):
        manifest_of(tmp_path / "none")


# --- whole or not at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "x.json"
    write_json(path, {"old": True})

    def write() -> None:
        with runs.replacing(path) as temporary:
            temporary.write_text('{"new"')
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert read_json(path) == {"old": True}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, list(range(10_000))),
        lambda path: write_table(path, pl.DataFrame({"a": np.arange(100_000)}), {}),
    ],
    ids=["json", "table"],
)
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, write):
    path = tmp_path / "x.parquet"
    (tmp_path / f".{path.name}.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as failure:
        write(path)
    assert failure.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_hold_becomes_null_and_nothing_else_changes(tmp_path):
    write_json(
        tmp_path / "x.json",
        {
            "bad": [math.nan, math.inf, -math.inf, np.float32("nan")],
            "pair": Pair(1.0, math.nan),
            "settings": Settings(path=Path("a/b")),
            "array": np.array([[1.0, np.nan]]),
            3: True,
        },
    )
    text = (tmp_path / "x.json").read_text()
    result = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert result == {
        "bad": [None, None, None, None],
        "pair": {"left": 1.0, "right": None},
        "settings": {"width": 64, "levels": [0.5, 1.0], "path": "a/b"},
        "array": [[1.0, None]],
        "3": True,
    }


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON_VALUES)
def test_json_comes_back_as_it_went(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)
    assert read_json(path) == value


def test_a_table_comes_back_with_its_units(tmp_path):
    table = pl.DataFrame({"time": [0.0, 1.0], "equity": [1.0, None], "policy": ["a", "b"]})
    write_table(tmp_path / "deep" / "x.parquet", table, {"time": "s", "equity": "USD"})
    assert read_table(tmp_path / "deep" / "x.parquet").equals(table)
    assert units_of(tmp_path / "deep" / "x.parquet") == {"time": "s", "equity": "USD"}


@pytest.mark.parametrize("content", [b"", b"PAR1", b'{"a": ', b"\xff\xfe\x00"])
def test_damaged_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"`{path}` must be JSON; .* The file is damaged: make it again\."):
        read_json(path)
    with pytest.raises(
        DataError, match=rf"`{path}` must be Parquet; .* The file is damaged: make it again\."
    ):
        read_table(path)


def test_missing_files_are_refused_by_name(tmp_path):
    for read in (read_json, read_table):
        with pytest.raises(DataError, match=rf"`{tmp_path}/none` must exist; it does not\."):
            read(tmp_path / "none")


# --- random streams ---------------------------------------------------------------------------------------


def test_streams_of_a_run_differ_by_seed_and_name_and_stay_what_they_are():
    seeds = [
        stream(seed, *names)
        for seed in range(50)
        for names in ((), ("market",), ("market", 0), ("market", 1))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream(0, "market", "T1.HH") == 5573890346487794909


def test_streams_are_independent_of_each_other():
    """Bits of neighbouring streams: 63 x 500 fair coins agree in half of the cases, +- 4 standard errors."""
    agree = sum(63 - (stream(seed, "a") ^ stream(seed, "b")).bit_count() for seed in range(500))
    assert abs(agree / (63 * 500) - 0.5) < 4 * 0.5 / math.sqrt(63 * 500)


def test_a_finished_run_of_another_version_is_read_and_not_taken_for_this_one(tmp_path, monkeypatch):
    """Its files say what they are; the same command makes a new result, and the old one stays until then."""
    with monkeypatch.context() as patch:
        patch.setattr(runs, "__version__", "0.0.1")
        run = run_in(tmp_path)
        write_json(run.begin() / "numbers.json", [1])
        run.finish()
    assert manifest_of(tmp_path)["version"] == "0.0.1"
    assert not run_in(tmp_path).finished
    write_json(run_in(tmp_path).begin() / "numbers.json", [2])
    assert read_json(tmp_path / "numbers.json") == [1]
    run_in(tmp_path).finish()
    assert read_json(tmp_path / "numbers.json") == [2]
