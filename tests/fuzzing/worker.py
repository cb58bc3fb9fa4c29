"""Try inputs of one target after the other, in a process that may hang, grow or die; its parent keeps watch.

`current` holds the input that is being tried, in memory that outlives the process. What ends in a new way is
kept in the corpus, what fails in `failures`.
"""

import hashlib
import json
import mmap
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.mutate import by_form, raw
from fuzzing.targets import Files, Target, targets

IN_MEMORY, IN_FILES = 1.0, 0.25  # seconds that a target has at a time
SLOWEST = 20.0  # seconds that an input may take
MOST_MEMORY = 6 << 30  # bytes of address space
MOST_GROWN = 1 << 30  # bytes by which an input may raise the most that was ever in use
ROOM = 1 << 20  # bytes of `current`
MOST_KEPT = 200  # inputs of a target in the corpus


class Hang(BaseException):
    """An input that takes too long; no error, since readers catch those."""


class Trial:
    """The inputs of one target: those of the corpus, and what each change of them comes to.

    Args:
        target: it.
        corpus: folder in which inputs of new ends are kept; None to keep none.
        seed: of the changes.
        gentle: whether the bytes of Parquet stay sound, at which polars may end the process.
    """

    def __init__(self, target: Target, corpus: Path | None, seed: int, gentle: bool) -> None:
        self.target, self.corpus, self.gentle = target, corpus, gentle
        self.random = np.random.default_rng(
            [seed, int(hashlib.sha256(target.name.encode()).hexdigest()[:8], 16)]
        )
        self.seeds = target.seeds()
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz"))
        self.inputs: list[tuple[int, str, bytes]] = [
            (number, name, content)
            for number, files in enumerate(self.seeds)
            for name, content in files.items()
        ]
        self.ends: set[str] = set()
        self._written = -1
        if corpus is not None and corpus.is_dir():
            for path in sorted(corpus.iterdir())[:MOST_KEPT]:
                number, _, rest = path.read_bytes().partition(b"\n")
                name, _, content = rest.partition(b"\n")
                if number.isdigit() and int(number) < len(self.seeds):
                    self.inputs.append((int(number), name.decode(), content))

    def next(self) -> tuple[int, str, bytes]:
        """Return an input: one that is known, changed."""
        number, name, content = self.inputs[int(self.random.integers(len(self.inputs)))]
        others = [other for _, kind, other in self.inputs if kind == name][:8]
        try:
            changed = by_form(name or self.target.name)(self.random, content, others, self.gentle)
        except Exception:  # no such file can be written
            changed = raw(self.random, content)
        return number, name, changed

    def run(self, given: tuple[int, str, bytes]) -> str:
        """Read an input, and return how that ended; whatever it must not raise is the caller's."""
        number, name, content = given
        if self.target.memory:
            return self.target.run(content)
        if self._written != number:
            self._write(self.seeds[number])
            self._written = number
        path = self.folder / name
        path.write_bytes(content)
        try:
            return self.target.run(self.folder)
        finally:
            path.write_bytes(self.seeds[number][name])

    def _write(self, files: Files) -> None:
        shutil.rmtree(self.folder)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def keep(self, given: tuple[int, str, bytes], end: str) -> None:
        """Keep an input that ended as none did before."""
        if end in self.ends:
            return
        self.ends.add(end)
        if len(self.inputs) < MOST_KEPT + len(self.seeds):
            self.inputs.append(given)
            if self.corpus is not None:
                store(self.corpus, given)


def packed(given: tuple[int, str, bytes]) -> bytes:
    """Return an input as a file of the corpus: the number of its seed, its file's name, its content."""
    number, name, content = given
    return f"{number}\n{name}\n".encode() + content


def store(folder: Path, given: tuple[int, str, bytes]) -> Path:
    """Write an input into a folder, under its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    content = packed(given)
    path = folder / hashlib.sha256(content).hexdigest()[:16]
    path.write_bytes(content)
    return path


def tried(trial: Trial, count: int) -> Iterator[tuple[tuple[int, str, bytes], BaseException]]:
    """Try some inputs, and yield those that fail with why."""
    for _ in range(count):
        given = trial.next()
        try:
            trial.keep(given, trial.run(given))
        except Exception as failure:
            yield given, failure


def main(folder: Path, seconds: float, seed: int, only: str) -> None:
    """Go round the targets until the time is over."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    signal.signal(signal.SIGALRM, _hang)
    with (folder / "current").open("r+b") as file:
        current = mmap.mmap(file.fileno(), ROOM)
    work = Path(tempfile.mkdtemp(prefix="fuzz"))
    os.chdir(work)
    chosen = [target for target in targets() if only in target.name]
    trials = [Trial(target, folder / "corpus" / target.name, seed, gentle=False) for target in chosen]
    counts: dict[str, int] = {}
    end, grown = time.monotonic() + seconds, _in_use()
    while time.monotonic() < end:
        for trial in trials:
            until = min(end, time.monotonic() + (IN_MEMORY if trial.target.memory else IN_FILES))
            while time.monotonic() < until:
                given = trial.next()
                content = f"{trial.target.name}\n".encode() + packed(given)
                current[:8] = len(content).to_bytes(8, "little")
                current[8 : 8 + len(content)] = content[: ROOM - 8]
                signal.setitimer(signal.ITIMER_REAL, SLOWEST)
                failure: BaseException | None = None
                try:
                    trial.keep(given, trial.run(given))
                except (Exception, Hang) as cause:
                    failure = cause
                except BaseException as cause:  # a panic of polars or safetensors, an interruption
                    if isinstance(cause, KeyboardInterrupt | SystemExit):
                        raise
                    failure = cause
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                counts[trial.target.name] = counts.get(trial.target.name, 0) + 1
                now = _in_use()
                if now > grown + MOST_GROWN and failure is None:
                    failure = MemoryError(f"{(now - grown) >> 20:,} MiB more than ever before")
                grown = max(grown, now)
                if failure is not None:
                    report(folder, trial.target.name, given, failure)
            (folder / "worker.json").write_text(json.dumps(counts))


def report(folder: Path, name: str, given: tuple[int, str, bytes], failure: BaseException) -> None:
    """Keep a failure, one for each place that it arises at."""
    lines = traceback.extract_tb(failure.__traceback__)
    place = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else "nowhere"
    key = hashlib.sha256(f"{name}{type(failure).__name__}{place}".encode()).hexdigest()[:12]
    at = folder / "failures" / name
    at.mkdir(parents=True, exist_ok=True)
    if not (at / f"{key}.txt").exists():
        (at / f"{key}.input").write_bytes(packed(given))
        (at / f"{key}.txt").write_text(
            "".join(traceback.format_exception(failure)), "utf-8", "backslashreplace"
        )


def _hang(*_: Any) -> None:
    raise Hang(f"an input took more than {SLOWEST:g} s")


def _in_use() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
