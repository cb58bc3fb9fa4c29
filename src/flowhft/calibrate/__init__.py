"""Calibration: from a recording to the parameters of a market, with errors and goodness of fit.

The room is called itself: `flowhft.calibrate(recording)` is `flowhft.stages.calibrated.calibrate`, which also
measures the scales of what the book shows. Rooms above this one are not imported here: it is found by name.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """This room, as a function: a name can only stand for one thing, and this is what the room does."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("flowhft.stages.calibrated").calibrate(*arguments, **options)


sys.modules[__name__].__class__ = _Room
