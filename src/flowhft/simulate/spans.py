"""Which spans of paths an evaluation is cut into: decided by the number of paths alone."""

from dataclasses import dataclass

from flowhft.metrics.moments import BLOCK, Pilots

MOST_SPANS = 256  # of a scenario: files stay few for any number of paths


@dataclass(frozen=True)
class Span:
    """A range of paths of one scenario that is evaluated, kept and resumed as a whole.

    Attributes:
        scenario: its place in the list of scenarios.
        number: of the span in the scenario.
        first: index of its first path.
        paths: how many, whole blocks but at the end.
    """

    scenario: int
    number: int
    first: int
    paths: int

    def __str__(self) -> str:
        """Return its key among what is finished."""
        return f"{self.scenario:04d}-{self.number:04d}"

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First path and number of paths of every block."""
        end = self.first + self.paths
        return [(start, min(BLOCK, end - start)) for start in range(self.first, end, BLOCK)]


@dataclass(frozen=True)
class Task:
    """A span to be evaluated.

    Attributes:
        span: it.
        pilots: of the scenario's first block; none for the span that holds that block.
    """

    span: Span
    pilots: Pilots | None = None

    @property
    def group(self) -> int:
        """Return the number of the scenario, which its spans share."""
        return self.span.scenario


def spans_of(scenario: int, paths: int) -> list[Span]:
    """Return the spans of one scenario, in the order in which they are added up.

    Args:
        scenario: its place in the list of scenarios.
        paths: how many sessions are evaluated in it.
    """
    blocks = -(-paths // BLOCK)
    size = BLOCK * -(-blocks // MOST_SPANS)
    return [
        Span(scenario, number, first, min(size, paths - first))
        for number, first in enumerate(range(0, paths, size))
    ]
