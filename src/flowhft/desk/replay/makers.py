"""Who quotes in a replay: what numba runs, in the compiled loop; a user's plain Python, in one of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, Protocol

import numpy as np
from jaxtyping import Float, Int

from flowhft.desk.compiled import Desk, Frozen, Memory, begin, compiled, desk_of
from flowhft.desk.compiled.decide import INFINITE, NO_FAULT, OBSERVATION, RAISED, SIZE, remember
from flowhft.desk.compiled.own import own_desk
from flowhft.desk.compiled.quote import ask_desk, refuse
from flowhft.desk.replay.loop import FILLS_A_STEP, Run, begin_step, finish_step, start, trade_compiled
from flowhft.desk.replay.orders import FILL_COLUMNS, with_room
from flowhft.desk.replay.tape import Tape, observe
from flowhft.desk.replay.venue import FAILED
from flowhft.errors import FlowhftError, UsageError
from flowhft.policies.own import OwnPolicy, checked_quote
from flowhft.types import Observation, Quote

# Quotes timed together, so that neither the clock nor the call into compiled code is what is measured.
BATCH, PYTHON_BATCH = 32, 4
BATCHES = 64


class Maker(Protocol):
    """Who quotes."""

    @property
    def name(self) -> str:
        """Return the name that errors call it."""

    def trade(self, run: Run, seed: int) -> tuple[Int[np.ndarray, "fill column"], int, int]:
        """Quote through a recording: return fills, the library's error code, and the step of an error."""

    def latency(self, tape: Tape, horizon: float) -> Float[np.ndarray, " batch"]:
        """Return the mean time of a decision in each of several batches, microseconds."""


def maker_of(name: str, policy: Frozen | OwnPolicy) -> Maker:
    """Return who quotes with a policy in a replay.

    Args:
        name: of the policy, for errors.
        policy: a frozen one, or a user's own.

    Raises:
        UsageError: a user's policy that jax runs, or a compiled function that is none of an observation.
    """
    if isinstance(policy, Frozen):
        return CompiledMaker(name, desk_of(policy), partial(begin, policy))
    policy = replace(policy, name=name)  # as errors call it
    if policy.runs == "jax":
        raise UsageError(
            f"the policy {name} must be plain Python or numba to be replayed; received one that jax runs, in "
            "simulation only. Write it with numpy or math, and numba.njit if you like."
        )
    if policy.runs == "numba" and not policy.remembers:
        return CompiledMaker(name, own_desk(policy), remember, policy)
    return PythonMaker(name, policy)


@compiled
def _quote_batch(desk: Desk, memory: Memory, tape: Tape, horizon_ns: int, first: int) -> float:
    """Quote on consecutive observations; the sum is returned so that no quote is optimised away."""
    total = 0.0
    for i in range(BATCH):
        step = (first + i) % len(tape.time_ns)
        wanted, _ = ask_desk(desk, memory, observe(tape, step, horizon_ns, 0.0, 0.0, 0.0, 0.0))
        total += wanted.half_spread_bid + wanted.half_spread_ask
    return total


def _timed(batch: Callable[[int], Any], size: int) -> Float[np.ndarray, " batch"]:
    """Return the time of a decision in each batch, microseconds, after one batch to warm up."""
    batch(0)
    taken = np.empty(BATCHES)
    for number in range(BATCHES):
        started = time.perf_counter_ns()
        batch(number * size)
        taken[number] = time.perf_counter_ns() - started
    return taken * (1e-3 / size)


@dataclass(frozen=True)
class CompiledMaker:
    """A policy that numba runs.

    Attributes:
        name: for errors.
        desk: it, as compiled loops take it.
        begin: (seed) -> the memory of a session that has just begun.
        own: the user's function that it is, if it is one.
    """

    name: str
    desk: Desk
    begin: Callable[[int], Memory]
    own: OwnPolicy | None = None

    def trade(self, run: Run, seed: int) -> tuple[Int[np.ndarray, "fill column"], int, int]:
        """See `Maker`."""
        fills, code, fault, step = trade_compiled(run, self.desk, self.begin(seed))
        if fault != NO_FAULT:
            self._refuse(fault, begin_step(run, step), f" in step {step:,}")
        return fills, code, step

    def latency(self, tape: Tape, horizon: float) -> Float[np.ndarray, " batch"]:
        """See `Maker`."""
        memory, horizon_ns = self.begin(0), round(horizon * 1e9)
        return _timed(lambda first: _quote_batch(self.desk, memory, tape, horizon_ns, first), BATCH)

    def _refuse(self, fault: int, observation: Observation, where: str) -> NoReturn:
        if self.own is not None and fault in (INFINITE, SIZE, RAISED):
            # Asked again by Python, it says itself what is wrong.
            with _said_by_user(self.name, where):
                checked_quote(self.name, self.own.given(observation))
            raise FlowhftError(
                f"the policy {self.name} must quote the same for the same observation; received two answers"
                f"{where}. Write it as an object with `init` and `act` if it remembers."
            )
        refuse(self.name, fault, observation, where)


@dataclass(frozen=True)
class PythonMaker:
    """A user's policy in plain Python, called once a decision.

    Attributes:
        name: for errors.
        policy: it.
    """

    name: str
    policy: OwnPolicy

    def trade(self, run: Run, seed: int) -> tuple[Int[np.ndarray, "fill column"], int, int]:
        """See `Maker`."""
        steps, chance = run.columns.shape[1], np.random.default_rng(seed)
        fills, count, code = np.empty((64, FILL_COLUMNS), np.int64), 0, start(run)
        with _said_by_user(self.name, " before its first decision"):
            memory = self.policy.init()
        for step in range(steps):
            if code >= FAILED:
                return fills[:count], code, step
            if count + FILLS_A_STEP > len(fills):
                fills = with_room(fills)
            wanted, memory = self._ask(memory, begin_step(run, step), chance, f" in step {step:,}")
            code, count = finish_step(run, fills, count, step, wanted)
        return fills[:count], code, steps

    def latency(self, tape: Tape, horizon: float) -> Float[np.ndarray, " batch"]:
        """See `Maker`."""
        horizon_ns, where = round(horizon * 1e9), " while its latency was measured"
        most = min(len(tape.time_ns), BATCHES * PYTHON_BATCH)
        seen = [observe(tape, step, horizon_ns, 0.0, 0.0, 0.0, 0.0) for step in range(most)]
        chance = np.random.default_rng(0)
        with _said_by_user(self.name, where):
            memory = self.policy.init()

        def batch(first: int) -> None:
            nonlocal memory
            for step in range(first, first + PYTHON_BATCH):
                _, memory = self._ask(memory, seen[step % most], chance, where)

        return _timed(batch, PYTHON_BATCH)

    def _ask(
        self, memory: Any, observation: Observation, chance: np.random.Generator, where: str
    ) -> tuple[Quote, Any]:
        if not np.isfinite(observation).all():
            refuse(self.name, OBSERVATION, observation, where)
        with _said_by_user(self.name, where):
            return self.policy.act(memory, observation, chance)


class _said_by_user:
    """Names policy and step in what a user's policy raises."""

    def __init__(self, name: str, where: str) -> None:
        self._name, self._where = name, where

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, raised: BaseException | None, trace: Any) -> None:
        if isinstance(raised, UsageError):
            raise UsageError(f"{raised} It did so{self._where}.") from raised
        if isinstance(raised, Exception):
            raise FlowhftError(
                f"the policy {self._name} must decide without an error; received {type(raised).__name__}: "
                f"{raised}{self._where}. Mend it: its traceback stands above."
            ) from raised
