"""What the stages of the recordings left, as tables; no number is worked out here that is not in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.policies.origin import with_origins
from flowhft.runs.folder import MANIFEST, manifest_of, read_json, read_table
from flowhft.stages.settings import OF_THIS_RECORDING
from flowhft.studies.real.sentences import sentences_table

Rows = list[dict[str, Any]]


def tables_of(folder: Path, outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """Return the tables of the page.

    Args:
        folder: that holds a folder per recording, with one per finished stage in it.
        outcomes: by recording: facts, done and refused, as `flowhft.studies.real.stages` returns them.

    Returns:
        recordings, refusals, parameters, notes, judged, costs, walks, windows and sentences; those without
        rows are left out.
    """
    tables: dict[str, Rows] = {
        name: []
        for name in ("recordings", "refusals", "parameters", "notes", "judged", "costs", "walks", "windows")
    }
    for name, outcome in outcomes.items():
        where = folder / name
        tables["recordings"].append(_about(name, where, outcome))
        tables["refusals"] += [
            {"recording": name, "stage": stage, "reason": reason}
            for stage, reason in outcome["refused"].items()
        ]
        if "calibrate" in outcome["done"]:
            result = read_json(where / "calibrate" / "calibration.json")
            tables["parameters"] += [
                {"recording": name, "parameter": key} | {k: v for k, v in value.items() if k != "name"}
                for key, value in result["parameters"].items()
            ]
            tables["notes"] += [{"recording": name, "note": text} for text in result["warnings"]]
        tables["notes"] += _of_replays(name, where, outcome["done"], tables["notes"])
        for stage, table in (("backtest", "judged"), ("walk", "walks")):
            if stage in outcome["done"]:
                tables[table] += _evaluated(name, where / stage)
        for stage, file in (("backtest", "costs"), ("walk", "windows")):
            path = where / stage / f"{file}.parquet"
            if stage in outcome["done"] and path.is_file():
                tables[file] += [{"recording": name} | row for row in read_table(path).iter_rows(named=True)]
    tables_found = {
        name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in tables.items() if rows
    }
    return tables_found | sentences_table(tables_found)


def _of_replays(name: str, where: Path, done: Sequence[str], noted: Rows) -> Rows:
    """Return what replays warn of that is true of this recording, and has not been noted yet."""
    texts = [
        text
        for stage in ("backtest", "walk")
        if stage in done
        for text in read_json(where / stage / "backtest.json").get("warnings") or []
        if text.startswith(OF_THIS_RECORDING)
    ]
    rows = [{"recording": name, "note": text} for text in dict.fromkeys(texts)]
    return [row for row in rows if row not in noted]


def _about(name: str, where: Path, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row about a recording."""
    facts = outcome["facts"]
    row: dict[str, Any] = {
        "recording": name,
        "market": facts.get("name"),
        "currency": facts.get("currency"),
        "seconds": facts.get("seconds"),
        "trades": facts.get("trades"),
        "order": facts["order_lots"] * facts["lot_size"] if facts else None,
        "dt": None,
        "session_seconds": None,
        "sessions": None,
        "windows": None,
        "walked_sessions": None,
    }
    if "calibrate" in outcome["done"]:
        row["dt"] = manifest_of(where / "calibrate")["summary"]["dt"]
    for stage, columns in (
        ("backtest", {"sessions": "sessions", "session_seconds": "session_seconds"}),
        ("walk", {"windows": "windows", "sessions": "walked_sessions"}),
    ):
        if stage in outcome["done"]:
            record = read_json(where / stage / "backtest.json")
            row |= {column: record[key] for key, column in columns.items()}
    return row


def _evaluated(name: str, where: Path) -> Rows:
    """Return the judgement of a backtest, a row a policy, with differences to its reference."""
    record = read_json(where / "backtest.json")
    differences = read_table(where / "differences.parquet")
    by_policy = {row["policy"]: row for row in differences.iter_rows(named=True)}
    rows = []
    for row in with_origins(read_table(where / "results.parquet"), {}).iter_rows(named=True):
        other = by_policy.get(row["policy"], {})
        rows.append(
            {"recording": name}
            | {key: value for key, value in row.items() if key != "scenario"}
            | {"break_even_fee_bps": record["break_even_fee_bps"].get(row["policy"])}
            | {"reference": record["reference"]}
            | {f"difference{end}": other.get(f"pnl{end}") for end in ("", "_low", "_high")}
            | {f"drawdown_difference{end}": other.get(f"max_drawdown{end}") for end in ("", "_low", "_high")}
        )
    return rows


def finished(where: Path, stages: Sequence[str]) -> list[str]:
    """Return the stages of a recording that are finished."""
    return [stage for stage in stages if (where / stage / MANIFEST).is_file()]
