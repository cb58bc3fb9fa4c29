"""The one file of a policy: a header in JSON and named arrays, whatever works out its quotes.

Files of flowhft's earlier formats are read as well (`flowhft.policies.earlier`). Nothing in a file is
executed when it is read, and nothing in it is trusted: every array must have its shape, type and finite
    numbers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowhft.errors import DataError, UsageError, require
from flowhft.features import NAMES
from flowhft.policies.adapter import Adapter
from flowhft.policies.agent import Agent
from flowhft.policies.book import BookMaker
from flowhft.policies.book_flow import BookFlow
from flowhft.policies.earlier import from_agents, from_flow, from_tuned
from flowhft.policies.flow import Flow
from flowhft.policies.header import number, numbers
from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.policies.regime_adapter import SEES, TOLD, RegimeAdapter
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.policies.rule import Rule
from flowhft.runs.archive import read_archive, require_arrays, write_archive
from flowhft.runs.labels import shown

FORMAT = "flowhft.policy"
VERSION = 3
WHAT = "a policy"
AGAIN = "The file was changed: make it again."
# What a header of another shape brings about.
FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, UsageError)
REGIME = "regime."
MEMBER = "member."

# What works out a quote, by its name in files: a new kind is a file and a row.
KINDS: dict[str, Any] = {kind.kind: kind for kind in (Rule, Flow, Agent, BookMaker, BookFlow)}

# Format and version of files from before there was one for all -> header and arrays as they are today.
Converter = Callable[[dict[str, Any], dict[str, np.ndarray]], tuple[dict[str, Any], dict[str, np.ndarray]]]
EARLIER: dict[tuple[str, int], Converter] = {
    ("flowhft.policy", 2): from_flow,
    ("flowhft.agents", 1): from_agents,
    ("flowhft.tuned", 1): from_tuned,
}


def save_policy(path: Path | str, policy: Policy) -> None:
    """Write a policy with everything it needs to quote: one .safetensors file, whole or not at all.

    Args:
        path: of the file.
        policy: it.
    """
    header, arrays = _described(policy)
    write_archive(Path(path), arrays, {"format": FORMAT, "version": VERSION, **header})


def load_policy(path: Path | str) -> Policy:
    """Read a policy.

    Raises:
        DataError: the file is missing, damaged, not a policy, of an unknown version, trained on other
            features, or its arrays do not fit its header.
    """
    path = Path(path)
    header, arrays = _read(path)
    try:
        return _policy(path, header, arrays)
    except FAULTS as cause:
        raise DataError(f"`{path}` must describe {WHAT}; its header is not one: {cause} {AGAIN}") from cause


def describe_policy(path: Path | str) -> dict[str, Any]:
    """Return the header of a policy file: what works out its quotes, the maps behind it, its training.

    Raises:
        DataError: the file is missing, damaged, not a policy, or of an unknown version.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays as today's files have them.

    Raises:
        DataError: see `load_policy`.
    """
    known = {(FORMAT, VERSION), *EARLIER}
    arrays, header = read_archive(path, WHAT, known)
    convert = EARLIER.get((header["format"], header["version"]))
    if convert is None:
        return header, arrays
    try:
        return convert(header, arrays)
    except FAULTS as cause:
        raise DataError(f"`{path}` must describe {WHAT}; its header is not one: {cause} {AGAIN}") from cause


def _described(policy: Policy) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of a policy."""
    header: dict[str, Any] = {"kind": policy.kind, "training": dict(policy.training)}
    if policy.settled:
        header["settled"] = True
    if policy.adapter is not None:
        header["adapter"] = Adapter(*map(float, policy.adapter))
    arrays: dict[str, np.ndarray] = {}
    if isinstance(policy.core, Members):
        header["members"] = []
        for number, (name, member) in enumerate(policy.core.policies.items()):
            own, parts = _described(member)
            header["members"].append({"scenario": name, **own})
            arrays |= {f"{MEMBER}{number:04d}.{key}": value for key, value in parts.items()}
        return header, arrays
    core, arrays = policy.core.to_file()
    if policy.regime is not None:
        header["regime"] = {"sees": SEES, "told": TOLD, "dial": policy.dial}
        named = policy.regime._asdict().items()
        arrays |= {REGIME + name: np.asarray(value, np.float32) for name, value in named}
    return header | core, arrays


def _policy(path: Path, header: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Policy:
    """Return the policy of a header and its arrays."""
    adapter = header.get("adapter")
    last = None if adapter is None else Adapter(**numbers(adapter, "adapter"))
    training = dict(header.get("training") or {})
    if header["kind"] == Members.kind:
        policies = {}
        for number, own in enumerate(header["members"]):
            prefix = f"{MEMBER}{number:04d}."
            parts = {k.removeprefix(prefix): arrays.pop(k) for k in list(arrays) if k.startswith(prefix)}
            policies[str(own["scenario"])] = _policy(path, own, parts)
        if arrays or len(policies) != len(header["members"]):
            raise UsageError("members must differ in their scenarios, and own all arrays.")
        return Policy(Members(policies), adapter=last, training=training)
    if header["kind"] not in KINDS:
        raise UsageError(
            f"`kind` must be one of {', '.join([*KINDS, Members.kind])}; received {header['kind']!r}."
        )
    kind = KINDS[header["kind"]]
    regime_header = header.get("regime")
    _require_same_inputs(path, header)
    shapes = kind.shapes(header, arrays)
    if regime_header:
        units = np.size(arrays.get(f"{REGIME}bias_1", ()))
        shapes |= {REGIME + name: shape for name, shape in regime_shapes(units).items()}
    require_arrays(path, arrays, shapes, WHAT, kind.number)
    regime = None
    if regime_header:
        for name in ("std", "half_spread"):
            positive = bool(np.all(arrays[REGIME + name] > 0.0))
            require(positive, REGIME + name, "be positive everywhere", "0 or less")
        regime = RegimeAdapter(*(arrays.pop(REGIME + name) for name in RegimeAdapter._fields))
    dial = _dial_in(regime_header.get("dial")) if regime_header else None
    settled = header.get("settled", False) is True
    return Policy(kind.from_file(header, arrays), regime, last, dial, training, settled)


def _dial_in(span: Any) -> tuple[float, float] | None:
    """Return the least and largest risk dial of a header; None where it has none."""
    if span is None:
        return None
    require(isinstance(span, list) and len(span) == 2, "dial", "be two numbers", shown(span))
    low, high = (number(value, "dial") for value in span)
    require(0.0 <= low <= high, "dial", "lie from 0 on and be in order", shown(span))
    return (low, high) if high > 0.0 else None


def _require_same_inputs(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a policy that was trained on other inputs, be they as many as today's."""
    regime = header.get("regime") or {}
    sensed = (header.get("settings") or {}).get("features")
    for what, result, known in (
        ("features", header.get("feature_names"), NAMES.get(str(sensed), ())),
        ("features of the regime adapter", regime.get("sees"), SEES),
        ("numbers that the regime adapter is told", regime.get("told"), TOLD),
    ):
        if result is not None and list(result) != list(known):
            changed = sorted({*map(str, result)} ^ {*known}) or ["another order"]
            raise DataError(
                f"the {what} of `{path}` must be those of this version of flowhft; received others: "
                f"{', '.join(changed)}. Train it again, or use the version that trained it."
            )
