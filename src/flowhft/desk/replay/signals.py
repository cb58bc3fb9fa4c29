"""The signals of a book at the decisions of a recording: the fold of `flowhft.desk.signals` over its events.

By *local* time, so that nothing is seen before it had arrived. Sessions do not know of each other: halfway
through the gap between two of them everything is forgotten, and signals are NaN until the next one's first
best prices.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from flowhft.desk.compiled.compiled import compiled
from flowhft.desk.levels import open_levels
from flowhft.desk.replay.events import places_of
from flowhft.desk.signals import SignalState, open_signals, restart, take_signals, write_signals
from flowhft.errors import DataError, require
from flowhft.features.book import BAND, NAMES
from flowhft.recordings.book import TopOfBook, top_of_book, tops_of_messages
from flowhft.recordings.long_arrays import count_before, pieces, piled
from flowhft.recordings.market_orders import ORDER_WINDOW
from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, Recording

MOST_UNKNOWN = 0.5  # share of decisions without a book of two sides
FEWEST_CHANGES = 100  # of best prices, from which on sizes that never change are none
MOST_APART = 0.1  # share of messages of depth whose mid is another than the published one

_TOUCH = NAMES.index("touch_imbalance")


@compiled
def _fold(
    state: SignalState,
    events: np.ndarray,
    first: int,
    stop: int,
    time_ns: Int[np.ndarray, " step"],
    out: Float[np.ndarray, "step signal"],
) -> None:
    """Write the signals at every time after the events of [first, stop) up to it."""
    until = events[:stop]
    for step in range(len(time_ns)):
        first = take_signals(state, until, first, time_ns[step])
        write_signals(state, time_ns[step], out[step])


def read_signals(
    received: Recording, time_ns: Int[np.ndarray, " step"], order_window: float | None = None
) -> Float[np.ndarray, "step signal"]:
    """Return the signals of a book at every decision, NaN where one was not known (`flowhft.desk.signals`).

    Args:
        received: a recording as it reached us (`flowhft.desk.replay.latency.as_received`).
        time_ns: of the decisions on the local clock, none before the one ahead of it.
        order_window: trades of one side closer than this are one market order, seconds; None for the default.

    Returns:
        Shape (step, signal), in the order and units of `flowhft.features.book.SIGNALS`.

    Raises:
        UsageError: `time_ns` falls.
        DataError: the recording has no book, no sizes, or no two sides for more than half of the decisions
            after its first best prices; its depth is not of the market of its best prices.
    """
    require(not np.any(np.diff(time_ns) < 0), "time_ns", "never fall", "times out of order", "Sort them.")
    events = received.events
    published = require_book(received)
    book = (part[(part["kind"] == DEPTH) | (part["kind"] == SNAPSHOT)]["price"] for part in pieces(events))
    prices = places_of(piled(book, np.int64)).prices
    levels = open_levels(prices=prices) if len(prices) else open_levels()
    window = ORDER_WINDOW if order_window is None else order_window
    state = open_signals(published, window, levels)
    signals = np.empty((len(time_ns), len(NAMES)))
    borders = [(end + start) // 2 for (_, end), (start, _) in pairwise(received.sessions)]
    steps = [0, *np.searchsorted(time_ns, borders).tolist(), len(time_ns)]
    cuts = [0, *(count_before(events["local_time_ns"], border) for border in borders), len(events)]
    for (step, last_step), (first, stop) in zip(pairwise(steps), pairwise(cuts), strict=True):
        restart(state)
        _fold(state, events, first, stop, time_ns[step:last_step], signals[step:last_step])
    _require_two_sides(received, time_ns, signals[:, _TOUCH])
    return signals


def require_book(recording: Recording) -> bool:
    """Refuse a recording whose book tells nothing; return whether the venue publishes its best prices.

    Raises:
        DataError: it has neither best prices nor a snapshot, or no sizes, or depth that lies elsewhere than
            its best prices.
    """
    published, deep = (
        any((part["kind"] == kind).any() for part in pieces(recording.events)) for kind in (TOP, SNAPSHOT)
    )
    if not published and not deep:
        raise DataError(
            f"`{recording.name}` must have a book for signals to be read from, best prices or a snapshot "
            f"with depth; received none in {len(recording.events):,} events. Record one, or use a policy "
            "without a book."
        )
    top = top_of_book(recording)
    sizes: set[int] = set()
    for part in (part for side in (top.bid_quantity, top.ask_quantity) for part in pieces(side)):
        if len(sizes) < 2 and (part > 0).any():
            sizes |= {int(part[part > 0].min()), int(part.max())}
    if len(top.message) >= FEWEST_CHANGES and len(sizes) == 1:
        raise DataError(
            f"`{recording.name}` must say how many lots stand at the best prices; received {min(sizes):,} at "
            f"all {len(top.message):,} changes of them: no sizes were recorded. Use a policy without a book."
        )
    if published and deep:
        _require_in_step(recording, top)
    return published


def _require_in_step(recording: Recording, top: TopOfBook) -> None:
    """Refuse depth of another market, in other units or of other times than the best prices.

    Where a message of depth leaves a mid that is further from the published one than the band and than the
    spread, bands around the published mid tell nothing; on sound recordings that is one in thousands.
    """
    further = messages = 0
    for apart, room in _apart(recording, top):
        further += int(np.sum(apart > room))
        messages += len(apart)
    share = further / max(messages, 1)
    if share > MOST_APART:
        apart = np.concatenate([apart for apart, _ in _apart(recording, top)])
        raise DataError(
            f"depth and best prices of `{recording.name}` must be of one market and time; received mids that "
            f"are more than 2 bp apart after {share:.0%} of the messages of depth, half of them by more than "
            f"{float(np.median(apart)):,.1f} ticks. Check that both are of one symbol, day and clock."
        )


def _apart(recording: Recording, top: TopOfBook) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield how far the mids of depth and of best prices lie apart after messages, and how far they may."""
    for depth in tops_of_messages(recording.events):
        at = np.searchsorted(top.local_time_ns, depth.local_time_ns, side="right") - 1
        published = TopOfBook(*(values[at[at >= 0]] for values in top))
        apart = np.abs(depth.mid_price[at >= 0] - published.mid_price)
        room = np.maximum(BAND * published.mid_price, published.market_spread)
        yield apart[np.isfinite(apart)], room[np.isfinite(apart)]


def _require_two_sides(
    recording: Recording, time_ns: Int[np.ndarray, " step"], touch: Float[np.ndarray, " step"]
) -> None:
    """Refuse decisions most of which had no book of two sides, once there had been best prices."""
    first = np.argmax(np.isfinite(touch)) if np.any(np.isfinite(touch)) else 0
    unknown = np.isnan(touch[first:])
    if len(unknown) == 0 or np.mean(unknown) <= MOST_UNKNOWN:
        return
    raise DataError(
        f"`{recording.name}` must have bids and asks at most decisions; received {int(np.sum(unknown)):,} of "
        f"{len(unknown):,} from {time_ns[first]:,} ns on at which a side was empty, crossed, or not yet "
        "recorded. Use the part of the recording in which both sides stand."
    )
