"""`python -m fuzzing`: fuzz for some minutes, go on from the kept corpus, count, and say what failed."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from fuzzing.worker import ROOM, SLOWEST

TESTS = Path(__file__).parents[1]
FOLDER = TESTS.parent / ".fuzz"
PATIENCE = 3.0 * SLOWEST  # seconds without a sign of life, after which the worker hangs in compiled code
ABORTED = "it ended with -6"  # as polars does where damaged bytes ask for more memory than there is
STARTS = 90.0  # seconds that it may take to begin


def main() -> int:
    """Fuzz, and return 1 where something failed."""
    parser = argparse.ArgumentParser(prog="fuzzing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", help="part of the name of a target")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of corpus, counts and failures")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    (folder / "failures").mkdir(parents=True, exist_ok=True)
    counts = _counts(folder / "counts.json")
    before, earlier, died, known = dict(counts), _failures(folder), 0, 0
    end = time.monotonic() + 60.0 * asked.minutes
    while (left := end - time.monotonic()) > 1.0:
        seed = sum(counts.values()) + died + known
        ended = _work(folder, left, seed, asked.only)
        for name, count in _counts(folder / "worker.json").items():
            counts[name] = counts.get(name, 0) + count
        (folder / "worker.json").unlink(missing_ok=True)
        (folder / "counts.json").write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")
        if ended and not any((folder / "current").read_bytes()[:8]):
            print(f"no worker could begin: {ended}", file=sys.stderr)
            return 1
        if ended == ABORTED and _tried(folder)[1].endswith(".parquet"):
            known += 1
        elif ended:
            died += 1
            _blame(folder, ended)
        shown = sum(counts.values()) - sum(before.values())
        print(
            f"{shown:,} inputs, {len(_failures(folder) - earlier)} failures, {known} ends of polars",
            flush=True,
        )
    for name in sorted(counts):
        print(f"{name:<28} {counts[name] - before.get(name, 0):>10,} of {counts[name]:>12,} ever")
    print(
        f"{'all':<28} {sum(counts.values()) - sum(before.values()):>10,} of {sum(counts.values()):>12,} ever"
    )
    if known:
        print(
            f"polars ended the process {known} times at damaged bytes of Parquet, which Python cannot prevent"
        )
    failures = sorted(_failures(folder))
    for path in failures:
        print(f"failed: {folder / 'failures' / path}", file=sys.stderr)
    return 1 if failures else 0


def _work(folder: Path, seconds: float, seed: int, only: str) -> str:
    """Let a worker work; return why it ended before its time, if it did."""
    (folder / "current").write_bytes(bytes(ROOM))
    process = subprocess.Popen(
        [sys.executable, "-m", "fuzzing.worker", str(folder), str(seconds), str(seed), only], cwd=TESTS
    )
    seen, alive = b"", time.monotonic() + STARTS
    try:
        while process.poll() is None:
            time.sleep(1.0)
            with (folder / "current").open("rb") as file:
                now = file.read(4096)
            if now != seen:
                seen, alive = now, max(alive, time.monotonic() + PATIENCE)
            elif time.monotonic() > alive:
                return f"it gave no sign of life for {PATIENCE:g} s"
    finally:
        process.kill()
        process.wait()
    return "" if process.returncode == 0 else f"it ended with {process.returncode}"


def _blame(folder: Path, why: str) -> None:
    """Keep the input at which a worker ended as a failure."""
    name, _, given = _tried(folder)
    at = folder / "failures" / name
    at.mkdir(parents=True, exist_ok=True)
    number = len(list(at.glob("ended-*.txt")))
    (at / f"ended-{number}.input").write_bytes(given)
    (at / f"ended-{number}.txt").write_text(f"The process that tried this input died: {why}.\n")


def _tried(folder: Path) -> tuple[str, str, bytes]:
    """Return what was tried last: the target, the name of the file that was changed, and the input."""
    content = (folder / "current").read_bytes()
    size = int.from_bytes(content[:8], "little")
    target, _, given = content[8 : 8 + size].partition(b"\n")
    return target.decode("utf-8", "replace"), given.split(b"\n", 2)[1].decode("utf-8", "replace"), given


def _counts(path: Path) -> dict[str, int]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _failures(folder: Path) -> set[str]:
    return {str(path.relative_to(folder / "failures")) for path in (folder / "failures").rglob("*.txt")}


if __name__ == "__main__":
    sys.exit(main())
