"""Studies of how to learn: small trainings, one point a seed, and their means in a table."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from flowhft.report import look, numbers
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, figure, join, note, row, subtitle, table
from flowhft.report.sections.learned.words import COMPARED, THREE, TITLES, said

_STUDIES = {
    "ablations": "Learning from one expert alone",
    "scaling": "More and more instructors",
    "objectives": "Objectives and evaluations",
    "observation": "What policies see",
    "chunks": "Horizon, steps executed, noise",
}
_ASKED = {"steps": "evaluations", "execute": "executed", "noise_scale": "noise", "noise": ""}


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the faithful imitations, then study after study."""
    studies, summaries = evidence.table("learned/studies"), evidence.table("learned/study_summaries")
    imitation = evidence.table("learned/imitation")
    parts: list[object] = []
    if imitation is not None:
        parts += [subtitle("Faithful imitation"), said(evidence, "imitation"), _imitation(imitation)]
    if studies is None or summaries is None:
        return join(parts) if parts else None
    first = studies.row(0, named=True)
    cells = ", ".join(studies["scenario"].unique(maintain_order=True).to_list())
    parts.append(
        note(
            f"Small trainings, only to be compared with one another; {studies['seed'].n_unique()} seeds a "
            f"variant, judged in {cells} of the paper's market on {numbers.count(first['paths'])} "
            "sessions. A small mark is one seed (mean over cells), a large one their mean."
        )
    )
    for study, title in _STUDIES.items():
        rows, found = (part.filter(pl.col("study") == study) for part in (studies, summaries))
        if rows.height:
            parts += [subtitle(title), said(evidence, study), _points(rows, found), _table(found)]
    return join(parts)


def _imitation(imitation: pl.DataFrame) -> Markup:
    """Draw the difference from the teacher in every cell: one panel a metric, one line a policy."""
    imitation = imitation.filter(pl.col("against") == "teacher")
    keys = ["objective", "steps"]
    lines = imitation.select(keys).unique(maintain_order=True).rows()
    place = {line: len(lines) - 1 - i for i, line in enumerate(lines)}
    panels = []
    for metric in THREE:
        plot = look.blank("difference from the teacher, %", "", 90 + 24 * max(len(lines), 3), TITLES[metric])
        plot.add_trace(
            go.Scatter(
                x=(100.0 * imitation[metric]).to_list(),
                y=[place[line] for line in imitation.select(keys).rows()],
                mode="markers",
                text=imitation["scenario"].to_list(),
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": (100.0 * (imitation[f"{metric}_high"] - imitation[metric])).to_list(),
                    "arrayminus": (100.0 * (imitation[metric] - imitation[f"{metric}_low"])).to_list(),
                    "color": look.faint(look.BLUE, 0.2),
                    "width": 0,
                },
                hovertemplate="%{text}: %{x:+.2f} %<extra></extra>",
                marker={"color": look.faint(look.BLUE, 0.55), "size": 7},
            )
        )
        labels = [f"{objective}, {steps}" for objective, steps in reversed(lines)]
        leading = metric == THREE[0]
        plot.update_yaxes(
            tickvals=list(range(len(lines))),
            ticktext=labels if leading else [""] * len(lines),
            range=[-0.7, len(lines) - 0.3],
            zeroline=False,
        )
        plot.add_vrect(x0=-3.0, x1=3.0, fillcolor=look.faint(look.GREEN, 0.12), line_width=0)
        plot.update_xaxes(zerolinewidth=2)
        plot.update_layout(hovermode="closest", margin={"l": 24, "r": 10})
        panels.append(figure(plot, ""))
    remark = (
        "One mark a cell; the policy is told the market as its teacher is. The number is that of "
        "evaluations of the network a quote. Bars are paired 99 % intervals, the band is 3 %."
    )
    return join([row(*panels, small=True), note(remark)])


def _label(line: dict[str, Any], shown: list[str]) -> str:
    words = [f"{_ASKED[name]} {line[name]:g}" if name != "noise" else line[name] for name in shown]
    return ", ".join([line["variant"], *(word.strip() for word in words)])


def _shown(found: pl.DataFrame) -> list[str]:
    return [name for name in _ASKED if found[name].n_unique() > 1]


def _points(rows: pl.DataFrame, found: pl.DataFrame) -> Markup:
    """Draw every seed: one panel a metric, one line a variant and sampler."""
    shown, panels = _shown(found), []
    labels = [_label(line, shown) for line in found.iter_rows(named=True)]
    keys = ["variant", "steps", "execute", "noise_scale", "noise"]
    place = {
        tuple(line[key] for key in keys): len(labels) - 1 - i
        for i, line in enumerate(found.iter_rows(named=True))
    }
    seeds = rows.group_by([*keys, "seed"], maintain_order=True).agg(
        pl.col(metric).mean() for metric in COMPARED
    )
    for metric in ("utility", *THREE):
        plot = look.blank("", "", 70 + 24 * max(len(labels), 3), TITLES[metric])
        plot.add_trace(
            go.Scatter(
                x=seeds[metric].to_list(),
                y=[place[tuple(line[key] for key in keys)] for line in seeds.iter_rows(named=True)],
                mode="markers",
                marker={"color": look.faint(look.BLUE, 0.45), "size": 6},
                hovertemplate="%{x:.4g}<extra></extra>",
            )
        )
        plot.add_trace(
            go.Scatter(
                x=found[metric].to_list(),
                y=[place[tuple(line[key] for key in keys)] for line in found.iter_rows(named=True)],
                mode="markers",
                marker={"color": look.VERMILION, "size": 9, "symbol": "diamond"},
                hovertemplate="mean %{x:.4g}<extra></extra>",
            )
        )
        leading = metric in ("utility", THREE[1])  # the left one of each row
        plot.update_yaxes(
            tickvals=list(range(len(labels))),
            ticktext=labels[::-1] if leading else [""] * len(labels),
            range=[-0.7, len(labels) - 0.3],
            zeroline=False,
        )
        plot.update_layout(hovermode="closest", margin={"l": 24, "r": 10})
        panels.append(figure(plot, ""))
    first, *others = panels
    return join([row(first, join(others[:1])), row(*others[1:])])


def _table(found: pl.DataFrame) -> Markup:
    shown = _shown(found)
    rows = [
        [_label(line, shown), *(_number(line, metric) for metric in COMPARED)]
        for line in found.iter_rows(named=True)
    ]
    remark = (
        "Mean over cells and seeds ± the standard deviation over seeds; small: against the teacher, who is "
        "told the cell, on the same sessions."
    )
    head = ["", *(TITLES[metric] for metric in COMPARED)]
    times = found["latency_us"].to_list() if "latency_us" in found.columns else []
    if any(time is not None for time in times):
        head.append("frozen decision, µs")
        rows = [[*line, numbers.significant(time)] for line, time in zip(rows, times, strict=True)]
        remark += " Frozen decision: the median time of one, on the machine that made this page."
    return join([table(head, rows), note(remark)])


def _number(line: dict[str, Any], metric: str) -> Markup:
    value, spread, part = line[metric], line[f"{metric}_spread"], line.get(f"{metric}_share")
    text = numbers.significant(value) if spread is None else numbers.plus_minus(value, spread)
    return cell(text, element("small", f"{100.0 * part:+.1f} %") if part is not None else "")
