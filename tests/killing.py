"""How tests kill the program at a random moment, with signal 9, and compare what it leaves in the end.

The program counts the files that it puts in their places, and kills itself a random while after a random one
of them, or just before it is in its place. So kills fall where a run does its work, on any machine.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import polars as pl
from conftest import CACHE
from program import manifest

from flowhft.runs.folder import MANIFEST, REPORT, UNFINISHED

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from flowhft.cli.main import main
last, after, replace, count = int(sys.argv.pop(1)), float(sys.argv.pop(1)), Path.replace, 0
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def counting(path, target):
    global count
    count += 1
    if count == last and after < 0.0:
        die()
    done = replace(path, target)
    if count == last:
        threading.Timer(after, die).start()
    return done
Path.replace = counting
code = main()
print(count, file=sys.stderr)
sys.exit(code)
"""
ALIVE = -1  # a write that never comes
LONGEST = 0.3  # seconds from a write to the kill after it


class Ended(NamedTuple):
    """A process that ended by itself, and how many files it had put in their places."""

    out: str
    err: str
    writes: int


def _done(arguments: tuple[object, ...], last: int, after: float) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (last, after, *arguments))],
        env=os.environ | {"FLOWHFT_CACHE": str(CACHE)},
        capture_output=True,
        text=True,
    )


def left_alone(*arguments: object) -> Ended:
    """Run the program to its end."""
    done = _done(arguments, ALIVE, 0.0)
    assert done.returncode == 0, done.stderr
    said, _, writes = done.stderr.strip().rpartition("\n")
    return Ended(done.stdout, said, int(writes))


def killed(chance: random.Random, most: int, *arguments: object) -> None:
    """Run the program, and kill it at a random moment.

    Args:
        chance: draws the moment.
        most: files that it puts in their places before that, at most; fewer than it would without the kill.
        *arguments: of the program.
    """
    last = chance.randint(1, max(1, most))
    after = -1.0 if chance.random() < 0.3 else chance.uniform(0.0, LONGEST)
    done = _done(arguments, last, after)
    assert done.returncode == -signal.SIGKILL, (last, after, done.stderr)


def results(folder: Path) -> dict[str, str]:
    """Return the hash of every file, but for times of the clock: manifests, reports, seconds of a curve."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, REPORT):
            content = path.read_bytes()
            if path.name == "curve.parquet":
                content = repr(pl.read_parquet(path).drop("seconds").to_dict(as_series=False)).encode()
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def assert_same(folder: Path, whole: Path) -> None:
    """Require that a folder holds the results of another one, and nothing half done."""
    assert results(folder) == results(whole)
    assert not list(folder.rglob(UNFINISHED))
    assert not list(folder.rglob("*.part"))
    for path in whole.rglob(MANIFEST):
        mine, theirs = (manifest(where) for where in (folder / path.parent.relative_to(whole), path.parent))
        assert mine["files"].keys() == theirs["files"].keys()
        for name in ("command", "config", "fingerprint", "parents"):
            assert mine[name] == theirs[name]
