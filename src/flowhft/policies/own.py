"""A user's own policy: a function of the observation, or an object that remembers, as a thing that quotes.

    def mine(observation):
        return 2.0 + 0.5 * observation.inventory, 2.0 - 0.5 * observation.inventory

It quotes wherever policies do: in simulation, in a replay, at the desk. How it is run is seen from what it
is: plain Python is called once a decision; what `numba.njit` or `jax.jit` has compiled runs at their speed,
the latter in the lab only.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from flowhft.errors import DataError, UnknownNameError, UsageError
from flowhft.types import Observation, Quote

Runs = Literal["python", "numba", "jax"]
SIDES = 2
_FIX = "Return a Quote, or half-spreads in ticks as (bid, ask), sizes behind them if you like; NaN: no quote."


@dataclass(frozen=True)
class OwnPolicy:
    """A user's own policy: `init` and `act` for one session, whatever it was written as.

    Attributes:
        name: for messages.
        given: the user's function or object.
        remembers: whether it is an object with `init` and `act`, rather than a function.
        runs: what runs it: plain Python, numba or jax.
        origin: file and name that it was loaded from, so that another process can load it; or None.
    """

    name: str
    given: Any
    remembers: bool
    runs: Runs
    origin: tuple[Path, str] | None = None
    kind: ClassVar[str] = "own"
    needs_scenario: ClassVar[bool] = False
    draws: ClassVar[bool] = True  # it may: nobody knows
    family: ClassVar[str] = "own"

    def in_market(self, scenario: Any) -> "OwnPolicy":
        """Return it as it is: it is told nothing of a market."""
        return self

    def init(self) -> Any:
        """Return the memory of a session that has just begun."""
        return self.given.init() if self.remembers else ()

    def act(self, memory: Any, observation: Observation, key: Any) -> tuple[Quote, Any]:
        """Return the quote for an observation, of plain floats, and the memory for the next one.

        Args:
            memory: from `init` or the decision before.
            observation: plain floats.
            key: what chance is drawn from: a `numpy.random.Generator`; only objects get it.

        Raises:
            UsageError: what came back is no quote.
        """
        if not self.remembers:
            return checked_quote(self.name, self.given(observation)), memory
        result = self.given.act(memory, observation, key)
        if not isinstance(result, tuple) or len(result) != SIDES or isinstance(result, Quote):
            raise UsageError(
                f"`act` of the policy {self.name} must return a quote and its memory, (quote, memory); "
                f"received {result!r}. Return both, the memory even where nothing is remembered."
            )
        return checked_quote(self.name, result[0]), result[1]

    def __reduce__(self) -> tuple[Callable, tuple]:
        """Let another process load it from its file, or take what it is as it is."""
        if self.origin is not None:
            return load_own_policy, (*self.origin, self.name)
        return OwnPolicy, (self.name, self.given, self.remembers, self.runs)


def checked_quote(name: str, result: Any) -> Quote:
    """Return what a user's policy returned as a quote of floats.

    Args:
        name: of the policy, for messages.
        result: a `Quote`, or two or four numbers.

    Raises:
        UsageError: it is neither, a half-spread is infinite, or a size negative or not finite.
    """
    try:
        numbers = tuple(map(float, result))
    except (TypeError, ValueError) as cause:
        raise UsageError(f"the policy {name} must return a quote; received {result!r}. {_FIX}") from cause
    if len(numbers) not in (SIDES, 2 * SIDES):
        raise UsageError(f"the policy {name} must return 2 or 4 numbers; received {len(numbers)}. {_FIX}")
    for side, half_spread in zip(("bid", "ask"), numbers, strict=False):
        if np.isinf(half_spread):
            raise UsageError(
                f"`half_spread_{side}` of the policy {name} must be finite or NaN; received inf."
            )
    for side, size in zip(("bid", "ask"), numbers[SIDES:], strict=False):
        if not 0.0 <= size < np.inf:
            raise UsageError(
                f"`size_{side}` of the policy {name} must be 0 orders or more, and finite; received {size}."
            )
    return Quote(*numbers)


def own_policy(given: Any, name: str = "", origin: tuple[Path, str] | None = None) -> OwnPolicy:
    """Return a user's function, object or class as a policy.

    Args:
        given: a function of the observation; or an object with `init()` and `act(memory, observation, key)`,
            or the class of one that is built without arguments.
        name: for messages; by default its own.
        origin: file and name that it comes from.

    Raises:
        UsageError: it is none of these.
    """
    name = name or str(getattr(given, "__name__", type(given).__name__))
    if isinstance(given, OwnPolicy):
        return given
    if isinstance(given, type):
        try:
            given = given()
        except TypeError as cause:
            raise UsageError(
                f"the policy {name} must be a class that is built without arguments; {cause}. Name an object "
                "of it, or give its arguments defaults."
            ) from cause
    remembers = callable(getattr(given, "init", None)) and callable(getattr(given, "act", None))
    if not remembers and not callable(given):
        raise UsageError(
            f"the policy {name} must be a function of the observation, or have `init()` and `act(memory, "
            f"observation, key)`; received {given!r}."
        )
    return OwnPolicy(name, given, remembers, _runs(given), origin)


def _runs(given: Any) -> Runs:
    """Return what runs a policy: seen from its type, so that neither library is imported for it."""
    modules = [kind.__module__.split(".")[0] for kind in type(given).__mro__]
    if "numba" in modules:
        return "numba"
    return "jax" if {"jax", "jaxlib", "equinox"} & set(modules) else "python"


def load_own_policy(path: Path | str, word: str, name: str = "") -> OwnPolicy:
    """Load a user's policy from a Python file, which is executed.

    Args:
        path: of the file.
        word: name of the function, object or class in it.
        name: for messages and tables; by default `word`.

    Raises:
        DataError: there is no such file, or executing it fails.
        UnknownNameError: it has no such name.
        UsageError: the name is no policy.
    """
    path = Path(path).resolve()
    if not os.path.isfile(path):
        raise DataError(f"`{path}` must be a Python file with a policy; there is none. Mend the path.")
    module_name = f"flowhft_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"`{path}` must be a Python file; it ends otherwise. Name one that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses of the file look themselves up
    try:
        spec.loader.exec_module(module)
    except Exception as cause:
        raise DataError(
            f"`{path}` must run without an error; received {type(cause).__name__}: {cause}. Mend the file."
        ) from cause
    if not hasattr(module, word):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UnknownNameError(f"policy in {path.name}", word, public)
    return own_policy(getattr(module, word), name or word, (path, word))
