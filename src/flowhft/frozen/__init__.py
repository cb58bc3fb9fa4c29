"""Frozen policies: any policy as plain numbers and arrays, quoting in microseconds, without the lab.

`freeze_expert` and `fold` make one, `save_frozen` and `load_frozen` keep it, `begin` and `quote` run it from
Python and from compiled loops alike; `compiled` is how such a loop is compiled.
"""

from flowhft.frozen.compiled import compiled
from flowhft.frozen.fold import fold, weight_shapes
from flowhft.frozen.policy import KINDS, Frozen, Network, freeze_expert
from flowhft.frozen.quote import Memory, begin, quote
from flowhft.frozen.store import load_frozen, save_frozen

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
