"""The replay in plain Python: a session with the venue of a recording behind the thin interface.

It does what the compiled loop does (`flowhft.desk.replay.loop`), step by step and to the last bit. It is what
a replay runs in where a journal is to be written.
"""

from collections.abc import Callable, Iterator

import numpy as np

from flowhft.desk.compiled import compiled
from flowhft.desk.observer import MarketState
from flowhft.desk.orders import CANCELED, EXPIRED, FILLED, OrderUpdate, Requests, Rules
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import Tape
from flowhft.desk.replay.venue import FAILED, Wire, advance, begin_time, forget_done, look_up, send
from flowhft.desk.session import Session
from flowhft.types import Observation, Quote

_STATE = len(OrderUpdate._fields)


class VenueFailed(Exception):
    """The library of the venue gave an error; `code` is its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code} of the venue")
        self.code = code


@compiled
def _look_up_all(wire: Wire, numbers: np.ndarray, known: np.ndarray) -> bool:
    """Write what is known of orders into the rows of `known`, forget those that are done; say if any is."""
    done = False
    for row in range(len(numbers)):
        update = look_up(wire, numbers[row])
        for column, value in enumerate(update):
            known[row, column] = value
        done = done or update.status == FILLED or update.status == CANCELED or update.status == EXPIRED
    if done:
        forget_done(wire)
    return done


class ReplayVenue:
    """The venue of a replay as a `flowhft.desk.venue.Venue` whose time runs when it is told.

    Args:
        wire: from `open_venue`, or to the house's own venue.
        rules: whether orders may take.
        settings: with the latency of orders.
        latencies: from `order_latencies`, where orders do not always take as long.
    """

    def __init__(
        self, wire: Wire, rules: Rules, settings: ReplaySettings, latencies: np.ndarray | None = None
    ) -> None:
        self._wire, self._rules, self._latencies = wire, rules, latencies
        self._constant_us = 1e3 * settings.order_latency_ms
        self._open: tuple[list[int], list[int]] = ([], [])  # numbers by side, the newest first
        self._reported: dict[int, list[int]] = {}
        self._time = 0
        self._checked(begin_time(wire))

    def until(self, time_ns: int) -> None:
        """Let the venue's time run."""
        self._time = max(self._time, time_ns)
        self._checked(advance(self._wire, time_ns))

    def time(self) -> int:
        """See `Venue`."""
        return self._time

    def send(self, requests: Requests) -> float:
        """See `Venue`."""
        for numbers, request in zip(self._open, (requests.bid, requests.ask), strict=True):
            if request.number:
                numbers.insert(0, request.number)
        self._checked(send(self._wire, requests, self._rules))
        if self._latencies is None:
            return self._constant_us
        took = 1e-3 * (self._latencies["exch_ts"] - self._latencies["req_ts"])
        return float(np.interp(self.time(), self._latencies["req_ts"], took))

    def poll(self) -> list[OrderUpdate]:
        """See `Venue`: the bids first, and on each side the order that came last."""
        numbers = [*self._open[0], *self._open[1]]
        if not numbers:
            return []
        known = np.empty((len(numbers), _STATE), np.int64)
        done = _look_up_all(self._wire, np.array(numbers), known)
        updates = [OrderUpdate(*row) for row in known.tolist() if self._reported.get(row[0]) != row]
        self._reported |= {update.number: [*update] for update in updates}
        if done:
            self._forget(
                [update.number for update in updates if update.status in (FILLED, CANCELED, EXPIRED)]
            )
        return updates

    def _forget(self, done: list[int]) -> None:
        """Ask no more of orders that are done."""
        for number in done:
            self._reported.pop(number, None)
            for numbers in self._open:
                if number in numbers:
                    numbers.remove(number)

    def _checked(self, code: int) -> None:
        if code >= FAILED:
            raise VenueFailed(code)


def markets_on(tape: Tape) -> Iterator[MarketState]:
    """Yield what is known at every decision of a tape, and at the end of the last step."""
    columns = (tape.time_ns, tape.best_bid, tape.best_ask, *tape.arrivals.T, *tape.intensity.T)
    yield from map(MarketState, *(column.tolist() for column in columns))


def play(
    session: Session,
    venue: ReplayVenue,
    markets: Iterator[MarketState],
    decide: Callable[[Observation, int], Quote],
) -> None:
    """Let a policy quote through a recording, decision by decision.

    Args:
        session: that has seen nothing.
        venue: of the recording, which is the session's.
        markets: what is known at every decision; the last one only ends the last step.
        decide: (what is seen, number of the step) -> a quote.

    Raises:
        VenueFailed: the library gave an error.
    """
    latency_ns = session.rules.decision_latency_ns
    market = next(markets)
    venue.until(market.time_ns)
    for after in markets:
        wanted = decide(session.see(market), session.step)
        if latency_ns > 0:
            venue.until(market.time_ns + latency_ns)
            session.learn()
        session.act(wanted)
        venue.until(after.time_ns)
        session.learn()
        market = after
    session.end(market)
