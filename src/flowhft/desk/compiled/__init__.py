"""Frozen policies: any policy as plain numbers and arrays, quoting in microseconds, without the lab.

`freeze_expert` and `fold` make one, `save_frozen` and `load_frozen` keep it, `begin` and `quote` run it from
Python and from compiled loops alike; `compiled` is how such a loop is compiled.
"""

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.compiled.fold import fold, weight_shapes
from flowhft.desk.compiled.policy import KINDS, Frozen, Network, freeze_expert
from flowhft.desk.compiled.quote import Memory, begin, quote
from flowhft.desk.compiled.store import load_frozen, save_frozen

__all__ = [
    "KINDS",
    "Frozen",
    "Memory",
    "Network",
    "begin",
    "compiled",
    "fold",
    "freeze_expert",
    "load_frozen",
    "quote",
    "save_frozen",
    "weight_shapes",
]
