"""The headline: what was learned, on what data, who won, by how much and how surely."""

from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, join, paragraph
from flowhft.report.sections import real, reproduction
from flowhft.report.sections.learned import verdict
from flowhft.report.verdict import headline


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the sentences of the verdict, one a paragraph."""
    sentences = (
        reproduction.headline(evidence)
        or real.headline(evidence)
        or verdict.headline(evidence)
        or headline(evidence)
    )
    return join(paragraph(sentence) for sentence in sentences)
