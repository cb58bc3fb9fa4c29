"""Settings of a replay: how often a policy quotes, how late its orders are, and what the venue takes."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from flowhft.desk.limits import RiskSettings
from flowhft.errors import require
from flowhft.runs.ranges import Positive, Range, Share, check_ranges

QueueModel = Literal[
    "risk_adverse", "log_prob", "log_prob2", "power_prob", "power_prob2", "power_prob3", "l3_fifo"
]
SINGLE_ORDERS: QueueModel = "l3_fifo"
LatencyModel = Literal["constant", "recorded"]
Fills = Literal["whole", "capped"]
Milliseconds = Annotated[float, Range(0.0, unit="ms")]
Fee = Annotated[float, Range(-10_000.0, 10_000.0, least_open=True, most_open=True, unit="bps")]


@dataclass(frozen=True)
class ReplaySettings:
    """How a policy trades against a recording.

    Orders are limit orders that may only make, unless `post_only` is switched off. They change nothing: the
    market that was recorded does not answer them.
    """

    decision_interval: float | None = None
    """Seconds between two decisions; by default the scenario's, else 0.1, at which both sides send up to
    1,200 new orders a minute, which is what Binance allows."""
    horizon: float | None = None
    """Length of a session, seconds; by default the scenario's, else 60. Sessions roll: time_left falls to 0
    and begins again; inventory stays."""
    order_window: Annotated[float, Range(0.0, unit="s")] | None = None
    """Market orders of one side closer than this are counted as one, seconds; by default as in the
    calibration, or 0.01 without one."""
    feed_latency_ms: Milliseconds | None = None
    """From the venue to us, milliseconds; by default every message's own, by the recording's two clocks. Set
    it where the recording has one clock only."""
    latency_model: LatencyModel = "constant"
    """Whether the ways to the venue and back always take as long as set below, or (`recorded`) that and what
    the market data took at that moment beyond their fastest message."""
    order_latency_ms: Milliseconds = 5.0
    """From us to the venue, milliseconds: about the median feed latency of the bundled recording, 4.3 ms
    above its fastest message. Where the local clock was shifted so that this message took no time, or
    the recording has one clock only, add what the feed took here if you know it."""
    response_latency_ms: Milliseconds = 5.0
    """From the venue back to us, milliseconds: how late we learn of a fill."""
    decision_latency_us: float | None = None
    """From a decision to its orders leaving, microseconds; measured on this machine where it is not set."""
    queue_model: QueueModel = "risk_adverse"
    """How an order advances in its queue, a model of hftbacktest. `risk_adverse`: only trades and a shrinking
    level move it; those with `prob` guess that cancellations were partly ahead of it; `l3_fifo` knows, in a
    recording that holds single orders."""
    queue_power: Positive = 3.0
    """Exponent of the `power_prob` queue models: larger guesses that more cancellations were behind us."""
    fills: Fills | None = None
    """How fills are booked. `capped`: by no more than was traded, inside the spread too, and what remains
    keeps its place; `whole`: the first trade that reaches an order fills it whole, which flatters orders that
    are not small beside the trades. By default capped, but whole where orders may take (`post_only` off) or
    the queue is that of single orders (`l3_fifo`): capped fills are not known there."""
    answered: Share | None = None
    """Share of the orders that improve the best price and lose their priority, because somebody answers with
    a price a tick better: what stood at the touch is then ahead of them. In a replay nobody answers by
    himself. By default as many as the calibration measured (`flowhft.calibrate.answers`); none without a
    calibration, or with `l3_fifo`."""
    hidden: bool = True
    """Whether trades inside the spread, which no displayed order explains, fill our orders there."""
    partial_fills: bool = False
    """The former name of `fills capped`, which it now means."""
    post_only: bool = True
    """Whether orders may only make: quotes are kept off the other side of the book, and what would trade on
    arrival is rejected. Otherwise it trades whole at the best price and pays the taker fee."""
    maker_fee_bps: Fee | None = None
    """Fee on what is traded, basis points of its value; negative is a rebate. 0 compares before fees. By
    default that of the calibration, else 0."""
    taker_fee_bps: Fee | None = None
    """The same for orders that trade on arrival; to be said where they may."""
    order_lots: Annotated[int, Range(1, unit="lot")] | None = None
    """Size of our orders in lots of the recording: one lot of the trajectory. By default that of scenario and
    calibration, a third of the median market order; 10 where neither says any."""
    inventory_limit: Annotated[int, Range(1, unit="order")] | None = None
    """Most inventory, long or short, in orders. A side is not quoted where all that may still fill could
    exceed it. By default that of the calibration, else 10."""
    minimum_change: Annotated[int, Range(1, unit="tick")] = 1
    """Ticks by which a price must differ for a working order to be replaced, which costs its place in the
    queue."""
    order_rate: Positive | None = None
    """New orders that may be sent a second, both sides together; by default without limit. Where none is
    left, the old quotes stay."""
    order_burst: Annotated[int, Range(1, unit="order")] = 10
    """New orders that may be sent at once after a pause; every second allows `order_rate` more, up to
    these."""
    risk: RiskSettings = RiskSettings()

    def __post_init__(self) -> None:
        check_ranges(self)
        require(self.interval >= 1e-6, "decision_interval", "be at least 1e-6 s", self.interval)
        require(
            self.session >= self.interval,
            "horizon",
            f"be at least one decision interval, {self.interval} s",
            f"{self.session} s",
        )
        if self.decision_latency_us is not None:
            require(
                0.0 <= self.decision_latency_us < 1e6 * self.interval,
                "decision_latency_us",
                f"be 0 or more and below the decision interval, {1e6 * self.interval:g} us",
                self.decision_latency_us,
                "A policy must have decided before it decides again.",
            )
        require(
            not self.capped or self.post_only,
            "fills",
            "be whole where orders may take",
            "capped, with orders that may take",
            "What they take is booked whole, at the best price.",
        )
        require(
            not self.own_venue or self.queue_model != SINGLE_ORDERS,
            "queue_model",
            "be one of levels where fills are capped, orders are answered or hidden executions do not count",
            SINGLE_ORDERS,
            "Only hftbacktest knows the queue of single orders.",
        )
        require(
            self.post_only or self.taker_fee_bps is not None,
            "taker_fee_bps",
            "be said where orders may take",
            "nothing, with post_only off",
            "Taking for nothing makes a forecast a money machine; 0 is possible too.",
        )

    def counting(self, order_window: float) -> "ReplaySettings":
        """Return the settings with orders counted as in a calibration, if they say nothing of it.

        Args:
            order_window: of the calibration, seconds.
        """
        return replace(self, order_window=order_window) if self.order_window is None else self

    @property
    def interval(self) -> float:
        """Return the seconds between two decisions."""
        return 0.1 if self.decision_interval is None else self.decision_interval

    @property
    def session(self) -> float:
        """Return the length of a session, seconds."""
        return 60.0 if self.horizon is None else self.horizon

    @property
    def lots(self) -> int:
        """Return the size of our orders, lots of the recording."""
        return 10 if self.order_lots is None else self.order_lots

    @property
    def limit(self) -> int:
        """Return the most inventory, long or short, orders."""
        return 10 if self.inventory_limit is None else self.inventory_limit

    @property
    def fee_bps(self) -> float:
        """Return the fee of an order that waited, basis points."""
        return 0.0 if self.maker_fee_bps is None else self.maker_fee_bps

    @property
    def taking_fee_bps(self) -> float:
        """Return the fee of an order that trades on arrival, basis points."""
        return 0.0 if self.taker_fee_bps is None else self.taker_fee_bps

    @property
    def capped(self) -> bool:
        """Return whether a trade fills no more than its own quantity."""
        if self.partial_fills or self.fills is not None:
            return self.partial_fills or self.fills == "capped"
        return self.post_only and self.queue_model != SINGLE_ORDERS

    @property
    def answered_share(self) -> float:
        """Return the share of the orders that improve the best price and lose their priority."""
        return 0.0 if self.answered is None else self.answered

    @property
    def own_venue(self) -> bool:
        """Return whether the house's own venue fills orders, because hftbacktest cannot do so."""
        return self.capped or self.answered_share > 0.0 or not self.hidden

    def answering(self, share: float) -> "ReplaySettings":
        """Return the settings with a measured share of orders that are answered, if they say nothing of it.

        Args:
            share: of the orders that improve the best price; none are answered in a queue of single orders.
        """
        if self.answered is not None:
            return self
        return replace(self, answered=0.0 if self.queue_model == SINGLE_ORDERS else share)

    def settled(self) -> "ReplaySettings":
        """Return the settings with order size, limit, fee and how fills are booked said, where left open."""
        return replace(
            self,
            order_lots=self.lots,
            inventory_limit=self.limit,
            maker_fee_bps=self.fee_bps,
            fills="capped" if self.capped else "whole",
            answered=self.answered_share,
        )

    def in_scenario(self, dt: float, horizon: float) -> "ReplaySettings":
        """Return the settings with the times of a scenario where none were set."""
        return replace(
            self,
            decision_interval=dt if self.decision_interval is None else self.decision_interval,
            horizon=horizon if self.horizon is None else self.horizon,
        )
