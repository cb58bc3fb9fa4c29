"""What people see: the result on stdout and nothing else there, progress and errors on stderr."""

import contextlib
import json
import numbers
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowhft.runs.labels import escaped
from flowhft.types import Interval, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

LINE_BREAK = "\n"  # what sentences may hold and cells may not


@dataclass(frozen=True)
class Table:
    """Rows for people.

    Attributes:
        columns: headings, with their units.
        rows: one sequence of values a row; numbers are rounded when they are printed.
        title: what the table shows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""


class Terminal:
    """Where a command speaks.

    Attributes:
        quiet: whether everything but the result and errors is withheld.
        json: whether the result is printed as JSON.
        where: the folder that holds what is finished so far, for whoever interrupts; None if there is none.
        stopping: whether an interruption got lost, which the next sign of progress then is.
    """

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.json = json
        self.where: Path | None = None
        self.stopping = False
        self._bars: Bars | None = None
        self._open_stages = 0
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Say something on the way; not said where the user wants quiet."""
        if not self.quiet:
            self._say(text)

    def error(self, text: str, kind: str = "error") -> None:
        """Say what went wrong, in one line."""
        self._say(f"{kind}: {' '.join(text.split())}")

    def interrupted(self) -> None:
        """Say what an interruption leaves behind."""
        finished = f"; finished stages are in {self.where}; run the same command again to resume"
        self._say("interrupted" + (finished if self.where else ""))

    def show(self, summary: Mapping[str, Any], shown: Sequence[str | Table]) -> None:
        """Print the result on stdout: the summary where JSON is wanted, what people read otherwise."""
        if self.json:
            from flowhft.runs.folder import finite, plain

            print(json.dumps(finite(plain(summary)), allow_nan=False))
            return
        for part in shown:
            if isinstance(part, str):
                print(escaped(part, LINE_BREAK))
            else:
                _print_table(part)

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """Show that something takes its time: yields what long functions call to tell how far they are.

        On a terminal a bar moves while it lasts; everywhere else one line tells when it is over.
        Stages may be nested.
        """
        started = time.monotonic()
        progress = self._begin(title)
        outcome = "stopped after"
        try:
            progress(0.0, "")
            yield progress
            outcome = "done in"
        finally:
            self._end(progress)
            from flowhft.report.numbers import duration

            self.note(f"{title}: {outcome} {duration(round(time.monotonic() - started, 1))}")

    def _begin(self, title: str) -> "_Stage":
        with self._lock:
            self._open_stages += 1
            if self._bars is None and not self.quiet and _is_interactive(sys.stderr):
                self._bars = _bars()
                self._bars.start()
            task = self._bars.add_task(escaped(title), total=1.0, now="") if self._bars else None
            return _Stage(self, self._bars, task)

    def _end(self, stage: "_Stage") -> None:
        with self._lock:
            self._open_stages -= 1
            if stage.bars is None or stage.task is None:
                return
            stage.bars.remove_task(stage.task)
            if self._open_stages == 0:
                stage.bars.stop()
                self._bars = None

    def _say(self, text: str) -> None:
        text = escaped(text, LINE_BREAK)
        if self._bars is not None:  # above the moving bars
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


class _Stage:
    """The progress of one stage (`flowhft.types.Progress`), with a bar or without one."""

    def __init__(self, terminal: Terminal, bars: "Bars | None", task: "TaskID | None") -> None:
        self.terminal, self.bars, self.task = terminal, bars, task

    def __call__(self, done: float, now: str) -> None:
        if self.terminal.stopping:
            raise KeyboardInterrupt
        if self.bars is not None and self.task is not None:
            self.bars.update(self.task, completed=min(max(done, 0.0), 1.0), now=escaped(now))


def _is_interactive(stream: Any) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


# rich and the words for numbers are imported where they are used, so that short commands answer at once.


def _bars() -> "Bars":
    """Return moving bars on stderr: title, bar, share, time passed and left, and what is happening now."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("left", table_column=Column(min_width=4, no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(min_width=5, no_wrap=True)),
        TextColumn(
            "{task.fields[now]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
        ),
        console=Console(file=sys.stderr),
        transient=True,
        redirect_stdout=False,  # stdout is for the result alone
    )


def _print_table(table: Table) -> None:
    """Print a table on stdout, numbers to the right; never narrower than its content, which is the result."""
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(
        title=Text(escaped(table.title)) if table.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for index, heading in enumerate(table.columns):
        numeric = all(_is_number(row[index]) for row in table.rows)
        grid.add_column(Text(escaped(heading)), justify="right" if numeric else "left", no_wrap=True)
    for row in table.rows:
        grid.add_row(*(Text(_readable(value)) for value in row))
    console = Console(file=sys.stdout)
    natural = Measurement.get(console, console.options.update(width=100_000), grid).maximum
    console.width = max(console.width, natural)
    with console.capture() as lines:
        console.print(grid)
    print("\n".join(line.rstrip() for line in lines.get().splitlines()))


def _readable(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not _is_number(value):
        return escaped(str(value))
    from flowhft.report.numbers import count, significant, with_interval

    if isinstance(value, Interval):
        return with_interval(value)
    if isinstance(value, numbers.Integral):
        return count(int(value))
    return significant(None if value is None else float(value))


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, numbers.Real | Interval)
