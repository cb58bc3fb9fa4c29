"""The manifest of a run folder: what made it, from what, the hash of every file; the one way to read it."""

from pathlib import Path
from typing import Any

from flowhft.errors import DataError
from flowhft.runs.files import entry, read_object

MANIFEST = "manifest.json"
# What every manifest says, since the first version, and what that is.
KEYS: dict[str, type] = {"command": str, "fingerprint": str, "config": dict, "summary": dict, "files": dict}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest, its shape checked: who reads one may index by `KEYS`.

    Raises:
        DataError: the file is missing, is not JSON, or no manifest.
    """
    manifest = read_object(path)
    for key, kind in KEYS.items():
        entry(manifest, path, key, kind=kind)
    for name in manifest["files"]:
        entry(manifest["files"], path, name, kind=str)
    return manifest


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished run folder.

    Raises:
        DataError: the folder is missing, not finished, or its manifest is damaged.
    """
    if not folder.is_dir():
        raise DataError(
            f"`{folder}` must be a run folder; it {'is a file' if folder.is_file() else 'does not exist'}. "
            "Name the folder that a command wrote."
        )
    if not (folder / MANIFEST).is_file():
        raise DataError(
            f"`{folder}` must be a finished run folder; it has no {MANIFEST}. "
            "It was interrupted or belongs to something else: run its command again."
        )
    return read_manifest(folder / MANIFEST)
