"""How fast recordings are read and converted: events of the bundled session per second.

    python benchmarks/recordings.py [PATH] [--json]

`plain loop` puts the same depth rows into a dictionary book, one after the other in Python, and does nothing
else: no checks, no trades, no best prices. The others read, check, rebuild and, where named, write.
`convert stream` reads the same session (one of USD-M futures) from JSON lines as they came over the wire.
Compiling is left out; the works take turns, and the ratio is that of the medians of CPU time of one run,
which a busy machine disturbs least.
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
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks

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


def write_stream(path: Path, out: Path, price: float = 10.0, quantity: float = 1000.0) -> None:
    """Write the tables of a session of USD-M futures as the lines that they were."""

    def text(name: str, scale: float) -> pl.Expr:
        return (pl.col(name) / scale).round(3).cast(pl.String)

    level = pl.concat_list(text("price", price), text("qty", quantity))
    bids, asks = (level.filter(pl.col("side") == side) for side in (1, -1))
    of = {name: pl.read_parquet(f"{path}_{name}.parquet") for name in ("snapshot", "depth", "trades", "bbo")}
    book = (
        of["snapshot"].group_by("local_ns").agg(bids=bids, asks=asks, lastUpdateId=pl.first("last_update_id"))
    )
    depth = of["depth"].group_by("final_id", maintain_order=True).agg(
        pl.first("local_ns"), e=pl.lit("depthUpdate"), E=pl.first("exch_ms"), T=pl.first("txn_ms"),
        U=pl.first("first_id"), u=pl.first("final_id"), pu=pl.first("prev_id"), b=bids, a=asks,
    )  # fmt: skip
    trades = of["trades"].select(
        "local_ns", e=pl.lit("trade"), E="exch_ms", T="txn_ms", t="trade_id", p=text("price", price),
        q=text("qty", quantity), m=pl.col("aggressor") < 0,
        X=pl.when(pl.col("kind") == 0).then(pl.lit("MARKET")).otherwise(pl.lit("NA")),
    )  # fmt: skip
    bbo = of["bbo"].select(
        "local_ns", e=pl.lit("bookTicker"), u="update_id", E="exch_ms", T="txn_ms",
        b=text("bid_px", price), B=text("bid_qty", quantity),
        a=text("ask_px", price), A=text("ask_qty", quantity),
    )  # fmt: skip
    lines = [book.select("local_ns", line=pl.struct("lastUpdateId", "bids", "asks").struct.json_encode())]
    for table in (trades, bbo, depth.drop("final_id")):
        messages = [name for name in table.columns if name != "local_ns"]
        shown = pl.struct(pl.lit("BTCUSDT").alias("s"), *messages)
        data = pl.struct(stream=pl.lit("btcusdt@x"), data=shown).struct.json_encode()
        lines.append(table.select("local_ns", line=data))
    ordered = pl.concat(lines).sort("local_ns", maintain_order=True)
    rows = ordered.select(pl.concat_str("local_ns", pl.lit(" "), "line")).to_series()
    out.write_text("\n".join(rows) + "\n", encoding="utf-8")


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
        if path.name.startswith("usdm_"):
            stream, made = Path(folder) / f"{path.name}.jsonl", Path(folder) / "stream.ticks.parquet"
            write_stream(path, stream)
            assert len(read_recording(stream).events) == len(recording.events)
            works["convert stream"] = (events, lambda: convert(stream, made))
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
