"""What was found, as a page of blocks: docs/results.md and its report are made of it.

The page says nothing of when or where it was made, so that the same seed and sizes make it again.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from flowhft.learn.regime.baselines import by_utility
from flowhft.metrics.table import CONFIDENCE
from flowhft.report import blocks
from flowhft.report.blocks import (
    Block,
    Cell,
    Detail,
    Heading,
    Page,
    Section,
    Sentence,
    Table,
    Typed,
    listing,
)
from flowhft.report.numbers import count, known, share, significant, with_half
from flowhft.studies.learned.dial_figures import dial_figures
from flowhft.studies.learned.figures import (
    causes_figure,
    gains_figure,
    trainings_figure,
)
from flowhft.studies.learned.lineup import OURS
from flowhft.studies.learned.repeats import relative_spread, repeat_counts
from flowhft.studies.learned.sentences import WORDS, WORDY
from flowhft.studies.learned.study_sections import imitation, study
from flowhft.studies.learned.targets import FINETUNED, PRINTED_PRETRAINED
from flowhft.studies.learned.verdict import NARROW, NOTHING, headline, targets_blocks
from flowhft.studies.learned.wins import COMPARED, EXPERTS, THREE

LEVEL = share(CONFIDENCE)
FULL = 0.5  # relative gain from which a tint no longer deepens
TITLES = {
    "cells": "Every cell",
    "trainings": "Trained again from other seeds",
    "worth": "Where the gain comes from",
    "dial": "The risk dial",
    "unseen": "Markets never seen",
    "imitation": "Faithful imitation",
    "ablations": "Learning from one expert alone",
    "scaling": "More and more instructors",
    "objectives": "Objectives and evaluations",
    "observation": "What policies see",
    "chunks": "Horizon, steps executed, noise",
}


def document(tables: Mapping[str, pl.DataFrame], settings: Mapping[str, Any]) -> Page:
    """Return the page.

    Args:
        tables: from `flowhft.studies.learned.findings.tables_of`.
        settings: commands (as typed, one after another), seed, policy, and the configuration of every
            finished stage.
    """
    sections = []
    if "targets" in tables:
        message = tuple(targets_blocks(tables["targets"], tables.get("misses")))
        sections.append(Section("targets", "Targets", message))
    written = {key.partition("/")[0] for key in settings["stages"]}
    for name in (name for name in TITLES if name in written):
        results = [*_said(tables["sentences"], name), *_SECTIONS[name](tables, _sizes(settings, name))]
        sections.append(Section(name, TITLES[name], tuple(results)))
    how = "a command" if len(settings["commands"]) == 1 else "commands, one after another"
    return Page(
        "results",
        "Results of the shipped policy",
        tuple(headline(tables)),
        (
            Sentence(f"Made by {how}; nothing on this page is written by hand:"),
            Typed(tuple(settings["commands"])),
            Sentence(_introduction(settings)),
        ),
        tuple(sections),
    )


def _introduction(settings: Mapping[str, Any]) -> str:
    measured = (
        " but its kind, in two views that the experts of the bar do not have: whether the mean effect of "
        "jumps is left in the drift (*premium*: in the paper market it is), and whether traders are informed "
        "(*informed*: in the market of that name they are)"
    )
    about = (
        f"The policy is `{OURS}`, one setting for all cells of a market, told no parameter of it"
        f"{measured if settings['told_premium'] else ''}. "
        if settings["policy"]
        else ""
    )
    return (
        f"{about}Markets are [the presets](models.md#the-presets-correct-paper-and-informed). In a section "
        f"all policies meet the same random numbers; intervals are {LEVEL}, those of differences paired. "
        "PnL, drawdown and utility (mean less a quarter of a standard deviation) are in price units, the "
        f"Sharpe ratio is per session. Seed {settings['seed']}."
    )


def _sizes(settings: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """Return the configuration of a section's first finished stage."""
    return next(config for key, config in settings["stages"].items() if key.partition("/")[0] == section)


def _said(sentences: pl.DataFrame, section: str) -> list[Block]:
    return listing(sentences.filter(pl.col("section") == section)["sentence"].to_list())


def _sessions(cells: pl.DataFrame) -> str:
    """Return how many sessions a cell has, by market where that differs."""
    by_size = cells.group_by("paths", maintain_order=True).agg(pl.col("market").unique(maintain_order=True))
    if len(by_size) == 1:
        return f"{count(by_size['paths'][0])} sessions a cell"
    parts = (f"{count(paths)} in {' and '.join(markets)}" for paths, markets in by_size.iter_rows())
    return f"Sessions a cell: {', '.join(parts)}"


def _cells(tables: Mapping[str, pl.DataFrame], _sizes: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(
        f"{_sessions(tables['cells'])}. Counts of cells in which a policy is better, and in brackets in how "
        f"many of them at {LEVEL}, against every rival of the set."
    )
    yield blocks.table(
        ("market", "policy", "against", "all three", *(WORDS[m] for m in COMPARED)),
        [
            (
                row["market"],
                row["policy"],
                row["against"],
                _counted(row, "all_three", f" of {row['cells']}"),
                *(_counted(row, metric) for metric in COMPARED),
            )
            for row in tables["counts"].iter_rows(named=True)
            if row["policy"] == OURS or row["against"] == EXPERTS
        ],
        WORDY,
    )
    results, wins = tables["cells"], tables["wins"]
    for (market,), rows in results.group_by("market", maintain_order=True):
        yield Heading(f"{str(market).capitalize()} market, cell by cell")
        yield Sentence(
            f"Ours with half its interval; in brackets the best expert's number. Bold: better at {LEVEL}; "
            "a star: not better."
        )
        result = wins.filter(
            (pl.col("market") == market) & (pl.col("policy") == OURS) & (pl.col("against") == EXPERTS)
        )
        by_cell = {(row["scenario"], row["metric"]): row for row in result.iter_rows(named=True)}
        ours = rows.filter(pl.col("policy") == OURS)
        yield blocks.table(
            ("cell", *(WORDS[metric] for metric in COMPARED)),
            [
                (row["scenario"], *(_beside(row, by_cell, metric) for metric in COMPARED))
                for row in ours.iter_rows(named=True)
            ],
            WORDY,
        )
        yield gains_figure(result, relative=not by_utility(str(market)))
        yield Detail("Every policy", (_everyone(rows),))
    if tables["printed"].height:
        yield Heading("The paper's printed rows")
        yield Sentence(
            "Ours in the paper's market, in brackets the printed Finetuned row; bold where ours is better "
            "than what is printed, whose error the paper does not give."
        )
        yield from _printed(tables["printed"])


def _counted(row: Mapping[str, Any], metric: str, of: str = "") -> Cell:
    """Return in how many cells a policy is better, and in how many of them surely."""
    return Cell(f"{row[metric]} ({row[f'{metric}_surely']}){of}", 0.7 * row[metric] / max(1, row["cells"]))


def _everyone(cells: pl.DataFrame) -> Table:
    """Return every number of every policy."""
    names = (*COMPARED, "spread_pnl", "inventory_pnl", "rms_inventory", "quoting_ratio")
    titles = (
        *(WORDS[name] for name in COMPARED),
        "spread",
        "inventory",
        "RMS inventory, lots",
        "quoting ratio",
    )
    known = [(name, title) for name, title in zip(names, titles, strict=True) if name in cells.columns]
    return blocks.table(
        ("cell", "policy", *(title for _, title in known)),
        [
            (row["scenario"], f"`{row['policy']}`", *(_half(row, name) for name, _ in known))
            for row in cells.iter_rows(named=True)
        ],
        WORDY,
    )


def _beside(row: Mapping[str, Any], wins: Mapping[Any, Mapping[str, Any]], metric: str) -> Cell | str:
    ours = _half(row, metric)
    win = wins.get((row["scenario"], metric))
    if win is None:
        return ours
    written = f"**{ours}**" if win["surely"] else ours if win["better"] else f"{ours}\\*"
    measured = known(win["gain"]) and win["theirs"]
    gain = win["gain"] / abs(win["theirs"]) if measured else 0.0
    return Cell(f"{written} ({significant(win['theirs'])})", gain / FULL, win["rival"])


def _printed(printed: pl.DataFrame) -> Iterator[Block]:
    names = printed["policy"].unique(maintain_order=True).to_list()
    rows = {(r["scenario"], r["policy"], r["row"], r["metric"]): r for r in printed.iter_rows(named=True)}
    for name in names:
        against = FINETUNED if name == OURS else PRINTED_PRETRAINED
        title = "Finetuned" if against == FINETUNED else "Pretrained"
        lines = []
        for cell in printed["scenario"].unique(maintain_order=True).to_list():
            line: list[Cell | str] = [cell]
            for metric in THREE:
                one = rows[cell, name, against, metric]
                ours = significant(one["ours"])
                text = f"{f'**{ours}**' if one['better'] else ours} ({one['printed']:.2f})"
                line.append(Cell(text, 0.5 if one["better"] else -0.5))
            lines.append(line)
        yield Sentence(f"`{name}` (printed {title}):")
        yield blocks.table(("cell", *(WORDS[metric] for metric in THREE)), lines, WORDY)


def _trainings(tables: Mapping[str, pl.DataFrame], _sizes: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(
        f"{_sessions(tables['trainings'])}. Training 0 is that of `--policy` or `--plain`, the others are "
        "those of `--trainings` and `--plain-trainings` (`scripts/policy --seed` makes a whole one). Cells "
        f"better than the best expert, in brackets at {LEVEL}; spread of the PnL: median over cells of the "
        "standard deviation over trainings, relative."
    )
    repeats, rows = tables["trainings"], []
    for (market, policy), result in repeat_counts(repeats).group_by("market", "policy", maintain_order=True):
        here = repeats.filter((pl.col("market") == market) & (pl.col("policy") == policy))
        for name, words in (("all_three", "all three"), ("useful", WORDS["utility"])):
            each = result.iter_rows(named=True)
            rows.append(
                (
                    market,
                    f"`{policy}`",
                    words,
                    ", ".join(f"{row[name]} ({row[f'{name}_surely']})" for row in each),
                    f"{np.mean(result[name].to_numpy()):.1f} of {result['cells'][0]}",
                    NOTHING if result.height < 2 else f"{100.0 * relative_spread(here, 'pnl'):.1f}{NARROW}%",
                )
            )
    head = ("market", "policy", "better in", "training 0, 1, ...", "mean", "spread of the PnL")
    yield blocks.table(head, rows, WORDY)
    yield trainings_figure(repeats)


def _worth(tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(
        f"{count(sizes['paths'])} sessions a cell. *Drift*: PnL less that of the same policy where the "
        "same price has no drift, stated or hidden. *Forecasts*: PnL less that of the same policy with all "
        "features hidden that tell where the price goes. *Gap*: share of the utility between the best "
        "expert's and the oracle's, at its best risk aversion, that is closed. The oracle is told all but "
        "the memory of the price: with memory a policy that predicts may close more than all of it."
    )
    yield causes_figure(tables["worth"])
    for (market,), rows in tables["worth"].group_by("market", maintain_order=True):
        yield Heading(f"{str(market).capitalize()} market: what it is made of")
        yield blocks.table(
            (
                "cell",
                "policy",
                "PnL",
                "spread",
                "inventory",
                "drift",
                "forecasts",
                "utility",
                "oracle",
                "gap",
            ),
            [
                (
                    row["scenario"],
                    f"`{row['policy']}`",
                    *(significant(row[name]) for name in ("pnl", "spread_pnl", "inventory_pnl")),
                    *(_half(row, name) for name in ("drift_pnl", "forecast_pnl")),
                    *(significant(row[name]) for name in ("utility", "oracle_utility")),
                    NOTHING if row["share"] is None else f"{100.0 * row['share']:.0f}{NARROW}%",
                )
                for row in rows.iter_rows(named=True)
            ],
            WORDY,
        )


def _half(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return with_half(value, low, high, NARROW, NOTHING)


def _dial(tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, Any]) -> Iterator[Block]:
    settings = ", ".join(f"{dial:g}" for dial in sizes["dials"])
    yield Sentence(
        f"Paper's market, {count(sizes['paths'])} sessions a cell, settings {settings}. Against the "
        "printed Finetuned row (in brackets), at the setting that beats most of it. The frontiers are in "
        "the report."
    )
    yield blocks.table(
        ("cell", "dial", "better in", *(WORDS[metric] for metric in THREE)),
        [
            (
                row["scenario"],
                f"{row['dial']:g}",
                f"{row['better']} of 3",
                *(f"{significant(row[metric])} ({row[f'{metric}_printed']:.2f})" for metric in THREE),
            )
            for row in tables["dial_printed"].iter_rows(named=True)
        ],
        WORDY,
    )
    yield from dial_figures(tables["dial"], tables["dial_printed"])


def _unseen(tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(f"{count(sizes['paths'])} sessions a market, each with half its interval.")
    names = (
        *THREE,
        "rms_inventory",
        *(("quoting_ratio",) if "quoting_ratio" in tables["unseen"].columns else ()),
    )
    yield blocks.table(
        ("market", "cell", "policy", *(_ELSE.get(name) or WORDS[name] for name in names)),
        [
            (row["market"], row["scenario"], f"`{row['policy']}`", *(_compared(row, name) for name in names))
            for row in tables["unseen"].iter_rows(named=True)
        ],
        WORDY,
    )


_ELSE = {"rms_inventory": "RMS inventory, lots", "quoting_ratio": "quoting ratio"}


def _compared(row: Mapping[str, Any], name: str) -> Cell:
    """Return a number, tinted where a learned policy is surely better than the best expert, or worse."""
    low, high = row.get(f"{name}_gain_low"), row.get(f"{name}_gain_high")
    sure = 0.0 if low is None or high is None else 0.5 * ((low > 0.0) - (high < 0.0))
    return Cell(_half(row, name), sure)


_SECTIONS = {
    "cells": _cells,
    "trainings": _trainings,
    "worth": _worth,
    "dial": _dial,
    "unseen": _unseen,
    "imitation": imitation,
    **{name: study(name) for name in ("ablations", "scaling", "objectives", "observation", "chunks")},
}
