"""A session: one loop that takes a policy's quotes to a venue, whatever the venue is.

    observer -> policy -> order rules -> risk -> venue -> account -> journal

A decision is three calls of whoever keeps the time, a replay's clock or a timer of the real one:

    session.learn()                 book what the venue says of our orders
    session.see(market)             end the step before, begin a new one: what the policy sees
    session.act(quote)              order rules, risk, send, remember

Only `learn` and `act` touch the venue, through its thin interface. All rules are the compiled functions of
`flowhft.desk.steps`; the compiled replay is this loop with the venue of a recording, compiled as a whole.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from flowhft.desk.account import Account, book, open_account
from flowhft.desk.journal import CANCEL, DONE, NEW_ORDER, REFUSED, REJECTED_ORDER, Journal, OrderRow
from flowhft.desk.observer import MarketState
from flowhft.desk.orders import (
    ASK,
    BID,
    EXPIRED,
    OVER_INVENTORY,
    OrderCounts,
    Requests,
    Rules,
)
from flowhft.desk.risk import NO_LIMITS, REASONS, Limits, halt, open_guard, resume
from flowhft.desk.steps import (
    LATENCY_US,
    Run,
    begin_step,
    end_step,
    open_run,
    requests_for,
    trajectory_of_columns,
)
from flowhft.desk.venue import Venue
from flowhft.types import Observation, Quote, Trajectory

ROOM = 256  # steps that are kept before a journal is given them


class FillRow(NamedTuple):
    """A fill, in the columns of a replay's table; units in `flowhft.desk.journal.FILL_UNITS`."""

    step: int
    exchange_time_ns: int
    side: int
    price: int
    lots: int
    maker: int


class Session:
    """A policy at work with a venue.

    Args:
        rules: that orders obey.
        venue: where they go.
        limits: of risk.
        journal: that everything is written to as it happens; None keeps all of it in memory.
        room: steps that there is room for; with a journal, after how many it is given them.
        mid_before: (ns at the venue) -> the mid just before that, ticks; by default the mid of the last
            decision. Fills are noted with it.
        account: that the session begins with; None for one of nothing.
    """

    def __init__(
        self,
        rules: Rules,
        venue: Venue,
        *,
        limits: Limits = NO_LIMITS,
        journal: Journal | None = None,
        room: int = ROOM,
        mid_before: Callable[[int], float] | None = None,
        account: Account | None = None,
    ) -> None:
        self.rules, self.venue, self.limits, self.journal = rules, venue, limits, journal
        self.account = open_account(rules) if account is None else account
        self.guard = open_guard(limits)
        self.fills: list[FillRow] = []
        self.step = -1
        self.market: MarketState | None = None
        self._room, self._mid_before = room, mid_before
        self._run: Run | None = None
        self._begun = False
        self._place = self._written = 0

    @property
    def run(self) -> Run:
        """What the session has come to, from its first decision on."""
        if self._run is None:
            raise RuntimeError("a session has seen nothing before its first decision.")
        return self._run

    @property
    def counts(self) -> OrderCounts:
        """What was sent, and what was not."""
        return OrderCounts(*map(int, self.account.counts))

    @property
    def trajectory(self) -> Trajectory:
        """The steps that are kept in memory and over: all of them where there is no journal."""
        over = self._place if self._begun else self._place + 1
        return trajectory_of_columns(self.run.columns[:, : max(over, 0)])

    def learn(self) -> None:
        """Book what the venue says of our orders."""
        if self._run is None:
            return
        for update in self.venue.poll():
            booked = book(self._run.account, self.rules, update)
            if booked.lots > 0:
                fill = FillRow(
                    self.step,
                    update.exchange_time_ns,
                    booked.sign,
                    update.price,
                    booked.lots,
                    update.maker,
                )
                self.fills.append(fill)
                if self.journal:
                    self.journal.fill(self._run.start_ns, fill, self._mid(update.exchange_time_ns))
            if self.journal and booked.done:
                what = REJECTED_ORDER if update.status == EXPIRED else DONE
                self._log(what, update.number, 0, 0, update.lots_left, "", update.exchange_time_ns)

    def see(self, market: MarketState) -> Observation:
        """End the step before, if there was one, and begin another; return what the policy sees.

        Args:
            market: as it is known at this decision.
        """
        if self._run is None:
            self._run = open_run(self.rules, market, self._room, self.limits, self.account, self.guard)
            self._place = -1
        self.end(market)
        self._place += 1
        if self._place == self._room:
            if self.journal is None:
                raise RuntimeError("a session without a journal has room for as many steps as it was given.")
            self.flush()
            self._place = self._written = 0
        self.step, self.market, self._begun = self.step + 1, market, True
        return begin_step(self._run, market, self._place)

    def act(self, wanted: Quote) -> Requests:
        """Bring our orders to a quote, as far as rules and limits allow.

        Args:
            wanted: what the policy quotes; NaN and size 0 are no quote.
        """
        market = self.market
        if market is None or self._run is None:
            raise RuntimeError("a session must see the market before it acts.")
        left = self.venue.time()
        requests = requests_for(self._run, market, self._place, wanted, left - self._run.start_ns)
        if requests.bid.cancel or requests.bid.number or requests.ask.cancel or requests.ask.number:
            after_us = (left - market.time_ns) / 1e3
            if self.journal:
                self._log_requests(requests, left)
            self._run.columns[LATENCY_US, self._place] = after_us + self.venue.send(requests)
        elif self.journal:
            self._log_requests(requests, left)
        return requests

    def end(self, market: MarketState) -> None:
        """End the step that was begun, if one was: at the next decision, or for good.

        Args:
            market: as it is known now.
        """
        if self._begun:
            end_step(self.run, market, self._place)
            self._begun = False
            if self.journal and self._place + 1 - self._written >= self.journal.every:
                self.flush()

    def halt(self) -> None:
        """Withdraw everything at the next decision and send nothing more."""
        halt(self.guard)

    def resume(self) -> None:
        """Trade again after a halt."""
        resume(self.guard)

    def flush(self) -> None:
        """Write to the journal what is over."""
        over = self._place if self._begun else self._place + 1
        if self.journal is None or self._run is None or over <= self._written:
            return
        self.journal.steps(self._run.columns[:, self._written : over])
        self._written = over

    def _mid(self, time_ns: int) -> float:
        if self._mid_before is not None:
            return self._mid_before(time_ns)
        market = self.market
        return math.nan if market is None else 0.5 * (market.best_bid + market.best_ask)

    def _log_requests(self, requests: Requests, now_ns: int) -> None:
        for side, request in ((BID, requests.bid), (ASK, requests.ask)):
            sign = 1 - 2 * side
            if request.cancel:
                self._log(CANCEL, request.cancel, sign, 0, 0, "", now_ns)
            if request.number:
                self._log(NEW_ORDER, request.number, sign, request.price, request.lots, "", now_ns)
            if request.counted >= OVER_INVENTORY:
                self._log(REFUSED, 0, sign, 0, 0, REASONS[request.counted], now_ns)

    def _log(self, what: str, number: int, side: int, price: int, lots: int, why: str, time_ns: int) -> None:
        if self.journal:
            self.journal.order(OrderRow(self.step, time_ns, what, number, side, price, lots, why))
