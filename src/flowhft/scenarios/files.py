"""Scenarios in TOML files: read, checked key by key, and written so that they come back equal."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from flowhft.errors import DataError, UnknownNameError, UsageError, require
from flowhft.runs import foreign
from flowhft.runs.labels import shown
from flowhft.scenarios.order_flow import OrderFlow
from flowhft.scenarios.scenario import Scenario

_TYPES = {item.name: item.type for item in fields(Scenario) if item.init}
_FLOW_KEYS = tuple(item.name for item in fields(OrderFlow))


def scenario_from_table(table: dict[str, Any], where: str) -> Scenario:
    """Make a scenario from the keys of a TOML table.

    Args:
        table: field names of `Scenario` and their values; `name` is required.
        where: the file, for messages.

    Raises:
        UsageError: an unknown key (with a suggestion), a wrong type, an impossible parameter.
    """
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _TYPES:
            raise UnknownNameError("scenario key", key, _TYPES, hint=f"[`{where}`]")
        if _TYPES[key] is bool:
            good, wanted = isinstance(value, bool), "true or false"
        elif _TYPES[key] in (float, float | None):
            good, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
            value = float(value) if good else value
        elif _TYPES[key] == OrderFlow | None:
            good, wanted = isinstance(value, dict), "a table"
            value = _order_flow(value, where) if good else value
        else:
            good, wanted = isinstance(value, str), "a string"
        require(good, key, f"be {wanted}", f"{shown(value)} [`{where}`]")
        values[key] = value
    require("name" in values, "name", "be given for every scenario", f"none [`{where}`]")
    try:
        return Scenario(**values)
    except UsageError as refusal:
        raise UsageError(f"{refusal} [`{where}`]") from None


def _order_flow(table: dict[str, Any], where: str) -> OrderFlow:
    """Make an order flow from its table."""
    for key, value in table.items():
        if key not in _FLOW_KEYS:
            raise UnknownNameError("key of `order_flow`", key, _FLOW_KEYS, hint=f"[`{where}`]")
        good = isinstance(value, int | float) and not isinstance(value, bool)
        require(good, key, "be a number", f"{shown(value)} [`{where}`]")
    try:
        return OrderFlow(**{key: float(value) for key, value in table.items()})
    except UsageError as refusal:
        raise UsageError(f"{refusal} [`{where}`]") from None


def read_scenarios(path: Path) -> list[Scenario]:
    """Read scenarios from a TOML file: one at the top level, or several as `[[scenario]]` tables.

    Raises:
        DataError: the file is missing or is not TOML.
        UsageError: a key or a value cannot be.
    """
    try:
        content = foreign.toml_in(path)
    except FileNotFoundError:
        raise DataError(f"`scenarios` must name presets or a TOML file; `{path}` does not exist.") from None
    except ValueError as cause:
        raise DataError(f"`{path}` must be TOML; {cause}. Mend the file.") from cause
    tables = content.get("scenario", [content])
    nested = isinstance(tables, list) and all(isinstance(table, dict) for table in tables)
    if not nested or (len(content) > 1 and "scenario" in content):
        raise UsageError(f"`{path}` must hold one scenario at the top level or only [[scenario]] tables.")
    require(len(tables) > 0, "scenario", "hold at least one scenario", f"an empty list [`{path}`]")
    scenarios = [scenario_from_table(table, str(path)) for table in tables]
    twice = [name for name, count in Counter(scenario.name for scenario in scenarios).items() if count > 1]
    require(
        not twice, "name", "differ between scenarios", f"{', '.join(twice)} twice [`{path}`]", "Rename one."
    )
    return scenarios


def scenarios_to_toml(scenarios: Iterable[Scenario]) -> str:
    """Write scenarios as TOML that `read_scenarios` reads back to equal ones."""
    lines = []
    for scenario in scenarios:
        lines.append("[[scenario]]")
        for name in _TYPES:
            value = getattr(scenario, name)
            if value is None or isinstance(value, OrderFlow):
                continue
            if isinstance(value, bool):
                text = str(value).lower()
            elif isinstance(value, str):
                text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
            else:
                text = repr(float(value))
            lines.append(f"{name} = {text}")
        if scenario.order_flow is not None:
            lines.append("[scenario.order_flow]")  # a table ends the keys before it
            lines += [f"{name} = {getattr(scenario.order_flow, name)!r}" for name in _FLOW_KEYS]
        lines.append("")
    return "\n".join(lines)
