"""Quote with a frozen policy, a few microseconds a call.

    memory = begin(frozen, seed)
    while trading:
        wanted = quote(frozen, memory, observation)  # wanted.half_spread_bid, ...

A compiled loop does the same with `desk_of(frozen)` in the place of the policy. It is compiled once: every
policy of every kind, a rule that was added a minute ago too, is one address and two arrays to it.

Features, rules and adapter are the very functions that the lab runs, compiled here. As in the lab, where
the adapter wraps a policy from outside, the previous spread that a policy remembers is that of its own
quote, before the adapter.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float, Float32
from numba import njit, types
from numba.extending import overload

from flowhft.desk.compiled.address import function_at
from flowhft.desk.compiled.decide import BOOK, FAULT, NO_BOOK, NO_FAULT, OBSERVATION, SIGNATURE, Memory
from flowhft.desk.compiled.policy import Frozen
from flowhft.errors import FlowhftError, UsageError
from flowhft.features.book import NAMES
from flowhft.types import SCALARS, Observation, Quote

_made = tuple.__new__  # a named tuple's own constructor is Python, and costs a tenth of a microsecond
_decision_at = function_at(SIGNATURE)
COUNT = len(SCALARS)


class Desk(NamedTuple):
    """A policy as a compiled loop is given it. Valid in this process, as long as its policy lives.

    Attributes:
        decide: address of its kind's decision.
        numbers, weights: the policy (see `flowhft.desk.compiled.decide.Packed`).
    """

    decide: int
    numbers: Float[np.ndarray, " number"]
    weights: Float32[np.ndarray, " weight"]


def desk_of(frozen: Frozen) -> Desk:
    """Return a policy as compiled loops take it; its kind is compiled now if it was not yet."""
    return Desk(frozen.decide.address, *frozen.packed)


def begin(frozen: Frozen, seed: int) -> Memory:
    """Return the memory with which a session begins. Python calls it, before a compiled loop.

    Args:
        frozen: the policy.
        seed: of its stream of random numbers, see `flowhft.runs.folder.stream`; without effect where none is
            drawn.
    """
    return frozen.kind.memory(frozen.parts, frozen.packed, seed)


def quote(frozen: Any, memory: Memory, observation: Observation) -> Quote:
    """Return the policy's quote for an observation, and change its memory in place.

    Compiled loops call it likewise, with a `Desk`; there a fault is an error without details.

    Args:
        frozen: the policy, a `Frozen`.
        memory: from `begin`, of this policy and this session.
        observation: what the market maker sees, finite numbers of any type.

    Returns:
        Half-spreads of bid and ask, ticks; NaN where a rule does not quote a side. Sizes in orders.

    Raises:
        UsageError: a number of the observation is NaN or infinite.
        FlowhftError: the network's output is.
    """
    book = observation.book
    numbers, book = observation[:COUNT], NO_BOOK if book is None else book
    try:
        bid, ask = frozen.decide.call(*frozen.packed, *memory, *numbers, book)
    except TypeError:  # arrays without an axis and the like: converted here, where they are rare
        shown = np.ascontiguousarray(book, np.float64)
        bid, ask = frozen.decide.call(*frozen.packed, *memory, *map(float, numbers), shown)
    if bid == bid:
        return _made(Quote, (bid, ask, 1.0, 1.0))
    fault = int(memory.state[FAULT])
    if fault != NO_FAULT:
        refuse(f"of kind {frozen.kind.name}", fault, observation)
    return _made(Quote, memory.state[:FAULT].tolist())


def refuse(name: str, fault: int, observation: Observation, where: str = "") -> NoReturn:
    """Raise the error of a decision that went wrong.

    Args:
        name: of the policy.
        fault: what went wrong.
        observation: that it decided on.
        where: when, for example " in step 3".
    """
    if fault == OBSERVATION:
        wrong = ", ".join(
            f"{field} {float(value)}"
            for field, value in zip(SCALARS, observation.scalars, strict=True)
            if not np.isfinite(value)
        )
        raise UsageError(
            f"`observation` of the policy {name} must be finite numbers; received {wrong}{where}. Mend what "
            "it is made from."
        )
    if fault == BOOK:
        shown = 0 if observation.book is None else len(observation.book)
        raise UsageError(
            f"`book` of the observation must hold the {len(NAMES)} signals that the policy {name} looks at; "
            f"received {shown or 'none'}{where}. Use it where a market has an order book: a recording with "
            "depth and sizes."
        )
    raise FlowhftError(
        f"the policy {name} must quote finite half-spreads; its network gave others{where}. Its weights or "
        "scales are not those of a trained policy, or what it sees is far from all that it was trained on."
    )


def _book_of(book: Any) -> np.ndarray:
    """Return the book of an observation as decisions take it, in compiled code."""
    raise NotImplementedError


@overload(_book_of)
def _book_of_in_a_loop(book: Any) -> Callable:
    def none(book: Any) -> np.ndarray:
        return np.empty(0, np.float64)

    def shown(book: Any) -> np.ndarray:
        return book

    return shown if isinstance(book, types.Array) else none


@njit(error_model="numpy")
def ask_desk(desk: Desk, memory: Memory, observation: Observation) -> tuple[Quote, int]:
    """Return a quote and what is wrong with it (`NO_FAULT` for nothing), in compiled code."""
    decide = _decision_at(desk.decide)
    bid, ask = decide(
        desk.numbers,
        desk.weights,
        memory.state,
        memory.features,
        memory.chunk,
        memory.cursor,
        memory.random,
        memory.vectors,
        float(observation.time),
        float(observation.time_left),
        float(observation.mid_price),
        float(observation.inventory),
        float(observation.cash),
        float(observation.arrivals_bid),
        float(observation.arrivals_ask),
        float(observation.intensity_bid),
        float(observation.intensity_ask),
        float(observation.filled_bid),
        float(observation.filled_ask),
        _book_of(observation.book),
    )
    if bid == bid:
        return Quote(bid, ask, 1.0, 1.0), NO_FAULT
    whole = memory.state
    return Quote(whole[0], whole[1], whole[2], whole[3]), int(whole[FAULT])


@overload(quote, jit_options={"error_model": "numpy"})
def _quote_in_a_loop(frozen: Desk, memory: Memory, observation: Observation) -> Callable:
    def compiled_quote(frozen: Desk, memory: Memory, observation: Observation) -> Quote:
        wanted, fault = ask_desk(frozen, memory, observation)
        if fault != NO_FAULT:
            raise FlowhftError("a policy must quote finite half-spreads for finite observations.")
        return wanted

    return compiled_quote
