"""Run folders: what a command leaves behind, and how a later one finds and trusts it.

    RUN/
      manifest.json     written last, by rename: a folder with a manifest is finished
      *.parquet         tables, units in their metadata
      *.json            summaries
      *.safetensors     policies
      report.html       made from the rest, and made again from it
      .flowhft-unfinished/  where a run works until it is done, one folder a fingerprint

A run is identified by its *fingerprint*: command, configuration, seed, version and the fingerprints of
its parents. A stage whose folder has a manifest with the same fingerprint need not run again. Until a run
is done, what an earlier one left in its folder stays as it was; then it goes as a whole.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
import weakref
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from flowhft import __version__
from flowhft.errors import DataError, UsageError
from flowhft.runs import lock
from flowhft.runs.files import (
    finite,
    plain,
    read_json,
    read_object,
    read_table,
    replacing,
    sha256_of,
    units_of,
    write_json,
    write_table,
)
from flowhft.runs.manifest import MANIFEST, manifest_of, read_manifest

__all__ = [
    "MANIFEST",
    "REPORT",
    "UNFINISHED",
    "Run",
    "finite",
    "manifest_of",
    "plain",
    "read_json",
    "read_manifest",
    "read_object",
    "read_table",
    "replacing",
    "sha256_of",
    "stream",
    "units_of",
    "write_json",
    "write_table",
]

REPORT = "report.html"
UNFINISHED = ".flowhft-unfinished"
RECORDED_PACKAGES = ("numpy", "jax", "equinox", "optax", "numba", "hftbacktest", "polars")


def _commit() -> str | None:
    """Return the commit of the source tree that runs, or None where it is not a checkout."""
    try:
        result = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass
class Run:
    """A run folder that is being written, or one that is finished.

    Attributes:
        folder: where it is.
        command: the command that makes it.
        config: the resolved configuration.
        seed: the run's integer seed.
        parents: fingerprints of the runs it builds on, by role.
    """

    folder: Path
    command: str
    config: Any
    seed: int
    parents: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that could change the result."""
        return {
            "command": self.command,
            "config": plain(self.config),
            "seed": self.seed,
            "version": __version__,
            "parents": self.parents,
        }

    @property
    def fingerprint(self) -> str:
        """The identity of the result, hashed."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def finished(self) -> bool:
        """Whether the folder holds the finished result of exactly this run, whole and unchanged."""
        path = self.folder / MANIFEST
        manifest = read_manifest(path) if path.is_file() else {}
        return manifest.get("fingerprint") == self.fingerprint and all(
            (self.folder / name).is_file() and sha256_of(self.folder / name) == digest
            for name, digest in manifest["files"].items()
        )

    @property
    def work(self) -> Path:
        """Where the run works until it is done.

        Files in it are the result; folders in it hold what a resumed run goes on from, and go in the end.
        """
        return self.folder / UNFINISHED / self.fingerprint

    def begin(self) -> Path:
        """Make the folder `work`, in which everything that this run had finished is still there; return it.

        Raises:
            DataError: the folder cannot be made.
            UsageError: another process is writing it, or it holds what another run, of other options, could
                go on from.
        """
        if self.folder.is_file():
            raise DataError(f"`out` must be a folder; received the file {self.folder}. Choose another path.")
        unfinished = self.folder / UNFINISHED
        taken = lock.take(unfinished, self.folder)
        # Whoever gives up, by an error or an interrupt, lets go of the folder with this object.
        weakref.finalize(self, lock.drop, unfinished, taken).atexit = False
        try:
            self._refuse_others()
        except BaseException:
            lock.drop(unfinished, taken)
            raise
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / UNFINISHED / f"{self.fingerprint}.json", self.identity)
        for half_written in (*self.work.rglob(".*.part"), *self.folder.glob(".*.part")):
            half_written.unlink()
        return self.work

    def _refuse_others(self) -> None:
        """Let nobody's unfinished work go: not what an interrupted run of other options had done.

        Raises:
            UsageError: there is such work; the message names the options that are not as they were.
        """
        unfinished = self.folder / UNFINISHED
        if not unfinished.is_dir():
            return
        begun = {path.stem for path in unfinished.glob("*.json")}
        worked = {path.name for path in unfinished.iterdir() if path.is_dir() and any(path.glob("*/*"))}
        stages = any(
            (child / name).exists() for child in self.folder.iterdir() for name in (MANIFEST, UNFINISHED)
        )
        others = sorted((worked | (begun if stages else set())) - {self.fingerprint})
        if not others:
            return
        record = unfinished / f"{others[0]}.json"
        changes = (
            "; ".join(_changes(read_json(record), self.identity))
            if record.is_file()
            else "it was begun by another version of flowhft"
        )
        raise UsageError(
            f"`out` must not hold unfinished work of other options; in `{self.folder}` {changes}. Choose "
            f"another folder, or remove `{unfinished}` to give that work up."
        )

    def finish(self, **summary: Any) -> None:
        """Put the result in the place of an earlier one, and the manifest last: now the folder is finished.

        Args:
            summary: what the manifest says about the result.

        Raises:
            DataError: what was begun is gone.
        """
        if not self.work.is_dir():
            raise DataError(
                f"`{self.work}` must stay until the run ends; it is gone. Give every process that runs at "
                "the same time a folder of its own."
            )
        new = sorted(path for path in self.work.iterdir() if path.is_file())
        files = {path.name: sha256_of(path) for path in new}
        self.withdraw()
        for path in new:
            path.replace(self.folder / path.name)
        write_json(
            self.folder / MANIFEST,
            {
                "command": self.command,
                "fingerprint": self.fingerprint,
                "config": plain(self.config),
                "seed": self.seed,
                "parents": self.parents,
                "summary": summary,
                "version": __version__,
                "commit": _commit(),
                "packages": {name: _version_of(name) for name in RECORDED_PACKAGES},
                "python": platform.python_version(),
                "machine": {
                    "system": platform.system(),
                    "processor": platform.machine(),
                    "cores": os.cpu_count(),
                },
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
                "seconds": round(time.time() - self.started, 3),
                "files": files,
            },
        )
        self._clear()

    def _clear(self) -> None:
        """Remove what is unfinished, and the lock last: who waits for it finds nothing, or makes its own."""
        unfinished = self.folder / UNFINISHED
        for path in unfinished.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != lock.NAME:
                path.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        """Give the lock back, and remove the folder of unfinished work unless there is some of somebody's."""
        lock.drop(self.folder / UNFINISHED)
        with contextlib.suppress(OSError):
            (self.folder / UNFINISHED).rmdir()

    def tidy(self) -> None:
        """Remove what a kill between the manifest and the end of `finish` has left of this run's own work."""
        unfinished = self.folder / UNFINISHED
        if not unfinished.is_dir():
            return
        try:
            lock.take(unfinished, self.folder)
        except UsageError:  # another process is at work there
            return
        shutil.rmtree(self.work, ignore_errors=True)
        (unfinished / f"{self.fingerprint}.json").unlink(missing_ok=True)
        self._leave()

    def withdraw(self) -> None:
        """Remove an earlier result: its manifest, which no longer vouches for it, then the files it lists."""
        path = self.folder / MANIFEST
        if not path.is_file():
            return
        earlier = read_manifest(path)["files"]
        path.unlink()
        for name in (*earlier, REPORT):
            if Path(name).name == name:  # not what an edited manifest lists elsewhere
                (self.folder / name).unlink(missing_ok=True)


def _changes(before: Any, after: Any, name: str = "") -> list[str]:
    """Return what differs between two identities, in words: the option, what it was and what it is."""
    if isinstance(before, dict) and isinstance(after, dict):
        results = []
        for key in dict.fromkeys([*before, *after]):
            inner = key if name in ("", "config", "parents") else f"{name}.{key}"
            results += _changes(before.get(key), after.get(key), inner)
        return results
    if before == after:
        return []
    return [f"`{name}` was {_word(before)} and is {_word(after)}"]


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def stream(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of a named random stream of a run.

    Streams are independent: a new consumer, with a name of its own, shifts no other stream.

    Example:
        >>> stream(0, "market", "T1.HH") != stream(0, "market", "T1.HL")
        True
    """
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
