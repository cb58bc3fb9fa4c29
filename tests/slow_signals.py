"""The signals of a book as their definitions say, in plain Python: at each time from all events before."""

import itertools
import math

import numpy as np

from flowhft.features.book import ACTIVITY_DECAYS, BAND, DECAYS, NAMES, NEAR_TICKS, VOLATILITY_DECAYS
from flowhft.recordings.ticks import BUY, SELL, SNAPSHOT, TOP, TRADE

SECOND, STALE = 10**9, 5 * 10**9


def slow_book(events) -> tuple[dict, dict] | None:
    """The standing book by price, None before a snapshot."""
    starts = [
        i
        for i, event in enumerate(events)
        if event["kind"] == SNAPSHOT
        and (i == 0 or events[i - 1]["kind"] != SNAPSHOT or events[i - 1]["message"] != event["message"])
    ]
    if not starts:
        return None
    sides = {BUY: {}, SELL: {}}
    for event in events[starts[-1] :]:
        sides[int(event["side"])][int(event["price"])] = int(event["quantity"])
    return tuple({price: lots for price, lots in sides[side].items() if lots > 0} for side in (BUY, SELL))


def slow_touches(events, published: bool) -> list[tuple]:
    """(local time, best bid, best ask, lots there, lots there) after each message; prices None: unusable."""
    kept = events[(events["kind"] == TOP) == published]
    kept = kept[kept["kind"] != TRADE]
    number = np.cumsum(np.append(0, np.diff(kept["message"]) | np.diff(kept["kind"]) != 0))
    last, touches = {}, []
    sides, snapshot_seen, run = {BUY: {}, SELL: {}}, False, None
    for message in range(number[-1] + 1 if len(kept) else 0):
        part = kept[number == message]
        for event in part:
            side, price, lots = int(event["side"]), int(event["price"]), int(event["quantity"])
            if published:
                last[side] = (price, lots)
                continue
            if event["kind"] == SNAPSHOT and run != event["message"]:
                sides, snapshot_seen, run = {BUY: {}, SELL: {}}, True, event["message"]
            run = run if event["kind"] == SNAPSHOT else None
            sides[side][price] = lots
        if not published:
            held = {side: {p: q for p, q in sides[side].items() if q > 0} for side in sides}
            last = {}
            if held[BUY] and held[SELL] and snapshot_seen:
                last = {side: (best(held[side]),) for side, best in ((BUY, max), (SELL, min))}
                last = {side: (price, held[side][price]) for side, (price,) in last.items()}
            if not snapshot_seen:
                continue
        usable = len(last) == 2 and min(last[BUY][1], last[SELL][1]) > 0 and last[BUY][0] < last[SELL][0]
        row = (last[BUY][0], last[SELL][0], last[BUY][1], last[SELL][1]) if usable else (None,) * 4
        touches.append((int(part["local_time_ns"][0]), *row))
    return touches


def slow_flow(before: tuple, after: tuple) -> int:
    """Cont, Kukanov and Stoikov (2014), eq. 2: what a change of the best prices adds to order flow."""
    (_, bid0, ask0, bids0, asks0), (_, bid, ask, bids, asks) = before, after
    return (bid >= bid0) * bids - (bid <= bid0) * bids0 - (ask <= ask0) * asks + (ask >= ask0) * asks0


def slow_orders(events, window_ns: int) -> list[tuple]:
    """(local time, side, what the root of the order's lots gained, whether it begins) of each trade."""
    rows, lots, before = [], 0, None
    for event in events[events["kind"] == TRADE]:
        begins = (
            before is None
            or event["side"] != before["side"]
            or event["exchange_time_ns"] - before["exchange_time_ns"] > window_ns
        )
        was = 0 if begins else lots
        lots, before = was + int(event["quantity"]), event
        gained = math.sqrt(lots) - math.sqrt(was)
        rows.append((int(event["local_time_ns"]), int(event["side"]), gained, begins))
    return rows


def slow_signals(events, published: bool, time_ns: int, window_ns: int = 10_000_000) -> np.ndarray:
    """The signals at one local time, from the events up to it, in the order of `NAMES`."""
    events = events[events["local_time_ns"] <= time_ns]
    x = dict.fromkeys(NAMES, math.nan)
    everything = slow_touches(events, published)
    touches = [touch for touch in everything if touch[1] is not None]
    if not touches:
        return np.array(list(x.values()))
    if everything[-1][1] is None:
        since = everything[len(everything) - 1 - next(
            i for i, touch in enumerate(everything[::-1]) if touch[1] is not None
        ) + 1][0]  # fmt: skip
        if time_ns - since > STALE:
            return np.array(list(x.values()))
    _, bid, ask, bids, asks = touches[-1]
    mid = 0.5 * (bid + ask)
    orders = slow_orders(events, window_ns)
    x["touch_imbalance"] = (bids - asks) / (bids + asks)
    x["microprice"] = (bids * ask + asks * bid) / (bids + asks) - mid
    for name, decay in zip(("500ms", "2s", "10s", "30s"), DECAYS, strict=True):

        def kept(at: int, decay: float = decay) -> float:
            return math.exp(-1e-9 * (time_ns - at) / decay)

        pairs = list(itertools.pairwise(touches))
        x[f"order_flow_imbalance_{name}"] = sum(kept(b[0]) * slow_flow(a, b) for a, b in pairs)
        x[f"signed_volume_{name}"] = sum(kept(at) * side * gained for at, side, gained, _ in orders)
        # The average that decays: the mid of each stretch by its weight, that before the first too.
        ends = [touch[0] for touch in touches[1:]] + [time_ns]
        average = kept(touches[0][0]) * 0.5 * (touches[0][1] + touches[0][2])
        for touch, end in zip(touches, ends, strict=True):
            average += (kept(end) - kept(touch[0])) * 0.5 * (touch[1] + touch[2])
        x[f"return_{name}"] = mid - average
    begun = min([touches[0][0], *(order[0] for order in orders[:1])])
    seen = 1e-9 * (time_ns - begun)
    if orders:
        x["last_trade"] = events[events["kind"] == TRADE][-1]["price"] - mid
    x["log_spread"] = math.log(ask - bid)
    for name, place in zip(("activity_2s", "activity_30s"), ACTIVITY_DECAYS, strict=True):
        decay = DECAYS[place]
        count = sum(begins * math.exp(-1e-9 * (time_ns - at) / decay) for at, _, _, begins in orders)
        if seen >= 1.0:
            x[name] = math.log1p(count / (decay * (1.0 - math.exp(-seen / decay))))
    seconds = range(-(-touches[0][0] // SECOND), time_ns // SECOND + 1)
    times = [touch[0] for touch in touches]
    at = [np.searchsorted(times, second * SECOND, side="right") - 1 for second in seconds]
    moves = np.diff([0.5 * (touches[i][1] + touches[i][2]) for i in at])
    for name, decay in zip(("volatility_30s", "volatility_300s"), VOLATILITY_DECAYS, strict=True):
        weights = np.exp(-np.arange(len(moves))[::-1] / decay)
        if len(moves):
            x[name] = math.sqrt(np.sum(weights * moves**2) / np.sum(weights))
    x["log_bid_size"], x["log_ask_size"] = math.log(bids), math.log(asks)
    book = slow_book(events[(events["kind"] != TRADE) & (events["kind"] != TOP)])
    if book is not None:
        reach = BAND * mid
        deep = bids + sum(lots for price, lots in book[0].items() if mid - reach <= price < bid)
        offered = asks + sum(lots for price, lots in book[1].items() if ask < price <= mid + reach)
        near = bids + sum(lots for price, lots in book[0].items() if bid - NEAR_TICKS <= price < bid)
        above = asks + sum(lots for price, lots in book[1].items() if ask < price <= ask + NEAR_TICKS)
        x["imbalance_2bp"] = (deep - offered) / (deep + offered)
        x["imbalance_8_ticks"] = (near - above) / (near + above)
        x["log_bid_depth_2bp"], x["log_ask_depth_2bp"] = math.log(deep), math.log(offered)
    return np.array(list(x.values()))
