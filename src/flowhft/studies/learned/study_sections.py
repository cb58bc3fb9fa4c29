"""Sections of the results on small trainings, which are only compared with one another."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from flowhft.report import blocks
from flowhft.report.blocks import Block, Sentence
from flowhft.report.numbers import count, plus_minus, significant
from flowhft.studies.learned.figures import imitation_figure, seeds_figure
from flowhft.studies.learned.sentences import WORDS, WORDY
from flowhft.studies.learned.studies import DISTILLED
from flowhft.studies.learned.targets import AT_ONCE, FAITHFUL, surely_apart
from flowhft.studies.learned.verdict import NARROW
from flowhft.studies.learned.wins import AGAINST_TEACHER, THREE

Section: TypeAlias = Callable[[Mapping[str, pl.DataFrame], Mapping[str, Any]], Iterator[Block]]


def imitation(tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, Any]) -> Iterator[Block]:
    """Return the section on trainings that are to be as faithful to their teacher as can be."""
    study = sizes["study"]
    most = max(study["evaluations"])
    yield Sentence(
        "Policies that are told the market, as their teacher is, trained for "
        f"{count(study['imitation_updates'])} updates of a network of width {2 * study['width']} in "
        f"{study['imitation_scenarios']} random markets, "
        f"none of them a cell; {count(study['imitation_paths'])} sessions a cell, the same for all. "
        f"{_distilled(tables['imitation'], study)}"
        "Mean over cells of the difference from a rival, without its sign, and in brackets the largest: from "
        f"the teacher, from flow matching at {most} evaluations, from the same network at {most}. *Apart*: "
        f"cells in which a metric of the three differs by more than {100 * FAITHFUL:g} % (teacher) or "
        f"{100 * AT_ONCE:g} % beyond its 99 % interval."
    )
    names = ("pnl", "sharpe", "max_drawdown", "spread_pnl", "rms_inventory")
    lines = []
    keys = ("objective", "steps", "against")
    for (objective, steps, rival), rows in tables["imitation"].group_by(*keys, maintain_order=True):
        line = [objective, steps, rival]
        for name in names:
            away = np.abs(rows[name].to_numpy())
            mean, largest = 100.0 * float(np.mean(away)), 100.0 * float(np.max(away))
            line.append(f"{mean:.1f}{NARROW}% ({largest:.1f}{NARROW}%)")
        within = FAITHFUL if rival == AGAINST_TEACHER else AT_ONCE
        lines.append([*line, f"{surely_apart(rows, within)} of {rows.height}"])
    titles = (*(WORDS[name] for name in names[:3]), "spread PnL", "RMS inventory", "apart")
    yield blocks.table(("variant", "evaluations", "against", *titles), lines, WORDY)
    yield imitation_figure(tables["imitation"])


def _distilled(rows: pl.DataFrame, study: Mapping[str, Any]) -> str:
    """Say what the distilled policies among these are; nothing where there is none."""
    if DISTILLED not in rows["objective"].to_list():
        return ""
    return (
        f"*{DISTILLED}* is flow matching with its {max(study['evaluations'])} Euler steps distilled into "
        f"one, in {count(study['distil_updates'])} updates more. "
    )


def study(section: str) -> Section:
    """Return what writes the section on a study of small trainings, by its name."""

    def write(tables: Mapping[str, pl.DataFrame], sizes: Mapping[str, Any]) -> Iterator[Block]:
        study = sizes["study"]
        here = tables["studies"].filter(pl.col("study") == section)
        yield Sentence(
            f"Small trainings, only to be compared with one another: {count(study['updates'])} updates of "
            f"a network of width {study['width']}, {study['scenarios']} scenarios of the paper's training "
            f"grid with {study['sessions']} sessions each unless said otherwise, {study['seeds']} seeds a "
            f"variant; judged in {study['cells'].replace(',', ', ')} of the paper's market on "
            f"{count(study['paths'])} sessions. Means over cells and seeds ± the standard deviation over "
            f"seeds; in brackets against the teacher, who is told the cell. {_distilled(here, study)}"
        )
        rows = tables["study_summaries"].filter(pl.col("study") == section)
        shown = [name for name in _ASKED if rows[name].n_unique() > 1]
        shown += ["latency_us"] if rows["latency_us"].null_count() < rows.height else []
        yield blocks.table(
            ("variant", *(_TITLED[name] for name in shown), *(WORDS[m] for m in (*THREE, "utility"))),
            [
                (row["variant"], *(_plain(row[name]) for name in shown), *_metrics(row))
                for row in rows.iter_rows(named=True)
            ],
            WORDY,
        )
        yield seeds_figure(here, rows, _ASKED)

    return write


_ASKED = {"steps": "evaluations", "execute": "executed", "noise_scale": "noise scale", "noise": "noise"}


_TITLED = _ASKED | {"latency_us": "frozen decision, µs"}  # on the machine that made the page


def _plain(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _metrics(row: Mapping[str, Any]) -> Iterator[str]:
    for metric in (*THREE, "utility"):
        spread = row[f"{metric}_spread"]
        value = significant(row[metric]) if spread is None else plus_minus(row[metric], spread, NARROW)
        part = row.get(f"{metric}_share")
        yield value if part is None else f"{value} ({100.0 * part:+.1f}{NARROW}%)"
