"""A data set of demonstrations in files: shards of raw steps, the table of episodes, and a card.

    RUN/
      demonstrations-0000.parquet ...   shards: a row a step, what was seen and what was quoted
      lessons.parquet                   a row for one's episodes: scenario, teacher, seed, where they are
      scenarios.toml                    the markets
      demonstrations.json, .md          the card: sizes, shares of the teachers, ranges, hashes

Shards are trusted only if their hash is the card's. Nothing here imports jax.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.errors import DataError, require
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.runs import tables
from flowhft.runs.files import entry
from flowhft.runs.folder import read_object, read_table, sha256_of, write_table
from flowhft.scenarios.files import read_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.types import Observation, Quote

FORMAT = "flowhft.demonstrations"
VERSION = 1
EPISODES = "lessons.parquet"
SCENARIOS = "scenarios.toml"
CARD = "demonstrations.json"
MOST_ROWS = 50_000_000  # that are learned from at once, which training holds in memory

STEP_UNITS = tables.units_of("demonstrate", "demonstrations-0000")
SEEN = tuple(name for name in STEP_UNITS if name in Observation._fields)


class Shown(NamedTuple):
    """What one teacher saw and quoted in one scenario.

    Attributes:
        scenario: where.
        teacher: name of the expert.
        risk_aversion: with which it quoted, 1 / (tick x lot).
        observation: arrays of shape (path, step). Intensities are NaN: nobody is to learn from what only a
            simulator knows.
        quote: arrays of shape (path, step), ticks.
    """

    scenario: Scenario
    teacher: str
    risk_aversion: float
    observation: Observation
    quote: Quote


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"demonstrations-{number:04d}.parquet"


def write_shard(path: Path, table: pl.DataFrame, sets: Sequence[Episodes]) -> dict[str, Any]:
    """Write the rows of a shard, and return what the card is to say about it.

    Args:
        path: of the file.
        table: of all its episodes, one after the other, the columns of `STEP_UNITS`.
        sets: in the order of their rows.

    Returns:
        file, rows, bytes, sha256, the smallest and largest value of every column, and for all episodes their
        `fills`, the lots filled until the last decision.
    """
    write_table(path, table, STEP_UNITS)
    ends = np.cumsum([episodes.rows for episodes in sets])
    filled = (table["filled_bid"] + table["filled_ask"]).to_numpy().astype(np.float64)
    return {
        "file": path.name,
        "rows": table.height,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "ranges": {name: [table[name].min(), table[name].max()] for name in STEP_UNITS if name != "path"},
        "fills": [float(filled[end - one.rows : end].sum()) for one, end in zip(sets, ends, strict=True)],
    }


def episodes_table(
    shards: Sequence[Sequence[Episodes]], records: Sequence[dict[str, Any]], criterion: str, seed: int
) -> pl.DataFrame:
    """Return the table of episodes: who taught where, by which criterion, and where the rows are.

    Args:
        shards: the plan (`flowhft.learn.demonstrations.episodes.plan`).
        records: from `write_shard`, in the same order.
        criterion: by which teachers were chosen.
        seed: of the run.
    """
    rows, path = list[dict[str, Any]](), 0
    for number, (sets, record) in enumerate(zip(shards, records, strict=True)):
        row = 0
        for episodes, fills in zip(sets, record["fills"], strict=True):
            scenario = episodes.scenario
            rows.append(
                {
                    "scenario": scenario.name,
                    "expert": episodes.expert,
                    "risk_aversion": episodes.risk_aversion,
                    "chosen": episodes.chosen,
                    "criterion": criterion,
                    "seed": seed,
                    "first": episodes.first,
                    "paths": episodes.paths,
                    "steps": scenario.steps,
                    "dt": scenario.dt,
                    "horizon": scenario.horizon,
                    "fill_decay": scenario.fill_decay,
                    "fills": fills,
                    "shard": number,
                    "row": row,
                    "path": path,
                }
            )
            row += episodes.rows
            path += episodes.paths
    return pl.DataFrame(rows)


def read_episodes(folder: Path) -> tuple[pl.DataFrame, dict[str, Scenario]]:
    """Read which episodes a data set has, and its scenarios by name.

    Args:
        folder: a finished run of `flowhft demonstrate`.

    Raises:
        DataError: it is damaged, or of another version.
    """
    card = read_object(folder / CARD)
    if (card.get("format"), card.get("version")) != (FORMAT, VERSION):
        raise DataError(
            f"`{folder / CARD}` must be the card of a data set of version {VERSION}; it is not. Demonstrate "
            "again with this version of flowhft."
        )
    sets = read_table(folder / EPISODES)
    scenarios = {scenario.name: scenario for scenario in read_scenarios(folder / SCENARIOS)}
    steps = {name: scenario.steps for name, scenario in scenarios.items()}
    for row in sets.iter_rows(named=True):
        if steps.get(row["scenario"]) != row["steps"]:
            raise DataError(
                f"`{folder / SCENARIOS}` must hold the scenarios of the lessons; '{row['scenario']}' has "
                f"{row['steps']} steps in `{EPISODES}` and {steps.get(row['scenario'], 'none')} here. A file "
                "was changed: demonstrate again."
            )
    return sets, scenarios


def read_shown(folder: Path, sets: pl.DataFrame, scenarios: dict[str, Scenario]) -> Iterator[Shown]:
    """Read episodes, shard by shard; every shard that is needed is verified first.

    Args:
        folder: of the data set.
        sets: rows of its table, as `read_episodes` or `flowhft.learn.demonstrations.episodes.choose`
            returned them.
        scenarios: of the data set, by name.

    Raises:
        DataError: a shard is missing or not as it was written.
        UsageError: more than can be held at once is asked for.
    """
    rows = int((sets["paths"] * sets["steps"]).sum())
    require(
        rows <= MOST_ROWS,
        "demonstrations",
        f"have at most {MOST_ROWS:,} pairs that are learned from at once",
        f"{rows:,}",
        "Choose scenarios, teachers or sessions.",
    )
    listed = entry(read_object(folder / CARD), folder / CARD, "shards", kind=list)
    shards = {entry(one, folder / CARD, "file", kind=str): one for one in listed}
    for (number,), part in sets.group_by("shard", maintain_order=True):
        path = folder / shard_name(int(str(number)))
        expected = shards.get(path.name, {}).get("sha256")
        if not path.is_file() or sha256_of(path) != expected:
            fault = "its hash is not that of the card" if path.is_file() else "it is gone"
            raise DataError(
                f"`{path}` must be as it was written; {fault}. Demonstrate again in the same folder."
            )
        table = read_table(path)
        for row in part.iter_rows(named=True):
            yield _shown(path, table, row, scenarios[row["scenario"]])


def _shown(path: Path, table: pl.DataFrame, row: dict[str, Any], scenario: Scenario) -> Shown:
    """Cut episodes out of their shard."""
    shape = row["paths"], row["steps"]
    part = table.slice(row["row"], shape[0] * shape[1])
    numbers = part["path"].to_numpy()
    if not np.array_equal(numbers, np.repeat(np.arange(shape[0]) + row["path"], shape[1])):
        raise DataError(
            f"`{path}` must hold session {row['path']:,} and those after it from row {row['row']:,} on, as "
            f"`{EPISODES}` says; it does not. Demonstrate again."
        )
    columns = {
        name: part[name].to_numpy().astype(np.float32).reshape(shape)
        for name in STEP_UNITS
        if name not in ("path", "step")
    }
    # As the market counts: dt added up in single precision, one step after the other.
    dt = np.full(shape[1] - 1, scenario.dt, np.float32)
    time = np.add.accumulate(np.concatenate([np.zeros(1, np.float32), dt]), dtype=np.float32)
    unknown = np.broadcast_to(np.float32(np.nan), shape)
    observation = Observation(
        time=np.broadcast_to(time, shape),
        time_left=np.broadcast_to(np.float32(scenario.horizon) - time, shape),
        intensity_bid=unknown,
        intensity_ask=unknown,
        **{name: columns[name] for name in SEEN},
    )
    quote = Quote(columns["half_spread_bid"], columns["half_spread_ask"])
    return Shown(scenario, row["expert"], row["risk_aversion"], observation, quote)
