"""How often improvements of the best price are answered, on books written by hand and on real ones."""

from pathlib import Path

import numpy as np
import pytest

from flowhft.calibrate.answers import answers
from flowhft.errors import DataError, UsageError
from flowhft.recordings import read_recording
from flowhft.recordings.instrument import Instrument
from flowhft.recordings.ticks import BUY, DEPTH, EVENT, SELL, SNAPSHOT, Recording

MS = 1_000_000


def book(bids: list[tuple[int, int]]) -> Recording:
    """A recording whose best bid becomes each price at its time, ms; the ask stays."""
    rows = [(SNAPSHOT, BUY, 0, 0, 990, 5, 0), (SNAPSHOT, SELL, 0, 0, 1010, 5, 0)]
    before = 990
    for number, (time, price) in enumerate(bids, 1):
        at = time * MS
        if price < before:
            rows += [(DEPTH, BUY, at, at, level, 0, number) for level in range(price + 1, before + 1)]
        rows.append((DEPTH, BUY, at, at, price, 5, number))
        before = price
    return Recording(Instrument("test", "BOOK", "USD", 1.0, 1.0), np.array(rows, EVENT))


def test_an_improvement_is_answered_by_the_next_change_alone() -> None:
    # Improved at 100 (answered at 500), at 500 (withdrawn at 900), at 2000 (the next after 1.5 s), at 3500.
    found = answers(book([(100, 991), (500, 992), (900, 990), (2000, 991), (3500, 992)]))
    assert found.improvements == 4
    assert found.share.value == pytest.approx(0.25)
    longer = answers(book([(100, 991), (500, 992), (900, 990), (2000, 991), (3500, 992)]), within=2.0)
    assert longer.share.value == pytest.approx(0.5)


def test_what_has_no_answers() -> None:
    with pytest.raises(DataError, match=r"must hold improvements of its best prices; received none"):
        answers(book([(100, 989)]))
    with pytest.raises(UsageError, match=r"`within` must be positive"):
        answers(book([(100, 991)]), within=0.0)


@pytest.mark.parametrize(("stock", "share"), [("GOOG", 0.27), ("AAPL", 0.36)])
def test_the_share_of_nasdaq(shared_data: Path, stock: str, share: float) -> None:
    """What two studies found by other means lies in the interval."""
    found = answers(read_recording(shared_data / "lobster_nasdaq_2012" / stock))
    assert found.share.low < share < found.share.high
    assert found.improvements > 10_000
