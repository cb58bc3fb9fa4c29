"""Read a table of a run folder and require that it is one: its columns, and text or numbers in each.

Tables are rewritten by other tools, and by hand. Who computes with one may trust what went through here.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from flowhft.errors import DataError
from flowhft.runs.files import read_table
from flowhft.runs.tables.schema import ENDS, Table

# Columns of text, by their units and, where a column has none, by their names; what has another unit, and
# what every table of results has of its metrics, is a number.
TEXT_UNITS = frozenset({"name", "words", "of our quote", "what x is, with its unit", "of the values"})
TEXT = frozenset(
    {
        *(
            "scenario",
            "policy",
            "family",
            "rule",
            "reference",
            "currency",
            "kind",
            "refused",
            "against",
            "expert",
        ),
        *("ties", "rival_expert", "next_expert", "rival", "metric", "market", "name", "section", "wanted"),
        *("reason", "study", "variant", "parameter", "method", "diagnostic", "note", "recording", "stage"),
        *("effect", "role", "sentence", "printed_policy", "says", "check", "direction", "criterion", "unit"),
    }
)
COUNTS = frozenset({"paths", "window", "path", "step", "scale"})
# Whose row it is must be said, but where the list says that it may be null.
WHOSE = ("scenario", "policy")
NOBODYS = frozenset({("latency", "policy"), ("windows", "policy")})
AGAIN = "Make it again with this version."


def read_known(
    path: Path, table: Table, metrics: Iterable[str] = (), later: Iterable[str] = ()
) -> pl.DataFrame:
    """Read a table of the list.

    Args:
        path: of the file.
        table: what it must be.
        metrics: names of all metrics, which a table of results must have.
        later: those among them that folders of before lack: null where they are not there.

    Raises:
        DataError: it is missing, damaged, lacks a column, or a column holds something else than it must.
    """
    result = read_table(path)
    if result.height == 0:  # differences where there is only the reference need not say what they lack
        return result
    metrics = tuple(metrics)
    unknown = [f"{name}{end}" for name in later for end in ENDS]
    result = result.with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in unknown
        if name in table.needed(metrics) and name not in result.columns
    )
    for name in table.needed(metrics):
        if name not in result.columns:
            received = ", ".join(result.columns)
            raise DataError(f"`{path}` must have the column {name!r}; received {received}. {AGAIN}")
    numbers = {*table.names(metrics)} - {*table.names()}
    numbers |= {name for column in table.columns if _is_number(column.unit) for name in column.names}
    texts = {name for column in table.columns if column.unit in TEXT_UNITS for name in column.names}
    bare = {name for column in table.columns if not column.unit for name in column.names}
    numbers, texts = numbers | (bare & COUNTS), texts | (bare & TEXT)
    for name, kind in result.schema.items():
        if name in texts and not _holds_text(kind):
            raise _wrong(path, name, "text", str(kind))
        if name in numbers and not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
            raise _wrong(path, name, "numbers", str(kind))
        if name in WHOSE and name in texts and (table.name, name) not in NOBODYS and result[name].has_nulls():
            raise _wrong(
                path, name, "a name in every row", f"null in row {result[name].is_null().arg_max():,}"
            )
    return result


def _is_number(unit: str) -> bool:
    return bool(unit) and unit not in TEXT_UNITS


def _holds_text(kind: pl.DataType) -> bool:
    return kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum)


def _wrong(path: Path, name: str, must: str, received: str) -> DataError:
    return DataError(f"column {name!r} of `{path}` must hold {must}; received {received}. {AGAIN}")
