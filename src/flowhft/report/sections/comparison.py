"""What both judgements share: the key of policies, the table of metrics, the map of differences."""

import polars as pl

from flowhft.metrics.table import METRICS
from flowhft.report import numbers, theme
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import competes
from flowhft.report.markup import Markup, cell, element, join, note, subtitle, table, text
from flowhft.report.verdict import interval_in, outcome
from flowhft.types import Interval

# Tints of better and worse: told apart by every kind of colour vision, pale enough for dark text.
_TINTS = {"better": theme.BLUE, "worse": theme.VERMILION}


def breakable(name: str) -> Markup:
    """Write a policy's name so that it may break after an underscore."""
    return Markup(text(name).replace("_", "_<wbr>"))


def key_of(policies: list[str], styles: Styles) -> Markup:
    """Write the key of policies: each a button that shows or hides it in every figure."""
    return element("div", *(_button(name, styles) for name in policies), class_="legend")


def _button(name: str, styles: Styles) -> Markup:
    kind = "learned" if styles[name].learned else ""
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
    stroke = f'stroke="{style.colour}" stroke-width="{style.width + 0.8:.3g}" stroke-dasharray="{dashes}"'
    return Markup(
        f'<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true"><path d="M0 5H22" {stroke}/></svg>'
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
        if not any(numbers.known(value.value) for value in values):
            continue
        # The exact optimum is a bound, not a competitor; nor is who never trades.
        rivals = {
            metric.direction * value.value
            for value, row in zip(values, rows, strict=True)
            if competes(row) and numbers.known(value.value)
        }
        best = max(rivals) if len(rivals) > 1 else None
        unit = numbers.unit_of(metric.name, currency)
        title = join([metric.title, element("small", unit)], " ") if unit else text(metric.title)
        cells: list[object] = [element("a", title, href=f"#metric-{metric.name}")]
        for value, row in zip(values, rows, strict=True):
            number, _, _ = numbers.together(*value)
            spread = numbers.between(value.low, value.high, value.value)
            small = element("small", spread) if spread != numbers.NOTHING else ""
            bold = competes(row) and best is not None and metric.direction * value.value == best
            cells.append(cell(number, small, class_="best" if bold else ""))
        lines.append(cells)
    remark = f"Small: {LEVEL} intervals, each policy on its own. Bold: the best of a line, perhaps by chance."
    return join([table(head, lines, class_="metrics"), note(remark)])


def difference_map(lines: list[tuple[str, str, dict[str, Interval]]], reference: str, corner: str) -> Markup:
    """Write differences to a reference, tinted where the interval excludes zero.

    Args:
        lines: title of a line, its metric, and the difference with its interval by policy.
        reference: what was subtracted.
        corner: title of the first column.
    """
    policies = list(dict.fromkeys(policy for _, _, result in lines for policy in result))
    rows = []
    for title, metric, result in lines:
        full = _full_tint([other for _, name, others in lines if name == metric for other in others.values()])
        cells = (
            _tinted(metric, result.get(policy), f"{policy} against {reference}", full) for policy in policies
        )
        rows.append([title, *cells])
    return table([corner, *map(breakable, policies)], rows, class_="map")


def _full_tint(differences: list[Interval]) -> float:
    """Return the size at which a tint no longer deepens: one bad policy must not pale the others."""
    sizes = sorted(abs(difference.value) for difference in differences if numbers.known(difference.value))
    return sizes[(2 * len(sizes)) // 3] or 1.0 if sizes else 1.0


def _tinted(metric: str, difference: Interval | None, pair: str, full: float) -> Markup:
    if difference is None or not numbers.known(difference.value):
        return cell(numbers.NOTHING)
    value, half = numbers.together(difference.value, (difference.high - difference.low) / 2.0)
    evaluated = outcome(metric, difference)
    tint = ""
    if evaluated in _TINTS:
        depth = 0.10 + 0.38 * min(1.0, abs(difference.value) / full)
        tint = f"background:{theme.faint(_TINTS[evaluated], depth)}"
    error = element("small", f" ±{half}") if half != numbers.NOTHING else ""
    words = {"even": "cannot be told apart", "unknown": "no interval"}.get(evaluated, evaluated)
    return cell(value, error, style=tint, title=f"{pair}: {words}")


def scenario_maps(differences: pl.DataFrame, metrics: tuple[str, ...], currency: str) -> Markup:
    """Write one map a metric, scenario x policy, for one reference."""
    reference = differences["reference"][0]
    ours = differences.filter(pl.col("policy") != reference)
    parts = []
    for metric in metrics:
        lines = [
            (str(scenario), metric, _by_policy(rows, metric))
            for (scenario,), rows in ours.group_by("scenario", maintain_order=True)
        ]
        parts += [
            subtitle(_titled(metric, currency, reference)),
            difference_map(lines, reference, "scenario"),
        ]
    return join(parts)


def metric_map(differences: pl.DataFrame, metrics: tuple[str, ...], currency: str) -> Markup:
    """Write one map, metric x policy, for one reference and one scenario."""
    reference = differences["reference"][0]
    ours = differences.filter(pl.col("policy") != reference)
    result = {metric: _by_policy(ours, metric) for metric in metrics}
    lines = [
        (_titled(metric, currency), metric, by_policy)
        for metric, by_policy in result.items()
        if any(numbers.known(value.value) for value in by_policy.values())
    ]
    return join([subtitle(f"Policy minus {reference}"), difference_map(lines, reference, "")])


def _by_policy(rows: pl.DataFrame, metric: str) -> dict[str, Interval]:
    return {row["policy"]: interval_in(row, metric) for row in rows.iter_rows(named=True)}


def _titled(metric: str, currency: str, reference: str = "") -> str:
    unit = numbers.unit_of(metric, currency)
    against = f": policy minus {reference}" if reference else ""
    return f"{METRICS[metric].title}{f', {unit}' if unit else ''}{against}"


MAP_NOTE = (
    f"Blue: better than the reference; orange: worse; white: cannot be told apart, because the {LEVEL} "
    "paired interval (± half its width) holds zero. Deeper is more. In drawdown, less is better."
)
