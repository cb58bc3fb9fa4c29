"""Follows Bitstamp's messages about single orders: which of them rest in the book, and until when."""

import numpy as np
from numba import njit

from flowhft.recordings.ticks import ADD, CHANGE, FILL

CREATED, CHANGED, DELETED = 1, 2, 3
STUCK_NS = 5 * 10**9  # an order that still crosses after it proves that what it crosses is gone
SETTLES_NS = 10**8  # within it, the messages about one match have all arrived
GONE, RESTS, WAITS = 0, 1, 2  # states of an order


@njit(cache=True)
def follow_orders(  # type: ignore[no-untyped-def]
    time, order, level, side, volume, action, quantity, state, slot, total, best,
    source, kind, who, left, traded, since,
):  # fmt: skip
    """Follow orders row by row; `quantity`, `state`, `place`, `total` and `best` go in and come out.

    Returns the number of changes of resting orders, of orders taken out since a later one crossed them for
    too long, and of messages about orders that were not there.
    """
    count, stale, odd = 0, 0, 0
    waiting = np.empty(len(time) + len(state), np.int64)
    crossed = np.full(len(state), -(2**62))  # when an order that waits was last seen to cross
    number = 0
    for o in range(len(state)):
        if state[o] == WAITS:
            waiting[number] = o
            number += 1
    levels = total.shape[1]
    for row in range(len(time)):
        o, here, own, rest, what = order[row], level[row], 0 if side[row] > 0 else 1, volume[row], action[row]
        executed, new = 0, rest
        if what == CREATED:
            if state[o] == GONE and quantity[o] >= 0 and rest > 0:
                state[o], quantity[o], slot[o], since[o] = WAITS, rest, 2 * here + own, time[row]
                waiting[number] = o
                number += 1
        elif state[o] == WAITS:
            quantity[o] = rest if what == CHANGED else 0
        elif state[o] == RESTS:
            executed = max(0, quantity[o] - rest)
            new = rest if what == CHANGED else 0
            here, own = slot[o] // 2, slot[o] % 2
            total[own, here] += new - quantity[o]
            quantity[o] = new
            source[count], kind[count], who[count] = row, FILL if executed > 0 else CHANGE, o
            left[count], traded[count] = new, executed
            count += 1
            if new == 0:
                state[o] = GONE
        else:
            odd += 1
        if what == DELETED:
            state[o], quantity[o] = GONE, -1  # it cannot come back

        for side_ in range(2):  # the best levels, from where they may have gone
            step = -1 if side_ == 0 else 1
            while 0 <= best[side_] < levels and total[side_, best[side_]] <= 0:
                best[side_] += step
        kept = 0
        for i in range(number):
            o = waiting[i]
            if state[o] != WAITS or quantity[o] <= 0:
                if state[o] == WAITS:
                    state[o] = GONE
                continue
            own, here = slot[o] % 2, slot[o] // 2
            step = 1 if own == 0 else -1  # from the other side's best toward what the order reaches
            if time[row] - since[o] > STUCK_NS:
                while 0 <= best[1 - own] < levels and (here - best[1 - own]) * step >= 0:
                    for other in range(len(state)):
                        if state[other] == RESTS and slot[other] == 2 * best[1 - own] + 1 - own:
                            total[1 - own, best[1 - own]] -= quantity[other]
                            state[other], quantity[other] = GONE, -1
                            source[count], kind[count], who[count] = row, CHANGE, other
                            left[count], traded[count] = 0, 0
                            count += 1
                            stale += 1
                    while 0 <= best[1 - own] < levels and total[1 - own, best[1 - own]] <= 0:
                        best[1 - own] += step
            if 0 <= best[1 - own] < levels and (here - best[1 - own]) * step >= 0:
                crossed[o] = time[row]
                waiting[kept] = o
                kept += 1
                continue
            if time[row] - crossed[o] < SETTLES_NS:  # the message of what it took may still come
                waiting[kept] = o
                kept += 1
                continue
            state[o] = RESTS
            total[own, here] += quantity[o]
            best[own] = max(best[own], here) if own == 0 else min(best[own], here)
            source[count], kind[count], who[count] = row, ADD, o
            left[count], traded[count] = quantity[o], 0
            count += 1
        number = kept
    return count, stale, odd
