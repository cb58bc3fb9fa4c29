"""Demonstrations on recordings: what a maker that sees the order book would quote, whatever it holds.

The maker is asked at the decisions of a recording, in short sessions of a position each that nothing fills: a
chunk of its quotes is its plan. Positions are drawn over all that it may hold, whole orders and parts of
them, so that a student sees every state. A second round asks it where a student that trades leads (dataset
aggregation: S. Ross, G. Gordon, D. Bagnell, "A reduction of imitation learning and structured prediction to
no-regret online learning", 2011).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int8, Int64

from flowhft.desk.compiled import Desk, Frozen, Memory, begin, compiled, desk_of
from flowhft.desk.compiled.decide import NO_FAULT, SENSED
from flowhft.desk.compiled.quote import ask_desk
from flowhft.desk.replay.tape import Tape, observe
from flowhft.errors import FlowhftError
from flowhft.features.book import NAMES
from flowhft.features.book_side import CHOICES, NONE, SIDE, see_side, standardise_book
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.policies.book import BookMaker
from flowhft.policies.book_flow import ARRAYS, BookFlow
from flowhft.policies.flow import Flow

_SESSION_NS = 60_000_000_000  # of an observation's clock, at which no maker of books looks
_SPREAD = NAMES.index("log_spread")
_see_side, _standardise = compiled(see_side), compiled(standardise_book)


class BookShown(NamedTuple):
    """What a maker saw and chose in sessions of equal length.

    Attributes:
        decision: with which each session begins, a row of the signals, shape (session,).
        inventory: held, orders, shape (session, step).
        standing: places of the prices at which it quoted last, shape (session, step, side).
        choice: places of the prices that it chose, `NONE` for none, likewise.
    """

    decision: Int64[np.ndarray, " session"]
    inventory: Float[np.ndarray, "session step"]
    standing: Int8[np.ndarray, "session step side"]
    choice: Int8[np.ndarray, "session step side"]


@compiled
def _ask(
    desk: Desk,
    memory: Memory,
    tape: Tape,
    first: int,
    inventory: np.ndarray,
    standing: np.ndarray,
    led: bool,
    asked: np.ndarray,
) -> int:
    """Write prices at which a maker quotes, ticks as the mid; say what went wrong.

    Where it is `led`, its last quotes are those of `standing`; else they are its own, and written there.
    """
    fault = NO_FAULT
    for i in range(len(inventory)):
        seen = observe(tape, first + i, _SESSION_NS, inventory[i], 0.0, 0.0, 0.0)
        for side in range(2):
            if led:
                memory.state[SENSED + side] = standing[i, side]
            else:
                standing[i, side] = memory.state[SENSED + side]
        wanted, wrong = ask_desk(desk, memory, seen)
        fault = max(fault, wrong)
        asked[i, 0] = seen.mid_price - wanted.half_spread_bid
        asked[i, 1] = seen.mid_price + wanted.half_spread_ask
    return fault


def shown_by(
    maker: Frozen,
    tape: Tape,
    decision: Int64[np.ndarray, " session"],
    inventory: Float[np.ndarray, "session step"],
    standing: Float[np.ndarray, "session step side"] | None = None,
) -> BookShown:
    """Ask a maker in sessions.

    Args:
        maker: that sees the book, frozen.
        tape: of a recording, with the signals of its book.
        decision: with which each session begins.
        inventory: held there, orders.
        standing: prices at which it is to believe that it quoted last, ticks as the mid; None for its own.

    Raises:
        FlowhftError: it could not quote.
    """
    steps, desk, core = inventory.shape[1], desk_of(maker), maker.parts
    last = np.full((*inventory.shape, 2), np.nan) if standing is None else np.array(standing, np.float64)
    asked = np.empty((*inventory.shape, 2))
    for i, first in enumerate(decision.tolist()):
        memory = begin(maker, 0)
        fault = _ask(desk, memory, tape, first, inventory[i], last[i], standing is not None, asked[i])
        if fault != NO_FAULT:
            raise FlowhftError(
                f"the maker must quote at every decision; received fault {fault} at {first:,}."
            )
    rows = decision[:, None] + np.arange(steps)
    best = np.stack([tape.best_bid, -tape.best_ask], axis=-1)[rows]
    best = best - np.array([1.0, -1.0]) * (0.5 * (tape.best_bid[0] + tape.best_ask[0]))
    signs = np.array([1.0, -1.0])
    offsets = core.arrays["offsets"]
    return BookShown(
        np.asarray(decision, np.int64),
        np.asarray(inventory, np.float64),
        _places(offsets, signs * last - best),
        _places(offsets, signs * asked - best),
    )


def _places(
    offsets: Float[np.ndarray, " price"], bettered: Float[np.ndarray, "*place"]
) -> Int8[np.ndarray, "*place"]:
    """Return the places of prices by the ticks by which they better the best of their side."""
    same = bettered[..., None] == offsets
    return np.where(same.any(axis=-1), same.argmax(axis=-1), NONE).astype(np.int8)


def drawn_sessions(
    tape: Tape, steps: int, limit: int, random: np.random.Generator
) -> tuple[Int64[np.ndarray, " session"], Float[np.ndarray, "session step"]]:
    """Cut all decisions into sessions and draw a position for each: half of them whole orders.

    Args:
        tape: whose decisions; its last row is the end of the last step.
        steps: of a session.
        limit: most that is held, orders.
        random: where sessions begin, and of the positions.

    Returns:
        The decision with which each begins, and what is held; sessions in which the book is not known are
        left out.
    """
    decisions = len(tape.time_ns) - 1
    first = np.arange(int(random.integers(steps)), decisions - steps + 1, steps)
    first = first[_known(tape, first, steps)]
    whole = random.integers(-limit, limit + 1, len(first)).astype(np.float64)
    part = random.uniform(-limit, limit, len(first))
    held = np.where(random.uniform(size=len(first)) < 0.5, whole, part)
    return first, np.repeat(held[:, None], steps, axis=1)


def visited_sessions(
    tape: Tape,
    steps: int,
    inventory: Float[np.ndarray, " decision"],
    price: Float[np.ndarray, "decision side"],
) -> tuple[
    Int64[np.ndarray, " session"],
    Float[np.ndarray, "session step"],
    Float[np.ndarray, "session step side"],
]:
    """Cut the way of a student that traded into sessions.

    Args:
        tape: of the recording.
        steps: of a session.
        inventory: that it held at each decision, orders.
        price: at which it quoted then, ticks as the mid; NaN for none.

    Returns:
        As `drawn_sessions`, and the prices at which it had quoted last.
    """
    first = np.arange(0, len(inventory) - steps + 1, steps)
    first = first[_known(tape, first, steps)]
    last = np.concatenate([np.full((1, 2), np.nan), price[:-1]])
    rows = first[:, None] + np.arange(steps)
    return first, inventory[rows], last[rows]


def _known(tape: Tape, first: Int64[np.ndarray, " session"], steps: int) -> np.ndarray:
    """Return in which sessions the book is known at every step."""
    known = np.isfinite(tape.book[:, _SPREAD])
    return known[first[:, None] + np.arange(steps)].all(axis=1)


@compiled
def _see(
    signals: np.ndarray,
    centre: np.ndarray,
    scale: np.ndarray,
    first: np.ndarray,
    share: np.ndarray,
    quoted: np.ndarray,
    place: np.ndarray,
    side: int,
    out: np.ndarray,
) -> None:
    """Write what a side sees in sessions: `out` has shape (session, step, feature)."""
    standard, seen = np.empty(signals.shape[1]), np.empty(out.shape[2])
    for session in range(out.shape[0]):
        for step in range(out.shape[1]):
            _standardise(signals[first[session] + step], centre, scale, standard)
            _see_side(standard, side, share[session, step], quoted, place[session, step], seen)
            for i in range(len(seen)):
                out[session, step, i] = seen[i]


def taught(
    maker: BookMaker, signals: Float[np.ndarray, "decision signal"], shown: BookShown
) -> Demonstrations:
    """Return what a student of kind `book` learns from: sessions of one side each.

    Sides that are closed, by the limit or by the maker's gate, are left out: there the student stays out by
    the same rule.

    Args:
        maker: who showed it, with the scales of the recording.
        signals: of the recording's decisions, as they are observed.
        shown: what it chose.
    """
    features, quotes = [], []
    arrays, limit = maker.arrays, maker.limit
    for side, step in enumerate((1, -1)):
        after, closing = shown.inventory + step, shown.inventory * step < 0.0
        is_open = (np.abs(after) <= limit) & (bool(arrays["quoted"][side] > 0.0) | closing)
        rows = np.flatnonzero(is_open.all(axis=1))
        seen = np.empty((len(rows), shown.inventory.shape[1], len(SIDE)), np.float32)
        places = shown.standing[rows, :, side].astype(np.int64)
        first, share = shown.decision[rows], shown.inventory[rows] / limit
        _see(signals, arrays["centre"], arrays["scale"], first, share, arrays["quoted"], places, side, seen)
        features.append(seen)
        quotes.append(_one_of(shown.choice[rows, :, side]))
    return Demonstrations(np.concatenate(features), np.concatenate(quotes))


def student_of(maker: BookMaker, flow: Flow) -> BookFlow:
    """Return the policy of a flow that imitates a maker: its prices, scales, gate and limit."""
    return BookFlow(flow, {name: maker.arrays[name] for name in ARRAYS}, maker.limit)


def _one_of(choice: Int8[np.ndarray, "session step"]) -> Float[np.ndarray, "session step choice"]:
    """Return 1 for the choice that was taken and -1 for the others.

    Source: T. Chen, R. Zhang, G. Hinton, "Analog bits", 2023: what is discrete as numbers of either sign, so
    that a flow can lead to it.
    """
    taken = choice[..., None] == np.arange(len(CHOICES))
    return np.where(taken, 1.0, -1.0).astype(np.float32)
