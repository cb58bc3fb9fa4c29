"""A user's own compiled function at the desk: it decides like any kind, compiled once, no loop with it."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.core.errors import NumbaError
from numba.core.types import BaseTuple
from numba.extending import overload

from flowhft.desk.compiled.compiled import specialised
from flowhft.desk.compiled.decide import INFINITE, NO_FAULT, NOWHERE, RAISED, SIZE, Decide, Memory, Packed
from flowhft.desk.compiled.quote import Desk
from flowhft.errors import UsageError
from flowhft.policies.own import OwnPolicy
from flowhft.types import Observation, Quote

_FIX = "Return a Quote, or half-spreads in ticks as (bid, ask), sizes behind them if you like; NaN: no quote."

# Every function puts itself in the place of this.
_own: Any = None


def _as_quote(result: Any) -> Quote:
    """Return what a user's function returned as a quote of floats, in compiled code."""
    raise NotImplementedError


@overload(_as_quote)
def _as_quote_in_a_loop(result: Any) -> Callable | None:
    if not isinstance(result, BaseTuple) or len(result) not in (2, 4):
        return None

    def pair(result: Any) -> Quote:
        return Quote(float(result[0]), float(result[1]), 1.0, 1.0)

    def four(result: Any) -> Quote:
        return Quote(float(result[0]), float(result[1]), float(result[2]), float(result[3]))

    return pair if len(result) == 2 else four


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    wanted, fault = NOWHERE, NO_FAULT
    try:
        wanted = _as_quote(_own(seen))
    except Exception:
        fault = RAISED
    if math.isinf(wanted.half_spread_bid) or math.isinf(wanted.half_spread_ask):
        fault = INFINITE
    if not (0.0 <= wanted.size_bid < math.inf and 0.0 <= wanted.size_ask < math.inf):
        fault = SIZE
    return wanted, fault


@cache
def _decide_of(given: Any) -> Decide:
    def compiled_quote() -> Any:
        return njit(error_model="numpy")(specialised(_quote, "quote_own", _own=given))

    return Decide("own", compiled_quote, cache=False)


def own_desk(policy: OwnPolicy) -> Desk:
    """Return a user's compiled function as compiled loops take it; it is compiled now.

    Args:
        policy: a function of the observation that numba compiles.

    Raises:
        UsageError: it cannot be compiled for an observation, or returns no quote.
    """
    try:
        address = _decide_of(policy.given).address
    except NumbaError as cause:
        raise UsageError(
            f"the policy {policy.name} must return a quote for an observation of floats where numba compiles "
            f"it; received: {str(cause).strip()}. {_FIX}"
        ) from cause
    return Desk(address, np.zeros(0), np.zeros(0, np.float32))
