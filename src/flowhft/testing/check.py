"""`check_policy`: whether a policy is the same thing everywhere it quotes.

What holds for the policies of flowhft, whatever their kind, can be asked of a user's own:

    from flowhft.testing import check_policy
    check_policy(my_function)
    check_policy("runs/adapt")
"""

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowhft.desk.compiled import Frozen, begin, quote
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import UsageError
from flowhft.policies.file import load_policy as load_file
from flowhft.policies.file import save_policy
from flowhft.policies.names import FoldedFile, Named
from flowhft.policies.own import OwnPolicy
from flowhft.policies.policy import Policy
from flowhft.policies.reference import Reference
from flowhft.scenarios.presets import find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.policies import load_policy
from flowhft.types import Observation, Quote

SCENARIO = "T1.LL"
STEPS = 40
TOLERANCE = 2e-4  # of a half-spread of one unit, 1 / k: single precision in the lab


class CheckError(AssertionError):
    """A policy does not keep what every policy keeps; the message says what, where and with which numbers."""


class Session(NamedTuple):
    """One way to let a policy quote: what it is called, and how a session begins.

    Attributes:
        name: of the executor, for messages.
        begin: () -> (observation) -> quote: a new session of the same seed.
    """

    name: str
    begin: Callable[[], Callable[[Observation], Quote]]


def check_policy(
    policy: Any, scenario: str | Scenario = SCENARIO, *, steps: int = STEPS, seed: int = 0
) -> list[str]:
    """Check that a policy is the same thing in every executor, in a file, and in two sessions of one seed.

    Args:
        policy: a name, a file, a run folder, an expert, a function or an object of your own, or what training
            returned: all that `flowhft.evaluate` takes.
        scenario: whose units it quotes in, and what it is told if it is one that is told.
        steps: decisions of the sessions that are compared.
        seed: of the observations that it is shown.

    Returns:
        What was checked, a line each.

    Raises:
        CheckError: what does not hold, with the step, the observation and the quotes.
        UsageError: it is no policy.
    """
    market = find_scenarios(scenario)[0] if isinstance(scenario, str) else scenario
    named = load_policy(policy, frozen=True)
    seen = observations(market, steps, seed)
    unit = 1.0 / market.fill_decay
    sessions = list(_sessions(named, market, seed))
    checked = []
    quotes = {one.name: _run(one, seen) for one in sessions}
    for name, result in quotes.items():
        _require_quotes(name, result, seen)
        checked.append(f"{name}: {_words(result)}")
    for one in sessions:
        again = _run(one, seen)
        _same(f"{one.name}, twice from the same seed", quotes[one.name], again, seen, 0.0)
        first, second, apart = one.begin(), one.begin(), []
        for observation in seen:
            apart.append(first(observation))
            second(observation._replace(inventory=observation.inventory + 3.0))
        _same(f"{one.name}, beside another session", quotes[one.name], apart, seen, 0.0)
    checked.append("same seed, same quotes, whatever other sessions do")
    if len(sessions) > 1 and not named.policy.draws:
        (first_name, expected), *others = quotes.items()
        for name, result in others:
            _same(f"{first_name} against {name}", expected, result, seen, TOLERANCE * unit)
        checked.append(f"the same quotes in {', '.join(quotes)}")
    checked += _check_whole_numbers(sessions, seen)
    if isinstance(named.policy, Policy):
        checked += _check_file(named.policy, market, seed, seen, quotes)
    return checked


def observations(scenario: Scenario, steps: int, seed: int) -> list[Observation]:
    """Return what a maker of no particular skill sees in one session of a scenario, plain floats.

    Args:
        scenario: its units are used: times, moves, rates.
        steps: decisions, evenly over the session.
        seed: of the numbers.
    """
    random = np.random.default_rng(seed)
    dt = scenario.horizon / steps
    rate = max(scenario.mean_intensity, 1e-9)
    mid = cash = inventory = 0.0
    fills, results = (0.0, 0.0), []
    for i in range(steps):
        bid, ask = random.poisson(min(rate * dt, 50.0), size=2)
        intensities = rate * random.uniform(0.5, 2.0, size=2)
        results.append(
            Observation(
                time=i * dt,
                time_left=scenario.horizon - i * dt,
                mid_price=mid,
                inventory=inventory,
                cash=cash,
                arrivals_bid=float(bid),
                arrivals_ask=float(ask),
                intensity_bid=float(intensities[0]),
                intensity_ask=float(intensities[1]),
                filled_bid=fills[0],
                filled_ask=fills[1],
            )
        )
        fills = (float(random.integers(0, 2)), float(random.integers(0, 2)))
        inventory += fills[0] - fills[1]
        cash -= (fills[0] - fills[1]) * mid
        mid += scenario.volatility_ticks * dt**0.5 * random.standard_normal()
    return results


def _sessions(named: Named, scenario: Scenario, seed: int) -> Iterator[Session]:
    """Yield every way in which a policy can quote."""
    policy = named.policy
    if isinstance(policy, Policy) and not named.policy.draws:
        reference = Reference(policy.in_market(scenario))
        yield Session("numpy", lambda: _explicit(reference, None))
    if isinstance(policy, OwnPolicy):
        if policy.runs != "jax":
            yield Session("python", lambda: _explicit(policy, np.random.default_rng(seed)))
        else:
            yield Session("jax", lambda: _in_jax(named, scenario, seed))
        return
    frozen: Frozen = freeze(named, scenario)
    yield Session("numba", lambda: _at_the_desk(frozen, seed))
    if not isinstance(policy, FoldedFile | Frozen):
        yield Session("jax", lambda: _in_jax(named, scenario, seed))


def _explicit(policy: Any, key: Any) -> Callable[[Observation], Quote]:
    """Return a session of anything with `init` and `act`."""
    memory = policy.init()

    def decide(observation: Observation) -> Quote:
        nonlocal memory
        kept = copy.deepcopy(memory)
        result, memory = policy.act(memory, observation, key)
        if isinstance(key, np.random.Generator):
            return result
        again, _ = policy.act(kept, observation, key)  # resumes from any memory
        if not _equal(result, again, 0.0):
            raise CheckError(
                f"a memory must be all that a policy remembers; it quoted {result}, then {again}."
            )
        return result

    return decide


def _at_the_desk(frozen: Frozen, seed: int) -> Callable[[Observation], Quote]:
    memory = begin(frozen, seed)
    return lambda observation: quote(frozen, memory, observation)


def _in_jax(named: Named, scenario: Scenario, seed: int) -> Callable[[Observation], Quote]:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from flowhft.simulate.quoting.lab import in_lab

    policy = in_lab(named, scenario)
    act = eqx.filter_jit(lambda policy, memory, seen, key: policy.act(memory, seen, key))
    memory, step = policy.init(), 0

    def decide(observation: Observation) -> Quote:
        nonlocal memory, step
        seen = Observation(*(jnp.float32(number) for number in observation.scalars))
        result, memory = act(policy, memory, seen, jax.random.fold_in(jax.random.key(seed), step))
        step += 1
        return Quote(*(float(number) for number in result))

    return decide


def _run(session: Session, seen: Sequence[Observation]) -> list[Quote]:
    decide = session.begin()
    return [decide(observation) for observation in seen]


def _equal(one: Quote, other: Quote, tolerance: float) -> bool:
    return all(
        (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance + tolerance * abs(b)
        for a, b in zip(map(float, one), map(float, other), strict=True)
    )


def _same(
    what: str,
    expected: Sequence[Quote],
    results: Sequence[Quote],
    seen: Sequence[Observation],
    tolerance: float,
) -> None:
    for step, (one, other) in enumerate(zip(expected, results, strict=True)):
        if not _equal(one, other, tolerance):
            raise CheckError(
                f"{what}: quotes must be the same to {tolerance:g} ticks; in step {step} received {one} and "
                f"{other}, for {seen[step]}."
            )


def _require_quotes(name: str, results: Sequence[Quote], seen: Sequence[Observation]) -> None:
    """Refuse what is no quote: infinite half-spreads, sizes that are negative or no numbers."""
    for step, one in enumerate(results):
        bid, ask, *sizes = map(float, one)
        if math.isinf(bid) or math.isinf(ask) or not all(0.0 <= size < math.inf for size in sizes):
            raise CheckError(
                f"{name}: half-spreads must be finite or NaN, sizes 0 or more and finite; in step {step} "
                f"received {one}, for {seen[step]}."
            )


def _words(results: Sequence[Quote]) -> str:
    sides = [float(side) for one in results for side in one[:2]]
    quoted = [side for side in sides if not math.isnan(side)]
    if not quoted:
        return "quotes nothing"
    share = len(quoted) / len(sides)
    return f"half-spreads {min(quoted):.3g} to {max(quoted):.3g} ticks, {share:.0%} of sides quoted"


def _check_whole_numbers(sessions: Sequence[Session], seen: Sequence[Observation]) -> list[str]:
    """Check that integers in an observation are taken for the numbers that they are."""
    for one in sessions:
        as_floats, as_integers = one.begin(), one.begin()
        for observation in seen[:2]:
            whole = Observation(*map(round, observation.scalars))
            expected = as_floats(Observation(*map(float, whole.scalars)))
            result = as_integers(whole)
            _same(f"{one.name}, integers against floats", [expected], [result], [whole], 0.0)
    return ["integers are taken for floats"]


def _check_file(
    policy: Policy,
    scenario: Scenario,
    seed: int,
    seen: Sequence[Observation],
    quotes: dict[str, list[Quote]],
) -> list[str]:
    """Check that what is loaded quotes as what was saved: the policy, and the policy told its market."""
    with tempfile.TemporaryDirectory() as folder:
        for name, kept in (("policy", policy), ("policy in its market", policy.in_market(scenario))):
            path = Path(folder) / "policy.safetensors"
            try:
                save_policy(path, kept)
                loaded = load_file(path)
            except UsageError as cause:
                raise CheckError(f"the {name} must go into a file; {cause}") from cause
            decide = _at_the_desk(freeze(loaded, scenario), seed)
            results = [decide(observation) for observation in seen]
            _same(f"the {name}, saved and loaded", quotes["numba"], results, seen, 0.0)
    return ["saved and loaded, bit for bit"]
