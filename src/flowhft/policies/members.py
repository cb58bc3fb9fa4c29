"""A policy for each of several scenarios, as one: agents trained one a scenario, rules tuned for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.policies.policy import Policy
from flowhft.scenarios.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Members:
    """Policies by the name of the scenario that each was made for.

    Attributes:
        policies: they, at least one.
    """

    policies: Mapping[str, Policy]
    kind: ClassVar[str] = "members"
    needs_scenario: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(len(self.policies) > 0, "policies", "hold at least one member", "none")

    @property
    def draws(self) -> bool:
        """Whether their quotes are drawn with chance."""
        return any(policy.draws for policy in self.policies.values())

    @property
    def family(self) -> str:
        """Return what they are; one answers for all."""
        return next(iter(self.policies.values())).family

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return the member of a scenario, as it quotes there.

        Raises:
            UsageError: there is none for this scenario.
        """
        if scenario is None:
            raise UsageError("`scenario` must say which of several policies quotes there; received none.")
        if scenario.name not in self.policies:
            hint = "This policy was made scenario by scenario: make it for this one too."
            raise UnknownNameError("scenario", scenario.name, self.policies, hint)
        return self.policies[scenario.name].in_market(scenario)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refuse: `flowhft.policies.file` writes every member as it writes a policy."""
        raise UsageError("`core` must be that of one policy to be described alone; received several.")
