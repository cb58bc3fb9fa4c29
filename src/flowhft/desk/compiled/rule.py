"""Rules at the desk: any row of `flowhft.policies.rules.EXPERTS`, its `quote` compiled as it stands."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numba import njit
from numba.np.unsafe import ndarray

from flowhft.desk.compiled.chance import uniform
from flowhft.desk.compiled.compiled import covered, specialised
from flowhft.desk.compiled.decide import NO_FAULT, Decide, Memory, Packed, as_floats, remember
from flowhft.desk.compiled.kind import Arrays, Kind
from flowhft.errors import UsageError, require
from flowhft.policies.adapter import Adapter, adapt_quote
from flowhft.policies.rules import EXPERTS, Expert
from flowhft.types import Observation, Quote

COEFFICIENTS = len(Adapter._fields)  # place of the first, behind the adapter
_adapt_quote = njit(adapt_quote, error_model="numpy")


class Rule(NamedTuple):
    """An expert and what it was told.

    Attributes:
        expert: the rule.
        coefficients: all their numbers, tables included, flat, in their order.
    """

    expert: Expert
    coefficients: Float[np.ndarray, " coefficient"]


# Every rule puts its own in the place of these.
_rule: Any = None
_unpack: Any = None
_form, _count, _noisy = tuple, 0, False
_as_tuple: Any = ndarray.to_fixed_tuple


def _unpacked(numbers: Float[np.ndarray, " number"]) -> tuple:
    return _form(*_as_tuple(numbers, _count))


def _nothing(numbers: Float[np.ndarray, " number"]) -> tuple:
    return _form()


def _quote(packed: Packed, memory: Memory, seen: Observation) -> tuple[Quote, int]:
    n = packed.numbers
    noise = (uniform(memory.random), uniform(memory.random)) if _noisy else (0.0, 0.0)
    own = _rule(_unpack(n[COEFFICIENTS:]), seen, noise)
    return as_floats(_adapt_quote(Adapter(n[0], n[1], n[2], n[3], n[4]), own, seen)), NO_FAULT


def _compiled_quote(expert: Expert) -> Any:
    form, numpy_rules = expert.form, njit(error_model="numpy")
    generic = _unpacked if form._fields else _nothing  # type: ignore[attr-defined]
    unpacked = specialised(generic, "unpacked", _form=form, _count=len(form._fields))  # type: ignore[attr-defined]
    given = {
        "_rule": numpy_rules(expert.quote),
        "_unpack": numpy_rules(expert.unpack or unpacked),
        "_noisy": expert.noisy,
    }
    return numpy_rules(specialised(_quote, f"quote_{expert.name}", **given))


def flat(coefficients: Any) -> Float[np.ndarray, " coefficient"]:
    """Return all numbers of coefficients in one array, one field after the other."""
    fields = [np.ravel(np.asarray(value, np.float64)) for value in coefficients]
    return np.concatenate([np.zeros(0), *fields])


def unpacked(expert: Expert, numbers: Float[np.ndarray, " coefficient"]) -> Any:
    """Return coefficients from all their numbers, what `flat` made of them.

    Raises:
        UsageError: there are not as many as the rule has.
    """
    form: Any = expert.form
    if expert.unpack is None:
        wanted = (len(form._fields),)
        require(numbers.shape == wanted, "coefficients", f"have the shape {wanted}", numbers.shape)
        return form(*map(float, numbers))
    try:
        coefficients = expert.unpack(numbers)
    except (ValueError, IndexError, OverflowError) as cause:
        raise UsageError(
            f"`coefficients` must be the numbers of {expert.name}; received {numbers.shape} that are not: "
            f"{cause}."
        ) from cause
    require(flat(coefficients).size == numbers.size, "coefficients", "all be used", numbers.shape)
    return coefficients


def _checked(parts: Rule) -> Rule:
    numbers = np.array(parts.coefficients, np.float64, order="C")
    require(numbers.ndim == 1, "coefficients", "have 1 axis", f"the shape {numbers.shape}")
    coefficients = unpacked(parts.expert, numbers)
    if parts.expert.check is not None:
        parts.expert.check(coefficients)
    for name, value in zip(type(coefficients)._fields, coefficients, strict=True):
        require(not np.any(np.isnan(value)), name, f"be numbers of {parts.expert.name}", "NaN")
    return Rule(parts.expert, numbers)


def _pack(parts: Rule, adapter: Adapter) -> Packed:
    return Packed(np.concatenate([np.array(adapter), parts.coefficients]), np.zeros(0, np.float32))


def _memory(parts: Rule, packed: Packed, seed: int) -> Memory:
    return remember(seed)


@cache
def kind_of_rule(expert: Expert) -> Kind:
    """Return the kind of a rule. Nothing is compiled before the first quote.

    Args:
        expert: of the table `flowhft.policies.rules.EXPERTS`, or any other.

    Raises:
        UsageError: see `Expert.form`.
    """
    # Rows that quote with one function are of one kind: they differ by their coefficients only.
    first = next((row for row in EXPERTS.values() if row.quote is expert.quote), expert)
    if first is not expert and (first.noisy, first.unpack, first.check) == (
        expert.noisy,
        expert.unpack,
        expert.check,
    ):
        return kind_of_rule(first)
    expert.form  # noqa: B018  refuse now what could not be compiled later
    functions = [expert.quote] + ([expert.unpack] if expert.unpack else [])

    def read(header: Mapping[str, Any], arrays: Arrays) -> Rule:
        numbers = [arrays["coefficients"].ravel()]
        if "table" in arrays:  # of the time when an oracle's table was kept apart
            numbers.append(arrays["table"].ravel())
        return Rule(expert, np.concatenate(numbers))

    return Kind(
        name=expert.name,
        decide=Decide(expert.name, lambda: _compiled_quote(expert), all(map(covered, functions))),
        checked=_checked,
        pack=_pack,
        memory=_memory,
        read=read,
        again=(kind_of_rule, (expert,)),
        may_see_book=expert.sees_book,
    )
