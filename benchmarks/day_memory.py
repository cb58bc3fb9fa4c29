"""Memory and time that calibrating and replaying a long recording take, held against 2 GB for a day.

    python benchmarks/day_memory.py [--events 8000000,20000000] [--fills capped] [--keep FOLDER] [--json]

Makes up sessions in the tick schema, a chunk at a time (`benchmarks/memory.py`), and runs `flowhft calibrate`
and `flowhft backtest --policies glft` on all of each, every command in a process of its own. Two peaks are
looked at, 50 times a second: `anonymous`, the memory that is the process's own and that nothing but its end
frees (`RssAnon`), and `resident`, with the pages of files that are mapped (`VmHWM`), which the system writes
out and drops when memory is short. `bytes an event` is the slope from the shortest recording to the longest,
`a day` what it leads to at 70,000,000 events. The temporary directory takes about 140 bytes an event. What
reading remembers is full from about 4,000,000 events on: a slope from fewer is too steep. Needs Linux.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import DAY, make

LIMIT_GB = 2.0
COMMAND = "from flowhft.cli.main import main; main()"


def peaks_of(words: list[str]) -> dict[str, float]:
    """Return the peaks of a command, GB, and how long it took."""
    started, anonymous, resident = time.perf_counter(), 0, 0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words], stdout=subprocess.DEVNULL, stderr=log
        )
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                break
            shown = {
                name: rest.split()[0]
                for name, _, rest in (line.partition(":") for line in lines)
                if rest.split()
            }
            anonymous = max(anonymous, int(shown.get("RssAnon", 0)))
            resident = max(resident, int(shown.get("VmHWM", 0)))
            time.sleep(0.02)
        if process.wait():
            log.seek(0)
            raise SystemExit(f"{words[0]}: {log.read().decode()[-600:]}")
    taken = time.perf_counter() - started
    return {"anonymous": anonymous * 1024e-9, "resident": resident * 1024e-9, "seconds": taken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", default="8000000,20000000")
    parser.add_argument("--fills", default="capped")
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = sorted(int(word) for word in options.events.split(","))
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for count in counts:
            path, out = folder / f"made_{count}.ticks.parquet", Path(scratch) / str(count)
            if not path.is_file():
                make(path, count)
            calibrated = ["--calibration", str(out / "calibrate"), "--replay.fills", options.fills]
            for work, more in (("calibrate", []), ("backtest", [*calibrated, "--policies", "glft"])):
                words = [work, str(path), *more, "--out", str(out / work)]
                rows.append({"work": work, "events": count} | peaks_of(words))
                if not options.json:
                    row = rows[-1]
                    print(
                        f"{work:10}{count:12,} events: anonymous {row['anonymous']:.3f} GB, resident "
                        f"{row['resident']:.3f} GB, {row['seconds']:.0f} s",
                        flush=True,
                    )
    days = []
    for work in ("calibrate", "backtest"):
        first, *_, last = own = [row for row in rows if row["work"] == work] * (1 if len(counts) > 1 else 2)
        for peak in ("anonymous", "resident"):
            between = last["events"] - first["events"]
            slope = (last[peak] - first[peak]) / between if between else float("nan")
            days.append(
                {
                    "work": work,
                    "peak": peak,
                    "bytes_an_event": 1e9 * slope,
                    "day": own[-1][peak] + slope * (DAY - last["events"]),
                }
            )
    if options.json:
        print(json.dumps({"rows": rows, "days": days, "limit": LIMIT_GB}))
        return
    for row in days:
        print(
            f"{row['work']:10}{row['peak']:>10}: {row['bytes_an_event']:.1f} bytes an event, a day of "
            f"{DAY:,} events {row['day']:.2f} GB of {LIMIT_GB:g} GB"
        )


if __name__ == "__main__":
    main()
