"""What Binance's messages say, many lines at once: sorted by kind, every field held to its type.

    1723161255123456789 {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":...,"b":[...],"a":[...]}}
    1723161255223456789 {"lastUpdateId":5012345,"E":...,"T":...,"bids":[["61837.6","3.788"],...],"asks":[...]}

A line is the local time in ns, a blank, and the message: of a combined stream, of a single one (without
`stream` and `data`), or the answer to a request for the order book (REST).

Source: Binance API documentation, "Diff. Book Depth Streams", "Trade Streams", "Individual Symbol Book
Ticker Streams", "Order Book", of spot, USDⓈ-M and COIN-M; lines as hftbacktest's `collector` writes them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from flowhft.recordings.binance.tables import INSURANCE, LIQUIDATED, MARKET_ORDER, OTHER
from flowhft.recordings.files import ROW

EVENTS = {"depthUpdate": "depth", "trade": "trades", "aggTrade": "aggregated", "bookTicker": "bbo"}
EVENT = r'"e"\s*:\s*"(\w+)"'
# Messages that have no name: an order book that was asked for, best prices of the spot market.
ANSWER, BEST_PRICE = '"lastUpdateId"', r'"B"\s*:'
# What Binance never sends and the decoder would take: times that are null, numbers of messages with a
# fraction, prices and quantities out of quotation marks (it would round them).
_NO_TIME = r'"(?:E|T|ps|pu)"\s*:\s*null|"(?:E|T|U|u|pu|t|lastUpdateId)"\s*:\s*-?\d+[.eE]'
_BARE_LEVEL = r'\[\s*-?\d|"\s*,\s*-?\d[^"\]]*\]'
NEVER = {
    "snapshot": f"{_NO_TIME}|{_BARE_LEVEL}",
    "depth": f"{_NO_TIME}|{_BARE_LEVEL}",
    "trades": rf'{_NO_TIME}|"[pq]"\s*:\s*-?\d',
    "aggregated": rf'{_NO_TIME}|"[pq]"\s*:\s*-?\d',
    "bbo": rf'{_NO_TIME}|"[bBaA]"\s*:\s*-?\d',
}
THIRD = r",\s*\[\s*\]\s*\]"  # a level's third entry, always empty, in streams of old
PARTIAL = r'"stream"\s*:\s*"[^"]*@depth\d'  # the best 5, 10 or 20 levels: no changes
TRADE_KINDS = {"MARKET": MARKET_ORDER, "INSURANCE_FUND": INSURANCE, "ADL": LIQUIDATED}
# Numbers are read as text, and made numbers strictly after: prices are exact decimals in quotation marks.
_LEVELS = pl.List(pl.List(pl.String))
_SAID = ("s", "E", "T")
FIELDS: dict[str, dict[str, pl.DataType | type[pl.DataType]]] = {
    "snapshot": {**dict.fromkeys(("E", "T", "lastUpdateId"), pl.String), "bids": _LEVELS, "asks": _LEVELS},
    "depth": {**dict.fromkeys((*_SAID, "U", "u", "pu", "ps"), pl.String), "b": _LEVELS, "a": _LEVELS},
    "trades": dict.fromkeys((*_SAID, "t", "p", "q", "m", "X"), pl.String),
    "aggregated": dict.fromkeys((*_SAID, "a", "p", "q", "m"), pl.String),
    "bbo": dict.fromkeys((*_SAID, "u", "b", "B", "a", "A"), pl.String),
    "other": {"e": pl.String},
}


class Messages(NamedTuple):
    """What some lines say.

    Attributes:
        tables: trades, aggregated trades and best prices, a row each; the snapshot, a row per level.
        depth: a row per depth message: `ROW`, local_ns, exch_ms, txn_ms, first_id, final_id, prev_id.
        levels: of these, bids before asks: `of` (the row of `depth`), side, price, qty.
        symbol: what all of them are about; None where nothing says so.
        market: spot, usdm or coinm, by the form of the depth messages; None where there are none.
        others: messages of other kinds -> how many.
    """

    tables: dict[str, pl.DataFrame]
    depth: pl.DataFrame
    levels: pl.DataFrame
    symbol: str | None
    market: str | None
    others: dict[str, int]


def read_messages(lines: pl.DataFrame, symbol: str | None, market: str | None) -> Messages:
    """Read lines.

    Args:
        lines: columns `ROW` and line; no blank ones.
        symbol: what the lines before were about, if any.
        market: which market they were of.

    Raises:
        ValueError: a line is not what it must be; says what, but not which line.
        polars.exceptions.PolarsError: likewise.
    """
    rows = lines.select(ROW, pl.col("line").str.strip_chars().str.splitn(" ", 2).alias("told")).unnest("told")
    rows = rows.select(
        ROW, pl.col("field_0").cast(pl.Int64, strict=True).alias("local_ns"), pl.col("field_1").alias("text")
    )
    text = rows["text"].str.strip_chars()
    if text.has_nulls() or not _in_braces(text).all():
        raise ValueError("no message in braces")
    rows = rows.with_columns(text.alias("text"), *kind_of(text))
    decoded: dict[str, pl.DataFrame] = {}
    for (kind,), part in rows.partition_by("kind", as_dict=True, maintain_order=True).items():
        decoded[str(kind)] = pl.concat(
            [part.select(ROW, "local_ns", "other"), _decoded(part["text"], str(kind))], how="horizontal"
        )
    others = decoded.pop("other", None)
    named = [part.select(ROW, "s") for kind, part in decoded.items() if kind != "snapshot"]
    if named:
        names = pl.concat(named).sort(ROW)["s"]
        symbol = names[0] if symbol is None else symbol
        if symbol is None or not (names == symbol).fill_null(False).all():
            raise ValueError(f"`s` must be {symbol or 'there'}, as in the lines before")
    depth = decoded.pop(
        "depth", pl.DataFrame(schema={ROW: pl.Int64, "local_ns": pl.Int64, **FIELDS["depth"]})
    )
    market = _market(depth, market)
    return Messages(
        tables={kind: _TABLES[kind](part) for kind, part in decoded.items()},
        depth=_times(depth).with_columns(
            _whole(depth, "U").alias("first_id"),
            _whole(depth, "u").alias("final_id"),
            _whole(depth, "pu", 0).alias("prev_id"),
        ),
        levels=levels_of(depth, ("b", "a")),
        symbol=symbol,
        market=market,
        others={}
        if others is None
        else dict(others.group_by("other", maintain_order=True).len().iter_rows()),
    )


def _in_braces(text: pl.Series) -> pl.Series:
    """Return which texts can each be an object of their own: the decoder reads lines as one list."""
    result = text.str.starts_with("{") & text.str.ends_with("}")
    for opens, closes in ("{}", "[]"):
        result &= text.str.count_matches(opens, literal=True) == text.str.count_matches(closes, literal=True)
    return result


def kind_of(text: pl.Series) -> list[pl.Series]:
    """Return of which kind messages are, a key of `FIELDS`, and what those of another kind are called."""
    event = text.str.extract(EVENT)
    # The answer itself, not one within a message of another kind (of Binance's other interfaces).
    wrapped = text.str.contains_any(['"stream"', '"result"'])
    answer = text.str.contains(ANSWER, literal=True)
    best = text.str.contains(BEST_PRICE) & text.str.contains('"u"', literal=True)
    partial = text.str.contains(PARTIAL)
    frame = pl.DataFrame({"e": event, "x": answer, "best": best, "wrapped": wrapped, "partial": partial})
    kind = (
        pl.when(pl.col("partial"))
        .then(pl.lit("other"))
        .when(pl.col("e").is_not_null())
        .then(pl.col("e").replace_strict(EVENTS, default="other"))
        .when(pl.col("x") & ~pl.col("wrapped"))
        .then(pl.lit("snapshot"))
        .when(pl.col("best"))
        .then(pl.lit("bbo"))
        .otherwise(pl.lit("other"))
    )
    name = pl.when(pl.col("partial")).then(pl.lit("partial depth")).otherwise(pl.col("e"))
    result = frame.select(kind.alias("kind"), name.fill_null("answer to a request").alias("other"))
    return result.get_columns()


def _decoded(text: pl.Series, kind: str) -> pl.DataFrame:
    """Return the fields of messages, wherever they stand; null where a message has none of the name."""
    fields = FIELDS[kind]
    if kind in NEVER:
        odd = text.filter(text.str.contains(NEVER[kind]))
        if len(odd):
            what = odd.str.extract(f"({NEVER[kind]})")[0]
            raise ValueError(f"numbers must be whole, prices and quantities quoted; received {what}")
    if _LEVELS in fields.values():
        text = text.str.replace_all(THIRD, "]")
    result = text.str.json_decode(pl.Struct({**fields, "data": pl.Struct(fields)}))
    if len(result) != len(text):  # see `_in_braces`
        raise ValueError("one message a line")
    flat = result.struct.unnest()
    wrapped = flat["data"].is_not_null()
    if not wrapped.any():
        return flat.drop("data")
    data = flat["data"].struct.unnest()
    if wrapped.all():
        return data
    return data.select(
        pl.when(wrapped).then(pl.col(name)).otherwise(flat[name]).alias(name) for name in fields
    )


def _market(depth: pl.DataFrame, market: str | None) -> str | None:
    """Return the one market that depth messages are of."""
    form = depth.select(
        pl.when(pl.col("ps").is_not_null())
        .then(pl.lit("coinm"))
        .when(pl.col("pu").is_not_null())
        .then(pl.lit("usdm"))
        .otherwise(pl.lit("spot"))
    ).to_series()
    for result in form.unique(maintain_order=True):
        market = market or result
        if result != market:
            raise ValueError(f"a message of the market {result}, after some of {market}")
    return market


def _whole(messages: pl.DataFrame, name: str, absent: int | None = None) -> pl.Series:
    """Return whole numbers; raises where one is anything else."""
    values = messages[name] if absent is None else messages[name].fill_null(str(absent))
    if values.has_nulls():
        raise ValueError(f"`{name}` must be a whole number, and is missing")
    return values.cast(pl.Int64, strict=True)


def _decimals(texts: pl.Series) -> pl.Series:
    """Return decimal numbers in words, as Binance sends them; raises where one is anything else."""
    odd = texts.filter(~texts.cast(pl.Float64, strict=False).is_finite().fill_null(False))
    if len(odd):
        raise ValueError(f"prices and quantities must be decimal numbers; received {odd[0]}")
    return texts


def _times(messages: pl.DataFrame) -> pl.DataFrame:
    return messages.select(
        ROW,
        "local_ns",
        _whole(messages, "E", 0).alias("exch_ms"),
        _whole(messages, "T", 0).alias("txn_ms"),
    )


def levels_of(messages: pl.DataFrame, sides: Sequence[str]) -> pl.DataFrame:
    """Return the levels of messages, one a row: bids before asks of each, with the row of their message.

    Args:
        messages: two columns of lists of [price, quantity].
        sides: their names, bids first.
    """
    both = messages.select(sides)
    if any(both[side].has_nulls() for side in sides):
        raise ValueError(f"`{'` and `'.join(sides)}` must be lists of [price, quantity]")
    counts = np.stack([both[side].list.len().to_numpy() for side in sides], axis=1).astype(np.int64)
    numbers = np.arange(len(both))
    some = counts.sum(axis=1) > 0
    level = both.filter(some).select(pl.concat_list(sides).alias("level").explode()).to_series()
    return pl.DataFrame(
        {
            "of": np.repeat(numbers, counts.sum(axis=1)),
            "side": np.repeat(np.tile([1, -1], len(both)), counts.reshape(-1)),
            "price": _decimals(level.list.get(0, null_on_oob=True)),
            "qty": _decimals(level.list.get(1, null_on_oob=True)),
        }
    )


def with_levels(messages: pl.DataFrame, levels: pl.DataFrame) -> pl.DataFrame:
    """Return levels, each with what its message says of itself."""
    return pl.concat([messages[levels["of"]], levels.drop("of")], how="horizontal")


def _snapshot(messages: pl.DataFrame) -> pl.DataFrame:
    number = _whole(messages, "lastUpdateId").alias("last_update_id")
    levels = levels_of(messages, ("bids", "asks"))
    if levels["of"].n_unique() < messages.height:
        raise ValueError("an order book must have levels")
    return with_levels(messages.select(ROW, "local_ns", number), levels)


def _trades(messages: pl.DataFrame, number: str = "t") -> pl.DataFrame:
    maker = messages["m"]
    if not maker.is_in(["true", "false"]).all() or maker.has_nulls():
        raise ValueError("`m` must be true or false")
    kind = messages["X"] if "X" in messages.columns else pl.repeat("MARKET", messages.height, eager=True)
    return _times(messages).with_columns(
        _whole(messages, number).alias("trade_id"),
        _decimals(messages["p"]).alias("price"),
        _decimals(messages["q"]).alias("qty"),
        # The buyer is the maker: a seller met it.
        aggressor=1 - 2 * (maker == "true").cast(pl.Int64),
        kind=kind.fill_null("MARKET").replace_strict(TRADE_KINDS, default=OTHER, return_dtype=pl.Int64),
    )


def _aggregated(messages: pl.DataFrame) -> pl.DataFrame:
    return _trades(messages, "a")


def _bbo(messages: pl.DataFrame) -> pl.DataFrame:
    prices = (("bid_px", "b"), ("bid_qty", "B"), ("ask_px", "a"), ("ask_qty", "A"))
    return _times(messages).with_columns(
        _whole(messages, "u").alias("update_id"),
        *(_decimals(messages[key]).alias(name) for name, key in prices),
    )


_TABLES = {"snapshot": _snapshot, "trades": _trades, "aggregated": _aggregated, "bbo": _bbo}
