"""Policies of files as the lab has them."""

from pathlib import Path
from typing import Any

from flowhft.flow.policy import FlowPolicy, flow_policy
from flowhft.policies.file import load_policy
from flowhft.policies.flow import flow_in


def loaded(path: Path) -> tuple[FlowPolicy, Any]:
    """Return a saved flow policy and what stands behind it: a map, or the network that works one out."""
    policy = load_policy(path)
    flow = flow_in(policy)
    assert flow is not None
    return flow_policy(flow), policy.regime or policy.adapter
