"""The headline: what was learned, on what data, who won, by how much and how surely."""

from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, join, paragraph
from flowhft.report.sections import reproduction
from flowhft.report.verdict import headline


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the sentences of the verdict, one a paragraph."""
    return join(paragraph(sentence) for sentence in reproduction.headline(evidence) or headline(evidence))
