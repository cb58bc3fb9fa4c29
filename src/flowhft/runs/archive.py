"""One safetensors file: named arrays and a JSON header. No pickle: reading a file runs nothing."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from flowhft.errors import DataError
from flowhft.runs import foreign
from flowhft.runs.folder import finite, plain, replacing

HEADER = "flowhft"  # key of the header in the file's metadata


def write_archive(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write arrays and header, whole or not at all.

    Args:
        path: of the file, replaced if it exists.
        arrays: by name.
        header: what JSON can hold, dataclasses and named tuples included.
    """
    text = json.dumps(finite(plain(header)), allow_nan=False)
    with replacing(path) as temporary:
        # np.ascontiguousarray would give a number an axis.
        contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        # Written by Python: safetensors' own writer neither says that a disk is full nor heeds the umask.
        temporary.write_bytes(save(contiguous, {HEADER: text}))


def read_archive(
    path: Path, what: str, known: Collection[tuple[str, int]]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read arrays and header.

    Args:
        path: of the file.
        what: what it should hold, in words, for messages.
        known: the header's `format` and `version`: one of these.

    Raises:
        DataError: the file is missing, damaged, of another kind, or of another version.
    """
    if not os.path.isfile(path):
        raise DataError(
            f"`{path}` must be a file that holds {what}; there is none. Name the file that training wrote."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as cause:
        raise DataError(
            f"`{path}` must be a whole safetensors file; {cause}. The file is damaged or of another kind: "
            "copy or make it again."
        ) from cause
    try:
        header = foreign.json_of(metadata[HEADER])
        results = header["format"], header["version"]
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"`{path}` must hold {what}; its metadata have no readable `{HEADER}` header. "
            "Name a file that flowhft wrote."
        ) from cause
    versions = [version for name, version in known if name == results[0]]
    if not versions:
        names = ", ".join(sorted({repr(name) for name, _ in known}))
        raise DataError(
            f"`{path}` must hold {what} (format {names}); received {results[0]!r}. Name another file."
        )
    if results[1] not in versions:
        raise DataError(
            f"`{path}` must be of version {' or '.join(map(str, sorted(versions)))} of {what}; received "
            f"{results[1]!r}. Make it again with this version of flowhft, or use the version that wrote it."
        )
    return arrays, header


def format_of(path: Path) -> str | None:
    """Return the format that a file's header names; None if the file is missing or has no such header."""
    try:
        with safe_open(path, framework="numpy") as file:
            return str(foreign.json_of((file.metadata() or {})[HEADER])["format"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def require_arrays(
    path: Path,
    arrays: dict[str, np.ndarray],
    shapes: dict[str, tuple[int, ...]],
    what: str,
    number: type = np.float32,
) -> None:
    """Require exactly these arrays, of these shapes, finite, and of one type of numbers.

    Raises:
        DataError: with the first array that differs.
    """
    fix = "The file is damaged or was changed: make it again."
    for name in sorted(shapes.keys() - arrays.keys()):
        raise DataError(f"`{name}` must be among the arrays of {what}; `{path}` lacks it. {fix}")
    for name in sorted(arrays.keys() - shapes.keys()):
        raise DataError(f"`{name}` must not be among the arrays of {what}; `{path}` has it. {fix}")
    for name, shape in shapes.items():
        value = arrays[name]
        if value.shape != shape:
            raise DataError(f"`{name}` must have shape {shape}; received {value.shape} in `{path}`. {fix}")
        if value.dtype != number:
            wanted = np.dtype(number).name
            raise DataError(f"`{name}` must hold {wanted}; received {value.dtype} in `{path}`. {fix}")
        if not np.isfinite(value).all():
            raise DataError(f"`{name}` must be finite; received NaN or infinity in `{path}`. {fix}")
