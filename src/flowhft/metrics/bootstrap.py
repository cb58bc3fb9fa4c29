"""What `flowhft.metrics.sessions` was called, for a release."""

import warnings
from collections.abc import Mapping

from flowhft.metrics import sessions
from flowhft.metrics.sessions import Sessions
from flowhft.metrics.table import CONFIDENCE
from flowhft.types import Trajectory


def evaluate_sessions(
    trajectories: Mapping[str, Trajectory],
    session_steps: int,
    block_steps: int,
    reference: str,
    seed: int = 0,
    samples: int = 0,
    confidence: float = CONFIDENCE,
) -> Sessions:
    """Return what `flowhft.metrics.sessions.evaluate_sessions` does, whose intervals draw nothing.

    Args:
        trajectories: see there, like the others.
        session_steps: steps of a session.
        block_steps: steps after which the path has forgotten.
        reference: the policy that differences are taken against.
        seed: not looked at.
        samples: not looked at.
        confidence: of the intervals.
    """
    warnings.warn(
        "flowhft.metrics.bootstrap is flowhft.metrics.sessions now, without seed and samples: import that.",
        DeprecationWarning,
        stacklevel=2,
    )
    return sessions.evaluate_sessions(trajectories, session_steps, block_steps, reference, confidence)
