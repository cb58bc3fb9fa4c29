"""The verdict in words: from tables of results to sentences that claim no more than the tables show.

A difference is *better* or *worse* only if its whole interval lies on one side of zero; otherwise the two
policies cannot be told apart, and no sentence calls that a win.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import polars as pl

from flowhft.metrics.table import CONFIDENCE, METRICS
from flowhft.report import numbers
from flowhft.report.evidence import Evidence, competes, is_expert
from flowhft.types import Interval

Outcome = Literal["better", "worse", "even", "unknown"]
LEVEL = numbers.share(CONFIDENCE)

# Names of the scenario that the market was calibrated to, among perturbations of it.
CENTRES = ("centre", "center", "calibrated", "base")


def outcome(metric: str, difference: Interval) -> Outcome:
    """Judge a difference, policy minus reference, by its interval and by what is good in this metric."""
    if not all(math.isfinite(number) for number in difference):
        return "unknown"
    direction = METRICS[metric].direction
    if difference.low <= 0.0 <= difference.high or direction == 0:
        return "even"
    return "better" if (difference.low > 0.0) == (direction > 0) else "worse"


def interval_in(row: dict[str, Any], metric: str) -> Interval:
    """Return a metric of a row with its interval; what is not there is NaN."""
    results = (row.get(f"{metric}{end}") for end in ("", "_low", "_high"))
    return Interval(*(math.nan if number is None else float(number) for number in results))


def centre_of(results: pl.DataFrame) -> str:
    """Return the scenario that stands for the calibrated market: the one so named, else the first."""
    names = results["scenario"].unique(maintain_order=True).to_list()
    return next((name for name in names if name in CENTRES), names[0])


def best_expert(results: pl.DataFrame, scenario: str) -> str | None:
    """Return who of the experts that trade has the highest PnL in a scenario, in hindsight, if any does."""
    rows = [
        row
        for row in results.filter(pl.col("scenario") == scenario).iter_rows(named=True)
        if is_expert(row) and competes(row) and numbers.known(row["pnl"])
    ]
    return max(rows, key=lambda row: row["pnl"])["policy"] if rows else None


def _select(table: pl.DataFrame | None, **values: str) -> dict[str, Any] | None:
    if table is None:
        return None
    for name, value in values.items():
        table = table.filter(pl.col(name) == value)
    return next(table.iter_rows(named=True), None)


def compared(
    policy: str, reference: str, where: str, difference: Interval, unit: str, stays_out: bool = False
) -> str:
    """Say in one sentence who earned more, by how much and how surely.

    Args:
        policy: whose PnL is judged.
        reference: what it is compared with.
        where: for example "on the unseen 30 min of BTCUSDT".
        difference: of PnL, policy minus reference, with its interval.
        unit: of the PnL.
        stays_out: whether none of the policy's orders was filled: to lose nothing is not to win.
    """
    value, low, high = numbers.together(*difference)
    if stays_out:
        policy = f"{policy}, which stays out,"
    measured = f"PnL difference {numbers.with_unit(value, unit)}, {LEVEL} interval {low} to {high}"
    match outcome("pnl", difference):
        case "better":
            return f"{policy} beats {reference} {where} ({measured})."
        case "worse":
            return f"{policy} does not beat {reference} {where}: it earns less ({measured})."
        case "even":
            return f"{policy} does not beat {reference} {where}: the two cannot be told apart ({measured})."
        case _:
            sure = f"PnL difference {numbers.with_unit(value, unit)}, without an interval"
            return f"Whether {policy} beats {reference} {where} cannot be said ({sure})."


def whether_it_earns(policy: str, where: str, pnl: Interval, currency: str) -> str:
    """Say that a policy loses money, or may lose it; empty where it surely earns, or nothing is known.

    To be better than others is not to be good.
    """
    if pnl == (0.0, 0.0, 0.0):
        return f"None of the orders of {policy} was filled {where}: it neither earns nor loses."
    if not all(math.isfinite(number) for number in pnl) or pnl.low > 0.0:
        return ""
    value, low, high = numbers.together(*pnl)
    measured = f"PnL {value} {currency} a session, {LEVEL} interval {low} to {high}"
    if pnl.high < 0.0:
        return f"{policy} loses money {where} ({measured})."
    return f"Whether {policy} earns anything at all {where} cannot be said ({measured})."


def why_it_quotes(policy: str, row: dict[str, Any], maker: dict[str, Any]) -> str:
    """Say how many of its decisions a policy that sees the order book quoted, and why; empty if not known.

    Args:
        policy: its name.
        row: of results, with its quoting ratio.
        maker: what is known of its training (`flowhft.stages.policies.makers_in`).
    """
    gates, ratio = maker.get("gate") or [], row.get("quoting_ratio")
    if not gates or ratio is None or not numbers.known(ratio):
        return ""
    recordings = numbers.counted(len(maker.get("learned_from") or {}), "recording")
    told = []
    for gate in gates:
        if gate["edge"] is None:
            told.append(f"no {gate['side']} was worth sending")
            continue
        measured = f"{numbers.significant(gate['edge'])} +- {numbers.significant(gate['error'])}"
        told.append(
            f"{numbers.counted(gate['fills'], gate['side'])} that it would have sent earned {measured} moves "
            "of the mid in a second each"
        )
    if not any(gate["fills"] for gate in gates):
        told = ["no order was worth sending"]
    open_sides = [gate["side"] for gate in gates if gate["quoted"]]
    verdict = {
        0: "so while it holds nothing it quotes neither side",
        1: f"so while it holds nothing it quotes the {(open_sides or [''])[0]} alone",
        2: "so both sides are open, and the book of the moment decides",
    }[len(open_sides)]
    return (
        f"{policy} saw the order book and quoted in {numbers.share(float(ratio))} of its decisions. On the "
        f"{recordings} that it learned from, {' and '.join(told)}; {verdict}."
    )


def beside_pnl(row: dict[str, Any], currency: str) -> str:
    """Say what the same comparison shows in Sharpe ratio and drawdown; empty where nothing is known."""
    words = {"better": "better", "worse": "worse", "even": "cannot be told apart"}
    parts = []
    for metric, title in (("sharpe", "Sharpe ratio"), ("max_drawdown", "max drawdown")):
        difference = interval_in(row, metric)
        if (evaluated := outcome(metric, difference)) in words:
            value, low, high = numbers.together(*difference)
            measured = numbers.with_unit(value, numbers.unit_of(metric, currency))
            parts.append(
                f"{title} {words[evaluated]} (difference {measured}, {LEVEL} interval {low} to {high})"
            )
    return f"Beside PnL, {row['policy']} against {row['reference']}: {'; '.join(parts)}." if parts else ""


def on_recording(
    results: pl.DataFrame, differences: pl.DataFrame | None, learned: str | None, where: str, currency: str
) -> Iterator[str]:
    """Say who won on a recording, first of all whether the learned policy beats the best expert.

    Args:
        results: one row a policy; a single scenario, the recording's part.
        differences: paired, policy minus reference.
        learned: the policy that is judged, or None where only experts ran.
        where: for example "on the unseen 30 min of BTCUSDT".
        currency: of money.
    """
    yield from _evaluated(results, differences, learned, centre_of(results), where, currency)


def _evaluated(
    results: pl.DataFrame,
    differences: pl.DataFrame | None,
    learned: str | None,
    scenario: str,
    where: str,
    currency: str,
) -> Iterator[str]:
    best = best_expert(results, scenario)
    ours = _select(results, scenario=scenario, policy=learned) if learned else None
    if ours is None:
        if best is not None:
            won = interval_in(_select(results, scenario=scenario, policy=best) or {}, "pnl")
            value, low, high = numbers.together(*won)
            measured = f"PnL {value} {currency} a session, {LEVEL} interval {low} to {high}"
            verb = "earns the most" if won.value > 0.0 else "loses the least"
            yield f"Of the experts, {best} {verb} {where} ({measured})."
            yield "No learned policy was judged."
        return
    name = str(learned)
    references = [row for row in _rows(differences, scenario, name) if row["reference"] != name]
    # The best expert in hindsight is the hardest of them; where it was not paired, the reference has to do.
    chosen = next(
        (row for row in references if row["reference"] == best), references[0] if references else None
    )
    if chosen is not None:
        against = str(chosen["reference"])
        difference, unit = interval_in(chosen, "pnl"), f"{currency} a session"
        sentence = compared(name, against, where, difference, unit, ours.get("fills") == 0.0)
    else:
        against = ""
        earned = numbers.with_interval(interval_in(ours, "pnl"), f"{currency} a session")
        sentence = f"{name} earns {earned} {where}."
    hindsight = ""
    if best is not None and best != against:
        top = interval_in(_select(results, scenario=scenario, policy=best) or {}, "pnl").value
        mine, theirs = numbers.together(ours["pnl"], top)
        if not numbers.known(ours["pnl"]) or ours["pnl"] <= top:
            yield (
                f"{name} does not beat {best}, the best expert {where} in hindsight: it earned {mine} "
                f"{currency} a session against {theirs} (no interval for this pair)."
            )
        else:
            hindsight = (
                f"The best expert there in hindsight, {best}, earned {theirs} {currency} a session against "
                f"{mine} of {name} (no interval for this pair)."
            )
    yield sentence
    if hindsight:
        yield hindsight
    if doubt := whether_it_earns(name, where, interval_in(ours, "pnl"), currency):
        yield doubt
    if chosen is not None and (beside := beside_pnl(chosen, currency)):
        yield beside


def _rows(differences: pl.DataFrame | None, scenario: str, policy: str) -> list[dict[str, Any]]:
    if differences is None:
        return []
    return differences.filter((pl.col("scenario") == scenario) & (pl.col("policy") == policy)).to_dicts()


def in_simulation(
    results: pl.DataFrame, differences: pl.DataFrame | None, learned: str | None, currency: str
) -> Iterator[str]:
    """Say who won in the calibrated market, and in how many of its perturbations.

    Args:
        results: one row a scenario and policy.
        differences: paired, policy minus reference.
        learned: the policy that is judged, or None where only experts ran.
        currency: of money.
    """
    centre = centre_of(results)
    scenarios = results["scenario"].n_unique()
    where = f"in {_sessions(results, centre)} of the scenario {centre}"
    yield from _evaluated(results, differences, learned, centre, where, currency)
    if differences is None or learned is None or scenarios < 2:
        return
    ours = differences.filter((pl.col("policy") == learned) & (pl.col("reference") != learned))
    for (reference,), rows in ours.group_by("reference", maintain_order=True):
        evaluated = [outcome("pnl", interval_in(row, "pnl")) for row in rows.iter_rows(named=True)]
        won, lost = evaluated.count("better"), evaluated.count("worse")
        rest = len(evaluated) - won - lost
        yield (
            f"Over all {len(evaluated)} simulated scenarios, {learned} earns more than {reference} in {won}, "
            f"less in {lost}, and cannot be told apart from it in {rest} (each by its own {LEVEL} interval)."
        )


def _sessions(results: pl.DataFrame, scenario: str) -> str:
    row = _select(results, scenario=scenario) or {}
    return f"{numbers.count(row['paths'])} simulated sessions" if row.get("paths") else "simulated sessions"


def unseen_part(evidence: Evidence) -> str:
    """Return where a backtest happened, as it stands in a sentence."""
    recording = evidence.record("recording/recording")
    name = recording.get("symbol") or recording.get("name")
    if name and recording.get("unseen_seconds"):
        return f"on the unseen {numbers.duration(recording['unseen_seconds'])} of {name}"
    return f"on the recording of {name}" if name else "on the recording"


def recording_facts(recording: dict[str, Any]) -> Iterator[str]:
    """Say what data stood behind the result."""
    if not recording:
        return
    name = recording.get("symbol") or recording.get("name") or "The recording"
    venue = f" on {recording['venue']}" if recording.get("venue") else ""
    size = f"{numbers.duration(recording.get('seconds'))}"
    if recording.get("events") is not None:
        size += f", {numbers.count(recording['events'])} events"
    if recording.get("trades") is not None:
        size += f", {numbers.count(recording['trades'])} trades"
    split = ""
    if recording.get("learn_seconds") and recording.get("unseen_seconds"):
        split = (
            f"; the first {numbers.duration(recording['learn_seconds'])} to learn from, "
            f"the last {numbers.duration(recording['unseen_seconds'])} kept unseen"
        )
    yield f"Data: {name}{venue}, {size}{split}."


def _bounded(margins: pl.DataFrame) -> str:
    """Return how the exact optimum stands against every other policy, on its own objective."""
    above = margins.filter(pl.col("margin_low") > 0.0).height
    below = margins.filter(pl.col("margin_high") < 0.0).height
    compared = numbers.counted(margins.height, "comparison")
    return (
        f"On its own objective {margins['against'][0]} is better in {above} of {compared}, cannot be told "
        f"apart in {margins.height - above - below}, and is worse in {below}."
    )


def _selected(choices: pl.DataFrame) -> str:
    """Return who was chosen how often, and how often that is no more than a tie."""
    chosen = choices.group_by("expert").agg(times=pl.len(), ties=pl.col("tie").sum())
    often = [
        f"{row['expert']} was chosen in {numbers.count(row['times'])}"
        + (f" ({numbers.counted(row['ties'], 'tie')})" if row["ties"] else "")
        for row in chosen.sort(["times", "expert"], descending=[True, False]).iter_rows(named=True)
    ]
    return f"Of {numbers.counted(choices.height, 'scenario')}, {', '.join(often)}."


def _tuned(tuning: pl.DataFrame) -> str:
    """Return in how many cases tuning helps on fresh sessions."""
    better = tuning.filter(pl.col("fresh_low") > 0.0).height
    pairs = numbers.counted(tuning.height, "pair")
    return f"Tuning gains beyond chance on fresh sessions in {better} of {pairs} of expert and scenario."


def _measured(parameters: dict[str, dict[str, Any]]) -> str:
    known = sum(numbers.known(result.get("value")) for result in parameters.values())
    sure = sum(numbers.known(result.get("standard_error")) for result in parameters.values())
    each = "each with its uncertainty" if sure == known else f"{sure} of them with their uncertainty"
    rest = f"; {len(parameters) - known} more the recording cannot carry" if known < len(parameters) else ""
    return f"The market was measured: {known} parameters, {each}{rest}."


def _seen(results: pl.DataFrame, evidence: Evidence) -> Iterator[str]:
    """Say why the policy that the report is about quoted as often as it did, where it saw the order book."""
    name = evidence.learned
    maker = (evidence.record("backtest/backtest").get("makers") or {}).get(name)
    row = _select(results, policy=str(name))
    if maker and row and (sentence := why_it_quotes(str(name), row, maker)):
        yield sentence


def headline(evidence: Evidence) -> list[str]:
    """Return what was learned, in plain words, the most important sentence first.

    The judgement on the recording comes before the one in simulation, since it is the harder one.
    """
    currency = evidence.currency
    sentences: list[str] = []
    backtest = evidence.table("backtest/results")
    if backtest is not None:
        differences = evidence.table("backtest/differences")
        sentences += on_recording(backtest, differences, evidence.learned, unseen_part(evidence), currency)
        sentences += _seen(backtest, evidence)
    simulated = evidence.table("evaluate/results")
    if simulated is not None:
        sentences += in_simulation(
            simulated, evidence.table("evaluate/differences"), evidence.learned_in("evaluate"), currency
        )
    if not sentences and (parameters := evidence.record("calibrate/calibration").get("parameters")):
        sentences.append(_measured(parameters))
    verdicts = evidence.table("resemble/resemblance_verdicts")
    if not sentences and verdicts is not None:
        differ = verdicts.filter(~pl.col("resembles")).height
        sentences.append(
            f"The simulated market differs from the recording in {differ} of {verdicts.height} stylised "
            "facts."
        )
    if not sentences and evidence.curves:
        sentences.append(f"A policy was trained by {', '.join(evidence.curves)}; it has not been judged yet.")
    choices = evidence.table("demonstrate/choices")
    if not sentences and choices is not None:
        sentences.append(_selected(choices))
    tuning = evidence.table("tune/tuning")
    if not sentences and tuning is not None:
        sentences.append(_tuned(tuning))
    margins = evidence.table("frontier/margins")
    if not sentences and margins is not None:
        sentences.append(_bounded(margins))
    sentences += recording_facts(evidence.record("recording/recording"))
    if backtest is not None:
        sentences.append(
            "One recording is one stretch of one day: its intervals say how sure a result is there, not "
            "elsewhere."
        )
    return sentences or ["This run holds nothing that can be judged yet."]
