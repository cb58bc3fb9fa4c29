"""`flowhft data check`: read a recording strictly, and say what is in it and what to know about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Table, Terminal

if TYPE_CHECKING:
    from flowhft.recordings.ticks import Recording


@dataclass(frozen=True, kw_only=True)
class DataCheck(Action):
    """Read a recording, and say what is in it and what is wrong with it.

    Ends with exit code 3 and the file and row of the first fault where there is one.
    """

    path: Positional[Path]
    """A session: the prefix of its files, any one of them, or a folder that holds exactly one session."""
    repair: bool = False
    """Sort or drop what is at fault instead, and say how many rows."""

    def run(self, terminal: Terminal) -> Result:
        """Read it, rebuild the best prices, count the market orders."""
        from flowhft.recordings.read import read_recording
        from flowhft.report.numbers import duration, significant

        with terminal.stage(f"reading {self.path}") as progress:
            recording = read_recording(self.path, repair=self.repair)
            progress(0.5, "best prices and market orders")
            facts = _facts(recording)
        findings = [{"severity": found.severity, "message": found.message} for found in recording.findings]
        rows = [
            ("duration", duration(facts["seconds"])),
            ("tick", f"{facts['tick_size']:g} {facts['currency']}"),
            ("lot", f"{facts['lot_size']:g}"),
            *((name, f"{number:,}") for name, number in facts["events"].items()),
            (
                "market orders",
                f"{facts['market_orders']:,}, {significant(facts['market_orders_per_second'])} a second",
            ),
            ("market spread", f"{significant(facts['market_spread_mean'])} ticks in the mean of time"),
            ("clock offset", f"{facts['clock_offset_ms']:g} ms added to the local clock"),
        ]
        return Result(
            facts | {"findings": findings},
            [
                Table(("what", "value"), rows, title=f"{recording.name}: {len(recording.events):,} events"),
                *(f"{found['severity']}: {found['message']}" for found in findings),
            ],
        )


def _facts(recording: "Recording") -> dict[str, Any]:
    """Return what is in a recording, in numbers."""
    from flowhft.recordings.book import market_orders, top_of_book
    from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE

    kinds = {"snapshot levels": SNAPSHOT, "depth updates": DEPTH, "top-of-book updates": TOP, "trades": TRADE}
    orders = len(market_orders(recording).time_ns)
    top = top_of_book(recording)
    held = np.diff(top.local_time_ns).astype(np.float64)
    spread = top.market_spread[:-1]
    known = ~np.isnan(spread) & (held > 0)
    return {
        "venue": recording.venue,
        "symbol": recording.symbol,
        "currency": recording.currency,
        "tick_size": recording.tick_size,
        "lot_size": recording.lot_size,
        "seconds": recording.duration,
        "events": {name: int(np.sum(recording.events["kind"] == kind)) for name, kind in kinds.items()},
        "market_orders": orders,
        "market_orders_per_second": orders / recording.duration if recording.duration > 0 else float("nan"),
        "market_spread_mean": float(np.average(spread[known], weights=held[known]))
        if known.any()
        else float("nan"),
        "clock_offset_ms": recording.clock_offset_ns * 1e-6,
        "files": [str(file) for file in recording.files],
    }
