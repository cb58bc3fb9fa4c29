"""A kind of policy at the desk: how its parts are checked, packed, remembered, kept, and how it decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowhft.desk.compiled.decide import Decide, Memory, Packed
from flowhft.policies.adapter import Adapter

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """What the desk must know of a kind; a rule makes its own (see `flowhft.desk.compiled.rule`).

    Attributes:
        name: in files.
        decide: its compiled decision.
        checked: (parts) -> the same, of exact types, or a `UsageError`.
        pack: (parts, adapter) -> the two arrays that the decision reads.
        memory: (parts, packed, seed) -> the memory of a session that has just begun.
        again: (function, arguments) that give it in another process.
        read: (header, arrays) -> parts, from files of the time when the desk had a format of its own; None
            for kinds that are younger.
        sees_book: whether it cannot quote without the signals of an order book.
        may_see_book: whether it looks at them where they are shown.
    """

    name: str
    decide: Decide
    checked: Callable[[Any], Any]
    pack: Callable[[Any, Adapter], Packed]
    memory: Callable[[Any, Packed, int], Memory]
    again: tuple[Callable, tuple]
    read: Callable[[Mapping[str, Any], Arrays], Any] | None = None
    sees_book: bool = False
    may_see_book: bool = False

    def __reduce__(self) -> tuple[Callable, tuple]:
        """Let another process make it again: compiled functions do not travel."""
        return self.again
