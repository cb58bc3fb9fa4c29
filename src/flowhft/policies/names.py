"""Find policies by what a user writes: `glft`, `glft@0.01`, `runs/x[steps=1]`, `label=policy.safetensors`.

`mine=my_policy.py:NAME` is a user's own, from a Python file (see `flowhft.policies.own`).
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

import flowhft
from flowhft.errors import DataError, UnknownNameError, UsageError, require
from flowhft.policies import rules as experts
from flowhft.policies.file import load_policy
from flowhft.policies.options import Late, split_list, split_options, with_options
from flowhft.policies.origin import Origin, origin_of
from flowhft.policies.own import load_own_policy
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule, rule_in
from flowhft.runs.archive import format_of
from flowhft.runs.folder import manifest_of
from flowhft.runs.labels import require_name
from flowhft.scenarios.carried import MOST
from flowhft.scenarios.scenario import Scenario

# What run folders call their policy.
SAVED = ("policy.safetensors", "frozen.safetensors")

# The shipped policy, which its name is enough for.
BUNDLED = {
    name: Path(flowhft.__file__).parent / "bundled" / f"{name}.safetensors"
    for name in ("flowhft", "flowhft_plain", "flowhft_coins", "flowhft_shares")
}

# What takes the place of the shipped policy where the market shows an order book: makers by kind of market.
SEEING = {"flowhft": ("flowhft_coins", "flowhft_shares")}

FOLDED = "flowhft.frozen"  # format of files that only the desk can read: `flowhft.desk.compiled.store`


@dataclass(frozen=True)
class FoldedFile:
    """A policy that was frozen before: the desk reads its file and quotes with it, nobody else can.

    Attributes:
        path: of the file.
    """

    path: Path
    kind = "folded"
    needs_scenario = False
    draws = True  # it may: its file alone says
    family = "learned"

    def in_market(self, scenario: Scenario | None) -> "FoldedFile":
        """Return it as it is: it was told before."""
        return self


@dataclass(frozen=True)
class Named:
    """A policy as a user names it.

    Attributes:
        name: what tables call it.
        written: how the user wrote it.
        policy: what quotes: a `Policy`, an `OwnPolicy`, a `FoldedFile`, or a `Frozen` of the desk.
        path: the file of a saved policy or of a user's own, or None.
        delay: steps from a decision to the market, or None where the user did not say.
        late: what is late (see `flowhft.simulate.quoting.delayed`), or None where the user did not say.
        options: what was written behind the name: the risk dial of a saved policy, and what stands in
            brackets (see `flowhft.policies.options`).
        seeing: files of the policies of which one takes its place where the market shows an order book.
    """

    name: str
    written: str
    policy: Any
    path: Path | None = None
    delay: int | None = None
    late: Late | None = None
    options: str = ""
    seeing: tuple[Path, ...] = ()

    @property
    def remembered(self) -> str:
        """How a run remembers it beside its file: what a label hides must not be forgotten."""
        if self.path is None:
            return self.written
        return self.name if self.name.endswith(self.options) else self.name + self.options

    @property
    def needs_scenario(self) -> bool:
        """Whether it is told the scenario, as rules are, rather than having to sense it."""
        return bool(self.policy.needs_scenario)

    @property
    def family(self) -> str:
        """Return what a row of a table is that shows it: see `flowhft.policies.policy.Family`."""
        return self.origin.family

    @property
    def origin(self) -> Origin:
        """Return where its quotes come from, as the rows of tables say it."""
        return origin_of(self.policy)

    def as_data(self) -> Policy:
        """Return the policy as data.

        Raises:
            UsageError: it is a user's own, or was frozen before.
        """
        if not isinstance(self.policy, Policy):
            raise UsageError(
                f"`policy` must be one of flowhft's own as data; received '{self.written}'. Name an expert, "
                "a saved policy or a run folder."
            )
        return self.policy

    def in_market(self, scenario: Scenario | None) -> Any:
        """Return the policy as it quotes in a scenario, as data; its delay is not in it.

        Raises:
            UsageError: it must be told a scenario and is not, or was not made for this one.
        """
        return self.policy.in_market(scenario)


def find_policy(text: str, *, frozen: bool = False) -> Named:
    """Find the policy that a user names.

    Args:
        text: an expert's name, with `@` and a risk aversion in 1 / (tick x lot) if it is to be fixed;
            `flowhft`, the shipped policy; a `.safetensors` file; or a finished run folder that holds one, of
            `flowhft train` with `@` and a risk dial. `label=` in front gives it another name;
            `[option=value,...]` behind changes how it quotes (see `flowhft.policies.options`).
        frozen: whether it may be frozen, which the desk can quote with and the lab cannot.

    Raises:
        UnknownNameError: neither an expert nor a file, or no such option.
        UsageError: a risk aversion that is not a positive number, a frozen policy where none may be, an
            option that the policy cannot honour, or a name that is none (`flowhft.runs.labels`).
        DataError: the file is not a policy, or the run folder is not finished.
    """
    bare, options = split_options(text)
    result = _find_bare(bare, frozen)
    name = result.name if "=" in bare else result.name + options.written
    require_name("label", name, "[of a policy]", "Write label=path.", path=True)
    return replace(
        result,
        name=name,
        written=text,
        policy=with_options(text, result.policy, options),
        seeing=() if options.sampler else result.seeing,
        delay=options.delay,
        late=options.late,
        options=result.options + options.written,
    )


def _find_bare(text: str, frozen: bool) -> Named:
    """Find a policy that has no options behind it."""
    label, _, location = text.rpartition("=")
    name, at, risk = location.partition("@")
    path = Path(location)
    if name in experts.EXPERTS:
        if not at:
            return Named(label or location, text, Policy(Rule(experts.get(name))))
        try:
            risk_aversion = float(risk)
        except ValueError:
            risk_aversion = float("nan")
        require(0.0 < risk_aversion < float("inf"), "policies", "have a positive number after @", f"'{text}'")
        require(risk_aversion <= MOST, "policies", f"have at most {MOST:g} after @", f"'{text}'")
        return Named(label or location, text, Policy(Rule(experts.get(name), risk_aversion)))
    file, colon, word = location.rpartition(":")
    if colon and file.endswith(".py"):
        return Named(label or word, text, load_own_policy(file, word, label), Path(file), options=f":{word}")
    dial = ""
    if at and not os.path.exists(path):  # says no of a name that is too long for one
        name, _, dial = location.rpartition("@")
        path = Path(name)
    if name in BUNDLED:
        path = BUNDLED[name]
    if os.path.isdir(path):
        path = _file_in(path)
    elif not os.path.isfile(path) and path.suffix != ".safetensors":
        hint = "A saved policy is a .safetensors file or a run folder."
        raise UnknownNameError("policy", name, [*BUNDLED, *experts.EXPERTS], hint=hint)
    own_name = path.resolve().parent.name if path.name in SAVED else path.stem
    risk = f"@{dial}" if dial else ""
    if format_of(path) == FOLDED:
        fix = "Name the policy that it was frozen from."
        require(frozen, "policies", "not be frozen but for a backtest", f"the frozen `{path}`", fix)
        require(not dial, "policies", "have no @ behind what has no dial", f"'{text}'")
        return Named(label or own_name, text, FoldedFile(path), path)
    policy = load_policy(path)
    if dial:
        policy = _at_dial(policy, dial, text)
    seeing = tuple(BUNDLED[maker] for maker in SEEING.get(name, ()) if not dial)
    policy = replace(policy, seeing=tuple(load_policy(file) for file in seeing))
    return Named(label or own_name + risk, text, policy, path, options=risk, seeing=seeing)


def _at_dial(policy: Policy, dial: str, text: str) -> Policy:
    """Return a saved policy at the risk dial that a user wrote.

    Raises:
        UsageError: it has no dial, or was not trained for this one.
    """
    fix = "Only a policy of `flowhft train` has a risk dial."
    low, high = policy.dial or (0.0, 0.0)
    require(high > 0.0, "policies", "have no @ behind what has no dial", f"'{text}'", fix)
    try:
        value = float(dial)
    except ValueError:
        value = float("nan")
    require(
        low <= value <= high,
        "policies",
        f"have a risk dial after @ that the policy was trained for, {low:g} to {high:g}",
        f"'{text}'",
    )
    return policy.at_dial(value)


def _file_in(folder: Path) -> Path:
    """Return the policy file of a finished run folder."""
    manifest_of(folder)  # of an unfinished one, the file may be that of an earlier run
    for name in SAVED:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"`{folder}` must hold a policy; it has no {' or '.join(SAVED)}. Name a run folder of "
        "`flowhft imitate`, `learn`, `train`, `adapt`, `tune`, `ppo` or `freeze`."
    )


def find_policies(names: str, *, frozen: bool = False) -> list[Named]:
    """Return the policies of a comma-separated list, in its order (see `find_policy`).

    Raises:
        UsageError: two policies have the same name, or none is named.
    """
    policies = [find_policy(text, frozen=frozen) for text in split_list(names)]
    called = [policy.name for policy in policies]
    require(len(policies) > 0, "policies", "name at least one policy", f"'{names}'")
    require(
        len(set(called)) == len(called), "policies", "have different names", f"'{names}'", "Write label=path."
    )
    return policies


def delay_all(policies: list[Named], steps: int, late: Late = "quotes") -> list[Named]:
    """Delay the decisions of every policy of which the user did not say how late they are, or what is late.

    Args:
        policies: as they were found.
        steps: from a decision to the market.
        late: what is late.
    """
    return [
        replace(policy, delay=steps if policy.delay is None else policy.delay, late=policy.late or late)
        for policy in policies
    ]


def tune(policies: list[Named], teachers: pl.DataFrame) -> list[Named]:
    """Give every rule, scenario by scenario, the risk aversion that was best for it there.

    Args:
        policies: rules whose risk aversion is not fixed are changed, others are left alone.
        teachers: a table of scores of experts by scenario and risk aversion, columns scenario, expert,
            risk_aversion and score.
    """
    ranked = teachers.sort("score", descending=True, nulls_last=True)
    best = ranked.unique(["scenario", "expert"], keep="first", maintain_order=True)

    def tuned(named: Named) -> Named:
        rule = rule_in(named.policy)
        if rule is None:
            return named
        rows = best.filter(pl.col("expert") == rule.expert.name).drop_nulls("risk_aversion")
        chosen = dict(rows.select("scenario", "risk_aversion").iter_rows())
        return replace(named, policy=Policy(replace(rule, risk_aversions=chosen)))

    return [tuned(policy) for policy in policies]
