"""Small recordings that tests write: a Binance session and a LOBSTER tape, worked out by hand."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from flowhft.errors import FlowhftError
from flowhft.recordings import market_orders, read_recording
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE, Recording

SCALES = {"price_scale": "10", "qty_scale": "1000"}
EPOCH_MS = 1_700_000_000_000
NAME = "usdm_btcusdt_20231114"


def kinds(recording: Recording) -> dict[int, int]:
    return {kind: int(np.sum(recording.events["kind"] == kind)) for kind in (SNAPSHOT, DEPTH, TRADE, TOP)}


def messages(recording: Recording) -> str:
    return "\n".join(f"{finding.severity}: {finding.message}" for finding in recording.findings)


def session() -> dict[str, pl.DataFrame]:
    """Five depth messages, one before the book; six trades; five best prices; 3 ms of latency."""

    def ns(ms):
        return (EPOCH_MS + ms + 3) * 1_000_000

    depth = [  # ms, first, final, previous, side, price, qty
        (0, 90, 95, 89, 1, 990, 1),
        (100, 96, 105, 95, 1, 998, 7), (100, 96, 105, 95, -1, 1003, 4),
        (200, 106, 110, 105, 1, 999, 2), (200, 106, 110, 105, -1, 1001, 0),
        (300, 111, 120, 110, 1, 999, 0),
        (400, 121, 130, 120, -1, 1001, 6),
    ]  # fmt: skip
    trades = [  # ms, id, price, qty, aggressor, kind
        (120, 1, 1001, 2, 1, 0), (120, 2, 1002, 1, 1, 0), (250, 3, 999, 1, -1, 0),
        (250, 4, 998, 3, -1, 0), (350, 5, 1002, 1, 1, 0), (390, 6, 998, 1, -1, 0),
    ]  # fmt: skip
    bbo = [  # ms, update, bid, qty, ask, qty
        (60, 101, 999, 5, 1001, 4), (120, 107, 999, 5, 1002, 8), (199, 110, 999, 2, 1002, 8),
        (260, 115, 998, 7, 1002, 8), (399, 130, 998, 7, 1001, 6),
    ]  # fmt: skip
    return {
        "snapshot": pl.DataFrame(
            [
                (ns(50), 100, side, 1000 - side * away, quantity)
                for side in (1, -1)
                for away, quantity in ((1, 5), (2, 7), (3, 9))
            ],
            ["local_ns", "last_update_id", "side", "price", "qty"], orient="row",
        ).with_columns(qty=pl.Series([5, 7, 9, 4, 8, 4])),
        "depth": pl.DataFrame(
            [(ns(t), EPOCH_MS + t, EPOCH_MS + t, *rest) for t, *rest in depth],
            ["local_ns", "exch_ms", "txn_ms", "first_id", "final_id", "prev_id", "side", "price", "qty"],
            orient="row",
        ),
        "trades": pl.DataFrame(
            [(ns(t), EPOCH_MS + t, EPOCH_MS + t, *rest) for t, *rest in trades],
            ["local_ns", "exch_ms", "txn_ms", "trade_id", "price", "qty", "aggressor", "kind"], orient="row",
        ),
        "bbo": pl.DataFrame(
            [(ns(t), EPOCH_MS + t, EPOCH_MS + t, *rest) for t, *rest in bbo],
            ["local_ns", "exch_ms", "txn_ms", "update_id", "bid_px", "bid_qty", "ask_px", "ask_qty"],
            orient="row",
        ),
    }  # fmt: skip


def write(folder: Path, tables: dict[str, pl.DataFrame], name: str = NAME, metadata=SCALES) -> Path:
    for kind, table in tables.items():
        table.write_parquet(folder / f"{name}_{kind}.parquet", metadata=metadata.get(kind, metadata))
    return folder / name


def put(table: pl.DataFrame, row: int, **values) -> pl.DataFrame:
    """Set values of one row."""
    here = pl.int_range(pl.len()) == row
    return table.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


# Time, type, order, size, price, direction | the book after it: ask price, size, bid price, size, twice.
TAPE = """\
34200.004241176,1,1,10,5850000,1|5853000,20,5850000,10,5854000,5,5849000,7
34200.004241176,4,2,20,5853000,-1|5854000,5,5850000,10,5855000,9,5849000,7
34200.1,5,0,3,5851050,-1|5854000,5,5850000,10,5855000,9,5849000,7
34201.999999999,1,3,4,5851000,1|5854000,5,5851000,4,5855000,9,5850000,10
34202,3,3,4,5851000,1|5854000,5,5850000,10,5855000,9,-9999999999,0
34203.5,7,0,0,-1,-1|5854000,5,5850000,10,5855000,9,-9999999999,0
34204.25,5,0,2,5850050,1|5854000,5,5850000,10,9999999999,0,-9999999999,0
"""


def write_csv(folder: Path, tape: str = TAPE) -> Path:
    lines = [line.split("|") for line in tape.splitlines()]
    stem = "GOOG_2012-06-21_34200000_37800000"
    (folder / f"{stem}_message_2.csv").write_text("".join(f"{left}\n" for left, _ in lines))
    (folder / f"{stem}_orderbook_2.csv").write_text("".join(f"{right}\n" for _, right in lines))
    return folder / stem


def write_lobster(folder: Path, tape: str = TAPE) -> Path:
    """Write the same tape as the two Parquet files, its times worked out with exact decimals."""
    lines = [line.split("|") for line in tape.splitlines()]
    rows = [
        (int(Decimal(time) * 10**9), *map(int, rest))
        for time, *rest in (left.split(",") for left, _ in lines)
    ]
    names = [f"{side}_{what}_{level}" for level in (1, 2) for side in ("ask", "bid") for what in ("px", "sz")]
    book = [[-1 if abs(int(x)) == 9_999_999_999 else int(x) for x in right.split(",")] for _, right in lines]
    columns = ["time_ns", "type", "order_id", "size", "price", "side"]
    pl.DataFrame(rows, columns, orient="row").write_parquet(folder / "GOOG_messages.parquet")
    pl.DataFrame(book, names, orient="row").write_parquet(folder / "GOOG_book2.parquet")
    return folder / "GOOG"


def swap(row: int, old: str, new: str) -> str:
    lines = TAPE.splitlines(keepends=True)
    assert old in lines[row]
    lines[row] = lines[row].replace(old, new, 1)
    return "".join(lines)


def decimal(value: int, scale: int) -> str:
    digits = len(str(scale)) - 1
    return f"{value // scale}.{value % scale:0{digits}d}0" if digits else str(value)


def stream_lines(tables: dict[str, pl.DataFrame], market: str = "usdm", scales=(10, 1000)) -> list[str]:
    """A session as it comes over Binance's web sockets, in the order of arrival: what `session` holds."""
    price, quantity = scales

    def levels(table: pl.DataFrame, side: int) -> list[list[str]]:
        rows = table.filter(pl.col("side") == side).select("price", "qty").rows()
        return [[decimal(p, price), decimal(q, quantity)] for p, q in rows]

    def of(name: str, event: str | None, row: dict, **rest) -> str:
        data = {"s": "BTCUSDT"} | ({"e": event, "E": row["exch_ms"]} if event else {}) | rest
        if market != "spot" or event == "trade":
            data["T"] = row["txn_ms"]
        return f"{row['local_ns']} {json.dumps({'stream': f'btcusdt@{name}', 'data': data})}"

    book = tables["snapshot"]
    answer = {"lastUpdateId": book["last_update_id"][0], "bids": levels(book, 1), "asks": levels(book, -1)}
    lines = [(book["local_ns"][0], 0, f"{book['local_ns'][0]} {json.dumps(answer)}")]
    for _, part in tables["depth"].group_by("final_id", maintain_order=True):
        row = part.row(0, named=True)
        chain = {"U": row["first_id"], "u": row["final_id"]}
        chain |= {} if market == "spot" else {"pu": row["prev_id"]}
        chain |= {"ps": "BTCUSDT"} if market == "coinm" else {}
        sides = {"b": levels(part, 1), "a": levels(part, -1)}
        lines.append((row["local_ns"], 3, of("depth@0ms", "depthUpdate", row, **chain, **sides)))
    for row in tables["trades"].rows(named=True):
        text = {"p": decimal(row["price"], price), "q": decimal(row["qty"], quantity)}
        kind = {} if market == "spot" else {"X": {0: "MARKET", 1: "INSURANCE_FUND"}.get(row["kind"], "NA")}
        made = of("trade", "trade", row, t=row["trade_id"], m=row["aggressor"] < 0, **text, **kind)
        lines.append((row["local_ns"], 1, made))
    for row in tables["bbo"].rows(named=True):
        best = {"b": decimal(row["bid_px"], price), "B": decimal(row["bid_qty"], quantity)}
        best |= {"a": decimal(row["ask_px"], price), "A": decimal(row["ask_qty"], quantity)}
        event = None if market == "spot" else "bookTicker"
        lines.append((row["local_ns"], 2, of("bookTicker", event, row, u=row["update_id"], **best)))
    return [line for *_, line in sorted(lines, key=lambda one: one[:2])]


def write_stream(folder: Path, lines: list[str] | None = None, name: str = "btcusdt_20231114.gz") -> Path:
    content = "".join(f"{line}\n" for line in (stream_lines(session()) if lines is None else lines)).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def write_bitstamp(folder: Path) -> Path:
    """A bid rests from before, is met by a sell; a buy crosses, eats an ask and rests with what remains."""
    rows = [  # ms, order, price, volume, action, side
        (100, 10, 1000, 50, 1, 1), (200, 11, 1010, 30, 1, -1), (250, 12, 1010, 20, 1, -1),
        (400, 20, 1000, 15, 1, -1), (410, 10, 1000, 35, 2, 1), (411, 20, 1000, 0, 3, -1),
        (500, 21, 1012, 60, 1, 1), (510, 11, 1010, 0, 3, -1), (511, 21, 1012, 30, 2, 1),
        (520, 12, 1010, 0, 3, -1), (521, 21, 1012, 10, 2, 1),
        (650, 5, 990, 7, 3, 1),
    ]  # fmt: skip
    start = EPOCH_MS
    pl.DataFrame(
        [(start + ms, start // 1000 * 1000, *rest) for ms, *rest in rows],
        ["local_ms", "exch_ms", "order_id", "price", "volume", "action", "side"], orient="row",
    ).write_parquet(folder / "events.parquet")  # fmt: skip
    pl.DataFrame(
        [(start + 415, 1, 1000, 15), (start + 515, 2, 1010, 30), (start + 525, 3, 1010, 20)],
        ["local_ms", "trade_id", "price", "volume"], orient="row",
    ).write_parquet(folder / "trades.parquet")  # fmt: skip
    names = ["local_ms", "bid_px_1", "bid_sz_1", "ask_px_1", "ask_sz_1"]
    shots = [(300, 1000, 54, 1010, 50), (450, 1000, 39, 1010, 50), (700, 1012, 10, -1, 0)]
    pl.DataFrame([(start + ms, *rest) for ms, *rest in shots], names, orient="row").write_parquet(
        folder / "snapshots1.parquet"
    )
    return folder


PARQUET = ("binance", "bitstamp", "ticks")  # formats of Parquet files that a fuzzer spoils


def parquet_recordings(folder: Path) -> dict[str, Path]:
    """Write a good recording of each of `PARQUET`, and return what to read."""
    for name in PARQUET:
        (folder / name).mkdir()
    ticks = folder / "ticks" / "goog.ticks.parquet"
    write_ticks(open_recording(write_csv(folder / "ticks")), ticks)
    return {
        "binance": write(folder / "binance", session()),
        "bitstamp": write_bitstamp(folder / "bitstamp"),
        "ticks": ticks,
    }


def parquet_files(recording: Path) -> list[Path]:
    return sorted((recording if recording.is_dir() else recording.parent).glob("*.parquet"))


def usable_or_refused(path: Path, repair: bool) -> bool:
    """Return whether, whatever the bytes, there is an error of ours or a recording that can be used."""
    try:
        recording = read_recording(path, repair=repair)
        market_orders(recording)
    except FlowhftError:
        return True
    events = recording.events
    forward = np.all(np.diff(events["local_time_ns"]) >= 0)
    sided = np.all(np.isin(events["side"], (-1, 1)))
    return bool(forward and sided and events["quantity"].min() >= 0)
