"""A frozen policy: any policy, expert or flow, as plain numbers and arrays of one type.

Since the type is one, a compiled loop that quotes with one frozen policy quotes with every other without
being compiled again. The arrays of a network are *folded*: see `flowhft.desk.compiled.fold`.
"""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.desk.compiled.network import NO_NETWORK, Network, nothing
from flowhft.desk.compiled.packing import Packed, pack
from flowhft.errors import require
from flowhft.features import KINDS as FEATURE_KINDS
from flowhft.features import NAMES as FEATURE_NAMES
from flowhft.policies.adapter import IDENTITY, Adapter
from flowhft.policies.regime_adapter import RegimeAdapter
from flowhft.policies.regime_adapter import shapes_of as regime_shapes
from flowhft.policies.rules import Expert, avellaneda_stoikov, glft, no_quote, oracle, white_noise
from flowhft.types import Numeric

WHITE_NOISE = 0
AVELLANEDA_STOIKOV = 1
GLFT = 2
FLOW = 3
ORACLE = 4
NO_QUOTE = 5
KINDS = {
    "white_noise": WHITE_NOISE,
    "avellaneda_stoikov": AVELLANEDA_STOIKOV,
    "glft": GLFT,
    "flow": FLOW,
    "oracle": ORACLE,
    "no_quote": NO_QUOTE,
}

# Per kind of expert: its quote function and how many coefficients this takes.
_EXPERTS = {
    WHITE_NOISE: (white_noise.quote, len(white_noise.Coefficients._fields)),
    AVELLANEDA_STOIKOV: (avellaneda_stoikov.quote, len(avellaneda_stoikov.Coefficients._fields)),
    GLFT: (glft.quote, len(glft.Coefficients._fields)),
    ORACLE: (oracle.quote, len(oracle.Coefficients._fields) - 1),  # the table is kept apart
    NO_QUOTE: (no_quote.quote, 0),
}


class Frozen(NamedTuple):
    """A policy as plain numbers and arrays.

    Attributes:
        kind: one of `KINDS`.
        coefficients: an expert's coefficients in the order of its `Coefficients`; empty for a flow policy.
        adapter: what is done to every quote last.
        network: a flow policy's network; `NO_NETWORK` for an expert.
        table: an oracle's table of half-spreads, ticks; `NO_TABLE` for every other policy.
        regime: what works out another adapter before it, step by step; else `NO_REGIME`.
        packed: all of this in two arrays, which compiled code reads.
    """

    kind: int
    coefficients: Float[np.ndarray, " coefficient"]
    adapter: Adapter
    network: Network
    table: Float[np.ndarray, "time inventory side"]
    regime: RegimeAdapter
    packed: Packed


NO_TABLE = nothing(0, 0, 0, dtype=np.float64)
NO_REGIME = RegimeAdapter(
    **{name: nothing(*(0 for _ in shape)) for name, shape in regime_shapes(1).items() if shape},
    half_spread=1.0,
)


def _same_type(value: Any, like: Any) -> Any:
    """Return a named tuple with every number and array of exactly the type that it has in `like`."""
    fields: list[Any] = []
    for name, item, model in zip(value._fields, value, like, strict=True):
        if isinstance(model, tuple):
            fields.append(_same_type(item, model))
        elif isinstance(model, np.ndarray):
            array = np.array(item, dtype=model.dtype, order="C")  # a copy of its own: aligned and writable
            require(array.ndim == model.ndim, name, f"have {model.ndim} axes", f"the shape {array.shape}")
            fields.append(array)
        else:
            fields.append(operator.index(item) if isinstance(model, int) else float(item))
    return type(value)(*fields)


def assemble(
    kind: int,
    coefficients: Sequence[Numeric] | np.ndarray,
    adapter: Adapter,
    network: Network = NO_NETWORK,
    table: np.ndarray = NO_TABLE,
    regime: RegimeAdapter = NO_REGIME,
) -> Frozen:
    """Return a frozen policy of the one type, after checking all that compiled code takes on trust.

    Args:
        kind: one of `KINDS`.
        coefficients: numbers in the order of the expert's `Coefficients`.
        adapter: what is done to every quote last.
        network: of a flow policy.
        table: of an oracle.
        regime: of a flow policy that senses features of kind "context"; `adapter` comes after it.

    Raises:
        UsageError: a number or a shape that cannot be.
    """
    given = Frozen(kind, np.asarray(coefficients), adapter, network, np.asarray(table), regime, _NOT_PACKED)
    frozen: Frozen = _same_type(given, _MODEL)
    require(frozen.kind in KINDS.values(), "kind", f"be one of {sorted(KINDS.values())}", kind)
    wanted = 0 if frozen.kind == FLOW else _EXPERTS[frozen.kind][1]
    _require_shape("coefficients", frozen.coefficients, (wanted,))
    if frozen.kind == FLOW:
        _check(frozen.network)
    if frozen.regime.bias_1.size > 0:
        _check_regime(frozen)
    if frozen.kind == ORACLE:
        horizon, bend, rows, limit = frozen.coefficients
        _check_table(oracle.Coefficients(horizon, bend, rows, limit, frozen.table))
    return frozen._replace(packed=pack(*frozen[:-1]))


_NOT_PACKED = Packed(np.zeros(0), nothing(0))
_MODEL = Frozen(0, np.zeros(0), IDENTITY, NO_NETWORK, NO_TABLE, NO_REGIME, _NOT_PACKED)


def _check_regime(frozen: Frozen) -> None:
    """Refuse a regime adapter whose shapes do not fit together, or that sees nothing."""
    regime = frozen.regime
    require(frozen.kind == FLOW, "regime", "be that of a flow policy", f"one of kind {frozen.kind}")
    for name, shape in regime_shapes(regime.bias_1.size).items():
        if shape:
            _require_shape(f"regime.{name}", getattr(regime, name), shape)
    context = frozen.network.feature_kind == FEATURE_KINDS["context"]
    require(context, "regime", 'see features of kind "context"', "a policy that senses others")
    require(bool(np.any(regime.weight_1 != 0.0)), "regime.weight_1", "see at least one feature", "zeros")
    require(bool(np.all(regime.std > 0.0)), "regime.std", "be positive everywhere", regime.std)
    require(0.0 < regime.half_spread < np.inf, "half_spread", "be positive and finite", regime.half_spread)


def _require_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    require(array.shape == shape, name, f"have the shape {shape}", array.shape)


def _check_table(coefficients: oracle.Coefficients) -> None:
    """Refuse a table that compiled code would read beyond its end."""
    rows, limit = coefficients.rows, coefficients.limit
    for name, value in (("rows", rows), ("limit", limit)):
        require(value >= 1.0 and value.is_integer(), name, "be a whole number from 1 up", value)
    for name, value in (("horizon", coefficients.horizon), ("bend", coefficients.bend)):
        require(0.0 < value < np.inf, name, "be positive and finite", value)
    _require_shape("table", coefficients.table, (int(rows) + 2, 2 * int(limit) + 1, 2))


def _check(network: Network) -> None:
    """Refuse a network whose shapes do not fit together: compiled code would read beyond its arrays."""
    kind = network.feature_kind
    require(kind in FEATURE_KINDS.values(), "feature_kind", f"be one of {list(FEATURE_KINDS.values())}", kind)
    require(network.noise_scale >= 0.0, "noise_scale", "be 0 or more", network.noise_scale)
    require(network.held in (0, 1), "held", "be 0 or 1", network.held)
    require(0.0 <= network.begin < 1.0, "begin", "lie in [0, 1)", network.begin)
    feature = next(len(FEATURE_NAMES[name]) for name, number in FEATURE_KINDS.items() if number == kind)
    width, sample = network.input_sample.shape
    block = network.weight_1.shape[0]
    require(0.0 <= network.start <= 1.0, "start", "lie in [0, 1]", network.start)
    evaluation = len(network.steps)
    require(evaluation >= 1, "steps", "hold at least one evaluation", network.steps.shape)
    require(width >= 1, "input_sample", "have rows", network.input_sample.shape)
    require(sample % 2 == 0, "input_sample", "have two columns a step: bid, ask", network.input_sample.shape)
    require(1 <= network.execute <= sample // 2, "execute", f"lie in 1..{sample // 2}", network.execute)
    shapes: dict[str, tuple[int, ...]] = {
        "feature_mean": (feature,),
        "feature_std": (feature,),
        "action_mean": (2,),
        "action_scale": (2,),
        "input_features": (width, feature),
        "input_bias": (width,),
        "weight_1": (block, width, width),
        "weight_2": (block, width, width),
        "steps": (evaluation, 4),
        "modulation": (evaluation, block, 4, width),
        "output_weight": (sample, width),
        "output_scale": (evaluation, width),
        "output_bias": (evaluation, sample),
    }
    for name, shape in shapes.items():
        _require_shape(name, getattr(network, name), shape)
    for name in ("feature_std", "action_scale"):
        values = getattr(network, name)
        require(bool(np.all(values > 0.0)), name, "be positive everywhere", values)
    for name, scale in network.sensor._asdict().items():
        require(scale > 0.0, f"sensor.{name}", "be positive", scale)


def freeze_expert(expert: Expert, coefficients: tuple, adapter: Adapter = IDENTITY) -> Frozen:
    """Freeze an expert with its coefficients.

    Args:
        expert: of the table `flowhft.policies.rules.EXPERTS`, or another with one of its quote functions.
        coefficients: what `expert.coefficients(estimates, risk_aversion)` returned.
        adapter: what is done to every quote last.

    Raises:
        UsageError: an expert whose quotes no compiled loop knows, or coefficients of another expert.
    """
    kind = next((kind for kind, (quote, _) in _EXPERTS.items() if quote is expert.quote), -1)
    require(
        kind >= 0,
        "expert",
        "quote with one of the functions of flowhft.policies.rules to be frozen",
        f"'{expert.name}'",
        "Run it in the lab.",
    )
    if kind == ORACLE and isinstance(coefficients, oracle.Coefficients):
        return assemble(kind, coefficients[:-1], adapter, table=coefficients.table)
    return assemble(kind, coefficients, adapter)
