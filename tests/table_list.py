"""Whether the tables of a run folder are as `flowhft.runs.tables` lists them."""

from pathlib import Path

from flowhft.metrics.table import METRICS
from flowhft.runs import tables
from flowhft.runs.folder import manifest_of, read_table


def assert_listed(folder: Path, command: str = "") -> int:
    """Hold every table of a finished run folder to the list, and return how many there are.

    Args:
        folder: it.
        command: that wrote it; by default its manifest says so.
    """
    command = command or manifest_of(folder)["command"]
    result = sorted(folder.glob("*.parquet"))
    for path in result:
        table, columns = tables.table_of(command, path.stem), read_table(path)
        missing = set(table.needed(METRICS)) - set(columns.columns) if columns.height else set()
        assert not missing, (path.name, missing)
        more = set(columns.columns) - set(table.names(METRICS))
        assert not more, (path.name, more)
    return len(result)
