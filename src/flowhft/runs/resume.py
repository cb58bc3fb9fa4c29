"""What is finished of a long piece of work: key -> file, whole or not at all, with its hash.

    finished = Finished(work / "parts", JSON)
    for cell in cells:
        rows += finished.get(cell.name, lambda: judge(cell))

A process may be killed at any moment: what was renamed into its place is whole, and what was not is not
there. What is there is not done again. What was made just now is read back too, so that a resumed run cannot
differ from one that nobody interrupted.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import polars as pl
from safetensors.numpy import load, save

from flowhft.errors import DataError
from flowhft.runs.folder import finite, plain, replacing, sha256_of

Value = TypeVar("Value")


class Form(NamedTuple, Generic[Value]):
    """How a value becomes the content of a file, and comes back.

    Attributes:
        suffix: of the file's name.
        to_bytes: write.
        from_bytes: read what `to_bytes` wrote.
    """

    suffix: str
    to_bytes: Callable[[Value], bytes]
    from_bytes: Callable[[bytes], Value]


class Tables(NamedTuple):
    """A value of JSON, and tables that belong to it."""

    value: Any
    tables: dict[str, pl.DataFrame]


class Finished(Generic[Value]):
    """The finished pieces of some work, by key: a file each in a folder, or nowhere but in memory.

    The first line of a file is the sha256 of the rest. The second one names the files that the piece stands
    for, results of the run themselves, with their hashes: where one of those is gone or another by now, the
    piece is not finished.

    Args:
        folder: belongs to this work alone; made when the first piece is kept. None for where nobody wants to
            resume.
        form: of the values.
        more: what the message about a damaged file says besides.
    """

    def __init__(self, folder: Path | None, form: Form[Value], more: str = "") -> None:
        self.folder, self.form, self.more = folder, form, more
        self._memory: dict[str, bytes] = {}

    def path(self, key: object) -> Path:
        """Return the file of a piece; only its name where there is no folder."""
        return (self.folder or Path()) / f"{key}{self.form.suffix}"

    def __contains__(self, key: object, /) -> bool:
        """Return whether a piece is finished."""
        if self.folder is None:
            return str(key) in self._memory
        path = self.path(key)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            _, beside = file.readline(), file.readline()
        try:
            files = dict(json.loads(beside))
        except (TypeError, ValueError):
            return True  # reading it says that it is damaged
        return all(
            (path.parent / name).is_file() and sha256_of(path.parent / name) == digest
            for name, digest in files.items()
        )

    def __getitem__(self, key: object, /) -> Value:
        """Return a finished piece.

        Raises:
            KeyError: it is not finished.
            DataError: the file is not as it was written.
        """
        if self.folder is None:
            return self.form.from_bytes(self._memory[str(key)])
        path = self.path(key)
        if not path.is_file():
            raise KeyError(key)
        digest, _, rest = path.read_bytes().partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            raise self.damaged(key)
        try:
            return self.form.from_bytes(rest.partition(b"\n")[2])
        except ValueError as cause:  # whole, but of another version
            raise self.damaged(key) from cause

    def __setitem__(self, key: object, value: Value, /) -> None:
        """Keep a finished piece."""
        self.keep(key, value)

    def keep(self, key: object, value: Value, files: Sequence[Path] = ()) -> None:
        """Keep a finished piece.

        Args:
            key: of it, which becomes the name of its file.
            value: what was found.
            files: that were written before, and that it stands for.
        """
        content = self.form.to_bytes(value)
        if self.folder is None:
            self._memory[str(key)] = content
            return
        path = self.path(key)
        beside = {os.path.relpath(file, path.parent): sha256_of(file) for file in files}
        rest = json.dumps(beside).encode() + b"\n" + content
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)

    def get(self, key: object, make: Callable[[], Value]) -> Value:
        """Return a piece, made now and kept if it is not finished.

        Args:
            key: of it.
            make: works it out.

        Raises:
            DataError: its file is damaged.
        """
        if key not in self:
            self.keep(key, make())
        return self[key]

    def damaged(self, key: object) -> DataError:
        """Return what is said of a piece whose file is not as it was written."""
        return DataError(
            f"`{self.path(key)}` must be what an interrupted run kept; it is damaged, or of another version. "
            f"Delete it and run the same command again: only that part is worked out anew.{self.more}"
        )


def _json_to_bytes(value: Any) -> bytes:
    return json.dumps(finite(plain(value)), allow_nan=False).encode()


def _tables_to_bytes(tables: Tables) -> bytes:
    contents = {}
    for name, table in tables.tables.items():
        stream = io.BytesIO()
        table.write_parquet(stream)
        contents[name] = stream.getvalue()
    head = {"value": tables.value, "sizes": {name: len(content) for name, content in contents.items()}}
    return b"\n".join([_json_to_bytes(head), b"".join(contents.values())])


def _tables_from_bytes(content: bytes) -> Tables:
    line, _, rest = content.partition(b"\n")
    head, tables, at = json.loads(line), {}, 0
    for name, size in head["sizes"].items():
        tables[name] = pl.read_parquet(io.BytesIO(rest[at : at + size]))
        at += size
    return Tables(head["value"], tables)


def _arrays_to_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    # np.ascontiguousarray would give a number an axis.
    return save({name: np.asarray(value, order="C") for name, value in arrays.items()})


# What JSON can hold, dataclasses and named tuples included; a number that is not finite comes back as None.
JSON: Form[Any] = Form(".json", _json_to_bytes, json.loads)
TABLES: Form[Tables] = Form(".tables", _tables_to_bytes, _tables_from_bytes)
# Arrays by name.
ARRAYS: Form[dict[str, np.ndarray]] = Form(".arrays", _arrays_to_bytes, load)
