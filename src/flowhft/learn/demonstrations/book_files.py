"""Demonstrations on recordings, in files.

    RUN/
      demonstrations-0000.parquet ...  shards, a recording and round each: what the maker saw and chose
      decisions-0000.parquet ...       a recording each: the signals of its book
      teacher-0000.safetensors ...     the maker in that recording's scales
      demonstrations.json, .md         the card: sizes, choices, hashes

Files are trusted only if their hash is the card's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from flowhft.errors import DataError, require
from flowhft.features.book import NAMES, SIGNALS
from flowhft.features.book_side import NONE
from flowhft.learn.demonstrations.book import BookShown, taught
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.demonstrations.dataset_files import CARD, MOST_ROWS
from flowhft.policies.book import BookMaker
from flowhft.policies.file import load_policy
from flowhft.runs import tables
from flowhft.runs.files import entry
from flowhft.runs.folder import read_object, read_table, sha256_of, write_table

FORMAT = "flowhft.book_demonstrations"
VERSION = 1
ROW_UNITS = tables.units_of("teach", "demonstrations-0000")
DECISION_UNITS = tables.units_of("teach", "decisions-0000") | {one.name: one.unit for one in SIGNALS}


class BookTeaching(NamedTuple):
    """What a data set of this kind teaches.

    Attributes:
        maker: who taught, with the scales of the market that it is for.
        demonstrations: of all recordings, sessions of one side each.
    """

    maker: BookMaker
    demonstrations: Demonstrations


def is_of_books(folder: Path) -> bool:
    """Whether a run folder holds demonstrations on recordings."""
    return (folder / CARD).is_file() and read_object(folder / CARD).get("format") == FORMAT


def decisions_table(time_ns: np.ndarray, signals: Float[np.ndarray, "decision signal"]) -> pl.DataFrame:
    """Return the signals of a recording's decisions as a table."""
    columns = dict(zip(NAMES, np.asarray(signals, np.float64).T, strict=True))
    return pl.DataFrame({"time_ns": time_ns, **columns})


def rows_of(shown: BookShown, offsets: Float[np.ndarray, " price"]) -> pl.DataFrame:
    """Return what a maker showed as a table, prices as ticks by which they better the best of their side."""
    sessions, steps = shown.inventory.shape
    ticks = [*np.asarray(offsets, np.int64).tolist(), None]

    def better(places: np.ndarray) -> pl.Series:
        return pl.Series([ticks[min(place, len(ticks) - 1)] for place in places.ravel()], dtype=pl.Int16)

    return pl.DataFrame(
        {
            "session": np.repeat(np.arange(sessions, dtype=np.int32), steps),
            "decision": (shown.decision[:, None] + np.arange(steps)).ravel(),
            "inventory": shown.inventory.ravel(),
            "standing_bid": better(shown.standing[..., 0]),
            "standing_ask": better(shown.standing[..., 1]),
            "offset_bid": better(shown.choice[..., 0]),
            "offset_ask": better(shown.choice[..., 1]),
        }
    )


def shown_in(table: pl.DataFrame, offsets: Float[np.ndarray, " price"], steps: int) -> BookShown:
    """Return what a table of `rows_of` says."""
    places = {int(offset): place for place, offset in enumerate(offsets)}

    def both(name: str) -> np.ndarray:
        columns = [
            [NONE if ticks is None else places[ticks] for ticks in table[f"{name}_{side}"].to_list()]
            for side in ("bid", "ask")
        ]
        return np.array(columns, np.int8).T.reshape(-1, steps, 2)

    decision = table["decision"].to_numpy().reshape(-1, steps)[:, 0]
    return BookShown(
        decision.astype(np.int64),
        table["inventory"].to_numpy().reshape(-1, steps),
        both("standing"),
        both("offset"),
    )


def write_file(path: Path, table: pl.DataFrame, units: dict[str, str]) -> dict[str, Any]:
    """Write a table, and return what the card is to say of it."""
    write_table(path, table, units)
    return noted(path) | {"rows": table.height}


def noted(path: Path) -> dict[str, Any]:
    """Return what the card says of a file: name, bytes, sha256."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def read_teaching(folder: Path) -> BookTeaching:
    """Read a data set of demonstrations on recordings.

    Args:
        folder: a finished run of `flowhft teach`.

    Raises:
        DataError: a file is gone or not as it was written.
        UsageError: it is larger than can be learned from at once.
    """
    card = read_object(folder / CARD)
    if (card.get("format"), card.get("version")) != (FORMAT, VERSION):
        raise DataError(
            f"`{folder / CARD}` must be the card of demonstrations on recordings, version {VERSION}; it is "
            "not. Teach again with this version of flowhft."
        )
    shards = entry(card, folder / CARD, "shards", kind=list)
    rows = 2 * sum(shard["rows"] for shard in shards)
    fix = "Teach on fewer recordings, or in fewer rounds."
    require(rows <= MOST_ROWS, "demonstrations", f"have at most {MOST_ROWS:,} pairs", f"{rows:,}", fix)
    parts, makers = [], []
    for number, recording in enumerate(entry(card, folder / CARD, "recordings", kind=list)):
        maker: Any = load_policy(_verified(folder, recording["teacher"])).core
        makers.append(maker)
        table = read_table(_verified(folder, recording["decisions"]))
        signals = table.select(NAMES).to_numpy()
        for shard in shards:
            if shard["recording"] == number:
                rows_read = read_table(_verified(folder, shard))
                shown = shown_in(rows_read, maker.arrays["offsets"], card["steps"])
                parts.append(taught(maker, signals, shown))
    whole = Demonstrations(*(np.concatenate([part[i] for part in parts]) for i in range(2)))
    return BookTeaching(makers[0], whole)


def _verified(folder: Path, listed: Mapping[str, Any]) -> Path:
    """Return the path of a file once it is known to be as it was written."""
    path = folder / str(listed["file"])
    if not path.is_file() or sha256_of(path) != listed["sha256"]:
        fault = "its hash is not that of the card" if path.is_file() else "it is gone"
        raise DataError(f"`{path}` must be as it was written; {fault}. Teach again in the same folder.")
    return path


def card_of(
    recordings: Sequence[Mapping[str, Any]], shards: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the card.

    Args:
        recordings: name, decisions and teacher of each, see `noted`.
        shards: of `write_file`, with the recording and round of each and how often every choice was taken.
        about: what else is known: maker, share, steps, seed, versions.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "recordings": list(recordings),
        "pairs": sum(shard["rows"] for shard in shards),
        "choices": {
            name: sum(shard["choices"].get(name, 0) for shard in shards)
            for name in dict.fromkeys(name for shard in shards for name in shard["choices"])
        },
        "shards": list(shards),
    }


def page_of(card: Mapping[str, Any]) -> str:
    """Return the card as a page in Markdown."""
    total = max(sum(card["choices"].values()), 1)
    return "\n".join(
        [
            "# Demonstrations on recordings",
            "",
            f"{card['pairs']:,} decisions of the maker `{card['maker']}` in sessions of {card['steps']}, on "
            f"{len(card['recordings'])} recordings, of each the first {card['share']:.0%} of its time; seed "
            f"{card['seed']}, flowhft {card['flowhft']}.",
            "",
            "- Positions are drawn over all that the maker may hold, half of them whole orders; none is "
            "filled within a session."
            + (" The last round goes where a student led." if card["student"] else ""),
            "- Rows are raw: what was observed and chosen. Features are made of them when they are learned "
            "from.",
            "",
            "| ticks better than the best price | share of all choices of a side |",
            "| --- | --- |",
            *(f"| {name} | {count / total:.1%} |" for name, count in card["choices"].items()),
            "",
            "| file | rows | bytes | sha256 |",
            "| --- | --- | --- | --- |",
            *(
                f"| `{shard['file']}` | {shard['rows']:,} | {shard['bytes']:,} | `{shard['sha256']}` |"
                for shard in card["shards"]
            ),
            "",
        ]
    )


def choices_in(rows: pl.DataFrame) -> dict[str, int]:
    """Return how often each price was chosen on either side, by ticks; `none` for a side that was not."""
    sides = pl.concat([rows["offset_bid"], rows["offset_ask"].alias("offset_bid")])
    counted = sides.value_counts(sort=False).sort("offset_bid", descending=True, nulls_last=True)
    return {"none" if ticks is None else str(ticks): count for ticks, count in counted.iter_rows()}
