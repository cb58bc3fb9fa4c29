"""Tables of choosing and training: candidates, demonstrations, curves, searches, simulated sessions."""

from flowhft.runs.tables.schema import SCENARIO, Column, Table

C = Column
_GAMMA = "1 / (tick x lot)"
_CANDIDATE = (
    SCENARIO,
    C("expert", "", "the candidate"),
    C(
        "risk_aversion",
        _GAMMA,
        "it was tried with; null for `no_quote`, which is no candidate unless named as one",
    ),
    C("score", "criterion", "on the paths that chose", interval=True),
    C("chosen", "", "whether it is the choice of the scenario"),
    C("fresh_score", "criterion", "on fresh paths", optional=True, interval=True),
    C("pnl max_drawdown", "tick x lot", "on the paths that chose", optional=True),
    C("sharpe quoting_ratio", "ratio", "on the paths that chose", optional=True),
)
_MAP = (
    C("scale", "", "of the map behind the policy"),
    C("offset_bid offset_ask", "ticks", "of the map"),
    C("skew", "ticks / lot", "of the map"),
    C("slope", "ticks / (lot s)", "of the skew in the time left", optional=True),
)
_PAIRED = "criterion, paired, to the expert at the scenario's own risk aversion"

TABLES = (
    Table("selection", ("select",), "a scenario and candidate", _CANDIDATE, read=("select",)),
    Table("teachers", ("demonstrate",), "a scenario and candidate", _CANDIDATE, read=("demonstrate",)),
    Table(
        "choices",
        ("select", "demonstrate"),
        "a scenario",
        (
            SCENARIO,
            C("expert", "", "chosen"),
            C("risk_aversion", _GAMMA, "chosen"),
            C("tie", "", "whether fresh paths cannot tell another expert from the choice"),
            C("ties", "", "those experts, with commas"),
            C("rival_expert", "", "the best candidate of another expert; null where there is none"),
            C(
                "margin fresh_margin",
                "criterion, paired, over the best candidate of another expert",
                "over the rival, on the paths that chose and on fresh ones",
                interval=True,
            ),
            C("score fresh_score", "criterion", "of the choice", optional=True, interval=True),
            C("rival_risk_aversion", _GAMMA, "of the rival", optional=True),
            C("next_expert", "", "the next candidate", optional=True),
            C("next_risk_aversion", _GAMMA, "of the next candidate", optional=True),
            C(
                "next_margin fresh_next_margin",
                "criterion, paired, over the next candidate",
                "over the next candidate",
                optional=True,
                interval=True,
            ),
            C(
                "winner_pnl winner_sharpe winner_utility",
                "",
                "who would be chosen by each criterion",
                optional=True,
            ),
            C("tie_pnl tie_sharpe tie_utility", "", "whether that is a tie", optional=True),
            C("dt", "s", "between decisions", optional=True),
            C(
                "drift volatility hurst_exponent jump_intensity base_intensity",
                "",
                "what tells scenarios of a grid apart",
                optional=True,
            ),
        ),
        read=("demonstrate",),
    ),
    Table(
        "tuning",
        ("tune",),
        "a scenario and expert",
        (
            SCENARIO,
            C("expert", "", "tuned"),
            C("risk_aversion", _GAMMA, "of the best candidate"),
            *_MAP,
            C("chosen", "", "whether it is the best expert there"),
            C("validation fresh", _PAIRED, "gain on validation and on fresh paths", interval=True),
            C(
                "score plain_score",
                "criterion",
                "tuned, and plain, on fresh paths",
                optional=True,
                interval=True,
            ),
            C("winners_curse", "criterion", "validation less fresh", optional=True),
        ),
        read=("tune",),
    ),
    Table(
        "candidates",
        ("tune",),
        "a candidate, in the order they were tried",
        (
            SCENARIO,
            C("expert", "", "tuned"),
            C("direction", "", "how the candidate came about"),
            C("risk_aversion", _GAMMA, "of the candidate"),
            *_MAP,
            C("score", "criterion", "on validation paths"),
            C("difference", _PAIRED, "gain"),
        ),
    ),
    Table(
        "demonstrations-0000",
        ("demonstrate",),
        "a session and step: what the teacher saw and what it quoted",
        (
            C("path", "number of the session in the data set", "which session"),
            C("step", "decisions since the session began", "which step"),
            C("mid_price", "ticks from the session's first mid", "seen"),
            C("inventory", "lots", "held"),
            C("cash", "tick x lot", "for trades priced relative to the session's first mid"),
            C("arrivals_bid arrivals_ask", "orders since the last decision", "seen"),
            C("filled_bid filled_ask", "lots since the last decision", "ours"),
            C("half_spread_bid half_spread_ask", "ticks", "quoted, cut at 6 / k"),
        ),
        note="The first shard of a data set of demonstrations, zstd; -0001 and so on are alike. Raw, so that "
        "one data set serves every kind of [features](models.md#features). Whole numbers take 16 bits, "
        "others single precision: both exactly what was simulated. Nothing that only a simulator knows is in "
        "them; time follows from step and dt.",
    ),
    Table(
        "demonstrations-0000",
        ("teach",),
        "a session and step: what the maker held, where it stood and what it chose",
        (
            C("session", "1", "which one"),
            C("decision", "1", "which row of the recording's decisions"),
            C("inventory", "orders", "held"),
            C("standing_bid standing_ask", "ticks", "by which its last quote betters the best price"),
            C("offset_bid offset_ask", "ticks", "by which its quote betters it"),
        ),
        note="A shard a recording and round; `demonstrations.json` says which. Null where a side is not "
        "quoted, and where the last quote is at none of its prices.",
    ),
    Table(
        "decisions-0000",
        ("teach",),
        "a decision on a recording",
        (C("time_ns", "nanoseconds, local clock", "of the decision"),),
        note="A file a recording. Besides, a column for each of "
        "[the signals](models.md#signals-of-the-book), "
        "as it is observed, in its unit; NaN where it is not known.",
    ),
    Table(
        "lessons",
        ("demonstrate",),
        "a lesson: the sessions `first` to `first + paths - 1` of one teacher in one scenario",
        (
            C("scenario", "", "its keys are in `scenarios.toml`"),
            C("expert", "", "the teacher"),
            C("risk_aversion", _GAMMA, "of the teacher"),
            C("chosen", "", "whether it is the choice there"),
            C("criterion", "", "by which"),
            C("seed", "", "of the run"),
            C("first paths", "sessions", "which ones"),
            C("steps", "", "of a session"),
            C("dt horizon", "s", "between decisions; of a session"),
            C("fill_decay", "1 / tick", "of the scenario"),
            C("fills", "lots", "that it saw"),
            C(
                "shard row path",
                "",
                "where its rows are: file, first row in it, first session in the data set",
            ),
        ),
        note="A long lesson is several rows. Sessions of the same scenario and index are the same market for "
        "every teacher.",
    ),
    Table(
        "curve",
        ("imitate", "distil"),
        "some updates of the training",
        (
            C("update", "updates", "so far"),
            C("loss validation_loss gradient_norm", "scaled half-spread^2", "of the training"),
            C(
                "closed_loop_pnl teacher_pnl",
                "tick x lot",
                "of sessions that it quotes itself",
                optional=True,
            ),
            C("closed_loop_gap", "share", "of the teacher's PnL that is missing", optional=True),
            C("seconds", "s", "since the training began"),
        ),
    ),
    Table(
        "heads",
        ("learn",),
        "a price a side, and a signal or the intercept",
        (
            C("offset", "ticks", "by which an order there betters the best price of its side"),
            C("signal", "", "of the order book, see `flowhft.features.book`; `intercept`"),
            C("fill", "logit a deviation", "weight for the probability of a fill"),
            C("edge", "unit a deviation", "weight for the edge of a fill"),
        ),
        note="A unit is the deviation of the move of the mid in a second (in the summary, in ticks).",
        read=("learn",),
    ),
    Table(
        "gate",
        ("learn",),
        "a side of the book",
        (
            C("side", "", "bid or ask"),
            C("fills", "", "of orders that heads chose which had not seen what became of them"),
            C(
                "promised",
                "moves",
                "mean edge of these fills by the heads, less the fee; of the mid in a second",
            ),
            C("edge", "moves", "mean edge that they had, less the fee, likewise"),
            C("error", "moves", "its standard error over blocks of time"),
            C("quoted", "", "whether the side is quoted: the edge exceeds one error"),
        ),
        read=("learn",),
    ),
    Table(
        "value",
        ("learn",),
        "a position",
        (
            C("position", "orders", "held"),
            C("value", "ticks x order", "what holding it is worth, against holding nothing"),
        ),
        read=("learn",),
    ),
    Table(
        "curve",
        ("train",),
        "some updates of the training",
        (
            C("update", "updates", "so far"),
            C("score", "mean over random scenarios: soft minimum of gains", "since the row before"),
            C("held_out_score", "the same on held-out scenarios, all dials of the table", "now and then"),
            C("gradient_norm", "1", "of the update"),
            C("seconds", "s", "since the training began"),
        ),
    ),
    Table(
        "held_out",
        ("train",),
        "a market, or `all`, and risk dial",
        (
            C("market", "", "preset"),
            C("dial", "1", "risk dial"),
            C("scenarios", "scenarios", "random ones that were not trained on"),
            C("pnl_ratio sharpe_ratio", "ratio to the best expert, median", "of the policy"),
            C("drawdown_ratio", "ratio to the expert with the smallest one, median", "of the policy"),
            C(
                "better_pnl better_sharpe better_drawdown better_all better_utility",
                "share of scenarios",
                "in which it is better",
            ),
            C(
                "won",
                "share of scenarios: better in utility among informed traders, in all three elsewhere",
                "what counts",
            ),
        ),
        note="An expert that earns less than half of what the best one earns in a scenario counts in utility "
        "alone.",
    ),
    Table(
        "curves",
        ("ppo",),
        "a scenario (or the number of scenarios that share an agent), seed and update",
        (
            SCENARIO,
            C("seed", "index", "of the training"),
            C("update", "updates", "so far"),
            C("episodes", "episodes seen", "so far"),
            C("episode_reward pnl", "tick x lot, exploring", "means over the update's episodes"),
            C("divergence", "nats, of the new policy from the old", "in the last pass"),
            C("clipped", "share of samples", "in the last pass", optional=True),
            C("entropy", "nats", "how much it still explores"),
            C("value_loss", "squared scaled reward", "of the critic", optional=True),
            C("explained_variance", "share of the variance of returns", "that the critic foresaw"),
            C("gradient_norm", "1", "before clipping", optional=True),
        ),
        read=("ppo",),
    ),
    Table(
        "seeds",
        ("ppo",),
        "a scenario and seed",
        (
            SCENARIO,
            C("seed", "index", "of the training"),
            C("reward", "tick x lot, validation, not exploring", "on validation paths"),
            C("reward_error", "tick x lot, standard error", "of the reward"),
            C("pnl", "tick x lot, validation, not exploring", "on validation paths"),
            C("pnl_error", "tick x lot, standard error", "of the PnL"),
            C("chosen", "true for the agent that was kept", "whether it was kept"),
        ),
        read=("ppo",),
    ),
    Table(
        "search",
        ("adapt",),
        "a candidate of the adaptation",
        (
            C("round", "", "turn, generation or update"),
            *_MAP,
            C("score", "criterion", "of the candidate", optional=True),
            C("difference", "criterion, paired, to the policy without adapter", "gain", interval=True),
            C("chosen", "", "whether it is the choice"),
            C("direction", "", "how it came about", optional=True),
            C("change", "", "root of the sum of squares of what was added to the last layer", optional=True),
        ),
        read=("adapt",),
    ),
    Table(
        "000-00",
        ("simulate",),
        "a path and step, every field of the observation and of the quote",
        (
            C("path step", "", "which"),
            C("time time_left", "s", "since the session began; left of it"),
            C("mid_price", "ticks from the session's first", "seen"),
            C("inventory", "lots", "held"),
            C("cash", "tick x lot", "held"),
            C(
                "arrivals_bid arrivals_ask intensity_bid intensity_ask filled_bid filled_ask",
                "",
                "seen",
                optional=True,
            ),
            C("half_spread_bid half_spread_ask", "ticks", "quoted"),
            C("size_bid size_ask", "", "quoted, in orders", optional=True),
            C("fill_bid fill_ask", "lots", "filled in the step"),
            C("spread_pnl inventory_pnl fee", "tick x lot", "of the step"),
        ),
        note="Of the first scenario and policy; the manifest's `summary.tables` names those of every file. "
        "With `--export-ticks` also `000-ticks-00000.npz` and so on, the market orders of each path as a "
        "[recording](recordings.md), and `000-ticks.toml`, the scenario in their ticks.",
    ),
)
