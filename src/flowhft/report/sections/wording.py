"""Values of JSON files in words: keys as labels, numbers with the units that their keys name."""

from collections.abc import Iterator
from typing import Any

from flowhft.report import numbers
from flowhft.types import Interval

# Endings of keys that name a unit, and how a value in it is written.
_UNITS = {"_ms": "ms", "_us": "µs", "_ns": "ns", "_bps": "bps", "_ticks": "ticks", "_lots": "lots"}


def described(key: str, value: Any) -> tuple[str, str]:
    """Return a label and a value for people.

    Example:
        >>> described("learn_seconds", 1800.0), described("clock_offset_ms", -3.25)
        (('learn', '30 min'), ('clock offset', '-3.25 ms'))
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        words = {True: "yes", False: "no", None: numbers.NOTHING}
        return key.replace("_", " "), words.get(value, str(value)) if not isinstance(value, str) else value
    if isinstance(value, list | tuple):
        return key.replace("_", " "), ", ".join(described("", item)[1] for item in value)
    if key == "seconds" or key.endswith("_seconds"):
        return key.removesuffix("seconds").strip("_").replace("_", " ") or "length", numbers.duration(value)
    for ending, unit in _UNITS.items():
        if key.endswith(ending):
            return key.removesuffix(ending).replace("_", " "), numbers.with_unit(numbers.exact(value), unit)
    written = numbers.count(value) if isinstance(value, int) else numbers.exact(value)
    return key.replace("_", " "), written


def pairs(
    record: dict[str, Any],
    without: tuple[str, ...] = (),
    prefix: str = "",
    units: dict[str, str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Return every value of a JSON object with its label; objects inside it are opened.

    Args:
        record: what a JSON file holds.
        without: keys that are shown elsewhere.
        prefix: put before the labels.
        units: of keys whose name does not say it.
    """
    for key, value in record.items():
        if key in without:
            continue
        if isinstance(value, dict) and set(value) == {"value", "low", "high"}:
            yield f"{prefix}{key.replace('_', ' ')}", numbers.with_interval(Interval(**value))
        elif isinstance(value, dict):
            yield from pairs(value, without, f"{prefix}{key.replace('_', ' ')}: ", units)
        else:
            label, written = described(key, value)
            yield f"{prefix}{label}", numbers.with_unit(written, (units or {}).get(key, ""))
