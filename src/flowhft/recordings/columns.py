"""The columns of somebody else's table as whole numbers: nanoseconds, ticks, lots and sides."""

from typing import NamedTuple

import polars as pl

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds in one
DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
ISO = "iso"  # a date and time in words: 2021-09-07 00:00:00.073
OFFSET = r" ?(Z|UTC|[+-]\d\d(?::?\d\d)?)$"  # behind a time of day
NEAR = 1e-3  # of a tick or lot: what a price may be off its grid by the way it was stored


class Column(NamedTuple):
    """Where a field stands in a table, and how it is written there.

    Attributes:
        name: of the column.
        scale: stored number / value, of a price or quantity.
        unit: of a time: s, ms, us or ns since 1970, or iso.
        zone: of a time that names none.
        buy: what a buyer's side is called.
        sell: what a seller's side is called.
        yes: what "true" is called.
        since_ns: what a time without a date counts from, ns since 1970.
    """

    name: str
    scale: float = 1.0
    unit: str = "ns"
    zone: str = "UTC"
    buy: str = "buy"
    sell: str = "sell"
    yes: str = "true"
    since_ns: int = 0


def time_ns(column: Column, dtype: pl.DataType) -> pl.Expr:
    """Return a column of times as ns since 1970; null where it holds no such time."""
    values = pl.col(column.name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return values.dt.epoch("ns")
    if dtype == pl.String and column.unit == ISO:
        return _written(values, column.zone)
    if dtype.is_temporal() or column.unit == ISO:
        return _in_zone(values.cast(pl.Datetime("ns")), column.zone)
    return _counted(column, dtype) + column.since_ns


def _in_zone(values: pl.Expr, zone: str) -> pl.Expr:
    """Return times of a zone as ns since 1970; null in the hour that comes twice, and in the one left out."""
    return values.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.epoch("ns")


def _written(texts: pl.Expr, zone: str) -> pl.Expr:
    """Return times in words as ns since 1970, by the offset that they name, else by their zone."""
    texts = texts.str.strip_chars().str.replace("T", " ", literal=True)
    words = texts.str.replace(OFFSET, "").str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False
    )
    offset = texts.str.extract(OFFSET)
    hours, minutes = (offset.str.extract(r"^[+-](\d\d):?(\d\d)?$", group) for group in (1, 2))
    seconds = 3600 * hours.cast(pl.Int64, strict=False).fill_null(0)
    seconds += 60 * minutes.cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    named = words.dt.epoch("ns") - sign * seconds * 10**9
    return pl.when(offset.is_not_null()).then(named).otherwise(_in_zone(words, zone))


def _counted(column: Column, dtype: pl.DataType) -> pl.Expr:
    """Return a column of numbers as ns."""
    values = pl.col(column.name)
    factor, digits = UNITS[column.unit], DIGITS[column.unit]
    if dtype == pl.String:
        text = values.str.strip_chars()
        whole = text.str.extract(r"^(\d{1,19})(?:\.\d*)?$").cast(pl.Int64, strict=False)
        if digits == 0:
            return whole
        fraction = text.str.extract(r"\.(\d+)$").fill_null("0").str.pad_end(digits, "0").str.head(digits)
        return _times(whole, factor) + fraction.cast(pl.Int64, strict=False)
    if dtype.is_integer():
        return _times(values.cast(pl.Int64, strict=False), factor)
    return (values.cast(pl.Float64, strict=False) * factor).round().cast(pl.Int64, strict=False)


def _times(values: pl.Expr, factor: int) -> pl.Expr:
    """Multiply whole numbers, null where the product would not fit."""
    return pl.when(values.abs() < 2**62 // factor).then(values * factor)


def units(column: Column, size: float) -> pl.Expr:
    """Return a column of prices or quantities in units of `size`; null where it is not a multiple of it."""
    factor = 1.0 / (column.scale * size)
    factor = float(round(factor)) if abs(factor - round(factor)) < 1e-9 * factor else factor
    values = pl.col(column.name)
    value = values.cast(pl.Float64, strict=False) * factor
    nearest = value.round()
    near = value.is_finite() & ((value - nearest).abs() <= NEAR + nearest.abs() * 4e-16)
    return pl.when(near & (nearest.abs() <= 2.0**62)).then(nearest).cast(pl.Int64, strict=False)


def side(column: Column) -> pl.Expr:
    """Return a column of sides as 1 and -1, 0 for anything else."""
    text = pl.col(column.name).cast(pl.String).str.strip_chars().str.to_lowercase()
    return (
        pl.when(text == column.buy.lower())
        .then(1)
        .when(text == column.sell.lower())
        .then(-1)
        .when(text.is_not_null())
        .then(0)
        .cast(pl.Int64)
    )


def flag(column: Column) -> pl.Expr:
    """Return a column of truths as 1 and 0."""
    text = pl.col(column.name).cast(pl.String).str.strip_chars().str.to_lowercase()
    return (text == column.yes.lower()).cast(pl.Int64)
