"""How figures look: one template, one style a policy, colours that colour-blind readers tell apart.

Source of the colours: M. Okabe, K. Ito, "Color Universal Design", 2008.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from flowhft.policies.origin import Origin
from flowhft.policies.rules import EXPERTS
from flowhft.report import numbers
from flowhft.report.evidence import LEARNED

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"
INK, QUIET, LINE = "#1b1f24", "#57606a", "#e3e6ea"

# Closed forms keep their colour from report to report; variants share the colour and differ in dash; bounds
# are black.
_EXPERT_COLOURS = {
    "no_quote": GREY,
    "white_noise": GREY,
    "avellaneda_stoikov": BLUE,
    "glft": SKY,
    "glft_drift": GREEN,
}
_LEARNED_COLOURS = (VERMILION, PURPLE, ORANGE)
_DASHES = ("solid", "dash", "dot", "dashdot")


class Style(NamedTuple):
    """How one policy is drawn, everywhere.

    Attributes:
        colour: `#rrggbb`.
        dash: of its lines, a word of plotly.
        width: of its lines, pixels.
        learned: whether nobody wrote it down as a rule.
    """

    colour: str
    dash: str
    width: float
    learned: bool = False


def styles_of(origins: Mapping[str, Origin], learned: str | None = None) -> dict[str, Style]:
    """Give every policy a style that no other has.

    Args:
        origins: of the policies by name, in the order in which they are shown.
        learned: the policy that the report is about; it gets the strongest colour.
    """
    styles: dict[str, Style] = {}
    taken: dict[str, int] = {}
    ours = [name for name, origin in origins.items() if origin.family in LEARNED]
    ours.sort(key=lambda name: name != learned)
    for name, origin in origins.items():
        if name in ours:
            colour = _LEARNED_COLOURS[ours.index(name) % len(_LEARNED_COLOURS)]
        else:
            rule = EXPERTS.get(origin.rule)
            colour = _EXPERT_COLOURS.get(rule.variant_of or rule.name if rule else "", BLACK)
        dash = _DASHES[min(taken.get(colour, 0), len(_DASHES) - 1)]
        taken[colour] = taken.get(colour, 0) + 1
        styles[name] = Style(colour, dash, 2.6 if name in ours else 1.7, name in ours)
    return styles


def faint(colour: str, opacity: float) -> str:
    """Return a colour `#rrggbb` with an opacity between 0 and 1."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3g})"


def blank(x: str, y: str, height: int = 360, title: str = "") -> go.Figure:
    """Return an empty figure in the look of the report.

    Args:
        x: title of the horizontal axis, with its unit.
        y: title of the vertical axis, with its unit.
        height: pixels.
        title: of the figure, where several stand beside one another.
    """
    plot = go.Figure()
    axis = {
        "gridcolor": LINE,
        "zerolinecolor": "#b6bcc4",
        "linecolor": "#b6bcc4",
        "showline": True,
        "ticks": "outside",
        "tickcolor": "#b6bcc4",
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    plot.update_layout(
        template="none",
        height=height,
        autosize=True,
        margin={"l": 64, "r": 16, "t": 36 if title else 14, "b": 48},
        font={
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif",
            "size": 13,
            "color": INK,
        },
        title={
            "text": title,
            "x": 0.0,
            "xref": "container",
            "y": 1.0,
            "yref": "container",
            "pad": {"t": 10},
            "yanchor": "top",
            "font": {"size": 14},
        },
        hovermode="x unified",
        hoverlabel={"namelength": -1},
        showlegend=False,
        legend={
            "orientation": "h",
            "y": 1.0,
            "yanchor": "bottom",
            "x": 0.0,
            "xanchor": "left",
        },
        paper_bgcolor="white",
        plot_bgcolor="white",
        xaxis=axis,
        yaxis=axis,
    )
    plot.update_xaxes(title_text=x)
    plot.update_yaxes(title_text=y, hoverformat=",.4~r")
    return plot


def logarithmic(plot: go.Figure, axis: str = "y") -> None:
    """Make an axis logarithmic, the vertical one or "x", its ticks at 1, 2 and 5 of every decade, in full."""
    ticks = [step * 10.0**decade for decade in range(-6, 7) for step in (1, 2, 5)]
    texts = [numbers.exact(tick) for tick in ticks]
    plot.update_layout({f"{axis}axis": {"type": "log", "tickvals": ticks, "ticktext": texts}})


def scaled_time(seconds: np.ndarray) -> tuple[np.ndarray, str]:
    """Return times in the unit that people would choose, and that unit."""
    longest = float(np.max(seconds, initial=0.0))
    if longest >= 3 * 3600.0:
        return seconds / 3600.0, "hours"
    if longest >= 5 * 60.0:
        return seconds / 60.0, "minutes"
    return seconds, "seconds"


def thinned(values: np.ndarray, points: int = 600) -> np.ndarray:
    """Return the rows that a screen can show of a curve: the ends, and the extremes of every bucket.

    Args:
        values: the curve.
        points: about how many rows to keep; an extreme is never lost.
    """
    count = len(values)
    if count <= points:
        return np.arange(count)
    edges = np.linspace(0, count, points // 2 + 1).astype(int)
    kept = {0, count - 1}
    filled = np.where(np.isfinite(values), values, 0.0)
    for first, last in itertools.pairwise(edges):
        kept.add(first + int(np.argmin(filled[first:last])))
        kept.add(first + int(np.argmax(filled[first:last])))
    return np.array(sorted(kept))
