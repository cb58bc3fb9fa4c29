"""Headers and arrays of policy files from before there was one format, as today's files have them."""

from typing import Any

import numpy as np

from flowhft.errors import UsageError
from flowhft.policies.adapter import Adapter

Parts = tuple[dict[str, Any], dict[str, np.ndarray]]


def from_flow(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Parts:
    """Return a flow policy of version 2: only its kind was not said."""
    return {**header, "kind": "flow"}, arrays


def from_agents(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Parts:
    """Return agents of version 1, whose arrays have a leading axis agent, as one agent or as members."""
    names = [str(name) for name in header["scenarios"]]
    own = {"kind": "agent", **{key: header[key] for key in ("view", "layers", "activation")}}
    if any(np.ndim(value) < 1 or len(value) != max(1, len(names)) for value in arrays.values()):
        raise UsageError(f"every array must have {max(1, len(names))} agents; one has not.")
    if len(set(names)) != len(names):
        raise UsageError(f"`scenarios` must differ; received {names}.")
    training = dict(header["training"])
    if not names:
        return {**own, "training": training}, {name: value[0] for name, value in arrays.items()}
    return _members(names, [own] * len(names), training), {
        f"member.{number:04d}.{name}": np.ascontiguousarray(value[number])
        for number in range(len(names))
        for name, value in arrays.items()
    }


def from_tuned(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Parts:
    """Return tuned rules of version 1 as members; files of the time before `slope` have a number less: 0."""
    names, experts = header["scenarios"], header["experts"]
    risks, maps = arrays["risk_aversion"], arrays["adapter"]
    fields = len(Adapter._fields)
    good = len(names) == len(experts) == len(risks) == len(maps) and len(set(names)) == len(names)
    if not good or risks.ndim != 1 or maps.ndim != 2 or maps.shape[1] not in (fields - 1, fields):
        raise UsageError("it must name one known expert a scenario, with a risk aversion and a map each.")
    if not np.isfinite(maps).all():
        raise UsageError("`adapter` must be finite; received NaN or infinity.")
    own = [
        {
            "kind": "rule",
            "expert": expert,
            "risk_aversion": float(risk),
            "risk_aversions": {},
            "adapter": Adapter(*map(float, numbers))._asdict(),
        }
        for expert, risk, numbers in zip(experts, risks, maps, strict=True)
    ]
    return _members(names, own, dict(header.get("about") or {})), {}


def _members(names: list[str], own: list[dict[str, Any]], training: dict[str, Any]) -> dict[str, Any]:
    """Return the header of members by scenario."""
    members = [{"scenario": name, **header} for name, header in zip(names, own, strict=True)]
    return {"kind": "members", "members": members, "training": training}
