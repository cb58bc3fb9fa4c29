"""Rules as policies: a row of `flowhft.policies.rules.EXPERTS`, told each scenario."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from flowhft.errors import UsageError, require
from flowhft.policies import rules
from flowhft.policies.header import number
from flowhft.policies.header import numbers as header_numbers
from flowhft.policies.policy import Policy
from flowhft.policies.rules import Expert
from flowhft.scenarios.carried import MOST
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.total_law import total_estimates
from flowhft.types import Estimates

COEFFICIENT = "coefficient."


@dataclass(frozen=True, eq=False)
class Rule:
    """A quoting rule, to be told each scenario.

    Attributes:
        expert: it.
        risk_aversion: gamma, if the user fixed it, 1 / (tick x lot).
        risk_aversions: by scenario, where they were chosen for it.
        coefficients: in a market: what its quotes need; None before it was told one.
    """

    expert: Expert
    risk_aversion: float | None = None
    risk_aversions: Mapping[str, float] = field(default_factory=dict)
    coefficients: Any = None
    kind: ClassVar[str] = "rule"
    number: ClassVar[type] = np.float64

    @property
    def family(self) -> str:
        """Return what it is: see `flowhft.policies.policy.Family`."""
        return self.expert.family

    @property
    def draws(self) -> bool:
        """Whether its quotes are drawn with chance."""
        return self.expert.noisy

    @property
    def needs_scenario(self) -> bool:
        """Whether it must still be told a scenario."""
        return self.coefficients is None

    def in_market(self, scenario: Scenario | None) -> Policy:
        """Return the rule told a scenario; one that was told before stays as it is."""
        if self.coefficients is not None:
            return Policy(self)
        if scenario is None:
            raise UsageError(f"`scenario` must say which market {self.expert.name} is told; received none.")
        chosen = self.risk_aversions.get(scenario.name, scenario.risk_aversion)
        risk_aversion = chosen if self.risk_aversion is None else self.risk_aversion
        return Policy(replace(self, coefficients=coefficients_in(self.expert, scenario, risk_aversion)))

    def to_file(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the header of a file says of it, and its arrays."""
        arrays = {}
        if self.coefficients is not None:
            numbers = self.coefficients._asdict().items()
            arrays = {COEFFICIENT + name: np.asarray(value, np.float64) for name, value in numbers}
        return {
            "expert": self.expert.name,
            "risk_aversion": self.risk_aversion,
            "risk_aversions": dict(self.risk_aversions),
            "has_coefficients": self.coefficients is not None,
        }, arrays

    @classmethod
    def shapes(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
        """Return the name and shape of every array that a file with this header holds."""
        packed = rules.get(header["expert"]).unpack is not None  # some are tables
        own = {name: value for name, value in arrays.items() if name.startswith(COEFFICIENT)}
        return {name: value.shape if packed else () for name, value in own.items()}

    @classmethod
    def from_file(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Rule":
        """Return it from the header and the arrays of a file."""
        expert = rules.get(header["expert"])
        own = {name.removeprefix(COEFFICIENT): value for name, value in arrays.items()}
        numbers = {name: value if value.ndim else value[()] for name, value in own.items()}
        coefficients = expert.form(**numbers) if header.get("has_coefficients") else None
        if coefficients is not None and expert.check is not None:
            expert.check(coefficients)
        chosen = header_numbers(header["risk_aversions"], "risk_aversions")
        fixed = header["risk_aversion"]
        fixed = None if fixed is None else number(fixed, "risk_aversion")
        for risk in (*chosen.values(), *(() if fixed is None else (fixed,))):
            require(risk > 0.0, "risk_aversion", "be positive", risk)
        return cls(expert, fixed, chosen, coefficients)


def rule_in(policy: object) -> Rule | None:
    """Return the rule that a policy is; None for everything else that quotes."""
    return policy.core if isinstance(policy, Policy) and isinstance(policy.core, Rule) else None


def estimates_for(expert: Expert, scenario: Scenario) -> Estimates:
    """Return the estimates that an expert gets of a scenario: stated, raw, or everything."""
    if expert.privileged:
        return total_estimates(scenario)
    return scenario.raw_estimates() if expert.as_run else scenario.estimates()


def coefficients_in(expert: Expert, scenario: Scenario, risk_aversion: float | None = None) -> tuple:
    """Return an expert's coefficients for a scenario, numpy float64.

    Args:
        expert: gets what `estimates_for` it says.
        scenario: where it will quote.
        risk_aversion: gamma, 1 / (tick x lot); the scenario's own if none is given.
    """
    estimates = estimates_for(expert, scenario)
    gamma = scenario.risk_aversion if risk_aversion is None else risk_aversion
    rule = f"be positive and at most {MOST:g} / (tick x lot), so that single precision carries the quotes"
    require(0.0 < gamma <= MOST, "risk_aversion", rule, gamma)
    coefficients = expert.coefficients(estimates, gamma)
    return type(coefficients)(*map(np.float64, coefficients))
