"""Checkpoints of a training: everything that the next update depends on, and the curve so far."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from flowhft.errors import DataError
from flowhft.runs.archive import read_archive, write_archive

FORMAT = "flowhft.training"
VERSION = 2
_WHAT = "the checkpoint of a training"

Curve = list[tuple[float, ...]]


def _named(carried: PyTree) -> dict[str, Array]:
    """Return every array of a tree by its place in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(carried)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def save_checkpoint(path: Path, carried: PyTree, curve: Sequence[tuple[float, ...]]) -> None:
    """Write a checkpoint, whole or not at all: an interrupted save leaves the one before it as it was.

    Args:
        path: of the file, replaced if it exists.
        carried: arrays that training carries from one update to the next.
        curve: rows of the learning curve.
    """
    arrays = {name: np.asarray(value) for name, value in _named(carried).items()}
    arrays["curve"] = np.asarray(curve, np.float64)
    write_archive(path, arrays, {"format": FORMAT, "version": VERSION})


def read_checkpoint(path: Path, like: PyTree, columns: int) -> tuple[PyTree, Curve]:
    """Return what a checkpoint holds: the arrays that training carries, and the curve.

    Args:
        path: of the file.
        like: arrays of the same names, shapes and types.
        columns: of the curve.

    Raises:
        DataError: the checkpoint is damaged, of another version, or of another training.
    """
    arrays, _ = read_archive(path, _WHAT, {(FORMAT, VERSION)})
    curve = arrays.pop("curve", np.zeros(0))
    if curve.size == 0:  # it ended before the first row
        curve = curve.reshape(0, columns)
    expected = {name: (value.shape, value.dtype) for name, value in _named(like).items()}
    found = {name: (value.shape, value.dtype) for name, value in arrays.items()}
    if found != expected or curve.ndim != 2 or curve.shape[1] != columns:
        raise DataError(
            f"`{path}` must hold {_WHAT} of these settings; its arrays differ. Delete it to begin again."
        )
    leaves = [jnp.asarray(arrays[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), [tuple(row) for row in curve.tolist()]
