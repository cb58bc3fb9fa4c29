"""How tests kill the program at a random moment, with signal 9, and compare what it leaves in the end.

The program counts the files that it puts in their places, and kills itself a random while after a random one
of them, or just before it is in its place. So kills fall where a run does its work, on any machine. Its
processes are forked from one that has imported what commands import, and done nothing else: importing is a
third of what a small command takes.
"""

import hashlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import polars as pl
from conftest import CACHE
from program import manifest

from flowhft.runs.folder import MANIFEST, REPORT, UNFINISHED

PRELOADED = [f"flowhft.stages.{name}" for name in ("evaluate", "adapt", "backtest", "imitate", "calibrated")]
ALIVE = -1  # a write that never comes
LONGEST = 0.3  # seconds from a write to the kill after it


class Ended(NamedTuple):
    """A process that ended by itself, and how many files it had put in their places."""

    out: str
    err: str
    writes: int


def _run(folder: str, arguments: list[str], last: int, after: float, out: str, err: str) -> None:
    """Be the program: count files put in their places, and die where it is asked."""
    from flowhft.cli.main import main

    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), number)
    os.chdir(folder)
    count, replace = 0, Path.replace

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def counting(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == last and after < 0.0:
            die()
        done = replace(path, target)
        if count == last:
            threading.Timer(after, die).start()
        return done

    Path.replace = counting  # type: ignore[method-assign,assignment]
    code = main(arguments)
    print(count, file=sys.stderr, flush=True)
    sys.exit(code)


def _done(arguments: tuple[object, ...], last: int, after: float) -> tuple[int | None, str, str]:
    """Return the exit code of the program, negative for a signal, and what it wrote."""
    os.environ.setdefault("FLOWHFT_CACHE", str(CACHE))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        words = [str(argument) for argument in arguments]
        process = processes.Process(target=_run, args=(os.getcwd(), words, last, after, str(out), str(err)))
        process.start()
        process.join()
        return process.exitcode, out.read_text(), err.read_text()


def left_alone(*arguments: object) -> Ended:
    """Run the program to its end."""
    code, out, err = _done(arguments, ALIVE, 0.0)
    assert code == 0, err
    said, _, writes = err.strip().rpartition("\n")
    return Ended(out, said, int(writes))


def killed(chance: random.Random, most: int, *arguments: object) -> None:
    """Run the program, and kill it at a random moment.

    Args:
        chance: draws the moment.
        most: files that it puts in their places before that, at most; fewer than it would without the kill.
        *arguments: of the program.
    """
    last = chance.randint(1, max(1, most))
    after = -1.0 if chance.random() < 0.3 else chance.uniform(0.0, LONGEST)
    code, _, err = _done(arguments, last, after)
    assert code == -signal.SIGKILL, (last, after, err)


def results(folder: Path) -> dict[str, str]:
    """Return the hash of every file, but for times of the clock: manifests, reports, seconds of a curve."""
    result = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, REPORT):
            content = path.read_bytes()
            if path.name == "curve.parquet":
                content = repr(pl.read_parquet(path).drop("seconds").to_dict(as_series=False)).encode()
            result[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return result


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
