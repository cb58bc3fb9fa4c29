"""One list of tables: commands write by it, reports read by it, docs/run-folder.md shows it."""

from pathlib import Path

import polars as pl
import pytest
from program import flowhft
from synthetic_run import write_run
from table_list import assert_listed

from flowhft.metrics.table import METRICS
from flowhft.report.evidence import CURVE, TABLES, gather
from flowhft.runs import tables
from flowhft.runs.folder import read_table, units_of, write_table
from flowhft.runs.tables import Column, Table, documented

DOCS = Path(__file__).parents[1] / "docs"


def test_the_document_shows_the_list():
    """`scripts/tables` puts it there."""
    text = (DOCS / "run-folder.md").read_text()
    assert text.partition("<!-- tables -->\n")[2].partition("<!-- /tables -->")[0] == f"\n{documented()}\n\n"


def test_no_two_tables_of_a_command_have_one_name_and_no_two_columns_either():
    keys = [(command, table.name) for table in tables.TABLES for command in table.by]
    assert len(set(keys)) == len(keys)
    for table in tables.TABLES:
        names = table.names(METRICS)
        assert len(set(names)) == len(names), table.name
        assert all(column.meaning for column in table.columns), table.name


def test_a_column_stands_for_several_and_for_the_ends_of_its_interval():
    column = Column("a b", "money / lot", "why", interval=True)
    assert column.names == ("a", "a_low", "a_high", "b", "b_low", "b_high")
    last = Column("c", "criterion, paired", optional=True)
    table = Table("t", ("x",), "a row", (Column("policy"), column, last))
    assert table.units(money="USD", criterion="ratio")["b_high"] == "USD / lot"
    assert table.units(criterion="ratio")["c"] == "ratio, paired"
    assert "policy" not in table.units()
    assert table.needed(METRICS) == ("policy", *column.names)
    assert table.names() == ("policy", *column.names, "c")


def test_a_report_asks_for_what_the_list_says():
    assert {"evaluate/results", "backtest/windows", "real/costs", "demonstrate/choices"} <= set(TABLES)
    assert {"pnl", "sharpe_low"} < set(TABLES["evaluate/results"])
    assert not {"currency", "family", "paths"} & set(TABLES["evaluate/results"])  # of later versions
    assert CURVE == ("update", "loss", "validation_loss", "gradient_norm", "seconds")


def test_what_tests_invent_is_what_the_list_says(tmp_path):
    evidence = gather(write_run(tmp_path))
    for name, table in evidence.tables.items():
        stage, file = name.split("/")
        known = tables.table_of(stage, file).names(METRICS)
        assert set(table.columns) - {"policy", "family", "rule"} <= {*known}, name


def test_what_commands_write_is_in_the_list(tmp_path):
    for command in (
        "evaluate --scenarios T1.LL --policies glft,white_noise --paths 8",
        "frontier --scenarios T1.LL --policies glft --risk-aversions 1 --paths 8",
        "select --scenarios T1.LL --candidates glft --risk-aversions 0.1,1 --paths 8 --fresh-paths 8",
        "simulate --scenarios T1.LL --policies glft --paths 2",
    ):
        name, *rest = command.split()
        said = flowhft(name, *rest, "--out", tmp_path / name, "--quiet")
        assert said.code == 0, said.err
        assert assert_listed(tmp_path / name) >= 1
    equity = tmp_path / "evaluate" / "equity.parquet"
    assert units_of(equity) == tables.units_of("evaluate", "equity", money="price units")
    assert units_of(tmp_path / "evaluate" / "results.parquet")["pnl"] == "price units"
    assert units_of(tmp_path / "select" / "choices.parquet")["margin"].startswith("tick x lot, paired")


def test_what_is_not_in_the_list_is_noticed(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "backtest" / "latency.parquet"
    write_table(path, read_table(path).with_columns(extra=pl.lit(1)), {})
    with pytest.raises(AssertionError, match="extra"):
        assert_listed(tmp_path / "backtest", "backtest")
