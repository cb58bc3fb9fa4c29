"""A slow replayer in plain Python: its own book, queues, clocks and account. The oracle of the compiled one.

It shares nothing with the package but the tick schema: markets and settings go in, fills come out. Rules that
are hftbacktest's own are written from its documentation of the models.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.recordings.ticks import ADD, BUY, CHANGE, FILL, SELL, SNAPSHOT, TOP, TRADE, Recording

ANSWER, MARKET, ARRIVAL = 0, 1, 2  # what comes first in one nanosecond: our answers, the market, our requests


@dataclass
class Order:
    """One of our orders; the venue and we each hold a copy of what they know of it."""

    side: int
    price: int
    left: int
    ahead: float = 0.0  # lots in front of it in its queue
    traded: float = 0.0  # lots traded at its price since the level last changed
    status: str = "sent"  # sent, stands, filled, cancelled, refused
    fill_price: int = 0
    maker: bool = True
    changed: int = 0  # when the venue last changed it
    asked: bool = True  # whether an answer to a request is outstanding
    touch: int | None = None  # the best price that it improved, where it was answered for that


@dataclass
class Slow:
    """A replay in progress."""

    recording: Recording
    settings: ReplaySettings
    half_spread: float
    skew: float
    sizes: Callable[[float], tuple[float, float]] = lambda inventory: (
        1.0,
        1.0,
    )  # of inventory in orders; NaN: none
    books: dict[int, dict[int, int]] = field(default_factory=lambda: {BUY: {}, SELL: {}})
    queues: dict[tuple[int, int], list[list]] = field(default_factory=dict)  # of single orders: [id, left]
    standing: dict[int, int] = field(default_factory=dict)  # at the venue, by side: number
    venue: dict[int, Order] = field(default_factory=dict)
    known: dict[int, Order] = field(default_factory=dict)
    events: list[tuple] = field(default_factory=list)
    count: int = 0
    seed: int = 0  # of the draws which orders are answered
    last: dict[str, int] = field(default_factory=lambda: {"there": 0, "back": 0})

    def _guess(self, front: float, back: float) -> float:
        """The share of cancellations that were behind us, by the model's formula."""
        name, power = self.settings.queue_model, self.settings.queue_power
        with np.errstate(all="ignore"):
            f = (lambda x: np.log(1.0 + x)) if name.startswith("log") else (lambda x: np.power(x, power))
            front, back = np.float64(front), np.float64(back)
            if name in ("log_prob", "power_prob"):
                return float(f(back) / (f(back) + f(front)))
            if name in ("log_prob2", "power_prob2"):
                return float(f(back) / f(back + front))
            return float(1.0 - f(front / (front + back)))

    def _answered(self, number: int) -> bool:
        """The draw of an order, by SplitMix64 in whole numbers of any size."""
        mask = 2**64 - 1
        state = (self.seed + number * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) & mask
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = ((state ^ (state >> shift)) * factor) & mask
        return ((state ^ (state >> 31)) >> 11) * 2.0**-53 < self.settings.answered_share

    def _level_changed(self, order: Order, before: int, after: int) -> None:
        if order.touch is not None:
            return
        if self.settings.queue_model == "risk_adverse":
            order.ahead = min(order.ahead, after)
            return
        change = before - after - order.traded  # what trades took is no cancellation
        order.traded = 0.0
        if change >= 0.0:
            behind = before - order.ahead
            share = self._guess(order.ahead, behind)
            share = 1.0 if math.isinf(share) else share
            order.ahead += float(np.fmin(behind - share * change, 0.0)) - (1.0 - share) * change
        order.ahead = float(np.fmin(order.ahead, after))

    def _traded(self, order: Order, lots: int) -> int:
        """Let a trade at our price pass; return the lots that it leaves for us."""
        order.ahead -= lots
        order.traded += lots
        ours = math.floor(0.5 - order.ahead)
        if ours <= 0:
            return 0
        order.ahead = 0.0
        return ours

    def _best(self, side: int) -> float:
        book = self.books[side]
        if not book:
            return -math.inf * side
        return max(book) if side == BUY else min(book)

    def _fill(self, number: int, time: int, lots: int, price: int, maker: bool = True) -> None:
        order = self.venue[number]
        order.left -= lots
        order.status = "filled" if order.left == 0 else "stands"
        order.fill_price, order.maker, order.changed = price, maker, time
        if order.left == 0:
            self.standing.pop(order.side, None)
            for queue in self.queues.values():
                queue[:] = [entry for entry in queue if entry[0] != ("ours", number)]
        if maker:
            self._answer(number, time)

    def _crossed(self, side: int, limit: float, time: int, came: int = 0) -> None:
        """Fill our order of a side if it is at `limit` or better, where that many lots came."""
        number = self.standing.get(side)
        if number and side * (self.venue[number].price - limit) >= 0:
            order = self.venue[number]
            lots = min(order.left, came) if self.settings.capped else order.left
            self._fill(number, time, lots, order.price)

    def _market(self, row: tuple, time: int) -> None:
        kind, side, _, _, price, quantity, *rest = row
        if kind in (ADD, CHANGE, FILL, "hidden"):
            self._order_event(kind, side, time, price, quantity, *rest)
        elif kind == TRADE:
            number = self.standing.get(-side)
            if not number:
                return
            order = self.venue[number]
            if not self.settings.hidden and self._best(BUY) < price < self._best(SELL):
                return
            reached = 0
            if order.touch is not None and side * (price - order.price) >= 0:
                beyond = side * (price - order.touch) > 0
                reached = quantity if beyond else self._traded(order, quantity)
            elif side * (price - order.price) > 0:
                reached = quantity
            elif price == order.price:
                reached = self._traded(order, quantity)
            if reached:
                lots = min(reached, order.left) if self.settings.capped else order.left
                self._fill(number, time, lots, order.price)
        else:
            before = self.books[side].pop(price, 0)
            if quantity:
                self.books[side][price] = quantity
            number = self.standing.get(side)
            if number and self.venue[number].price == price:
                self._level_changed(self.venue[number], before, quantity)
            if quantity > (before if self.settings.capped else 0):
                self._crossed(-side, price, time, quantity - before)

    def _order_event(
        self, kind: Any, side: int, time: int, price: int, left: int, executed: int, number: int, _: int
    ) -> None:
        queue = self.queues.setdefault((side, price), [])
        if kind in (FILL, "hidden"):
            # Better orders of ours came first, and those at this price that stood before the one that traded.
            best = self._best(side)
            better = price + side if kind == FILL else price
            self._crossed(side, side * max(side * better, side * best + 1), time)
            if kind == FILL and side * (best - price) > 0:
                self._crossed(side, price + side, time)
        if kind == "hidden":
            return
        if kind == ADD:
            queue.append([number, left])
        place = next(i for i, entry in enumerate(queue) if entry[0] == number)
        if kind == FILL:
            for entry in list(queue[:place]):
                if isinstance(entry[0], tuple):
                    self._fill(entry[0][1], time, self.venue[entry[0][1]].left, price)
        queue[:] = [e if e[0] != number else [number, left] for e in queue if e[0] != number or left]
        total = sum(entry[1] for entry in queue if not isinstance(entry[0], tuple))
        self.books[side].pop(price, None)
        if total:
            self.books[side][price] = total
        if kind == ADD:
            self._crossed(-side, price, time)

    def _arrive(self, number: int, wants: str, time: int) -> None:
        order = self.venue[number]
        if wants == "cancel":
            if self.standing.get(order.side) == number:
                del self.standing[order.side]
                order.status, order.changed = "cancelled", time
                for queue in self.queues.values():
                    queue[:] = [entry for entry in queue if entry[0] != ("ours", number)]
            self._answer(number, time)
            return
        order.changed = time
        opposite = self._best(-order.side)
        if order.side * (order.price - opposite) >= 0:
            if self.settings.post_only:
                order.status = "refused"
            else:
                self._fill(number, time, order.left, int(opposite), maker=False)
        else:
            order.status = "stands"
            order.ahead = self.books[order.side].get(order.price, 0)
            touch = self._best(order.side)
            if math.isfinite(touch) and order.side * (order.price - touch) > 0 and self._answered(number):
                order.touch, order.ahead = int(touch), self.books[order.side][int(touch)]
            self.standing[order.side] = number
            self.queues.setdefault((order.side, order.price), []).append([("ours", number), 0])
        self._answer(number, time)

    def _delay(self, time: int, way: str) -> int:
        fixed = self.settings.order_latency_ms if way == "there" else self.settings.response_latency_ms
        if self.settings.latency_model == "constant":
            return round(fixed * 1e6)
        rows = self.rows
        column = 0 if way == "there" else 1
        i = max(sum(row[column] <= time for row in rows) - 1, 0)
        took = [row[column + 1] - row[column] for row in rows]
        if time < rows[0][column] or i + 1 == len(rows):
            return took[i]
        rise = (took[i + 1] - took[i]) / (rows[i + 1][column] - rows[i][column])
        return int(rise * (time - rows[i][column])) + took[i]

    def _schedule(self, time: int, rank: int, *what: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, rank, self.count, what))

    def _answer(self, number: int, time: int) -> None:
        back = max(time + self._delay(time, "back"), self.last["back"])
        self.last["back"] = back
        order = self.venue[number]
        news = Order(**{**vars(order), "asked": False})
        self._schedule(back, ANSWER, "answer", number, news)

    def _request(self, number: int, wants: str, time: int) -> None:
        there = max(time + self._delay(time, "there"), self.last["there"])
        self.last["there"] = there
        self._schedule(there, ARRIVAL, "request", number, wants)

    def _until(self, time: int) -> None:
        while self.events and self.events[0][0] <= time:
            now, _, _, what = heapq.heappop(self.events)
            if what[0] == "market":
                self._market(what[1], now)
            elif what[0] == "request":
                self._arrive(what[1], what[2], now)
            else:
                self.known[what[1]] = what[2]

    def run(self) -> dict[str, Any]:
        """Quote half_spread -+ skew x inventory around the mid; return fills, counts and money by step."""
        times, best_bid, best_ask = self._seen()
        settings, lots = self.settings, self.settings.lots
        self._read()
        numbers, inventory = 0, 0
        working: dict[int, int] = {}
        leaving: dict[int, int] = {}
        left: dict[int, int] = {}
        sent: dict[int, int] = {}  # lots, by number
        fills: list[tuple] = []
        steps: list[tuple[float, ...]] = []  # inventory before, spread PnL, inventory PnL, fee
        cash = fee = 0.0
        counts = dict.fromkeys(
            ("submitted", "cancelled", "rejected", "kept", "held_back", "waited", "limited"), 0
        )
        budget, earned_at = float(settings.order_burst), 0

        def learn() -> None:
            nonlocal inventory, cash, fee
            for side in (BUY, SELL):
                for slots in (working, leaving):
                    number = slots.get(side)
                    if number is None or number not in self.known:
                        continue
                    news = self.known[number]
                    if news.status == "refused":
                        counts["rejected"] += 1
                    elif news.left < left[number]:
                        done = left[number] - news.left
                        inventory += side * done
                        cash -= side * done * news.fill_price
                        rate = settings.fee_bps if news.maker else settings.taking_fee_bps
                        fee += 1e-4 * rate * done * news.fill_price
                        fills.append((news.changed, side, news.fill_price, done, int(news.maker)))
                        left[number] = news.left
                    if news.status in ("filled", "cancelled", "refused"):
                        del slots[side]

        decision = round((settings.decision_latency_us or 0.0) * 1e3)
        self._until(times[0])
        for step in range(len(times) - 1):
            mid = (best_bid[step] + best_ask[step]) / 2
            lean = self.skew * inventory / lots
            wanted = {
                BUY: math.floor(mid - (self.half_spread + lean)),
                SELL: math.ceil(mid + (self.half_spread - lean)),
            }
            if settings.post_only:
                wanted = {
                    BUY: min(wanted[BUY], best_ask[step] - 1),
                    SELL: max(wanted[SELL], best_bid[step] + 1),
                }
            before = (inventory, cash, fee)
            bid_size, ask_size = self.sizes(inventory / lots)
            asked = {
                side: 0 if math.isnan(size) else round(size * lots)
                for side, size in ((BUY, bid_size), (SELL, ask_size))
            }
            now = times[step] + decision
            if decision:
                self._until(now)
                learn()
            for side, price in wanted.items():
                old, size = working.get(side), asked[side]
                if old is None and size == 0:
                    continue
                if old is not None:
                    change = abs(self.venue[old].price - price)
                    resized = size != sent[old]
                    if change == 0 and not resized:
                        continue
                    if change < settings.minimum_change and not resized:
                        counts["kept"] += 1
                        continue
                    if side in leaving or old not in self.known:
                        counts["waited"] += 1
                        continue
                at_risk = sum(left[slots[side]] for slots in (working, leaving) if side in slots)
                fits = side * inventory + at_risk + size <= settings.limit * lots
                if size and fits and settings.order_rate is not None:
                    since = now - times[0]
                    budget = min(
                        float(settings.order_burst),
                        budget + 1e-9 * settings.order_rate * (since - earned_at),
                    )
                    earned_at = since
                    if budget < 1.0:
                        counts["held_back"] += 1
                        continue
                if old is not None:
                    self._request(old, "cancel", now)
                    counts["cancelled"] += 1
                    leaving[side] = working.pop(side)
                if size == 0:
                    continue
                if not fits:
                    counts["limited"] += 1
                    continue
                budget -= 1.0
                numbers += 1
                counts["submitted"] += 1
                self.venue[numbers] = Order(side, price, size)
                working[side], left[numbers], sent[numbers] = numbers, size, size
                self._request(numbers, "new", now)
            self._until(times[step + 1])
            learn()
            next_mid = (best_bid[step + 1] + best_ask[step + 1]) / 2
            steps.append(
                (
                    before[0] / lots,
                    (cash - before[1] + (inventory - before[0]) * mid) / lots,
                    inventory * (next_mid - mid) / lots,
                    (fee - before[2]) / lots,
                )
            )
        return {"fills": fills, "counts": counts, "steps": np.array(steps).T}

    def _seen(self) -> tuple[list[int], list[int], list[int]]:
        """Return the times of decisions and the best prices that had arrived by then."""
        events = self.recording.events.tolist()
        if self.settings.feed_latency_ms is not None:
            late = round(self.settings.feed_latency_ms * 1e6)
            events.sort(key=lambda row: (row[2], row[0] not in (SNAPSHOT, TRADE)))
            events = [(*row[:3], row[2] + late, *row[4:]) for row in events]
        interval = round(self.settings.interval * 1e9)
        start, end = events[0][3], events[-1][3]
        times = list(range(start, end + 1, interval))
        books: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        bids, asks, position = [], [], 0
        for time in times:
            while position < len(events) and events[position][3] <= time:
                kind, side, _, _, price, quantity, _ = events[position]
                position += 1
                if kind not in (TRADE, TOP):
                    books[side].pop(price, None)
                    if quantity:
                        books[side][price] = quantity
            bids.append(max(books[BUY]))
            asks.append(min(books[SELL]))
        return times, bids, asks

    def _read(self) -> None:
        events = self.recording.events.tolist()
        if self.settings.latency_model == "recorded":
            arrived: dict[int, int] = {}
            for row in events:
                if row[0] != SNAPSHOT:
                    arrived[row[3]] = row[3] - row[2]
            fastest = min(row[3] - row[2] for row in events if row[0] != SNAPSHOT)
            self.rows: list[tuple[int, int, int]] = []
            for time, took in sorted(arrived.items()):
                there = time + round(self.settings.order_latency_ms * 1e6) + took - fastest
                if not self.rows or there > self.rows[-1][1]:
                    back = there + round(self.settings.response_latency_ms * 1e6) + took - fastest
                    self.rows.append((time, there, back))
        if self.settings.queue_model == "l3_fifo":
            assert self.recording.orders is not None
            rows = [tuple(row) for row in self.recording.orders.tolist()]
            fills = {row[8] for row in rows if row[0] == FILL}
            trades = [row for row in events if row[0] == TRADE]
            numbered_alike = any(row[6] in fills for row in trades)
            hidden = [
                ("hidden", -row[1], row[2], row[3], row[4], 0, 0, 0, row[6])
                for row in trades
                if numbered_alike and row[6] not in fills
            ]
            for row in sorted(rows + hidden, key=lambda row: (row[3], row[8])):
                self._schedule(row[2], MARKET, "market", row)
            return
        first = min(row[2] for row in events)
        for row in events:
            if row[0] == SNAPSHOT:
                self._schedule(min(first, row[2]), MARKET, "market", row)
        rest = [row for row in events if row[0] != SNAPSHOT]
        for row in sorted(rest, key=lambda row: (row[2], row[0] != TRADE)):
            self._schedule(row[2], MARKET, "market", row)
