"""The tables of run folders: one list that writers, reports and docs/run-folder.md share.

evaluated    what policies came to
learning     choosing and training
calibration  what was measured on a recording
labelled     orders that were never sent
studies      what `flowhft reproduce` found
book_makers  what it found of makers that see the book
schema       what a table and a column are
"""

from collections.abc import Mapping

from flowhft.runs.tables import book_makers, calibration, evaluated, labelled, learning, studies
from flowhft.runs.tables.schema import CRITERION, MONEY, Column, Table

__all__ = ["TABLES", "Column", "Table", "documented", "table_of", "units_of"]

TABLES: tuple[Table, ...] = (
    *evaluated.TABLES,
    *learning.TABLES,
    *calibration.TABLES,
    *labelled.TABLES,
    *studies.TABLES,
    *book_makers.TABLES,
)
_BY_COMMAND = {(command, table.name): table for table in TABLES for command in table.by}


def table_of(command: str, name: str) -> Table:
    """Return what a table of a command is.

    Args:
        command: that writes it.
        name: of its file, without the ending.
    """
    return _BY_COMMAND[command, name]


def units_of(
    command: str,
    name: str,
    *,
    money: str = MONEY,
    criterion: str = CRITERION,
    metrics: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the units that a table has in its metadata, see `Table.units`.

    Args:
        command: that writes it.
        name: of its file, without the ending.
        money: currency of the run.
        criterion: unit of what was chosen by.
        metrics: unit of every metric, where the table has them.
    """
    return table_of(command, name).units(money, criterion, metrics)


def documented() -> str:
    """Return the list as docs/run-folder.md has it."""
    parts = []
    for table in TABLES:
        head = [f"### {table.name}.parquet ({', '.join(table.by)})", f"One row is {table.rows}."]
        if table.metrics:
            head.append(
                "Besides, for every [metric](models.md#metrics) `M`, its value and its interval: `M`, "
                "`M_low`, `M_high`."
            )
        if table.note:
            head.append(table.note)
        lines = ["| column | unit | meaning |", "|---|---|---|"]
        lines += [_line(column) for column in table.columns]
        parts.append("\n\n".join([*head, "\n".join(lines)]))
    return "\n\n".join(parts)


def _line(column: Column) -> str:
    names = ", ".join(f"`{name}`" for name in column.names)
    return f"| {names} | {column.unit} | {column.meaning} |"
