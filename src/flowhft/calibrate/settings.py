"""The choices of a calibration: how its estimators look at a recording."""

from dataclasses import dataclass
from typing import Annotated

from flowhft.errors import require
from flowhft.runs.ranges import Inside, Range, check_ranges

Seconds = Annotated[float, Range(0.0, unit="s")]


@dataclass(frozen=True)
class CalibrationSettings:
    """How a recording is calibrated.

    Attributes:
        sampling_interval: longest interval of the mid moves that volatility is measured on, seconds; short
            recordings use a shorter one, so that it fits 30 times.
        order_window: market orders of one side closer than this are one, seconds: a parent order that was
            split or routed. What its pieces set off within the window is not excitation. None = 0.01, or
            longer where the venue tells of the pieces of one order one by one.
        response_latency: how long a quote stands where it is while orders come, seconds: half the time
            between two decisions plus the way to the venue. A burst of orders within it fills a quote once.
        fit_from: nearest distance of the fill curve's fit, ticks; none = half of where quotes earn most.
        fit_to: furthest distance of the fill curve's fit, ticks; none = three times where quotes earn most.
        bootstrap_samples: how often blocks of time are drawn for the errors of the fill curve.
        confidence: of the intervals.
    """

    sampling_interval: Annotated[float, Range(0.0, least_open=True, unit="s")] = 10.0
    order_window: Seconds | None = None
    response_latency: Seconds = 0.05
    fit_from: float | None = None
    fit_to: float | None = None
    bootstrap_samples: Annotated[int, Range(100)] = 1000
    confidence: Inside = 0.95

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            UsageError: naming the field, its rule and its value.
        """
        check_ranges(self)
        both = (self.fit_from is None) == (self.fit_to is None)
        require(both, "fit_from", "come with `fit_to`", self.fit_from, "Set both or neither.")
        if self.fit_from is not None and self.fit_to is not None:
            order = 0.0 < self.fit_from < self.fit_to
            require(
                order, "fit_from", "lie between 0 and `fit_to`", f"{self.fit_from} and {self.fit_to} ticks"
            )
