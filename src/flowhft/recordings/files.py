"""The files of a recording as tables of whole numbers, a chunk of rows at a time: read, or refused.

A day of ticks need not fit into memory: readers take the rows of a file chunk by chunk. Text is cut at line
ends (compressed or not), Parquet by row numbers; of a Parquet file at least one of its row groups is decoded.
"""

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import polars as pl

from flowhft.errors import RecordingError

CHUNK = 1_000_000  # rows of a file that are in memory at a time, unless a reader is told otherwise
LONGEST_LINE = 1 << 20  # bytes; a line above it is no row of a recording
COMPRESSED = 1 << 20  # bytes of a compressed file that are read at a time
GZIP = 31  # zlib's word for its largest window and a gzip header
BYTES_A_ROW = 64  # of text, roughly: what a chunk of rows is read by
# What decoders of Parquet, text, gzip, zip and NumPy throw at a damaged file.
DAMAGE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OSError,
    ValueError,
    ArithmeticError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,  # an encrypted archive, an unknown compression
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
ROW = "row"  # column that readers add: the row of the file as stored, from 0
SAME_SCALE = 3.0  # medians of two files further apart than this factor are in different units


@contextlib.contextmanager
def decoding(path: Path, form: str) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into a `RecordingError`.

    One damage is beyond it: at a page header that asks for more memory than there is, polars ends the
    process.

    Args:
        path: the file that is decoded.
        form: what it must be.

    Raises:
        RecordingError: it is missing, or damaged.
    """
    if not path.is_file():
        raise RecordingError("must exist; it does not. A session needs all of its files.", path)
    try:
        yield
    except DAMAGE as cause:
        # A damaged file can make the decoder itself panic, which polars does not count among its errors.
        received = str(cause).strip().split("\n")[0] or "nothing"
        raise RecordingError(
            f"must be {form}; received: {received}. It is damaged or cut short: copy it again.", path
        ) from cause


def metadata_of(path: Path) -> dict[str, str]:
    """Return the schema metadata of a Parquet file.

    Raises:
        RecordingError: it is missing or damaged.
    """
    with decoding(path, "Parquet"):
        return pl.read_parquet_metadata(path)


def whole_numbers(table: pl.DataFrame, columns: Sequence[str], path: Path, first: int = 0) -> pl.DataFrame:
    """Return the columns as int64 behind the column `ROW`, which counts from `first`.

    Raises:
        RecordingError: a column is missing, or holds anything but whole numbers and nulls.
    """
    for name in columns:
        if name not in table.columns:
            raise RecordingError(
                f"must have the column `{name}`; received {', '.join(table.columns)}. Convert it again.",
                path,
            )
        kind = table.schema[name]
        if kind.is_integer():
            continue
        row = None
        if kind.is_float():
            odd = (table[name].is_nan() | (table[name] != table[name].round())).fill_null(False).arg_true()
            row = int(odd[0]) if len(odd) else None
        value = "" if row is None else f" {table[name][row]}"
        raise RecordingError(
            f"`{name}` must hold whole numbers; received {kind}{value}. Store prices and quantities times "
            "their scale, times in ns or ms.",
            path,
            None if row is None else first + row,
        )
    try:
        cast = table.select(pl.col(columns).cast(pl.Int64))
    except pl.exceptions.PolarsError as cause:
        raise RecordingError("must hold numbers below 2^63; some are not. Convert it again.", path) from cause
    return cast.with_columns((first + pl.int_range(pl.len(), dtype=pl.Int64)).alias(ROW))


def chunks_of(path: Path, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """Yield a Parquet file in chunks of rows.

    Raises:
        RecordingError: it is missing, damaged, or holds no row.
    """
    with decoding(path, "Parquet"):
        lazy = pl.scan_parquet(path)
        height = int(lazy.select(pl.len()).collect().item())
    if height == 0:
        raise RecordingError("must hold rows; received 0. Record the session again.", path)
    for first in range(0, height, rows):
        with decoding(path, "Parquet"):
            chunk = lazy.slice(first, rows).collect()
        yield chunk


def read_columns(path: Path, columns: Sequence[str], rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """Yield the columns of a Parquet file as int64, with the column `ROW`, in chunks of rows.

    Raises:
        RecordingError: the file is missing, damaged, empty, or not made of these columns.
    """
    first = 0
    for chunk in chunks_of(path, rows):
        yield whole_numbers(chunk, columns, path, first)
        first += chunk.height


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """Yield a text file, compressed or not, in blocks of about `size` bytes that end where a line ends.

    Raises:
        EOFError: the compressed file is cut short; what it holds has been yielded.
        RecordingError: a line is absurdly long.
    """
    with path.open("rb") as file:
        rest = b""
        for block in _unzipped(file, size) if path.suffix == ".gz" else iter(partial(file.read, size), b""):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield rest + block[:cut]
                rest = block[cut:]
            else:
                rest += block
                if len(rest) > LONGEST_LINE:
                    raise RecordingError(
                        f"must have lines of at most {LONGEST_LINE:,} bytes; received one of {len(rest):,} "
                        "or more. It is no text of rows: copy it again.",
                        path,
                    )
        if rest:
            yield rest


def _unzipped(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield what a gzip file holds, at most `size` bytes at a time, up to where it is cut short."""
    decoder, pending = zlib.decompressobj(GZIP), b""
    while pending or (pending := file.read(COMPRESSED)):
        if decoder.eof:  # another file was appended to this one
            decoder = zlib.decompressobj(GZIP)
        block = decoder.decompress(pending, size)
        pending = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        if block:
            yield block
    if not decoder.eof:
        if block := decoder.flush():
            yield block
        raise EOFError("a compressed file that ends early")


def require_utf8(block: bytes, first: int, path: Path) -> None:
    """Require text.

    Args:
        block: rows of a file.
        first: the first of them.
        path: the file.

    Raises:
        RecordingError: it is no UTF-8; with the row of the first byte that is not.
    """
    try:
        block.decode()
    except UnicodeDecodeError as cause:
        raise RecordingError(
            f"must be UTF-8 text; received the byte 0x{block[cause.start]:02x}. Save it as UTF-8.",
            path,
            first + block.count(b"\n", 0, cause.start),
        ) from cause


def text_chunks(path: Path, *, header: bool, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """Yield a file of comma-separated text (.csv or .csv.gz) as text columns, in chunks of about `rows` rows.

    Args:
        path: the file.
        header: whether its first line holds the names of the columns; else they are column_1 and so on.
            Rows are counted from 0 after it.
        rows: how many to hold at a time, roughly.

    Raises:
        RecordingError: it is missing, damaged, no UTF-8, or holds no row.
    """
    form = "comma-separated text"
    names: list[str] = []
    first = 0
    with decoding(path, form):
        content = blocks(path, max(1, rows) * BYTES_A_ROW)
        while True:
            block = next(content, None)
            if block is None:
                break
            if not names:
                head, _, rest = block.partition(b"\n")
                require_utf8(head, 0, path)
                cells = head.decode().lstrip("\ufeff").rstrip("\r").split(",")
                names = [cell.strip().strip('"') for cell in cells] if header else []
                names = names or [f"column_{number + 1}" for number in range(len(cells))]
                block = rest if header else block
                if len(set(names)) < len(names):
                    raise RecordingError(f"must name each column once; received {', '.join(names)}.", path)
            if not block.strip():
                continue
            require_utf8(block, first, path)
            table = pl.read_csv(io.BytesIO(block), has_header=False, schema=dict.fromkeys(names, pl.String))
            yield table
            first += table.height
    if first == 0:
        raise RecordingError("must hold rows; received 0. Record the session again.", path)


def numbers(
    text: pl.DataFrame,
    exact: Mapping[str, pl.Expr],
    path: Path,
    first: int = 0,
    must: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Turn text into int64 columns by the expressions given, one a column, behind the column `ROW`.

    Args:
        text: columns of text.
        exact: name of a new column -> expression of one text column that gives whole numbers, null where the
            text is no such number.
        path: the file, for messages.
        first: row of the file that the first row of the table is.
        must: what a column must be, where that is more than a number.

    Raises:
        RecordingError: a text is no such number.
    """
    result = text.select(expression.alias(name) for name, expression in exact.items())
    for name, expression in exact.items():
        source = expression.meta.root_names()[0]
        odd = (result[name].is_null() & text[source].is_not_null()).arg_true()
        if len(odd):
            row = int(odd[0])
            raise RecordingError(
                f"`{name}` must be {(must or {}).get(name, 'a number')}; received {text[source][row]!r}. "
                "Copy the file again, or mend what is said of it.",
                path,
                first + row,
            )
    return whole_numbers(result, result.columns, path, first)


def in_step(left: Iterator[pl.DataFrame], right: Iterator[pl.DataFrame]) -> Iterator[list[pl.DataFrame]]:
    """Yield two tables of aligned rows in pieces of equal height, then what only one of them has, if any."""
    sides = [left, right]
    held: list[pl.DataFrame | None] = [None, None]
    while True:
        held = [next(side, None) if there is None else there for side, there in zip(sides, held, strict=True)]
        both = [table for table in held if table is not None]
        if len(both) < 2:
            if both:
                yield [table if table is not None else both[0].clear() for table in held]
            return
        height = min(table.height for table in both)
        yield [table.head(height) for table in both]
        held = [table.slice(height) if table.height > height else None for table in both]


def whole_messages(tables: Iterator[pl.DataFrame], column: str) -> Iterator[pl.DataFrame]:
    """Yield tables so that no message, rows of one number in `column`, lies in two of them."""
    held: pl.DataFrame | None = None
    for table in tables:
        if held is not None and held.height:
            last = (held[column] == held[column][-1]).reverse().arg_min() or held.height  # rows of its end
            if last < held.height:
                yield held.head(held.height - last)
            table = pl.concat([held.tail(last), table])
        held = table
    if held is not None and held.height:
        yield held


def whole(column: str) -> pl.Expr:
    """Return the text of a column as whole numbers."""
    return pl.col(column).str.strip_chars().cast(pl.Int64, strict=False)


def scaled(column: str, decimals: int) -> pl.Expr:
    """Return decimal text times a power of ten as whole numbers: exact, or null where it has more decimals.

    Numbers up to 2^53 units survive the way through float64, which is what `validate.LARGEST` allows.
    """
    value = pl.col(column).str.strip_chars().cast(pl.Float64, strict=False) * 10.0**decimals
    nearest = value.round()
    return pl.when((value - nearest).abs() <= 1e-3 + nearest.abs() * 2e-16).then(
        nearest.cast(pl.Int64, strict=False)
    )


def decimals_of(texts: pl.Series) -> int:
    """Return how many decimals the most exact of some decimal texts has, trailing zeros apart."""
    text = texts.str.strip_chars()
    fraction = text.str.extract(r"\.(\d*[1-9])0*(?:[eE]|$)").fill_null("").str.len_chars().cast(pl.Int64)
    exponent = text.str.extract(r"[eE]([+-]?\d{1,3})$").cast(pl.Int64, strict=False).fill_null(0)
    longest = (fraction - exponent).max()
    return max(0, longest) if isinstance(longest, int) else 0


def scale_of(metadata: Mapping[str, str], name: str, path: Path) -> int:
    """Return a scale from a Parquet file's schema metadata: stored number = scale x value.

    Raises:
        RecordingError: the scale is missing, or not a power of ten from 1 to 10^12.
    """
    text = metadata.get(name)
    if text not in {str(10**power) for power in range(13)}:
        raise RecordingError(
            f"`{name}` in the schema metadata must be a power of ten from 1 to 10^12; received {text!r}. "
            "Write the scale that prices and quantities were multiplied by.",
            path,
        )
    return int(text)


def same_scale(prices: pl.Series, path: Path, reference: pl.Series, reference_path: Path) -> None:
    """Require that two files state prices in the same unit, by their medians.

    Raises:
        RecordingError: the medians differ by more than a factor `SAME_SCALE`.
    """
    here, there = prices.median(), reference.median()
    if not isinstance(here, float) or not isinstance(there, float):
        return
    if not there / SAME_SCALE < here < there * SAME_SCALE:
        ratio = here / there if there else float("inf")
        raise RecordingError(
            f"`{prices.name}` must be in the unit of `{reference_path.name}`; received a median of "
            f"{here:,.0f} where that file's is {there:,.0f}, {ratio:.3g} times as much. "
            "Mend its `price_scale`.",
            path,
        )
