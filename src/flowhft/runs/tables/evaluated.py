"""Tables of what policies came to: simulated, on a recording, walking forward, beside the exact optimum."""

from flowhft.runs.tables.schema import POLICY, SCENARIO, Column, Table

C = Column
_WHOSE = Column("policy", "", "whose row it is")
_EVALUATED = (
    SCENARIO,
    *POLICY,
    C("reference", "", "what it is compared with (differences)", optional=True),
    C("currency", "", "of money", optional=True),
    C("paths", "", "sessions behind the row", optional=True),
)
_SINCE = "s since the recording's first event"

COSTS = (
    C("policy", "", "whose"),
    C("maker_fee_bps", "bps", "fee of an order that waited"),
    C("latency_ms", "ms", "of orders, and as much of the answers"),
    C("pnl", "money", "of a session", interval=True),
    C("reference", "", "what differences are taken against", optional=True),
    C("fills", "lots a session", "filled", optional=True, interval=True),
    C("difference", "money", "of the PnL to that of the reference, paired", optional=True, interval=True),
    C("currency paths", "", "of money; sessions behind the row", optional=True),
)

BOOKINGS = (
    C("policy", "", "whose"),
    C("booking", "", "how fills are booked: whole, capped, capped + answered, without hidden"),
    C("pnl", "money", "of a session", interval=True),
    C("reference", "", "what differences are taken against", optional=True),
    C("fills", "lots a session", "filled", optional=True),
    C("difference", "money", "of the PnL to that of the reference, paired", optional=True, interval=True),
)

WINDOWS = (
    C("window", "", "number of the window"),
    C("trade_start trade_end", _SINCE, "the window"),
    C("policy", "", "who traded it; null where it was refused"),
    C("pnl", "money", "earned in the window"),
    C("fills", "lots of one order", "filled in it"),
    C("refused", "", "why it was not traded, null where it was"),
    C("session", "", "number of the recording's session", optional=True),
    C("learn_start", _SINCE, "what the calibration looked at, up to the window", optional=True),
    C(
        "volatility intensity fill_decay market_order_rate branching_ratio adverse_selection",
        "",
        "of the calibration before it, in ticks and seconds",
        optional=True,
    ),
    C("steps", "", "decisions in it", optional=True),
    C("open_at_end", "lots of one order", "closed at the best price at its end", optional=True),
    C("closing_fee", "money", "paid for that", optional=True),
)

TABLES = (
    Table(
        "results",
        ("evaluate", "backtest"),
        "a scenario and policy",
        _EVALUATED,
        metrics=True,
        read=("evaluate", "backtest"),
    ),
    Table(
        "differences",
        ("evaluate", "backtest"),
        "a scenario and policy, the reference left out",
        tuple(C("reference", "", "what was subtracted") if c.name == "reference" else c for c in _EVALUATED),
        metrics=True,
        read=("evaluate", "backtest"),
        note="Every metric is policy minus `reference`, paired.",
    ),
    Table(
        "equity",
        ("evaluate",),
        "a policy and step: the course of a session of the first scenario, averaged over up to 500 paths",
        (
            SCENARIO,
            _WHOSE,
            C("time", "s", "since the session began, after the step"),
            C("equity", "money", "mean over paths", interval=True),
            C("drawdown", "money", "mean over paths", interval=True),
            C("inventory_low inventory_median inventory_high", "lots", "5 %, 50 % and 95 % of the paths"),
            C("spread_pnl inventory_pnl fee", "money", "since the start", optional=True),
        ),
        read=("evaluate",),
    ),
    Table(
        "equity",
        ("backtest",),
        "a policy and step: the course of the replay",
        (
            _WHOSE,
            C("time", "s", "since the first decision"),
            C("equity drawdown", "money", "after the step"),
            C("inventory", "lots", "after the step"),
            C("spread_pnl inventory_pnl fee", "money", "since the start", optional=True),
        ),
        read=("backtest",),
    ),
    Table(
        "inventory",
        ("evaluate", "backtest"),
        "a policy: how its inventory after the fills is distributed over steps",
        (
            _WHOSE,
            C("mean", "lots", "mean"),
            C("deviation", "lots", "standard deviation"),
            C("skewness", "1", "positive where the rare large positions are long; null where it never moved"),
            C("p01 p05 p25 p50 p75 p95 p99", "lots", "quantiles"),
        ),
    ),
    Table(
        "markouts",
        ("evaluate", "backtest"),
        "a policy and horizon: where the mid went after its fills",
        (
            C("policy", "name", "whose"),
            C("horizon", "seconds after the fill", "in evaluate after the decision, over up to 500 paths"),
            C("fills", "fills whose horizon lies within their session of the recording", "how many"),
            C(
                "capture",
                "ticks a fill: side x (last mid before the fill - price)",
                "earned at the fill",
                optional=True,
            ),
            C(
                "markout",
                "ticks a fill: side x (mid at the horizon - last mid before the fill)",
                "what the mid did",
            ),
            C("markout_error", "ticks, standard error of the markout", "its standard error"),
            C("realised", "ticks a fill: capture + markout", "what is left at the horizon", optional=True),
            C("realised_error", "ticks, standard error of the sum", "its standard error", optional=True),
        ),
        read=("evaluate", "backtest"),
    ),
    Table(
        "fingerprint",
        ("evaluate",),
        "a policy, inventory and time left: what it quotes in an otherwise average market",
        (
            _WHOSE,
            C("inventory", "lots", "held"),
            C("time_left", "s", "of the session"),
            C("half_spread_bid half_spread_ask", "ticks", "quoted"),
        ),
        read=("evaluate",),
    ),
    Table(
        "fills",
        ("backtest",),
        "a fill of the replay",
        (
            C("step", "decisions since the start, of the step in which it was learned", "when"),
            C("time", "seconds since the first decision, when the venue made it", "when"),
            C("exchange_time_ns", "nanoseconds", "the same on the venue's clock"),
            C("side", "1 we bought, -1 we sold", "of the fill"),
            C("price", "ticks", "of the fill"),
            C("lots", "lots of the recording", "filled"),
            C("maker", "1 the order waited, 0 it traded on arrival", "how"),
            C("mid_price", "ticks, the last mid at the venue strictly before the fill", "around it"),
            C(
                "hidden",
                "1 by a trade inside the spread, which no displayed order explains",
                "what explains it; null with the queue of single orders",
                optional=True,
            ),
            C("policy", "", "whose"),
        ),
    ),
    Table(
        "latency",
        ("backtest",),
        "a kind of delay and policy",
        (
            C(
                "kind",
                "",
                "`feed` over messages; `order` and `response` over what an order would take that left when a "
                "message arrived; `decision` as measured on this machine, where it was not set",
            ),
            C("policy", "", "whose decisions; null for the others"),
            C("p50 p90 p99 maximum", "us", "percentiles"),
        ),
        read=("backtest",),
    ),
    Table("costs", ("backtest",), "a policy, fee and latency of a sweep", COSTS, read=("backtest",)),
    Table(
        "bookings",
        ("backtest",),
        "a policy and way of booking its fills (`--sweep.bookings`)",
        BOOKINGS,
        read=("backtest",),
    ),
    Table(
        "windows",
        ("backtest",),
        "a window of a walk and policy; one without a policy for a window that was not traded",
        WINDOWS,
        read=("backtest",),
    ),
    Table(
        "frontier",
        ("frontier",),
        "a scenario, policy and risk aversion",
        (
            SCENARIO,
            *POLICY,
            C("risk_aversion", "1 / (tick x lot)", "of the sweep; null for a policy that is not swept"),
            C("pnl", "money", "PnL", interval=True),
            C("pnl_deviation", "money", "its standard deviation over sessions", interval=True),
            C("paths currency", "", "sessions behind the row; of money", optional=True),
            C("sharpe", "ratio", "Sharpe ratio", optional=True, interval=True),
            C("max_drawdown", "money", "largest fall of the equity", optional=True, interval=True),
            C("rms_inventory", "lots", "root mean square of the inventory", optional=True, interval=True),
            C("fills", "lots", "filled", optional=True, interval=True),
            C(
                "quoting_ratio",
                "ratio",
                "share of the time with both sides quoted",
                optional=True,
                interval=True,
            ),
            C(
                "objective",
                "money",
                "PnL less phi times the integral of squared inventory",
                optional=True,
                interval=True,
            ),
        ),
        read=("frontier",),
    ),
    Table(
        "margins",
        ("frontier",),
        "a scenario and policy that is not swept",
        (
            SCENARIO,
            *POLICY,
            C("against", "", "the first expert of the sweep"),
            C("objective", "money", "its objective at the scenario's own risk aversion"),
            C("margin", "money", "by how much it is above the policy's, paired", interval=True),
            C("risk_aversion", "1 / (tick x lot)", "the scenario's own", optional=True),
            C("paths currency", "", "sessions behind the row; of money", optional=True),
        ),
        read=("frontier",),
    ),
)
