"""Learning curves of agents: did trial and error converge, and did every seed come to the same?"""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from flowhft.report import charts, numbers, theme
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, join, note, paragraph, row, table

_MANY = 4  # scenarios from which panels become small multiples, four in a row
_SMALL = 250  # their height, pixels
_SMOOTH = 25  # curves of this many updates and more are averaged over a fiftieth of them


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write a learning curve an agent, and what its seeds earn on validation paths."""
    curves, seeds = evidence.table("ppo/curves"), evidence.table("ppo/seeds")
    if curves is None:
        return None
    plots = [
        panel(part, str(scenario)) for (scenario,), part in curves.group_by("scenario", maintain_order=True)
    ]
    many = len(plots) > _MANY
    for plot in plots if many else ():
        plot.update_layout(height=_SMALL, margin={"l": 48, "r": 8})
    panels, side_by_side = [figure(plot, "") for plot in plots], 4 if many else 2
    counted = numbers.counted(curves["seed"].n_unique(), "seed")
    parts = [
        paragraph(
            f"Each agent was trained from {counted}, {numbers.count(int(curves['episodes'].max()))} "  # type: ignore[arg-type]
            "episodes a seed. The line is the mean over seeds of what an episode earned while the agents "
            "explored, the band reaches from the worst seed to the best; dashed is the same before the "
            "penalty on inventory. A band that stays wide is a training that depends on luck; a line that "
            "still rises is one that ended early."
        ),
        *(row(*panels[i : i + side_by_side], small=many) for i in range(0, len(panels), side_by_side)),
    ]
    progress = [
        figure(line_of(curves, "divergence", "divergence, nats"), "How far an update moves the policy."),
        figure(line_of(curves, "entropy", "entropy, nats"), "How much agents still explore."),
        figure(
            line_of(curves, "explained_variance", "explained variance"),
            "How well the critic foresees returns: 1 is perfect, below 0 is worse than the mean.",
        ),
    ]
    parts.append(row(*progress, small=True))
    if seeds is not None:
        parts.append(seeds_of(seeds))
    return join(parts)


def _bands(curves: pl.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return episodes and, over seeds, the mean, lowest and highest of a column, smoothed along updates."""
    wide = curves.pivot(on="seed", index="episodes", values=column, aggregate_function="mean").sort(
        "episodes"
    )
    values = wide.drop("episodes").to_numpy()
    width = max(1, len(values) // 50) if len(values) >= _SMOOTH else 1
    kernel = np.ones(width) / width
    smooth = np.stack([np.convolve(seed, kernel, mode="valid") for seed in values.T], axis=1)
    episodes = wide["episodes"].to_numpy()[width - 1 :]
    return episodes, smooth.mean(axis=1), smooth.min(axis=1), smooth.max(axis=1)


def panel(curves: pl.DataFrame, title: str) -> go.Figure:
    """Draw the learning curve of one agent: reward with its band over seeds, and the money behind it.

    Args:
        curves: rows of one scenario.
        title: of the figure.
    """
    plot = theme.blank("episodes", "an episode, tick x lot", 320, title)
    episodes, mean, low, high = _bands(curves, "episode_reward")
    kept = theme.thinned(mean, 300)
    plot.add_trace(charts.band(episodes[kept], low[kept], high[kept], "seeds", theme.VERMILION, 0.18))
    money = _bands(curves, "pnl")[1]
    for values, name, dash in ((mean, "reward", "solid"), (money, "PnL", "dash")):
        plot.add_trace(
            go.Scatter(
                x=episodes[kept],
                y=values[kept],
                mode="lines",
                name=name,
                line={"color": theme.VERMILION, "dash": dash, "width": 1.8},
            )
        )
    plot.update_layout(showlegend=True)
    return plot


def line_of(curves: pl.DataFrame, column: str, title: str) -> go.Figure:
    """Draw a column's mean over all agents and seeds, with its band over seeds."""
    plot = theme.blank("episodes", title, 240)
    episodes, mean, low, high = _bands(curves, column)
    kept = theme.thinned(mean, 300)
    plot.add_trace(charts.band(episodes[kept], low[kept], high[kept], "seeds", theme.BLUE, 0.18))
    line = {"color": theme.BLUE, "width": 1.8}
    plot.add_trace(go.Scatter(x=episodes[kept], y=mean[kept], mode="lines", name=column, line=line))
    return plot


def seeds_of(seeds: pl.DataFrame) -> Markup:
    """Write what every seed's agent earns on validation paths, and which was kept."""
    lines = []
    for (scenario,), every in seeds.group_by("scenario", maintain_order=True):
        kept = every.filter(pl.col("chosen")).row(0, named=True)
        reward, error = numbers.together(kept["reward"], kept["reward_error"])
        money, money_error = numbers.together(kept["pnl"], kept["pnl_error"])
        others = ", ".join(numbers.significant(value) for value in every.filter(~pl.col("chosen"))["reward"])
        lines.append([scenario, f"{reward} ± {error}", f"{money} ± {money_error}", others or numbers.NOTHING])
    head = ["scenario", "reward of the agent kept", "its PnL", "reward of the other seeds"]
    remark = (
        "Without exploration, on validation paths of their own, in tick x lot, with standard errors. The "
        "best of several seeds is flattered by chance: judge it on other paths with flowhft evaluate."
    )
    return join([table(head, lines, class_="metrics"), note(remark)])
