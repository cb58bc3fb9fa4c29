"""Frozen policies from the time when the desk had a format of its own: folded networks and bare coefficients.

Nothing in the file is executed when it is read, and nothing in it is trusted: shapes are checked against each
other before compiled code may index by them. Today a policy told its market is a policy like any other, in
the one format of `flowhft.policies.file`.
"""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from flowhft.desk.compiled.policy import Frozen, assemble, kind_of
from flowhft.errors import DataError, UsageError
from flowhft.policies.adapter import Adapter
from flowhft.policies.header import numbers
from flowhft.policies.names import FOLDED
from flowhft.runs import foreign

FORMAT = FOLDED
VERSION = 2
_METADATA_KEY = "flowhft"


def load_folded(path: Path | str) -> Frozen:
    """Read a policy that was frozen by flowhft 0.1 or before.

    Args:
        path: of the file.

    Raises:
        DataError: the file is missing, damaged, of another format or version, or its parts do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"`{path}` must be the file of a frozen policy; there is none. Freeze a policy first."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (SafetensorError, OSError, ValueError, TypeError) as cause:
        raise DataError(
            f"`{path}` must be a whole safetensors file; {cause}. Freeze the policy again."
        ) from cause
    try:
        kind = kind_of(header["kind"])
        if kind.read is None:
            raise UsageError(f"no such file was ever written for the kind '{kind.name}'.")
        return assemble(kind, kind.read(header, arrays), Adapter(**numbers(header["adapter"], "adapter")))
    except (UsageError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as cause:
        raise DataError(
            f"`{path}` must hold a policy whose parts fit together; {type(cause).__name__}: {cause} "
            "The file is damaged: freeze the policy again."
        ) from cause


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """Return the header of a file of this format and a version that is known."""
    try:
        header = foreign.json_of(metadata.get(_METADATA_KEY, "null"))
    except ValueError as cause:
        raise DataError(f"the header of `{path}` must be JSON; {cause}. The file is damaged.") from cause
    result = header.get("format") if isinstance(header, dict) else None
    if result != FORMAT:
        raise DataError(
            f"`{path}` must have the format '{FORMAT}'; received {result or 'a file of another program'}. "
            "Name a file that was written by freezing a policy."
        )
    if header.get("version") != VERSION:
        raise DataError(
            f"the version of `{path}` must be {VERSION}; received {header.get('version')}. "
            "Freeze the policy again with this version of flowhft."
        )
    return header
