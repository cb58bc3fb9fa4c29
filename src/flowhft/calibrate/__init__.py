"""Calibration: from a recording to the parameters of a market, with errors and goodness of fit.

The room is called itself: `flowhft.calibrate(recording)` is `flowhft.calibrate.calibrate.calibrate`.
"""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """This room, as a function: a name can only stand for one thing, and this is what the room does."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from flowhft.calibrate.calibrate import calibrate

        return calibrate(*arguments, **options)


sys.modules[__name__].__class__ = _Room
