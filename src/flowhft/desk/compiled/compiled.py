"""`compiled`: numba's njit with a cache on disk that notices every change of the code it holds.

numba keys a cached function by the source of its own file alone. A loop that calls `quote`, which calls
`features.sense`, would go on with yesterday's features after an upgrade that touched features.py only:
silently, with the wrong numbers. Here the cache's folder carries a digest of all the sources that a quote
is compiled from, and of those beside the function itself.
"""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numba

PACKAGE = Path(__file__).parents[2]
QUOTING = ("types.py", "features/*.py", "policies/*.py", "policies/rules/*.py", "desk/compiled/*.py")
TRADING = ("desk/*.py", "recordings/instrument.py")


def _digest(folder: Path) -> str:
    """Return the digest of the sources that a quote is compiled from and of those in `folder`.

    Functions of other rooms also hold what a session is compiled from.
    """
    sources = {path for pattern in QUOTING for path in PACKAGE.glob(pattern)} | set(folder.glob("*.py"))
    if folder != Path(__file__).parent:
        sources |= {path for pattern in TRADING for path in PACKAGE.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(sources):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def compiled(function: Callable, signature: Any = None, *, cache: bool = True) -> Any:
    """Compile an entry point of the desk with numba, once per change of its sources.

    Use it for a function that Python calls; what only compiled code calls needs `njit` alone. Divisions by
    zero give infinity or NaN as they do in numpy. The cache lies in numba's own folder where one is set
    (NUMBA_CACHE_DIR), else in this package's __pycache__; where that cannot be written, numba chooses.

    Args:
        function: plain arithmetic that numba can compile.
        signature: of the only types that it is compiled for, now; others are converted. None for whatever
            it is called with.
        cache: whether the disk keeps it.

    Returns:
        The compiled function; `py_func` is the one given.
    """
    config: Any = numba.config  # whose settings it defines only when it runs
    chosen = config.CACHE_DIR
    base = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    try:
        config.CACHE_DIR = str(base / _digest(Path(inspect.getfile(function)).parent))
        return numba.njit(signature, cache=cache, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = chosen


def covered(function: Callable) -> bool:
    """Say whether the digest covers a function, so that the disk may keep what is compiled from it."""
    if getattr(function, "__closure__", None) is not None or not hasattr(function, "__code__"):
        return False
    path = Path(function.__code__.co_filename)
    return any(path in PACKAGE.glob(pattern) for pattern in QUOTING)


def specialised(function: Callable, name: str, **given: Any) -> Any:
    """Return a function with other globals under another name: numba takes globals for constants.

    Unlike a closure, which numba finds changed in every process, the disk can keep it.

    Args:
        function: whose code it is.
        name: that no other function of this code has.
        given: its globals that are others.
    """
    made: Any = FunctionType(function.__code__, {**function.__globals__, **given}, name)
    made.__qualname__, made.__module__ = name, function.__module__
    made.__annotations__ = function.__annotations__
    return made
