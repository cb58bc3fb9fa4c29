"""The sections of the report, in reading order: each shows what the run folder holds for it, or nothing."""

from collections.abc import Callable
from typing import NamedTuple

from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence
from flowhft.report.markup import Markup
from flowhft.report.sections import (
    agents,
    bookings,
    calibration,
    closing,
    costs,
    fingerprint,
    frontier,
    headline,
    labels,
    maker,
    recording,
    replayed,
    resemblance,
    simulated,
    teachers,
    training,
    tuned,
    walked,
)


class Section(NamedTuple):
    """A part of the report.

    Attributes:
        key: anchor in the page.
        title: what people read.
        content: (evidence, styles of the policies) -> markup, or None where there is nothing to show.
    """

    key: str
    title: str
    content: Callable[[Evidence, Styles], Markup | None]


SECTIONS = (
    Section("headline", "Headline", headline.content),
    Section("recording", "The recording", recording.content),
    Section("backtest", "Evaluation on the recording", replayed.content),
    Section("walk", "Walking forward, window by window", walked.content),
    Section("costs", "What costs do", costs.content),
    Section("bookings", "How fills are booked", bookings.content),
    Section("simulation", "Evaluation in simulation", simulated.content),
    Section("frontier", "The frontier of the exact optimum", frontier.content),
    Section("fingerprint", "How the policies quote", fingerprint.content),
    Section("labels", "What orders come to, by distance", labels.content),
    Section("maker", "What a maker learned from recordings", maker.content),
    Section("calibration", "Calibration of the market", calibration.content),
    Section("resemblance", "Where the simulation resembles the market", resemblance.content),
    Section("teachers", "Teachers", teachers.content),
    Section("training", "Training", training.curves),
    Section("agents", "Agents that learned by trial and error", agents.content),
    Section("adaptation", "Adaptation", training.adaptation),
    Section("tuned", "Tuned controls", tuned.content),
    Section("choices", "What was chosen, on what data", closing.choices),
    Section("definitions", "Definitions of the metrics", closing.definitions),
    Section("warnings", "Warnings", closing.warnings),
    Section("provenance", "Provenance", closing.provenance),
)
