"""Tables of the three reproductions: the paper, the shipped policy, real recordings."""

from flowhft.runs.tables.evaluated import COSTS, WINDOWS
from flowhft.runs.tables.schema import POLICY, SCENARIO, Column, Table

C = Column
PAPER, LEARNED, REAL = ("reproduce paper",), ("reproduce learned",), ("reproduce real",)
_PRICE = "price units"
_EITHER = "price units; ratio for sharpe"
_POLICY = C("policy", "", "whose row it is")
_MARKET = C("market", "", "preset")
_ROLE = C("role", "", "in the line-up: learned, expert, fitted, oracle or baseline")
_RECORDING = C("recording", "", "which")
_OF_RECORDING = "currency of the recording"
_THREE = (
    C("pnl max_drawdown", _PRICE, "of a session"),
    C("sharpe", "ratio", "of a session"),
)
_WITH_INTERVAL = (
    C("pnl", _PRICE, "of a session", interval=True),
    C("sharpe", "ratio", "of a session", interval=True),
    C("max_drawdown", _PRICE, "of a session", interval=True),
)
_ENTRY = (
    SCENARIO,
    _POLICY,
    C("metric", "", "of the paper's three"),
    C("printed", _EITHER, "null where the paper prints nothing"),
    C("ours low high", _EITHER, "with the ends of its interval"),
    C("relative_error", "ratio", "(ours - printed) / printed"),
    C("covered", "ratio", "our interval, widened by the rounding of print, holds the printed number"),
    C("explained", "ratio", "it does so once the printed number has its own sampling error"),
    C("unexplained", "ratio", "relative error that rounding and sampling leave over"),
)


def _effect(metric: str, unit: str) -> tuple[Column, ...]:
    return (
        C(f"{metric}_as_run {metric}_mended", unit, "as run, and with one thing mended"),
        C(metric, unit, "mended minus as run, paired", interval=True),
    )


_EVALUATED = (
    _RECORDING,
    _POLICY,
    C("family rule", "", "what it is", optional=True),
    C("currency paths", "", "of money; sessions behind the row", optional=True),
    C("break_even_fee_bps", "bps", "fee at which nothing would have been earned; null without fills"),
    C("reference", "", "what differences are taken against"),
    C("difference drawdown_difference", _OF_RECORDING, "to the reference, paired", interval=True),
)

TABLES = (
    Table("comparison", PAPER, "a scenario, policy and metric", _ENTRY),
    Table(
        "agreement",
        PAPER,
        "a part (closed forms, policy, metric, table) and name",
        (
            C("part name", "", "what is summed up"),
            C("entries", "", "that the paper prints"),
            C("median ninetieth", "ratio", "percentiles of the relative error without its sign"),
            C("covered explained", "ratio", "shares of the entries"),
        ),
    ),
    Table(
        "contradictions",
        PAPER,
        "a failed check; a check that holds has one row that says nothing",
        (
            C("check rule", "", "what must hold"),
            C("entries", "", "that it was tried on"),
            C("scenario printed_policy metric", "", "where it fails"),
            C("says", "", "how"),
        ),
    ),
    Table(
        "unexplained",
        PAPER,
        "an entry of comparison that is furthest off",
        (*_ENTRY, C("reason", "", "that the numbers give")),
    ),
    Table(
        "effects",
        PAPER,
        "an effect and scenario",
        (
            C("effect", "", "what was mended"),
            SCENARIO,
            _POLICY,
            C("as_run mended", "", "in words"),
            C("paths", "", "sessions a side"),
            *_effect("pnl", _PRICE),
            *_effect("sharpe", "ratio"),
            *_effect("max_drawdown", _PRICE),
        ),
        note="PnL is that given the fills.",
    ),
    Table(
        "placing",
        PAPER,
        "a scenario and policy",
        (
            SCENARIO,
            _POLICY,
            C("pnl pnl_deviation", _PRICE, "of the policy"),
            C("frontier_pnl", _PRICE, "what the oracle earns with that deviation; null left of its curve"),
            C("below", _PRICE, "frontier_pnl less pnl"),
        ),
    ),
    Table(
        "cells",
        LEARNED,
        "a market, scenario and policy",
        (
            _MARKET,
            SCENARIO,
            *POLICY,
            _ROLE,
            C("paths", "", "sessions"),
            C("utility", _PRICE, "mean less a quarter of a standard deviation", interval=True),
        ),
        metrics=True,
    ),
    Table(
        "wins",
        LEARNED,
        "a market, scenario, learned policy, set of rivals and metric",
        (
            _MARKET,
            SCENARIO,
            _POLICY,
            C("against", "", "the set of rivals"),
            C("metric", "", "of the three, or utility"),
            C("rival", "", "the best of the set there"),
            C("ours theirs", _EITHER, "of the policy and of the rival"),
            C("gain low high", _EITHER, "paired, positive where ours is better"),
            C("better surely", "", "than every rival of the set; at the confidence of the intervals"),
        ),
        note="Experts that earn less than half of what the best earns are no rivals there, but in utility "
        "and in the set that says so; who stays at home never is.",
    ),
    Table(
        "counts",
        LEARNED,
        "a market, policy and set of rivals: wins, counted over cells",
        (
            _MARKET,
            _POLICY,
            C("against", "", "the set of rivals"),
            C("cells", "", "how many there are"),
            C("all_three all_three_surely", "", "in which all three metrics are better"),
            *(
                C(f"{metric} {metric}_surely", "", "in which it is better")
                for metric in ("pnl", "sharpe", "max_drawdown", "utility")
            ),
            C(
                "pnl_gain sharpe_gain max_drawdown_gain utility_gain",
                "ratio",
                "median gain relative to the rival's number",
            ),
        ),
    ),
    Table(
        "printed",
        LEARNED,
        "a scenario, learned policy, printed row and metric",
        (
            SCENARIO,
            _POLICY,
            C("row", "", "flow_pretrained or flow_finetuned"),
            C("metric", "", "of the paper's three"),
            C("printed ours low high", _EITHER, "printed; ours with its interval"),
            C("better surely", "", "than the number as printed; its interval too"),
        ),
    ),
    Table(
        "targets",
        LEARNED,
        "a target",
        (
            C("section name wanted", "", "what was aimed at"),
            C("found needed", "", "what was counted, and from where on it is hit"),
            C("of", "", "cells that were counted"),
            C("hit", "", "null where not all cells were judged"),
            C("misses", "", "cells that miss it"),
        ),
    ),
    Table(
        "misses",
        LEARNED,
        "a cell and metric of the targets in which the best expert is not beaten",
        (
            _MARKET,
            SCENARIO,
            C("metric rival", "", "in which, and by whom"),
            C("ours theirs gain low high", _EITHER, "by how much, paired"),
            C("reason", "", "that the numbers give"),
        ),
    ),
    Table(
        "trainings",
        LEARNED,
        "a market, scenario, policy and training",
        (
            _MARKET,
            SCENARIO,
            *POLICY,
            C("role", "", "in the line-up", optional=True),
            C("training", "", "0: the one that was named first"),
            C("paths", "", "sessions"),
            C(
                "all_three all_three_surely",
                "",
                "whether it is better than the best expert in all three metrics",
            ),
            C("useful useful_surely", "", "the same in utility"),
            *_THREE,
            C("utility", _PRICE, "of a session"),
            C("won won_surely", "", "by what counts in that market"),
        ),
    ),
    Table(
        "worth",
        LEARNED,
        "a market, scenario and policy, the best expert by utility among them",
        (
            _MARKET,
            SCENARIO,
            *POLICY,
            _ROLE,
            C("hurst_exponent paths", "", "of the price; sessions"),
            C("pnl spread_pnl inventory_pnl utility", _PRICE, "of a session"),
            C("drift_pnl", _PRICE, "lost without drift", interval=True),
            C("forecast_pnl forecast_utility", _PRICE, "lost without forecasts", interval=True),
            C("expert", "", "the best one"),
            C("expert_utility oracle_utility", _PRICE, "of the best expert, and of the oracle"),
            C("oracle_risk_aversion", "1 / (tick x lot)", "at which the oracle has it"),
            C("share", "", "of the gap between these two that is closed"),
        ),
    ),
    Table(
        "dial",
        LEARNED,
        "a scenario, policy and setting",
        (
            _MARKET,
            SCENARIO,
            *POLICY,
            C("dial", "", "the setting; the risk aversion of the oracle; null where there is none"),
            C("paths", "", "sessions"),
            *_WITH_INTERVAL,
            C("pnl_deviation", _PRICE, "of the PnL over sessions", interval=True),
            C(
                "quoting_ratio",
                "ratio",
                "share of the time with both sides quoted",
                optional=True,
                interval=True,
            ),
        ),
    ),
    Table(
        "dial_printed",
        LEARNED,
        "a scenario: the setting that beats most of the printed Finetuned row",
        (
            SCENARIO,
            C("dial", "", "the setting"),
            C("better", "", "in how many of the three"),
            C("worst", "ratio", "least relative margin"),
            C("pnl_printed max_drawdown_printed", _PRICE, "printed"),
            C("sharpe_printed", "ratio", "printed"),
            *_THREE,
        ),
    ),
    Table(
        "imitation",
        LEARNED,
        "an objective, number of evaluations, scenario and rival",
        (
            C("objective steps", "", "what imitates, and how many evaluations a quote it has"),
            SCENARIO,
            C("against", "", "the teacher, flow matching, or itself at the most evaluations"),
            C("paths", "", "sessions"),
            C(
                "pnl sharpe max_drawdown spread_pnl rms_inventory",
                "ratio",
                "difference relative to the rival's, paired",
                interval=True,
            ),
        ),
    ),
    Table(
        "studies",
        LEARNED,
        "a variant, sampler, seed and scenario",
        (
            C("study variant", "", "what is tried"),
            C("teacher instructors sessions features horizon objective", "", "how it learned"),
            C("steps execute noise_scale noise", "", "how it is asked for quotes"),
            C("seed scenario expert paths", "", "of the training; where; whom it is compared with; sessions"),
            C("latency_us", "us", "median time of a frozen decision, where it was measured", optional=True),
            *_THREE,
            C("utility", _PRICE, "of a session"),
            C("teacher_pnl teacher_max_drawdown teacher_utility", _PRICE, "of the teacher, told the cell"),
            C("teacher_sharpe", "ratio", "of the teacher, told the cell"),
        ),
    ),
    Table(
        "study_summaries",
        LEARNED,
        "a variant and sampler: means over cells and seeds",
        (
            C("study variant", "", "what is tried"),
            C("instructors horizon", "", "how it learned"),
            C("steps execute noise_scale noise", "", "how it is asked for quotes"),
            C("seeds", "", "trainings"),
            C("latency_us", "us", "median time of a frozen decision", optional=True),
            *_THREE,
            C("utility", _PRICE, "of a session"),
            C("pnl_spread max_drawdown_spread utility_spread", _PRICE, "standard deviation over seeds"),
            C("sharpe_spread", "ratio", "standard deviation over seeds"),
            C("pnl_share sharpe_share max_drawdown_share", "ratio", "relative to the teacher"),
        ),
    ),
    Table(
        "unseen",
        LEARNED,
        "a market, scenario that was never seen, and policy",
        (
            _MARKET,
            SCENARIO,
            *POLICY,
            _ROLE,
            C("paths", "", "sessions"),
            *_WITH_INTERVAL,
            C("pnl_deviation spread_pnl inventory_pnl", _PRICE, "of a session", interval=True),
            C("rms_inventory", "lots", "root mean square of the inventory", interval=True),
            C(
                "quoting_ratio",
                "ratio",
                "share of the time with both sides quoted",
                optional=True,
                interval=True,
            ),
            *(
                C(f"{metric}_gain", unit, "over the best expert, paired, positive where better", True, True)
                for metric, unit in (("pnl", _PRICE), ("sharpe", "ratio"), ("max_drawdown", _PRICE))
            ),
        ),
    ),
    Table(
        "sentences",
        (*LEARNED, *REAL),
        "a sentence that the numbers say",
        (C("section", "", "of the page"), C("sentence", "", "it")),
    ),
    Table(
        "recordings",
        REAL,
        "a recording",
        (
            _RECORDING,
            C("market currency", "", "what it is of"),
            C("seconds", "s", "long"),
            C("trades", "", "in it"),
            C("order", "of the base asset", "size of one of our orders"),
            C("dt session_seconds", "s", "between decisions; of a session"),
            C("sessions windows walked_sessions", "", "judged, and walked"),
        ),
    ),
    Table(
        "refusals",
        REAL,
        "a stage that could not be done",
        (_RECORDING, C("stage", "", "which"), C("reason", "", "why")),
    ),
    Table(
        "parameters",
        REAL,
        "a recording and parameter of the calibration of its first part",
        (
            _RECORDING,
            C("parameter", "", "which"),
            C("value standard_error low high", "", "in the unit of the row"),
            C("unit method", "", "of the value"),
            C("diagnostic", "", "how well it can be told", optional=True),
        ),
    ),
    Table("notes", REAL, "a warning of a calibration", (_RECORDING, C("note", "", "what it warns of"))),
    Table("judged", REAL, "a recording and policy: its unseen part", _EVALUATED, metrics=True),
    Table("walks", REAL, "a recording and policy: walking forward", _EVALUATED, metrics=True),
    Table("costs", REAL, "a recording, policy, fee and latency", (_RECORDING, *COSTS), read=("real",)),
    Table("windows", REAL, "a recording, window and policy", (_RECORDING, *WINDOWS), read=("real",)),
)
