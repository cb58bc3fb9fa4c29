"""Ours against the best expert in every cell: the gain in each metric with its interval, and all numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, figure, folded, join, note, row, subtitle, table
from flowhft.report.sections.learned.words import COMPARED, EXPERTS, OURS, THREE, TITLES, said, written

_FULL = 0.5  # relative gain from which a tint no longer deepens
_INFORMED = "informed"
_WIDEST = 1.5  # relative gain at the edge of the figure

_UNITS = {metric: "a session" if metric == "sharpe" else "price units" for metric in COMPARED}


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the counts, the gains as figures, and every number on demand."""
    cells, wins, counts = (evidence.table(f"learned/{name}") for name in ("cells", "wins", "counts"))
    if cells is None or wins is None or counts is None:
        return None
    parts: list[object] = [said(evidence, "cells"), _counts(counts)]
    ours = wins.filter((pl.col("policy") == OURS) & (pl.col("against") == EXPERTS))
    for (market,), found in ours.group_by("market", maintain_order=True):
        parts += [subtitle(f"{str(market).capitalize()} market"), _gains(found, relative=market != _INFORMED)]
        mine = cells.filter((pl.col("market") == market) & (pl.col("policy") == OURS))
        parts.append(folded("Every number, beside the best expert's", _numbers(mine, found)))
        everyone = cells.filter(pl.col("market") == market)
        parts.append(folded("Every policy", _everyone(everyone)))
    printed = evidence.table("learned/printed")
    if printed is not None:
        parts += [subtitle("The paper's printed rows"), *_printed(printed)]
    return join(parts)


def _counts(counts: pl.DataFrame) -> Markup:
    shown = counts.filter((pl.col("policy") == OURS) | (pl.col("against") == EXPERTS))
    rows = [
        [
            line["market"],
            f"{line['policy']} against {line['against']}",
            cell(
                element("b", f"{line['all_three']} of {line['cells']}"),
                element("small", f" {line['all_three_surely']} at {LEVEL}"),
                style=f"background:{look.faint(look.BLUE, 0.4 * line['all_three'] / max(1, line['cells']))}",
            ),
            *(_count(line, metric) for metric in COMPARED),
        ]
        for line in shown.iter_rows(named=True)
    ]
    remark = f"Cells in which the policy beats every rival of the set; small: in how many at {LEVEL}, paired."
    head = ["market", "", "all three", *(TITLES[metric] for metric in COMPARED)]
    return join([table(head, rows, class_="map"), note(remark)])


def _count(line: dict[str, Any], metric: str) -> Markup:
    tint = look.faint(look.BLUE, 0.3 * line[metric] / max(1, line["cells"]))
    return cell(
        f"{line[metric]}", element("small", f" {line[f'{metric}_surely']}"), style=f"background:{tint}"
    )


def _gains(wins: pl.DataFrame, *, relative: bool) -> Markup:
    """Draw the gain in every cell: one panel a metric, intervals paired.

    Among informed traders the best expert may hardly trade: gains relative to its PnL would mean nothing.
    """
    panels = []
    names = wins["scenario"].unique(maintain_order=True).to_list()
    places = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for metric in COMPARED:
        found = wins.filter(pl.col("metric") == metric)
        theirs = np.maximum(np.abs(found["theirs"].cast(pl.Float64).to_numpy()), 1e-9)
        size = 0.01 * theirs if relative else np.ones(len(theirs))
        gain, low, high = (found[name].cast(pl.Float64).to_numpy() / size for name in ("gain", "low", "high"))
        edge = 100.0 * _WIDEST if relative else float(np.nanmax(np.abs(gain), initial=1e-9))
        shown = np.clip(gain, -edge, edge)
        title = "gain, % of the best expert's" if relative else f"gain, {_UNITS[metric]}"
        plot = look.blank(title, "", 90 + 17 * max(len(names), 4), TITLES[metric])
        colours = [
            look.BLUE if at > 0 else look.VERMILION if to < 0 else look.GREY
            for at, to in zip(low, high, strict=True)
        ]
        plot.add_trace(
            go.Scatter(
                x=shown,
                y=[places[name] for name in found["scenario"].to_list()],
                error_x={
                    "array": np.clip(high - gain, 0.0, edge),
                    "arrayminus": np.clip(gain - low, 0.0, edge),
                    "thickness": 1.2,
                    "width": 0,
                    "color": look.QUIET,
                },
                mode="markers",
                marker={"color": colours, "size": 7},
                text=[
                    f"{line['scenario']}: {numbers.significant(line['ours'])} against "
                    f"{numbers.significant(line['theirs'])} ({line['rival']})"
                    for line in found.iter_rows(named=True)
                ],
                hovertemplate="%{text}, %{x:+.3g}<extra></extra>",
            )
        )
        first = metric == COMPARED[0]
        plot.update_layout(hovermode="closest", margin={"l": 64 if first else 20, "r": 8})
        reach = min(edge, 1.1 * max(0.03 * edge, float(np.nanmax(np.abs(shown), initial=0.0))))
        plot.update_xaxes(range=[-reach, reach], zerolinewidth=2, zerolinecolor=look.INK)
        plot.update_yaxes(
            tickvals=list(places.values()),
            ticktext=list(places) if first else [""] * len(places),
            range=[-0.8, len(names) - 0.2],
            zeroline=False,
        )
        panels.append(figure(plot, ""))
    remark = (
        f"Positive is better, also for the drawdown. Blue: better at {LEVEL}; orange: worse at {LEVEL}; "
        f"grey: cannot be "
        "told." + (f" What is further than {100 * _WIDEST:.0f} % is drawn at the edge." if relative else "")
    )
    return join([row(*panels, small=True), note(remark)])


def _numbers(mine: pl.DataFrame, wins: pl.DataFrame) -> Markup:
    by_cell = {(line["scenario"], line["metric"]): line for line in wins.iter_rows(named=True)}
    rows = []
    for line in mine.iter_rows(named=True):
        cells: list[object] = [line["scenario"]]
        for metric in COMPARED:
            win = by_cell.get((line["scenario"], metric))
            if win is None:
                cells.append(written(line, metric))
                continue
            relative = 0.0 if not win["theirs"] else (win["gain"] or 0.0) / abs(win["theirs"])
            colour = look.BLUE if relative > 0.0 else look.VERMILION
            tint = look.faint(colour, 0.4 * min(1.0, abs(relative) / _FULL))
            frame = ";outline:1.5px solid #57606a;outline-offset:-2px" if win["surely"] else ""
            small = element("small", f" {numbers.significant(win['theirs'])} {win['rival']}", class_="line")
            cells.append(cell(written(line, metric), small, style=f"background:{tint}{frame}"))
        rows.append(cells)
    remark = f"Ours with half its interval; small: the best expert and its number. Framed: better at {LEVEL}."
    return join([table(["cell", *(TITLES[m] for m in COMPARED)], rows, class_="map"), note(remark)])


def _everyone(cells: pl.DataFrame) -> Markup:
    shown = (*COMPARED, "spread_pnl", "inventory_pnl", "rms_inventory")
    rows = [
        [f"{line['scenario']} {line['policy']}", *(written(line, name) for name in shown)]
        for line in cells.iter_rows(named=True)
    ]
    return table(["", *(TITLES[name] for name in shown)], rows)


def _printed(printed: pl.DataFrame) -> Iterator[Markup]:
    names = printed["policy"].unique(maintain_order=True).to_list()
    yield note(
        "Ours | printed. Blue where ours is better than what is printed (the paper gives no error). The "
        "first policy beside the row Finetuned, others beside Pretrained."
    )
    for name in names:
        against = "flow_finetuned" if name == OURS else "flow_pretrained"
        part = printed.filter((pl.col("policy") == name) & (pl.col("row") == against))
        rows = []
        for (scenario,), found in part.group_by("scenario", maintain_order=True):
            by_metric = {line["metric"]: line for line in found.iter_rows(named=True)}
            rows.append([str(scenario), *(_beside(by_metric[metric]) for metric in THREE)])
        title = f"{name} beside the printed {'Finetuned' if name == OURS else 'Pretrained'} row"
        yield folded(title, table(["cell", *(TITLES[m] for m in THREE)], rows, class_="map"))


def _beside(line: dict[str, Any]) -> Markup:
    tint = look.faint(look.BLUE if line["better"] else look.VERMILION, 0.25)
    ours = numbers.plus_minus(line["ours"], 0.5 * (line["high"] - line["low"]))
    return cell(f"{ours} | {line['printed']:.2f}", style=f"background:{tint}")
