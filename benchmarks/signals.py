"""How fast the signals of a book are: events taken, and signals written at a decision.

    python benchmarks/signals.py [RECORDING] [--json]

The bundled recording, unless another is named. The rebuild of the book's top (`flowhft.recordings.book`), one
compiled pass over the same events, is the yardstick: `ratio` is how many times as long taking the events is.
All are timed in turn within one process, the median of their repeats.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowhft.desk.replay.signals import read_signals
from flowhft.desk.signals import Signals, write_signals
from flowhft.features.book import NAMES
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.book import top_of_every_message
from flowhft.recordings.ticks import TOP

REPEATS, DECISIONS, PIECE = 7, 100_000, 1_000


def median(work: Callable[[], object]) -> float:
    """Return the median time of a call, seconds; the first compiles and does not count."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def measure(path: Path) -> dict[str, float]:
    recording = read_recording(path)
    events = recording.events
    first, last = int(events["local_time_ns"][0]), int(events["local_time_ns"][-1])
    published = bool(np.any(events["kind"] == TOP))
    few = np.array([last])
    # So many that most of the time is theirs, each between other events.
    many = np.linspace(first, last, DECISIONS).astype(np.int64)

    def live() -> Signals:
        signals = Signals(published)
        for start in range(0, len(events), PIECE):
            signals.take(events[start : start + PIECE])
        return signals

    read, read_many, taken = (
        median(lambda: read_signals(recording, few)),
        median(lambda: read_signals(recording, many)),
        median(live),
    )
    state, out = live().state, np.empty(len(NAMES))
    once = median(lambda: write_signals(state, last, out))
    rebuilt = median(lambda: top_of_every_message(events))
    return {
        "events": len(events),
        "read_ns_an_event": 1e9 * read / len(events),
        "live_ns_an_event": 1e9 * taken / len(events),
        "ns_a_decision": 1e9 * (read_many - read) / DECISIONS,
        "us_a_call_from_python": 1e6 * once,
        "ratio": read / rebuilt,
    }


def main() -> None:
    named = [argument for argument in sys.argv[1:] if argument != "--json"]
    result = measure(Path(named[0]) if named else sample_recording())
    if "--json" in sys.argv:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<24} {value:12,.1f}")


if __name__ == "__main__":
    main()
