"""Tables of what was measured on a recording, and where the simulated market resembles it."""

from flowhft.runs.tables.schema import Column, Table

C = Column
_BY = ("calibrate",)

TABLES = (
    Table(
        "signature",
        _BY,
        "a sampling interval",
        (
            C("interval", "s", "between the mids that are compared"),
            C("volatility", "ticks / sqrt(s)", "plain, noise included"),
            C("standard_error", "ticks / sqrt(s)", "of the volatility"),
        ),
        read=_BY,
    ),
    Table(
        "structure",
        _BY,
        "an interval",
        (
            C("interval", "s", "of the moves"),
            C("mean_square_move", "ticks^2", "measured"),
            C("fitted", "ticks^2", "of the fractional fit"),
        ),
        read=_BY,
    ),
    Table(
        "jumps",
        _BY,
        "a jump",
        (
            C("time", "s", "since the recording began"),
            C("size", "ticks", "of the jump"),
            C("deviations", "1", "size over the usual deviation around"),
        ),
        read=_BY,
    ),
    Table(
        "seasonality",
        _BY,
        "a part of the session",
        (
            C("start", "s", "of the part"),
            C("rate", "1 / s", "of market orders a side"),
            C("rate_error", "1 / s", "its standard error"),
            C("volatility", "ticks / sqrt(s)", "in the part"),
            C("volatility_error", "ticks / sqrt(s)", "its standard error"),
        ),
        read=_BY,
    ),
    Table(
        "fill_curve",
        _BY,
        "a side, or both (`mean`), and distance",
        (
            C("side", "of our quote", "bid, ask or mean"),
            C("distance", "ticks", "from the mid"),
            C("count", "bursts", "that reach it", optional=True),
            C("rate", "1 / s", "at which they do"),
            C("standard_error", "1 / s", "of the rate"),
            C("fitted", "1 / s", "by the curve"),
            C("in_fit", "1", "whether the fit rests on it", optional=True),
        ),
        read=_BY,
    ),
    Table(
        "order_fills",
        _BY,
        "a distance",
        (
            C("distance", "ticks", "at which orders rested"),
            C("fills", "orders", "first executions", optional=True),
            C("order_seconds", "s", "that orders rested there", optional=True),
            C("rate", "1 / s", "of executions"),
            C("promised", "1 / s", "by the fill curve"),
        ),
        read=_BY,
    ),
    Table(
        "markout_curve",
        _BY,
        "a horizon",
        (
            C("horizon", "s", "after a fill"),
            C("move", "ticks", "of the mid against the fill"),
            C("standard_error", "ticks", "of the move"),
            C("distance", "ticks", "that bursts reach"),
            C("bursts", "1", "how many", optional=True),
        ),
        read=_BY,
    ),
    Table(
        "hawkes_residuals",
        _BY,
        "a quantile of the rescaled waiting times",
        (
            C("probability", "1", "of the quantile", optional=True),
            C("theoretical", "1", "exponential"),
            C("observed", "1", "under the Hawkes process"),
            C("poisson", "1", "under a Poisson process", optional=True),
        ),
        read=_BY,
    ),
    Table(
        "signals",
        _BY,
        "a signal of the book (or the nine that forecast best, `together`) and a horizon",
        (
            C("signal", "name", "which"),
            C("horizon", "s", "of the move of the mid that follows a decision"),
            C(
                "deviation",
                "of the signal",
                "in the first 60 % of the time, about 0 where it has a direction",
                optional=True,
            ),
            C("slope", "ticks / deviation", "of the move, fitted there", optional=True, interval=True),
            C("r_squared", "1", "on the last 40 %, against a forecast of zero", interval=True),
            C(
                "local_r_squared",
                "1",
                "the same of the mid as it arrives: what a slow feed seems to foresee",
                optional=True,
            ),
            C("memory", "s", "at which the signal's autocorrelation has fallen to 1 / e", optional=True),
            C("weight", "ticks / deviation", "in the regression on nine signals together", optional=True),
            C("penalty", "1", "of that regression, chosen within the first part", optional=True),
            C("verdict", "", "`skill`, `local only` or `none`", optional=True),
            C("reason", "", "why there is no verdict", optional=True),
        ),
        read=_BY,
        note="Moves are of the venue's mid on its own clock, from 5.1 ms after the decision on. Only where "
        "the recording has a book with sizes.",
    ),
    Table(
        "resemblance",
        ("resemble",),
        "a stylised fact and point",
        (
            C("fact", "name", "which"),
            C("title", "words", "in words"),
            C("axis", "what x is, with its unit", "of the point"),
            C("unit", "of the values", "of the values"),
            C("x", "see axis", "the point"),
            C("recorded", "see unit", "of the recording"),
            C("simulated", "see unit, median of all tapes", "of simulated tapes"),
            C("low high", "see unit, global envelope", "holds all points of a simulated tape together"),
            C("outside", "1", "whether the recording leaves it there"),
            C("logarithmic", "1", "whether the fact is shown on such an axis"),
        ),
        read=("resemble",),
    ),
    Table(
        "resemblance_verdicts",
        ("resemble",),
        "a stylised fact",
        (
            C("fact", "name", "which"),
            C("title", "words", "in words"),
            C("p_value", "1", "null for what the simulator does not have"),
            C("resembles", "1", "whether it does"),
            C("said", "words", "about it"),
        ),
        read=("resemble",),
    ),
)
