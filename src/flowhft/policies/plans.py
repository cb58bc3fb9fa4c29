"""The plans of samplers: which evaluations draw a chunk, by what the network was trained for.

A row for every objective (`flowhft.flow.objectives`), so that a policy can be drawn from where jax is not.
"""

from collections.abc import Callable

from flowhft.errors import UnknownNameError, require
from flowhft.policies.plan import INTEGRATORS, Evaluation, Plan, long_steps
from flowhft.policies.settings import NetworkSettings, SamplerSettings, is_power_of_two

PlanOf = Callable[[SamplerSettings, int], Plan]

AT_ONCE = Evaluation(flow_time=0.0, step_size=1.0, keep=0.0, share=1.0, keep_point=0.0, share_point=0.0)
SECOND_TIME = 0.9  # flow time of a second look: its noise has a standard deviation of 0.1


def integrated(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the integrator: any number of steps, each asked for the velocity itself.

    Raises:
        UsageError: the adaptive solver, whose evaluations depend on what the network answers.
    """
    require(
        sampler.solver in INTEGRATORS,
        "solver",
        f"be one of {', '.join(INTEGRATORS)} where the number of evaluations must be known beforehand",
        repr(sampler.solver),
        "Choose another solver before freezing the policy.",
    )
    return INTEGRATORS[sampler.solver](sampler.steps, sampler.warm_start)


def shortcuts(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler of a shortcut policy: every step asked at its own size.

    A step size d that was learned is 1, 1/2, 1/4, ..., 1/finest, on the grid of its multiples. So `steps` is
    a power of two, or, from a warm start, whatever makes (1 - warm_start) / steps such a step.

    Raises:
        UsageError: steps that were not trained, or a solver other than Euler's (a shortcut is a whole step
            already: there is no derivative to correct).
    """
    require(sampler.solver == "euler", "solver", "be euler for a shortcut policy", repr(sampler.solver))
    inverse = sampler.steps / (1.0 - sampler.warm_start)
    fits = inverse <= finest and inverse.is_integer() and is_power_of_two(int(inverse))
    if sampler.warm_start == 0.0:
        wanted = f"be a power of two up to {finest}, the steps that this shortcut policy has learned"
        require(fits, "steps", wanted, sampler.steps, "A flow_map policy takes any number of steps.")
    wanted = f"be 1 less `steps` times a step of 1, 1/2, 1/4, ..., 1/{finest} for a shortcut policy"
    require(fits, "warm_start", wanted, f"{sampler.warm_start} with {sampler.steps} steps")
    return long_steps(sampler.steps, sampler.warm_start)


def jumps(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler of a flow map: jumps of equal length, any number of them, from any flow time.

    Raises:
        UsageError: a solver other than Euler's: a jump is exact already, there is no derivative to correct.
    """
    require(sampler.solver == "euler", "solver", "be euler for a flow_map policy", repr(sampler.solver))
    return long_steps(sampler.steps, sampler.warm_start)


def at_once(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler of a regression: the network's answer at x = 0, flow time 0 and step size 1.

    Raises:
        UsageError: more than one step, noise, a warm start, or a solver other than Euler's: nothing of them
            was learned.
    """
    for name, value, only in (
        ("steps", sampler.steps, 1),
        ("solver", sampler.solver, "euler"),
        ("noise_scale", sampler.noise_scale, 0.0),
        ("warm_start", sampler.warm_start, 0.0),
    ):
        require(value == only, name, f"be {only} for a regression policy, which answers at once", value)
    return Plan(begin=0.0, start=0.0, evaluations=(AT_ONCE,))


def two_looks(sampler: SamplerSettings, finest: int) -> Plan:
    """Return the sampler of two looks: a = u(0, 0, 1), then u(0.9 a + 0.1 noise, 0.9, 0.1) is the chunk.

    Raises:
        UsageError: other than two steps, a warm start, or a solver other than Euler's.
    """
    for name, value, only in (
        ("steps", sampler.steps, 2),
        ("solver", sampler.solver, "euler"),
        ("warm_start", sampler.warm_start, 0.0),
    ):
        require(value == only, name, f"be {only} for a minimal_iterative policy, which looks twice", value)
    # x stays the noise until the second answer replaces it.
    first = Evaluation(0.0, 1.0, 1.0, 0.0, 1.0 - SECOND_TIME, SECOND_TIME)
    second = Evaluation(SECOND_TIME, 1.0 - SECOND_TIME, 0.0, 1.0, 0.0, 0.0)
    return Plan(begin=0.0, start=0.0, evaluations=(first, second))


PLANS: dict[str, PlanOf] = {
    "flow_matching": integrated,
    "shortcut": shortcuts,
    "flow_map": jumps,
    "rectified": integrated,
    "regression": at_once,
    "minimal_iterative": two_looks,
}
# Those that learn the velocity of a flow, which an adaptive solver can integrate.
ADAPTIVE = ("flow_matching", "rectified")


def plan_of(objective: str, sampler: SamplerSettings, finest: int) -> Plan:
    """Return the evaluations by which a chunk is drawn.

    Args:
        objective: that trained the network, a key of `PLANS`.
        sampler: how a chunk is to be drawn.
        finest: of the network.

    Raises:
        UnknownNameError: no such objective.
        UsageError: it does not train such a sampler, or this one has no fixed number of evaluations.
    """
    if objective not in PLANS:
        raise UnknownNameError("objective", objective, PLANS)
    return PLANS[objective](sampler, finest)


def require_sampler(sampler: SamplerSettings, settings: NetworkSettings, objective: str) -> None:
    """Require a sampler that a network of these settings, trained by this objective, can honour.

    Raises:
        UsageError: more is executed than predicted, or the objective does not train such steps.
        UnknownNameError: no such objective.
    """
    require(
        sampler.execute <= settings.horizon,
        "execute",
        f"be at most the horizon of {settings.horizon} steps",
        sampler.execute,
    )
    if objective not in PLANS:
        raise UnknownNameError("objective", objective, PLANS)
    if sampler.solver != "adaptive":
        plan_of(objective, sampler, settings.finest)
        return
    require(
        objective in ADAPTIVE,
        "solver",
        f"be euler for a {objective} policy: only flow_matching and rectified ones take adaptive steps",
        repr(sampler.solver),
    )
