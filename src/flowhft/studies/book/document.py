"""What the study of makers that see the book found, as a page of blocks."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from flowhft.report.blocks import Block, Cell, Heading, Page, Section, Sentence, Table, Typed, listing, table
from flowhft.report.numbers import between, duration, significant
from flowhft.studies.book.findings import FEWEST_FILLS, counts_of
from flowhft.studies.book.stages import FILLS, HEADLINE, MAKER, REFERENCE

NOTHING = "–"
TITLES = {
    "whole": "booked whole",
    "capped": "capped",
    HEADLINE: "capped + answered",
    "no hidden": "without hidden",
}


def document(tables: Mapping[str, pl.DataFrame], command: str) -> Page:
    """Return the page.

    Args:
        tables: from `flowhft.studies.book.findings.tables_of`.
        command: as it was typed.
    """
    evaluated = tables.get("evaluated", pl.DataFrame())
    sections = [Section("recordings", "The recordings", tuple(_about(tables)))]
    if evaluated.height:
        unseen = evaluated.filter(pl.col("part") == "unseen")
        sections += [
            Section("counts", "On all recordings", tuple(_counts(evaluated))),
            Section("unseen", "On the unseen part", tuple(_unseen(unseen))),
            Section("strict", "How orders fill", tuple(_strict(unseen))),
            Section("fees", "Fees and rebates", tuple(_fees(unseen))),
            Section("controls", "Controls", tuple(_controls(evaluated))),
        ]
        days = evaluated.filter(pl.col("part").is_in(["fold", "walk"]))
        if days.height:
            sections.append(Section("days", "The whole day", tuple(_days(days))))
    return Page(
        "book",
        "Makers that see the book",
        (_verdict(evaluated),),
        (
            Sentence("Made by a command; nothing on this page is written by hand:"),
            Typed((command,)),
            Sentence(
                "`book` is a maker that learned from recordings what orders at each price become "
                "([models](models.md#makers-that-see-the-book)), `glft` the closed form on a market "
                "calibrated to the first part, `no_quote` stays out and has nothing. All decide at the same "
                "times; results are means over phases of their grid; orders are a third of the median "
                "market order, three are held at most. What is unseen is the last 40 % of each recording. "
                "Protocol A learns from other nights and from what was known before the unseen part begins; "
                "protocol B from other nights alone. Intervals are 99 %, Student's over blocks of time: they "
                "say how far chance goes within these minutes or hours, not how other days would be."
            ),
            Sentence(
                "How orders fill, from kind to strict: *booked whole*, whatever reaches an order fills it; "
                "*capped*, by no more than it brought; *capped + answered*, orders that improve the touch "
                "lose their priority as often as others were seen to answer; *without hidden*, what trades "
                "inside the spread does not reach us. The headline is capped + answered."
            ),
        ),
        tuple(sections),
    )


def _verdict(evaluated: pl.DataFrame) -> str:
    if not evaluated.height:
        return "No recording could be evaluated."
    row = counts_of(evaluated).row(
        by_predicate=(pl.col("protocol") == "A")
        & (pl.col("fills_by") == HEADLINE)
        & (pl.col("fee_bps") == 0.0),
        named=True,
    )
    return (
        f"Before fees, capped and answered, on {row['recordings']} recordings: better than {REFERENCE} at "
        f"99 % on {row['better_than_reference']}, worse on {row['worse_than_reference']}; loses at 99 % on "
        f"{row['loses']}, gains on {row['gains']}, stays out on {row['stays_out']}."
    )


def _about(tables: Mapping[str, pl.DataFrame]) -> Iterator[Block]:
    yield table(
        (
            "recording",
            "market",
            "length",
            "unseen",
            "order (lots)",
            "others answer",
            "move in a second (ticks)",
        ),
        [
            (
                row["recording"],
                row["market"],
                duration(row["seconds"]),
                duration(row["unseen"]),
                f"{row['order_lots']:,}",
                f"{100 * row['answered']:.0f} %",
                significant(row["unit"]),
            )
            for row in tables["recordings"].iter_rows(named=True)
        ],
        ("market",),
    )
    if "refusals" in tables:
        yield Sentence("What was refused, and why:")
        yield from listing(
            f"{row['recording']}, {row['part']}: {row['reason']}"
            for row in tables["refusals"].iter_rows(named=True)
        )


def _counts(evaluated: pl.DataFrame) -> Iterator[Block]:
    yield table(
        (
            "protocol and fills",
            "fee, bps",
            "recordings",
            f"better than {REFERENCE} at 99 %",
            "worse",
            "loses at 99 %",
            "gains",
            "stays out",
        ),
        [
            (
                f"{row['protocol']}, {TITLES[row['fills_by']]}",
                f"{row['fee_bps']:.3g}",
                row["recordings"],
                row["better_than_reference"],
                row["worse_than_reference"],
                row["loses"],
                row["gains"],
                row["stays_out"],
            )
            for row in counts_of(evaluated).iter_rows(named=True)
            if row["fee_bps"] >= 0.0
        ],
    )
    yield Sentence(
        f"It stays out where fewer than {FEWEST_FILLS} orders were filled: then it is neither better nor "
        "worse than nobody."
    )


def _unseen(rows: pl.DataFrame) -> Iterator[Block]:
    chosen = rows.filter((pl.col("fills_by") == HEADLINE) & (pl.col("fee_bps") == 0.0))
    for protocol in ("A", "B"):
        yield Heading(f"Protocol {protocol}, capped + answered, before fees")
        yield _table(chosen.filter(pl.col("protocol") == protocol))


def _strict(rows: pl.DataFrame) -> Iterator[Block]:
    chosen = rows.filter(
        (pl.col("policy") == MAKER) & (pl.col("protocol") == "A") & (pl.col("fee_bps") == 0.0)
    )
    yield Sentence("Protocol A, before fees; each learned under the rule that it is evaluated by.")
    for what, title in (("pnl", "PnL"), ("less", f"PnL less {REFERENCE}'s")):
        yield Heading(title)
        yield table(
            ("recording", *(TITLES[fills] for fills in FILLS)),
            [
                (str(name), *(_cell(_row(group, fills), what) for fills in FILLS))
                for (name,), group in chosen.group_by(["recording"], maintain_order=True)
            ],
        )


def _row(group: pl.DataFrame, fills: str) -> dict[str, Any] | None:
    rows = group.filter(pl.col("fills_by") == fills).to_dicts()
    return rows[0] if rows else None


def _fees(rows: pl.DataFrame) -> Iterator[Block]:
    chosen = rows.filter(
        (pl.col("protocol") == "A")
        & (pl.col("fills_by") == HEADLINE)
        & pl.col("policy").is_in([MAKER, REFERENCE])
    )
    yield Sentence("Protocol A, capped + answered. A fee below zero is the venue's rebate.")
    yield table(
        ("recording", "fee, bps", MAKER, "fills", REFERENCE, f"less {REFERENCE}'s"),
        [
            (
                str(name),
                f"{fee:.3g}",
                _cell(own, "pnl"),
                significant(own["fills"]),
                _cell(other, "pnl"),
                _cell(own, "less"),
            )
            for (name, fee), group in chosen.group_by(["recording", "fee_bps"], maintain_order=True)
            for own in group.filter(pl.col("policy") == MAKER).to_dicts()
            for other in group.filter(pl.col("policy") == REFERENCE).to_dicts()
        ],
    )


def _controls(evaluated: pl.DataFrame) -> Iterator[Block]:
    yield Sentence(
        "Makers that should earn less if what it earns comes from what it sees: `constants` sees nothing of "
        "the moment, `flipped` takes every lean for its opposite, `shuffled` learned fates that were dealt "
        "out again, `shifted` sees the book of ten minutes before. *Promised* is what heads said of the "
        "orders that stood, *realised* what fills were worth after the horizon: far more than was promised "
        "is luck."
    )
    for fills in ("whole", HEADLINE):
        yield Heading(TITLES[fills])
        own = evaluated.filter(
            (pl.col("fills_by") == fills)
            & (pl.col("fee_bps") == 0.0)
            & (pl.col("protocol") == "A")
            & ((pl.col("part") == "controls") | ((pl.col("part") == "unseen") & (pl.col("policy") == MAKER)))
        )
        yield table(
            ("recording and maker", "PnL (99 %)", "fills", "promised", "realised"),
            [
                (
                    f"{row['recording']}, {row['policy']}",
                    _cell(row, "pnl"),
                    significant(row["fills"]),
                    significant(row["promised"]),
                    significant(row["realised"]),
                )
                for row in own.sort("recording", maintain_order=True).iter_rows(named=True)
            ],
        )


def _days(rows: pl.DataFrame) -> Iterator[Block]:
    yield Sentence(
        "In five parts of the day: *fold*, learned on the other four, ten minutes left out at each border; "
        "*walk*, learned on what lay before. `glft` is calibrated on the first 60 % in all of them."
    )
    for part in ("fold", "walk"):
        for fills in ("whole", HEADLINE):
            yield Heading(f"{part}, {TITLES[fills]}")
            yield _table(rows.filter((pl.col("part") == part) & (pl.col("fills_by") == fills)))


def _table(rows: pl.DataFrame) -> Table:
    return table(
        (
            "recording and policy",
            "PnL (99 %)",
            f"less {REFERENCE}'s (99 %)",
            "fills",
            "quoted",
            "against staying out",
            "such parts needed",
        ),
        [
            (
                f"{row['recording']}, {row['policy']}",
                _cell(row, "pnl"),
                _cell(row, "less"),
                significant(row["fills"]),
                f"{100 * row['quoted']:.0f} %",
                row["verdict"],
                significant(row["parts_needed"], 2) if row["parts_needed"] is not None else NOTHING,
            )
            for row in rows.sort("recording", maintain_order=True).iter_rows(named=True)
        ],
    )


def _cell(row: Mapping[str, Any] | None, name: str) -> Cell:
    """Return money with its interval, in bold where chance does not explain it."""
    if row is None or row[name] is None:
        return Cell(NOTHING)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = f"{significant(row[name])} ({between(low, high, row[name])})"
    sure = 1.0 if low > 0.0 else -1.0 if high < 0.0 else 0.0
    return Cell(f"**{text}**" if sure else text, sure)
