"""What the tables come to, in plain words."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from flowhft.policies.rules.no_quote import NO_QUOTE
from flowhft.report.numbers import counted

SURE = "99\u00a0%"  # confidence of the intervals; a space at which no line is broken


def sentences_table(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return all sentences as the table `sentences`: section (judged, walks) and sentence; or nothing.

    Args:
        tables: from `flowhft.studies.real.findings`.
    """
    messages: list[tuple[str, str]] = []
    if "judged" in tables:
        messages.append(("judged", overall(tables["judged"], "On the unseen part")))
        messages += [("judged", text) for text in verdicts(tables["judged"], "on the unseen part")]
        messages.append(("judged", fees_sentence(tables["judged"])))
    if "walks" in tables:
        messages.append(("walks", overall(tables["walks"], "Walking forward")))
        messages += [("walks", text) for text in verdicts(tables["walks"], "walking forward")]
    return (
        {"sentences": pl.DataFrame(messages, schema=["section", "sentence"], orient="row")}
        if messages
        else {}
    )


def overall(evaluated: pl.DataFrame, where: str) -> str:
    """Return what all policies came to on all recordings, before fees.

    Args:
        evaluated: rows of recordings and policies (`flowhft.studies.real.findings`).
        where: what was judged, as in "On the unseen part".
    """
    evaluated = evaluated.filter(pl.col("rule") != NO_QUOTE)  # neither a gain nor a loss
    counts = counts_of(evaluated)
    gains, losses = (sum(row[name] for row in counts) for name in ("sure_gains", "sure_losses"))
    winners = [row["policy"] for row in counts if row["sure_gains"]]
    whose = f" ({', '.join(f'`{name}`' for name in winners)})" if winners else ""
    return (
        f"{where}, before fees: of {evaluated.height} judgements, {len(counts)} policies on "
        f"{counted(counts[0]['recordings'], 'recording')}, {gains} are gains at {SURE}{whose} and {losses} "
        "are losses."
    )


def verdicts(evaluated: pl.DataFrame, where: str) -> Iterator[str]:
    """Yield a sentence a policy: on how many recordings it earned, lost, or neither can be told.

    Args:
        evaluated: rows of recordings and policies (`flowhft.studies.real.findings`).
        where: what was judged, as in "on the unseen part".
    """
    for row in counts_of(evaluated.filter(pl.col("rule") != NO_QUOTE)):
        text = (
            f"`{row['policy']}` {where}: a gain before fees on {row['gains']} of "
            f"{counted(row['recordings'], 'recording')} ({row['sure_gains']} at {SURE}), a loss on "
            f"{row['losses']} ({row['sure_losses']} at {SURE})"
        )
        if row["better"] is not None:
            text += (
                f"; against `{row['reference']}` better on {row['better']} and worse on {row['worse']} at "
                f"{SURE}, paired"
            )
        yield text + "."


def counts_of(evaluated: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one row a policy: on how many recordings it gained, lost, was better and worse.

    Args:
        evaluated: rows of recordings and policies.

    Returns:
        policy, reference, recordings, gains, sure_gains, losses, sure_losses; better and worse than the
        reference, as surely (None for the reference itself). What is sure has its interval on one side of 0;
        who stays at home has neither gains nor losses.
    """
    results = []
    for (policy,), rows in evaluated.group_by("policy", maintain_order=True):
        gains = rows.filter(pl.col("pnl") > 0.0).height
        traded = rows.filter(pl.col("rule") != NO_QUOTE).height
        other = policy != rows["reference"][0]
        results.append(
            {
                "policy": policy,
                "reference": rows["reference"][0],
                "recordings": evaluated["recording"].n_unique(),
                "gains": gains,
                "sure_gains": rows.filter(pl.col("pnl_low") > 0.0).height,
                "losses": traded - gains,
                "sure_losses": rows.filter(pl.col("pnl_high") < 0.0).height,
                "better": rows.filter(pl.col("difference_low") > 0.0).height if other else None,
                "worse": rows.filter(pl.col("difference_high") < 0.0).height if other else None,
            }
        )
    return results


def fees_sentence(evaluated: pl.DataFrame) -> str:
    """Return what fee the policies could have paid, at best."""
    known = evaluated.filter(pl.col("break_even_fee_bps").is_not_null())
    if known.height == 0:
        return "No policy traded."
    best = known.sort("break_even_fee_bps", descending=True).row(0, named=True)
    above = known.filter(pl.col("break_even_fee_bps") > 1.0).height
    return (
        f"The highest maker fee at which anything would have been left is {best['break_even_fee_bps']:.2f} "
        f"basis points (`{best['policy']}` on {best['recording']}); {above} of {known.height} could have "
        "paid 1 basis point."
    )
