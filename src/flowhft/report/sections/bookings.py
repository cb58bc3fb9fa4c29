"""How fills are booked, side by side: PnL of every policy booked whole, capped, answered, without hidden."""

from flowhft.report import numbers
from flowhft.report.charts import LEVEL, Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, cell, element, join, note, paragraph, table
from flowhft.report.sections.comparison import breakable


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write one line a policy and one column a way of booking fills, from kind to strict."""
    bookings = evidence.table("backtest/bookings")
    if bookings is None:
        return None
    names = bookings["booking"].unique(maintain_order=True).to_list()
    lines = []
    for (policy,), rows in bookings.group_by("policy", maintain_order=True):
        known = {line["booking"]: line for line in rows.iter_rows(named=True)}
        lines.append([breakable(str(policy)), *(_pnl(known.get(name)) for name in names)])
    return join(
        [
            paragraph(
                "The same replay again with its fills booked otherwise: whole, by the first trade that "
                "reaches an order; capped, by no more than was traded; capped + answered, where orders that "
                "improve the best price lose their priority as often as others were seen to answer; without "
                "hidden, where what trades inside the spread does not reach us either. A gain that does not "
                "last from left to right rests on what a replay gives away. "
                f"PnL a session, {evidence.currency}."
            ),
            table(["", *names], lines, class_="metrics"),
            note(f"Below each are {LEVEL} intervals over sessions, the same sessions for all."),
        ]
    )


def _pnl(line: dict[str, float] | None) -> Markup:
    if line is None:
        return cell("")
    interval = numbers.between(line["pnl_low"], line["pnl_high"], line["pnl"])
    return cell(numbers.significant(line["pnl"]), element("small", interval))
