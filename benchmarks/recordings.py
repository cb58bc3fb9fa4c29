"""How fast recordings are read and converted: events of the bundled session per second.

    python benchmarks/recordings.py [PATH] [--json]

`plain loop` puts the same depth rows into a dictionary book, one after the other in Python, and does nothing
else: no checks, no trades, no best prices. The others read, check, rebuild and, where named, write.
Compiling is left out; the works take turns, and the ratio is that of
the medians of CPU time of one run, which a busy machine disturbs least.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.npz import write_npz
from flowhft.recordings.read import open_recording
from flowhft.recordings.tick_files import write_ticks

ROUNDS = 5


def plain_loop(path: Path) -> int:
    book: dict[tuple[int, int], int] = {}
    count = 0
    for side, price, quantity in pl.read_parquet(path).select("side", "price", "qty").iter_rows():
        if quantity:
            book[side, price] = quantity
        else:
            book.pop((side, price), None)
        count += 1
    return count


def convert(path: Path, out: Path) -> int:
    out.unlink(missing_ok=True)
    return write_ticks(open_recording(path), out)


def main() -> None:
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    path = Path(given[0]) if given else sample_recording()
    recording = read_recording(path)
    events = len(recording.events) + (0 if recording.orders is None else len(recording.orders))
    with tempfile.TemporaryDirectory() as folder:
        ticks, npz = Path(folder) / "x.ticks.parquet", Path(folder) / "x.npz"
        convert(path, ticks)
        write_npz(recording, npz)
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "read": (events, lambda: read_recording(path)),
            "convert to ticks": (events, lambda: convert(path, ticks)),
            "read ticks": (events, lambda: read_recording(ticks)),
            "write npz": (len(recording.events), lambda: write_npz(recording, npz)),
            "read npz": (len(recording.events), lambda: read_recording(npz)),
        }
        depth = Path(f"{path}_depth.parquet")
        if depth.is_file():
            works = {"plain loop": (plain_loop(depth), lambda: plain_loop(depth)), **works}
        taken: dict[str, list[float]] = {name: [] for name in works}
        busy: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS):
            for name, (_, work) in works.items():
                started, before = time.perf_counter(), time.process_time()
                work()
                taken[name].append(time.perf_counter() - started)
                busy[name].append(time.process_time() - before)
    rows = [
        {
            "work": name,
            "seconds": float(np.median(taken[name])),
            "cpu_seconds": float(np.median(busy[name])),
            "events_per_second": count / float(np.median(taken[name])),
            "events_per_cpu_second": count / float(np.median(busy[name])),
        }
        for name, (count, _) in works.items()
    ]
    if "--json" in sys.argv[1:]:
        print(json.dumps({"recording": recording.name, "events": events, "rows": rows}))
        return
    print(f"{recording.name}: {events:,} events and changes of orders")
    print(f"{'':20}{'seconds':>10}{'events/s':>14}{'events/CPU s':>14}{'x loop':>8}")
    loop = next((row["events_per_cpu_second"] for row in rows if row["work"] == "plain loop"), None)
    for row in rows:
        ratio = f"{row['events_per_cpu_second'] / loop:8.2f}" if loop else ""
        speeds = f"{row['events_per_second']:14,.0f}{row['events_per_cpu_second']:14,.0f}"
        print(f"{row['work']:20}{row['seconds']:10.3f}{speeds}{ratio}")


if __name__ == "__main__":
    main()
