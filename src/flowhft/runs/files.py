"""Files of a run folder that are whole or not there: JSON and Parquet, written by rename, read with care."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import DataError
from flowhft.runs import foreign

AGAIN = "The file is damaged: make it again."


def plain(value: Any) -> Any:
    """Turn configuration objects into what JSON can hold: dataclasses and named tuples into objects.

    A field of a dataclass is left out where it has the value that its metadata call `unwritten`: it came
    later, and runs without it keep the identity that they had.
    """
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((item, getattr(value, item.name)) for item in fields(value))
        return {
            item.name: plain(each)
            for item, each in pairs
            if "unwritten" not in item.metadata or each != item.metadata["unwritten"]
        }
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and jax scalars and arrays
        return value.tolist()
    return value


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and put it in the place of `path` only if all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as failure:
        if failure.filename in (None, str(temporary)):  # what the reader of the message knows
            failure.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all. A number that is not finite is written as null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(plain(value)), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Replace every NaN and infinity in a plain value by None, since JSON has no word for them."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return foreign.json_in(path)
    except FileNotFoundError:
        raise DataError(f"`{path}` must exist; it does not. Name a finished run folder.") from None
    except ValueError as cause:
        raise DataError(f"`{path}` must be JSON; {cause}. {AGAIN}") from cause


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        DataError: the file is missing, is not JSON, or holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"`{path}` must be a JSON object; received {_kind_of(value)}. {AGAIN}")
    return value


def entry(record: Any, path: Path, *keys: str, kind: type | tuple[type, ...] = object) -> Any:
    """Return what stands under some keys of a record, or refuse the file that it was read from.

    Args:
        record: as `read_object` returned it.
        path: the file, for the message.
        keys: from outside to inside.
        kind: that the value must be of; a whole number is a float too.

    Raises:
        DataError: it is not there, or of another kind.

    Example:
        >>> entry({"facts": {"lots": 3}}, Path("x.json"), "facts", "lots", kind=float)
        3
    """
    value = record
    for index, key in enumerate(keys):
        if not isinstance(value, dict) or key not in value:
            raise DataError(f"`{path}` must have `{'.'.join(keys[: index + 1])}`; it has not. {AGAIN}")
        value = value[key]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    numbers = (int, *kinds) if float in kinds else kinds
    if not isinstance(value, numbers) or (isinstance(value, bool) and not {bool, object} & set(kinds)):
        names = " or ".join(_KINDS.get(one, one.__name__) for one in kinds)
        raise DataError(
            f"`{'.'.join(keys)}` of `{path}` must be {names}; received {_kind_of(value)}. {AGAIN}"
        )
    return value


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def write_table(path: Path, table: pl.DataFrame, units: dict[str, str]) -> None:
    """Write a Parquet table with the unit of each column in the file's metadata, whole or not at all."""
    with replacing(path) as temporary, to_disk(path):
        table.write_parquet(
            temporary,
            metadata={f"unit:{name}": unit for name, unit in units.items() if name in table.columns},
        )


@contextlib.contextmanager
def to_disk(path: Path) -> Iterator[None]:
    """Let polars, which tells of a full disk in its own way, tell it as everybody else does.

    Args:
        path: that is written, for the message.

    Raises:
        OSError: it could not be written.
    """
    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException) as cause:
        raise OSError(errno.EIO, str(cause).strip().split("\n")[0], str(path)) from cause


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet table.

    Raises:
        DataError: the file is missing or is not Parquet.
    """
    if not path.is_file():
        raise DataError(f"`{path}` must exist; it does not. Name a finished run folder.")
    with _parquet(path):
        return pl.read_parquet(path, glob=False)


def units_of(path: Path) -> dict[str, str]:
    """Return the units that `write_table` put beside the columns of a Parquet table."""
    with _parquet(path):
        metadata = pl.read_parquet_metadata(path)
    return {key.removeprefix("unit:"): unit for key, unit in metadata.items() if key.startswith("unit:")}


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """Turn what polars throws at a damaged file into a `DataError`; its panics are no errors of Python's."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, MemoryError) as cause:
        message = str(cause).strip().split("\n")[0][:200]
        raise DataError(f"`{path}` must be Parquet; {message}. {AGAIN}") from cause
