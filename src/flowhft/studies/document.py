"""What a reproduction found, as a page of blocks: docs/reproduction.md and its report are made of it.

The page says nothing of when, where or how fast it was made, so that the same seed and sizes make it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from flowhft.metrics.table import CONFIDENCE
from flowhft.report.blocks import Block, Cell, Heading, Page, Section, Sentence, Typed, listing, table
from flowhft.report.numbers import count, exact, plus_minus, share, significant, together, with_half
from flowhft.scenarios.presets import paper_test
from flowhft.studies.comparison import BARS
from flowhft.studies.effects import Effect
from flowhft.studies.figures import errors_figure
from flowhft.studies.paper import CLOSED_FORMS, METRICS, PPO, TRIALS
from flowhft.studies.reasons import LEAST, WORDS

TITLES = {
    "white_noise": "white noise",
    "avellaneda_stoikov": "Avellaneda-Stoikov",
    "glft": "GLFT",
    "glft_drift": "GLFT-drift",
    "ppo": "PPO",
}
LEVEL = share(CONFIDENCE)
NOTHING = "–"
FULL = 0.10  # relative error from which a tint no longer deepens
_WORDY = ("entries of", "cell", "policy", "metric", "reason", "check", "what must hold")
NARROW = "\u00a0"  # a space at which no line is broken


def document(
    tables: Mapping[str, pl.DataFrame], effects: Sequence[Effect], settings: Mapping[str, Any]
) -> Page:
    """Return the page.

    Args:
        tables: comparison, agreement, contradictions, unexplained, effects and placing (see
            `flowhft.studies.reproduction`); placing may have no rows.
        effects: what `tables["effects"]` holds, in the order to show.
        settings: command (as typed), paths, effect_paths, frontier_paths and seed.
    """
    comparison = tables["comparison"]
    sections = [
        _section("agreement", "How near the reproduction comes", _agreement(tables["agreement"], comparison)),
        _section("tables", "Tables 1 to 6", _printed_and_ours(comparison)),
        _section(
            "contradictions",
            "Printed numbers that cannot be right",
            _contradictions(tables["contradictions"]),
        ),
        _section("unexplained", "The entries furthest off", _unexplained(tables["unexplained"], comparison)),
        _section(
            "effects",
            "What each error of the runs was worth",
            _effects(tables["effects"], effects, settings),
        ),
    ]
    if tables["placing"].height:
        sections.append(_section("placing", "Against the frontier", _placing(tables["placing"], settings)))
    return Page(
        "reproduction",
        "The FlowHFT paper, reproduced",
        tuple(_headline(tables["agreement"], tables["contradictions"])),
        (
            Sentence("Made by a command; nothing on this page is written by hand:"),
            Typed((settings["command"],)),
            Sentence(_introduction(settings)),
        ),
        tuple(sections),
    )


def _section(key: str, title: str, results: Iterable[Block]) -> Section:
    return Section(key, title, tuple(results))


def _headline(agreement: pl.DataFrame, contradictions: pl.DataFrame) -> Iterator[str]:
    result = agreement.row(0, named=True)
    yield (
        f"The closed forms as the paper ran them come within {_percent(result['median'])} (median; 90th "
        f"percentile {_percent(result['ninetieth'])}) of its {count(result['entries'])} printed numbers."
    )
    failed = contradictions.filter(pl.col("says") != "").height
    yield f"{failed} times, printed numbers contradict one another or what the text says of them."


def _introduction(settings: Mapping[str, Any]) -> str:
    return (
        "Markets: the paper's test cells as the paper ran them (`--market paper`, see [the "
        "presets](models.md#the-presets-correct-paper-and-informed)). Policies: its closed forms as it ran "
        f"them{' and PPO, trained in each cell' if settings['ppo'] else ''}. {count(settings['paths'])} "
        f"sessions a cell, the same for every policy, seed {settings['seed']}. Intervals are {LEVEL}. PnL "
        "and drawdown are in price units, the Sharpe ratio is per session and not annualised. The printed "
        "numbers are those of Y. Li, Z. Chen, S. Yang, arXiv:2505.05784, Tables 1 to 6; which of them "
        "flowhft corrects, and how, is told in [models](models.md#what-the-flowhft-paper-prints-otherwise)."
    )


def _agreement(agreement: pl.DataFrame, comparison: pl.DataFrame) -> Iterator[Block]:
    rows = [
        (
            "**all closed forms**" if row["part"] == "closed forms" else _titled(row["part"], row["name"]),
            row["entries"],
            _percent(row["median"]),
            _percent(row["ninetieth"]),
            _whole(row["covered"]),
            _whole(row["explained"]),
        )
        for row in agreement.iter_rows(named=True)
        if row["entries"]
    ]
    head = ("entries of", "number", "median error", "90th percentile", "covered", "explained")
    reading = (
        f"*Error*: (ours - printed) / printed, without its sign; bars: {_percent(BARS['median'], 0)} and "
        f"{_percent(BARS['ninetieth'], 0)}. *Covered*: our interval, widened by half a unit of the last "
        "printed digit, holds the printed number. *Explained*: it does so once the printed number is given "
        f"the sampling error of the {count(TRIALS)} trials that the caption of Table 1 names (the paper "
        "prints none): ours times the root of our sessions over theirs. *PnL given the fills* estimates "
        "what PnL does with less noise of ours ([metrics](models.md#metrics)); it is not among the numbers "
        "above it."
    )
    limits = (
        "What covered can mean: chance alone may make up the difference. What it cannot: that the "
        "simulators are the same. The paper leaves most of its simulator unstated; the preset is one set "
        "of parameters, found from the printed numbers, and near them but not equal. The more sessions, "
        "the smaller the share that is covered, while the relative error stays. Nor are entries "
        "independent trials: all policies of a cell meet the same random numbers, and a Sharpe ratio that "
        "is printed as 0.09 is known to 6 % at best."
    )
    yield table(head, rows, _WORDY)
    yield Sentence(reading)
    yield Sentence(limits)
    yield errors_figure(comparison, titled)


def _titled(part: str, name: str) -> str:
    if part == "metric":
        return WORDS.get(name, "PnL given the fills")
    return f"Table {name.removeprefix('T')}" if part == "table" else titled(name)


_TABLES_NOTE = (
    "Ours with half the width of its interval. A star: not explained (see above). Where the paper prints "
    "nothing, only ours is shown."
)


def _printed_and_ours(comparison: pl.DataFrame) -> Iterator[Block]:
    yield Sentence(_TABLES_NOTE)
    cells = paper_test("paper")
    head = [
        "cell",
        "policy",
        *(f"{WORDS[metric]}{end}" for metric in METRICS for end in ("", ", ours", ", error")),
    ]
    for (number,), rows in comparison.group_by(pl.col("scenario").str.head(2), maintain_order=True):
        first = cells[rows["scenario"][0]]
        yield Heading(
            f"Table {str(number).removeprefix('T')}: Hurst exponent {exact(first.hurst_exponent)}, "
            f"drift {exact(first.drift)}"
        )
        lines: list[list[str | Cell]] = []
        for (scenario, policy), entries in rows.group_by("scenario", "policy", maintain_order=True):
            result = {entry["metric"]: entry for entry in entries.iter_rows(named=True)}
            line: list[str | Cell] = [str(scenario).partition(".")[2], titled(str(policy))]
            for metric in METRICS:
                line += _entry(result[metric])
            lines.append(line)
        yield table(head, lines, _WORDY)


def _entry(entry: Mapping[str, Any]) -> list[str | Cell]:
    """Write one entry: printed, ours with half its interval, relative error with a star where unexplained."""
    ours = with_half(entry["ours"], entry["low"], entry["high"], NARROW)
    if entry["printed"] is None:
        return [NOTHING, ours, NOTHING]
    star = "" if entry["explained"] else "\\*"
    error, full = entry["relative_error"], entry["relative_error"] / FULL
    remark = "explained by chance and rounding" if entry["explained"] else "not explained"
    return [f"{entry['printed']:.2f}", ours, Cell(f"{_signed(error)}{star}", full, remark)]


def _contradictions(contradictions: pl.DataFrame) -> Iterator[Block]:
    yield Sentence(
        "Checked on the printed numbers alone, without any simulation: no set of parameters can mend these. "
        "The tolerance is such that tables without an error pass all of it 99 times in a hundred."
    )
    rows, sentences = [], []
    for (name,), result in contradictions.group_by("check", maintain_order=True):
        failed = result.filter(pl.col("says") != "")
        rows.append((name, result["rule"][0], result["entries"][0], failed.height))
        sentences += [
            f"**{titled(row['printed_policy'])}**, {row['says']}" for row in failed.iter_rows(named=True)
        ]
    yield table(("check", "what must hold", "tried on", "fails in"), rows, _WORDY)
    yield from listing(sentences)


def _unexplained(unexplained: pl.DataFrame, comparison: pl.DataFrame) -> Iterator[Block]:
    printed = comparison.filter(pl.col("printed").is_not_null() & (pl.col("policy") != PPO)).height
    yield Sentence(
        f"{unexplained.height} of the {printed} entries of the closed forms "
        f"{'is' if unexplained.height == 1 else 'are'} further off than rounding and sampling can explain, "
        f"by more than {_percent(LEAST, 0)} of the printed number. The reason is what the numbers "
        "themselves say; GLFT-drift is left out where it repeats GLFT."
    )
    rows = [
        (
            row["scenario"],
            titled(row["policy"]),
            WORDS[row["metric"]],
            f"{row['printed']:.2f}",
            _plus_minus(row["ours"], 0.5 * (row["high"] - row["low"])),
            _signed(row["relative_error"]),
            row["reason"],
        )
        for row in unexplained.iter_rows(named=True)
    ]
    if rows:
        yield table(("cell", "policy", "metric", "printed", "ours", "error", "reason"), rows, _WORDY)
    if sentence := _ppo(comparison):
        yield Sentence(sentence)


def _ppo(comparison: pl.DataFrame) -> str:
    """Say how our PPO compares with the printed one; nothing where none is printed."""
    entries = comparison.filter((pl.col("policy") == PPO) & pl.col("printed").is_not_null())
    if not entries.height:
        return ""
    cells = entries["scenario"].n_unique()
    better = ", ".join(
        f"{words} in {entries.filter((pl.col('metric') == metric) & is_better).height}"
        for metric, words, is_better in (
            ("pnl", "more PnL", pl.col("ours") > pl.col("printed")),
            ("sharpe", "a higher Sharpe ratio", pl.col("ours") > pl.col("printed")),
            ("max_drawdown", "a smaller drawdown", pl.col("ours") < pl.col("printed")),
        )
    )
    return (
        "PPO is not in this list: the paper gives no settings of its training, and another training is "
        f"another policy. Of the {cells} cells in which the paper prints one, ours has {better}."
    )


def _effects(result: pl.DataFrame, effects: Sequence[Effect], settings: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(
        "One thing mended at a time, everything else as run, risk aversion 1 unless said; "
        f"{count(settings['effect_paths'])} sessions on the same random numbers on both sides. Each entry "
        "is as run → mended (difference ± half its paired interval)."
    )
    for effect in effects:
        rows = [
            (row["scenario"], *(_change(row, metric) for metric in METRICS))
            for row in result.filter(pl.col("effect") == effect.name).iter_rows(named=True)
        ]
        if rows:
            name = f"{effect.name[0].upper()}{effect.name[1:]}"
            yield Sentence(f"**{name}**: {effect.as_run} → {effect.mended}.")
            yield table(("cell", *(WORDS[metric] for metric in METRICS)), rows, _WORDY)


def _change(row: Mapping[str, Any], metric: str) -> str:
    before, after = together(row[f"{metric}_as_run"], row[f"{metric}_mended"])
    half = 0.5 * (row[f"{metric}_high"] - row[f"{metric}_low"])
    return f"{before} → {after} ({_plus_minus(row[metric], half, signed=True)})"


def _placing(placing: pl.DataFrame, settings: Mapping[str, Any]) -> Iterator[Block]:
    yield Sentence(
        "The oracle is told the total drift, that of the jumps included, the total volatility and the mean "
        "rate of orders, and prices inventory exactly; its risk aversion is swept "
        f"({count(settings['frontier_paths'])} sessions a point). Each entry is the PnL of a policy and, in "
        "brackets, what the oracle earns with the same deviation of the PnL. It optimises PnL less a price "
        "of inventory, and not that deviation: a policy may come to stand a little above it. The curves are "
        "in the report."
    )
    yield Sentence(
        "In Tables 3 to 6 the price has memory, which the oracle is not told of: there it bounds only those "
        "who do not look at the price, as no closed form does. PPO sees it, and what it earns there above "
        "the oracle comes from predicting the next move (inventory PnL, not spread): a property of "
        "fractional noise, which can be predicted without cost, and no skill at making markets."
    )
    policies = placing["policy"].unique(maintain_order=True).to_list()
    rows = []
    for (scenario,), result in placing.group_by("scenario", maintain_order=True):
        by_policy = {row["policy"]: row for row in result.iter_rows(named=True)}
        rows.append(
            (
                scenario,
                *(
                    f"{significant(row['pnl'])} ({significant(row['frontier_pnl'])})"
                    if (row := by_policy.get(policy))
                    else NOTHING
                    for policy in policies
                ),
            )
        )
    titles = [titled(name) for name in policies]
    yield table(("cell", *titles), rows, _WORDY)


def titled(policy: str) -> str:
    """Return what people read for a policy, ours or the paper's."""
    name = CLOSED_FORMS.get(policy, policy)
    return TITLES.get(name, name.replace("_", " "))


def _plus_minus(value: float, half: float, *, signed: bool = False) -> str:
    return f"{'+' if signed and value > 0.0 else ''}{plus_minus(value, half, NARROW)}"


def _signed(part: float) -> str:
    return f"{round(100.0 * part, 1) + 0.0:+.1f}{NARROW}%"


def _percent(part: float, decimals: int = 1) -> str:
    return f"{100.0 * part:.{decimals}f} %"


def _whole(part: float) -> str:
    return _percent(part, 0)
