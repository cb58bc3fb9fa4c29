"""Numbers in policy files of every kind: finite, of their type and shape, or refused with the name."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from flowhft.errors import DataError, UsageError
from flowhft.policies import rules
from flowhft.policies.actor import Scales
from flowhft.policies.adapter import Adapter
from flowhft.policies.agent import Agent, units_in
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.header import number, settings_in
from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.policies.settings import SamplerSettings
from flowhft.scenarios.presets import find_scenarios


def _rule() -> Policy:
    return Policy(
        Rule(rules.get("glft"), 0.1, {"x": 0.2}), adapter=Adapter(1.0, 0.0, 0.0, 0.0)
    ).core.in_market(SCENARIO)


def _table() -> Policy:
    return Policy(Rule(rules.get("oracle"))).core.in_market(SCENARIO)


def _agent() -> Policy:
    arrays = {"weight.0": np.ones((5, 2)), "bias.0": np.zeros(2), "log_std": np.zeros(2)}
    for name in Scales._fields:
        arrays[f"scales.{name}"] = np.ones(5 if name in ("mean", "std") else 2)
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    return Policy(Agent("state", arrays, units_in("state", SCENARIO)), adapter=Adapter(1.0, 0.0, 0.0, 0.0))


def _members() -> Policy:
    return Policy(Members({"T1.LL": Policy(Rule(rules.get("glft"), 0.1))}))


SCENARIO = find_scenarios("T1.LL")[0]
KINDS = {"rule": _rule, "table": _table, "agent": _agent, "members": _members}


def _edit(path, change):
    with safe_open(path, framework="numpy") as file:
        header, names = json.loads(file.metadata()["flowhft"]), file.keys()
        arrays = {name: file.get_tensor(name) for name in names}
    change(arrays, header)
    save_file(arrays, path, {"flowhft": json.dumps(header)})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_comes_back(tmp_path, kind):
    path = tmp_path / "p.safetensors"
    save_policy(path, KINDS[kind]())
    save_policy(tmp_path / "again.safetensors", load_policy(path))
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (
            "rule",
            lambda a, h: h.update(risk_aversion="nan"),
            "`risk_aversion` must be a finite number; received 'nan'",
        ),
        ("rule", lambda a, h: h.update(risk_aversion=True), "`risk_aversion` must be a finite number"),
        (
            "rule",
            lambda a, h: h["risk_aversions"].update(x="inf"),
            "`risk_aversions.x` must be a finite number",
        ),
        ("rule", lambda a, h: h.update(risk_aversions=[1]), "`risk_aversions` must be an object of numbers"),
        (
            "rule",
            lambda a, h: a.update({"coefficient.base": np.ones(3)}),
            r"`coefficient.base` must have shape \(\)",
        ),
        (
            "rule",
            lambda a, h: a.update({"coefficient.base": np.array(np.nan)}),
            "`coefficient.base` must be finite",
        ),
        ("table", lambda a, h: a.update({"coefficient.limit": np.array(-1.0)}), "header is not one"),
        ("table", lambda a, h: a.update({"coefficient.rows": np.array(1e9)}), "header is not one"),
        ("table", lambda a, h: a.update({"coefficient.table": np.zeros(3)}), "header is not one"),
        ("table", lambda a, h: a.update({"coefficient.horizon": np.zeros(3)}), "header is not one"),
        (
            "agent",
            lambda a, h: h.update(units=["nan", 1, 1, 1]),
            "`units` must be a finite number; received 'nan'",
        ),
        ("agent", lambda a, h: h.update(units=[0.0, 1, 1, 1]), "`units` must be positive"),
        (
            "agent",
            lambda a, h: h["adapter"].update(offset_bid="nan"),
            "`adapter.offset_bid` must be a finite number",
        ),
        ("members", lambda a, h: h["members"][0].update(risk_aversion="nan"), "must be a finite number"),
        ("members", lambda a, h: h.update(members=h["members"] * 2), "must differ in their scenarios"),
        ("members", lambda a, h: h.update(members={"a": 1}), "header is not one"),
    ],
)
def test_a_number_that_is_none_is_refused_in_every_kind_of_file(tmp_path, kind, change, why):
    path = tmp_path / "p.safetensors"
    save_policy(path, KINDS[kind]())
    _edit(path, change)
    with pytest.raises(DataError, match=why) as refusal:
        load_policy(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "header", ["[" * 100_000, "[]", "null", '{"format": "flowhft.policy"}', "{}", '{"format": NaN}']
)
def test_a_header_of_another_shape_is_refused(tmp_path, header):
    path = tmp_path / "p.safetensors"
    save_file({"a": np.zeros(1)}, path, {"flowhft": header})
    with pytest.raises(DataError, match="no readable `flowhft` header"):
        load_policy(path)


def test_settings_are_of_the_types_of_their_fields():
    assert settings_in(SamplerSettings, {"steps": 2, "warm_start": 0}, "sampler").warm_start == 0
    for values, why in (
        ({"steps": "2"}, "`sampler.steps` must be a whole number"),
        ({"tolerance": None}, "`sampler.tolerance` must be a finite number"),
        ({"noise": 1}, "`sampler.noise` must be a text"),
        ([], "`sampler` must be an object"),
    ):
        with pytest.raises(UsageError, match=why):
            settings_in(SamplerSettings, values, "sampler")
    with pytest.raises(UsageError, match="`x` must be a finite number"):
        number(float("inf"), "x")
