"""A sampler as plain numbers: at which flow times and step sizes a network is asked, and what follows.

Every way to draw a chunk of quotes that asks the network a fixed number of times is a `Plan`, be it an
integrator of the flow's differential equation, a few long steps, or a regression. Two vectors are carried:
the sample x and the point at which the network is asked next. With u its answer at (point, flow_time,
step_size),

    point <- keep_point x + share_point u          (the x before)
    x     <- keep x + share u

and the last x is the chunk. The lab and the desk run the same plan; nothing else about an objective crosses.
"""

from itertools import pairwise
from typing import NamedTuple

from flowhft.errors import require


class Evaluation(NamedTuple):
    """One question to the network and what is done with the answer.

    Attributes:
        flow_time: from 0 (noise) to 1 (quotes).
        step_size: how far ahead the answer is meant to reach: 0 asks for the velocity itself.
        keep, share: x becomes keep x + share u.
        keep_point, share_point: the next point is keep_point x + share_point u.
    """

    flow_time: float
    step_size: float
    keep: float
    share: float
    keep_point: float
    share_point: float


class Plan(NamedTuple):
    """A sampler with a fixed number of evaluations.

    Attributes:
        begin: flow time at which x begins, as (1 - begin) noise + begin (a chunk that is known); 0 is noise.
        start: the first point is `start` x: 1 for a flow, 0 where the network is first asked at zero.
        evaluations: in their order, at least one.
    """

    begin: float
    start: float
    evaluations: tuple[Evaluation, ...]


def _grid(steps: int, begin: float) -> list[float]:
    """Return the flow times of equal steps from `begin` to 1, both ends included."""
    require(steps >= 1, "steps", "be at least 1", steps)
    require(0.0 <= begin < 1.0, "begin", "lie in [0, 1)", begin)
    return [begin + (1.0 - begin) * step / steps for step in range(steps + 1)]


def long_steps(steps: int, begin: float = 0.0) -> Plan:
    """Return x <- x + d u(x, t, d) on a grid of equal steps d: for a network that knows how far it jumps."""
    times = _grid(steps, begin)
    length = (1.0 - begin) / steps
    steps_taken = tuple(Evaluation(time, length, 1.0, length, 1.0, length) for time in times[:-1])
    return Plan(begin, 1.0, steps_taken)


def euler(steps: int, begin: float = 0.0) -> Plan:
    """Return the integrator of first order: x <- x + h u(x, t, 0), one evaluation a step of length h."""
    plan = long_steps(steps, begin)
    return plan._replace(evaluations=tuple(asked._replace(step_size=0.0) for asked in plan.evaluations))


def heun(steps: int, begin: float = 0.0) -> Plan:
    """Return the integrator of second order: the mean of the velocities here and after an Euler step."""
    times = _grid(steps, begin)
    length = (1.0 - begin) / steps
    half = 0.5 * length
    evaluations: list[Evaluation] = []
    for here, there in pairwise(times):
        evaluations.append(Evaluation(here, 0.0, 1.0, half, 1.0, length))
        evaluations.append(Evaluation(there, 0.0, 1.0, half, 1.0, half))
    return Plan(begin, 1.0, tuple(evaluations))


INTEGRATORS = {"euler": euler, "heun": heun}
