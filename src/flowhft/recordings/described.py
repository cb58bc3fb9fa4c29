"""What a recording is of: said on the command line, else in NAME.toml beside it, else found or guessed.

Every format takes the same keys, those of `InstrumentSettings`. What is guessed is a finding, with the place
to say otherwise.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flowhft.errors import RecordingError, UnknownNameError, require
from flowhft.recordings.files import decoding
from flowhft.recordings.instrument import UNITS, Instrument
from flowhft.recordings.ticks import Finding
from flowhft.recordings.venues import COUNT_CONTRACTS, terms_of
from flowhft.runs import foreign
from flowhft.runs.labels import shown

LARGEST_UNIT = 1e12  # of a tick or a lot
LARGEST_FEE = 10_000.0  # bps
LONGEST_NAME = 100
# What the name of a file has behind NAME.
ENDING = re.compile(r"(?:\.ticks\.parquet|\.npz|\.toml|(?:\.(?:jsonl|ndjson|json|txt|log|dat))?(?:\.gz)?)$")
SECTION = "recording"  # of a declaration; in other TOML files keys may stand alone


@dataclass(frozen=True, kw_only=True)
class InstrumentSettings:
    """What is said of an instrument. What is left out is found in the files, or guessed and said to be."""

    venue: str | None = None
    """Where it was traded."""
    symbol: str | None = None
    """What was traded."""
    currency: str | None = None
    """Unit of prices, as USDT."""
    tick_size: float | None = None
    """Price of a tick, in the currency."""
    lot_size: float | None = None
    """Quantity of a lot, in the base asset or in contracts."""
    inverse: bool | None = None
    """Whether a contract is a fixed value in the currency of prices, settled in the coin."""
    contract_value: float | None = None
    """Base assets in a quantity of 1, or of an inverse contract its fixed value in the currency of prices."""
    settlement: str | None = None
    """Currency of PnL, where it is not that of prices."""
    maker_fee_bps: float | None = None
    """Fee of the venue on what is traded, basis points of its value; negative is a rebate."""
    taker_fee_bps: float | None = None
    """The same for orders that trade on arrival."""
    minimum_notional: float | None = None
    """Least value of an order, in the currency of prices."""

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            must = KEYS[name].must
            require(KEYS[name].holds(value), name, must, repr(value))

    @property
    def given(self) -> dict[str, Any]:
        """Return what is not left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Key(NamedTuple):
    """What a key must be: in words, and whether a value is it."""

    must: str
    holds: Callable[[Any], bool]


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value < high


_NAME = Key(
    f"be a text of up to {LONGEST_NAME} printable characters",
    lambda value: isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_NAME,
)
_SIZE = Key(f"be a number above 0 and below {LARGEST_UNIT:g}", _number(0.0, LARGEST_UNIT))
_FEE = Key(f"be a number below {LARGEST_FEE:,.0f} in absolute value", _number(-LARGEST_FEE, LARGEST_FEE))
KEYS: Mapping[str, Key] = {
    **dict.fromkeys(("venue", "symbol", "currency", "settlement"), _NAME),
    **dict.fromkeys(("tick_size", "lot_size", "contract_value", "minimum_notional"), _SIZE),
    **dict.fromkeys(("maker_fee_bps", "taker_fee_bps"), _FEE),
    "inverse": Key("be true or false", lambda value: isinstance(value, bool)),
}


class Guess(NamedTuple):
    """A value that nobody said, and how it was guessed."""

    value: Any
    how: str


def beside(session: Path) -> Path:
    """Return the TOML file that may describe a session, its file or prefix."""
    return session.with_name(f"{ENDING.sub('', session.name)}.toml")


def text_of(path: Path) -> Any:
    """Return what a TOML file holds, None where there is no such file.

    Raises:
        RecordingError: it is no TOML.
    """
    if not path.is_file():
        return None
    with decoding(path, "TOML"):
        return foreign.toml_in(path)


def declared_in(values: Any, path: Path, fix: str, kind: str = "key") -> dict[str, Any]:
    """Return what a file says of an instrument, each value checked.

    Args:
        values: what was found, anything; None says nothing.
        path: the file, for messages.
        fix: what to do where it is wrong.
        kind: what a key is called.

    Raises:
        RecordingError: a key that there is not, or a value that cannot be.
    """
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise RecordingError(f"must come with {', '.join(UNITS)}; received {shown(values)}. {fix}", path)
    for name, value in values.items():
        if name not in KEYS:
            raise RecordingError(str(UnknownNameError(kind, name, KEYS)), path)
        if not KEYS[name].holds(value):
            raise RecordingError(f"`{name}` must {KEYS[name].must}; received {shown(value)}. {fix}", path)
    return {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in values.items()
    }


def declared_beside(session: Path) -> dict[str, Any]:
    """Return what the TOML file beside a session says of its instrument; empty where there is none.

    Raises:
        RecordingError: it says what cannot be.
    """
    path = beside(session)
    values = text_of(path)
    if isinstance(values, dict) and isinstance(values.get(SECTION), dict):
        values = values[SECTION]
    return declared_in(values, path, "Mend it.")


def identified(
    session: Path,
    settings: InstrumentSettings,
    results: Mapping[str, Any],
    file: Path,
    declared: Mapping[str, Any] | None = None,
) -> tuple[Instrument, list[Finding]]:
    """Return what a recording is of, and what of it was guessed.

    Args:
        session: its file, or what the names of its files begin with.
        settings: what is said on the command line, which wins.
        results: what the files tell; `Guess` where they do not quite, a function where that takes a while.
        file: of the session, for messages.
        declared: what is said beside it; None reads NAME.toml.

    Raises:
        RecordingError: something is not known, or said to be what cannot be.
    """
    declared = {**(declared_beside(session) if declared is None else declared), **settings.given}
    guesses: list[str] = []

    def take(name: str) -> Any:
        value = declared.get(name, results.get(name))
        value = value() if callable(value) else value
        if isinstance(value, Guess):
            guesses.append(f"{name} {_shown(value.value)} ({value.how})")
            return value.value
        return value

    values = {name: take(name) for name in ("venue", "symbol", "tick_size", "lot_size")}
    where = f"in `{beside(session).name}` beside it, or as --instrument."
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise RecordingError(
            f"must come with {', '.join(UNITS)}; nothing says {', '.join(missing)}. Write them into "
            f"`{beside(session).name}` beside it, or pass --instrument.{missing[0].replace('_', '-')}.",
            file,
        )
    terms = terms_of(values["venue"], values["symbol"])
    values["currency"] = take("currency")
    if values["currency"] is None and terms is not None:
        values["currency"] = terms.currency
        guesses.append(f"currency {terms.currency} (the symbol, {values['symbol']})")
    if values["currency"] is None:
        raise RecordingError(
            f"the symbol {values['symbol']} of {values['venue']} does not tell the currency of its prices. "
            f'Say it: currency = "..." {where}currency.',
            file,
        )
    values |= {name: value for name in Instrument._fields[5:] if (value := take(name)) is not None}
    if terms is not None and values.get("inverse", terms.inverse) == terms.inverse:
        for name in ("inverse", "contract_value", "settlement"):
            value = getattr(terms, name)
            if name not in values and value is not None and value != Instrument._field_defaults[name]:
                values[name] = value
                guesses.append(f"{name} {_shown(value)} (the venue and the symbol)")
    for name in ("venue", "symbol", "currency", "settlement"):
        if name in values and not _NAME.holds(values[name]):
            raise RecordingError(f"`{name}` must {_NAME.must}; received {shown(values[name])}.", file)
    instrument = Instrument(**values)
    findings = []
    if instrument.inverse and not instrument.settlement:
        raise RecordingError(
            "an inverse contract must say the coin that it is settled in; nothing does. Say it: settlement = "
            f'"..." {where}settlement.',
            file,
        )
    if guesses:
        say = f"say it in {beside(session).name} beside it, or by --instrument options"
        findings.append(Finding("note", f"guessed: {'; '.join(guesses)}. If it is another, {say}."))
    if instrument.inverse:
        findings.append(
            Finding(
                "warning",
                "an inverse contract: lots are contracts of a fixed value in "
                f"{instrument.currency}, {instrument.contract_value:g}, settled in {instrument.settlement}.",
            )
        )
    elif instrument.venue in COUNT_CONTRACTS and "contract_value" not in values:
        findings.append(
            Finding(
                "warning",
                "quantities are contracts, of how many coins is not known: PnL is that of 1 coin a contract. "
                f"Say it: contract_value = ... {where}contract-value.",
            )
        )
    return instrument, findings


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value is True else str(value)
