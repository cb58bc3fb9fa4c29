"""Ranges: what the values of settings may be, declared where a field is, checked in one place.

A field says its range in its type, and `__post_init__` asks for all of them at once:

    updates: Count = 80_000
    ema: Annotated[float, Range(0.0, 1.0, most_open=True)] = 0.999

Choices (`Literal`) are checked too, tuples by their elements, and None is left alone where it is allowed.
What binds two fields together is left to the settings themselves.
"""

import math
import numbers
import types
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from flowhft.errors import require


class Range(NamedTuple):
    """The numbers from `least` to `most`; infinite ones never belong to it.

    Attributes:
        least: the smallest.
        most: the largest.
        least_open: whether `least` itself is outside.
        most_open: whether `most` itself is outside.
        unit: behind the limits in a message, for example "ticks".
        fix: a sentence that ends the message.
    """

    least: float = -math.inf
    most: float = math.inf
    least_open: bool = False
    most_open: bool = False
    unit: str = ""
    fix: str = ""

    def __contains__(self, value: object) -> bool:
        """Whether a value is a number of the range: not a truth value, not infinite, and not NaN."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            return False
        number = float(value)
        above = self.least < number if self.least_open else self.least <= number
        return above and (number < self.most if self.most_open else number <= self.most)

    @property
    def rule(self) -> str:
        """Return the range in words that follow "must"."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = f"{self.least:,g}", _shown(self.most)
        if self.most < math.inf and self.least > -math.inf:
            if self.least_open == self.most_open and (self.least_open or self.most > 1):
                return f"lie between {low} and {high}{unit}"
            return (
                f"lie in {'(' if self.least_open else '['}{low}, {high}{')' if self.most_open else ']'}{unit}"
            )
        if self.least == 0 and self.least_open:
            return "be positive and finite"
        if self.least == -math.inf:
            return "be finite" if self.most == math.inf else f"be at most {high}{unit}"
        if self.least == 0:
            return f"be 0{unit} or more"
        return f"exceed {low}{unit}" if self.least_open else f"be at least {low}{unit}"


class Several(NamedTuple):
    """How many values a tuple holds, and whether each once.

    Attributes:
        least: the fewest.
        distinct: whether no value may come twice.
        name: what one value is, for example "number".
    """

    least: int = 1
    distinct: bool = False
    name: str = "number"


class Open(NamedTuple):
    """The choices of a `Literal` are those that the program brings along: users may add others in Python."""


Count = Annotated[int, Range(least=1)]
CountOrNone = Annotated[int, Range(least=0)]  # 0: none of them
Positive = Annotated[float, Range(least=0.0, least_open=True)]
NotNegative = Annotated[float, Range(least=0.0)]
Share = Annotated[float, Range(0.0, 1.0)]
Inside = Annotated[float, Range(0.0, 1.0, least_open=True, most_open=True)]


def check_ranges(settings: Any) -> None:
    """Refuse settings of which a field lies outside the range that its type declares.

    Args:
        settings: a dataclass.

    Raises:
        UsageError: naming the first such field, its range and its value.
    """
    for name, hint in _hints(settings.__class__).items():
        _check(name, hint, getattr(settings, name))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _check(name: str, hint: Any, value: Any) -> None:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if any(isinstance(rule, Open) for rule in hint.__metadata__):
            return
        for rule in hint.__metadata__:
            if isinstance(rule, Range):
                require(value in rule, name, rule.rule, value, rule.fix)
                whole = inner[0] is not int or isinstance(value, numbers.Integral)
                require(whole, name, "be a whole number", value)
            elif isinstance(rule, Several):
                fewest = f"one {rule.name}" if rule.least == 1 else f"{rule.least} {rule.name}s"
                require(len(value) >= rule.least, name, f"hold at least {fewest}", value or "none")
                once = not rule.distinct or len(set(value)) == len(value)
                require(once, name, f"hold every {rule.name} once", value)
        _check(name, inner[0], value)
    elif origin in (Union, types.UnionType):
        if value is not None:
            for kind in inner:
                if get_origin(kind) in (Annotated, Literal, tuple):
                    _check(name, kind, value)
    elif origin is Literal:
        require(value in inner, name, f"be one of {', '.join(map(str, inner))}", repr(value))
    elif origin is tuple and len(inner) == 2 and inner[1] is Ellipsis and get_origin(inner[0]) is Annotated:
        for rule in inner[0].__metadata__:
            if isinstance(rule, Range):
                require(all(item in rule for item in value), name, rule.rule, value, rule.fix)


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number == round(number, 0) and abs(number) < math.inf else f"{number:g}"
