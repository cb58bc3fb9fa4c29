"""Reads quotes, trades and depth in anybody's columns, CSV or Parquet, as a TOML file beside them declares.

[recording]
venue = "darwinex"
symbol = "EURUSD"
currency = "USD"
tick_size = 0.00001
lot_size = 1.0

[quotes]                                      # and [trades], [depth] likewise
files = "eurusd_l1_*.parquet"                 # relative to this file, in the order of their names
exchange_time = { column = "ts_ms", unit = "ms" }
bid_price = { column = "bid_px", scale = 100000 }
bid_quantity = "bid_sz"                       # the same as { column = "bid_sz" }
ask_price = { column = "ask_px", scale = 100000 }
ask_quantity = "ask_sz"
"""

import contextlib
import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import RecordingError, UnknownNameError
from flowhft.recordings.columns import ISO, UNITS, Column
from flowhft.recordings.described import SECTION, declared_in, identified
from flowhft.recordings.files import decoding
from flowhft.recordings.formats.feed import open_feed
from flowhft.recordings.formats.feed_depth import Table
from flowhft.recordings.formats.feed_rules import NEEDED, OPTIONAL, TIMES
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Source
from flowhft.runs import foreign

KEYS = {
    "column": str,
    "scale": float,
    "unit": str,
    "zone": str,
    "buy": str,
    "sell": str,
    "yes": str,
    "since": str,
}
LARGEST_LEVELS = 1_000


def _text(path: Path) -> Mapping[str, Any]:
    try:
        return foreign.toml_in(path)
    except OSError as cause:
        raise RecordingError(f"must be a file that can be read; {cause.strerror}.", path) from cause
    except ValueError as cause:
        raise RecordingError(f"must be TOML; received: {cause}. Mend the declaration.", path) from cause


def _known(
    kind: str, names: Mapping[str, Any], known: Mapping[str, Any] | tuple[str, ...], path: Path
) -> None:
    for name in names:
        if name not in known:
            raise RecordingError(str(UnknownNameError(kind, name, known)), path)


def _value(values: Mapping[str, Any], name: str, kind: type, where: str, path: Path) -> Any:
    """Return a value of a kind; a whole number is a number too."""
    value = values.get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind):
        what = "a text" if kind is str else "a number"
        raise RecordingError(
            f"`{name}` of [{where}] must be {what}; received {value!r}. Mend the declaration.", path
        )
    if isinstance(value, float) and not 0.0 < value < float("inf"):
        raise RecordingError(f"`{name}` of [{where}] must be above 0; received {value!r}.", path)
    return value


def _column(value: Any, name: str, where: str, path: Path) -> Column:
    declared = {"column": value} if isinstance(value, str) else value
    if not isinstance(declared, dict):
        raise RecordingError(
            f"`{name}` of [{where}] must be a column's name or a table with `column`; received {value!r}.",
            path,
        )
    _known(f"key of `{name}`", declared, KEYS, path)
    result = {key: _value(declared, key, KEYS[key], f"{where}.{name}", path) for key in {"column", *declared}}
    if result.get("unit", ISO) not in (*UNITS, ISO):
        raise RecordingError(
            f"`unit` of `{name}` must be one of {', '.join(UNITS)}, {ISO}; received {result['unit']!r}.", path
        )
    since = result.pop("since", "1970-01-01")
    with decoding(path, "dated as YYYY-MM-DD where `since` says so"):
        day = pl.Series([since]).str.to_datetime("%Y-%m-%d", time_unit="ns")
        start = int(day.dt.replace_time_zone(result.get("zone", "UTC")).dt.epoch("ns")[0])
    return Column(result.pop("column"), **result, since_ns=start)


def _table(kind: str, values: Any, path: Path) -> Table:
    if not isinstance(values, dict):
        raise RecordingError(f"[{kind}] must be a table; received {values!r}.", path)
    fields = (*NEEDED[kind], *OPTIONAL[kind], *TIMES)
    _known(f"key of [{kind}]", values, ("files", "levels", *fields), path)
    pattern = _value(values, "files", str, kind, path)
    files = tuple(Path(name) for name in sorted(glob.glob(str(path.parent / pattern))))
    if not files:
        raise RecordingError(f"`files` of [{kind}] must name files; `{pattern}` names none.", path)
    columns = {name: _column(values[name], name, kind, path) for name in fields if name in values}
    missing = [name for name in NEEDED[kind] if name not in columns]
    if missing or not any(name in columns for name in TIMES):
        needed = ", ".join(missing) or " or ".join(TIMES)
        raise RecordingError(f"[{kind}] must declare {needed}; it does not.", path)
    levels = values.get("levels", 1)
    if not isinstance(levels, int) or isinstance(levels, bool) or not 1 <= levels <= LARGEST_LEVELS:
        raise RecordingError(f"`levels` of [{kind}] must lie from 1 to 1,000; received {levels!r}.", path)
    return Table(files, columns, levels)


def declaration_in(path: Path) -> tuple[dict[str, Any], dict[str, Table]]:
    """Return what a TOML file says of the instrument, and the tables that it declares.

    Raises:
        RecordingError: it is no such declaration.
    """
    values = _text(path)
    _known("table", values, (SECTION, *NEEDED), path)
    declared = values.get(SECTION)
    if not isinstance(declared, dict):
        raise RecordingError("must have a table [recording]; there is none. Declare the instrument.", path)
    tables = {kind: _table(kind, values[kind], path) for kind in NEEDED if kind in values}
    if not {"depth", "quotes"} & set(tables):
        raise RecordingError("must declare [quotes] or [depth]; received neither.", path)
    return declared_in(declared, path, "Mend the declaration.", "key of [recording]"), tables


def declares(path: Path) -> bool:
    """Return whether a TOML file declares tables; if not, it may describe a session of another format."""
    with contextlib.suppress(RecordingError):
        return bool(set(_text(path)) & set(NEEDED))
    return False


def open_declared(path: Path, options: Options) -> Source:
    """Open what a TOML file declares.

    Args:
        path: the declaration.
        options: of reading.

    Raises:
        RecordingError: the declaration or a file of it is missing, damaged, or breaks a rule.
    """
    declared, tables = declaration_in(path)
    instrument, findings = identified(path, options.instrument, {}, path, declared)
    source = open_feed(instrument, tables, (path, *files_of(tables)), options)
    source.findings.extend(findings)
    return source


def files_of(tables: Mapping[str, Table]) -> tuple[Path, ...]:
    """Return the files of declared tables."""
    return tuple(file for table in tables.values() for file in table.files)


DECLARED = Reader(
    "declared",
    "NAME.toml that says which columns of which CSV or Parquet files hold quotes, trades and depth",
    "anybody's quotes, trades and depth",
    lambda path: path if path.suffix == ".toml" else None,
    open_declared,
)
