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
from typing import Any

import numba

PACKAGE = Path(__file__).parents[2]
QUOTING = ("types.py", "features/*.py", "policies/*.py", "policies/rules/*.py", "desk/compiled/*.py")


def _digest(folder: Path) -> str:
    """Return the digest of the sources that a quote is compiled from and of those in `folder`."""
    sources = {path for pattern in QUOTING for path in PACKAGE.glob(pattern)} | set(folder.glob("*.py"))
    digest = hashlib.sha256()
    for path in sorted(sources):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def compiled(function: Callable) -> Any:
    """Compile an entry point of the desk with numba, once per change of its sources.

    Use it for a function that Python calls; what only compiled code calls needs `njit` alone. Divisions by
    zero give infinity or NaN as they do in numpy. The cache lies in numba's own folder where one is set
    (NUMBA_CACHE_DIR), else in this package's __pycache__; where that cannot be written, numba chooses.

    Args:
        function: plain arithmetic that numba can compile.

    Returns:
        The compiled function; `py_func` is the one given.
    """
    config: Any = numba.config  # whose settings it defines only when it runs
    chosen = config.CACHE_DIR
    base = Path(chosen) if chosen else Path(__file__).parent / "__pycache__"
    try:
        config.CACHE_DIR = str(base / _digest(Path(inspect.getfile(function)).parent))
        return numba.njit(cache=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = chosen
