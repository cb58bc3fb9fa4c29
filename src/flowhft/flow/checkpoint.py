"""The checkpoint of a training: everything that the next update depends on, and the curve so far.

One for every training of a network: by imitation, through the law of the inventory, by trial and error.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from flowhft.errors import DataError
from flowhft.runs.folder import plain
from flowhft.runs.resume import ARRAYS, Finished

VERSION = 3
_CURVE = "curve"

Carried = TypeVar("Carried")


class Checkpoint:
    """Where a training is kept, named after all that it depends on: another one never resumes it.

    Args:
        folder: of checkpoints: the same training resumes, another begins afresh beside it. None for none.
        *identity: settings, seed, names: what can be written as JSON and tells this training from others.
        arrays: what it learns from, likewise.
    """

    def __init__(self, folder: Path | None, *identity: object, arrays: PyTree = ()) -> None:
        self._kept = folder is not None
        self._finished = Finished(folder, ARRAYS)
        digest = hashlib.sha256(repr(plain((VERSION, identity))).encode())
        for array in jax.tree.leaves(arrays) if self._kept else ():
            digest.update(np.ascontiguousarray(array).data)
        self._key = f"training-{digest.hexdigest()[:16]}"

    @property
    def path(self) -> Path | None:
        """The file; None where nothing is kept."""
        return self._finished.path(self._key) if self._kept else None

    def resume(self, carried: Carried, curve: np.ndarray) -> tuple[Carried, np.ndarray]:
        """Return what training carries and its curve as they were last saved.

        Args:
            carried: where training begins: arrays of the same names, shapes and types.
            curve: the curve there, without a row.

        Raises:
            DataError: the checkpoint is damaged.
        """
        if self._key not in self._finished:
            return carried, curve
        arrays = self._finished[self._key]
        curve = arrays.pop(_CURVE)
        expected = {name: (value.shape, value.dtype) for name, value in _named(carried).items()}
        if {name: (value.shape, value.dtype) for name, value in arrays.items()} != expected:
            raise DataError(
                f"`{self.path}` must hold the checkpoint of this training; its arrays differ. Delete it to "
                "begin again."
            )
        leaves = [jnp.asarray(arrays[name]) for name in expected]
        return jax.tree.unflatten(jax.tree.structure(carried), leaves), curve

    def save(self, carried: PyTree, curve: object) -> None:
        """Keep where training is: an interrupted save leaves the one before it as it was.

        Args:
            carried: arrays that training carries from one update to the next.
            curve: rows of the learning curve, an array of any shape.
        """
        if self._kept:
            arrays = {name: np.asarray(value) for name, value in _named(carried).items()}
            self._finished[self._key] = arrays | {_CURVE: np.asarray(curve, np.float64)}


def _named(carried: PyTree) -> dict[str, Array]:
    """Return every array of a tree by its place in it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(carried)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
