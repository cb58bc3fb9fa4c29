"""Run folders that were cut, merged, or written by another program: refused in one sentence with the file."""

import json
import shutil
import sys

import polars as pl
import pytest
from program import flowhft
from synthetic_run import write_run

from flowhft import report
from flowhft.calibrate.calibration import load_calibration
from flowhft.errors import DataError
from flowhft.runs.files import entry, read_object, read_table, units_of
from flowhft.runs.folder import MANIFEST, Run, manifest_of, read_json, write_json
from flowhft.runs.tables import table_of
from flowhft.runs.tables.kinds import read_known

SOUND = {"command": "evaluate", "fingerprint": "0", "config": {}, "summary": {}, "files": {}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1, 2]", "must be a JSON object; received a list"),
        ("null", "must be a JSON object; received null"),
        ("[" * 100_000, "must be JSON; it is nested deeper than 64 levels"),
        ("{}", "must have `command`; it has not"),
        (json.dumps(SOUND | {"files": ["a"]}), "`files` of .* must be an object; received a list"),
        (json.dumps(SOUND | {"files": {"a": 1}}), "`a` of .* must be a text; received a whole number"),
        (json.dumps(SOUND | {"command": 1}), "`command` of .* must be a text; received a whole number"),
        (json.dumps(SOUND | {"summary": None}), "`summary` of .* must be an object; received null"),
        (json.dumps(SOUND)[:-1] + ', "command": "x"}', "it holds the key 'command' twice"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_wherever_it_is_read(tmp_path, content, why):
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / MANIFEST
    path.write_text(content)
    with pytest.raises(DataError, match=why) as refusal:
        manifest_of(tmp_path / "run")
    assert str(path) in str(refusal.value)
    with pytest.raises(DataError, match=why):
        _ = Run(tmp_path / "run", "toy", {}, 0).finished
    for arguments in (
        ("info", tmp_path / "run"),
        ("report", tmp_path / "run"),
        ("evaluate", "--policies", tmp_path / "run", "--scenarios", "T1.LL"),
        ("backtest", "none", "--calibration", tmp_path / "run", "--policies", "glft"),
    ):
        said = flowhft(*arguments)
        assert said.code == 3, said.err
        assert str(path) in said.err


def test_an_entry_says_what_it_must_be(tmp_path):
    path = tmp_path / "facts.json"
    record = {"facts": {"lots": 3, "on": True}}
    assert entry(record, path, "facts", "lots", kind=float) == 3
    assert entry(record, path, "facts", "on", kind=bool)
    for keys, kind, why in (
        (("facts", "none"), float, "must have `facts.none`"),
        (("facts", "lots", "deeper"), float, "must have `facts.lots.deeper`"),
        (("facts", "on"), float, "must be a number; received true or false"),
        (("facts",), (str, type(None)), "must be a text or null; received an object"),
    ):
        with pytest.raises(DataError, match=why):
            entry(record, path, *keys, kind=kind)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda content: [content], "must be a JSON object"),
        (lambda content: content | {"parameters": []}, "`parameters` of .* must be an object"),
        (lambda content: content | {"warnings": {"a": 1}}, "`warnings` of .* must be a list"),
        (
            lambda content: content | {"parameters": {"drift": {"value": "nan"}}},
            "`value` of .* must be a number or null; received a text",
        ),
        (
            lambda content: content | {"facts": content["facts"] | {"seconds": "60"}},
            "`facts.seconds` of .* must be a number or null",
        ),
        (lambda content: content | {"parameters": {}, "facts": {}}, "must be a calibration; KeyError"),
    ],
)
def test_a_calibration_of_another_shape_is_refused(tmp_path, change, why):
    write_run(tmp_path)
    folder = tmp_path / "calibrate"
    path = folder / "calibration.json"
    write_json(path, change(read_json(path)))
    with pytest.raises(DataError, match=why):
        load_calibration(folder)


# --- tables -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return folder


@pytest.mark.parametrize(
    ("table", "change", "why"),
    [
        ("evaluate/results", {"pnl": pl.lit("x")}, "column 'pnl' of .* must hold numbers; received String"),
        ("evaluate/results", {"pnl": pl.lit([1.0])}, "column 'pnl' of .* must hold numbers; received List"),
        (
            "evaluate/results",
            {"scenario": pl.lit(None, pl.String)},
            "a name in every row; received null in row 0",
        ),
        ("evaluate/results", {"policy": pl.lit(7)}, "column 'policy' of .* must hold text; received Int32"),
        ("evaluate/results", {"family": pl.lit(7)}, "column 'family' of .* must hold text"),
        ("backtest/equity", {"time": pl.lit("now")}, "column 'time' of .* must hold numbers"),
        ("backtest/fills", {"side": pl.lit("buy")}, None),  # a report does not read it
    ],
)
def test_a_table_that_another_tool_rewrote_is_refused_by_file_and_column(whole, tmp_path, table, change, why):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path = folder / f"{table}.parquet"
    if path.is_file():
        pl.read_parquet(path).with_columns(**change).write_parquet(path)
    if why is None:
        assert report(folder).is_file()
        return
    with pytest.raises(DataError, match=why) as refusal:
        report(folder)
    assert str(path) in str(refusal.value)
    assert flowhft("report", folder).code == 3


def test_a_changed_table_that_passes_for_one_is_named_where_the_report_breaks(tmp_path, monkeypatch):
    run = Run(tmp_path, "evaluate", {}, 0)
    write_run(run.begin())  # what a report reads lies in folders; one file is enough to be the run's own
    shutil.rmtree(run.work)
    run.work.mkdir()
    write_json(run.work / "note.json", {})
    run.finish()
    write_run(tmp_path)

    def breaks(evidence):
        raise TypeError("no table of ours")

    monkeypatch.setattr(sys.modules["flowhft.report.build"], "render", breaks)
    (tmp_path / "bare").mkdir()
    write_run(tmp_path / "bare")
    for path in (tmp_path / "bare").rglob(MANIFEST):
        path.unlink()
    with pytest.raises(DataError, match=r"bare` must be as its command wrote it"):  # nothing vouches for it
        report(tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare")
    with pytest.raises(TypeError, match="no table of ours"):  # nothing was changed: a fault of the report
        report(tmp_path)
    (tmp_path / "note.json").write_text("[]")
    with pytest.raises(DataError, match=r"note\.json` must be as its command wrote it; .*no table of ours"):
        report(tmp_path)


def test_a_damaged_table_is_a_data_error_in_all_that_reads_it(tmp_path):
    path = tmp_path / "results.parquet"
    for content in (b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(content)
        for read in (read_table, units_of, lambda path: read_known(path, table_of("evaluate", "results"))):
            with pytest.raises(DataError, match=r"results\.parquet` must be Parquet"):
                read(path)
    path.write_text("1")
    with pytest.raises(DataError, match="must be a JSON object; received a whole number"):
        read_object(path)


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path):
    folder = tmp_path / "flow[steps=1]"
    folder.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(folder / "t.parquet")
    assert read_table(folder / "t.parquet")["a"].to_list() == [1]
