"""Where a policy's quotes come from, as two columns of every table that has a row a policy.

Asked of the policy, once, where its row is first written; who reads the table asks the row, not the name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from flowhft.policies.members import Members
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.policies.rules import EXPERTS


class Origin(NamedTuple):
    """Where a policy's quotes come from: the columns `family` and `rule`.

    Attributes:
        family: rule, learned, bound, baseline or own, a `flowhft.policies.policy.Family`.
        rule: the row of `EXPERTS` that it is, with whatever coefficients and maps; empty for everything else.
    """

    family: str
    rule: str = ""


def origin_of(policy: Any) -> Origin:
    """Return where the quotes of something that quotes come from.

    Args:
        policy: a `Policy`, or what else a `flowhft.policies.names.Named` holds.
    """
    rule = ""
    if isinstance(policy, Policy):
        if isinstance(policy.core, Rule):
            rule = policy.core.expert.name
        elif isinstance(policy.core, Members):
            rules = {origin_of(member).rule for member in policy.core.policies.values()}
            rule = rules.pop() if len(rules) == 1 else ""
    return Origin(str(policy.family), rule)


def origin_of_rule(name: str) -> Origin:
    """Return the origin of a row of `EXPERTS`, as tables of candidates name it; any other is a user's own."""
    return Origin(EXPERTS[name].family, name) if name in EXPERTS else Origin("own")


def origin_before(name: str) -> Origin:
    """Return the origin that a name tells, in a table of before there were columns to say it.

    Only folders of before need it: `glft@0.1`, `glft (0.1)`, `glft[delay=2]` and `glft_tuned` are `glft`,
    `tuned` is what `flowhft tune` calls the best of all, and everything else has learned.

    Args:
        name: of a policy, as the table has it.
    """
    written = re.split(r"[@ (\[]", name, maxsplit=1)[0].removesuffix("_tuned")
    if written in EXPERTS:
        return origin_of_rule(written)
    return Origin("rule" if written == "tuned" else "learned")


def origins_in(tables: Iterable[pl.DataFrame]) -> dict[str, Origin]:
    """Return the origin of every policy that tables have rows of, in their order.

    Args:
        tables: those without the columns are passed over.
    """
    results: dict[str, Origin] = {}
    for table in tables:
        if {"policy", *Origin._fields} <= set(table.columns):
            rows = table.select("policy", *Origin._fields).unique(maintain_order=True).drop_nulls("policy")
            results |= {name: Origin(*origin) for name, *origin in rows.iter_rows() if name not in results}
    return results


def with_origins(table: pl.DataFrame, origins: Mapping[str, Origin]) -> pl.DataFrame:
    """Return a table with the columns `family` and `rule` behind `policy`.

    Args:
        table: with a column `policy`, which may be null; one that has the columns keeps them.
        origins: of the policies; of one that is not among them, its name has to tell.
    """
    if "family" in table.columns or "policy" not in table.columns:
        return table
    known = [None if name is None else origins.get(name, origin_before(name)) for name in table["policy"]]
    columns = [
        pl.Series(name, [None if one is None else one[i] for one in known], pl.String)
        for i, name in enumerate(Origin._fields)
    ]
    front = table.columns[: table.columns.index("policy") + 1]
    return table.with_columns(columns).select(*front, *Origin._fields, pl.exclude(*front, *Origin._fields))
