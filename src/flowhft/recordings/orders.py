"""Single orders: which stand in a book and in which order, and how they follow a venue's visible book.

A venue tells of orders one by one, but not of all: some rested before the recording, others entered a level
while it was out of sight. What a level holds beyond the orders that are known is kept as a *lump*, an order
of a negative number, so that the orders of a level always add up to the level.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numba import njit

from flowhft.recordings.ticks import ADD, BUY, CHANGE, DEPTH, EVENT, FILL, ORDER, SELL

NOBODY = -1  # no order, in the links of a queue
JOINS, REDUCED, DELETED, EXECUTED = 1, 2, 3, 4  # what a message says of an order

Rows = Int[np.ndarray, " row"]


class Messages(NamedTuple):
    """What a venue says of single orders, one a row, each with the levels that the book changed by then.

    Attributes:
        what: `JOINS`, `REDUCED`, `DELETED`, `EXECUTED`, or anything else for a row about no order.
        order_id: the venue's.
        side: of the order.
        price: ticks.
        size: lots that joined, were taken back or executed.
        exchange_time_ns: of the row.
        local_time_ns: of the row.
        message: number of the row.
    """

    what: Rows
    order_id: Rows
    side: Rows
    price: Rows
    size: Rows
    exchange_time_ns: Rows
    local_time_ns: Rows
    message: Rows


@njit(cache=True)
def _follow(  # type: ignore[no-untyped-def]
    what, order, level, size, target_start, target_level, target_size,
    standing, standing_level, standing_quantity, known, levels, source, kind, who, slot, left, traded,
):  # fmt: skip
    """Follow orders row by row, and let lumps take up what they leave unexplained of the book.

    Orders 0 to known - 1 are the venue's, those after it lumps. Outputs: row, kind, order, level, remaining
    and executed quantity of each change. Returns the number of changes, of lumps, and of
    rows whose own level needed none.
    """
    room = known + len(source)
    quantity = np.zeros(room, np.int64)
    at = np.full(room, NOBODY)
    behind, ahead = np.full(room, NOBODY), np.full(room, NOBODY)
    head, tail = np.full(levels, NOBODY), np.full(levels, NOBODY)
    total, visible = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    count, lumps, plain = 0, 0, 0

    for i in range(len(standing)):  # lumps among them have the first numbers above the known
        o, here = standing[i], standing_level[i]
        lumps = max(lumps, o - known + 1)
        quantity[o], at[o] = standing_quantity[i], here
        ahead[o] = tail[here]
        if tail[here] == NOBODY:
            head[here] = o
        else:
            behind[tail[here]] = o
        tail[here] = o
        total[here] += standing_quantity[i]
        visible[here] = total[here]

    for row in range(len(what)):
        for j in range(target_start[row], target_start[row + 1]):
            visible[target_level[j]] = target_size[j]
        here = level[row]
        alone = True
        # 0: the message itself; then the levels that changed; then the message's own level.
        steps = target_start[row + 1] - target_start[row] + 2
        for step in range(steps):
            if step == 0:
                o, move, by = order[row], what[row], size[row]
                if move == JOINS:
                    if visible[here] == 0 or at[o] != NOBODY:
                        continue
                    by = -by
                elif REDUCED <= move <= EXECUTED:
                    if at[o] == NOBODY:  # an order of a lump: the first one in the queue gives it
                        o = head[here]
                        while o != NOBODY and o < known:
                            o = behind[o]
                        if o == NOBODY:
                            continue
                    elif move == DELETED:
                        by = quantity[o]
                    here = at[o]
                    by = min(by, quantity[o])
                else:
                    continue
                executed = by if move == EXECUTED else 0
            else:
                last = step == steps - 1
                here = level[row] if last else target_level[target_start[row] + step - 1]
                excess = total[here] - visible[here]
                if excess == 0:
                    continue
                alone &= here != level[row]
                if excess < 0:
                    o, by = known + lumps, excess
                    lumps += 1
                else:
                    o = head[here]  # lumps give way first, then whoever came last
                    while o != NOBODY and o < known:
                        o = behind[o]
                    o = tail[here] if o == NOBODY else o
                    by = min(excess, quantity[o])
                executed = 0
            while True:
                if by < 0:
                    quantity[o], at[o] = -by, here
                    ahead[o], behind[o] = tail[here], NOBODY
                    if tail[here] == NOBODY:
                        head[here] = o
                    else:
                        behind[tail[here]] = o
                    tail[here] = o
                    kind[count] = ADD
                else:
                    quantity[o] -= by
                    kind[count] = FILL if executed > 0 else CHANGE
                total[here] -= by
                source[count], who[count], slot[count] = row, o, here
                left[count], traded[count] = quantity[o], executed
                count += 1
                if by > 0 and quantity[o] == 0:
                    if ahead[o] == NOBODY:
                        head[here] = behind[o]
                    else:
                        behind[ahead[o]] = behind[o]
                    if behind[o] == NOBODY:
                        tail[here] = ahead[o]
                    else:
                        ahead[behind[o]] = ahead[o]
                    at[o], ahead[o], behind[o] = NOBODY, NOBODY, NOBODY
                excess = total[here] - visible[here]
                if step == 0 or excess <= 0:
                    break
                o = head[here]
                while o != NOBODY and o < known:
                    o = behind[o]
                o = tail[here] if o == NOBODY else o
                by = min(excess, quantity[o])
        plain += alone
    return count, lumps, plain


def _level_of(price: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return one whole number a side and price."""
    return 2 * price.astype(np.int64) + (side > 0)


class Handover:
    """Carries single orders from one session to the next, of which nothing is known in between.

    What stood at the end of a session is taken back where the next one begins, which then tells what stands.
    Lumps are numbered on, so that no two of them share a number.
    """

    def __init__(self) -> None:
        self._standing = np.empty(0, ORDER)
        self._lowest = 0  # number of a lump so far
        self._shift = 0  # of the lumps of this session

    def begin(self, first: np.ndarray) -> np.ndarray:
        """Return the end of what stood in the session before, dtype `ORDER`, at the time of an event."""
        ended, self._standing = self._standing, np.empty(0, ORDER)
        ended["kind"], ended["quantity"] = CHANGE, 0
        for name in ("exchange_time_ns", "local_time_ns", "message"):
            ended[name] = first[name]
        self._shift = self._lowest
        return ended

    def take(self, orders: np.ndarray) -> np.ndarray:
        """Return the next changes of a session, its lumps numbered on."""
        orders = orders.copy()
        lump = orders["order_id"] < 0
        orders["order_id"][lump] += self._shift
        self._lowest = min(self._lowest, int(orders["order_id"].min(initial=0)))
        self._standing = standing_orders(np.concatenate([self._standing, orders]))
        return orders


class OrderBook:
    """The orders of a session whose visible book is known, followed chunk by chunk.

    Attributes:
        rows: messages followed so far.
        explained: of these, after how many the level that they are about held exactly what its orders say.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.explained = 0
        self._standing = np.empty(0, ORDER)
        self._lumps = 0  # given a number so far

    def open(self, snapshot: np.ndarray) -> np.ndarray:
        """Return the orders that a snapshot implies: a lump a level, dtype `ORDER`."""
        lumps = np.zeros(len(snapshot), ORDER)
        for name in ("side", "exchange_time_ns", "local_time_ns", "price", "quantity", "message"):
            lumps[name] = snapshot[name]
        lumps["kind"] = ADD
        lumps["order_id"] = -1 - self._lumps - np.arange(len(snapshot))
        self._lumps += len(snapshot)
        self._standing = lumps
        return lumps

    def follow(self, messages: Messages, depth: np.ndarray, depth_row: Rows) -> np.ndarray:
        """Return what the next messages do to orders.

        Args:
            messages: the next rows.
            depth: `DEPTH` events of these rows, by row.
            depth_row: the row, from 0, of each of them.

        Returns:
            Array of dtype `ORDER`, by row.
        """
        standing = self._standing
        lump = standing["order_id"] < 0
        ids, order = np.unique(
            np.concatenate([standing["order_id"][~lump], messages.order_id]), return_inverse=True
        )
        keys, level = np.unique(
            np.concatenate(
                [
                    _level_of(standing["price"], standing["side"]),
                    _level_of(messages.price, messages.side),
                    _level_of(depth["price"], depth["side"]),
                ]
            ),
            return_inverse=True,
        )
        known, held, before = len(ids), len(standing), int(lump.sum())
        numbers = np.empty(held, np.int64)
        numbers[~lump] = order[: held - before]
        numbers[lump] = known + np.arange(before)
        rows = len(messages.what)
        size = 4 * rows + 2 * len(depth) + held + 8
        source, kind, who, slot, left, traded = (np.empty(size, np.int64) for _ in range(6))
        count, lumps, plain = _follow(
            messages.what, order[held - before :], level[held : held + rows], messages.size,
            np.searchsorted(depth_row, np.arange(rows + 1)), level[held + rows :],
            np.ascontiguousarray(depth["quantity"]),
            numbers, level[:held], np.ascontiguousarray(standing["quantity"]), known, len(keys),
            source, kind, who, slot, left, traded,
        )  # fmt: skip
        fresh = lumps - before
        names = np.concatenate([ids, standing["order_id"][lump], -1 - self._lumps - np.arange(fresh)])
        self._lumps += fresh
        changes = np.empty(count, ORDER)
        changes["kind"], changes["quantity"], changes["executed"] = kind[:count], left[:count], traded[:count]
        changes["order_id"] = names[who[:count]]
        changes["price"] = keys[slot[:count]] >> 1
        changes["side"] = np.where(keys[slot[:count]] & 1, BUY, SELL)
        for name in ("exchange_time_ns", "local_time_ns", "message"):
            changes[name] = getattr(messages, name)[source[:count]]
        self.rows += rows
        self.explained += int(plain)
        self._standing = standing_orders(np.concatenate([standing, changes]))
        return changes


def standing_orders(orders: np.ndarray) -> np.ndarray:
    """Return the orders that stand after some changes, as additions (`ORDER`): the front of a queue first.

    Times and message are those of the last change; `quantity` is what remains.
    """
    backwards = orders[::-1]
    numbers, latest = np.unique(backwards["order_id"], return_index=True)
    added = np.flatnonzero(backwards["kind"] == ADD)
    joined_numbers, joined = np.unique(backwards["order_id"][added], return_index=True)
    there = backwards["quantity"][latest] > 0
    latest, numbers = latest[there], numbers[there]
    slot = added[joined[np.searchsorted(joined_numbers, numbers)]]  # the last time that it joined
    standing = backwards[latest[np.argsort(-slot)]]
    standing["kind"], standing["executed"] = ADD, 0
    for name in ("exchange_time_ns", "local_time_ns", "message"):
        standing[name] = orders[name][-1] if len(orders) else 0
    return standing


def level_events(orders: np.ndarray) -> np.ndarray:
    """Return what the levels of a book hold after each change of an order, as `DEPTH` events.

    Args:
        orders: dtype `ORDER`, from a point at which no order stood.

    Returns:
        One event a change, dtype `EVENT`, in the same order.
    """
    by_order = np.lexsort((np.arange(len(orders)), orders["order_id"]))
    quantity = orders["quantity"][by_order]
    change = quantity.copy()
    same = orders["order_id"][by_order][1:] == orders["order_id"][by_order][:-1]
    change[1:] -= np.where(same, quantity[:-1], 0)
    changes = np.empty(len(orders), np.int64)
    changes[by_order] = change

    key = _level_of(orders["price"], orders["side"])
    by_level = np.lexsort((np.arange(len(orders)), key))
    total = np.cumsum(changes[by_level])
    first = np.flatnonzero(np.concatenate([[True], np.diff(key[by_level]) != 0]))[: len(orders)]
    before = np.concatenate([[0], total])[first]  # what the levels before it add up to
    held = np.empty(len(orders), np.int64)
    held[by_level] = total - np.repeat(before, np.diff(np.append(first, len(orders))))
    events = np.empty(len(orders), EVENT)
    for name in ("side", "exchange_time_ns", "local_time_ns", "price", "message"):
        events[name] = orders[name]
    events["kind"], events["quantity"] = DEPTH, held
    return events
