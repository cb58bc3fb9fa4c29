"""Frozen policies: any policy as plain numbers and arrays, quoting in microseconds, without the lab.

`freeze_expert`, `freeze_actor` and `fold` make one, `save_frozen` and `load_frozen` keep it, `begin` and
`quote` run it from Python; a compiled loop is given its `desk_of` and calls `quote` alike. `compiled` is how
such a loop is compiled.
"""

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.compiled.decide import Memory
from flowhft.desk.compiled.fold import fold, weight_shapes
from flowhft.desk.compiled.network import Network
from flowhft.desk.compiled.policy import Frozen, freeze_actor, freeze_expert
from flowhft.desk.compiled.quote import Desk, begin, desk_of, quote
from flowhft.desk.compiled.store import load_frozen, save_frozen

__all__ = [
    "Desk",
    "Frozen",
    "Memory",
    "Network",
    "begin",
    "compiled",
    "desk_of",
    "fold",
    "freeze_actor",
    "freeze_expert",
    "load_frozen",
    "quote",
    "save_frozen",
    "weight_shapes",
]
