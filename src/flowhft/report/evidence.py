"""What a run folder holds for a report: the edge that reads, so that everything after it is pure.

The folder of a whole demonstration has one folder a stage (`calibrate/`, `evaluate/`, ...); the folder of
a single command is a stage itself. Every file is optional; one that is there must have its columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import DataError
from flowhft.metrics.table import LATER, METRICS
from flowhft.policies.origin import Origin, origins_in, with_origins
from flowhft.report import blocks
from flowhft.report.blocks import Page
from flowhft.runs import folder as runs
from flowhft.runs import tables
from flowhft.runs.tables.kinds import read_known

# Families of policies that nobody wrote down as a rule: reports are about them.
LEARNED = ("learned", "own")

# Every table a report reads, and the columns it must have.
_TABLES = {f"{stage}/{table.name}": table for table in tables.TABLES for stage in table.read}
TABLES: dict[str, tuple[str, ...]] = {name: table.needed(METRICS) for name, table in _TABLES.items()}
_CURVE = tables.table_of("imitate", "curve")
CURVE = _CURVE.needed()

# Every JSON file a report reads.
RECORDS = (
    "recording/recording",
    "calibrate/calibration",
    "adapt/adapter",
    "backtest/backtest",
    "label/card",
)

# Commands that leave a page of their own.
STUDIES = ("reproduce paper", "reproduce learned", "reproduce real", "reproduce book")

# Two stages use the same names; the folder of a single backtest carries this mark.
_BACKTEST_MARK = "backtest.json"


@dataclass(frozen=True)
class Evidence:
    """What was found in a run folder.

    Attributes:
        tables: by name, a key of `TABLES`.
        units: unit of each column, by table, as the file's metadata has them.
        curves: training curves, by method.
        records: JSON objects by name, one of `RECORDS`.
        manifests: by stage, "" for the folder itself.
        page: what a study wrote down beside its tables, or None.
    """

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    curves: dict[str, pl.DataFrame] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    page: Page | None = None

    def table(self, name: str) -> pl.DataFrame | None:
        """Return a table, or None where there is none or it has no rows."""
        result = self.tables.get(name)
        return result if result is not None and result.height else None

    def record(self, name: str) -> dict[str, Any]:
        """Return a JSON object, empty where there is none."""
        return self.records.get(name, {})

    def manifest(self, stage: str) -> dict[str, Any]:
        """Return the manifest of a stage, empty where there is none."""
        own = self.manifests.get("", {})
        return self.manifests.get(stage, own if own.get("command") == stage else {})

    @property
    def currency(self) -> str:
        """What money is counted in: the currency of the tables or of the recording, else tick x lot."""
        for name in ("backtest/results", "evaluate/results", "frontier/frontier"):
            if unit := self.units.get(name, {}).get("pnl"):
                return unit
        return self.record("recording/recording").get("currency") or "tick x lot"

    @property
    def origins(self) -> dict[str, Origin]:
        """Every policy that was judged and where its quotes come from, in the order of the tables."""
        return origins_in(self.tables.values())

    @property
    def learned(self) -> str | None:
        """The learned policy that the report is about, if any.

        Where nothing names it, the last one that was judged.
        """
        if named := self.record("backtest/backtest").get("learned"):
            return str(named)
        return next((name for name, one in reversed(self.origins.items()) if one.family in LEARNED), None)

    def learned_in(self, stage: str) -> str | None:
        """The learned policy that the results of a stage are about: the last one of its rows that learned.

        Args:
            stage: evaluate or backtest.
        """
        results = self.table(f"{stage}/results")
        if results is None or "family" not in results.columns:
            return self.learned
        names = results.filter(pl.col("family").is_in(LEARNED))["policy"].unique(maintain_order=True)
        return str(names[-1]) if len(names) else self.learned


def is_expert(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a closed form, with whatever coefficients.

    Args:
        row: of a table with a row a policy.
    """
    return row["family"] in ("rule", "baseline")


def competes(row: Mapping[str, Any]) -> bool:
    """Whether a row of results may be called the best: neither a bound nor who never trades.

    Args:
        row: with the lots that were filled where they are known.
    """
    return row["family"] != "bound" and row.get("fills") != 0.0


def gather(folder: Path) -> Evidence:
    """Read every file of a run folder that a report can show.

    Raises:
        DataError: the folder is missing, holds nothing that a report shows, or a table lacks a column.
    """
    if not folder.is_dir():
        raise DataError(
            f"`{folder}` must be a run folder; it does not exist. Name the folder that a command wrote."
        )
    own_backtest = (folder / _BACKTEST_MARK).is_file()

    def find(name: str, suffix: str) -> Path | None:
        stage, file = name.split("/")
        places = [folder / name]
        if stage not in ("backtest", "evaluate", "real") or own_backtest == (stage == "backtest"):
            places.append(folder / file)
        if stage == "recording":  # written down by the stages that read it
            places += [folder / other / file for other in ("backtest", "calibrate", "resemble")]
        return next((path for base in places if (path := base.with_suffix(suffix)).is_file()), None)

    result, units = {}, {}
    for name, table in _TABLES.items():
        if path := find(name, ".parquet"):
            result[name] = read_known(path, table, METRICS, LATER)
            units[name] = runs.units_of(path)
    patterns = ("imitate/*/curve.parquet", "*/curve.parquet", "curve.parquet")
    curves = {
        _method_of(path): read_known(path, _CURVE)
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }
    records = {name: runs.read_object(path) for name in RECORDS if (path := find(name, ".json"))}
    page = _page_of(folder)
    if not result and not curves and not records and page is None:
        raise DataError(
            f"`{folder}` must hold the tables of a run; it holds none. Name the folder that a command "
            "such as `flowhft demo`, `evaluate`, `select` or `reproduce paper` wrote."
        )
    manifests = {
        "" if path.parent == folder else str(path.parent.relative_to(folder)): runs.read_manifest(path)
        for path in sorted(folder.rglob(runs.MANIFEST))
    }
    known = origins_in(result.values())
    result = {name: with_origins(rows, known) for name, rows in result.items()}
    return Evidence(result, units, curves, records, manifests, page)


def _page_of(folder: Path) -> Page | None:
    """Return the page of a study, None where the folder is no study's.

    Raises:
        DataError: a version before wrote the folder, which kept no page to draw.
    """
    result, manifest = blocks.read(folder), folder / runs.MANIFEST
    command = runs.read_manifest(manifest)["command"] if manifest.is_file() else ""
    if result is None and command in STUDIES:
        raise DataError(
            f"`{folder}` must hold {blocks.PAGE}; an earlier version wrote the folder without. Run the "
            f"`flowhft {command}` that made it again, into the same folder: finished stages are kept."
        )
    return result


def _method_of(curve: Path) -> str:
    """Return what a training curve is of: the objective in the manifest beside it, else the folder's name."""
    manifest = curve.parent / runs.MANIFEST
    summary = runs.read_manifest(manifest)["summary"] if manifest.is_file() else {}
    return str(summary.get("objective", curve.parent.name))
