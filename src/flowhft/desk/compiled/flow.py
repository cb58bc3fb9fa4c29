"""Flow policies at the desk: features, network, sampler and regime adapter, compiled."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from flowhft import features
from flowhft.desk.compiled.decide import (
    NO_FAULT,
    NOWHERE,
    OUTPUT,
    SENSED,
    Decide,
    Memory,
    Packed,
    remember,
)
from flowhft.desk.compiled.exact import refuse_nan, require_shape, same_type
from flowhft.desk.compiled.kind import Arrays, Kind
from flowhft.desk.compiled.network import NO_NETWORK, Network, nothing, require_network
from flowhft.desk.compiled.packing import EXECUTE, FEATURE_KIND, SENSOR, UNIT, Places, pack, places_in
from flowhft.desk.compiled.regime import regime_adapter, room_for
from flowhft.desk.compiled.sampler import room_at, sample_chunk, standardise
from flowhft.errors import require
from flowhft.policies import adapter
from flowhft.policies.adapter import Adapter
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.types import Observation, Quote

_numpy_rules = njit(error_model="numpy")
_places_in = _numpy_rules(places_in)
_sense = _numpy_rules(features.sense)
_pack = _numpy_rules(features.pack)
_unpack: Any = _numpy_rules(features.unpack)  # of an array
_paper_features = _numpy_rules(features.paper_features)
_context_features = _numpy_rules(features.context_features)
_note_quote = _numpy_rules(features.note_quote)
_adapt_quote = _numpy_rules(adapter.adapt_quote)
_compose = _numpy_rules(adapter.compose)

NO_REGIME = RegimeAdapter(
    **{name: nothing(*(0 for _ in shape)) for name, shape in regime_shapes(1).items() if shape},
    half_spread=1.0,
)
_ARRAYS = tuple(name for name in Network._fields if isinstance(getattr(NO_NETWORK, name), np.ndarray))
_REGIME = "regime."
_REGIME_ARRAYS = tuple(name for name in RegimeAdapter._fields if name != "half_spread")


class Flow(NamedTuple):
    """A flow policy.

    Attributes:
        network: with its sampler, folded.
        regime: what works out another adapter before the policy's own, step by step; else `NO_REGIME`.
    """

    network: Network
    regime: RegimeAdapter


@njit
def _store(row: np.ndarray, numbers: tuple) -> None:
    for i in range(len(numbers)):
        row[i] = numbers[i]


@njit(error_model="numpy")
def _own_quote(packed: Packed, places: Places, memory: Memory, seen: Observation) -> Quote:
    numbers, n = packed.numbers, SENSOR
    sensor = features.Sensor(
        numbers[n],
        numbers[n + 1],
        numbers[n + 2],
        numbers[n + 3],
        numbers[n + 4],
        numbers[n + 5],
        numbers[n + 6],
    )
    sensed = _sense(sensor, _unpack(memory.state[SENSED:]), seen)
    fresh = memory.cursor[0] >= int(numbers[EXECUTE])
    if fresh or numbers[UNIT] > 0.0:  # a regime adapter looks at every step
        if numbers[FEATURE_KIND] == features.PAPER:
            _store(memory.features, _paper_features(sensor, sensed, seen))
        else:
            _store(memory.features, _context_features(sensor, sensed, seen))
    if fresh:
        standardise(packed, places, memory.features, memory.vectors, room_at(places))
        sample_chunk(packed, places, memory.vectors, memory.random, memory.cursor, memory.chunk)
        memory.cursor[0] = 0
        memory.cursor[1] += 1
    step = memory.cursor[0]
    own = Quote(memory.chunk[step, 0], memory.chunk[step, 1], 1.0, 1.0)
    memory.cursor[0] += 1
    _store(memory.state[SENSED:], _pack(_note_quote(sensed, own)))
    return own


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    n, places = packed.numbers, _places_in(packed.numbers)
    adapting = Adapter(n[0], n[1], n[2], n[3], n[4])
    own = _own_quote(packed, places, memory, seen)
    if n[UNIT] > 0.0:
        now = regime_adapter(packed, places, memory.features, memory.vectors, room_at(places))
        adapting = _compose(adapting, now)
    wanted = _adapt_quote(adapting, own, seen)
    if np.isfinite(wanted.half_spread_bid) and np.isfinite(wanted.half_spread_ask):
        return wanted, NO_FAULT
    return NOWHERE, OUTPUT


def _checked(parts: Flow) -> Flow:
    given: Flow = same_type(parts, Flow(NO_NETWORK, NO_REGIME))
    _check(given.network)
    if given.regime.bias_1.size > 0:
        _check_regime(given)
    refuse_nan(given.network)
    refuse_nan(given.regime, _REGIME)
    return given


def _check_regime(parts: Flow) -> None:
    """Refuse a regime adapter whose shapes do not fit together, or that sees nothing."""
    regime = parts.regime
    for name, shape in regime_shapes(regime.bias_1.size).items():
        if shape:
            require_shape(f"regime.{name}", getattr(regime, name), shape)
    context = parts.network.feature_kind == features.CONTEXT
    require(context, "regime", 'see features of kind "context"', "a policy that senses others")
    require(bool(np.any(regime.weight_1 != 0.0)), "regime.weight_1", "see at least one feature", "zeros")
    require(bool(np.all(regime.std > 0.0)), "regime.std", "be positive everywhere", regime.std)
    require(0.0 < regime.half_spread < np.inf, "half_spread", "be positive and finite", regime.half_spread)


def _check(network: Network) -> None:
    """Refuse a network whose shapes do not fit together: compiled code would read beyond its arrays."""
    kind, kinds = network.feature_kind, features.KINDS
    require(kind in kinds.values(), "feature_kind", f"be one of {list(kinds.values())}", kind)
    require_network(network, next(name for name, number in kinds.items() if number == kind))


def _packed(parts: Flow, adapter: Adapter) -> Packed:
    return pack(parts.network, parts.regime, adapter)


def _memory(parts: Flow, packed: Packed, seed: int) -> Memory:
    network, places = parts.network, places_in(packed.numbers)
    feature = network.feature_mean.size
    room = max(feature, room_for(feature, parts.regime.bias_1.size))
    return remember(
        seed,
        features.pack(features.remember_nothing(network.sensor)),
        feature,
        network.execute,
        room_at.py_func(places) + room,
    )


def _read(whole: Mapping[str, Any], arrays: Arrays) -> Flow:
    header = whole["network"]
    for name in _ARRAYS:  # a conversion would hide that the file was written by something else
        wanted = getattr(NO_NETWORK, name).dtype
        if arrays[name].dtype != wanted:
            raise ValueError(f"`{name}` must be {wanted}; received {arrays[name].dtype}.")
    network = Network(
        sensor=features.Sensor(**header["sensor"]),
        feature_kind=features.KINDS[header["features"]],
        start=header["start"],
        begin=header["begin"],
        held=header["held"],
        execute=header["execute"],
        noise_scale=header["noise_scale"],
        **{name: arrays[name] for name in _ARRAYS},
    )
    if "half_spread" not in whole:
        return Flow(network, NO_REGIME)
    parts = {name: arrays[f"{_REGIME}{name}"] for name in _REGIME_ARRAYS}
    return Flow(network, RegimeAdapter(**parts, half_spread=whole["half_spread"]))


def _flow() -> Kind:
    """Return the one kind of this file, as another process finds it."""
    return FLOW


FLOW = Kind(
    name="flow",
    decide=Decide("flow", lambda: _numpy_rules(_quote)),
    checked=_checked,
    pack=_packed,
    memory=_memory,
    read=_read,
    again=(_flow, ()),
)
