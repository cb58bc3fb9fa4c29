"""What the numbers say, in sentences: none of them is written down in advance."""

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from flowhft.learn.regime.baselines import by_utility
from flowhft.metrics.table import CONFIDENCE
from flowhft.report.numbers import exact, share, significant
from flowhft.studies.learned.lineup import OURS, PLAIN, PPO, PRETRAINED, TUNED
from flowhft.studies.learned.repeats import chance_of, often_missed, repeat_counts
from flowhft.studies.learned.summaries import against, relative_of, seeds_of
from flowhft.studies.learned.targets import AT_ONCE, FAITHFUL, FINETUNED, HOW_LEARNED, surely_apart
from flowhft.studies.learned.wins import AGAINST_ITSELF, AGAINST_TEACHER, EXPERTS

WORDS = {"pnl": "PnL", "sharpe": "Sharpe ratio", "max_drawdown": "drawdown", "utility": "utility"}
WORDY = ("cell", "market", "policy", "against", "variant", "rival", "noise")  # columns of words, not numbers
TITLES = {
    PRETRAINED: "the pretrained flow policy",
    PLAIN: "the plain network",
    PPO: "PPO",
    TUNED: "tuned experts",
}
HARD = "T1.LL"  # the cell whose printed Finetuned row was never reached with one setting


def sentences_of(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return every sentence with the section that it belongs to.

    Args:
        tables: of the page, those that are there.
    """
    results = [
        (section, sentence)
        for section, table, write in (
            ("cells", "counts", _cells),
            ("trainings", "trainings", _trainings),
            ("cells", "printed", _printed),
            ("worth", "worth", _worth),
            ("dial", "dial_printed", _dial),
            ("imitation", "imitation", _imitation),
            ("ablations", "studies", _ablations),
            ("scaling", "studies", _scaling),
            ("objectives", "studies", _objectives),
            ("observation", "studies", _observation),
            ("chunks", "studies", _chunks),
            ("unseen", "unseen", _unseen),
        )
        if table in tables and tables[table].height
        for sentence in write(tables[table])
    ]
    return pl.DataFrame(results, schema={"section": pl.String, "sentence": pl.String}, orient="row")


def _cells(counts: pl.DataFrame) -> Iterator[str]:
    for (market,), rows in counts.group_by("market", maintain_order=True):
        by = {(row["policy"], row["against"]): row for row in rows.iter_rows(named=True)}
        if row := by.get((OURS, EXPERTS)):
            sentence = (
                f"In the {market} market {OURS} is better than the best expert in PnL, Sharpe ratio and "
                f"drawdown at once in {row['all_three']} of {row['cells']} cells "
                f"({row['all_three_surely']} at 99 %), and in utility in {row['utility']} "
                f"({row['utility_surely']} at 99 %)"
            )
            if market != "informed":  # there the best expert may hardly trade: its PnL is no measure
                sentence += (
                    f"; median gain {_gain(row['pnl_gain'])} PnL, {_gain(row['sharpe_gain'])} Sharpe ratio, "
                    f"{_gain(-row['max_drawdown_gain'])} drawdown"
                )
            yield sentence + "."
        for rival in (PRETRAINED, PLAIN, TUNED, PPO):
            if row := by.get((OURS, rival)):
                sentence = (
                    f"Against {TITLES[rival]} there: utility better in {row['utility']} of {row['cells']} "
                    f"cells ({row['utility_surely']} at 99 %), all three metrics in {row['all_three']}"
                )
                if rival == PLAIN:
                    sentence += _tie(row, by[PLAIN, OURS])
                yield sentence + "."


def _trainings(repeats: pl.DataFrame) -> Iterator[str]:
    for (market,), rows in repeat_counts(repeats).group_by("market", maintain_order=True):
        what = f"in {WORDS['utility']}" if by_utility(str(market)) else "in all three metrics"
        won: dict[str, list[int]] = {}
        for (policy,), part in rows.group_by("policy", maintain_order=True):
            result = won[str(policy)] = part["won"].to_list()
            here = repeats.filter((pl.col("market") == market) & (pl.col("policy") == policy))
            sentence = (
                f"{str(market).capitalize()} market, {policy}, {len(result)} training"
                f"{'s' if len(result) > 1 else ''}: better than the best expert {what} in "
                f"{', '.join(map(str, result))} of {part['cells'][0]} cells, "
                f"{np.mean(part['won_surely'].to_numpy()):.1f} of them at {share(CONFIDENCE)} on average"
            )
            if missed := often_missed(here, "won"):
                shown = (f"{cell} ({times})" for cell, times in missed)
                sentence += f"; missed, with by how many trainings: {', '.join(shown)}"
            yield sentence + "."
        if OURS in won and PLAIN in won:
            yield _apart(won[OURS], won[PLAIN])


def _apart(ours: list[int], control: list[int]) -> str:
    """Set the trainings of the policy against those of its control."""
    means = f"Means over trainings there: {OURS} {np.mean(ours):.1f}, {PLAIN} {np.mean(control):.1f} cells"
    if min(len(ours), len(control)) < 2:
        return f"{means}."
    chance = chance_of(ours, control)
    if chance > 1.0 - CONFIDENCE:
        return f"{means}: not told apart by these trainings (p = {chance:.2g})."
    better = OURS if np.mean(ours) > np.mean(control) else "the control"
    return f"{means}: {better} is better (p = {chance:.2g})."


def _tie(row: Mapping[str, float], turned: Mapping[str, float]) -> str:
    """Say whether a control does as well: clear wins either way, cell by cell."""
    won, lost = row["utility_surely"], turned["utility_surely"]
    if won > 2 * lost:
        return f" (worse at 99 % in {lost}): the flow base is worth having"
    if lost > 2 * won:
        return f" (worse at 99 % in {lost}): the plain network is better"
    return f" (worse at 99 % in {lost}): the same adaptation of a plain network does as well"


def _printed(printed: pl.DataFrame) -> Iterator[str]:
    rows = printed.filter((pl.col("policy") == OURS) & (pl.col("row") == FINETUNED))
    if not rows.height:
        return
    won = rows.group_by("scenario", maintain_order=True).agg(pl.col("better").all())["better"]
    short = [
        f"{part.height} in {WORDS[str(metric)]} ({', '.join(part['scenario'].to_list())})"
        for (metric,), part in rows.filter(~pl.col("better")).group_by("metric", maintain_order=True)
    ]
    yield (
        f"Against the printed Finetuned row: all three metrics better in {int(won.sum())} of {len(won)} cells"
        + (f"; short of it are {', '.join(short)}." if short else ".")
    )


def _worth(worth: pl.DataFrame) -> Iterator[str]:
    for (market,), rows in worth.filter(pl.col("policy") == OURS).group_by("market", maintain_order=True):
        flat = rows.filter(pl.col("hurst_exponent") == 0.5)
        rough = rows.filter(pl.col("hurst_exponent") != 0.5)
        for part, words in ((flat, "without memory of the price"), (rough, "with memory (H 0.2, 0.8)")):
            if not part.height:
                continue
            pnl, drift, forecast = (_mean(part[name]) for name in ("pnl", "drift_pnl", "forecast_pnl"))
            spread = _mean(part["spread_pnl"])
            closed = float(np.nanmedian(part["share"].cast(pl.Float64).to_numpy()))
            sentence = (
                f"{market.capitalize()} market, the {part.height} cells {words}: of a mean PnL of "
                f"{significant(pnl)}, spread income is {significant(spread)} and what the inventory earned "
                f"{significant(pnl - spread)}; without any drift the same policy earns {_less(drift)}, and "
                f"without features that tell where the price goes {_less(forecast)}"
            )
            if np.isfinite(closed):
                sentence += (
                    f"; it closes {100.0 * closed:.0f} % (median) of the gap in utility between the best "
                    "expert and the oracle"
                )
            yield sentence + "."


def _dial(reached: pl.DataFrame) -> Iterator[str]:
    all_three = reached.filter(pl.col("better") == 3).height
    yield (
        "With the dial set per cell, all three numbers of the printed Finetuned row are beaten in "
        f"{all_three} of {reached.height} cells."
    )
    for row in reached.filter(pl.col("scenario") == HARD).iter_rows(named=True):
        numbers = ", ".join(
            f"{WORDS[name]} {significant(row[name])} (printed {row[f'{name}_printed']:g})"
            for name in ("pnl", "sharpe", "max_drawdown")
        )
        verdict = "is reached" if row["better"] == 3 else f"is not reached: {row['better']} of 3 at best"
        yield f"{HARD} {verdict}, at dial {exact(row['dial'])}: {numbers}."


def _imitation(imitation: pl.DataFrame) -> Iterator[str]:
    keys = ("objective", "steps", "against")
    for (objective, steps, rival), rows in imitation.group_by(*keys, maintain_order=True):
        policy = f"{objective} with {steps} evaluation{'s' if steps != 1 else ''}"
        within = FAITHFUL if rival == AGAINST_TEACHER else AT_ONCE
        whom = {AGAINST_TEACHER: "its teacher", AGAINST_ITSELF: "itself at the most evaluations"}
        apart = surely_apart(rows, within)
        yield (
            f"{policy} against {whom.get(str(rival), 'flow matching at the most evaluations')}: at most "
            + ", ".join(
                f"{100.0 * float(np.max(np.abs(rows[name].to_numpy()))):.1f} % in {WORDS[name]}"
                for name in ("pnl", "sharpe", "max_drawdown")
            )
            + f" over {rows.height} cells; further than {100.0 * within:g} % beyond chance (99 %) in {apart}."
        )


def _ablations(studies: pl.DataFrame) -> Iterator[str]:
    for variant, row in against(studies, "ablations").items():
        yield (
            f"Learned from {variant}: PnL {_gain(row['pnl'])}, Sharpe ratio {_gain(row['sharpe'])} and "
            f"drawdown {_gain(row['max_drawdown'])} against its teacher (mean over cells and "
            f"{row['seeds']} seeds)."
        )


def _scaling(studies: pl.DataFrame) -> Iterator[str]:
    rows = studies.filter(pl.col("study") == "scaling")
    if not rows.height:
        return
    for kind in ("growing", "fixed"):
        part = rows.filter(pl.col("variant").str.contains(kind))
        numbers = part["instructors"].to_list()
        few, many = min(numbers, default=0), max(numbers, default=0)
        if part.height and few != many:
            one, all_of_them = (
                seeds_of(part.filter(pl.col("instructors") == n), "utility") for n in (few, many)
            )
            gain, error = _difference(all_of_them, one)
            verdict = (
                "more instructors help" if gain > error else "no help that the seeds could tell from chance"
            )
            if gain < -error:
                verdict = "more instructors hurt"
            yield (
                f"From {few} to {many} instructors at {kind} data the mean utility changes by "
                f"{significant(gain)} ± {significant(error)}: {verdict}."
            )


def _difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the difference of two means over seeds, paired, and half its 99 % interval (Student's t)."""
    from scipy.stats import t

    difference = one - other
    if len(difference) < 2:
        return float(np.mean(difference)), float("inf")
    error = float(np.std(difference, ddof=1)) / len(difference) ** 0.5
    return float(np.mean(difference)), float(t.ppf(0.995, len(difference) - 1)) * error


def _objectives(studies: pl.DataFrame) -> Iterator[str]:
    rows = studies.filter(pl.col("study") == "objectives")
    if not rows.height:
        return
    fine = rows.filter((pl.col("objective") == "flow_matching") & (pl.col("steps") == rows["steps"].max()))
    for name in ("rectified", "shortcut", "flow_map"):
        one = rows.filter((pl.col("objective") == name) & (pl.col("steps") == 1))
        if one.height and fine.height:
            gap, error = _difference(relative_of(one, "pnl"), relative_of(fine, "pnl"))
            yield (
                f"One evaluation of a {HOW_LEARNED[name]} policy earns {_gain(gap)} (± {100.0 * error:.1f} "
                f"points, over seeds) against {fine['steps'][0]} Euler steps of flow matching."
            )
    for name in ("regression", "minimal_iterative"):
        control = rows.filter(pl.col("objective") == name)
        if control.height and fine.height:
            gain, error = _difference(seeds_of(fine, "utility"), seeds_of(control, "utility"))
            verdict = "flow matching is better" if gain > error else "they tie"
            if gain < -error:
                verdict = "the control is better"
            yield (
                f"Flow matching against the control {name}: utility {significant(gain)} ± "
                f"{significant(error)}: {verdict}."
            )


def _observation(studies: pl.DataFrame) -> Iterator[str]:
    yield from _pairs(
        studies, "observation", "context", "paper", "Seeing the context instead of the paper's state"
    )


def _chunks(studies: pl.DataFrame) -> Iterator[str]:
    rows = studies.filter((pl.col("study") == "chunks") & (pl.col("noise_scale") == 0.0))
    if not rows.height:
        return
    table = rows.group_by("horizon", "execute", maintain_order=True).agg(pl.col("utility").mean())
    best = table.sort("utility", descending=True).row(0, named=True)
    worst = table.sort("utility").row(0, named=True)
    yield (
        f"Of horizons and steps executed, predicting {best['horizon']} and executing {best['execute']} has "
        f"the best mean utility ({significant(best['utility'])}), predicting {worst['horizon']} and "
        f"executing {worst['execute']} the worst ({significant(worst['utility'])})."
    )
    long = studies.filter((pl.col("study") == "chunks") & (pl.col("horizon") == studies["horizon"].max()))
    long = long.filter(pl.col("execute") == 1)
    quiet = long.filter(pl.col("noise_scale") == 0.0)
    for noise in ("fresh", "held"):
        noisy = long.filter((pl.col("noise_scale") > 0.0) & (pl.col("noise") == noise))
        if noisy.height and quiet.height:
            gain, error = _difference(seeds_of(noisy, "utility"), seeds_of(quiet, "utility"))
            yield (
                f"Sampling noise of scale 1, {noise}, changes the mean utility by {significant(gain)} ± "
                f"{significant(error)} against none."
            )


def _pairs(studies: pl.DataFrame, study: str, one: str, other: str, words: str) -> Iterator[str]:
    rows = studies.filter(pl.col("study") == study)
    first, second = (rows.filter(pl.col("variant") == name) for name in (one, other))
    if first.height and second.height:
        gain, error = _difference(seeds_of(first, "utility"), seeds_of(second, "utility"))
        verdict = "better" if gain > error else "worse" if gain < -error else "a tie over these seeds"
        yield f"{words} changes the mean utility by {significant(gain)} ± {significant(error)}: {verdict}."


def _unseen(unseen: pl.DataFrame) -> Iterator[str]:
    for row in unseen.filter(pl.col("policy") == OURS).iter_rows(named=True):
        better = [WORDS[m] for m in ("pnl", "sharpe", "max_drawdown") if (row[f"{m}_gain"] or -1.0) > 0.0]
        surely = [WORDS[m] for m in ("pnl", "sharpe", "max_drawdown") if (row[f"{m}_gain_low"] or -1.0) > 0.0]
        yield (
            f"{row['scenario']} ({row['market']} market): better than the best expert in "
            f"{', '.join(better) or 'nothing'} (at 99 %: {', '.join(surely) or 'nothing'})."
        )


def _mean(values: pl.Series) -> float:
    return float(np.mean(values.cast(pl.Float64).to_numpy()))


def _less(amount: float) -> str:
    return f"{significant(abs(amount))} {'less' if amount >= 0.0 else 'more'}"


def _gain(part: float | None) -> str:
    return "n/a" if part is None or part != part else f"{100.0 * part:+.1f} %"
