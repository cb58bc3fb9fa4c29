"""`flowhft label`: recordings in parts, resumed, with their card, tables and page."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flowhft.desk.replay.labels import LabelSettings, label_orders
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, UsageError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.ticks import TRADE, Recording
from flowhft.recordings.windowed import InMemory
from flowhft.report.build import build
from flowhft.runs.folder import read_json, read_table
from flowhft.stages import label as stage
from flowhft.stages.folders.label import Label, run
from flowhft.stages.label import LabelWork, Part, blocks_of, label_recordings, offsets_table, rows_of
from flowhft.work.task import do_here

REPLAY = ReplaySettings(order_lots=10, decision_latency_us=100.0)
LABELS = LabelSettings(offsets=(1, 0, -6), lifetime=2.0, horizons=(1.0, 5.0))


@pytest.fixture(scope="module")
def sample() -> Recording:
    return read_recording(sample_recording())


def work_on(path: Path) -> LabelWork:
    return LabelWork((path,), False, InstrumentSettings(), 0.5, REPLAY, LABELS, 0)


class Held(LabelWork):
    """Work on a recording in memory."""

    recording: Any = None

    def prepare(self, group: int) -> InMemory:
        return InMemory(type(self).recording)


def test_parts_are_the_whole(sample: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into parts and interrupted, the labels are those of one pass over the recording."""
    monkeypatch.setattr(stage, "PART", 60.0)
    monkeypatch.setattr(Held, "recording", sample)
    work = Held(*vars(work_on(Path("sample"))).values())
    parts = work.parts(InMemory(sample), 0)
    assert len(parts) == 7
    done: list[str] = []

    def falters(work: Any, tasks: Iterable[Part], progress: Any) -> Iterator[tuple[Part, Any]]:
        for count, one in enumerate(do_here(work, tasks, progress)):
            if count == 3:
                raise KeyboardInterrupt
            done.append(one[0].key)
            yield one

    with pytest.raises(KeyboardInterrupt):
        list(label_recordings(work, parts, tmp_path, falters))
    first = list(done)
    found = list(label_recordings(work, parts, tmp_path, do_here))
    assert len(found) == 7
    assert first == [part.key for part in parts[:3]]
    rows = pl.concat([read_table(path) for path in sorted(tmp_path.glob("labels-*.parquet"))])
    start, end = int(sample.events["local_time_ns"][0]), int(sample.events["local_time_ns"][-1])
    time_ns = np.arange(start, end, 500_000_000)
    whole = rows_of(label_orders(sample, time_ns, REPLAY, LABELS), time_ns, LABELS)
    assert rows.equals(whole, null_equal=True)
    assert (whole["filled_lots"] > 0).sum() > 100
    # And what they come to is their sums.
    blocks = pl.concat([one.tables["blocks"] for one in found])
    one = replace_part(parts[0], end)
    by_hand = blocks_of(whole, one, LABELS.horizons)
    offsets = offsets_table(blocks, 0.99)
    for row in offsets_table(by_hand, 0.99).iter_rows(named=True):
        other = offsets.row(
            by_predicate=(pl.col("offset") == row["offset"]) & (pl.col("horizon") == row["horizon"]),
            named=True,
        )
        assert (
            other["fills"]
            == row["fills"]
            == (whole.filter(pl.col("offset") == row["offset"])["filled_lots"] > 0).sum()
        )
        if row["fills"]:
            filled = whole.filter((pl.col("offset") == row["offset"]) & (pl.col("filled_lots") > 0))
            known = filled.filter(pl.col(f"edge_{row['horizon']:g}").is_finite())
            mean = np.average(known[f"edge_{row['horizon']:g}"], weights=known["filled_lots"])
            assert other["edge"] == pytest.approx(mean)
            assert other["edge_low"] < other["edge"] < other["edge_high"]


def replace_part(part: Part, end: int) -> Part:
    return part._replace(last_ns=end)


def test_a_command_leaves_labels_a_card_and_a_page(tmp_path: Path) -> None:
    settings = Label(
        recording=sample_recording(), interval=2.0, labels=LABELS, replay=REPLAY, cores=1, out=tmp_path / "it"
    )
    folder = run(settings)
    card, rows = read_json(folder / "card.json"), read_table(folder / "labels-000-00000.parquet")
    assert card["orders"] == rows.height > 500
    assert card["fills"] == (rows["filled_lots"] > 0).sum() > 50
    (about,) = card["recordings"]
    assert about["symbol"] == "BTCUSDT"
    assert 0.0 < about["answers"]["share"]["value"] == about["answered"] < 1.0
    assert (card["replay"]["fills"], about["order_lots"]) == ("capped", 10)
    assert set(rows["offset"].unique()) <= {1, 0, -6}
    page = build(folder).read_text()
    assert "What orders come to, by distance" in page
    assert "fee at which each offset breaks even" in page
    assert "fills booked capped" in page
    assert "Orders are of 10 lots; 87\u00a0% of those that improve the best price are answered" in page
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    assert run(settings) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp


def test_bad_input_is_one_clear_line(sample: Recording, tmp_path: Path) -> None:
    quotes = replace(sample, events=sample.events[sample.events["kind"] != TRADE][:20_000])
    write_npz(quotes, tmp_path / "quotes.npz")
    with pytest.raises(DataError, match=r"must hold trades, labels need them; received none in"):
        run(Label(recording=tmp_path / "quotes.npz", out=tmp_path / "no", cores=1))
    for wrong in ({"interval": 0.0}, {"confidence": 1.0}, {"cores": -1}):
        with pytest.raises(UsageError, match=r"`\w+` must .*; received"):
            Label(recording=tmp_path, **wrong)  # type: ignore[arg-type]
    for bad in ({"offsets": ()}, {"offsets": (1, 1)}, {"horizons": (-1.0,)}, {"lifetime": 0.0}):
        with pytest.raises(UsageError, match=r"`\w+` must .*; received"):
            LabelSettings(**bad)  # type: ignore[arg-type]


def test_what_lots_earned_is_weighed_by_them() -> None:
    """By hand: ten lots that earned 1 tick and thirty that earned -1, in two blocks."""
    part = Part(0, 0, 0, 10, 0, 10, 0, 5)
    rows = pl.DataFrame(
        {
            "time_ns": [0, 1, 6, 7],
            "offset": [0, 0, 0, 0],
            "price": [100, 100, 200, 200],
            "filled_lots": [10, 0, 30, 5],
            "hidden": [True, False, False, False],
            "edge_1": [1.0, math.nan, -1.0, math.nan],
        }
    )
    blocks = blocks_of(rows, part, (1.0,))
    assert blocks["known"].to_list() == [10.0, 30.0]
    (row,) = offsets_table(blocks, 0.99).iter_rows(named=True)
    assert (row["placed"], row["fills"], row["hidden"]) == (4.0, 3.0, 1.0)
    assert row["probability"] == pytest.approx(0.75)
    assert row["edge"] == pytest.approx((10.0 - 30.0) / 40.0)
    assert row["break_even_bps"] == pytest.approx((10.0 * 100.0 - 30.0 * 50.0) / 40.0)
    assert row["edge_low"] < row["edge"] < row["edge_high"]
