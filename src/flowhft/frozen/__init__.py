"""Frozen policies under their old name, for a release: use `flowhft.load_frozen`, `begin` and `quote`.

Everything here comes from `flowhft.desk.compiled`.
"""

import warnings

from flowhft.desk.compiled import (
    Frozen,
    Memory,
    Network,
    begin,
    compiled,
    fold,
    freeze_expert,
    load_frozen,
    quote,
    weight_shapes,
)

__all__ = [
    "Frozen",
    "Memory",
    "Network",
    "begin",
    "compiled",
    "fold",
    "freeze_expert",
    "load_frozen",
    "quote",
    "weight_shapes",
]

warnings.warn(
    "`flowhft.frozen` is now `flowhft.desk.compiled`; its everyday names are `flowhft.load_frozen`, "
    "`flowhft.begin` and `flowhft.quote`. The old name goes with the next release.",
    DeprecationWarning,
    stacklevel=2,
)
