"""What the recordings of the study found, as tables: money, differences, what would confirm them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from flowhft.studies.book.outcomes import parts_needed, total
from flowhft.studies.book.stages import MAKER, NOBODY, REFERENCE

FEWEST_FILLS = 20  # orders, below which a policy is said to stay out
_KEYS = ("recording", "part", "protocol", "fills_by", "fee_bps")


def tables_of(outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, pl.DataFrame]:
    """Return the tables of the page.

    Args:
        outcomes: of each recording, from `flowhft.studies.book.stages.OneRecording.all_parts`.
    """
    facts = [outcome["facts"] for outcome in outcomes.values()]
    rows = [row for outcome in outcomes.values() for row in outcome["rows"]]
    refused = [row for outcome in outcomes.values() for row in outcome["refused"]]
    kinds = {fact["recording"]: fact["kind"] for fact in facts}
    evaluated = _evaluated(_whole(rows) + _together(_whole(rows), kinds))
    tables = {"recordings": pl.DataFrame(facts)}
    if evaluated:
        tables["evaluated"] = pl.DataFrame(evaluated, infer_schema_length=None)
    if refused:
        tables["refusals"] = pl.DataFrame(refused)
    return tables


def _whole(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a policy and part: the folds of a day one after the other."""
    parts: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        key = (*(row[name] for name in _KEYS), row["policy"])
        known = parts.get(key)
        if known is None:
            parts[key] = dict(row, blocks=list(row["blocks"]), decided=1)
            continue
        known["blocks"] += row["blocks"]
        known["fills"] += row["fills"]
        known["quoted"] += row["quoted"]
        known["decided"] += 1
        for name in ("promised", "realised"):
            both = known[name] is not None and row[name] is not None
            known[name] = known[name] + row[name] if both else None
        known["gate"] += row["gate"]
    for row in parts.values():
        row["quoted"] /= row.pop("decided")
    return list(parts.values())


def _together(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the shares of one day together: block by block, as they are of the same clock."""
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        if kinds[row["recording"]] == "nasdaq" and abs(row["fee_bps"]) < 1e-9:
            key = (*(row[name] for name in _KEYS[1:]), row["policy"])
            groups.setdefault(key, []).append(row)
    joined = []
    for members in groups.values():
        if len(members) < 2:
            continue
        length = min(len(row["blocks"]) for row in members)
        sums = {
            name: sum(row[name] for row in members) if all(row[name] is not None for row in members) else None
            for name in ("fills", "promised", "realised")
        }
        joined.append(
            dict(members[0])
            | sums
            | {
                "recording": "together",
                "blocks": np.sum([row["blocks"][:length] for row in members], axis=0).tolist(),
                "quoted": float(np.mean([row["quoted"] for row in members])),
                "gate": [side for row in members for side in row["gate"]],
            }
        )
    return joined


def _evaluated(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with intervals, and with the difference from the reference where there is one."""
    references = {
        tuple(row[name] for name in _KEYS): np.array(row["blocks"])
        for row in rows
        if row["policy"] == REFERENCE
    }
    results = []
    for row in (*rows, *(_at_home(row) for row in rows if row["policy"] == REFERENCE)):
        blocks = np.array(row["blocks"])
        money = total(blocks)
        key = tuple(row[name] for name in _KEYS)
        reference = references.get(key)
        if reference is None and row["part"] == "controls":
            reference = references.get((key[0], "unseen", *key[2:]))
        less = None if reference is None or row["policy"] == REFERENCE else total(blocks - reference)
        results.append(
            {name: row[name] for name in _KEYS}
            | {
                "policy": row["policy"],
                "pnl": money.value,
                "pnl_low": money.low,
                "pnl_high": money.high,
                "less": None if less is None else less.value,
                "less_low": None if less is None else less.low,
                "less_high": None if less is None else less.high,
                "fills": row["fills"],
                "quoted": row["quoted"],
                "promised": row["promised"],
                "realised": row["realised"],
                "blocks": len(blocks),
                "parts_needed": parts_needed(blocks) if len(blocks) > 1 and blocks.any() else None,
                "verdict": verdict(money.low, money.value, money.high, row["fills"]),
            }
        )
    return results


def _at_home(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of whoever stays out, beside that of another policy."""
    nothing = {"fills": 0.0, "quoted": 0.0, "promised": None, "realised": None}
    return dict(row) | nothing | {"policy": NOBODY, "blocks": [0.0] * len(row["blocks"])}


def verdict(low: float, value: float, high: float, fills: float) -> str:
    """Return what an amount of money says against staying out, whose amount is 0."""
    if high < 0.0:
        return "loses"
    if fills < FEWEST_FILLS:
        return "stays out"
    if low > 0.0:
        return "gains"
    return "better" if value > 0.0 else "worse"


def counts_of(evaluated: pl.DataFrame) -> pl.DataFrame:
    """Return the counts that the study is about: the maker on the unseen parts of all recordings."""
    chosen = evaluated.filter(
        (pl.col("policy") == MAKER) & (pl.col("part") == "unseen") & (pl.col("recording") != "together")
    )
    rows = []
    for (protocol, fills, fee), group in chosen.group_by(
        ["protocol", "fills_by", "fee_bps"], maintain_order=True
    ):
        rows.append(
            {
                "protocol": protocol,
                "fills_by": fills,
                "fee_bps": fee,
                "recordings": len(group),
                "better_than_reference": int((group["less_low"] > 0.0).sum()),
                "worse_than_reference": int((group["less_high"] < 0.0).sum()),
                "loses": int((group["pnl_high"] < 0.0).sum()),
                "gains": int((group["pnl_low"] > 0.0).sum()),
                "stays_out": int((group["fills"] < FEWEST_FILLS).sum()),
            }
        )
    return pl.DataFrame(rows)
