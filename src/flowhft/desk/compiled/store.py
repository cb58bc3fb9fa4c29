"""Keep a frozen policy in a file: safetensors for the arrays, a JSON header for everything else.

Nothing in the file is executed when it is read, and nothing in it is trusted: shapes are checked against each
other before compiled code may index by them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from flowhft.desk.compiled.policy import (
    FLOW,
    KINDS,
    NO_NETWORK,
    NO_REGIME,
    NO_TABLE,
    ORACLE,
    Frozen,
    Network,
    assemble,
)
from flowhft.errors import DataError, UsageError
from flowhft.features import KINDS as FEATURE_KINDS
from flowhft.features import Sensor
from flowhft.policies.adapter import Adapter
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.runs.folder import replacing

FORMAT = "flowhft.frozen"
VERSION = 2
_METADATA_KEY = "flowhft"
_ARRAYS = tuple(name for name in Network._fields if isinstance(getattr(NO_NETWORK, name), np.ndarray))
_REGIME = "regime."
_REGIME_ARRAYS = tuple(name for name in RegimeAdapter._fields if name != "half_spread")
_OWN_ARRAYS = {"flow": _ARRAYS, "oracle": ("table",)}


def _name_of(number: int, table: dict[str, int]) -> str:
    return next(name for name, value in table.items() if value == number)


def save_frozen(frozen: Frozen, path: Path | str) -> None:
    """Write a frozen policy, whole or not at all.

    Args:
        frozen: the policy.
        path: of the file, by custom ending in .safetensors.
    """
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kind": _name_of(frozen.kind, KINDS),
        "adapter": frozen.adapter._asdict(),
    }
    arrays = {"coefficients": frozen.coefficients}
    if frozen.kind == FLOW:
        network = frozen.network
        header["network"] = {
            "sensor": network.sensor._asdict(),
            "features": _name_of(network.feature_kind, FEATURE_KINDS),
            "start": network.start,
            "begin": network.begin,
            "held": network.held,
            "execute": network.execute,
            "noise_scale": network.noise_scale,
        }
        arrays |= {name: getattr(network, name) for name in _ARRAYS}
        if frozen.regime.bias_1.size > 0:
            header["half_spread"] = frozen.regime.half_spread
            arrays |= {f"{_REGIME}{name}": getattr(frozen.regime, name) for name in _REGIME_ARRAYS}
    elif frozen.kind == ORACLE:
        arrays["table"] = frozen.table
    with replacing(Path(path)) as temporary:
        # Written by Python: safetensors' own writer neither says that a disk is full nor heeds the umask.
        temporary.write_bytes(save(arrays, {_METADATA_KEY: json.dumps(header)}))


def load_frozen(path: Path | str) -> Frozen:
    """Read a frozen policy: bit for bit the one that was saved.

    Args:
        path: of a file that `save_frozen` wrote.

    Raises:
        DataError: the file is missing, damaged, of another format or version, or its parts do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"`{path}` must be the file of a frozen policy; there is none. Freeze a policy first."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata() or {})
            names = ["coefficients", *_OWN_ARRAYS.get(str(header.get("kind")), ())]
            if "half_spread" in header:
                names += [f"{_REGIME}{name}" for name in _REGIME_ARRAYS]
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError) as cause:
        raise DataError(
            f"`{path}` must be a whole safetensors file; {cause}. Freeze the policy again."
        ) from cause
    try:
        network = _network(header["network"], arrays) if header["kind"] == "flow" else NO_NETWORK
        adapter, table = Adapter(**header["adapter"]), arrays.get("table", NO_TABLE)
        regime = _regime(header, arrays)
        return assemble(KINDS[header["kind"]], arrays["coefficients"], adapter, network, table, regime)
    except (UsageError, KeyError, TypeError, ValueError, AttributeError) as cause:
        raise DataError(
            f"`{path}` must hold a policy whose parts fit together; {type(cause).__name__}: {cause} "
            "The file is damaged: freeze the policy again."
        ) from cause


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """Return the header of a file of this format and version."""
    try:
        header = json.loads(metadata.get(_METADATA_KEY, "null"))
    except json.JSONDecodeError as cause:
        raise DataError(f"the header of `{path}` must be JSON; {cause}. The file is damaged.") from cause
    found = header.get("format") if isinstance(header, dict) else None
    if found != FORMAT:
        raise DataError(
            f"`{path}` must have the format '{FORMAT}'; received {found or 'a file of another program'}. "
            "Name a file that was written by freezing a policy."
        )
    if header.get("version") != VERSION:
        raise DataError(
            f"the version of `{path}` must be {VERSION}; received {header.get('version')}. "
            "Freeze the policy again with this version of flowhft."
        )
    return header


def _network(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Network:
    for name in _ARRAYS:  # a conversion would hide that the file was written by something else
        wanted = getattr(NO_NETWORK, name).dtype
        if arrays[name].dtype != wanted:
            raise ValueError(f"`{name}` must be {wanted}; received {arrays[name].dtype}.")
    return Network(
        sensor=Sensor(**header["sensor"]),
        feature_kind=FEATURE_KINDS[header["features"]],
        start=header["start"],
        begin=header["begin"],
        held=header["held"],
        execute=header["execute"],
        noise_scale=header["noise_scale"],
        **{name: arrays[name] for name in _ARRAYS},
    )


def _regime(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> RegimeAdapter:
    if "half_spread" not in header:
        return NO_REGIME
    parts = {name: arrays[f"{_REGIME}{name}"] for name in _REGIME_ARRAYS}
    return RegimeAdapter(**parts, half_spread=header["half_spread"])
