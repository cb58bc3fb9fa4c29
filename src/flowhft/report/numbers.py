"""Numbers for people: three significant digits, units, durations, intervals; never a raw 0.0034567.

One place for the terminal and for the report, so that the same number reads the same in both. The
minus sign is the plain hyphen, which can be pasted anywhere; `report.markup` sets it typographically.
"""

import math
from datetime import timedelta

from flowhft.metrics.table import METRICS
from flowhft.types import Interval

NOTHING = "n/a"
DIGITS = 3

# (seconds that one of the unit holds, its sign), from long to short.
_SHORT_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def _decimals(magnitude: float, digits: int) -> int:
    """Return how many decimals show `digits` significant digits of this magnitude."""
    return max(0, digits - 1 - math.floor(math.log10(magnitude)))


def known(value: float | None) -> bool:
    """Whether there is a finite number to show."""
    return value is not None and math.isfinite(value)


def formatted(value: float | None, form: str) -> str:
    """Write a number in a format of Python's, or that there is none: what JSON has null for.

    Example:
        >>> formatted(1.5, "+.3g"), formatted(None, "+.3g")
        ('+1.5', 'n/a')
    """
    return format(value, form) if value is not None and math.isfinite(value) else NOTHING


def with_ends(value: float | None, low: float | None, high: float | None, form: str = "+.3g") -> str:
    """Write an estimate with the ends of its interval in brackets.

    Example:
        >>> with_ends(1.0, 0.5, 1.5), with_ends(1.0, None, None), with_ends(None, None, None)
        ('+1 [+0.5, +1.5]', '+1 [n/a, n/a]', 'n/a')
    """
    if not known(value):
        return NOTHING
    return f"{formatted(value, form)} [{formatted(low, form)}, {formatted(high, form)}]"


def significant(value: float | None, digits: int = DIGITS) -> str:
    """Write a number with a few significant digits, thousands separated.

    Whole digits are never replaced by zeros unless the number has more than `digits` + 3 of them.

    Example:
        >>> significant(0.0034567), significant(-12345.6), significant(float("nan"))
        ('0.00346', '-12,346', 'n/a')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0.0:
        return "0"
    magnitude = abs(value)
    if magnitude < 1e-4 or magnitude >= 10.0 ** (digits + 6):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    # Rounding can carry into a new digit: 9.999 is 10.0 and not 10.00.
    magnitude = float(f"{magnitude:.{digits - 1}e}")
    return f"{value:,.{_decimals(magnitude, digits)}f}"


def together(*values: float | None, digits: int = DIGITS) -> tuple[str, ...]:
    """Write numbers that are read together with the same decimals: as many as the largest needs.

    Example:
        >>> together(0.012, -1.2, 1.18)
        ('0.01', '-1.20', '1.18')
    """
    magnitudes = [
        abs(value) for value in values if value is not None and math.isfinite(value) and value != 0.0
    ]
    largest = max(magnitudes, default=10.0 ** (digits - 1))  # zeros alone need no decimals
    if largest < 1e-4 or largest >= 10.0 ** (digits + 6):
        return tuple(significant(value, digits) for value in values)
    decimals = _decimals(float(f"{largest:.{digits - 1}e}"), digits)

    def write(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return NOTHING
        text = f"{value:,.{decimals}f}"
        return text.removeprefix("-") if float(text.replace(",", "")) == 0.0 else text

    return tuple(write(value) for value in values)


def between(low: float | None, high: float | None, value: float | None = None) -> str:
    """Write an interval, `LOW to HIGH`, with the decimals that it shares with its estimate."""
    if not known(low) or not known(high):
        return NOTHING
    _, first, last = together(value, low, high)
    return f"{first} to {last}"


def plus_minus(value: float, half: float, space: str = " ") -> str:
    """Write an estimate with half the width of its interval: as many decimals as show both.

    Args:
        value: the estimate.
        half: of the width of its interval.
        space: around the sign.

    Example:
        >>> plus_minus(132.14, 0.42), plus_minus(-1.234, 0.056)
        ('132.1 ± 0.4', '-1.23 ± 0.06')
    """
    shown, reach = together(value, half)
    for digits in range(DIGITS + 1, DIGITS + 4):
        if not known(half) or half == 0.0 or any(digit in "123456789" for digit in reach):
            break
        shown, reach = together(value, half, digits=digits)
    return f"{shown}{space}±{space}{reach}"


def with_half(
    value: float | None, low: float | None, high: float | None, space: str = " ", nothing: str = NOTHING
) -> str:
    """Write an estimate with half the width of its interval, or without where it has none.

    Args:
        value: the estimate.
        low: lower end of its interval.
        high: upper end.
        space: around the sign.
        nothing: for an estimate that is not known.

    Example:
        >>> with_half(132.14, 131.72, 132.56), with_half(1.5, None, None), with_half(None, None, None)
        ('132.1 ± 0.4', '1.50', 'n/a')
    """
    if value is None or not math.isfinite(value):
        return nothing
    if low is None or high is None:
        return significant(value)
    return plus_minus(value, 0.5 * (high - low), space)


def with_interval(interval: Interval, unit: str = "") -> str:
    """Write an estimate, its unit and its interval.

    Example:
        >>> with_interval(Interval(12.34, 9.876, 14.8), "USD")
        '12.3 USD (9.9 to 14.8)'
    """
    value, low, high = together(*interval)
    estimate = with_unit(value, unit)
    return estimate if NOTHING in (low, high) else f"{estimate} ({low} to {high})"


def with_unit(number: str, unit: str) -> str:
    """Put a unit behind a number that is written already; a number without a unit stays as it is."""
    return f"{number} {unit}" if unit and unit != "1" and number != NOTHING else number


def unit_of(metric: str, currency: str) -> str:
    """Return the unit in which a metric is shown: money in its currency, a ratio without one."""
    unit = METRICS[metric].unit
    return "" if unit == "ratio" else unit.replace("money", currency)


def exact(value: float) -> str:
    """Write a number that was set rather than measured: no digits that nobody wrote.

    Example:
        >>> exact(0.001), exact(5.0), exact(-3.21784)
        ('0.001', '5', '-3.22')
    """
    written = significant(value)
    return written.rstrip("0").rstrip(".") if "." in written and "e" not in written else written


def counted(number: int, noun: str) -> str:
    """Write a count with its noun: `1 finding`, `2 findings`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def count(number: float) -> str:
    """Write a count in full, thousands separated.

    Example:
        >>> count(1234567)
        '1,234,567'
    """
    return f"{round(number):,}"


def share(part: float) -> str:
    """Write a share between 0 and 1 as a percentage: `99 %`."""
    return f"{significant(100.0 * part)} %" if round(100 * part) != 100 * part else f"{round(100 * part)} %"


def duration(seconds: float | None) -> str:
    """Write a length of time in the units that people use for one of that length.

    Example:
        >>> duration(8103.2), duration(75.0), duration(0.0123), duration(4.2e-6)
        ('2 h 15 min', '1 min 15 s', '12.3 ms', '4.20 µs')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.0:
        return f"-{duration(-seconds)}"
    if seconds >= 60.0:
        whole = timedelta(seconds=round(seconds) if seconds < 600.0 else 60 * round(seconds / 60.0))
        hours, rest = divmod(int(whole.total_seconds()), 3600)
        named = ((hours, "h"), (rest // 60, "min"), (rest % 60, "s"))
        return " ".join(f"{amount} {unit}" for amount, unit in named if amount)
    if seconds == 0.0:
        return "0 s"
    length, unit = next((pair for pair in _SHORT_TIMES if seconds >= pair[0]), _SHORT_TIMES[-1])
    amount = seconds / length
    return f"{round(amount)} {unit}" if amount == round(amount) else f"{significant(amount)} {unit}"
