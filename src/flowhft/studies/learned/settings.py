"""Sizes of the small trainings behind the studies. Nothing here imports jax."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.errors import require
from flowhft.runs.ranges import Count, Range, check_ranges


@dataclass(frozen=True)
class StudySettings:
    """How large the trainings are that only compare ways of learning with one another."""

    scenarios: Count = 24
    """Training scenarios that experts demonstrate in, spread over the paper's grid."""
    sessions: Annotated[int, Range(2)] = 40
    """Sessions that each teacher demonstrates in a scenario."""
    updates: Count = 2_000
    """Updates of each training."""
    width: Annotated[int, Range(2)] = 64
    """Units of every hidden layer."""
    blocks: Count = 2
    """Residual blocks."""
    seeds: Count = 5
    """Trainings of every variant, each from a seed of its own: what differs by less is not told apart."""
    paths: Annotated[int, Range(2)] = 2_000
    """Sessions by which every trained policy is judged in a cell."""
    evaluations: tuple[int, ...] = (1, 2, 4, 8, 32)
    """Evaluations of the network a quote, with which objectives are compared: powers of two up to 32."""
    imitation_updates: Count = 10_000
    """Updates of each training that is to be as faithful to its teacher as can be."""
    distil_updates: Count = 40_000
    """Updates by which the most evaluations of flow matching are distilled into one."""
    imitation_scenarios: Annotated[int, Range(2)] = 100
    """Random markets that it learns in."""
    imitation_paths: Annotated[int, Range(2)] = 8_192
    """Sessions by which it is compared with its teacher in a cell."""
    cells: str = "T1.HH,T1.HL,T1.LH,T1.LL"
    """Cells in which they are judged: by default those of the paper's ablation."""

    def __post_init__(self) -> None:
        check_ranges(self)
        allowed = (1, 2, 4, 8, 16, 32)
        some = len(self.evaluations) >= 1 and all(number in allowed for number in self.evaluations)
        require(some, "evaluations", "hold some of 1, 2, 4, 8, 16, 32", self.evaluations)
