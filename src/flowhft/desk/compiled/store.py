"""Keep a frozen policy in a file: safetensors for the arrays, a JSON header for everything else.

Nothing in the file is executed when it is read, and nothing in it is trusted: shapes are checked against each
other before compiled code may index by them.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from flowhft.desk.compiled.policy import Frozen, assemble, kind_of
from flowhft.errors import DataError, UsageError
from flowhft.policies.adapter import Adapter
from flowhft.runs.folder import replacing

FORMAT = "flowhft.frozen"
VERSION = 3
READABLE = (2, VERSION)
_METADATA_KEY = "flowhft"


def save_frozen(frozen: Frozen, path: Path | str) -> None:
    """Write a frozen policy, whole or not at all.

    Args:
        frozen: the policy.
        path: of the file, by custom ending in .safetensors.
    """
    said, arrays = frozen.kind.write(frozen.parts)
    about = {"format": FORMAT, "version": VERSION, "kind": frozen.kind.name}
    header = about | {"adapter": frozen.adapter._asdict()} | said
    with replacing(Path(path)) as temporary:
        # Written by Python: safetensors' own writer neither says that a disk is full nor heeds the umask.
        temporary.write_bytes(save(arrays, {_METADATA_KEY: json.dumps(header)}))


def load_frozen(path: Path | str) -> Frozen:
    """Read a frozen policy: bit for bit the one that was saved.

    Args:
        path: of a file that `save_frozen` wrote.

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
        return assemble(kind, kind.read(header, arrays), Adapter(**header["adapter"]))
    except (UsageError, KeyError, TypeError, ValueError, AttributeError) as cause:
        raise DataError(
            f"`{path}` must hold a policy whose parts fit together; {type(cause).__name__}: {cause} "
            "The file is damaged: freeze the policy again."
        ) from cause


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """Return the header of a file of this format and a version that is known."""
    try:
        header = json.loads(metadata.get(_METADATA_KEY, "null"))
    except json.JSONDecodeError as cause:
        raise DataError(f"the header of `{path}` must be JSON; {cause}. The file is damaged.") from cause
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT:
        raise DataError(
            f"`{path}` must have the format '{FORMAT}'; received {found or 'a file of another program'}. "
            "Name a file that was written by freezing a policy."
        )
    if header.get("version") not in READABLE:
        raise DataError(
            f"the version of `{path}` must be one of {', '.join(map(str, READABLE))}; received "
            f"{header.get('version')}. Freeze the policy again with this version of flowhft."
        )
    return header
