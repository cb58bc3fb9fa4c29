"""The frontier: PnL against its deviation, the exact optimum as a curve and every policy as a point."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, figure, folded, join, note, paragraph, row, table
from flowhft.report.sections.comparison import key_of
from flowhft.report.theme import Style

_A_ROW = 2  # panels side by side
MOST = 0.8  # of a curve's best PnL
_MANY = 8  # panels from which they become small multiples, four in a row
_SMALL = 250  # their height, pixels
_DECADES = 1e3  # largest over smallest risk that they show


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write one panel a scenario, and the optimum's margins on its own objective."""
    points = evidence.table("frontier/frontier")
    if points is None:
        return None
    currency = evidence.currency
    names = points["policy"].unique(maintain_order=True).to_list()
    parts = [
        paragraph(
            "The curve is the exact optimum at every risk aversion, most fearful at the left; each mark is "
            "another policy. What lies below the curve gives away PnL at the risk it takes. The optimum "
            "prices inventory and not the deviation of PnL itself, so that a mark may come to lie a little "
            "above the curve, and also by chance. Nor does it know of a memory of the price (a Hurst "
            "exponent other than 0.5): there a policy that looks at the price may come to lie far above it."
        ),
        key_of(names, styles),
    ]
    plots = [
        panel(part, styles, str(scenario), currency)
        for (scenario,), part in points.group_by("scenario", maintain_order=True)
    ]
    many = len(plots) > _MANY
    for plot in plots if many else ():
        _shrink(plot)
    panels, side_by_side = [figure(plot, "") for plot in plots], 4 if many else _A_ROW
    parts += [row(*panels[i : i + side_by_side], small=many) for i in range(0, len(panels), side_by_side)]
    margins = evidence.table("frontier/margins")
    if margins is not None:
        parts += [margins_of(margins, currency)]
    parts.append(folded("In numbers", numbers_of(points, currency)))
    return join(parts)


def _shrink(plot: go.Figure) -> None:
    """Make a panel one of many: small, and risk on a logarithmic axis, which needs no space for its ends."""
    far = float(plot.layout.xaxis.range[1]) if plot.layout.xaxis.range else 1.0
    seen = np.concatenate([np.asarray(trace.x, float) for trace in plot.data])
    near = max(float(np.min(seen[seen > 0.0], initial=far)), far / _DECADES)
    plot.update_layout(height=_SMALL, margin={"l": 48, "r": 8})
    plot.update_xaxes(type="log", dtick=1, range=[np.log10(0.8 * near), np.log10(1.1 * far)])


def panel(points: pl.DataFrame, styles: Styles, title: str, currency: str) -> go.Figure:
    """Draw the frontier of one scenario.

    The axes hold where the first curve bends and the policies near it; a policy far away is told at the edge.

    Args:
        points: rows of one scenario: swept ones with a `risk_aversion`, the others without.
        styles: of the policies; one that is not in it is drawn in grey.
        title: of the figure.
        currency: of money.
    """
    plot = theme.blank(f"PnL deviation, {currency}", f"PnL, {currency}", 340, title)
    swept = points.filter(pl.col("risk_aversion").is_not_null())
    for (name,), rows in swept.sort("risk_aversion").group_by("policy", maintain_order=True):
        style = _style(styles, str(name))
        labels = [f"γ {numbers.exact(gamma)}" for gamma in rows["risk_aversion"].to_list()]
        plot.add_trace(
            go.Scatter(
                x=rows["pnl_deviation"].to_numpy(),
                y=rows["pnl"].to_numpy(),
                error_y=_bars(rows, "pnl", style.colour),
                mode="lines+markers",
                name=str(name),
                meta=str(name),
                text=labels,
                marker={"color": style.colour, "size": 5},
                line={"color": style.colour, "dash": style.dash, "width": style.width},
            )
        )
    singles = points.filter(pl.col("risk_aversion").is_null())
    for (name,), rows in singles.group_by("policy", maintain_order=True):
        style = _style(styles, str(name))
        plot.add_trace(
            go.Scatter(
                x=rows["pnl_deviation"].to_numpy(),
                y=rows["pnl"].to_numpy(),
                error_x=_bars(rows, "pnl_deviation", style.colour),
                error_y=_bars(rows, "pnl", style.colour),
                mode="markers",
                name=str(name),
                meta=str(name),
                marker={
                    "color": style.colour,
                    "size": 10,
                    "symbol": "diamond",
                    "line": {"color": "white", "width": 1},
                },
            )
        )
    if swept.height:
        far = _furthest(swept)
        near = pl.concat([part.filter(pl.col("pnl_deviation") <= far) for part in (swept, singles)])
        for axis, column in (("x", "pnl_deviation"), ("y", "pnl")):
            values = near[column].to_numpy()
            low, high = min(0.0, float(np.min(values, initial=0.0))), float(np.max(values, initial=0.0))
            margin = 0.06 * max(high - low, 1e-9)
            plot.update_layout({f"{axis}axis": {"range": [low - margin, high + margin]}})
        beyond = singles.filter(pl.col("pnl_deviation") > far)["policy"].to_list()
        if beyond:
            words = f"further right: {', '.join(beyond)}"
            where = {"x": 1.0, "y": 0.0, "xref": "paper", "yref": "paper", "xanchor": "right"}
            plot.add_annotation(text=words, showarrow=False, font={"size": 11, "color": theme.QUIET}, **where)
    plot.update_layout(hovermode="closest")
    return plot


def margins_of(margins: pl.DataFrame, currency: str) -> Markup:
    """Write by how much the optimum is better than each policy on its own objective, scenario x policy."""
    against = str(margins["against"][0])
    lines = []
    names = margins["policy"].unique(maintain_order=True).to_list()
    for (scenario,), rows in margins.group_by("scenario", maintain_order=True):
        result = {line["policy"]: line for line in rows.iter_rows(named=True)}
        cells: list[object] = [str(scenario), numbers.exact(round(rows["objective"][0], 4))]
        for name in names:
            one = result.get(name)
            if one is None:
                cells.append(numbers.NOTHING)
                continue
            value, _, _ = numbers.together(one["margin"], one["margin_low"], one["margin_high"])
            spread = numbers.between(one["margin_low"], one["margin_high"], one["margin"])
            cells.append(cell(value, element("small", spread)))
        lines.append(cells)
    remark = (
        f"By how much {against} is better on its own objective, PnL less φ times the integral of squared "
        f"inventory, at the scenario's own risk aversion, in {currency}; {LEVEL} intervals, paired. The "
        "first column is its own value."
    )
    return join([table(["scenario", against, *names], lines, class_="metrics"), note(remark)])


def numbers_of(points: pl.DataFrame, currency: str) -> Markup:
    """Write what every policy beside the curve comes to, and how much of the time it quotes."""
    head = ["scenario", "policy", f"PnL, {currency}", f"PnL deviation, {currency}", "quoting ratio"]
    rows = [
        [
            line["scenario"],
            line["policy"],
            _half(line, "pnl"),
            _half(line, "pnl_deviation"),
            numbers.significant(line.get("quoting_ratio")),
        ]
        for line in points.filter(pl.col("risk_aversion").is_null()).iter_rows(named=True)
    ]
    return table(head, rows, class_="words")


def _half(line: dict[str, Any], name: str) -> str:
    value, low, high = (line[f"{name}{end}"] for end in ("", "_low", "_high"))
    return numbers.with_half(value, low, high)


def _furthest(swept: pl.DataFrame) -> float:
    """Return the end of the axis: twice the deviation at which the first curve has most of its PnL.

    Risk is nearly worthless to who takes more: with a drift, a maker without fear goes ten times further.
    """
    curve = swept.filter(pl.col("policy") == swept["policy"][0]).sort("pnl_deviation")
    deviation, pnl = curve["pnl_deviation"].to_numpy(), curve["pnl"].to_numpy()
    enough = deviation[pnl >= MOST * np.max(pnl)]
    return 2.0 * float(np.min(enough)) if np.max(pnl) > 0.0 else float(np.max(deviation))


def _style(styles: Styles, name: str) -> Style:
    return styles.get(name, Style(theme.GREY, "solid", 1.7))


def _bars(rows: pl.DataFrame, column: str, colour: str) -> dict[str, object]:
    value, low, high = (rows[f"{column}{end}"].to_numpy() for end in ("", "_low", "_high"))
    return {"array": high - value, "arrayminus": value - low, "color": colour, "thickness": 1.2, "width": 3}
