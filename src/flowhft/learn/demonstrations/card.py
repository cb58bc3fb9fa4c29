"""The card of a data set of demonstrations: what it holds, how it was made; for programs and for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from flowhft.learn.demonstrations.dataset_files import FORMAT, STEP_UNITS, VERSION

_SHARD = ("file", "rows", "bytes", "sha256")
_TEACHER = ("expert", "chosen", "scenarios", "sessions", "pairs", "share", "risk aversion", "fills a session")


def card_of(
    episodes: pl.DataFrame, records: Sequence[Mapping[str, Any]], ties: int | None, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the card.

    Args:
        episodes: the table of them.
        records: what `flowhft.learn.demonstrations.dataset_files.write_shard` said about every shard.
        ties: choices of a teacher that fresh paths do not settle; None where nothing was chosen.
        about: what else is known: command, market, seed, criterion, versions.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "scenarios": episodes["scenario"].n_unique(),
        "sessions": int(episodes["paths"].sum()),
        "pairs": int((episodes["paths"] * episodes["steps"]).sum()),
        "bytes": sum(record["bytes"] for record in records),
        "ties": ties,
        "teachers": teachers_in(episodes),
        "never_filled": never_filled(episodes),
        "columns": [
            {
                "name": name,
                "unit": unit,
                "smallest": min(record["ranges"][name][0] for record in records),
                "largest": max(record["ranges"][name][1] for record in records),
            }
            for name, unit in STEP_UNITS.items()
            if name != "path"
        ],
        "shards": [{name: record[name] for name in _SHARD} for record in records],
    }


def teachers_in(episodes: pl.DataFrame) -> list[dict[str, Any]]:
    """Return how much of a data set each expert taught, those that were chosen first."""
    counted = episodes.with_columns(pairs=pl.col("paths") * pl.col("steps"))
    taught = counted.group_by("expert", "chosen").agg(
        scenarios=pl.col("scenario").n_unique(),
        sessions=pl.col("paths").sum(),
        pairs=pl.col("pairs").sum(),
        share=pl.col("pairs").sum() / int(counted["pairs"].sum()),
        lowest_risk_aversion=pl.col("risk_aversion").min(),
        highest_risk_aversion=pl.col("risk_aversion").max(),
        fills_a_session=pl.col("fills").sum() / pl.col("paths").sum(),
    )
    return taught.sort(["chosen", "pairs", "expert"], descending=[True, True, False]).to_dicts()


def never_filled(episodes: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the teachers that were not filled once in a scenario, and how many sessions they had."""
    total = episodes.group_by("scenario", "expert", "risk_aversion", maintain_order=True).agg(
        pl.col("paths").sum(), pl.col("fills").sum()
    )
    return total.filter(pl.col("fills") == 0.0).drop("fills").to_dicts()


def page_of(card: Mapping[str, Any]) -> str:
    """Return the card as a page in Markdown."""

    def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        cells = [columns, ["---"] * len(columns), *rows]
        return [f"| {' | '.join(row)} |" for row in cells] + [""]

    silent = card["never_filled"]
    lines = [
        "# Demonstrations",
        "",
        f"{card['pairs']:,} pairs of observation and quote: {card['sessions']:,} sessions in "
        f"{card['scenarios']:,} scenarios of the market `{card['market']}`, {card['bytes'] / 1e6:.1f} MB in "
        f"{len(card['shards'])} shards.",
        "",
        f"- Made by flowhft {card['flowhft']}, seed {card['seed']}; scenarios `{card['asked']}`.",
        f"- Teachers were chosen by {card['criterion']}"
        + (
            "."
            if card["ties"] is None
            else f"; {card['ties']:,} choices are ties, which fresh sessions do not settle."
        ),
        f"- Half-spreads are cut at {card['furthest']:g} / k, beyond which hardly an order is filled.",
        "- Rows are raw: what was seen and what was quoted. Features are made of them when they are learned "
        "from. Nothing that only a simulator knows (intensities, parameters) is in them; `lessons.parquet` "
        "and `scenarios.toml` say where they come from.",
        "",
        "## Teachers",
        "",
        *table(
            _TEACHER,
            [
                [
                    row["expert"],
                    "yes" if row["chosen"] else "no",
                    f"{row['scenarios']:,}",
                    f"{row['sessions']:,}",
                    f"{row['pairs']:,}",
                    f"{row['share']:.1%}",
                    f"{row['lowest_risk_aversion']:g} to {row['highest_risk_aversion']:g}",
                    f"{row['fills_a_session']:.1f}",
                ]
                for row in card["teachers"]
            ],
        ),
        "Without a fill: "
        + (", ".join(f"{row['expert']} in {row['scenario']}" for row in silent) if silent else "nobody")
        + ".",
        "",
        "## Columns",
        "",
        *table(
            ["column", "unit", "smallest", "largest"],
            [
                [f"`{row['name']}`", row["unit"], f"{row['smallest']:.6g}", f"{row['largest']:.6g}"]
                for row in card["columns"]
            ],
        ),
        "## Shards",
        "",
        *table(
            _SHARD,
            [
                [f"`{s['file']}`", f"{s['rows']:,}", f"{s['bytes']:,}", f"`{s['sha256']}`"]
                for s in card["shards"]
            ],
        ),
    ]
    return "\n".join(lines)
