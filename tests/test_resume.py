"""What is finished of a long piece of work: whole or not at all, with a hash, and never done twice."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowhft.errors import DataError
from flowhft.runs.folder import write_json
from flowhft.runs.resume import ARRAYS, JSON, TABLES, Finished, Form, Tables


def never() -> None:
    raise AssertionError("what is there is not made again")


@pytest.mark.parametrize("folder", [True, False])
def test_what_is_there_is_not_made_again_and_comes_back_the_same_both_times(tmp_path, folder):
    finished = Finished(tmp_path / "parts" if folder else None, JSON)
    result = {"rows": [{"pnl": 1.5, "low": float("nan")}], "pair": (1, 2)}
    assert "one" not in finished
    first = finished.get("one", lambda: result)
    assert first == {"rows": [{"pnl": 1.5, "low": None}], "pair": [1, 2]}  # as JSON has it, at once
    assert finished.get("one", never) == first
    assert "one" in finished
    again = Finished(tmp_path / "parts" if folder else None, JSON)
    assert ("one" in again) == folder


def test_nothing_is_kept_of_what_could_not_be_made(tmp_path):
    finished = Finished(tmp_path / "parts", JSON)
    with pytest.raises(ZeroDivisionError):
        finished.get("one", lambda: 1 / 0)
    assert "one" not in finished
    with pytest.raises(KeyError):
        finished["one"]


@given(damage=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_no_flipped_byte_of_any_form_is_read(tmp_path_factory, damage, byte):
    folder = tmp_path_factory.mktemp("parts")
    for form, value in (
        (JSON, [{"a": 1.5}]),
        (TABLES, Tables({"b": 2}, {"t": pl.DataFrame({"x": [1, 2]})})),
        (ARRAYS, {"w": np.arange(3, dtype=np.float32)}),
    ):
        finished = Finished(folder, form)
        finished["one"] = value
        path = finished.path("one")
        content = bytearray(path.read_bytes())
        content[damage % len(content)] ^= byte
        path.write_bytes(content)
        # Where the line that names files beside it was hit, it may be not finished instead.
        if "one" in finished:
            with pytest.raises(DataError, match="kept; it is damaged"):
                finished["one"]


@pytest.mark.parametrize("cut", [0, 1, 64, 65, 67, -1])
def test_a_file_that_was_cut_short_is_named(tmp_path, cut):
    finished = Finished(tmp_path, JSON)
    finished["0000"] = {"a": 1.5}
    path = finished.path("0000")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"0000\.json` must be what an interrupted run kept; .* Delete it"):
        finished.get("0000", never)


def test_a_file_of_before_is_refused_in_one_line(tmp_path):
    write_json(tmp_path / "0000.json", [{"pnl": 1.0}])
    with pytest.raises(DataError, match=r"or of another version\. Delete it") as told:
        Finished(tmp_path, JSON).get("0000", never)
    assert "\n" not in str(told.value)


def test_tables_and_arrays_come_back_as_they_were(tmp_path):
    tables = {"a.b": pl.DataFrame({"x": [1.0, None], "y": ["p", "q"]}), "none": pl.DataFrame({"z": []})}
    back = Finished(tmp_path, TABLES).get("k", lambda: Tables({"n": [1, 2]}, tables))
    assert back.value == {"n": [1, 2]}
    assert list(back.tables) == list(tables)
    assert all(back.tables[name].equals(table) for name, table in tables.items())
    arrays = {"scalar": np.float32(2.5), "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
    result = Finished(tmp_path, ARRAYS).get("k", lambda: arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(result[name], value)
        assert result[name].dtype == np.asarray(value).dtype


def test_a_piece_stands_for_files_beside_it(tmp_path):
    finished, shard = Finished(tmp_path / "notes", JSON), tmp_path / "shard.bin"
    for content in (b"first", b"second"):
        shard.write_bytes(content)
        finished.keep("0", {"rows": 5}, [shard])
        assert "0" in finished
    shard.write_bytes(b"other")
    assert "0" not in finished  # it is made again
    shard.unlink()
    assert "0" not in finished


def test_an_interrupted_write_leaves_what_was_there(tmp_path, monkeypatch):
    finished = Finished(tmp_path, JSON)
    finished["one"] = 1

    def interrupt(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finished["one"] = 2
    assert finished["one"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_another_form_is_two_functions(tmp_path):
    upper: Form[str] = Form(".text", str.encode, bytes.decode)
    assert Finished(tmp_path, upper).get(7, lambda: "seven") == "seven"
    assert json.loads((tmp_path / "7.text").read_bytes().split(b"\n")[1]) == {}
