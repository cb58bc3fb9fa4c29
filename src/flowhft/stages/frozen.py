"""Freeze a policy for the desk. A frozen file is read without the lab."""

from pathlib import Path
from typing import Any

from flowhft.desk import compiled
from flowhft.desk.compiled import Frozen
from flowhft.errors import UsageError
from flowhft.scenarios.scenario import Scenario


def load_frozen(policy: Any, scenario: Scenario | None = None) -> Frozen:
    """Return a policy as the desk quotes with it, in microseconds, with `flowhft.begin` and `flowhft.quote`.

    Args:
        policy: a frozen file (`flowhft freeze`), whose load needs no lab; or a name, a file, an expert or a
            trained policy, frozen now.
        scenario: the market that experts are told; frozen files and learned policies need none.

    Raises:
        UsageError: a policy that cannot be frozen, or an expert without a scenario.
        DataError: the file is no policy.

    Example:
        >>> import flowhft
        >>> frozen = flowhft.load_frozen("glft", flowhft.find_scenarios("T1.LL")[0])
        >>> memory = flowhft.begin(frozen, seed=0)
        >>> seen = flowhft.Observation(0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 25.0, 25.0)
        >>> wanted = flowhft.quote(frozen, memory, seen)
        >>> wanted.half_spread_bid > wanted.half_spread_ask  # long: it would rather sell
        True
    """
    if scenario is None and isinstance(policy, str | Path) and Path(policy).is_file():
        return compiled.load_frozen(policy)
    from flowhft.stages.policies import frozen_in, load_policy

    (frozen,) = frozen_in([load_policy(policy, frozen=True)], scenario).values()
    if not isinstance(frozen, Frozen):
        raise UsageError(f"`policy` must be one of flowhft's own to be frozen; received {frozen.name}.")
    return frozen
