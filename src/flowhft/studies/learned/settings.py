"""Sizes of the small trainings behind the studies. Nothing here imports jax."""

from dataclasses import dataclass

from flowhft.errors import require


@dataclass(frozen=True)
class StudySettings:
    """How large the trainings are that only compare ways of learning with one another."""

    scenarios: int = 24
    """Training scenarios that experts demonstrate in, spread over the paper's grid."""
    sessions: int = 40
    """Sessions that each teacher demonstrates in a scenario."""
    updates: int = 2_000
    """Updates of each training."""
    width: int = 64
    """Units of every hidden layer."""
    blocks: int = 2
    """Residual blocks."""
    seeds: int = 5
    """Trainings of every variant, each from a seed of its own: what differs by less is not told apart."""
    paths: int = 2_000
    """Sessions by which every trained policy is judged in a cell."""
    evaluations: tuple[int, ...] = (1, 2, 4, 8, 32)
    """Evaluations of the network a quote, with which objectives are compared: powers of two up to 32."""
    imitation_updates: int = 10_000
    """Updates of each training that is to be as faithful to its teacher as can be."""
    distil_updates: int = 40_000
    """Updates by which the most evaluations of flow matching are distilled into one."""
    imitation_scenarios: int = 100
    """Random markets that it learns in."""
    imitation_paths: int = 8_192
    """Sessions by which it is compared with its teacher in a cell."""
    cells: str = "T1.HH,T1.HL,T1.LH,T1.LL"
    """Cells in which they are judged: by default those of the paper's ablation."""

    def __post_init__(self) -> None:
        allowed = (1, 2, 4, 8, 16, 32)
        require(
            len(self.evaluations) >= 1 and all(number in allowed for number in self.evaluations),
            "evaluations",
            "hold some of 1, 2, 4, 8, 16, 32",
            self.evaluations,
        )
        for name, least in (
            *(("scenarios", 1), ("sessions", 2), ("updates", 1), ("width", 2)),
            *(
                ("blocks", 1),
                ("seeds", 1),
                ("paths", 2),
                ("imitation_updates", 1),
                ("distil_updates", 1),
                ("imitation_scenarios", 2),
                ("imitation_paths", 2),
            ),
        ):
            value = getattr(self, name)
            require(value >= least, name, f"be at least {least}", value)
