"""What a person should know of a stage while it runs: warnings, in one line each."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from flowhft.errors import UsageError
from flowhft.scenarios.scenario import MOST_LOST, Scenario
from flowhft.stages.stage import Listener


def note_losses(scenarios: Iterable[Scenario], listener: Listener) -> None:
    """Say it where a step loses a notable share of the orders that would fill a quote at 1 / k.

    Args:
        scenarios: that are to be simulated.
        listener: is told in one line, if there is something to tell.
    """
    scenarios = list(scenarios)
    lossy = [scenario for scenario in scenarios if scenario.lost_share() > MOST_LOST]
    if not lossy:
        return
    worst = max(lossy, key=Scenario.lost_share)
    many = f"{len(lossy)} of {len(scenarios)} scenarios" if len(scenarios) > 1 else f"scenario {worst.name}"
    listener.note(
        f"warning: one lot a side and step: in {many}, more than {MOST_LOST:.0%} of the orders that reach a "
        f"quote at 1 / k find it filled ({worst.lost_share():.0%} in {worst.name}). "
        "A smaller dt loses fewer, refill = true none."
    )


def note_edges(candidates: pl.DataFrame, option: str, listener: Listener) -> None:
    """Say it where the risk aversion that was chosen is the lowest or the highest that was tried.

    Args:
        candidates: the table of candidates.
        option: that says which are tried.
        listener: is told in one line, if there is something to tell.
    """
    from flowhft.learn.select import at_the_edge

    scenarios = candidates["scenario"].n_unique()
    for count, end, beyond in zip(
        at_the_edge(candidates), ("lowest", "highest"), ("lower", "higher"), strict=True
    ):
        if count:
            listener.note(
                f"warning: in {count} of {scenarios} scenarios the best risk aversion is the {end} that was "
                f"tried; a {beyond} one may be better still (`{option}`)."
            )


def note_silence(card: dict[str, Any], listener: Listener) -> None:
    """Say which teachers were never filled: from them only silence can be learned.

    Raises:
        UsageError: nobody was filled anywhere.
    """
    silent = card["never_filled"]
    if not silent:
        return
    first = silent[0]
    where = f"{first['expert']} with risk aversion {first['risk_aversion']:g} in '{first['scenario']}'"
    fix = (
        "Lower the risk aversions (`--teachers.risk-aversions`), choose by another criterion, or leave the "
        "scenario out."
    )
    if all(row["fills_a_session"] == 0.0 for row in card["teachers"]):
        raise UsageError(
            f"`teachers` must trade; received {where}, which nobody filled, nor any other. {fix}"
        )
    more = f", and {len(silent) - 1} more teachers (see the card)" if len(silent) > 1 else ""
    listener.note(
        f"warning: no order of {where} was filled in {first['paths']:,} sessions{more}: only silence can be "
        f"learned from them. {fix}"
    )
