"""The headline: what was learned, on what data, who won, by how much and how surely."""

from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup, join, paragraph
from flowhft.report.verdict import headline


def content(evidence: Evidence, styles: Styles) -> Markup | None:
    """Write the sentences of the verdict, one a paragraph: a study's own, where there is a page of one."""
    sentences = list(evidence.page.headline) if evidence.page else headline(evidence)
    return join(paragraph(sentence) for sentence in sentences)
