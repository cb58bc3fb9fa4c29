"""Reads and writes hftbacktest's own files: an array `data` of its events in a NumPy .npz file.

Such a file says neither what was traded nor the tick and lot; what `write_npz` adds as `about` does. For
files of others a TOML file of the same name beside it says it, NAME.toml.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from flowhft.errors import RecordingError
from flowhft.recordings.checks.rules import FORMAT_ROWS, FORMAT_SHARE, LARGEST, YEAR_2100_NS
from flowhft.recordings.closed import closed_facts, closed_from
from flowhft.recordings.described import declared_in, identified
from flowhft.recordings.files import decoding
from flowhft.recordings.formats.received import Received
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.reader import Options, Reader
from flowhft.recordings.source import Chunk, Source
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, TOP, TRADE, Closed, Finding, Recording
from flowhft.runs import foreign
from flowhft.runs.files import replacing

# hftbacktest's event: the same fields as `hftbacktest.types.event_dtype`, which is an optional dependency.
EVENT_DTYPE = np.dtype(
    [
        ("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"),
        ("qty", "f8"), ("order_id", "u8"), ("ival", "i8"), ("fval", "f8"),
    ],
    align=True,
)  # fmt: skip
AT_EXCHANGE, AT_LOCAL, OF_BUYER, OF_SELLER = 1 << 31, 1 << 30, 1 << 29, 1 << 28
CLEAR = 3
KINDS = {DEPTH: 1, TRADE: 2, SNAPSHOT: 4, TOP: 5}  # ours -> theirs
FORM = "an .npz file of hftbacktest's events"
CLOSED = "closed"  # of `about`: when the market did not trade; may be missing
NEAR = 1e-3  # of a tick or lot: what a price may be off its grid


@njit(cache=True)
def _in_both_orders(exchange, local, by_exchange, by_local):  # type: ignore[no-untyped-def]
    """Merge two orders of the same events: a row where both agree, else one a clock.

    Returns the event of each row and its clocks: 1 exchange, 2 local, 3 both.
    """
    size = len(exchange)
    row, clock = np.empty(2 * size, np.int64), np.empty(2 * size, np.int64)
    count = i = j = 0
    while i < size or j < size:
        if i < size and j < size and by_exchange[i] == by_local[j]:
            row[count], clock[count] = by_exchange[i], 3
            i += 1
            j += 1
        elif i < size and (j == size or exchange[by_exchange[i]] <= exchange[by_local[j]]):
            row[count], clock[count] = by_exchange[i], 1
            i += 1
        else:
            row[count], clock[count] = by_local[j], 2
            j += 1
        count += 1
    return row[:count], clock[:count]


def npz_events(recording: Recording) -> np.ndarray:
    """Return a recording as hftbacktest's events: prices and quantities in units, both clocks in order.

    A snapshot is preceded by a clearing of the book. `ival` holds our number of the message. An event that
    stands at different places by the two clocks becomes two rows, one a clock, as hftbacktest wants it.
    """
    events = recording.events
    first = np.ones(len(events), bool)
    first[1:] = (events["kind"][1:] != SNAPSHOT) | (events["kind"][:-1] != SNAPSHOT)
    first[1:] |= events["message"][1:] != events["message"][:-1]
    opens = np.flatnonzero(first & (events["kind"] == SNAPSHOT))
    kinds = np.zeros(max(KINDS) + 1, np.uint64)
    kinds[list(KINDS)] = list(KINDS.values())
    made: np.ndarray = np.zeros(len(events), EVENT_DTYPE)
    sides = np.where(events["side"] == BUY, OF_BUYER, np.where(events["side"] == SELL, OF_SELLER, 0))
    made["ev"] = kinds[events["kind"]] | sides.astype(np.uint64)
    made["exch_ts"], made["local_ts"] = events["exchange_time_ns"], events["local_time_ns"]
    made["px"] = events["price"] * recording.tick_size
    made["qty"] = events["quantity"] * recording.lot_size
    made["ival"] = events["message"]
    clear = made[opens]
    clear["ev"], clear["px"], clear["qty"] = CLEAR, 0.0, 0.0
    made = np.insert(made, opens, clear)
    order = np.argsort(made["exch_ts"], kind="stable")
    row, clock = _in_both_orders(
        np.ascontiguousarray(made["exch_ts"]), np.ascontiguousarray(made["local_ts"]), order,
        np.arange(len(made)),
    )  # fmt: skip
    flags = np.array([0, AT_EXCHANGE, AT_LOCAL, AT_EXCHANGE | AT_LOCAL], np.uint64)
    out = made[row]
    out["ev"] |= flags[clock]
    return out


def write_npz(recording: Recording, path: Path) -> int:
    """Write a recording for hftbacktest, and return the number of rows.

    Args:
        recording: any; its single orders are left out.
        path: to write, .npz, whole or not at all.
    """
    rows = npz_events(recording)
    closed = closed_facts(recording.closed, recording.sessions)
    about = json.dumps(recording.instrument.facts | ({CLOSED: closed} if closed else {}))
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in (("data", rows), ("about", np.array(about))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return len(rows)


def _about(path: Path) -> tuple[dict[str, Any], tuple[Closed, ...]]:
    """Return what a file says that it is a recording of, and when it was closed."""
    values: Any = None
    with decoding(path, "an .npz file"), np.load(path) as file:
        if "about" in file.files:
            values = foreign.json_of(str(file["about"]))
        closed = closed_from(values.pop(CLOSED, [])) if isinstance(values, dict) else ()
    return declared_in(values, path, "Write the file again."), closed


def _arrays(path: Path, rows: int) -> Iterator[np.ndarray]:
    """Yield the array `data` in pieces, without more than a piece in memory."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name in ("data.npy", "arr_0.npy")]
        if not names:
            raise ValueError("no array `data`")
        with archive.open(names[0]) as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version[0] == 1
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
            if len(shape) != 1 or dtype != EVENT_DTYPE:
                raise ValueError(f"`data` is {dtype} of shape {shape}, no events of hftbacktest")
            left = shape[0]
            while left:
                size = min(rows, left)
                content = file.read(size * dtype.itemsize)
                if len(content) < size * dtype.itemsize:
                    raise ValueError("it ends early")
                yield np.frombuffer(content, dtype)
                left -= size


class _Rules:
    """Holds the rows of a file to rules, piece by piece, and remembers what a repair left out.

    A row of the book that cannot be used ends the events: without it the book is right no more.
    """

    def __init__(self, path: Path, repair: bool) -> None:
        self.ended = False
        self._path, self._repair = path, repair
        self._rows = 0
        self._dropped: dict[str, int] = {}
        self._ends: list[str] = []

    def begin(self, rows: int) -> None:
        """So many rows follow."""
        self._rows += rows

    def held(self, data: np.ndarray, rule: np.ndarray, name: str, must: str, first: int) -> np.ndarray:
        """Return the rows that keep a rule, or raise the first that does not.

        Args:
            data: the rows.
            rule: whether each keeps it.
            name: of the field that it is about.
            must: the rule, as a sentence that follows "must".
            first: row of the file that the first of them is.
        """
        if rule.all():
            return data
        row = int(np.argmin(rule))
        if not self._repair:
            raise RecordingError(
                f"`{name}` must {must}; received {data[name][row]}. Remove the row, or read with "
                "`repair` to drop all such rows.",
                self._path,
                first + row,
            )
        message = f"`{name}` must {must}"
        of_book = ~rule & np.isin((data["ev"] & np.uint64(0xFF)), (KINDS[DEPTH], KINDS[SNAPSHOT]))
        if of_book.any():
            self.ended = True
            stop = int(np.argmax(of_book))
            self._ends.append(f"ended before row {first + stop:,}; {message}")
            data, rule = data[:stop], rule[:stop]
        if not rule.all():
            self._dropped[message] = self._dropped.get(message, 0) + int((~rule).sum())
        return data[rule]

    def findings(self) -> list[Finding]:
        """Return what was left out.

        Raises:
            RecordingError: it is so much that the format is wrong, and not the rows.
        """
        for what, count in self._dropped.items():
            if count >= FORMAT_ROWS and count > FORMAT_SHARE * self._rows:
                raise RecordingError(
                    f"{what}. {count:,} of {self._rows:,} rows break this rule: it is the format, not the "
                    "rows. Convert the file again, or mend what is said of it.",
                    self._path,
                )
        messages = [f"dropped {count:,} rows; {what}." for what, count in self._dropped.items()]
        return [Finding("warning", f"`{self._path.name}`: {one}") for one in (*messages, *self._ends)]


def _times(path: Path, rows: int) -> Iterator[np.ndarray]:
    """Yield kinds and times of a file's events that are ours, in pieces."""
    ours = np.zeros(256, np.int8)
    ours[list(KINDS.values())] = list(KINDS)
    with decoding(path, FORM):
        for data in _arrays(path, rows):
            kind = ours[(data["ev"] & np.uint64(0xFF)).astype(np.int64)]
            kept = (kind > 0) & ((data["ev"] & np.uint64(AT_LOCAL)) > 0)
            kept &= (data["local_ts"] >= 0) & (data["local_ts"] <= YEAR_2100_NS)  # or refused later
            kept &= np.maximum.accumulate(np.where(kept, data["local_ts"], 0)) == data["local_ts"]
            events = np.zeros(int(kept.sum()), EVENT)
            events["kind"] = kind[kept]
            shown = data["exch_ts"][kept]
            events["exchange_time_ns"] = np.where((shown >= 0) & (shown <= YEAR_2100_NS), shown, 0)
            events["local_time_ns"] = data["local_ts"][kept]
            yield events


def _lone_clearings(kind: np.ndarray) -> int:
    """Return how often clearings of the book are followed by something else than a snapshot."""
    ends = np.flatnonzero((kind[:-1] == CLEAR) & (kind[1:] != CLEAR))
    return int(np.sum(kind[ends + 1] != KINDS[SNAPSHOT]))


def _chunks(
    path: Path, instrument: Instrument, options: Options, received: Received, findings: list[Finding]
) -> Iterator[Chunk]:
    """Yield the events of a file in the order of the local clock."""
    theirs = {number: kind for kind, number in KINDS.items()}
    tick, lot = instrument.tick_size, instrument.lot_size
    rules = _Rules(path, options.repair)
    end, first, others, numbered, lone, replaced = -(2**63), 0, 0, False, 0, 0
    with decoding(path, FORM):
        pieces = _arrays(path, options.rows)
    while True:
        with decoding(path, FORM):
            data = next(pieces, None)
        if data is None or rules.ended:
            break
        rows = len(data)
        rules.begin(rows)

        def held(data: np.ndarray, rule: np.ndarray, name: str, must: str, first: int = first) -> np.ndarray:
            return rules.held(data, rule, name, must, first)

        kind = (data["ev"] & np.uint64(0xFF)).astype(np.int64)
        known = np.isin(kind, list(theirs))
        lone += _lone_clearings(kind[known | (kind == CLEAR)])
        seen = (data["ev"] & np.uint64(AT_LOCAL)) > 0
        others += int(np.sum(seen & ~known & (kind != CLEAR)))
        keep = known & seen
        where = np.flatnonzero(keep)
        data, kind = data[keep], kind[keep]
        for name in ("exch_ts", "local_ts"):
            dated = (data[name] >= 0) & (data[name] <= YEAR_2100_NS)
            if not dated.all() and options.repair:  # unknown, and found as such later
                data = data.copy()
                data[name][~dated] = 0
                replaced += int((~dated).sum())
            else:
                data = held(data, dated, name, "be ns since 1970, up to 2100")
        clock = data["local_ts"]
        stands = np.maximum.accumulate(np.concatenate([[max(end, -(2**62))], clock]))[1:]
        if options.repair and np.any(stands != clock):
            data = data.copy()
            replaced += int(np.sum(stands != clock))
            data["local_ts"] = stands
        for name, size, low in (("px", tick, 1), ("qty", lot, 0)):
            with np.errstate(over="ignore", invalid="ignore"):
                value = data[name] / size
                rule = np.isfinite(value) & (value >= low - 0.5) & (value <= LARGEST)
                rule |= (name == "px") & (data["qty"] == 0) & np.isfinite(value) & (np.abs(value) < 0.5)
                rule &= np.abs(value - np.round(value)) <= NEAR + np.abs(value) * 4e-16
            what = "tick" if name == "px" else "lot"
            data = held(
                data, rule, name, f"be a multiple of the {what}, {size:g}, and not negative or absurd"
            )
        if len(data) == 0:
            first += rows
            continue
        in_order = np.diff(data["local_ts"], prepend=max(end, -(2**62))) >= 0
        data = held(data, in_order, "local_ts", "not go back")
        if len(data):
            end = int(data["local_ts"][-1])
            kind = (data["ev"] & np.uint64(0xFF)).astype(np.int64)
            events = np.empty(len(data), EVENT)
            events["kind"] = np.array([theirs.get(number, 0) for number in range(256)], np.int8)[kind]
            buyer = (data["ev"] & np.uint64(OF_BUYER)) > 0
            seller = (data["ev"] & np.uint64(OF_SELLER)) > 0
            events["side"] = np.where(buyer, BUY, np.where(seller, SELL, 0))
            events["exchange_time_ns"], events["local_time_ns"] = data["exch_ts"], data["local_ts"]
            events["price"], events["quantity"] = np.round(data["px"] / tick), np.round(data["qty"] / lot)
            events["message"] = data["ival"]
            numbered |= bool(np.any(data["ival"] != 0))
            if not numbered:  # files of others: what arrived at one time is one message
                begins = np.ones(len(events), bool)
                begins[1:] = (np.diff(events["local_time_ns"]) != 0) | (np.diff(events["kind"]) != 0)
                events["message"] = np.maximum.accumulate(np.where(begins, first + np.arange(len(events)), 0))
            sided = events["side"] != 0
            if not sided.all():
                stop = len(rules.held(data, sided, "ev", "say buy or sell", first + int(where[0])))
                events = events[sided][:stop]
            yield Chunk(received.corrected(events))
        first += rows
    findings += rules.findings()
    if replaced:
        findings.append(
            Finding(
                "warning",
                f"`{path.name}`: {replaced:,} times that cannot be are replaced: the venue's by what "
                "messages usually take, local ones by the one before.",
            )
        )
    if lone:
        findings.append(
            Finding(
                "warning",
                f"`{path.name}`: {lone:,} clearings of the book that no snapshot follows are left out: "
                "levels may be stale after them.",
            )
        )
    if others:
        findings.append(Finding("note", f"{others:,} rows of other kinds are left out."))


def open_npz(path: Path, options: Options) -> Source:
    """Open a file of hftbacktest.

    Args:
        path: the .npz file.
        options: of reading.

    Raises:
        RecordingError: it is missing, damaged, or breaks a rule.
    """
    about, closed = _about(path)
    instrument, findings = identified(path, options.instrument, about, path)
    received = Received(_times(path, options.rows), path.name)
    findings += received.findings
    return Source(
        instrument,
        files=(path,),
        chunks=_chunks(path, instrument, options, received, findings),
        findings=findings,
        clock_offset_ns=received.offset_ns,
        best_prices=received.best_prices,
        closed=list(closed),
    )


NPZ = Reader(
    "hftbacktest",
    "NAME.npz, with NAME.toml where it does not say what was traded",
    "hftbacktest's events",
    lambda path: path if path.suffix == ".npz" else None,
    open_npz,
)
