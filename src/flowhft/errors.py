"""The errors that flowhft raises, as one tree.

    FlowhftError                 exit code 1
    ├── UsageError               2   a flag, a configuration key or a value that cannot be
    │   ├── UnknownNameError     2   a name that is in no table, with the nearest one that is
    │   └── MissingExtraError    2   an optional dependency that is not installed
    ├── DataError                3   a file that is missing, damaged, or not what it says it is
    │   └── RecordingError       3   a fault in a recording, with its file and row
    └── BarMissedError           4   a required result was not reached

Every message has one form: *`name` must RULE; received VALUE. FIX.*
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

LONGEST_NAME, LONGEST_VALUE = 100, 1_000  # letters of what was received that a message repeats
LONGEST_MESSAGE = 3_000  # letters


class FlowhftError(Exception):
    """Any error that flowhft raises on purpose; `exit_code` is what the command line returns for it.

    Args:
        message: in the form above; the middle of one that repeats very much of a file is left out.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        message = str(message)
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE // 2]} ... {message[-LONGEST_MESSAGE // 4 :]}"
        super().__init__(message)


class UsageError(FlowhftError):
    """A flag, a configuration key or a value that cannot be."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is in no table.

    Args:
        kind: what the name should name, for example "policy".
        name: the name received.
        known: the names that exist.
        hint: a sentence that ends the message, for example where to list the names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        ending = f"; did you mean '{near[0]}'?" if near else f"; it must be one of {', '.join(known)}."
        super().__init__(f"unknown {kind} '{name}'{ending}{' ' + hint if hint else ''}")


class MissingExtraError(UsageError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"`{module}` must be installed for this; run: pip install 'flowhft[{extra}]'.")


class DataError(FlowhftError):
    """A file that is missing, damaged, or not what it says it is."""

    exit_code = 3


class RecordingError(DataError):
    """A fault in a recording.

    Args:
        message: what is wrong and how to mend it.
        path: the file at fault.
        row: the row of the file at fault, counted from 0 as the file holds it.
    """

    def __init__(self, message: str, path: Path | str, row: int | None = None) -> None:
        where = f"row {row:,} of `{path}`" if row is not None else f"`{path}`"
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.row = row


class BarMissedError(FlowhftError):
    """A result that the caller required was not reached."""

    exit_code = 4


def require(rule: bool, name: str, must: str, received: object, fix: str = "") -> None:
    """Raise a `UsageError` in the common form unless `rule` holds.

    Example:
        >>> require(0 < 0.5 < 1, "hurst_exponent", "lie between 0 and 1", 0.5)
    """
    if not rule:
        text = str(received)
        text = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
        raise UsageError(f"`{name}` must {must}; received {text}.{' ' + fix if fix else ''}")
