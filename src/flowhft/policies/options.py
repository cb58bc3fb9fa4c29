"""Options behind a policy's name: `runs/x[steps=1,execute=4]`, `glft[delay=2]`.

They evaluate one saved policy in several ways without training it again: every field of `SamplerSettings` is
an option of a flow policy, and of every policy `delay` (steps from a decision to the market) and `late`
(whether it is the `quotes` around the mid or the `prices` that are late).
"""

import typing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.policies.flow import drawn_by
from flowhft.policies.settings import SamplerSettings

# What is late: the distances from the mid, which something faster keeps at the mid, or the prices themselves.
Late = Literal["quotes", "prices"]
KINDS: dict[str, Any] = {**typing.get_type_hints(SamplerSettings), "delay": int, "late": Late}


@dataclass(frozen=True)
class Options:
    """What stands in the brackets behind a policy's name.

    Attributes:
        sampler: fields of `SamplerSettings` that are to be other than those saved with the policy.
        delay: steps from a decision to the market, or None where nothing is said.
        late: what is late, or None where nothing is said.
        written: the same in one canonical way, brackets included; empty if there are none.
    """

    sampler: dict[str, Any] = field(default_factory=dict)
    delay: int | None = None
    late: Late | None = None
    written: str = ""


def split_list(text: str) -> list[str]:
    """Return the parts of a comma-separated list; commas within brackets separate nothing.

    Raises:
        UsageError: a bracket is not closed, or was not opened.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        require(depth in (0, 1), "policies", "have options in one pair of brackets each", f"'{text}'")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    fix = "Write name[steps=1,execute=4]."
    require(depth == 0, "policies", "close every bracket that they open", f"'{text}'", fix)
    return [part for part in map(str.strip, parts) if part]


def split_options(text: str) -> tuple[str, Options]:
    """Split what a user wrote into the policy and the options behind it.

    Args:
        text: `label=name[option=value,...]`; without brackets there are no options.

    Raises:
        UnknownNameError: no such option.
        UsageError: a value that the option cannot have, or an option named twice.
    """
    if not text.endswith("]") or "[" not in text:
        return text, Options()
    name, _, inside = text[:-1].rpartition("[")
    values: dict[str, Any] = {}
    for word in filter(None, map(str.strip, inside.split(","))):
        option, equals, value = (part.strip() for part in word.partition("="))
        if option not in KINDS:
            raise UnknownNameError("option of a policy", option, KINDS)
        require(option not in values, "policies", f"say `{option}` once", f"'{text}'")
        values[option] = _value(option, value if equals else "")
    values = dict(sorted(values.items()))
    written = ",".join(f"{option}={value}" for option, value in values.items())
    delay, late = values.pop("delay", None), values.pop("late", None)
    require(delay is None or delay >= 0, "delay", "be 0 steps or more", delay)
    known = typing.get_args(Late)
    require(late is None or late in known, "late", f"be {' or '.join(known)}", repr(late))
    return name, Options(values, delay, late, f"[{written}]" if written else "")


def _value(option: str, text: str) -> Any:
    """Return the value of an option as its type reads it."""
    kind = KINDS[option]
    if kind not in (int, float):  # a choice, whose owner says what may be chosen
        return text
    try:
        return kind(text)
    except ValueError:
        rule = "be a whole number" if kind is int else "be a number"
        require(False, option, rule, f"'{text}'", f"Write {option}=1.")
        raise


def with_options(name: str, policy: Any, options: Options) -> Any:
    """Return a policy that draws its quotes as the options say.

    Args:
        name: as the user wrote it, for the message.
        policy: what quotes.
        options: from `split_options`; `delay` and `late` are not looked at.

    Raises:
        UsageError: the policy draws no quotes by a sampler, or not by one like this.
    """
    if not options.sampler:
        return policy
    flow = drawn_by(policy)
    if flow is None:
        raise UsageError(
            f"`{next(iter(options.sampler))}` must stand behind a flow policy, which has a sampler; received "
            f"'{name}'. Leave it out, or name the flow policy's own file or run folder."
        )
    drawn = flow.with_sampler(replace(flow.sampler, **options.sampler))
    return replace(policy, core=policy.core.with_flow(drawn), seeing=())
