"""Frozen policies: any policy as plain numbers and arrays, quoting in microseconds, without the lab.

`freeze` makes one of a policy, `load_frozen` of its file, `begin` and `quote` run it from Python; a compiled
loop is given its `desk_of` and calls `quote` alike. `compiled` is how such a loop is compiled.
"""

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.compiled.decide import Memory
from flowhft.desk.compiled.fold import fold, weight_shapes
from flowhft.desk.compiled.freeze import freeze, load_frozen
from flowhft.desk.compiled.network import Network
from flowhft.desk.compiled.policy import Frozen, freeze_actor, freeze_expert
from flowhft.desk.compiled.quote import Desk, begin, desk_of, quote

__all__ = [
    "Desk",
    "Frozen",
    "Memory",
    "Network",
    "begin",
    "compiled",
    "desk_of",
    "fold",
    "freeze",
    "freeze_actor",
    "freeze_expert",
    "load_frozen",
    "quote",
    "weight_shapes",
]
