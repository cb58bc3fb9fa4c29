"""Named tuples of exact types: what compiled code and files take on trust."""

import operator
from typing import Any

import numpy as np

from flowhft.errors import require


def same_type(value: Any, like: Any) -> Any:
    """Return a named tuple with every number and array of exactly the type that it has in `like`.

    Raises:
        UsageError: an array has another number of axes, or something is NaN.
    """
    fields: list[Any] = []
    for name, item, model in zip(value._fields, value, like, strict=True):
        if isinstance(model, tuple):
            fields.append(same_type(item, model))
            continue
        if isinstance(model, np.ndarray):
            array = np.array(item, dtype=model.dtype, order="C")  # a copy of its own: aligned and writable
            require(array.ndim == model.ndim, name, f"have {model.ndim} axes", f"the shape {array.shape}")
            fields.append(array)
        else:
            fields.append(operator.index(item) if isinstance(model, int) else float(item))
    return type(value)(*fields)


def refuse_nan(value: Any, within: str = "") -> None:
    """Refuse NaN anywhere in a named tuple of numbers, arrays and such tuples.

    Raises:
        UsageError: it names the field.
    """
    for name, item in zip(value._fields, value, strict=True):
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            refuse_nan(item, f"{within}{name}.")
            continue
        for array in item if isinstance(item, tuple) else (item,):
            require(not np.any(np.isnan(array)), f"{within}{name}", "hold no NaN", "NaN")


def require_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape.

    Raises:
        UsageError: it names the array.
    """
    require(array.shape == shape, name, f"have the shape {shape}", array.shape)
