"""Moments: what is kept of any number of paths so that every metric and every paired difference follows.

Sums over paths, in float64, of the columns (`flowhft.metrics.estimators`) of every policy and of the products
of columns of every two policies. Memory grows with the policies and not with the paths; any policy may be the
reference, exactly paired.

Sums are taken block by block of `BLOCK` paths and added in the order of the blocks. So they are the same to
the last bit however the paths are cut for simulation or spread over devices and machines.
"""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowhft.errors import require
from flowhft.metrics.estimators import CONFIDENCE, Estimator, Pilot, around, columns_of, find_pilot
from flowhft.metrics.measures import PathValues
from flowhft.metrics.table import CRITERION_OF, METRICS, columns_needed, estimator_of, measures_in
from flowhft.types import Interval

BLOCK = 16_384  # paths whose sums are taken at once; the first block is the pilot of all

# group of measures -> pilots of all policies, arrays whose first axis is the policy
Pilots = dict[str, Pilot]


class Moments(NamedTuple):
    """Sums over the paths of several policies, which met the same random numbers.

    Attributes:
        policies: their names.
        paths: how many.
        pilots: group -> what its columns are relative to: centres (policy, measure), quantiles (policy,). A
            group is the measures that metrics are estimated from together, most of them one alone.
        sums: group -> sums of its columns, shape (policy, column).
        products: group -> sums of products of columns, shape (policy, column, policy, column).
    """

    policies: tuple[str, ...]
    paths: int
    pilots: Pilots
    sums: dict[str, Float[np.ndarray, "policy column"]]
    products: dict[str, Float[np.ndarray, "policy column policy column"]]


def collect(measures: Mapping[str, Mapping[str, PathValues]], pilots: Pilots | None = None) -> Moments:
    """Return the moments of one block of paths.

    Args:
        measures: policy -> its measures (`flowhft.metrics.measures`), arrays of shape (path,).
        pilots: of the first block; without them, this is the first block.
    """
    policies = tuple(measures)
    paths = len(measures[policies[0]][CRITERION_OF])
    result: Pilots = {}
    sums, products = {}, {}
    for group, columns in columns_needed().items():
        values = [
            [np.asarray(measures[policy][name], np.float64) for name in measures_in(group)]
            for policy in policies
        ]
        if pilots is None:
            each = [find_pilot(value, columns) for value in values]
            result[group] = Pilot(*(np.array(part) for part in zip(*each, strict=True)))  # type: ignore[arg-type]
        else:
            result[group] = pilots[group]
        rows = np.concatenate(
            [columns_of(value, columns, _of(result[group], i)) for i, value in enumerate(values)]
        )
        size = len(rows)
        product = np.zeros((size, size))
        for i in range(size):  # numpy's pairwise sums: their order is fixed, unlike that of a matrix product
            product[i, i:] = product[i:, i] = np.sum(rows[i] * rows[i:], axis=1)
        shape = (len(policies), len(columns))
        sums[group] = np.sum(rows, axis=1).reshape(shape)
        products[group] = product.reshape(*shape, *shape)
    return Moments(policies, paths, result, sums, products)


def merge(first: Moments, then: Moments) -> Moments:
    """Return the moments of two disjoint sets of paths, which were taken relative to the same pilots."""
    return Moments(
        first.policies,
        first.paths + then.paths,
        first.pilots,
        {name: value + then.sums[name] for name, value in first.sums.items()},
        {name: value + then.products[name] for name, value in first.products.items()},
    )


def summarise(moments: Moments, policy: str, confidence: float = CONFIDENCE) -> dict[str, Interval]:
    """Return every metric of a policy with its interval, as `flowhft.metrics.table.summarise` does.

    Args:
        moments: of its paths.
        policy: its name.
        confidence: of the two-sided intervals, between 0 and 1.
    """
    return {
        name: _estimate(moments, metric.group, metric.estimator, policy, None, confidence)
        for name, metric in METRICS.items()
    }


def compare(
    moments: Moments, policy: str, reference: str, confidence: float = CONFIDENCE
) -> dict[str, Interval]:
    """Return metric(policy) - metric(reference) with paired intervals, as `table.compare` does.

    Args:
        moments: of the paths of both.
        policy: its name.
        reference: the other's.
        confidence: of the two-sided intervals, between 0 and 1.
    """
    return {
        name: _estimate(moments, metric.group, metric.estimator, policy, reference, confidence)
        for name, metric in METRICS.items()
    }


def score(
    moments: Moments,
    policy: str,
    criterion: str,
    *,
    reference: str | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return a selection criterion of a policy, or its margin over another's, paired.

    Args:
        moments: of the paths.
        policy: its name.
        criterion: see `flowhft.metrics.table.score`.
        reference: the other policy; none returns the criterion itself.
        confidence: of the two-sided interval, between 0 and 1.

    Raises:
        UnknownNameError: there is no such criterion.
    """
    return _estimate(moments, CRITERION_OF, estimator_of(criterion), policy, reference, confidence)


def to_bytes(moments: Moments) -> bytes:
    """Return moments as bytes, the same bytes for the same moments."""
    arrays = {"policies": np.array(moments.policies), "paths": np.array(moments.paths)}
    for name in moments.sums:
        arrays[f"{name}/centre"], arrays[f"{name}/quantile"] = map(np.asarray, moments.pilots[name])
        arrays[f"{name}/sums"], arrays[f"{name}/products"] = moments.sums[name], moments.products[name]
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def from_bytes(content: bytes) -> Moments:
    """Return what `to_bytes` wrote.

    Raises:
        ValueError: it holds other columns than these metrics need: another version wrote it.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names = [name.removesuffix("/sums") for name in arrays.files if name.endswith("/sums")]
        wanted = {group: len(columns) for group, columns in columns_needed().items()}
        if {name: arrays[f"{name}/sums"].shape[-1] for name in names} != wanted:
            raise ValueError("moments of other metrics")
        return Moments(
            tuple(str(policy) for policy in arrays["policies"]),
            int(arrays["paths"]),
            {name: Pilot(arrays[f"{name}/centre"], arrays[f"{name}/quantile"]) for name in names},
            {name: arrays[f"{name}/sums"] for name in names},
            {name: arrays[f"{name}/products"] for name in names},
        )


def _of(pilot: Pilot, index: int) -> Pilot:
    return Pilot(np.asarray(pilot.centre)[index], float(np.asarray(pilot.quantile)[index]))


def _estimate(
    moments: Moments,
    group: str,
    estimator: Estimator,
    policy: str,
    reference: str | None,
    confidence: float,
) -> Interval:
    """Return an estimate, or its difference to the reference's, with its interval by the delta method."""
    every = columns_needed()[group]
    used = [every.index(column) for column in estimator.columns]
    means = moments.sums[group] / moments.paths

    def at(name: str) -> tuple[int, float, np.ndarray]:
        index = _place(moments.policies, name)
        value, gradient = estimator.function(
            _of(moments.pilots[group], index), means[index, used], moments.paths
        )
        return index, value, gradient

    def covariance(one: tuple[int, float, np.ndarray], other: tuple[int, float, np.ndarray]) -> float:
        (i, _, left), (j, _, right) = one, other
        block = moments.products[group][i][:, j][np.ix_(used, used)] / moments.paths
        return float(left @ (block - np.outer(means[i, used], means[j, used])) @ right)

    ours = at(policy)
    value, variance = ours[1], covariance(ours, ours)
    if reference is not None:
        theirs = at(reference)
        value -= theirs[1]
        variance = variance + covariance(theirs, theirs) - 2.0 * covariance(ours, theirs)
    if moments.paths < 2:
        return around(value, float("nan"), moments.paths, confidence)
    variance = max(variance, 0.0) if variance == variance else variance
    return around(value, float(np.sqrt(variance / (moments.paths - 1))), moments.paths, confidence)


def _place(policies: Sequence[str], name: str) -> int:
    require(name in policies, "policy", f"be one of {', '.join(policies)}", f"'{name}'")
    return list(policies).index(name)
