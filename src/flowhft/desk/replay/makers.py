"""Who quotes in a replay: what numba runs, in the compiled loop; a user's plain Python, in one of its own."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
from jaxtyping import Float, Int

from flowhft.desk.compiled import Desk, Frozen, Memory, begin, compiled, desk_of
from flowhft.desk.compiled.decide import INFINITE, NO_FAULT, OBSERVATION, RAISED, SIZE, remember
from flowhft.desk.compiled.own import own_desk
from flowhft.desk.compiled.quote import ask_desk, refuse
from flowhft.desk.journal import Journal
from flowhft.desk.orders import OrderCounts, Rules
from flowhft.desk.replay.loop import FILL_COLUMNS, FILLS_A_STEP, act, see, start, trade_compiled, with_room
from flowhft.desk.replay.plain import ReplayVenue, VenueFailed, markets_on, play
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import Tape, market_at, observe
from flowhft.desk.replay.venue import FAILED, Wire
from flowhft.desk.risk import Limits
from flowhft.desk.session import Session
from flowhft.desk.steps import COLUMNS, OBSERVED, open_run
from flowhft.errors import FlowhftError, UsageError
from flowhft.policies.own import OwnPolicy, checked_quote
from flowhft.types import Observation, Quote

# Quotes timed together, so that neither the clock nor the call into compiled code is what is measured.
BATCH, PYTHON_BATCH = 32, 4
BATCHES = 64


class Passage(NamedTuple):
    """A way through a recording, for one policy.

    Attributes:
        wire: to the venue, at the beginning of the recording.
        tape: what is known at every decision.
        rules: that orders obey.
        limits: that risk holds them to.
        settings: of the replay.
        latencies: of orders, for hftbacktest; None where they are constant.
        journal: that everything is written to; None for none.
        mid_before: (ns at the venue) -> the mid just before that, ticks.
    """

    wire: Wire
    tape: Tape
    rules: Rules
    limits: Limits
    settings: ReplaySettings
    latencies: np.ndarray | None
    journal: Journal | None
    mid_before: Callable[[int], float]


class Passed(NamedTuple):
    """What became of it.

    Attributes:
        columns: of the steps, shape (column, step), see `flowhft.desk.steps`.
        fills: shape (fill, column), see `flowhft.desk.replay.loop`.
        counts: of orders.
        code: the library's error code, 0 for none.
        step: of an error.
    """

    columns: Float[np.ndarray, "column step"]
    fills: Int[np.ndarray, "fill column"]
    counts: OrderCounts
    code: int
    step: int


class Maker(Protocol):
    """Who quotes."""

    @property
    def name(self) -> str:
        """Return the name that errors call it."""

    def trade(self, passage: Passage, seed: int) -> Passed:
        """Quote through a recording."""

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


def _pass_plainly(passage: Passage, decide: Callable[[Observation, int], Quote]) -> Passed:
    """Quote through a recording in plain Python."""
    tape, steps = passage.tape, len(passage.tape.time_ns) - 1
    venue = ReplayVenue(passage.wire, passage.rules, passage.settings, passage.latencies)
    session = Session(
        passage.rules,
        venue,
        limits=passage.limits,
        journal=passage.journal,
        room=steps,
        mid_before=passage.mid_before,
    )
    code = 0
    try:
        play(session, venue, markets_on(tape), decide)
    except VenueFailed as failure:
        code = failure.code
    session.flush()
    fills = np.array(session.fills, np.int64).reshape(-1, FILL_COLUMNS)
    columns = np.zeros((COLUMNS, steps)) if session.step < 0 else session.run.columns
    return Passed(columns, fills, session.counts, code, session.step)


@compiled
def _ask(desk: Desk, memory: Memory, observation: Observation) -> tuple[Quote, int]:
    """Return a quote and what is wrong with it, called from Python."""
    return ask_desk(desk, memory, observation)


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

    def trade(self, passage: Passage, seed: int) -> Passed:
        """See `Maker`."""
        memory, tape = self.begin(seed), passage.tape
        if passage.journal is not None:
            return _pass_plainly(passage, partial(self._decide, memory))
        run = open_run(passage.rules, market_at(tape, 0), len(tape.time_ns) - 1, passage.limits)
        fills, code, fault, step = trade_compiled(passage.wire, tape, run, self.desk, memory)
        if fault != NO_FAULT:
            seen = Observation(*run.columns[:OBSERVED, step].tolist())
            self._refuse(fault, seen, f" in step {step:,}")
        counts = OrderCounts(*map(int, run.account.counts))
        return Passed(run.columns, fills, counts, code, step)

    def _decide(self, memory: Memory, seen: Observation, step: int) -> Quote:
        wanted, fault = _ask(self.desk, memory, seen)
        if fault != NO_FAULT:
            self._refuse(fault, seen, f" in step {step:,}")
        return wanted

    def latency(self, tape: Tape, horizon: float) -> Float[np.ndarray, " batch"]:
        """See `Maker`."""
        memory, horizon_ns = self.begin(0), round(horizon * 1e9)
        return _timed(lambda first: _quote_batch(self.desk, memory, tape, horizon_ns, first), BATCH)

    def _refuse(self, fault: int, observation: Observation, where: str) -> NoReturn:
        if self.own is not None and fault in (INFINITE, SIZE, RAISED):
            # Asked again by Python, it says itself what is wrong.
            with _raised_by_user(self.name, where):
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

    def trade(self, passage: Passage, seed: int) -> Passed:
        """See `Maker`."""
        chance = np.random.default_rng(seed)
        with _raised_by_user(self.name, " before its first decision"):
            memory = self.policy.init()

        def decide(seen: Observation, step: int) -> Quote:
            nonlocal memory
            wanted, memory = self._ask(memory, seen, chance, f" in step {step:,}")
            return wanted

        if passage.journal is not None:
            return _pass_plainly(passage, decide)
        wire, tape = passage.wire, passage.tape
        run = open_run(passage.rules, market_at(tape, 0), len(tape.time_ns) - 1, passage.limits)
        fills, count, code, step = np.empty((64, FILL_COLUMNS), np.int64), 0, start(wire, tape), 0
        seen = see(tape, run, 0)
        while code < FAILED and step < run.columns.shape[1]:
            if count + FILLS_A_STEP > len(fills):
                fills = with_room(fills)
            wanted = decide(seen, step)
            code, count, seen = act(wire, tape, run, fills, count, step, wanted)
            step += 1
        return Passed(run.columns, fills[:count], OrderCounts(*map(int, run.account.counts)), code, step)

    def latency(self, tape: Tape, horizon: float) -> Float[np.ndarray, " batch"]:
        """See `Maker`."""
        horizon_ns, where = round(horizon * 1e9), " while its latency was measured"
        most = min(len(tape.time_ns), BATCHES * PYTHON_BATCH)
        seen = [observe(tape, step, horizon_ns, 0.0, 0.0, 0.0, 0.0) for step in range(most)]
        chance = np.random.default_rng(0)
        with _raised_by_user(self.name, where):
            memory = self.policy.init()

        def batch(first: int) -> None:
            nonlocal memory
            for step in range(first, first + PYTHON_BATCH):
                _, memory = self._ask(memory, seen[step % most], chance, where)

        return _timed(batch, PYTHON_BATCH)

    def _ask(
        self, memory: Any, observation: Observation, chance: np.random.Generator, where: str
    ) -> tuple[Quote, Any]:
        if not math.isfinite(sum(observation.scalars)):
            refuse(self.name, OBSERVATION, observation, where)
        with _raised_by_user(self.name, where):
            return self.policy.act(memory, observation, chance)


class _raised_by_user:
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
