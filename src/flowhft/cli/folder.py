"""The run folder of a command: where it is, what identifies it, and whether it is already done."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flowhft.cli.command import Command
from flowhft.cli.terminal import Terminal
from flowhft.errors import DataError
from flowhft.runs import MANIFEST, Run, manifest_of, sha256_of

COMMON = ("config", "json", "quiet", "seed", "out")
RUNS = Path("runs")


def identity_of(path: Path) -> str:
    """Return what tells the content of a file or finished run folder from every other.

    Raises:
        DataError: there is no such file or finished folder.
    """
    if path.is_dir():
        return str(manifest_of(path)["fingerprint"])
    if not path.is_file():
        raise DataError(f"`{path}` must exist; it does not. Name a file or a finished run folder.")
    return sha256_of(path)[:16]


def run_of(command: Command, name: str, parents: Mapping[str, str]) -> Run:
    """Return the run of a command: its folder is `--out`, or one named after what identifies it.

    Args:
        command: with its options resolved.
        name: of the command.
        parents: identities of what it builds on; paths themselves do not identify anything.
    """
    config = {
        item.name: value
        for item in fields(command)
        if item.name not in COMMON and not isinstance(value := getattr(command, item.name), Path)
    }
    run = Run(command.out or RUNS, name, config, command.seed, dict(parents))
    if command.out is None:
        run.folder = RUNS / f"{name}-{run.fingerprint[:8]}"
    return run


def begin(run: Run, terminal: Terminal) -> bool:
    """Make the run's folder ready and tell the terminal; return False if the run is already finished.

    A folder that holds something else than an earlier run of flowhft is left alone.

    Raises:
        DataError: the folder cannot be used.
    """
    terminal.where = run.folder
    if run.finished:
        terminal.note(f"{run.command}: already done in {run.folder}")
        return False
    if run.folder.is_dir() and not (run.folder / MANIFEST).is_file():
        foreign = sorted(path.name for path in run.folder.iterdir() if not _ours(path))
        if foreign:
            raise DataError(
                f"`out` must be new or a run folder; `{run.folder}` holds {', '.join(foreign[:3])}. "
                "Choose another folder."
            )
    run.begin()
    return True


def _ours(path: Path) -> bool:
    return path.is_dir() or path.suffix in (".json", ".parquet", ".safetensors", ".toml", ".html", ".part")


def summary_of(folder: Path) -> dict[str, Any]:
    """Return the summary that a finished run wrote into its manifest."""
    return dict(manifest_of(folder)["summary"])
