"""Small valid inputs of every kind, from which fuzzing begins."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from folded_files import save_folded
from recording_files import (
    session,
    stream_lines,
    write,
    write_bitstamp,
    write_csv,
    write_lobster,
    write_stream,
)
from test_readers import write_declared, write_tardis

from flowhft.desk.compiled.freeze import freeze
from flowhft.metrics.table import METRICS
from flowhft.policies import rules
from flowhft.policies.actor import Scales
from flowhft.policies.adapter import Adapter
from flowhft.policies.agent import Agent
from flowhft.policies.file import save_policy
from flowhft.policies.members import Members
from flowhft.policies.names import BUNDLED, find_policy
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.recordings import read_recording
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.runs.tables import table_of
from flowhft.runs.tables.kinds import TEXT, TEXT_UNITS
from flowhft.scenarios.files import scenarios_to_toml
from flowhft.scenarios.presets import find_scenarios

Files = dict[str, bytes]
SCENARIOS = find_scenarios("T1.LL,T4.HH,stress.crash,stress.one_sided_flow", "correct")
MANIFEST = {
    "command": "evaluate", "fingerprint": "0123456789abcdef", "config": {"paths": 10, "market": "correct"},
    "seed": 0, "parents": {}, "summary": {"reference": "glft", "tables": ["a"]}, "version": "0.1.0",
    "files": {"results.parquet": "00"}, "seconds": 1.5,
}  # fmt: skip
INSTRUMENT = {
    "venue": "kraken", "symbol": "BTC-USD", "currency": "USD", "tick_size": 0.1, "lot_size": 0.001,
    "inverse": False, "contract_value": 1.0, "maker_fee_bps": -1.0,
}  # fmt: skip


def _bytes(*texts: str) -> list[Files]:
    return [{"": text.encode()} for text in texts]


def toml() -> list[Files]:
    return _bytes(
        scenarios_to_toml(SCENARIOS[:1]),
        'a.b = 1\n"c d" = [1, 2.5, true, "x"]\n[t.u]\nd = 2024-07-18T00:00:00Z\n[[v]]\ne = {f = 0x1f}\n',
        'x = """\nlong\n"""\ny = \'raw\'\nz = 1e-3 # note\n',
    )


def json_texts() -> list[Files]:
    return _bytes(json.dumps(MANIFEST), json.dumps(INSTRUMENT), '[1, 2.5, null, true, "x", {"a": []}]')


def scenario() -> list[Files]:
    return [{"": scenarios_to_toml([one]).partition("\n")[2].encode()} for one in SCENARIOS]


def labels() -> list[Files]:
    return _bytes(
        "glft,calm=glft@0.1", "glft[delay=2,late=prices]", "x=avellaneda_stoikov", "no/file.safetensors"
    )


def names() -> list[Files]:
    return _bytes("calm", "volatility x0.5, demand x2", "große Ruhe", "a\x1b[2Jb")


def instrument() -> list[Files]:
    return _bytes(json.dumps(INSTRUMENT))


def symbols() -> list[Files]:
    pairs = (
        "binance-usdm BTCUSDT",
        "binance-coinm DOTUSD_PERP",
        "okx BTC-USDT-SWAP",
        "deribit BTC-PERPETUAL",
    )
    return _bytes(*pairs, "nasdaq GOOG", "bitmex XBTUSD", "coinbase BTC-USD")


def file_names() -> list[Files]:
    return _bytes(
        "usdm_btcusdt_20231114_trades.parquet",
        "GOOG_2012-06-21_34200000_37800000_message_2.csv",
        "binance_incremental_book_L2_2024-07-18_BTCUSDT.csv.gz",
        "x.ticks.parquet", "x.npz", "x.toml", "btcusdt_20231114.gz", "events.parquet",
    )  # fmt: skip


def lines() -> list[Files]:
    return _bytes(*stream_lines(session())[:12])


def settings() -> list[Files]:
    sampler = {
        "steps": 2,
        "solver": "euler",
        "tolerance": 1e-4,
        "noise_scale": 0.5,
        "noise": "held",
        "execute": 2,
    }
    network = {"features": "context", "horizon": 4, "width": 16, "blocks": 1, "finest": 4}
    return _bytes(json.dumps({"sampler": sampler, "settings": network}))


def _written(make: Callable[[Path], object]) -> Callable[[], list[Files]]:
    """Return the files that something writes into an empty folder."""

    def seeds() -> list[Files]:
        with tempfile.TemporaryDirectory() as name:
            make(Path(name))
            paths = sorted(path for path in Path(name).rglob("*") if path.is_file())
            return [{str(path.relative_to(name)): path.read_bytes() for path in paths}]

    return seeds


def _lobster_as(write_as: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as other:
            write_as(write_csv(Path(other)), folder)

    return make


# Format -> what writes a recording, and the path that is read within the folder ("" for the folder).
RECORDINGS: dict[str, tuple[Callable[[], list[Files]], str]] = {
    "binance": (_written(lambda folder: write(folder, session())), ""),
    "stream": (_written(write_stream), ""),
    "stream of lines": (_written(lambda folder: write_stream(folder, name="btcusdt_20231114.jsonl")), ""),
    "lobster": (_written(write_csv), ""),
    "lobster tables": (_written(write_lobster), ""),
    "bitstamp": (_written(write_bitstamp), ""),
    "tardis": (_written(write_tardis), ""),
    "tardis, zipped": (_written(lambda folder: write_tardis(folder, zipped=True)), ""),
    "declared": (_written(write_declared), ""),
    "npz": (
        _written(_lobster_as(lambda path, folder: write_npz(read_recording(path), folder / "x.npz"))),
        "x.npz",
    ),
    "ticks": (
        _written(
            _lobster_as(lambda path, folder: write_ticks(open_recording(path), folder / "x.ticks.parquet"))
        ),
        "x.ticks.parquet",
    ),
}


def _agent() -> Policy:
    arrays = {"weight.0": np.ones((5, 2)), "bias.0": np.zeros(2), "log_std": np.zeros(2)}
    for name in Scales._fields:
        arrays[f"scales.{name}"] = np.ones(5 if name in ("mean", "std") else 2)
    return Policy(Agent("state", {name: value.astype(np.float32) for name, value in arrays.items()}))


def _rule(name: str) -> Policy:
    made = Policy(Rule(rules.get(name), 0.1, {"x": 0.2}), adapter=Adapter(1.0, 0.0, 0.0, 0.0))
    return Policy(made.core.in_market(SCENARIOS[0]).core, adapter=made.adapter)


def _members() -> Policy:
    return Policy(Members({one.name: Policy(Rule(rules.get("glft"), 0.1)) for one in SCENARIOS[:2]}))


def _saved(make: Callable[[], Policy]) -> Callable[[], list[Files]]:
    return _written(lambda folder: save_policy(folder / "policy.safetensors", make()))


POLICIES: dict[str, Callable[[], list[Files]]] = {
    "rule": _saved(lambda: _rule("glft")),
    "table": _saved(lambda: _rule("oracle_stationary")),
    "agent": _saved(_agent),
    "members": _saved(_members),
    "flow": lambda: [{"policy.safetensors": BUNDLED["flowhft"].read_bytes()}],
}


def folded() -> list[Files]:
    return _written(
        lambda folder: save_folded(freeze(find_policy("glft"), SCENARIOS[0]), folder / "frozen.safetensors")
    )()


def manifest() -> list[Files]:
    return [{"manifest.json": json.dumps(MANIFEST).encode()}]


def record() -> list[Files]:
    return [{"record.json": files[""]} for files in json_texts()]


def scenario_file() -> list[Files]:
    return [{"scenarios.toml": scenarios_to_toml(SCENARIOS[:2]).encode()}]


CONFIGURATION = b'scenarios = "T1.LL"\npolicies = "glft"\npaths = 10\n[calibration]\ninterval = 1.0\n'


def configuration() -> list[Files]:
    return [{"config.toml": CONFIGURATION}]


TABLES = (("evaluate", "results"), ("select", "choices"), ("calibrate", "signature"), ("backtest", "windows"))


def table(command: str, name: str) -> Callable[[], list[Files]]:
    """Return two rows of a table of the list."""
    known = table_of(command, name)
    of = {each: column.unit for column in known.columns for each in column.names}

    def value(column: str) -> object:
        unit = of.get(column, "1")
        return "x" if unit in TEXT_UNITS or (not unit and column in TEXT) else 1.5

    rows = pl.DataFrame({column: [value(column)] * 2 for column in known.names(METRICS)})
    return _written(lambda folder: rows.write_parquet(folder / f"{name}.parquet"))
