"""TOML and JSON that anybody may have written: read within bounds, or refused in one sentence.

Every reader of such text goes through here. The parsers of the standard library recurse, take numbers of any
size and let the last of two equal keys win; nothing that reads a header, a manifest or a declaration expects
that. What is refused is a `ValueError` that says why, for the caller to name the file.
"""

import json
import math
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

DEEPEST = 64  # levels of lists and tables within each other
LONGEST_TOML = 4 << 20  # bytes; ten times the largest set of scenarios that flowhft writes
LONGEST_JSON = 32 << 20  # bytes; many times the largest page of a study
INTEGERS = range(-(2**63), 2**64)  # what a file of ours may hold: int64 and uint64
# Each of these takes time in proportion to the text: nothing is tried from within a word.
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"?|\'[^\'\n]*\'?')
_DOTTED = re.compile(r"(?<![^\s.=\[\]{},#])(?:[^\s.=\[\]{},#]+[ \t]*\.[ \t]*){64}")
_DIGITS = re.compile(r"(?<![0-9_])[0-9_]{4300}")  # Python reads no longer ones


def toml(content: bytes | str, longest: int = LONGEST_TOML) -> dict[str, Any]:
    """Return what TOML text holds.

    Args:
        content: the text; bytes are UTF-8.
        longest: bytes that it may have.

    Raises:
        ValueError: it is no TOML, too long, nested too deep, or holds a number that no file of ours may.

    Example:
        >>> toml("a = [1, 2]")
        {'a': [1, 2]}
    """
    text = _text(content, longest)
    if _DOTTED.search(
        _QUOTED.sub("s", text)
    ):  # of which tomllib would make as many tables, in the square of the time
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    _require_short_numbers(text)
    try:
        value = tomllib.loads(text, parse_float=_number)
    except RecursionError as cause:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from cause
    except (IndexError, TypeError, AttributeError) as cause:  # of tomllib itself, at odd text
        raise ValueError(f"it is no TOML ({type(cause).__name__})") from cause
    _require_plain(value)
    return value


def json_of(content: bytes | str, longest: int = LONGEST_JSON) -> Any:
    """Return what JSON text holds: no NaN, no infinity, no key twice.

    Args:
        content: the text; bytes are UTF-8.
        longest: bytes that it may have.

    Raises:
        ValueError: it is no JSON, too long, nested too deep, or holds a number or keys that it must not.

    Example:
        >>> json_of('{"a": [1, 2.5, null]}')
        {'a': [1, 2.5, None]}
    """
    text = _text(content, longest)
    _require_short_numbers(text)
    try:
        value = json.loads(
            text, parse_float=_number, parse_constant=_constant, object_pairs_hook=_each_key_once
        )
    except RecursionError as cause:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from cause
    _require_plain(value)
    return value


def json_in(path: Path, longest: int = LONGEST_JSON) -> Any:
    """Return what a JSON file holds; of one that is too long, no more is read than tells so.

    Args:
        path: of the file.
        longest: bytes that it may have.

    Raises:
        OSError: the file cannot be read.
        ValueError: see `json_of`.
    """
    return json_of(_bytes(path, longest), longest)


def toml_in(path: Path, longest: int = LONGEST_TOML) -> dict[str, Any]:
    """Return what a TOML file holds; of one that is too long, no more is read than tells so.

    Args:
        path: of the file.
        longest: bytes that it may have.

    Raises:
        OSError: the file cannot be read.
        ValueError: see `toml`.
    """
    return toml(_bytes(path, longest), longest)


def _bytes(path: Path, longest: int) -> bytes:
    with path.open("rb") as file:
        return file.read(longest + 1)


def _text(content: bytes | str, longest: int) -> str:
    if len(content) > longest:
        raise ValueError(f"it has more than {longest:,} bytes")
    return content.decode("utf-8") if isinstance(content, bytes) else content


def _require_short_numbers(text: str) -> None:
    if _DIGITS.search(text):
        raise ValueError("it holds a number of thousands of digits")


def _number(text: str) -> float:
    """Return a number that was written with a point or an exponent.

    TOML may say `inf` and `nan`; a number of finite digits that a float64 cannot carry says neither.
    """
    value = float(text.replace("_", ""))
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError(f"it holds the number {text[:40]}, which is too large for float64")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no JSON")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"it holds the key {twice[:100]!r} twice")
    return result


def _require_plain(value: Any) -> None:
    """Require few levels and whole numbers of 64 bits, without recursion."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, int) and item not in INTEGERS:
                raise ValueError(f"it holds a whole number of {item.bit_length()} bits, more than 64")
        level, depth = inner, depth + 1
