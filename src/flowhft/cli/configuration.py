"""From words to a command: flags by tyro, defaults from a TOML file, every refusal one sentence.

The dataclass of a command is the only schema. tyro reads flags by it; the file is read by it here, so that
its values become the defaults that flags win over, and that `--help` shows.
"""

import contextlib
import dataclasses
import functools
import io
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro
from tyro.conf import Positional
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from flowhft.errors import DataError, UnknownNameError, UsageError
from flowhft.runs import foreign
from flowhft.runs.labels import shown

T = TypeVar("T")

# What tyro says when it refuses, and how we say it.
REFUSALS = (
    (r"Error parsing (\S+): (must .*)", r"`\1` \2"),
    (
        r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*?),?\)\.",
        r"`\2` must be one of \3; received '\1'.",
    ),
    (r"Missing value for argument '(.*?)'.*", r"`\1` must be followed by a value; received nothing."),
    (r"Missing from [^:]*: (\S+).*", r"`\1` must be given; received nothing."),
)

WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def parse(kind: type[T], arguments: Sequence[str], program: str) -> T:
    """Return the command that the arguments, and the file behind `--config` among them, describe.

    Args:
        kind: the dataclass of the command.
        arguments: what follows the command's name.
        program: what the user typed to get here, for the help.

    Raises:
        UsageError: an option, a value or a key of the file cannot be.
        SystemExit: help was asked for and printed.
    """
    _require_options(kind, arguments, f"See `{program} --help`.")
    path = _path_of_config(arguments)
    read = functools.partial(
        tyro.cli,
        kind,
        prog=program,
        args=list(arguments),
        default=_default(kind, {} if path is None else read_toml(path), path),
        registry=_spellings(),
    )
    if {"-h", "--help"} & set(arguments):
        read()
    refusal = io.StringIO()
    try:
        # tyro draws for the terminal behind stdout: without one it writes plain text, which `_refusal` reads.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(refusal):
            return read()
    except SystemExit:
        raise _refusal(refusal.getvalue(), kind, f"See `{program} --help`.") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: the file is missing or a folder.
        DataError: it is not TOML; the message holds the line.
    """
    try:
        return foreign.toml_in(path)
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"`--config` must name a TOML file; received {path}.") from None
    except ValueError as cause:
        raise DataError(f"`{path}` must be TOML; {cause}. Mend the file.") from cause


def options(kind: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields of a dataclass and of those nested in it."""
    for field, inner in _fields(kind):
        if dataclasses.is_dataclass(inner):
            yield from options(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _positional(kind: Any) -> list[str]:
    """Return the arguments of a command that stand at a place of their own, in their order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        field.name
        for field in dataclasses.fields(kind)
        if Positional in getattr(hints[field.name], "__metadata__", ())
    ]


def _require_options(kind: Any, arguments: Sequence[str], see: str) -> None:
    """Refuse options that a command does not have, before what is missing for want of them is complained of.

    Raises:
        UsageError: an option is unknown, or stands for an argument that has a place of its own.
    """
    placed = _positional(kind)
    known = ["help", *(name.replace("_", "-") for name in options(kind) if name not in placed)]
    negated = {f"{group}{dot}no-{name}" for group, dot, name in (word.rpartition(".") for word in known)}
    for argument in arguments:
        word = argument.split("=")[0]
        if not re.match(r"--[a-z]", word):
            continue
        name = word[2:].replace("_", "-")
        if name.replace("-", "_") in placed:
            raise UsageError(f"`{word[2:]}` must be given by its place, without `{word}`. {see}")
        if name not in known and name not in negated:
            raise UnknownNameError("option", word, [f"--{name}" for name in known], see)


def _fields(kind: Any) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Yield every field of a dataclass with its type, annotations resolved."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.init:
            yield field, hints[field.name]


def _path_of_config(arguments: Sequence[str]) -> Path | None:
    """Return what follows `--config`: it is needed before the flags can be read."""
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            return Path(arguments[index + 1])
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
    return None


def _default(kind: type[T], values: Mapping[str, Any], path: Path | None) -> T:
    """Return the command as the file has it; what the file does not say and must be said is missing."""
    given = {} if path is None else _read(kind, values, path)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        no_default = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
            and field.init
        )
        if no_default and field.name not in given:
            given[field.name] = tyro.MISSING
    return kind(**given)


def _read(kind: Any, values: Mapping[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass that a table of the file sets, converted and checked."""
    fields = {field.name: (field, inner) for field, inner in _fields(kind)}
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in fields:
            known = sorted({*options(kind, prefix), *(prefix + field for field in fields)})
            raise UnknownNameError("key", prefix + key, known, f"It stands in `{path}`.")
        field, inner = fields[name]
        if dataclasses.is_dataclass(inner):
            if not isinstance(value, Mapping):
                raise _wrong(prefix + key, "be a table", value, path)
            nested = _read(inner, value, path, f"{prefix}{name}.")
            try:
                given[name] = _changed(field, inner, nested)
            except UsageError as fault:
                raise UsageError(f"{fault} It stands in table [{prefix}{name}] of `{path}`.") from fault
        else:
            given[name] = _convert(value, inner, prefix + key, path)
    return given


def _changed(field: dataclasses.Field, inner: Any, nested: dict[str, Any]) -> Any:
    """Return the nested settings with the file's values in place of their defaults."""
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.replace(field.default_factory(), **nested)
    if field.default is not dataclasses.MISSING:
        return dataclasses.replace(field.default, **nested)
    return inner(**nested)


def _convert(value: Any, kind: Any, name: str, path: Path) -> Any:
    """Return a value of the file as the field's type has it."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # in the files of commands, always `kind | None`
        return _convert(value, next(item for item in inside if item is not type(None)), name, path)
    if origin is Literal:
        if value not in inside:
            raise _wrong(name, f"be one of {', '.join(map(str, inside))}", value, path)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(name, "be a list", value, path)
        return tuple(_convert(item, inside[0], name, path) for item in value)
    if isinstance(value, str) and kind in (str, Path) and not value.isprintable():
        raise _wrong(name, f"be {WORDS[kind]} without control characters and line breaks", value, path)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise _wrong(name, f"be {WORDS.get(kind, kind)}", value, path)


def _wrong(name: str, must: str, received: Any, path: Path) -> UsageError:
    return UsageError(f"`{name}` must {must}; received {shown(received)} in `{path}`.")


def _spellings() -> ConstructorRegistry:
    """Return how values are spelled on the command line where tyro's own way is not ours.

    Numbers are refused in our words, and a tuple of any length is one argument with commas.
    """
    registry = ConstructorRegistry()

    def number(kind: type, metavar: str) -> PrimitiveConstructorSpec:
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=lambda words: _number(kind, words[0]),
            is_instance=lambda value: isinstance(value, kind) and not isinstance(value, bool),
            str_from_instance=lambda value: [str(value)],
        )

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if info.type is int:
            return number(int, "INT")
        if info.type is float:
            return number(float, "NUMBER")
        inside = typing.get_args(info.type)
        if info.type_origin is tuple and len(inside) == 2 and inside[1] is Ellipsis:
            item: Any = inside[0]
            if typing.get_origin(item) is typing.Annotated:  # with the range of each value
                item = typing.get_args(item)[0]
            convert = {int: lambda word: _number(int, word), float: lambda word: _number(float, word)}
            return PrimitiveConstructorSpec(
                nargs=1,
                metavar={int: "INT,...", float: "NUMBER,...", str: "NAME,..."}.get(item, "VALUE,..."),
                instance_from_str=lambda words: tuple(
                    convert.get(item, item)(word.strip()) for word in words[0].split(",") if word.strip()
                ),
                is_instance=lambda value: isinstance(value, tuple),
                str_from_instance=lambda value: [",".join(map(str, value))],
            )
        return None

    return registry


def _number(kind: type, word: str) -> Any:
    try:
        value = kind(word)
    except ValueError:
        raise ValueError(f"must be {WORDS[kind]}; received {shown(word)}.") from None
    if kind is int and value not in foreign.INTEGERS:
        raise ValueError(f"must be a whole number of 64 bits; received {shown(word)}.")
    return value


def _refusal(message: str, kind: Any, see: str) -> UsageError:
    """Return as an error of ours what tyro said: one sentence, between the first two of its rules."""
    lines = [line.strip() for line in message.splitlines()]
    rules = [index for index, line in enumerate(lines) if line and not line.strip("-")]
    start, end = [*rules, -1][0] + 1, [*rules[1:], len(lines)][0]
    text = " ".join(line for line in lines[start:end] if line)
    if result := re.match(r"Unrecognized options: (.*?)(, |$)", text):
        if not result[1].startswith("-"):
            return UsageError(f"unknown argument '{result[1]}'; nothing more must follow. {see}")
        known = ["--help", *(f"--{name.replace('_', '-')}" for name in options(kind))]
        return UnknownNameError("option", result[1].split("=")[0], known, see)
    if missing := [line for line in lines[start + 1 : end] if re.fullmatch(r"[A-Z]+", line)]:
        # tyro calls an argument at a place of its own by its type; those that are missing are the last ones.
        return UsageError(f"`{_positional(kind)[-len(missing)]}` must be given; received nothing. {see}")
    for pattern, sentence in REFUSALS:
        if result := re.match(pattern, text):
            return UsageError(f"{result.expand(sentence)} {see}")
    return UsageError(f"{text} {see}")  # words that tyro has not used before are kept as they are
