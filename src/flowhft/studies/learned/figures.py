"""What the pages of the shipped policy draw: gains, trainings, causes, studies."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.metrics.table import CONFIDENCE
from flowhft.report import theme
from flowhft.report.blocks import Figures, figures
from flowhft.report.numbers import share, significant
from flowhft.studies.learned.lineup import OURS
from flowhft.studies.learned.sentences import WORDS
from flowhft.studies.learned.targets import FAITHFUL
from flowhft.studies.learned.wins import AGAINST_TEACHER, COMPARED, THREE, UTILITY

LEVEL = share(CONFIDENCE)
WIDEST = 1.5  # relative gain at the edge of the figure
PARTS = (("spread_pnl", "spread income", theme.BLUE), ("inventory_pnl", "inventory", theme.ORANGE))
LOST = (
    ("drift_pnl", "lost without drift", theme.GREEN, "diamond"),
    ("forecast_pnl", "lost without forecasts", theme.PURPLE, "circle"),
)
KEYS = ("variant", "steps", "execute", "noise_scale", "noise")  # that tell the lines of a study apart


def _lines(
    plot: go.Figure, labels: list[str], *, named: bool, below: float = 0.7, above: float = 0.3
) -> None:
    """Give every line of a figure of points its label, the first on top."""
    plot.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels[::-1] if named else [""] * len(labels),
        range=[-below, len(labels) - above],
        zeroline=False,
    )
    plot.update_layout(hovermode="closest")


def gains_figure(wins: pl.DataFrame, *, relative: bool) -> Figures:
    """Draw the gain in every cell: one panel a metric, intervals paired.

    Args:
        wins: of ours against the experts, in one market.
        relative: whether to the best expert's number. Among informed traders the best expert may hardly
            trade: a gain relative to its PnL would mean nothing.
    """
    panels = []
    names = wins["scenario"].unique(maintain_order=True).to_list()
    places = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for metric in COMPARED:
        result = wins.filter(pl.col("metric") == metric)
        theirs = np.maximum(np.abs(result["theirs"].cast(pl.Float64).to_numpy()), 1e-9)
        size = 0.01 * theirs if relative else np.ones(len(theirs))
        gain, low, high = (
            result[name].cast(pl.Float64).to_numpy() / size for name in ("gain", "low", "high")
        )
        edge = 100.0 * WIDEST if relative else float(np.nanmax(np.abs(gain), initial=1e-9))
        shown = np.clip(gain, -edge, edge)
        unit = "a session" if metric == "sharpe" else "price units"
        title = "gain, % of the best expert's" if relative else f"gain, {unit}"
        plot = theme.blank(title, "", 90 + 17 * max(len(names), 4), WORDS[metric])
        colours = [
            theme.BLUE if at > 0 else theme.VERMILION if to < 0 else theme.GREY
            for at, to in zip(low, high, strict=True)
        ]
        plot.add_trace(
            go.Scatter(
                x=shown,
                y=[places[name] for name in result["scenario"].to_list()],
                error_x={
                    "array": np.clip(high - gain, 0.0, edge),
                    "arrayminus": np.clip(gain - low, 0.0, edge),
                    "thickness": 1.2,
                    "width": 0,
                    "color": theme.QUIET,
                },
                mode="markers",
                marker={"color": colours, "size": 7},
                text=[
                    f"{line['scenario']}: {significant(line['ours'])} against "
                    f"{significant(line['theirs'])} ({line['rival']})"
                    for line in result.iter_rows(named=True)
                ],
                hovertemplate="%{text}, %{x:+.3g}<extra></extra>",
            )
        )
        first = metric == COMPARED[0]
        _lines(plot, names, named=first, below=0.8, above=0.2)
        plot.update_layout(margin={"l": 64 if first else 20, "r": 8})
        reach = min(edge, 1.1 * max(0.03 * edge, float(np.nanmax(np.abs(shown), initial=0.0))))
        plot.update_xaxes(range=[-reach, reach], zerolinewidth=2, zerolinecolor=theme.INK)
        panels.append(plot)
    caption = (
        f"Gain over the best expert. Positive is better, also for the drawdown. Blue: better at {LEVEL}; "
        f"orange: worse at {LEVEL}; grey: cannot be told."
    )
    if relative:
        caption += f" What is further than {100 * WIDEST:.0f} % is drawn at the edge."
    return figures(panels, caption, small=True)


def trainings_figure(trainings: pl.DataFrame) -> Figures:
    """Draw trainings as marks: how many cells each wins, one line a market and network.

    Args:
        trainings: from `flowhft.studies.learned.repeats.with_wins`.
    """
    lines, labels = [], []
    for (market, policy), rows in trainings.group_by("market", "policy", maintain_order=True):
        result = rows.group_by("training", maintain_order=True).agg(pl.col("won").cast(pl.Int64).sum())
        lines.append((policy == OURS, result["training"].to_list(), result["won"].to_list()))
        labels.append(f"{market}, {policy}")
    plot = theme.blank("cells won", "", 90 + 30 * max(len(lines), 3), "")
    for position, (ours, training, won) in enumerate(reversed(lines)):
        # Trainings that win as many stand one above the other.
        tied = max(won.count(count) for count in won)
        height = [position + 0.7 / max(tied, 4) * won[:i].count(count) for i, count in enumerate(won)]
        plot.add_trace(
            go.Scatter(
                x=won,
                y=height,
                mode="markers",
                text=[f"training {number}" for number in training],
                marker={"color": theme.BLUE if ours else theme.VERMILION, "size": 9, "opacity": 0.7},
                hovertemplate="%{text}: %{x}<extra></extra>",
            )
        )
    _lines(plot, labels, named=True, below=0.5, above=0.0)
    return figures(
        [plot],
        "One mark a training. Won: better than the best expert in PnL, Sharpe ratio and drawdown at once, "
        "among informed traders in utility.",
    )


def causes_figure(worth: pl.DataFrame) -> Figures:
    """Draw what the PnL is made of: bars by cause, marks for what drift and forecasts were worth.

    Args:
        worth: from `flowhft.studies.learned.attribution.attributed_in`, all markets.
    """
    ours = worth.filter(pl.col("policy") == OURS)
    plots = [
        _causes(result, f"{market} market")
        for (market,), result in ours.group_by("market", maintain_order=True)
    ]
    return figures(
        plots,
        "Cells of Tables 1 and 2 have no memory of the price, those of 3 and 4 revert (H 0.2), those of 5 "
        "and 6 trend (H 0.8): what is earned there by forecasts is a property of fractional noise.",
    )


def _causes(result: pl.DataFrame, title: str) -> go.Figure:
    names = result["scenario"].to_list()[::-1]
    plot = theme.blank("price units a session", "", 130 + 19 * max(len(names), 4), title)
    for column, name, colour in PARTS:
        values = result[column].to_list()[::-1]
        plot.add_trace(
            go.Bar(y=names, x=values, name=name, orientation="h", marker={"color": theme.faint(colour, 0.55)})
        )
    for column, name, colour, symbol in LOST:
        plot.add_trace(
            go.Scatter(
                y=names,
                x=result[column].to_list()[::-1],
                error_x={
                    "array": (result[f"{column}_high"] - result[column]).to_list()[::-1],
                    "thickness": 1.2,
                    "width": 0,
                    "color": colour,
                },
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": "white", "width": 1}},
            )
        )
    plot.update_layout(barmode="relative", bargap=0.3, showlegend=True, hovermode="y unified")
    plot.update_layout(margin={"t": 84, "l": 64})
    plot.update_xaxes(hoverformat=",.4~r", zerolinewidth=2)
    return plot


def imitation_figure(imitation: pl.DataFrame) -> Figures:
    """Draw the difference from the teacher in every cell: one panel a metric, one line a policy.

    Args:
        imitation: from `flowhft.studies.learned.faithful.faithful_in`, all cells.
    """
    imitation = imitation.filter(pl.col("against") == AGAINST_TEACHER)
    keys = ["objective", "steps"]
    lines = imitation.select(keys).unique(maintain_order=True).rows()
    row_of = {line: len(lines) - 1 - i for i, line in enumerate(lines)}
    labels = [f"{objective}, {steps}" for objective, steps in lines]
    panels = []
    for metric in THREE:
        plot = theme.blank("difference from the teacher, %", "", 90 + 24 * max(len(lines), 3), WORDS[metric])
        middle, low, high = (100.0 * imitation[f"{metric}{end}"] for end in ("", "_low", "_high"))
        plot.add_trace(
            go.Scatter(
                x=middle.to_list(),
                y=[row_of[line] for line in imitation.select(keys).rows()],
                mode="markers",
                text=imitation["scenario"].to_list(),
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": (high - middle).to_list(),
                    "arrayminus": (middle - low).to_list(),
                    "color": theme.faint(theme.BLUE, 0.2),
                    "width": 0,
                },
                hovertemplate="%{text}: %{x:+.2f} %<extra></extra>",
                marker={"color": theme.faint(theme.BLUE, 0.55), "size": 7},
            )
        )
        _lines(plot, labels, named=metric == THREE[0])
        near = 100.0 * FAITHFUL
        plot.add_vrect(x0=-near, x1=near, fillcolor=theme.faint(theme.GREEN, 0.12), line_width=0)
        plot.update_xaxes(zerolinewidth=2)
        plot.update_layout(margin={"l": 24, "r": 10})
        panels.append(plot)
    caption = (
        "One mark a cell; the number behind a policy is that of its evaluations. Bars are paired "
        f"{LEVEL} intervals, the band is {100.0 * FAITHFUL:g} %."
    )
    return figures(panels, caption, small=True)


def seeds_figure(rows: pl.DataFrame, result: pl.DataFrame, asked: dict[str, str]) -> Figures:
    """Draw every seed of a study: one panel a metric, one line a variant and sampler.

    Args:
        rows: of the study, from `flowhft.studies.learned.trainings.try_variant`.
        result: their means, from `flowhft.studies.learned.summaries.compare_variants`.
        asked: columns that tell samplers apart -> what people read.
    """
    shown = {name: words for name, words in asked.items() if result[name].n_unique() > 1}
    labels = [_label(line, shown) for line in result.iter_rows(named=True)]
    row_of = {
        tuple(line[key] for key in KEYS): len(labels) - 1 - i
        for i, line in enumerate(result.iter_rows(named=True))
    }
    seeds = rows.group_by([*KEYS, "seed"], maintain_order=True).agg(pl.col(name).mean() for name in COMPARED)
    panels = []
    for metric in (UTILITY, *THREE):
        plot = theme.blank("", "", 70 + 24 * max(len(labels), 3), WORDS[metric])
        for table, name, marker in (
            (seeds, "", {"color": theme.faint(theme.BLUE, 0.45), "size": 6}),
            (result, "mean ", {"color": theme.VERMILION, "size": 9, "symbol": "diamond"}),
        ):
            plot.add_trace(
                go.Scatter(
                    x=table[metric].to_list(),
                    y=[row_of[tuple(line[key] for key in KEYS)] for line in table.iter_rows(named=True)],
                    mode="markers",
                    marker=marker,
                    hovertemplate=f"{name}%{{x:.4g}}<extra></extra>",
                )
            )
        _lines(plot, labels, named=metric in (UTILITY, THREE[1]))  # the left one of each line
        plot.update_layout(margin={"l": 24, "r": 10})
        panels.append(plot)
    return figures(panels, "A small mark is one seed (mean over cells), a large one their mean.")


def _label(line: dict[str, Any], shown: dict[str, str]) -> str:
    words = [
        f"{title} {line[name]:g}" if isinstance(line[name], int | float) else str(line[name])
        for name, title in shown.items()
    ]
    return ", ".join([line["variant"], *words])
