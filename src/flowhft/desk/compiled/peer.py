"""A C kernel of the same size, compiled here and now: what the time of a frozen policy is held against.

Plain C (`peer.c`) with the compiler's best flags, once with the matrices row by row as they are trained, once
column by column, which suits vector registers. It does the network and the sampler alone: no observation, no
features, no adapter, no Python.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from flowhft.desk.compiled.network import Network

SOURCE = Path(__file__).with_name("peer.c")
FLAGS = ("-O3", "-ffast-math", "-fPIC")
NATIVE = ("-march=native", "-mcpu=native", "")  # the first that the compiler takes
LAYOUTS = ("rows", "columns")
_ARRAYS = (
    "steps",
    "input_sample",
    "input_features",
    "input_bias",
    "weight_1",
    "weight_2",
    "modulation",
    "output_weight",
    "output_scale",
    "output_bias",
)


class _Network(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_void_p) for name in _ARRAYS), ("start", ctypes.c_float))


def compiler() -> str | None:
    """Return the path of this machine's C compiler ($CC, cc, gcc or clang), or None."""
    results = (shutil.which(name) for name in (os.environ.get("CC", "cc"), "cc", "gcc", "clang"))
    return next((path for path in results if path), None)


class Peer:
    """A network in C, for one shape, without noise and warm start.

    Attributes:
        layout: of its matrices, one of `LAYOUTS`.
    """

    def __init__(self, network: Network, layout: str) -> None:
        path = compiler()
        if path is None:
            raise FileNotFoundError("a C compiler")
        self.layout = layout
        width, sample = network.input_sample.shape
        self._sample = sample
        self._kept = {name: np.ascontiguousarray(getattr(network, name)) for name in _ARRAYS}
        if layout == "columns":
            for name in ("input_sample", "input_features", "weight_1", "weight_2"):
                self._kept[name] = np.ascontiguousarray(np.swapaxes(self._kept[name], -1, -2))
        self._start = network.start
        self.move()
        macros = {
            "WIDTH": width,
            "FEATURE": network.feature_mean.size,
            "SAMPLE": sample,
            "BLOCK": network.weight_1.shape[0],
            "EVALUATION": len(network.steps),
            "ROWS": 2 * network.execute,
        }
        given = [f"-D{name}={value}" for name, value in macros.items()]
        given += ["-DBY_COLUMNS"] if layout == "columns" else []
        with tempfile.TemporaryDirectory() as folder:
            compiled, library = str(Path(folder) / "peer.o"), str(Path(folder) / "peer.so")
            for native in NATIVE:
                flags = [*FLAGS, *filter(None, [native]), *given]
                command = [path, *flags, "-c", str(SOURCE), "-o", compiled]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode == 0:
                    break
            else:
                raise OSError(f"{path}: {done.stderr.strip()}")
            # Linked without -ffast-math, which would make the library switch subnormal numbers off for the
            # whole process when it is loaded.
            done = subprocess.run(
                [path, "-shared", compiled, "-o", library, "-lm"], capture_output=True, text=True
            )
            if done.returncode != 0:
                raise OSError(f"{path}: {done.stderr.strip()}")
            self._library = ctypes.CDLL(library)

    def move(self) -> object:
        """Put the weights to another place in memory; return those at the old one."""
        before, self._kept = self._kept, {name: array.copy() for name, array in self._kept.items()}
        self._network = _Network(*(array.ctypes.data for array in self._kept.values()), self._start)
        return before

    def _call(self, function: Callable, features: np.ndarray, *more: object) -> np.ndarray:
        x = np.zeros(self._sample, np.float32)
        inputs = np.ascontiguousarray(features, np.float32)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (inputs, x))
        function(ctypes.byref(self._network), *pointers, *more)
        return x

    def sample(self, features: Float32[np.ndarray, " feature"]) -> Float32[np.ndarray, " sample"]:
        """Return the scaled half-spreads that are quoted of a chunk, for standardised features."""
        return self._call(self._library.sample, features)

    def time(self, features: Float32[np.ndarray, " feature"], calls: int) -> Int64[np.ndarray, " call"]:
        """Return the time of each of so many calls, nanoseconds, by the clock of C."""
        taken = np.zeros(calls, np.int64)
        self._call(
            self._library.time_calls, features, ctypes.c_int64(calls), ctypes.c_void_p(taken.ctypes.data)
        )
        return taken
