"""Tuned controls: closed forms whose risk aversion and adapter were chosen for each scenario, and their file.

A control is what a learned policy has to beat to be worth its training: the best that an expert does when it
may be fitted to the market as carefully as the policy was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowhft.desk.compiled import Frozen, freeze_expert
from flowhft.errors import DataError, UsageError
from flowhft.policies import rules as experts
from flowhft.policies.adapter import Adapter
from flowhft.runs.archive import read_archive, require_arrays, write_archive
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.quoting.closed_form import adapted, closed_form, coefficients_in
from flowhft.types import Policy

FORMAT = "flowhft.tuned"
VERSION = 1
_WHAT = "tuned experts"


class Tuned(NamedTuple):
    """What was chosen for one scenario.

    Attributes:
        expert: name of the closed form.
        risk_aversion: gamma that it quotes with, 1 / (tick x lot).
        adapter: the map behind it.
    """

    expert: str
    risk_aversion: float
    adapter: Adapter


def quoting(tuned: Tuned, scenario: Scenario) -> Policy:
    """Return a tuned expert as a policy in a scenario."""
    return adapted(closed_form(tuned.expert, scenario, tuned.risk_aversion), tuned.adapter)


@dataclass(frozen=True)
class TunedSource:
    """A tuned expert for every scenario that was tuned for, by name.

    Attributes:
        chosen: by scenario.
    """

    chosen: Mapping[str, Tuned]
    told = True

    def tuned_for(self, scenario: Scenario) -> Tuned:
        """Return what was chosen for a scenario.

        Raises:
            UsageError: it was not tuned for this scenario.
        """
        if scenario.name not in self.chosen:
            known = sorted(self.chosen)
            some = ", ".join(known[:6]) + (f" and {len(known) - 6} more" if len(known) > 6 else "")
            raise UsageError(
                f"`scenarios` must be among those that the policy was tuned for, {some}; received "
                f"'{scenario.name}'. Tune it there too."
            )
        return self.chosen[scenario.name]

    def in_market(self, scenario: Scenario) -> Policy:
        """Return the expert that was chosen for the scenario, its adapter behind it."""
        return quoting(self.tuned_for(scenario), scenario)

    def freeze(self, scenario: Scenario | None) -> Frozen:
        """Return the expert that was chosen for the scenario, with its adapter, as plain numbers."""
        if scenario is None:
            raise UsageError("`scenario` must say which market a tuned expert is told; received none.")
        tuned = self.tuned_for(scenario)
        expert = experts.get(tuned.expert)
        return freeze_expert(expert, coefficients_in(expert, scenario, tuned.risk_aversion), tuned.adapter)


def save_tuned(path: Path, chosen: Mapping[str, Tuned], about: Mapping[str, object]) -> None:
    """Save tuned experts, whole or not at all.

    Args:
        path: of the file.
        chosen: by scenario.
        about: what the header says besides: where and on what they were tuned.
    """
    rows = list(chosen.values())
    header = {
        "format": FORMAT,
        "version": VERSION,
        "scenarios": list(chosen),
        "experts": [tuned.expert for tuned in rows],
        "about": dict(about),
    }
    arrays = {
        "risk_aversion": np.array([tuned.risk_aversion for tuned in rows], np.float32),
        "adapter": np.array([tuned.adapter for tuned in rows], np.float32),
    }
    write_archive(path, arrays, header)


def load_tuned(path: Path) -> TunedSource:
    """Load what `save_tuned` saved.

    Raises:
        DataError: the file is missing, damaged, or of another kind or version.
    """
    arrays, header = read_archive(path, _WHAT, FORMAT, VERSION)
    names, kinds = header.get("scenarios", 0), header.get("experts", 0)
    good = isinstance(names, list) and isinstance(kinds, list) and len(names) == len(kinds)
    good = good and all(isinstance(word, str) for word in [*names, *kinds])
    if not good or not set(kinds) <= set(experts.EXPERTS) or len(set(names)) != len(names):
        raise DataError(
            f"`{path}` must name one known expert a scenario; its header does not. The file is damaged or of "
            "another version of flowhft: make it again."
        )
    # Files of the time before `slope` have a number less a scenario: it was 0.
    fields = 4 if arrays.get("adapter", np.zeros(0)).shape == (len(names), 4) else len(Adapter._fields)
    shapes: dict[str, tuple[int, ...]] = {"risk_aversion": (len(names),), "adapter": (len(names), fields)}
    require_arrays(path, arrays, shapes, _WHAT)
    if not (arrays["risk_aversion"] > 0.0).all():
        raise DataError(f"`risk_aversion` must be positive; it is not in `{path}`. Make the file again.")
    return TunedSource(
        {
            name: Tuned(kind, float(risk), Adapter(*map(float, adapter)))
            for name, kind, risk, adapter in zip(
                names, kinds, arrays["risk_aversion"], arrays["adapter"], strict=True
            )
        }
    )
