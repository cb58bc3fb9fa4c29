"""What reads what others wrote, and what it must keep: an error of ours, or a result that can be used.

A target is a row: its seeds are the files of a small valid input, of which one at a time is changed; `run`
reads them and says how that ended. What it lets through, and what is not an error of ours, is a failure.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowhft.cli.configuration import read_toml
from flowhft.desk.compiled.store import load_folded
from flowhft.errors import FlowhftError
from flowhft.policies.file import load_policy
from flowhft.policies.header import settings_in
from flowhft.policies.names import find_policy
from flowhft.policies.options import split_list, split_options
from flowhft.policies.policy import Policy
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.recordings import market_orders, read_recording
from flowhft.recordings.binance.lines import UNREADABLE, symbol_in
from flowhft.recordings.described import declared_in
from flowhft.recordings.formats.read import READERS
from flowhft.recordings.venues import terms_of
from flowhft.runs import foreign
from flowhft.runs.folder import manifest_of, read_json
from flowhft.runs.labels import LONGEST, escaped, fault_of, shown
from flowhft.runs.tables import table_of
from flowhft.runs.tables.kinds import read_known
from flowhft.scenarios.carried import CARRIED
from flowhft.scenarios.files import read_scenarios, scenario_from_table
from flowhft.scenarios.scenario import Scenario

Files = dict[str, bytes]


class Target(NamedTuple):
    """Something that reads.

    Attributes:
        name: of it.
        seeds: files of valid inputs, by the folder that they are written into.
        run: given that folder, reads them; returns how it ended.
        memory: whether it reads no file: then it is given the one seed itself.
    """

    name: str
    seeds: Callable[[], list[Files]]
    run: Callable[[Any], str]
    memory: bool = False


def signature(cause: BaseException) -> str:
    """Return an error without what differs from input to input."""
    words = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*/[^`]*`|\[[^\]]*\]|[-\d.,]+", "", str(cause))
    return f"{type(cause).__name__}: {words[:90]}"


def ours(read: Callable[[Any], str | None], *more: type[BaseException]) -> Callable[[Any], str]:
    """Let errors of ours be an outcome, each of them one line that can be printed and read."""

    def run(given: Any) -> str:
        try:
            return read(given) or "ok"
        except (FlowhftError, *more) as cause:
            text = " ".join(str(cause).split())
            assert len(text) < 4_000, f"a message of {len(text)} letters"
            return signature(cause)

    return run


def finite(value: Any) -> bool:
    """Return whether a value of JSON holds no NaN and no infinity."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


# --- in memory --------------------------------------------------------------------------------------------


def _toml(content: bytes) -> None:
    foreign.toml(content)


def _json(content: bytes) -> None:
    assert finite(foreign.json_of(content)), "JSON with NaN"


def _scenario(content: bytes) -> str:
    scenario = scenario_from_table(foreign.toml(content), "file")
    _require_usable(scenario)
    return f"ok {scenario.price} {scenario.exciter}"


def _require_usable(scenario: Scenario) -> None:
    """Require that what follows from a scenario is a number, in single precision too."""
    numbers = [getattr(scenario, name) or 0.0 for name in CARRIED]
    numbers += [
        *scenario.mean_intensities,
        scenario.step_deviation,
        scenario.lost_share(),
        *scenario.estimates()[:5],
    ]
    with np.errstate(over="ignore"):
        assert np.isfinite(np.float32(numbers)).all(), "a number that single precision does not carry"
    assert scenario.name.isprintable()
    assert 1 <= scenario.steps <= 1_000_001


def _label(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    for part in split_list(text)[:4]:
        split_options(part)
        named = find_policy(part)
        assert len(named.name) <= LONGEST
        assert named.name.isprintable()
        assert not {"/", "\\"} & set(named.name)
        assert ".." not in named.name
    return "ok"


def _name(content: bytes) -> str:
    text = content.decode("utf-8", "surrogateescape")
    assert all(letter.isprintable() or letter == "\xa0" for letter in escaped(text))
    assert shown(text).isprintable()
    return fault_of(text, path=True) or "ok"


def _instrument(content: bytes) -> None:
    said = declared_in(foreign.json_of(content), Path("x.toml"), "Mend it.")
    assert finite(said)


def _symbol(content: bytes) -> str:
    venue, _, symbol = content.decode("utf-8", "replace").partition(" ")
    return str(terms_of(venue, symbol) is None)


def _file_name(content: bytes) -> str:
    name = re.sub("[/\x00]", "", content.decode("utf-8", "replace"))[:200] or "x"
    return " ".join(reader.name for reader in READERS.values() if reader.session_of(Path(name)) is not None)


def _line(content: bytes) -> str:
    return type(symbol_in(content.decode("utf-8", "replace"))).__name__


def _settings(content: bytes) -> None:
    header = foreign.json_of(content)
    for name, kind in (("sampler", SamplerSettings), ("settings", NetworkSettings)):
        made = settings_in(kind, header.get(name, {}) if isinstance(header, dict) else header, name)
        assert finite([getattr(made, item.name) for item in fields(kind)])


# --- files ------------------------------------------------------------------------------------------------


def recording(name: str, repair: bool) -> Callable[[Path], str]:
    """Return a reader of a recording, which must be refused or usable."""

    def run(folder: Path) -> str:
        result = read_recording(folder / name if name else folder, repair=repair)
        market_orders(result)
        events = result.events
        assert np.all(np.diff(events["local_time_ns"]) >= 0), "time goes back"
        assert np.all(np.isin(events["side"], (-1, 1))), "a side that is none"
        assert events["quantity"].min() >= 0, "a quantity below 0"
        assert all(math.isfinite(n) and n > 0.0 for n in (result.tick_size, result.lot_size)), "tick or lot"
        assert all(text.isprintable() for text in (result.venue, result.symbol, result.currency)), "a name"
        return "ok " + " ".join(
            sorted({signature(ValueError(one.message))[:40] for one in result.findings})[:3]
        )

    return ours(run)


def _policy(folder: Path) -> str:
    _require_numbers(load_policy(folder / "policy.safetensors"))
    return "ok"


def _require_numbers(policy: Policy) -> None:
    """Require finite numbers wherever a policy holds some."""
    core = policy.core
    for member in getattr(core, "policies", {}).values():
        _require_numbers(member)
    held: list[Any] = [policy.adapter, policy.regime, policy.dial]
    held += [getattr(core, name, None) for name in ("sensor", "units", "coefficients", "risk_aversion")]
    for part in ("weights", "normaliser", "arrays", "risk_aversions"):
        values = getattr(core, part, None)
        held += list(values.values()) if isinstance(values, Mapping) else []
    for value in held:
        for number in value if isinstance(value, tuple) else (value,):
            assert number is None or np.isfinite(np.asarray(number, np.float64)).all(), (
                "a number that is none"
            )


def _folded(folder: Path) -> str:
    frozen = load_folded(folder / "frozen.safetensors")
    assert np.isfinite(np.asarray(frozen.adapter, np.float64)).all(), "a number that is none"
    return "ok"


def _manifest(folder: Path) -> str:
    manifest = manifest_of(folder)
    return str(sorted(manifest)[:3] and "ok")


def _record(folder: Path) -> str:
    assert finite(read_json(folder / "record.json")), "JSON with NaN"
    return "ok"


def _scenarios(folder: Path) -> str:
    for scenario in read_scenarios(folder / "scenarios.toml"):
        _require_usable(scenario)
    return "ok"


def _config(folder: Path) -> str:
    return str(len(read_toml(folder / "config.toml")))


def table(command: str, name: str) -> Callable[[Path], str]:
    """Return a reader of a table of the list."""
    return ours(lambda folder: str(read_known(folder / f"{name}.parquet", table_of(command, name)).width))


def targets() -> list[Target]:
    """Return all of them."""
    from fuzzing import seeds

    said = ours
    memory = [
        Target("toml", seeds.toml, said(_toml, ValueError), True),
        Target("json", seeds.json_texts, said(_json, ValueError), True),
        Target("scenario", seeds.scenario, said(_scenario, ValueError), True),
        Target("label", seeds.labels, said(_label), True),
        Target("name", seeds.names, _name, True),
        Target("instrument", seeds.instrument, said(_instrument, ValueError), True),
        Target("symbol", seeds.symbols, said(_symbol), True),
        Target("file name", seeds.file_names, said(_file_name), True),
        Target("line", seeds.lines, said(_line, *UNREADABLE), True),
        Target("settings", seeds.settings, said(_settings, ValueError), True),
    ]
    recordings = [
        Target(f"{name}{', repaired' * repair}", make, recording(path, repair))
        for name, (make, path) in seeds.RECORDINGS.items()
        for repair in (False, True)
    ]
    files = [
        *(Target(f"policy {kind}", make, said(_policy)) for kind, make in seeds.POLICIES.items()),
        Target("folded policy", seeds.folded, said(_folded)),
        Target("manifest", seeds.manifest, said(_manifest)),
        Target("record", seeds.record, said(_record)),
        Target("scenario file", seeds.scenario_file, said(_scenarios)),
        Target("configuration", seeds.configuration, said(_config)),
        *(Target(f"table {c} {n}", seeds.table(c, n), table(c, n)) for c, n in seeds.TABLES),
    ]
    return memory + recordings + files
