"""What both judgements share: the key of policies, the table of metrics, the map of differences."""

from typing import Any

import polars as pl

from flowhft.metrics import METRICS
from flowhft.report import look, numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import is_learned
from flowhft.report.markup import Markup, cell, element, join, note, table, text
from flowhft.report.verdict import interval_in, outcome

# Tints of better and worse: told apart by every kind of colour vision, pale enough for dark text.
_TINTS = {"better": look.BLUE, "worse": look.VERMILION}


def breakable(name: str) -> Markup:
    """Write a policy's name so that it may break after an underscore."""
    return Markup(text(name).replace("_", "_<wbr>"))


def key_of(policies: list[str], styles: Styles) -> Markup:
    """Write the key of policies: each a button that shows or hides it in every figure."""
    return element("div", *(_button(name, styles) for name in policies), class_="legend")


def _button(name: str, styles: Styles) -> Markup:
    kind = "learned" if is_learned(name) else ""
    return element(
        "button",
        _swatch(name, styles),
        name,
        type="button",
        data_policy=name,
        aria_pressed="true",
        class_=kind,
    )


def _swatch(name: str, styles: Styles) -> Markup:
    style = styles[name]
    dashes = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}.get(style.dash, "none")
    return Markup(
        '<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true">'
        f'<path d="M0 5H22" stroke="{style.colour}" stroke-width="{style.width + 0.8:.3g}" stroke-dasharray="{dashes}"/></svg>'
    )


def metrics_table(results: pl.DataFrame, styles: Styles, currency: str) -> Markup:
    """Write every metric of every policy with its interval; the best of a line is bold.

    Args:
        results: rows of one scenario.
        styles: of the policies.
        currency: of money.
    """
    rows = results.to_dicts()
    names = [row["policy"] for row in rows]
    head = ["", *(join([_swatch(name, styles), Markup("<br>"), breakable(name)]) for name in names)]
    lines = []
    for metric in METRICS.values():
        values = [interval_in(row, metric.name) for row in rows]
        known = [metric.direction * value.value for value in values if numbers.known(value.value)]
        if not known:
            continue
        unit = numbers.unit_of(metric.name, currency)
        title = join([metric.title, element("small", unit)], " ") if unit else text(metric.title)
        cells = []
        for value in values:
            best = metric.direction != 0 and metric.direction * value.value == max(known)
            number, _, _ = numbers.together(*value)
            spread = numbers.between(value.low, value.high, value.value)
            small = element("small", spread) if spread != numbers.NOTHING else ""
            cells.append(cell(number, small, class_="best" if best else ""))
        lines.append([element("a", title, href=f"#metric-{metric.name}"), *cells])
    return join(
        [
            table(head, lines),
            note(
                f"Small: {LEVEL} intervals, each policy on its own. Bold: the best of a line, not always by more than chance."
            ),
        ]
    )


def difference_map(differences: pl.DataFrame, metric: str, currency: str) -> Markup:
    """Write scenario x policy differences to a reference, tinted where the interval excludes zero.

    Args:
        differences: rows of one reference.
        metric: which.
        currency: of money.
    """
    reference = differences["reference"][0]
    table_of = differences.filter(pl.col("policy") != reference)
    policies = table_of["policy"].unique(maintain_order=True).to_list()
    scenarios = table_of["scenario"].unique(maintain_order=True).to_list()
    found = {
        (row["scenario"], row["policy"]): interval_in(row, metric) for row in table_of.iter_rows(named=True)
    }
    sizes = sorted(abs(value.value) for value in found.values() if numbers.known(value.value))
    # Beyond three quarters of the cells the tint no longer deepens: one bad policy must not pale the others.
    full = sizes[(3 * len(sizes)) // 4] if sizes else 1.0
    lines = []
    for scenario in scenarios:
        cells: list[Any] = [text(scenario)]
        for policy in policies:
            difference = found.get((scenario, policy))
            if difference is None:
                cells.append(cell(numbers.NOTHING))
                continue
            value, half = numbers.together(difference.value, (difference.high - difference.low) / 2.0)
            judged = outcome(metric, difference)
            tint = ""
            if judged in _TINTS:
                depth = 0.10 + 0.38 * min(1.0, abs(difference.value) / full if full else 1.0)
                tint = f"background:{look.faint(_TINTS[judged], depth)}"
            error = element("small", f" ±{half}") if half != numbers.NOTHING else ""
            cells.append(
                cell(value, error, style=tint, title=f"{policy} - {reference}, {scenario}: {judged}")
            )
        lines.append(cells)
    unit = numbers.unit_of(metric, currency)
    title = f"{METRICS[metric].title}{f', {unit}' if unit else ''}: policy minus {reference}"
    return join([element("h3", title), table(["", *map(breakable, policies)], lines, class_="map")])


MAP_NOTE = (
    f"Blue: better than the reference; orange: worse; white: cannot be told apart, the {LEVEL} paired interval "
    "(± half its width) holds zero. Deeper is more. In drawdown, less is better."
)
