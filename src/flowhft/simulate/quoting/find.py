"""Find policies by what a user writes: `glft`, `glft@0.01`, `runs/x[steps=1]`, `label=policy.safetensors`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import flowhft
from flowhft.desk.compiled import load_frozen
from flowhft.desk.compiled.store import FORMAT as FROZEN_FORMAT
from flowhft.errors import DataError, UnknownNameError, require
from flowhft.flow.policy import FORMAT as FLOW_FORMAT
from flowhft.flow.policy import describe_policy, load_policy, map_behind
from flowhft.policies import rules as experts
from flowhft.runs.archive import format_of
from flowhft.runs.folder import manifest_of
from flowhft.simulate.quoting.agents_file import FORMAT as AGENTS_FORMAT
from flowhft.simulate.quoting.agents_file import load_agents
from flowhft.simulate.quoting.options import split_list, split_options, with_options
from flowhft.simulate.quoting.source import (
    AgentSource,
    ExpertSource,
    FrozenSource,
    LearnedSource,
    Named,
    Source,
)
from flowhft.simulate.quoting.tuned import FORMAT as TUNED_FORMAT
from flowhft.simulate.quoting.tuned import load_tuned

# What run folders call their policy.
SAVED = ("policy.safetensors", "frozen.safetensors")

# The shipped policy, which its name is enough for.
BUNDLED = {
    name: Path(flowhft.__file__).parent / "bundled" / f"{name}.safetensors"
    for name in ("flowhft", "flowhft_plain")
}

# Format named in a file's header -> what reads it. A file of no known format is read as a flow policy, whose
# reader says what is wrong with it.
READERS: dict[str, Callable[[Path], Source]] = {
    FLOW_FORMAT: lambda path: LearnedSource(*load_policy(path), map_behind(path)),
    AGENTS_FORMAT: lambda path: AgentSource(load_agents(path)),
    TUNED_FORMAT: load_tuned,
    FROZEN_FORMAT: lambda path: FrozenSource(load_frozen(path)),
}


def find_policy(text: str, *, frozen: bool = False) -> Named:
    """Find the policy that a user names.

    Args:
        text: an expert's name, with `@` and a risk aversion in 1 / (tick x lot) if it is to be fixed;
            `flowhft`, the shipped policy; a `.safetensors` file; or a finished run folder that holds one, of
            `flowhft train` with `@` and a risk dial. `label=` in front gives it another name;
            `[option=value,...]` behind changes how it quotes (see `flowhft.simulate.quoting.options`).
        frozen: whether it may be frozen, which the desk can quote with and the lab cannot.

    Raises:
        UnknownNameError: neither an expert nor a file, or no such option.
        UsageError: a risk aversion that is not a positive number, a frozen policy where none may be, or an
            option that the policy cannot honour.
        DataError: the file is not a policy, or the run folder is not finished.
    """
    bare, options = split_options(text)
    found = _find_bare(bare, frozen)
    return replace(
        found,
        name=found.name if "=" in bare else found.name + options.written,
        written=text,
        source=with_options(text, found.source, options),
        delay=options.delay,
        late=options.late,
        options=found.options + options.written,
    )


def _find_bare(text: str, frozen: bool) -> Named:
    """Find a policy that has no options behind it."""
    label, _, location = text.rpartition("=")
    name, at, risk = location.partition("@")
    path = Path(location)
    if name in experts.EXPERTS:
        if not at:
            return Named(label or location, text, ExpertSource(experts.get(name)))
        try:
            risk_aversion = float(risk)
        except ValueError:
            risk_aversion = float("nan")
        require(0.0 < risk_aversion < float("inf"), "policies", "have a positive number after @", f"'{text}'")
        return Named(label or location, text, ExpertSource(experts.get(name), risk_aversion))
    dial = ""
    if at and not path.exists():
        name, _, dial = location.rpartition("@")
        path = Path(name)
    if name in BUNDLED:
        path = BUNDLED[name]
    if path.is_dir():
        path = _file_in(path)
    elif not path.is_file() and path.suffix != ".safetensors":
        hint = "A saved policy is a .safetensors file or a run folder."
        raise UnknownNameError("policy", name, [*BUNDLED, *experts.EXPERTS], hint=hint)
    own_name = path.resolve().parent.name if path.name in SAVED else path.stem
    risk = f"@{dial}" if dial else ""
    kind = format_of(path)
    if kind == FROZEN_FORMAT:
        fix = "Name the policy that it was frozen from."
        require(frozen, "policies", "not be frozen but for a backtest", f"the frozen `{path}`", fix)
    source = READERS.get(kind or FLOW_FORMAT, READERS[FLOW_FORMAT])(path)
    if dial:
        source = _at_dial(source, path, dial, text)
    return Named(label or own_name + risk, text, source, path, options=risk)


def _at_dial(source: Source, path: Path, dial: str, text: str) -> Source:
    """Return a saved policy at the risk dial that a user wrote.

    Raises:
        UsageError: it has no dial, or was not trained for this one.
    """
    fix = "Only a policy of `flowhft train` has a risk dial."
    require(
        isinstance(source, LearnedSource), "policies", "have no @ behind what has no dial", f"'{text}'", fix
    )
    low, high = (describe_policy(path).get("regime") or {}).get("dial") or (0.0, 0.0)
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
    return cast(LearnedSource, source).at_dial(value)


def _file_in(folder: Path) -> Path:
    """Return the policy file of a finished run folder."""
    manifest_of(folder)  # of an unfinished one, the file may be that of an earlier run
    for name in SAVED:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"`{folder}` must hold a policy; it has no {' or '.join(SAVED)}. Name a run folder of "
        "`flowhft imitate`, `train`, `adapt`, `tune`, `ppo` or `freeze`."
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
