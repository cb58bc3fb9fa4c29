"""How long a policy takes to decide, on this machine: the only clock in the replay, outside its loop."""

import time

import numpy as np
from jaxtyping import Float

from flowhft.frozen import Frozen, Memory, begin, compiled, quote
from flowhft.replay.tape import Tape, observe

BATCH = (
    32  # quotes timed together, so that neither the clock nor the call into compiled code is what is measured
)
BATCHES = 64
ROUNDING_US = 100.0


@compiled
def _quote_batch(frozen: Frozen, memory: Memory, tape: Tape, horizon_ns: int, start: int) -> float:
    """Quote on consecutive observations; the sum is returned so that no quote is optimised away."""
    total = 0.0
    for i in range(BATCH):
        step = (start + i) % len(tape.time_ns)
        spread = quote(frozen, memory, observe(tape, step, horizon_ns, 0.0, 0.0, 0.0, 0.0))
        total += spread.half_spread_bid + spread.half_spread_ask
    return total


def measure_latency(frozen: Frozen, tape: Tape, horizon: float) -> Float[np.ndarray, " sample"]:
    """Return the time of one decision in microseconds, over batches of recorded observations.

    Args:
        frozen: the policy.
        tape: the observations to quote on.
        horizon: of a session, seconds.

    Returns:
        Mean time of a quote in each batch, shape (batch,), after one batch to warm up.
    """
    memory = begin(frozen, 0)
    horizon_ns = round(horizon * 1e9)
    _quote_batch(frozen, memory, tape, horizon_ns, 0)
    taken = np.empty(BATCHES)
    for batch in range(BATCHES):
        started = time.perf_counter_ns()
        _quote_batch(frozen, memory, tape, horizon_ns, batch * BATCH)
        taken[batch] = time.perf_counter_ns() - started
    return taken * (1e-3 / BATCH)


def charged_latency(measured: Float[np.ndarray, " sample"]) -> float:
    """Return the decision latency that a replay charges, microseconds: the median, rounded up to 100 us.

    Rounding makes replays repeat exactly although clocks jitter, and errs on the side of caution.

    Example:
        >>> charged_latency(np.array([11.0, 12.0, 90.0]))
        100.0
    """
    return float(ROUNDING_US * np.ceil(np.median(measured) / ROUNDING_US))
