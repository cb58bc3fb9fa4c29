"""What a table is: its columns, the unit of each, what it means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ENDS = ("", "_low", "_high")  # of a value with its interval
# Words in units that every run has its own for: the currency of money, the unit of the criterion of a choice.
MONEY, CRITERION = "money", "criterion"


@dataclass(frozen=True)
class Column:
    """One column of a table, or several that are alike.

    Attributes:
        name: of it; several with spaces between.
        unit: as the file's metadata have it; empty for what has none. `money` stands for the currency of the
            run, `criterion` for the unit of what was chosen by.
        meaning: what people read.
        optional: whether who reads the table can do without: not every run or version wrote it.
        interval: whether `name_low` and `name_high` stand beside it, the ends of its interval.
    """

    name: str
    unit: str = ""
    meaning: str = ""
    optional: bool = False
    interval: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a table has of it, in their order."""
        ends = ENDS if self.interval else ("",)
        return tuple(f"{name}{end}" for name in self.name.split() for end in ends)


@dataclass(frozen=True)
class Table:
    """One table of a run folder.

    Attributes:
        name: of its file, without the ending.
        by: commands that write it.
        rows: what a row is.
        columns: in their order.
        metrics: whether every metric of `flowhft.metrics.table.METRICS` follows, with its interval.
        read: stages in whose folders a report looks for it.
        note: what else is to be known, for people.
    """

    name: str
    by: tuple[str, ...]
    rows: str
    columns: tuple[Column, ...]
    metrics: bool = False
    read: tuple[str, ...] = ()
    note: str = ""

    def names(self, metrics: Iterable[str] = ()) -> tuple[str, ...]:
        """Return all columns that it may have.

        Args:
            metrics: names of all metrics.
        """
        own = tuple(name for column in self.columns for name in column.names)
        return (*own, *(self._of(metrics)))

    def needed(self, metrics: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the columns that it must have.

        Args:
            metrics: names of all metrics that a table of results must have.
        """
        own = tuple(name for column in self.columns if not column.optional for name in column.names)
        return (*own, *(self._of(metrics)))

    def units(
        self, money: str = MONEY, criterion: str = CRITERION, metrics: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the unit of every column that has one.

        Args:
            money: currency of the run.
            criterion: unit of what was chosen by.
            metrics: unit of every metric, where the table has them.
        """
        result = {
            name: column.unit.replace(MONEY, money).replace(CRITERION, criterion)
            for column in self.columns
            if column.unit
            for name in column.names
        }
        evaluated = (metrics or {}) if self.metrics else {}
        return result | {name: unit.replace(MONEY, money) for name, unit in evaluated.items()}

    def _of(self, metrics: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{name}{end}" for name in metrics for end in ENDS) if self.metrics else ()


# What every row of a policy begins with.
POLICY = (
    Column("policy", "", "whose row it is"),
    Column("family", "", "what it is: rule, learned, bound, baseline or own", optional=True),
    Column("rule", "", "the expert that it is; empty for everything else", optional=True),
)
SCENARIO = Column("scenario", "", "where")
