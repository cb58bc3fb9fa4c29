"""Names that people and files give: rows of tables, lines on a terminal, and sometimes parts of file names.

A name comes from a file of somebody else as often as from the one who types, and is printed again and again:
so it is checked where it is read. What is printed of older folders is escaped where it is printed.
"""

import re

from flowhft.errors import UsageError

LONGEST = 100  # letters; the longest that flowhft makes itself has 60
SHOWN = 200  # letters of what was received that a message shows
_CONTROL = re.compile(r"[^\x20-\x7e]")


def fault_of(name: str, *, path: bool = False) -> str:
    """Return what keeps a text from being a name, as a rule that it must keep; empty where nothing does.

    Args:
        name: the text.
        path: whether it may become part of a file's name.

    Example:
        >>> fault_of("calm"), fault_of("../calm", path=True)
        ('', 'be a plain name, without slashes, backslashes and ..')
    """
    if not name.strip():
        return "not be empty"
    if len(name) > LONGEST:
        return f"have at most {LONGEST} letters"
    if not name.isprintable():
        return "be printable, without control characters and line breaks"
    if path and (set(name) & {"/", "\\"} or ".." in name):
        return "be a plain name, without slashes, backslashes and .."
    return ""


def require_name(option: str, name: str, where: str = "", fix: str = "", *, path: bool = False) -> None:
    """Refuse a text that is no name.

    Args:
        option: what it is the name of, for the message.
        name: the text.
        where: it was found, for the message.
        fix: what to do about it.
        path: whether it may become part of a file's name.

    Raises:
        UsageError: see `fault_of`.
    """
    if fault := fault_of(name, path=path):
        ending = f" {where}" if where else ""
        raise UsageError(
            f"`{option}` must {fault}; received {shown(name)}{ending}.{' ' + fix if fix else ''}"
        )


def shown(value: object) -> str:
    """Return what was received as a message may show it: escaped, the middle left out of what is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} ... {text[-SHOWN // 4 :]}"


def escaped(text: str, keep: str = "") -> str:
    r"""Return a text without what a terminal would obey: control characters as their escapes.

    Args:
        text: anything.
        keep: characters that stay as they are, as a line break.

    Example:
        >>> escaped("a\x1b[2Jb\n")
        'a\\x1b[2Jb\\n'
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda result: _escape(result[0], keep), text)


def _escape(character: str, keep: str) -> str:
    if character in keep or character.isprintable() or character == "\xa0":
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
