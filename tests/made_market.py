"""A made-up market of a few hundred depth messages that tests write in any format, sound or spoiled."""

from pathlib import Path

import numpy as np
import polars as pl
from recording_files import EPOCH_MS, stream_lines, write, write_stream

from flowhft.recordings import read_recording
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks

MS = 1_000_000
STEP_MS, LATENCY_MS = 100, 3
FORMS = ("tables", "stream", "tardis", "declared")


def made_market(steps: int = 300, seed: int = 0) -> dict[str, pl.DataFrame]:
    """A walk of the mid in the tables of a Binance session: depth, best prices and a trade every 100 ms."""
    random = np.random.default_rng(seed)
    mid, book = 10_000, {}
    rows: dict[str, list[tuple]] = {"snapshot": [], "depth": [], "bbo": [], "trades": []}
    for step in range(steps + 1):
        mid += int(random.choice([-1, 0, 0, 1]))
        ms, number = EPOCH_MS + STEP_MS * step, 1_000 + 10 * step
        local = (ms + LATENCY_MS) * MS
        held = {(1, mid - away): None for away in range(1, 6)} | {(-1, mid + away): None for away in range(5)}
        held = {at: book.get(at) if random.random() < 0.7 else None for at in held}
        held[1, mid - 5] = 100 + step % 7  # there is always something to say
        held = {at: quantity or int(random.integers(1, 50)) for at, quantity in held.items()}
        if step == 0:
            rows["snapshot"] = [(local, number, *at, quantity) for at, quantity in held.items()]
        else:
            gone = [(*at, 0) for at in book if at not in held]
            new = [(*at, quantity) for at, quantity in held.items() if book.get(at) != quantity]
            rows["depth"] += [(local, ms, ms, number - 9, number, number - 10, *row) for row in gone + new]
            side = int(random.choice([-1, 1]))
            rows["trades"].append((local, ms, ms, step, mid - (side < 0), 1, side, 0))
            rows["bbo"].append((local, ms, ms, number, mid - 1, held[1, mid - 1], mid, held[-1, mid]))
        book = held
    names = {
        "snapshot": ("local_ns", "last_update_id", "side", "price", "qty"),
        "depth": ("local_ns", "exch_ms", "txn_ms", "first_id", "final_id", "prev_id", "side", "price", "qty"),
        "trades": ("local_ns", "exch_ms", "txn_ms", "trade_id", "price", "qty", "aggressor", "kind"),
        "bbo": ("local_ns", "exch_ms", "txn_ms", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty"),
    }
    return {kind: pl.DataFrame(rows[kind], list(names[kind]), orient="row") for kind in names}


def written(form: str, folder: Path, tables: dict[str, pl.DataFrame]) -> Path:
    """Write a made-up market, and return what to read."""
    if form == "tables":
        return write(folder, tables)
    if form == "stream":
        return write_stream(folder, stream_lines(tables))
    if form == "tardis":
        return write_tardis_market(folder, tables)
    if form == "declared":
        return write_declared_market(folder, tables)
    (folder / "first").mkdir()
    first = write(folder / "first", tables)
    if form == "npz":
        write_npz(read_recording(first), folder / "made.npz")
        return folder / "made.npz"
    write_ticks(open_recording(first), folder / "made.ticks.parquet")
    return folder / "made.ticks.parquet"


def depth_rows(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Snapshot and depth of a market as one table of a feed: local_us, exch_us, shown, side, price, qty."""
    shown = tables["snapshot"].select(
        (pl.col("local_ns") // 1000).alias("local_us"),
        ((pl.col("local_ns") // MS - LATENCY_MS) * 1000).alias("exch_us"),
        pl.lit("true").alias("shown"), "side", "price", "qty",
    )  # fmt: skip
    changes = tables["depth"].select(
        (pl.col("local_ns") // 1000).alias("local_us"), (pl.col("exch_ms") * 1000).alias("exch_us"),
        pl.lit("false").alias("shown"), "side", "price", "qty",
    )  # fmt: skip
    return pl.concat([shown, changes])


def write_tardis_market(
    folder: Path, tables: dict[str, pl.DataFrame], depth: pl.DataFrame | None = None
) -> Path:
    """Write Tardis files of a market, its depth another one where it is given (as `depth_rows`)."""
    depth = depth_rows(tables) if depth is None else depth
    said = [pl.lit("x").alias("exchange"), pl.lit("BTCUSDT").alias("symbol")]
    times = [
        (pl.col("exch_ms") * 1000).alias("timestamp"), (pl.col("local_ns") // 1000).alias("local_timestamp")
    ]  # fmt: skip
    price, amount = (lambda name: pl.col(name) / 10), (lambda name: pl.col(name) / 1000)
    parts = {
        "incremental_book_L2": depth.select(
            *said, pl.col("exch_us").alias("timestamp"), pl.col("local_us").alias("local_timestamp"),
            pl.col("shown").alias("is_snapshot"),
            pl.when(pl.col("side") == 1).then(pl.lit("bid")).otherwise(pl.lit("ask")).alias("side"),
            price("price").alias("price"), amount("qty").alias("amount"),
        ),
        "trades": tables["trades"].select(
            *said, *times, pl.col("trade_id").alias("id"),
            pl.when(pl.col("aggressor") == 1).then(pl.lit("buy")).otherwise(pl.lit("sell")).alias("side"),
            price("price").alias("price"), amount("qty").alias("amount"),
        ),
    }  # fmt: skip
    if "bbo" in tables:
        parts["quotes"] = tables["bbo"].select(
            *said, *times, amount("ask_qty").alias("ask_amount"), price("ask_px").alias("ask_price"),
            price("bid_px").alias("bid_price"), amount("bid_qty").alias("bid_amount"),
        )  # fmt: skip
    for part, table in parts.items():
        table.write_csv(folder / f"x_{part}_2023-11-14_BTCUSDT.csv")
    return folder / "x_2023-11-14_BTCUSDT"


DECLARED = """
[recording]
venue = "here"
symbol = "MADE"
currency = "USD"
tick_size = 1.0
lot_size = 1.0

[depth]
files = "depth.parquet"
local_time = { column = "local_us", unit = "us" }
exchange_time = { column = "exch_us", unit = "us" }
snapshot = "shown"
side = { column = "side", buy = "1", sell = "-1" }
price = "price"
quantity = "qty"

[trades]
files = "trades.parquet"
local_time = "local_ns"
exchange_time = { column = "exch_ms", unit = "ms" }
side = { column = "aggressor", buy = "1", sell = "-1" }
price = "price"
quantity = "qty"
"""
QUOTES = """
[quotes]
files = "bbo.parquet"
local_time = "local_ns"
exchange_time = { column = "exch_ms", unit = "ms" }
bid_price = "bid_px"
bid_quantity = "bid_qty"
ask_price = "ask_px"
ask_quantity = "ask_qty"
"""


def write_declared_market(
    folder: Path, tables: dict[str, pl.DataFrame], toml: str = DECLARED + QUOTES
) -> Path:
    depth_rows(tables).write_parquet(folder / "depth.parquet")
    for kind in ("trades", "bbo"):
        tables[kind].write_parquet(folder / f"{kind}.parquet")
    (folder / "made.toml").write_text(toml)
    return folder / "made.toml"
