"""The reproduction of the FlowHFT paper: its printed numbers beside ours, and what its errors were worth."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.metrics.table import METRICS
from flowhft.report import look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import (
    Markup,
    cell,
    element,
    figure,
    folded,
    join,
    listing,
    note,
    paragraph,
    row,
    subtitle,
    table,
)

_PRINTED = ("pnl", "sharpe", "max_drawdown")
_FULL = 0.10  # relative error from which a tint no longer deepens
_HEADING = "display:block;white-space:normal;max-width:20em;padding-top:0.8em"
_WIDEST = 0.25  # relative error at the edge of the figure; what lies beyond is drawn there


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write how near ours come, what cannot be right, what errors were worth, and every table."""
    comparison, agreement = evidence.table("reproduce/comparison"), evidence.table("reproduce/agreement")
    if comparison is None or agreement is None:
        return None
    parts = [
        *_agreement(agreement),
        _errors(comparison, styles),
        *_contradictions(evidence.table("reproduce/contradictions")),
        *_unexplained(evidence.table("reproduce/unexplained")),
        *_effects(evidence.table("reproduce/effects")),
        subtitle("Tables 1 to 6"),
        note(
            "Each entry: printed, ours with half its interval, and the relative error, tinted the deeper the "
            f"larger it is (full at {_percent(_FULL)}). A framed entry is not explained."
        ),
        *_tables(comparison),
    ]
    return join(parts)


def headline(evidence: Evidence) -> list[str]:
    """Return what a reproduction found, in sentences; nothing where there is none."""
    agreement, failures = evidence.table("reproduce/agreement"), evidence.table("reproduce/contradictions")
    if agreement is None or failures is None:
        return []
    found = agreement.row(0, named=True)
    failed = failures.filter(pl.col("says") != "").height
    return [
        f"The closed forms as the paper ran them come within {_percent(found['median'], 1)} (median; 90th "
        f"percentile {_percent(found['ninetieth'], 1)}) of its {numbers.count(found['entries'])} printed "
        "numbers.",
        f"{failed} times, printed numbers contradict one another or what the text says of them.",
    ]


def _agreement(agreement: pl.DataFrame) -> Iterator[Markup]:
    rows = [
        [
            "all closed forms" if entry["part"] == "closed forms" else f"{entry['part']} {_name(entry)}",
            numbers.count(entry["entries"]),
            *(_percent(entry[name], 1) for name in ("median", "ninetieth")),
            *(_percent(entry[name]) for name in ("covered", "explained")),
        ]
        for entry in agreement.iter_rows(named=True)
        if entry["entries"]
    ]
    head = ["entries of", "numbers", "median error", "90th percentile", "covered", "explained"]
    yield table(head, rows)
    yield note(
        f"Error: relative, without its sign. Covered: our {LEVEL} interval, widened by the rounding of "
        "print, holds the printed number. Explained: the same once the printed number, too, is given the "
        "sampling error of the million trials that the paper names; chance alone may then make up the "
        "difference. The more sessions, the fewer entries are covered by any approximation of an unknown "
        "simulator; the relative error stays."
    )


def _name(entry: dict[str, Any]) -> str:
    if entry["part"] == "metric":
        return METRICS[entry["name"]].title
    return str(entry["name"]).removeprefix("T") if entry["part"] == "table" else str(entry["name"])


def _errors(comparison: pl.DataFrame, styles: Styles) -> Markup:
    """Draw the relative error of every entry: one panel a metric, one line a policy, one point a cell."""
    printed = comparison.filter(pl.col("printed").is_not_null())
    names = printed["policy"].unique(maintain_order=True).to_list()
    panels = []
    for metric in _PRINTED:
        plot = look.blank("relative error, %", "", 90 + 46 * len(names), METRICS[metric].title)
        for place, name in enumerate(names):
            found = printed.filter((pl.col("policy") == name) & (pl.col("metric") == metric))
            errors = np.clip(found["relative_error"].to_numpy(), -_WIDEST, _WIDEST)
            spread = np.linspace(-0.28, 0.28, len(errors)) if len(errors) > 1 else np.zeros(len(errors))
            plot.add_trace(
                go.Scatter(
                    x=100.0 * errors,
                    y=len(names) - 1 - place + spread,
                    mode="markers",
                    name=name,
                    meta=name,
                    text=found["scenario"].to_list(),
                    hovertemplate="%{text}: %{x:+.1f} %<extra></extra>",
                    marker={
                        "color": [
                            styles[name].colour if seen else "rgba(0,0,0,0)" for seen in found["explained"]
                        ],
                        "size": 7,
                        "line": {"color": styles[name].colour, "width": 1.4},
                    },
                )
            )
        plot.update_layout(hovermode="closest", margin={"l": 170 if metric == _PRINTED[0] else 24})
        ticks = list(reversed(names))
        plot.update_yaxes(
            tickvals=list(range(len(names))),
            ticktext=ticks if metric == _PRINTED[0] else [""] * len(names),
            range=[-0.6, len(names) - 0.4],
            zeroline=False,
        )
        plot.update_xaxes(range=[-100.0 * _WIDEST - 1.0, 100.0 * _WIDEST + 1.0], zerolinewidth=2)
        panels.append(figure(plot, ""))
    return join(
        [
            subtitle("Every printed number"),
            note(
                "One point a cell, the six tables from below to above; open where sampling and rounding do "
                f"not explain the difference. What is further off than {_percent(_WIDEST)} is drawn at the "
                "edge."
            ),
            row(*panels, small=True),
        ]
    )


def _tables(comparison: pl.DataFrame) -> Iterator[Markup]:
    head = ["cell", "policy", *(METRICS[metric].title for metric in _PRINTED)]
    for (name,), entries in comparison.group_by(pl.col("scenario").str.head(2), maintain_order=True):
        lines = []
        for (scenario, policy), found in entries.group_by("scenario", "policy", maintain_order=True):
            by_metric = {entry["metric"]: entry for entry in found.iter_rows(named=True)}
            lines.append([scenario, policy, *(_entry(by_metric[metric]) for metric in _PRINTED)])
        yield folded(f"Table {str(name).removeprefix('T')}", table(head, lines, class_="map"))


def _entry(entry: dict[str, Any]) -> Markup:
    ours = numbers.with_half(entry["ours"], entry["low"], entry["high"])
    if entry["printed"] is None:
        return cell(ours, element("small", " not printed"))
    error = entry["relative_error"]
    colour = look.BLUE if error > 0.0 else look.ORANGE
    tint = f"background:{look.faint(colour, 0.45 * min(1.0, abs(error) / _FULL))}"
    frame = "" if entry["explained"] else ";outline:1.5px solid #57606a;outline-offset:-2px"
    words = "explained by chance and rounding" if entry["explained"] else "not explained"
    return cell(
        f"{entry['printed']:.2f} | {ours}",
        element("small", f" {100.0 * error:+.1f} %"),
        style=tint + frame,
        title=words,
    )


def _contradictions(found: pl.DataFrame | None) -> Iterator[Markup]:
    if found is None:
        return
    yield subtitle("Printed numbers that cannot be right")
    yield paragraph(
        "Checked on the printed numbers alone, without any simulation: no set of parameters can mend these."
    )
    rows, failures = [], []
    for (name,), checked in found.group_by("check", maintain_order=True):
        failed = checked.filter(pl.col("says") != "")
        rows.append([name, checked["rule"][0], numbers.count(checked["entries"][0]), failed.height])
        failures += [f"{line['printed_policy']}: {line['says']}" for line in failed.iter_rows(named=True)]
    yield table(["check", "what must hold", "tried on", "fails in"], rows, class_="words")
    if failures:
        yield folded(f"Where they fail ({len(failures)})", listing(failures))


def _unexplained(found: pl.DataFrame | None) -> Iterator[Markup]:
    if found is None:
        return
    yield subtitle("The entries furthest off")
    rows = [
        [
            f"{line['scenario']} {line['policy']}",
            METRICS[line["metric"]].title,
            f"{line['printed']:.2f}",
            cell(
                numbers.plus_minus(line["ours"], 0.5 * (line["high"] - line["low"])),
                style="white-space:nowrap",
            ),
            f"{100.0 * line['relative_error']:+.1f} %",
            line["reason"],
        ]
        for line in found.iter_rows(named=True)
    ]
    head = ["entry", "metric", "printed", "ours", "error", "what the numbers say about the reason"]
    yield note(
        "Further off than rounding and sampling explain, worst first; closed forms alone, since another "
        "training of PPO is another policy."
    )
    shown = 12
    yield table(head, rows[:shown], class_="words")
    if rows[shown:]:
        yield folded(f"The other {len(rows) - shown}", table(head, rows[shown:], class_="words"))


def _effects(found: pl.DataFrame | None) -> Iterator[Markup]:
    if found is None:
        return
    yield subtitle("What each error of the runs was worth")
    yield note(
        "One thing mended at a time, everything else as run: as run → mended, and the difference with half "
        f"its paired {LEVEL} interval. {numbers.count(found['paths'][0])} sessions a side, on the same "
        "random numbers."
    )
    rows: list[list[object]] = []
    for (effect,), lines in found.group_by("effect", maintain_order=True):
        first = lines.row(0, named=True)
        change = element("small", f"{first['as_run']} → {first['mended']}")
        title = element("span", element("b", str(effect)), " ", change, style=_HEADING)
        rows.append([title, "", "", ""])
        rows += [
            [line["scenario"], *(_change(line, metric) for metric in _PRINTED)]
            for line in lines.iter_rows(named=True)
        ]
    yield table(["", *(METRICS[metric].title for metric in _PRINTED)], rows, class_="map")


def _change(line: dict[str, Any], metric: str) -> Markup:
    before, after = numbers.together(line[f"{metric}_as_run"], line[f"{metric}_mended"])
    half = 0.5 * (line[f"{metric}_high"] - line[f"{metric}_low"])
    sign = "+" if line[metric] > 0.0 else ""
    return cell(f"{before} → {after}", element("small", f" {sign}{numbers.plus_minus(line[metric], half)}"))


def _percent(part: float, decimals: int = 0) -> str:
    return f"{100.0 * part:.{decimals}f} %"
