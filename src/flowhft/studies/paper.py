"""The numbers that the FlowHFT paper prints in its Tables 1 to 6, as they are printed.

Source: Yang Li, Zhi Chen, Steve Yang, "FlowHFT: Imitation Learning via Flow Matching Policy for Optimal
High-Frequency Trading under Diverse Market Conditions", arXiv:2505.05784, 2025. The caption of Table 1 says
that each method was tested in a million trials; no error is printed beside any number.
"""

from importlib import resources

import polars as pl

TRIALS = 1_000_000  # of each method, says the caption of Table 1
# Half a unit of the last digit. Numbers printed with one decimal are one in nine, as are those whose second
# one is zero: trailing zeros were dropped, and two decimals are what everything is rounded to.
ROUNDING = 0.005
METRICS = ("pnl", "sharpe", "max_drawdown")

# The experts that quote as the paper's closed forms did -> what the paper calls them.
CLOSED_FORMS = {
    "white_noise": "white_noise",
    "avellaneda_stoikov_as_run": "avellaneda_stoikov",
    "glft_as_run": "glft",
    "glft_drift_as_run": "glft_drift",
}
PPO = "ppo"
FLOW_POLICIES = ("flow_pretrained", "flow_finetuned")


def printed_tables() -> pl.DataFrame:
    """Return every printed row of Tables 1 to 6.

    Returns:
        Columns table (1 to 6), scenario (T1.HH to T6.LL), policy (the paper's name: a value of
        `CLOSED_FORMS`, `PPO` or one of `FLOW_POLICIES`), pnl and max_drawdown in price units, sharpe per
        session.
    """
    with resources.as_file(resources.files("flowhft.studies") / "paper_tables.csv") as path:
        rows = pl.read_csv(path)
    return rows.with_columns(pl.format("T{}.{}", "table", "cell").alias("scenario")).select(
        "table", "scenario", "policy", *METRICS
    )
