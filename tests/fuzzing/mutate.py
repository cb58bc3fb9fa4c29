"""Change an input at random, in the terms of its form: bytes, text, JSON, Parquet, stored arrays."""

import copy
import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

ODD_NUMBERS = (
    "0", "-1", "1", "2", "0.5", "-0.0", "1e999", "-1e999", "nan", "inf", "-inf", "NaN", "Infinity", "1e300",
    "1e-300", "1e-12", "1e12", "1e15", "1e16", "25", "0.30000000000000004", "9007199254740993", "2147483648",
    "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "9" * 30, "1" + "0" * 400, "9" * 4999, "0x" + "f" * 40,
    "1_000", "+5", "007", "1,5", "1e", ".5", "5.",
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "null", "true", "false", "None", "\x00", "\x1b[2J", "\u202e", "\ufeff", "a" * 200, "../../up",
    "..",
    "/", "\\", "\n", "\r\n", "\t", '"', "'", '"""', "'''", "#", "=", ",", ":", "[", "]", "{", "}", "[[", "[]",
    "{}", "[" * 70, "]" * 70, '{"a":' * 70, "a." * 70, "buy", "sell", "BTCUSDT", "lognormal", "additive",
    "2024-07-18T00:00:00Z", "1970-01-01", "99999-01-01", "é", "\U0001f600", "nan", "%s", "{0}", "\\u0000",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 1e300, 1e-300, 1.5, -0.0, 1e15,
    "", "nan", "inf", "1", "x", "../up", "\x1b[2J", "a" * 200, [], {}, [1, 2], [[]], {"a": 1}, [None],
    ["nan"],
)  # fmt: skip
TOKEN = re.compile(r"[-+]?\d[\d.eE_+-]*|[A-Za-z_]\w*|\"[^\"\n]*\"|\S")
Random = np.random.Generator
LONGEST = 1 << 16  # bytes of an input: larger ones are slow and find nothing else


def _pick(random: Random, things: Any) -> Any:
    return things[int(random.integers(len(things)))]


def text(random: Random, value: str, others: list[str]) -> str:
    """Change a text: tokens, lines, characters; now and then a piece of another one."""
    for _ in range(1 + int(random.geometric(0.6))):
        kind, size = int(random.integers(9)), len(value)
        tokens = list(TOKEN.finditer(value, int(random.integers(size + 1)) if size else 0))[:8]
        if kind <= 3 and tokens:
            token = _pick(random, tokens)
            odd = _pick(
                random, ODD_NUMBERS if token[0][-1:].isdigit() and random.random() < 0.8 else ODD_TEXTS
            )
            value = value[: token.start()] + odd + value[token.end() :]
        elif kind == 4:
            lines = value.splitlines(keepends=True) or [""]
            row, other = int(random.integers(len(lines))), int(random.integers(len(lines)))
            if random.random() < 0.5:
                lines[row], lines[other] = lines[other], lines[row]
            else:
                lines[row : row + 1] = [lines[row]] * int(random.integers(0, 4))
            value = "".join(lines)
        elif kind == 5:
            at = int(random.integers(size + 1))
            value = value[:at] + _pick(random, ODD_TEXTS + ODD_NUMBERS) + value[at:]
        elif kind == 6:
            at, end = sorted(int(random.integers(size + 1)) for _ in range(2))
            value = value[:at] + value[min(end, at + int(random.integers(1, 40))) :]
        elif kind == 7 and others:
            other = _pick(random, others)
            at, there = int(random.integers(size + 1)), int(random.integers(len(other) + 1))
            value = value[:at] + other[there:]
        elif size:
            at = int(random.integers(size))
            value = value[:at] + chr(int(random.integers(1, 0x250))) + value[at + 1 :]
    return value[:LONGEST]


def raw(random: Random, value: bytes) -> bytes:
    """Change bytes: flip, cut, double, overwrite with a number at the edge of its type."""
    content = bytearray(value[:LONGEST])
    for _ in range(1 + int(random.geometric(0.5))):
        size = len(content)
        at = int(random.integers(size + 1))
        kind = int(random.integers(5))
        if kind == 0 and at < size:
            content[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del content[at : at + int(random.geometric(0.1))]
        elif kind == 2:
            content[at:at] = content[at : at + int(random.geometric(0.05))]
        elif kind == 3:
            number = _pick(
                random, (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
            )
            form = _pick(random, [form for form in "BHIQ" if number < 256 ** struct.calcsize(form)] or ["Q"])
            content[at : at + struct.calcsize(form)] = struct.pack(f"<{form}", number)
        elif random.random() < 0.3:
            del content[at:]
    return bytes(content)


def value_of(random: Random, value: Any) -> Any:
    """Change one place of what JSON can hold."""
    value = copy.deepcopy(value)
    if not isinstance(value, dict | list) or not value or random.random() < 0.05:
        return _pick(random, ODD_VALUES)
    inner = value
    while True:
        key = _pick(random, list(inner) if isinstance(inner, dict) else range(len(inner)))
        if isinstance(inner[key], dict | list) and inner[key] and random.random() < 0.8:
            inner = inner[key]
            continue
        chance = random.random()
        if chance < 0.7:
            inner[key] = _pick(random, ODD_VALUES)
        elif chance < 0.85:
            del inner[key]
        elif isinstance(inner, dict):
            inner[str(_pick(random, ODD_TEXTS))] = inner[key]
        else:
            inner.insert(0, inner[key])
        return value


def json_text(random: Random, value: bytes, others: list[bytes]) -> bytes:
    """Change JSON: mostly what it holds, sometimes how it is written."""
    try:
        if random.random() < 0.6:
            return json.dumps(value_of(random, json.loads(value))).encode("utf-8", "surrogatepass")[:LONGEST]
    except (ValueError, RecursionError):
        pass
    return plain_text(random, value, others)


def plain_text(random: Random, value: bytes, others: list[bytes]) -> bytes:
    """Change a text file."""
    if random.random() < 0.1:
        return raw(random, value)
    decoded = [other.decode("utf-8", "replace") for other in others[:4]]
    return text(random, value.decode("utf-8", "replace"), decoded).encode("utf-8", "surrogatepass")


def zipped(random: Random, value: bytes, others: list[bytes]) -> bytes:
    """Change what a gzip file holds, or the file."""
    try:
        if random.random() < 0.8:
            inside = [gzip.decompress(other) for other in others[:2]]
            return gzip.compress(plain_text(random, gzip.decompress(value), inside), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        pass
    return raw(random, value)


def parquet(random: Random, value: bytes, gentle: bool) -> bytes:
    """Change a Parquet file: cells, columns, rows, types, metadata; if not gentle, its bytes too."""
    if not gentle and random.random() < 0.02:
        return raw(random, value)
    try:
        source = io.BytesIO(value)
        table, metadata = pl.read_parquet(source), pl.read_parquet_metadata(io.BytesIO(value))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
        return value if gentle else raw(random, value)
    metadata = {name: item for name, item in metadata.items() if name != "ARROW:schema"}
    for _ in range(1 + int(random.geometric(0.7))):
        table = _table(random, table)
    if metadata and random.random() < 0.2:
        name = _pick(random, list(metadata))
        metadata[name] = json_text(random, metadata[name].encode(), []).decode("utf-8", "replace")
    out = io.BytesIO()
    try:
        table.write_parquet(out, metadata=metadata or None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):  # no such file there is
        return value
    return out.getvalue()


def _table(random: Random, table: pl.DataFrame) -> pl.DataFrame:
    if table.width == 0:
        return table
    name, kind = _pick(random, table.columns), int(random.integers(8))
    column, height = table[name], table.height
    if kind <= 2 and height:
        values: list[Any] = column.to_list()
        odd = _pick(random, (0, -1, 1, None, 2**31, 2**53, 2**62, -(2**62), 7, 10**18))
        values[int(random.integers(height))] = str(odd) if column.dtype == pl.String else odd
        return table.with_columns(pl.Series(name, values, strict=False))
    if kind == 3:
        to = _pick(random, (pl.Float64, pl.String, pl.Int8, pl.UInt64, pl.Float32, pl.Boolean, pl.Int64))
        try:
            return table.with_columns(column.cast(to, strict=False).alias(name))
        except pl.exceptions.PolarsError:  # there is no such cast
            return table
    if kind == 4:
        return table.drop(name) if random.random() < 0.5 else table.rename({name: f"{name}_"})
    if kind == 5 and height:
        rows = random.permutation(height) if random.random() < 0.5 else random.integers(0, height, height + 1)
        return table[rows.tolist()]
    if kind == 6:
        odd = _pick(random, (float("nan"), float("inf"), 0.5, "x", [1], None, True))
        return table.with_columns(pl.lit(odd, allow_object=False).alias(name))
    return table.head(int(random.integers(height + 1)))


def arrays(random: Random, value: bytes, gentle: bool) -> bytes:
    """Change an .npz file: numbers of its arrays, their types, its text; if not gentle, its bytes too."""
    if not gentle and random.random() < 0.3:
        return raw(random, value)
    try:
        with np.load(io.BytesIO(value), allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except Exception:
        return raw(random, value)
    for name, array in held.items():
        if array.dtype.names and array.size and random.random() < 0.8:
            field, row = _pick(random, array.dtype.names), int(random.integers(array.size))
            odd = _pick(random, (0, 1, 2**62, 2**40, float("nan"), 1e300, -1.0, 0.5))
            with np.errstate(all="ignore"):
                array[field][row] = np.array(odd, np.float64).astype(array.dtype[field])
        elif array.dtype.kind == "U" and random.random() < 0.5:
            held[name] = np.array(
                json_text(random, str(array).encode(), []).decode("utf-8", "replace").replace("\x00", "")
            )
        elif random.random() < 0.2:
            held[name] = _pick(random, (array[None], array.ravel()[:1], np.zeros(3), np.array("x")))
    out = io.BytesIO()
    np.savez(out, **held)
    return out.getvalue()


def tensors(random: Random, value: bytes, gentle: bool) -> bytes:
    """Change a safetensors file: our header, numbers, shapes; if not gentle, its bytes too."""
    if not gentle and random.random() < 0.2:
        return raw(random, value)
    try:
        (size,) = struct.unpack("<Q", value[:8])
        head, body = json.loads(value[8 : 8 + size]), bytearray(value[8 + size :])
        if random.random() < 0.75:
            own = head["__metadata__"]
            own["flowhft"] = json_text(random, own["flowhft"].encode(), []).decode("utf-8", "replace")
        elif random.random() < 0.7 and body:
            at = int(random.integers(len(body) // 4)) * 4
            odd = _pick(random, (float("nan"), float("inf"), 0.0, -1.0, 1e30))
            body[at : at + 4] = struct.pack("<f", odd)
        else:
            head = value_of(random, head)
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + bytes(body)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return raw(random, value)


def by_form(name: str) -> Callable[[Random, bytes, list[bytes], bool], bytes]:
    """Return what changes a file of this name."""
    if name.endswith(".parquet"):
        return lambda random, value, others, gentle: parquet(random, value, gentle)
    if name.endswith(".npz"):
        return lambda random, value, others, gentle: arrays(random, value, gentle)
    if name.endswith(".safetensors"):
        return lambda random, value, others, gentle: tensors(random, value, gentle)
    if name.endswith(".gz"):
        return lambda random, value, others, gentle: zipped(random, value, others)
    if name.endswith(".json"):
        return lambda random, value, others, gentle: json_text(random, value, others)
    return lambda random, value, others, gentle: plain_text(random, value, others)
