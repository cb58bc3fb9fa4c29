"""The judgement in simulation: the calibrated market, and how far it can be bent before the order changes."""

import polars as pl

from flowhft.report import charts, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, figure, folded, join, note, paragraph, row, subtitle
from flowhft.report.sections.comparison import MAP_NOTE, key_of, metrics_table, scenario_maps
from flowhft.report.sections.replayed import markout_figure
from flowhft.report.verdict import centre_of

_MAPPED = ("pnl", "sharpe", "max_drawdown")


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write tables and figures of the evaluation in simulated markets."""
    results = evidence.table("evaluate/results")
    if results is None:
        return None
    centre = centre_of(results)
    here = results.filter(pl.col("scenario") == centre)
    scenarios = results["scenario"].n_unique()
    paths = numbers.count(here["paths"][0])
    parts = [
        paragraph(
            f"{here.height} policies in {numbers.counted(scenarios, 'scenario')}, {paths} sessions each, "
            "all on the same random "
            f"numbers{f'; the scenario {centre} comes first' if scenarios > 1 else ''}."
        ),
        key_of(here["policy"].to_list(), styles),
        subtitle(f"Scenario {centre}"),
        metrics_table(here, styles, evidence.currency),
    ]
    equity = evidence.table("evaluate/equity")
    if equity is not None:
        parts.append(_curves(equity.filter(pl.col("scenario") == centre), styles, evidence.currency))
    parts.append(
        figure(
            charts.attribution(here, evidence.currency, "Where the PnL comes from"),
            "Spread is what fills earned against the mid at the decision, inventory what the mid's moves "
            "then made of the position; the diamond is what is left after fees, with its interval.",
        )
    )
    markouts = evidence.table("evaluate/markouts")
    if markouts is not None:
        parts.append(_markouts(markouts, styles))
    if equity is not None:
        parts.append(_inventories(equity.filter(pl.col("scenario") == centre), styles))
    differences = evidence.table("evaluate/differences")
    if differences is not None:
        parts.append(_maps(differences, evidence.currency))
    if equity is not None and equity["scenario"].n_unique() > 1:
        parts.append(_other_scenarios(equity.filter(pl.col("scenario") != centre), styles, evidence.currency))
    return join(parts)


def _curves(equity: pl.DataFrame, styles: Styles, currency: str) -> Markup:
    if equity.height == 0:
        return Markup()
    return row(
        figure(
            charts.over_time(equity, "equity", currency, styles, "Equity"),
            f"Mean equity over sessions; the bands are {LEVEL} intervals of the mean.",
        ),
        figure(
            charts.over_time(equity, "drawdown", currency, styles, "Drawdown"),
            f"Mean fall below the running maximum; lower is better. Bands are {LEVEL} intervals of the mean.",
        ),
    )


def _markouts(markouts: pl.DataFrame, styles: Styles) -> Markup:
    return row(
        figure(
            markout_figure(markouts, "markout", styles, "Markout"),
            "How far the mid moved in our favour after a fill: below zero, the other side knew more. A "
            f"market without adverse selection moves neither way. Bars are {LEVEL} intervals.",
        ),
        figure(
            markout_figure(markouts, "realised", styles, "Realised half-spread"),
            "What a fill was worth once the mid had moved: the distance at which it was filled plus the "
            "markout.",
        ),
    )


def _inventories(equity: pl.DataFrame, styles: Styles) -> Markup:
    if equity.height == 0:
        return Markup()
    reach = 1.05 * max(
        1.0,
        *(float(equity[f"inventory_{end}"].abs().fill_nan(0.0).max() or 0.0) for end in ("low", "high")),  # type: ignore[arg-type]
    )
    panels = [
        figure(charts.inventory_bands(rows, str(name), styles, reach), "")
        for (name,), rows in equity.group_by("policy", maintain_order=True)
    ]
    return join(
        [
            subtitle("Inventory over the session"),
            note("Line: median over sessions; band: the middle 90 % of them. All panels share one axis."),
            row(*panels, small=True),
        ]
    )


def _maps(differences: pl.DataFrame, currency: str) -> Markup:
    first, *others = (
        scenario_maps(rows, _MAPPED, currency)
        for _, rows in differences.group_by("reference", maintain_order=True)
    )
    parts = [subtitle("Scenario by scenario"), note(MAP_NOTE), first]
    if others:
        parts.append(folded("The same against other references", *others))
    return join(parts)


def _other_scenarios(equity: pl.DataFrame, styles: Styles, currency: str) -> Markup:
    panels = [
        figure(
            charts.over_time(
                rows.drop("equity_low", "equity_high"), "equity", currency, styles, str(name), 250
            ),
            "",
        )
        for (name,), rows in equity.group_by("scenario", maintain_order=True)
    ]
    return join(
        [
            subtitle("Equity in the other scenarios"),
            note("Mean equity over sessions; each panel has its own axis."),
            row(*panels, small=True),
        ]
    )
