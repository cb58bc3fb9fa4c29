"""What was found on real recordings, as a page of blocks: docs/real-markets.md and its report are made of it.

The page says nothing of when or where it was made.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from flowhft.report.blocks import Block, Cell, Heading, Page, Section, Sentence, Table, Typed, listing, table
from flowhft.report.numbers import between, count, counted, duration, significant
from flowhft.studies.real.sentences import SURE, counts_of, fees_sentence, overall

NOTHING = "–"
METRICS = ("pnl", "sharpe", "max_drawdown", "fills", "rms_inventory", "quoting_ratio")
TITLED = {
    "pnl": "PnL",
    "sharpe": "Sharpe ratio",
    "max_drawdown": "drawdown",
    "fills": "fills (orders)",
    "rms_inventory": "RMS inventory (orders)",
    "quoting_ratio": "quoting ratio",
}
# Parameters that every table shows, where the calibration has them, and in which unit.
PARAMETERS = {
    "volatility_in_currency": "volatility",
    "intensity_both_sides": "A, both sides, 1/s",
    "fill_decay_in_currency": "k",
    "branching_ratio": "branching ratio",
    "adverse_selection": "adverse selection, ticks",
    "hurst_exponent": "Hurst exponent",
}


def document(tables: Mapping[str, pl.DataFrame], settings: Mapping[str, Any]) -> Page:
    """Return the page.

    Args:
        tables: from `flowhft.studies.real.findings.tables_of`.
        settings: command as it was typed, seed, share, and whether the folder was taken as a whole.
    """
    sections = [Section("recordings", "The recordings", tuple(_about(tables)))]
    for name, key, title, write in (
        ("judged", "judged", "On the unseen part", _unseen),
        ("costs", "all-costs", "What costs do", _costs),
        ("parameters", "parameters", "The calibrated markets", _calibrations),
        ("walks", "walks", "Walking forward", _walks),
    ):
        if name in tables:
            sections.append(Section(key, title, tuple(write(tables))))
    sentences = tables.get("sentences", pl.DataFrame({"section": [], "sentence": []}))
    firsts = sentences.unique("section", keep="first", maintain_order=True)["sentence"].to_list()
    return Page(
        "real",
        "Real markets",
        tuple(sentence.replace("`", "") for sentence in firsts) or ("No recording could be judged.",),
        (
            Sentence("Made by a command; nothing on this page is written by hand:"),
            Typed((settings["command"],)),
            Sentence(_introduction(settings)),
            Sentence(
                "An interval says how far chance goes within these minutes or hours, not how other days "
                "would be. The recorded market does not answer our orders."
            ),
        ),
        tuple(sections),
    )


def _introduction(settings: Mapping[str, Any]) -> str:
    share = settings["share"]
    return (
        f"{'Every recording' if settings['whole'] else 'Recordings that were named'}. Policies learn on "
        f"the first {100 * share:g} % of its time and are judged on the rest, which nothing has seen: the "
        "market is calibrated, experts are told it and get the risk aversion that is best in it, `imitated` "
        "learns from the best of them in nine regimes around it, `flowhft` is the shipped policy as it is, "
        "`adapted` the same with a map fitted to the calibrated market. One recording cannot tell a drift "
        "from none, so experts are told none, and `glft_drift` quotes as `glft` does. Then each trades alone "
        "in a [replay](models.md#replay) with queues and latencies. Orders are a third of the median market "
        "order, fills are capped at what was traded, and orders that improve the best price are answered as "
        "often as the calibration measured. The inventory limit is ten orders, fees are 0 where nothing else "
        "is said. PnL, drawdown and differences are per session, in the currency; intervals are 99 %, "
        "Student's over the sessions of "
        "the recording. "
        f"Seed {settings['seed']}."
    )


def _about(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield _recordings(tables["recordings"])
    if "refusals" in tables:
        yield Sentence("What was refused, and why:")
        yield from listing(
            f"{row['recording']}, {row['stage']}: {row['reason']}"
            for row in tables["refusals"].iter_rows(named=True)
        )


def _unseen(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield Sentence(overall(tables["judged"], "On the unseen part"))
    yield _verdict(tables["judged"])
    yield Sentence(fees_sentence(tables["judged"]))
    for (name,), rows in tables["judged"].group_by("recording", maintain_order=True):
        yield Heading(str(name))
        yield from _evaluated(tables["recordings"], rows)


def _verdict(evaluated: pl.DataFrame) -> Table:
    """Return one row a policy: on how many recordings it gained and lost before fees."""
    rows = counts_of(evaluated)
    reference = rows[0]["reference"]
    return table(
        (
            "policy",
            "recordings",
            "gains before fees",
            f"at {SURE}",
            "losses",
            f"at {SURE}",
            f"better than {reference} at {SURE}",
            "worse",
        ),
        [
            (
                row["policy"],
                *(row[name] for name in ("recordings", "gains", "sure_gains", "losses", "sure_losses")),
                *(NOTHING if row[name] is None else row[name] for name in ("better", "worse")),
            )
            for row in rows
        ],
    )


def _recordings(rows: pl.DataFrame) -> Table:
    head = (
        "recording",
        "market",
        "length",
        "trades",
        "order",
        "a decision every",
        "session",
        "sessions judged",
        "windows walked",
    )
    return table(
        head,
        [
            (
                row["recording"],
                row["market"] or NOTHING,
                duration(row["seconds"]) if row["seconds"] else NOTHING,
                count(row["trades"]) if row["trades"] is not None else NOTHING,
                f"{row['order']:g}" if row["order"] else NOTHING,
                duration(row["dt"]) if row["dt"] else NOTHING,
                duration(row["session_seconds"]) if row["session_seconds"] else NOTHING,
                NOTHING if row["sessions"] is None else row["sessions"],
                NOTHING if row["windows"] is None else row["windows"],
            )
            for row in rows.iter_rows(named=True)
        ],
        ("market",),
    )


def _evaluated(recordings: pl.DataFrame, rows: pl.DataFrame) -> Iterator[Block]:
    about = recordings.row(by_predicate=pl.col("recording") == rows["recording"][0], named=True)
    result = counted(rows["paths"][0], "session")
    yield Sentence(f"{result} of {duration(about['session_seconds'])}; money in {about['currency']}.")
    reference = rows["reference"][0]
    yield table(
        (
            "policy",
            "PnL (99 %)",
            *(TITLED[name] for name in METRICS[1:]),
            f"PnL less {reference}'s",
            "break-even fee, bps",
        ),
        [
            (
                row["policy"],
                Cell(_interval(row, "pnl"), _sign(row, "pnl")),
                *(significant(row[name]) for name in METRICS[1:]),
                NOTHING
                if row["difference"] is None
                else Cell(_decided(row, "difference"), _sign(row, "difference")),
                significant(row["break_even_fee_bps"]),
            )
            for row in rows.iter_rows(named=True)
        ],
    )


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f"{significant(row[name])} ({between(row[f'{name}_low'], row[f'{name}_high'], row[name])})"


def _decided(row: Mapping[str, Any], name: str) -> str:
    """Return a difference with its interval, in bold where chance does not explain it."""
    text = _interval(row, name)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    sure = low is not None and high is not None and (low > 0.0 or high < 0.0)
    return f"**{text}**" if sure else text


def _sign(row: Mapping[str, Any], name: str) -> float:
    """Return how a number is tinted: not at all where chance explains it."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return 0.0 if low is None or high is None else 0.5 * ((low > 0.0) - (high < 0.0))


def _costs(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield Sentence(
        "PnL per session at other maker fees and latencies (of orders, and as much of the answers), "
        "everything else as above; bold where 99 % of the resampled recordings are on one side of zero."
    )
    for (name,), rows in tables["costs"].group_by("recording", maintain_order=True):
        points = rows.select("maker_fee_bps", "latency_ms").unique(maintain_order=True).rows()
        head = [f"{fee:g} bps, {latency:g} ms" for fee, latency in points]
        lines = []
        for (policy,), result in rows.group_by("policy", maintain_order=True):
            by_point = {
                (row["maker_fee_bps"], row["latency_ms"]): row for row in result.iter_rows(named=True)
            }
            lines.append((policy, *(_sure(by_point[point]) for point in points)))
        yield Heading(f"Costs: {name}")
        yield table(("policy", *head), lines)


def _sure(row: Mapping[str, Any]) -> Cell:
    text, sign = significant(row["pnl"]), _sign(row, "pnl")
    return Cell(f"**{text}**" if sign else text, sign)


def _calibrations(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield Sentence(
        "Of the first part, with 95 % intervals; volatility and k in the currency of the recording."
    )
    names = [name for name in PARAMETERS if name in tables["parameters"]["parameter"].to_list()]
    lines = []
    for (recording,), rows in tables["parameters"].group_by("recording", maintain_order=True):
        known = {row["parameter"]: row for row in rows.iter_rows(named=True)}
        cells = (
            f"{significant(known[name]['value'])} ({between(known[name]['low'], known[name]['high'])})"
            if name in known and known[name]["value"] is not None
            else NOTHING
            for name in names
        )
        lines.append((recording, *cells))
    yield table(("recording", *(PARAMETERS[name] for name in names)), lines)
    if "notes" in tables:
        yield Sentence("What each calibration warns of, or refuses:")
        for (recording,), rows in tables["notes"].group_by("recording", maintain_order=True):
            yield Sentence(f"**{recording}**")
            yield from listing(rows["note"])


def _walks(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield Sentence(overall(tables["walks"], "Walking forward"))
    yield Sentence(
        "Calibrated on a window, adapted to it, traded on the next, rolled on: flat at the beginning of a "
        "window, closed at the best price at its end. A window whose past cannot be calibrated is not traded."
    )
    yield _verdict(tables["walks"])
    windows = tables.get("windows", pl.DataFrame())
    for (name,), rows in tables["walks"].group_by("recording", maintain_order=True):
        yield Heading(f"Walking forward: {name}")
        mine = windows.filter(pl.col("recording") == name)
        first = mine.unique("window", maintain_order=True)
        refused = first.filter(pl.col("refused").is_not_null()).height
        learn = first["trade_start"][0] - first["learn_start"][0]
        trade = first["trade_end"][0] - first["trade_start"][0]
        text = f"{counted(first.height, 'window')}, each learned from {duration(learn)} and traded for "
        text += f"{duration(trade)}; {refused} refused."
        for column, title in (("volatility", "volatility"), ("fill_decay", "k")):
            values = first[column].drop_nulls() if column in first.columns else pl.Series()
            if len(values):
                ends = between(float(values.to_numpy().min()), float(values.to_numpy().max()))
                text += f" Its {title} went over {ends} (in ticks)."
        yield Sentence(text)
        yield from _evaluated(tables["recordings"], rows)
