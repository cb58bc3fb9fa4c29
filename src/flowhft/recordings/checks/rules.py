"""What the files of a recording must keep: rules that several formats share, and what holds a file to them.

By default a broken rule is an error with its file, row and value. With `repair` each check's own remedy
is applied instead, and a finding says how many rows it touched. Where more than one row in a hundred breaks a
rule, it is the format that is wrong and not the rows: that is an error with `repair` too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numba import njit

from flowhft.errors import RecordingError
from flowhft.recordings.files import ROW
from flowhft.recordings.ticks import Finding

# What `repair` does with the rows that break a rule, and what the error tells to do by hand.
REMEDIES = {
    "drop": "Remove the row, or read with `repair` to drop all such rows.",
    "sort": "Sort the file by this column, or read with `repair` to sort it.",
    "hold": "The clock was set back: read with `repair` to hold it there until it has caught up.",
    "replace": "Correct the value, or read with `repair` to replace all such values.",
    "cut": "Record the session again, or read with `repair` to end it before this row.",
    "leave": "Record the session again, or read with `repair` to leave out what follows, up to a snapshot.",
    "contradict": "Record the session again, or read with `repair` to take the older of two levels as gone.",
    "accept": "Fetch what is missing, or read with `repair` to go on without it.",
    "none": "No repair can guess this: convert or record the file again.",
}
REPAIRED = {
    "drop": "dropped {count:,} rows (the first is row {row:,})",
    "sort": "sorted by `{column}`: {count:,} rows went back (the first is row {row:,})",
    "hold": "held `{column}` where the clock was set back: {count:,} times (the first at row {row:,}), by "
    "{back:,.3f} ms at most",
    "replace": "replaced what cannot be in {count:,} rows (the first is row {row:,})",
    "cut": "ended before row {row:,}",
    "leave": "left out what follows row {row:,}, up to a snapshot: {count:,} rows cannot be used",
    "contradict": "ended before row {row:,}",
    "accept": "kept {count:,} rows that break a rule (the first is row {row:,})",
}

# One row in a hundred that breaks a rule, and so many: the format is wrong, or the unit, and not the rows.
FORMAT_SHARE, FORMAT_ROWS = 0.01, 10
NEARLY_ALL, FEWEST_ROWS = 0.5, 3  # of a short file
OF_ROWS = ("drop", "sort", "replace", "leave")  # remedies that such a share rules out

YEAR_2000_NS = 946_684_800 * 10**9
YEAR_2100_NS = 4_102_444_800 * 10**9
LARGEST_MS = 9 * 10**12  # a time above it counts in us or ns: in ms it would be the year 2255
YEAR_2000_MS, YEAR_2100_MS = YEAR_2000_NS // 10**6, YEAR_2100_NS // 10**6
DAY_NS = 86_400 * 10**9
HOUR_NS = 3_600 * 10**9
LARGEST = 2**53  # of a price or quantity: whole numbers up to here survive float64


LEFT = "left"  # column that the remedy `leave` adds: true in the rows that it is about


@njit(cache=True)
def _held(time_ns, last, last_told):  # type: ignore[no-untyped-def]
    """Return a clock that never goes back: `last` is where it stood, `last_told` what it said there."""
    held = np.empty(len(time_ns), np.int64)
    for row in range(len(time_ns)):
        if time_ns[row] != last_told:
            last_told = time_ns[row]
            last = max(time_ns[row], last + 1)
        held[row] = last
    return held


class Check(NamedTuple):
    """A rule that every row of a file must keep.

    Attributes:
        column: what the message names.
        must: the rule, as a sentence that follows "must".
        broken: true in the rows that break it.
        remedy: what `repair` does, a key of `REMEDIES`.
        before: whether the message also shows the value of the row before.
        instead: what `replace` puts into the column; None: what the row before holds.
        format: what is likely wrong where many rows break the rule, as a sentence.
        share: of the rows, above which they are many.
    """

    column: str
    must: str
    broken: pl.Expr
    remedy: str
    before: bool = False
    instead: pl.Expr | None = None
    format: str = "Convert the file again, or mend what is said of its columns."
    share: float = FORMAT_SHARE


class Keeper:
    """Holds a file to its checks, chunk by chunk, and remembers what it repaired.

    The last row that was kept stands before the next chunk, so that a rule between neighbours is held across
    their border too. A repair reaches no further back than the chunk: what should be sorted into an earlier
    one is dropped, and counted.

    Args:
        checks: each sees what the ones before it left, so that a later one may rely on an earlier one.
        path: the file, for messages.
        repair: apply remedies instead of raising.
    """

    def __init__(self, checks: Sequence[Check], path: Path, repair: bool) -> None:
        self.checks = tuple(checks)
        self.path = path
        self.repair = repair
        self._leaves = repair and any(check.remedy == "leave" for check in self.checks)
        self.ended = False  # a repair has cut the file: nothing follows
        self._rows = self._kept = 0
        self._last: pl.DataFrame | None = None
        self._back = 0  # by how much a clock that is held was set back at most, as far as rows tell, ns
        self._told: int | None = None  # what a clock that is held said in the last row
        self._told_before: int | None = None  # and in the last row of the chunk before
        self._repaired: dict[
            tuple[int, str], tuple[int, int]
        ] = {}  # check, remedy -> rows, the first of them

    def follow(self, before: "Keeper") -> None:
        """Hold the first row to what stands between it and the last row of another file."""
        self._last = before._last

    def hold(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the next chunk, repaired where needed.

        Args:
            table: with the column `ROW`.

        Raises:
            RecordingError: a rule is broken and `repair` is off or has no remedy.
        """
        if self._leaves:
            table = table.with_columns(pl.lit(False).alias(LEFT))
        if self.ended:
            return table.clear()
        self._rows += table.height
        self._told_before, self._told = self._told, None
        if self._clean(table):
            self._kept += table.height
            self._last = table.tail(1).drop(LEFT, strict=False) if table.height else self._last
            return table
        for number, check in enumerate(self.checks):
            broken = self._broken(check, table)
            if broken.any():
                table = self._mend(number, check, table, broken)
        if table.height:
            self._kept += table.height
            self._last = table.tail(1).drop(LEFT, strict=False)
        return table

    def _clean(self, table: pl.DataFrame) -> bool:
        """Whether no rule at all is broken: one pass over the chunk, which is the usual case."""
        plain = table.drop(LEFT, strict=False)
        with_last = plain if self._last is None else pl.concat([self._last, plain])
        broken = [
            check.broken.fill_null(False).tail(table.height).any().alias(str(number))
            for number, check in enumerate(self.checks)
        ]
        return not any(with_last.select(broken).row(0))

    def _broken(self, check: Check, table: pl.DataFrame) -> pl.Series:
        plain = table.drop(LEFT, strict=False)
        with_last = plain if self._last is None else pl.concat([self._last, plain])
        broken = with_last.select(check.broken.fill_null(False).alias("broken"))["broken"]
        return broken.tail(table.height)

    def _mend(self, number: int, check: Check, table: pl.DataFrame, broken: pl.Series) -> pl.DataFrame:
        position = int(broken.arg_true()[0])
        row, count = int(table[ROW][position]), int(broken.sum())
        if not self.repair or check.remedy == "none":
            value = f"{table[check.column][position]}"
            before = table.slice(position - 1, 1) if position else self._last
            if check.before and before is not None:
                value += f" after {before[check.column][0]}"
            fix = REMEDIES[check.remedy]
            if check.remedy in OF_ROWS and of_format(check, count, table.height):
                fix = _format_fault(check, count, table.height)
            raise RecordingError(
                f"`{check.column}` must {check.must}; received {value}. {fix}", self.path, row
            )
        self._count(number, check.remedy, count, row)
        if check.remedy == "drop":
            return table.filter(~broken)
        if check.remedy == "sort":
            table = table.sort(check.column, maintain_order=True)
            late = broken.clear() if self._last is None else table[check.column] < self._last[check.column][0]
            if late.any():
                self._count(number, "drop", int(late.sum()), int(table[ROW][int(late.arg_true()[0])]))
                table = table.filter(~late)
        elif check.remedy == "hold":
            return table.with_columns(self._held(table[check.column]))
        elif check.remedy == "replace":
            return self._replaced(check, table, broken)
        elif check.remedy == "leave":
            return table.with_columns((table[LEFT] | broken).alias(LEFT))
        elif check.remedy == "cut":
            self.ended = True
            return table.head(position)
        return table

    def _held(self, clock: pl.Series) -> pl.Series:
        """Let a clock that was set back stand until it has caught up, a nanosecond on where it changes."""
        time_ns = clock.to_numpy()
        last = time_ns[0] if self._last is None else self._last[clock.name][0]
        self._back = max(self._back, -int(np.diff(time_ns, prepend=last).min()))
        held = _held(time_ns, last, last if self._told_before is None else self._told_before)
        self._told = int(time_ns[-1])
        return pl.Series(clock.name, held)

    def _replaced(self, check: Check, table: pl.DataFrame, broken: pl.Series) -> pl.DataFrame:
        """Put in what a check says, or what the row before holds, else the one after."""
        if check.instead is not None:
            held = pl.when(broken).then(check.instead).otherwise(pl.col(check.column))
            return table.with_columns(held.alias(check.column)).drop_nulls(check.column)
        sound = table.select(pl.when(~broken).then(pl.col(check.column)))[check.column]
        before = None if self._last is None else self._last[check.column][0]
        if before is not None and broken[0]:
            sound = sound.scatter(0, before)
        filled = sound.fill_null(strategy="forward").fill_null(strategy="backward")
        return table.with_columns(filled).drop_nulls(check.column)

    def count(self, row: int) -> None:
        """Count a row that breaks the first rule, where it was found and mended elsewhere."""
        self._kept += 1
        self._count(0, self.checks[0].remedy, 1, row)

    def _count(self, number: int, remedy: str, count: int, row: int) -> None:
        before, first = self._repaired.get((number, remedy), (0, row))
        self._repaired[number, remedy] = (before + count, first)

    def findings(self) -> list[Finding]:
        """Return a warning a repair, once the file has been read.

        Raises:
            RecordingError: repairs have left no row, or so many break a rule that it is the format.
        """
        for (number, remedy), (count, row) in sorted(self._repaired.items()):
            check = self.checks[number]
            if remedy in OF_ROWS and remedy == check.remedy and of_format(check, count, self._rows):
                raise RecordingError(
                    f"`{check.column}` must {check.must}. {_format_fault(check, count, self._rows)}",
                    self.path,
                    row,
                )
        if self._kept == 0 and self._repaired:
            raise RecordingError(
                "repair must leave rows; received none. Record the session again.", self.path
            )
        results = []
        for (number, remedy), (count, row) in sorted(self._repaired.items()):
            column, must = self.checks[number].column, self.checks[number].must
            what = REPAIRED[remedy].format(count=count, row=row, column=column, back=self._back / 1e6)
            results.append(Finding("warning", f"`{self.path.name}`: {what}; `{column}` must {must}."))
        return results


def of_format(check: Check, count: int, rows: int) -> bool:
    """Return whether so many rows of a file break a rule that it is its format that is wrong."""
    many = count >= FORMAT_ROWS and count > check.share * rows
    return many or (count >= FEWEST_ROWS and count > NEARLY_ALL * rows)


def _format_fault(check: Check, count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows break this rule: it is the format, not the rows. {check.format}"


def not_null(*columns: str, remedy: str = "drop", instead: pl.Expr | None = None) -> list[Check]:
    """Return the checks that columns hold a value in every row."""
    return [Check(name, "not be null", pl.col(name).is_null(), remedy, instead=instead) for name in columns]


UNKNOWN = pl.lit(0, pl.Int64)  # a time that the venue did not tell


def outside(column: str, low: int, high: int) -> pl.Expr:
    """Return where a column lies below `low` or above `high`."""
    return ~pl.col(column).is_between(low, high)


AHEAD_NS, AHEAD = 50 * 10**6, 5


def goes_back(column: str) -> pl.Expr:
    """Return where a column is smaller than in the row before."""
    return pl.col(column).diff() < 0


UNITS_OR_ZONE = "Mend the unit or the time zone of this column."


def epoch_ns(column: str, remedy: str = "drop") -> Check:
    """Return the check that a column holds times in ns."""
    return Check(
        column,
        "be nanoseconds since 1970, in the years 2000 to 2100",
        outside(column, YEAR_2000_NS, YEAR_2100_NS),
        remedy,
        format=UNITS_OR_ZONE,
    )


def by_size_ns(column: str) -> pl.Expr:
    """Return a column of times in ms, us or ns since 1970 as ns: their size tells which; 0 stays 0."""
    value = pl.col(column)
    return (
        pl.when(value.abs() < LARGEST_MS)
        .then(value * 10**6)
        .when(value.abs() < LARGEST_MS * 1000)
        .then(value * 1000)
        .otherwise(value)
    )


def epoch_ms(column: str) -> list[Check]:
    """Return the checks that a column holds times in ms (us, ns), or 0, near the receiver's `local_ns`.

    A time that cannot be is unknown: 0 is put in for it.
    """
    known, time_ns = pl.col(column) != 0, by_size_ns(column)
    apart = (pl.col("local_ns") - time_ns).abs() > HOUR_NS
    return [
        Check(
            column,
            "be 0 (unknown) or milliseconds since 1970, in the years 2000 to 2100 (or us, or ns)",
            known & ((time_ns < YEAR_2000_NS) | (time_ns > YEAR_2100_NS)),
            "replace",
            instead=UNKNOWN,
            format=UNITS_OR_ZONE,
        ),
        Check(
            column,
            "be within an hour of `local_ns`",
            known & apart,
            "replace",
            instead=UNKNOWN,
            format=UNITS_OR_ZONE,
        ),
    ]


def positive(*columns: str, where: pl.Expr | None = None, remedy: str = "drop") -> list[Check]:
    """Return checks that prices or quantities are above 0 and not absurd, in the rows `where` says."""
    rows = pl.lit(True) if where is None else where
    return [
        Check(name, "be positive and at most 2^53", rows & outside(name, 1, LARGEST), remedy)
        for name in columns
    ]


def plus_minus(column: str, where: pl.Expr | None = None, remedy: str = "drop") -> Check:
    """Return the check that a column holds a side, in the rows `where` says."""
    rows = pl.lit(True) if where is None else where
    return Check(column, "be +1 or -1", rows & ~pl.col(column).is_in([1, -1]), remedy)


def not_back(column: str) -> Check:
    """Return the check that a column never falls."""
    return Check(column, "not go back", goes_back(column), "sort", before=True)


def clock_not_back(column: str, number: str) -> list[Check]:
    """Return the checks that a local clock never goes back: where what counts the rows goes on, it was set.

    Args:
        column: of the clock.
        number: column that tells whether rows stand in the order of arrival: a chain of numbers, or the
            venue's clock.
    """
    time_ns = pl.col(column)
    before = pl.when(time_ns != time_ns.shift()).then(time_ns.shift()).forward_fill()
    after = pl.when(time_ns != time_ns.shift(-1)).then(time_ns.shift(-1)).backward_fill()
    ahead = (after > before) & (time_ns - after > AHEAD_NS + AHEAD * (after - before))
    in_order = pl.col(number).diff() >= 0 if number != column else pl.lit(False)
    return [
        # One time ahead of those on both sides, by far more than they lie apart, is no clock that was set.
        Check(column, "lie between those of its neighbours", ahead, "replace", instead=after),
        Check(column, "not go back", goes_back(column) & in_order, "hold", before=True),
        not_back(column),
    ]
