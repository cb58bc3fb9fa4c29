"""Labels: what orders come to by their distance, over the day, and the fee at which each breaks even."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import (
    Markup,
    cell,
    element,
    figure,
    folded,
    join,
    note,
    paragraph,
    row,
    subtitle,
    table,
)

_COLOURS = (theme.VERMILION, theme.BLACK, theme.PURPLE, theme.ORANGE)
_SHOWN = 4  # offsets over the day: those that most orders were filled at


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Draw edge and probability of a fill against the offset and over time; write the break-even fees."""
    offsets, blocks = evidence.table("label/offsets"), evidence.table("label/blocks")
    if offsets is None:
        return None
    card = evidence.record("label/card")
    settings, tried = card.get("replay", {}), card.get("labels", {})
    booked = "capped at what was traded" if settings.get("partial_fills") else settings.get("fills", "whole")
    parts: list[object] = [
        paragraph(
            "Orders that were never sent, each alone: decided on what had arrived, as late at the venue as "
            f"every order, waiting in the queue ({settings.get('queue_model', 'unknown')}; fills booked "
            f"{booked}), withdrawn after {tried.get('lifetime', float('nan')):g} s. The offset is the number "
            "of ticks by which an order improves its own side's best price: 0 joins it, negative is behind. "
            "The edge is what a lot earned, side × (mid at the horizon after the fill − price), before fees: "
            "below 0, orders there are filled when the market goes through them."
        )
    ]
    names = offsets["recording"].unique(maintain_order=True).to_list()
    seconds = dict(zip(names, card.get("block_seconds", []), strict=False))
    known = dict(zip(names, card.get("recordings", []), strict=False))
    for (recording,), rows in offsets.group_by("recording", maintain_order=True):
        parts += [
            subtitle(str(recording)),
            row(figure(_edges(rows), ""), figure(_probabilities(rows), "")),
            folded("In numbers, with the fee at which each offset breaks even", _numbers(rows)),
        ]
        told = known.get(str(recording), {})
        if "order_lots" in told:
            share = 100.0 * told["answered"]
            parts.append(
                note(
                    f"Orders are of {numbers.counted(told['order_lots'], 'lot')}; {share:.0f} % of those "
                    "that improve the best price are answered: they lose their priority."
                )
            )
        if found := told.get("answers"):
            parts.append(note(_answered(found)))
        if blocks is not None:
            own = blocks.filter(pl.col("recording") == recording)
            parts.append(_over_time(own, rows, seconds.get(recording, float("nan"))))
    confidence = 100.0 * card.get("confidence", float("nan"))
    remark = (
        f"Bars are Student's intervals of {confidence:g} % over blocks of time, which count as independent; "
        "with few blocks or strong trends they are too narrow."
    )
    return join([*parts, note(remark)])


def _answered(found: dict[str, Any]) -> str:
    share = found["share"]
    low, high = (100.0 * share[end] for end in ("low", "high"))
    return (
        f"Of {found['improvements']:,} improvements of a best price {100.0 * share['value']:.0f} % "
        f"[{low:.0f}, {high:.0f}] were improved upon next, within a second: about so many orders that "
        "improve it lose their priority by default (--replay.answered)."
    )


def _bars(rows: pl.DataFrame, name: str, colour: str) -> dict[str, Any]:
    value = rows[name].to_numpy()
    return {
        "symmetric": False,
        "array": rows[f"{name}_high"].to_numpy() - value,
        "arrayminus": value - rows[f"{name}_low"].to_numpy(),
        "color": colour,
        "thickness": 1.2,
        "width": 3,
    }


def _edges(rows: pl.DataFrame) -> go.Figure:
    """Draw the edge against the offset, one line a horizon."""
    plot = theme.blank("offset, ticks better than the touch", "edge of a fill, ticks a lot", 340, "Edge")
    for number, ((horizon,), own) in enumerate(
        rows.sort("horizon", "offset").group_by("horizon", maintain_order=True)
    ):
        colour = _COLOURS[number % len(_COLOURS)]
        plot.add_trace(
            go.Scatter(
                x=own["offset"].to_numpy(),
                y=own["edge"].to_numpy(),
                error_y=_bars(own, "edge", colour),
                mode="lines+markers",
                name=f"{horizon:g} s",
                marker={"color": colour, "size": 6},
                line={"color": colour, "width": 1.5},
            )
        )
    plot.update_layout(hovermode="closest", showlegend=True)
    return plot


def _probabilities(rows: pl.DataFrame) -> go.Figure:
    """Draw the probability of a fill against the offset."""
    plot = theme.blank("offset, ticks better than the touch", "share filled", 340, "Probability of a fill")
    own = rows.filter(pl.col("horizon") == rows["horizon"].min()).sort("offset")
    plot.add_trace(
        go.Scatter(
            x=own["offset"].to_numpy(),
            y=own["probability"].to_numpy(),
            error_y=_bars(own, "probability", theme.BLACK),
            mode="lines+markers",
            name="share filled",
            marker={"color": theme.BLACK, "size": 6},
            line={"color": theme.BLACK, "width": 1.5},
        )
    )
    plot.update_layout(hovermode="closest")
    return plot


def _over_time(blocks: pl.DataFrame, rows: pl.DataFrame, seconds: float) -> Markup:
    """Draw the edge and the share filled of the offsets with most fills, block by block."""
    middle = sorted(rows["horizon"].unique())[(rows["horizon"].n_unique() - 1) // 2]
    busy = (
        rows.filter(pl.col("horizon") == middle).sort("fills", descending=True)["offset"].to_list()[:_SHOWN]
    )
    edge = theme.blank("time", "edge of a fill, ticks a lot", 300, f"Edge after {middle:g} s, over time")
    share = theme.blank("time", "share filled", 300, "Share filled, over time")
    for number, offset in enumerate(sorted(busy, reverse=True)):
        own = blocks.filter((pl.col("horizon") == middle) & (pl.col("offset") == offset))
        own = own.group_by("block").agg(pl.col("placed", "fills", "known", "edge").sum()).sort("block")
        time, unit = theme.scaled_time((own["block"].to_numpy() + 0.5) * seconds)
        with np.errstate(invalid="ignore"):
            drawn = ((edge, "edge", "known"), (share, "fills", "placed"))
            values = [own[above].to_numpy() / own[below].to_numpy() for _, above, below in drawn]
        for (plot, _, _), value in zip(drawn, values, strict=True):
            colour = _COLOURS[number % len(_COLOURS)]
            plot.add_trace(
                go.Scatter(
                    x=time,
                    y=value,
                    mode="lines",
                    name=f"{offset:+d}" if offset else "joins",
                    line={"color": colour, "width": 1.3},
                )
            )
            plot.update_layout(showlegend=True, hovermode="closest")
            plot.update_xaxes(title=f"{unit} since the first decision")
    return row(figure(edge, ""), figure(share, ""))


def _numbers(rows: pl.DataFrame) -> Markup:
    """Return a line an offset: orders, share filled, edge at every horizon, break-even fee at the longest."""
    horizons = sorted(rows["horizon"].unique())
    head = ["offset, ticks", "orders", "filled", "by hidden", *(f"edge {h:g} s, ticks" for h in horizons)]
    head.append(f"break-even fee {horizons[-1]:g} s, bps")
    lines = []
    for (offset,), own in rows.group_by("offset", maintain_order=True):
        known = {line["horizon"]: line for line in own.iter_rows(named=True)}
        last = known[horizons[-1]]
        lines.append(
            [
                f"{offset:+d}" if offset else "0",
                numbers.count(last["placed"]),
                _with_interval(last, "probability"),
                numbers.count(last["hidden"]),
                *(_with_interval(known[horizon], "edge") for horizon in horizons),
                _with_interval(last, "break_even_bps"),
            ]
        )
    return table(head, lines, class_="metrics")


def _with_interval(line: dict[str, Any], name: str) -> Markup:
    interval = numbers.between(line[f"{name}_low"], line[f"{name}_high"], line[name])
    return cell(numbers.significant(line[name]), element("small", interval))
