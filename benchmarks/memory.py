"""Memory that a long recording takes: peak of the process against the number of events, and the slope.

    python benchmarks/memory.py [--events 2000000,5000000] [--works read,calibrate,replay,walk] [--json]

Makes up sessions in the tick schema, a chunk at a time: best prices that walk, depth around them, market
orders now and then. Then each work runs in a process of its own and says its peak: `read` (whole into
memory), `calibrate` (`flowhft calibrate`), `replay` (`flowhft backtest` of the last tenth), `walk` (`flowhft
backtest --walk-forward` in windows of a twentieth, read from the file). The slope is that between the
shortest and the longest; a day of 70,000,000 events is what it leads to.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, make_events

DAY = 70_000_000
ROUND_NS = 10_000_000  # between two rounds of messages
PER_ROUND = 10  # events: two of the best prices, seven of depth, one trade
LEVELS = 40
START_NS = 1_700_000_000_000_000_000


def chunks_of(events: int, seed: int, rows: int = 500_000) -> Iterator[Chunk]:
    """Yield a session, chunk by chunk."""
    random = np.random.default_rng(seed)
    mid, at, message = 600_000, START_NS, 1
    offsets = np.arange(1, LEVELS + 1)
    bids = make_events(SNAPSHOT, BUY, at, at, mid - offsets, np.full(LEVELS, 50), message)
    asks = make_events(SNAPSHOT, SELL, at, at, mid + offsets, np.full(LEVELS, 50), message)
    yield Chunk(np.concatenate([bids, asks]))
    rounds_left = events // PER_ROUND
    while rounds_left > 0:
        rounds = min(rounds_left, rows // PER_ROUND)
        rounds_left -= rounds
        walk = mid + np.cumsum(random.choice([-1, 0, 0, 0, 1], rounds))
        mid = int(walk[-1])
        times = at + ROUND_NS * np.arange(1, rounds + 1) + random.integers(0, ROUND_NS // 4, rounds)
        at += ROUND_NS * rounds
        made = np.zeros((rounds, PER_ROUND), EVENT)
        made["exchange_time_ns"] = times[:, None]
        made["local_time_ns"] = times[:, None] + 2_000_000
        made["message"] = message + np.arange(1, rounds + 1)[:, None]
        message += rounds
        side = random.choice([BUY, SELL], rounds)
        reach = random.exponential(6.0, rounds).astype(np.int64)
        for index, kind, sides, price, quantity in (
            (0, TRADE, side, walk + side * (1 + reach), 1 + random.integers(0, 20, rounds)),
            (1, TOP, np.full(rounds, BUY), walk - 1, 1 + random.integers(0, 90, rounds)),
            (2, TOP, np.full(rounds, SELL), walk + 1, 1 + random.integers(0, 90, rounds)),
        ):
            for name, value in (("kind", kind), ("side", sides), ("price", price), ("quantity", quantity)):
                made[name][:, index] = value
        for index in range(3, PER_ROUND):
            of = BUY if index % 2 else SELL
            made["kind"][:, index], made["side"][:, index] = DEPTH, of
            made["price"][:, index] = walk - of * random.integers(1, LEVELS, rounds)
            made["quantity"][:, index] = random.integers(1, 100, rounds)
        kept = np.ones((rounds, PER_ROUND), bool)
        kept[:, 0] = random.random(rounds) < 0.03  # a market order now and then
        yield Chunk(made[kept])


def make(path: Path, events: int, seed: int = 0) -> None:
    """Write a made-up session of about so many events."""
    instrument = Instrument("made-up", "ANYUSDT", "USDT", 0.1, 0.001)
    write_ticks(Source(instrument, (path,), chunks_of(events, seed)), path)


WORKS = {
    "read": "from flowhft.recordings import read_recording; read_recording(PATH)",
    "calibrate": "from flowhft.cli.main import main; main(['calibrate', PATH, '--out', OUT])",
    "replay": (
        "from flowhft.recordings import read_recording; from flowhft.cli.main import main; "
        "main(['calibrate', PATH, '--share', '0.9', '--out', OUT + '/calibrate']); "
        "main(['backtest', PATH, '--calibration', OUT + '/calibrate', '--after', '0.9', "
        "'--policies', 'glft', '--out', OUT + '/backtest'])"
    ),
    "walk": (
        "from flowhft.cli.main import main; main(['backtest', PATH, '--walk-forward', '--policies', 'glft', "
        "'--walk.learn', LENGTH, '--walk.trade', LENGTH, '--walk.adapt', '', '--cores', '1', '--out', OUT])"
    ),
}


def peak_of(work: str, path: Path, events: int, folder: Path) -> float:
    """Return the peak of a process that does the work, GB."""
    length = 0.05 * events / PER_ROUND * ROUND_NS * 1e-9
    code = (
        f"PATH, OUT, LENGTH = {str(path)!r}, {str(folder / work)!r}, {str(length)!r}\n"
        "import resource, sys\n"
        "try:\n"
        f"    {WORKS[work]}\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code, ended.code\n"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    if done.returncode:
        raise SystemExit(f"{work}: {done.stderr.strip()[-600:]}")
    kilobytes = int(done.stdout.strip().splitlines()[-1].split()[1])
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10) * 2**20 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", default="2000000,5000000")
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = sorted(int(word) for word in options.events.split(","))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for count in counts:
            path = folder / f"made_{count}.ticks.parquet"
            if not path.is_file():
                make(path, count)
        for work in options.works.split(","):
            peaks = [
                peak_of(work, folder / f"made_{count}.ticks.parquet", count, Path(scratch) / str(count))
                for count in counts
            ]
            slope = (peaks[-1] - peaks[0]) / (counts[-1] - counts[0]) if len(counts) > 1 else float("nan")
            day = peaks[-1] + slope * (DAY - counts[-1])
            rows.append({"work": work, "peaks": peaks, "slope": slope, "day": day})
            if not options.json:
                message = ", ".join(f"{c:,}: {peak:.2f} GB" for c, peak in zip(counts, peaks, strict=True))
                print(
                    f"{work:10} {message}; {1e9 * slope:.0f} bytes an event, a day {day:.1f} GB",
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
