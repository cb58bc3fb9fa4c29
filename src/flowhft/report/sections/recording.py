"""The recording: what it is, and what its validation found."""

from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, element, facts, join, paragraph, subtitle
from flowhft.report.sections.wording import pairs

_LABELS = {"learn_seconds": "to_learn_from_seconds", "unseen_seconds": "kept_unseen_seconds"}
_SEVERITIES = ("error", "warning")


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the facts of the recording and the findings of its validation, the gravest first."""
    record = evidence.record("recording/recording")
    if not record:
        return None
    result = record.get("findings") or []
    record = {_LABELS.get(key, key): value for key, value in record.items()}
    hidden = ("findings",) if record.get(_LABELS["unseen_seconds"]) else ("findings", *_LABELS.values())
    return join(
        [facts(pairs(record, without=hidden)), subtitle("What the validation found"), findings(result)]
    )


def findings(results: list[dict[str, str]]) -> Markup:
    """Write findings as a list, the gravest first.

    Args:
        results: objects with `severity` and `message`.
    """
    if not results:
        return paragraph("Nothing to report: every check of the recording passed.")
    rank = {name: index for index, name in enumerate(_SEVERITIES)}
    ordered = sorted(results, key=lambda item: rank.get(item.get("severity", ""), len(rank)))
    items = []
    for item in ordered:
        severity = str(item.get("severity", "note"))
        line = join([element("span", severity.capitalize(), class_="severity"), item.get("message", "")], " ")
        items.append(element("li", line, class_=severity))
    return element("ul", *items, class_="findings")
