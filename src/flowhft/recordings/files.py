"""The files of a recording as tables of whole numbers: read, or refused with what is wrong."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from flowhft.errors import RecordingError

ROW = "row"  # column that readers add: the row of the file as stored, from 0
SAME_SCALE = 3.0  # medians of two files further apart than this factor are in different units


@contextlib.contextmanager
def decoding(path: Path, form: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into a `RecordingError`.

    One damage is beyond it: at a page header that asks for more memory than there is, polars ends the
    process.

    Args:
        path: the file that is decoded.
        form: what it must be.

    Raises:
        RecordingError: it is missing, or damaged.
    """
    if not path.is_file():
        raise RecordingError("must exist; it does not. A session needs all of its files.", path)
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as cause:
        # A damaged file can make the decoder itself panic, which polars does not count among its errors.
        received = str(cause).strip().split("\n")[0] or "nothing"
        raise RecordingError(
            f"must be {form}; received: {received}. It is damaged or cut short: copy it again.", path
        ) from cause


def opened(path: Path) -> pl.DataFrame:
    """Return a Parquet file as it is.

    Raises:
        RecordingError: it is missing, damaged, or holds no row.
    """
    with decoding(path, "Parquet"):
        table = pl.read_parquet(path)
    if table.height == 0:
        raise RecordingError("must hold rows; received 0. Record the session again.", path)
    return table


def metadata_of(path: Path) -> dict[str, str]:
    """Return the schema metadata of a Parquet file.

    Raises:
        RecordingError: it is missing or damaged.
    """
    with decoding(path, "Parquet"):
        return pl.read_parquet_metadata(path)


def whole_numbers(table: pl.DataFrame, columns: Sequence[str], path: Path) -> pl.DataFrame:
    """Return the columns as int64 behind the column `ROW`.

    Raises:
        RecordingError: a column is missing, or holds anything but whole numbers and nulls.
    """
    for name in columns:
        if name not in table.columns:
            raise RecordingError(
                f"must have the column `{name}`; received {', '.join(table.columns)}. Convert it again.",
                path,
            )
        kind = table.schema[name]
        if kind.is_integer():
            continue
        row = None
        if kind.is_float():
            odd = (table[name].is_nan() | (table[name] != table[name].round())).fill_null(False).arg_true()
            row = int(odd[0]) if len(odd) else None
        value = "" if row is None else f" {table[name][row]}"
        raise RecordingError(
            f"`{name}` must hold whole numbers; received {kind}{value}. Store prices and quantities times "
            "their scale, times in ns or ms.",
            path,
            row,
        )
    try:
        cast = table.select(pl.col(columns).cast(pl.Int64))
    except pl.exceptions.PolarsError as cause:
        raise RecordingError("must hold numbers below 2^63; some are not. Convert it again.", path) from cause
    return cast.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))


def read_columns(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns of a Parquet file as int64, with the column `ROW`.

    Raises:
        RecordingError: the file is missing, damaged, empty, or not made of these columns.
    """
    return whole_numbers(opened(path), columns, path)


def scale_of(metadata: Mapping[str, str], name: str, path: Path) -> int:
    """Return a scale from a Parquet file's schema metadata: stored number = scale x value.

    Raises:
        RecordingError: the scale is missing, or not a power of ten from 1 to 10^12.
    """
    text = metadata.get(name)
    if text not in {str(10**power) for power in range(13)}:
        raise RecordingError(
            f"`{name}` in the schema metadata must be a power of ten from 1 to 10^12; received {text!r}. "
            "Write the scale that prices and quantities were multiplied by.",
            path,
        )
    return int(text)


def same_scale(prices: pl.Series, path: Path, reference: pl.Series, reference_path: Path) -> None:
    """Require that two files state prices in the same unit, by their medians.

    Raises:
        RecordingError: the medians differ by more than a factor `SAME_SCALE`.
    """
    here, there = prices.median(), reference.median()
    if not isinstance(here, float) or not isinstance(there, float):
        return
    if not there / SAME_SCALE < here < there * SAME_SCALE:
        raise RecordingError(
            f"`{prices.name}` must be in the unit of `{reference_path.name}`; received a median of "
            f"{here:,.0f} where that file's is {there:,.0f}, {here / there:.3g} times as much. "
            "Mend its `price_scale`.",
            path,
        )
