"""Numbers and settings in the header of a policy file: of their types and finite, or refused.

JSON has no NaN, but it has texts that Python makes one of: `float("nan")`.
"""

import math
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from flowhft.errors import UnknownNameError, require
from flowhft.runs.labels import shown

Settings = TypeVar("Settings")


def number(value: Any, name: str) -> float:
    """Return a number of a header.

    Args:
        value: what stands there.
        name: of it, for the message.

    Raises:
        UsageError: it is none, or not finite.
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    require(plain and math.isfinite(value), name, "be a finite number", shown(value))
    return float(value)


def numbers(values: Any, name: str) -> dict[str, float]:
    """Return numbers by name.

    Raises:
        UsageError: they are no object of finite numbers.
    """
    require(isinstance(values, Mapping), name, "be an object of numbers", shown(values))
    return {str(key): number(value, f"{name}.{key}") for key, value in values.items()}


def settings_in(kind: type[Settings], values: Any, name: str) -> Settings:
    """Return settings, each of the type that its field has.

    Args:
        kind: their dataclass; its fields are numbers, texts and choices.
        values: what stands in the header.
        name: of it, for the message.

    Raises:
        UsageError: a value is of another type, or cannot be.
    """
    require(isinstance(values, Mapping), name, "be an object of settings", shown(values))
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise UnknownNameError(f"key of `{name}`", str(key), hints)
    for field in fields(kind):  # type: ignore[arg-type]
        value, wanted = values.get(field.name), hints[field.name]
        if field.name not in values:
            continue
        where = f"{name}.{field.name}"
        if wanted is float:
            number(value, where)
        elif wanted is int:
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(whole, where, "be a whole number", shown(value))
        else:
            require(isinstance(value, str), where, "be a text", shown(value))
    return kind(**values)
