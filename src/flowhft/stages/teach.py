"""Teach: a maker that sees the order book shows what it would quote on recordings, whatever it holds."""

from collections.abc import Callable, Iterator
from dataclasses import replace as changed
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from flowhft.desk.compiled import freeze
from flowhft.desk.replay.engine import Market, prepare, trade
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import Tape, read_tape
from flowhft.errors import UsageError, require
from flowhft.features.scales import scales_of, second_move
from flowhft.learn.demonstrations.book import BookShown, drawn_sessions, shown_by, visited_sessions
from flowhft.policies.book import BookMaker
from flowhft.policies.book_flow import BookFlow
from flowhft.policies.policy import Policy
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Recording, require_trades
from flowhft.runs.folder import stream


class FirstPart(NamedTuple):
    """The first part of a recording, on which a maker shows what it would quote.

    Attributes:
        tape: of its decisions, with the signals of its book.
        maker: the teacher in its scales.
        settings: of a replay there.
        part: of the recording.
    """

    tape: Tape
    maker: BookMaker
    settings: ReplaySettings
    part: Recording


def maker_in(policy: Any, named: str) -> tuple[BookMaker, float, int]:
    """Return a maker that sees the book, seconds between its decisions, and lots of its orders.

    Args:
        policy: as it was saved by `flowhft learn`.
        named: how the user named it.

    Raises:
        UsageError: it is another kind of policy.
    """
    if not (isinstance(policy, Policy) and isinstance(policy.core, BookMaker)):
        raise UsageError(
            f"`maker` must be a maker that sees the order book; received '{named}'. Name a run folder of "
            "`flowhft learn`."
        )
    told = {"interval", "order_lots"} <= policy.training.keys()
    fix = "Learn it again with this version of flowhft."
    require(told, "maker", "say between which decisions and for which orders it was learned", "neither", fix)
    return policy.core, float(policy.training["interval"]), int(policy.training["order_lots"])


def first_part(
    recording: Recording,
    share: float,
    taught: tuple[BookMaker, float, int],
    replay: ReplaySettings,
    own: bool,
) -> FirstPart:
    """Open the first part of a recording; nothing behind it is looked at.

    Args:
        recording: with a book and trades.
        share: of its time.
        taught: from `maker_in`.
        replay: latencies, queue, what fills.
        own: whether the maker is for this market; else its scales and unit are those that the part itself
            has.

    Raises:
        DataError: it has no book or no trades, or is too short.
    """
    require_trades(recording, "teaching")
    maker, interval, lots = taught
    times = recording.events["local_time_ns"]
    begin, end = int(times[0]), int(times[-1])
    part = recording if share == 1.0 else between(recording, None, begin + round(share * (end - begin)))
    settings = changed(replay, decision_interval=interval, order_lots=lots, inventory_limit=maker.limit)
    received = as_received(part, settings)
    tape = read_tape(received, settings)
    tape = tape._replace(book=read_signals(received, tape.time_ns, settings.order_window))
    if not own:
        scales = scales_of(tape.book[:-1], second_move(tape.time_ns, tape.mid_price))
        arrays = {**maker.arrays, "centre": scales.centre, "scale": scales.scale}
        maker = changed(maker, arrays=arrays, unit=scales.unit)
    return FirstPart(tape, maker, settings, part)


def rounds_of(
    shown: FirstPart, key: str, rounds: int, steps: int, seed: int, student: Policy | None = None
) -> Iterator[tuple[str, Callable[[], BookShown]]]:
    """Yield what is to be shown on a recording: the name of a round, and how to come by it.

    Args:
        shown: where.
        key: that tells recordings apart, for random numbers.
        rounds: of positions that are drawn.
        steps: decisions of a session.
        seed: of the run.
        student: who leads through one more round; None for none.
    """
    teacher = freeze(Policy(shown.maker))

    def drawn(number: int) -> BookShown:
        random = np.random.default_rng(stream(seed, "teach", key, str(number)))
        return shown_by(teacher, shown.tape, *drawn_sessions(shown.tape, steps, shown.maker.limit, random))

    def visited(leader: Policy) -> BookShown:
        way = _way_of(shown, leader, stream(seed, "student", key))
        sessions = visited_sessions(shown.tape, steps, *way)
        return shown_by(teacher, shown.tape, *sessions)

    for number in range(rounds):
        yield f"round {number + 1}", partial(drawn, number)
    if student is not None:
        yield "where the student led", partial(visited, student)


def _way_of(shown: FirstPart, student: Policy, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Let a student trade the part, and return what it held at each decision, and where it quoted."""
    market: Market = prepare(shown.part, shown.settings, book="needed")
    path = trade(market, "student", freeze(student), shown.settings, seed).trajectory
    mid, quote = path.observation.mid_price[0], path.quote
    price = np.stack([mid - quote.half_spread_bid[0], mid + quote.half_spread_ask[0]], axis=-1)
    return path.observation.inventory[0], price


def require_same_market(student: Any, maker: BookMaker) -> None:
    """Refuse a student that chooses among other prices than its teacher, or holds more.

    Raises:
        UsageError: it does.
    """
    core: Any = getattr(student, "core", None)
    same = isinstance(core, BookFlow) and np.array_equal(core.arrays["offsets"], maker.arrays["offsets"])
    require(
        bool(same and core.limit == maker.limit),
        "student",
        "be one of this maker: of its prices and limit",
        "another",
        "Name a policy that imitates it.",
    )
