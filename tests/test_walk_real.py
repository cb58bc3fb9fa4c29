"""The page of real recordings: which recordings there are, what is said of them, and the way to it."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from program import flowhft
from renderings import assert_both_say_the_same

from flowhft.policies.rules import EXPERTS
from flowhft.recordings import sample_recording
from flowhft.recordings.order_size import third_of_median
from flowhft.report.charts import Styles
from flowhft.report.evidence import Evidence, gather
from flowhft.report.markdown import markdown
from flowhft.report.sections import costs, walked
from flowhft.report.theme import styles_of
from flowhft.runs.folder import manifest_of, read_table, write_json, write_table
from flowhft.stages.tables import units_in
from flowhft.studies.book.protocol import kind_of
from flowhft.studies.real.document import document
from flowhft.studies.real.reproduce import Reproduce, typed
from flowhft.studies.real.sentences import counts_of, fees_sentence, overall, sentences_table, verdicts
from flowhft.studies.real.stages import Kin, Known, Recorded, Sizes, kin_of
from flowhft.studies.recordings import recordings_in


def judged(rows: list[tuple]) -> pl.DataFrame:
    """Return rows of recording, policy, PnL, half its interval, difference to glft, half its own, and fee."""
    return pl.DataFrame(
        [
            {
                "recording": recording,
                "policy": policy,
                "rule": policy if policy in EXPERTS else "",
                "pnl": pnl,
                "pnl_low": pnl - half,
                "pnl_high": pnl + half,
                "reference": "glft",
                "difference": difference,
                "difference_low": None if difference is None else difference - reach,
                "difference_high": None if difference is None else difference + reach,
                "break_even_fee_bps": fee,
                "paths": 4,
                "sharpe": 0.5,
                "max_drawdown": 1.0,
                "fills": 3.0,
                "rms_inventory": 2.0,
                "quoting_ratio": 0.9,
            }
            for recording, policy, pnl, half, difference, reach, fee in rows
        ],
        infer_schema_length=None,
    )


ROWS = judged(
    [
        ("one", "glft", -2.0, 1.0, None, 0.0, -0.5),
        ("one", "flowhft", 1.0, 0.5, 3.0, 1.0, 0.4),
        ("two", "glft", 0.5, 1.0, None, 0.0, None),
        ("two", "flowhft", -3.0, 1.0, -3.5, 1.0, -0.9),
        ("three", "glft", 2.0, 1.0, None, 0.0, 1.5),
        ("three", "flowhft", 1.0, 2.0, -1.0, 3.0, 0.2),
    ]
)


def test_losses_are_said_as_losses():
    said = [text.replace("\u00a0", " ") for text in verdicts(ROWS, "on the unseen part")]
    assert said == [
        "`glft` on the unseen part: a gain before fees on 2 of 3 recordings (1 at 99 %), a loss on "
        "1 (1 at 99 %).",
        "`flowhft` on the unseen part: a gain before fees on 2 of 3 recordings (1 at 99 %), a loss on 1 "
        "(1 at 99 %); against `glft` better on 1 and worse on 1 at 99 %, paired.",
    ]
    assert overall(ROWS, "Here").replace("\u00a0", " ") == (
        "Here, before fees: of 6 judgements, 2 policies on 3 recordings, 2 are gains at 99 % (`glft`, "
        "`flowhft`) and 2 are losses."
    )
    home = ROWS.filter(pl.col("policy") == "flowhft").with_columns(
        *(pl.lit(0.0).alias(f"pnl{end}") for end in ("", "_low", "_high")),
        policy=pl.lit("no_quote"),
        rule=pl.lit("no_quote"),
        break_even_fee_bps=None,
    )
    both = pl.concat([ROWS, home], how="vertical_relaxed")
    assert list(verdicts(both, "on the unseen part")) == list(verdicts(ROWS, "on the unseen part"))
    assert (overall(both, "Here"), fees_sentence(both)) == (overall(ROWS, "Here"), fees_sentence(ROWS))
    (row,) = (row for row in counts_of(both) if row["policy"] == "no_quote")
    assert (row["recordings"], row["gains"], row["losses"], row["better"]) == (3, 0, 0, 1)
    assert fees_sentence(ROWS) == (
        "The highest maker fee at which anything would have been left is 1.50 basis points (`glft` on "
        "three); 1 of 5 could have paid 1 basis point."
    )


def tables() -> dict[str, pl.DataFrame]:
    about = {"session_seconds": 30.0, "sessions": 4, "windows": 2, "walked_sessions": 4, "dt": 0.1}
    known = {"market": "a | b", "currency": "USD", "seconds": 300.0, "trades": 1234, "order": 0.01} | about
    nothing = dict.fromkeys(known)
    parts = {
        "recordings": pl.DataFrame(
            [{"recording": name} | known for name in ("one", "two", "three")]
            + [{"recording": "quotes"} | nothing],
            infer_schema_length=None,
        ),
        "refusals": pl.DataFrame([{"recording": "quotes", "stage": "read", "reason": "must hold trades."}]),
        "parameters": pl.DataFrame(
            [
                {
                    "recording": "one",
                    "parameter": "branching_ratio",
                    "value": 0.8,
                    "standard_error": 0.1,
                    "low": 0.6,
                    "high": 0.9,
                    "unit": "1",
                }
            ]
        ),
        "notes": pl.DataFrame([{"recording": "one", "note": "drift: cannot be told from 0."}]),
        "judged": ROWS,
        "walks": ROWS.filter(pl.col("recording") == "one"),
        "windows": pl.DataFrame(
            [
                {
                    "recording": "one",
                    "window": number,
                    "learn_start": 0.0,
                    "trade_start": 100.0 + 50.0 * number,
                    "trade_end": 150.0 + 50.0 * number,
                    "policy": policy,
                    "pnl": None if policy is None else -1.0,
                    "fills": None if policy is None else 3.0,
                    "volatility": None if policy is None else 40.0 + number,
                    "fill_decay": None if policy is None else 0.03,
                    "refused": None if policy else "too quiet.",
                }
                for number, policy in ((0, None), (1, "glft"), (1, "flowhft"))
            ],
            infer_schema_length=None,
        ),
        "costs": pl.DataFrame(
            [
                {
                    "recording": "one",
                    "policy": policy,
                    "maker_fee_bps": fee,
                    "latency_ms": 5.0,
                    "pnl": -fee,
                    "pnl_low": -fee - 0.5,
                    "pnl_high": -fee + 0.5,
                }
                for policy in ("glft", "flowhft")
                for fee in (0.0, 1.0)
            ]
        ),
    }
    return parts | sentences_table(parts)


SETTINGS = {"command": "flowhft reproduce real", "seed": 7, "share": 0.6, "whole": True}
PAGE = document(tables(), SETTINGS)


def test_the_page_holds_what_was_found():
    page = markdown(PAGE)
    for text in (
        "Every recording. Policies learn on the first 60 % of its",
        "Seed 7",
        "- quotes, read: must hold trades.",
        "| quotes | – |",
        "| one | a \\| b |",
        "| glft | 3 | 2 | 1 | 1 | 1 | – | – |",
        "| flowhft | 3 | 2 | 1 | 1 | 1 | 1 | 1 |",
        "| glft | -2.00 (-3.00 to -1.00) | 0.500 | 1.00 | 3.00 | 2.00 | 0.900 |",
        "**3.00 (2.00 to 4.00)** | 0.400 |",
        "| two |",
        "| glft | 0 | **-1.00** |",
        "0.800 (0.600 to 0.900)",
        "- drift: cannot be told from 0.",
        "2 windows, each learned from",
        "1 refused.",
    ):
        assert " ".join(text.split()) in " ".join(page.split()), text
    assert "nan" not in page.lower().replace("finance", "")
    assert max(len(line) for line in page.split("\n") if not line.startswith(("|", "    "))) <= 118
    assert_both_say_the_same(PAGE)
    assert list(PAGE.headline) == [sentence.replace("`", "") for sentence in PAGE.headline]
    assert PAGE.headline[0].startswith("On the unseen part, before fees: of 6 judgements")
    nothing = {"recordings": tables()["recordings"].tail(1), "refusals": tables()["refusals"]}
    assert document(nothing, SETTINGS).headline == ("No recording could be judged.",)


def test_the_report_shows_what_was_found(tmp_path):
    for name, rows in tables().items():
        units = units_in("reproduce real", name, "currency of the recording")
        write_table(tmp_path / f"{name}.parquet", rows, units)
    evidence = gather(tmp_path)
    styles: Styles = styles_of(evidence.origins, evidence.learned)
    drawn = str(costs.content(evidence, styles))
    assert "maker fee, bps" in drawn
    assert "In numbers" in drawn
    windows = str(walked.content(evidence, styles))
    assert "1 of 2 windows were not traded: too quiet." in windows
    assert costs.content(Evidence(), styles) is None
    assert walked.content(Evidence(), styles) is None
    # The folder of a single backtest has tables of the same names, without recordings.
    single = tmp_path / "single"
    single.mkdir()
    for name in ("costs", "windows"):
        write_table(single / f"{name}.parquet", tables()[name].drop("recording"), {})
    write_json(single / "backtest.json", {"reference": "glft"})
    alone = gather(single)
    assert {"backtest/costs", "backtest/windows"} <= set(alone.tables)
    assert "latency 5 ms" in str(costs.content(alone, styles))


def test_every_recording_of_a_folder_is_found(tmp_path):
    sample = sample_recording()
    for place in ("b", "a", ".hidden", "b/deep"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        for path in sample.parent.glob(f"{sample.name}_*.parquet"):
            (tmp_path / place / path.name.replace(sample.name, f"{place[-1]}_usdm_x_1")).symlink_to(path)
    (tmp_path / "a" / "notes.txt").write_text("no recording")
    assert list(recordings_in(tmp_path)) == ["a_usdm_x_1", "b_usdm_x_1", "p_usdm_x_1"]


@pytest.mark.parametrize(
    ("quantity", "order"), [([1, 37, 9000], 12), ([1], 1), ([], 1), ([0, 0], 1), ([149], 50), ([4, 5], 2)]
)
def test_orders_are_a_third_of_the_median_market_order(quantity, order):
    assert third_of_median(np.array(quantity)) == order


def test_makers_learn_from_others_of_their_kind_and_from_other_days_apart():
    coin, share = kind_of("binance-usdm"), kind_of("nasdaq")
    known = [Known(coin, 1), Known(coin, 1), Known(share, 1), None, Known(coin, 2)]
    paths = [Path(name) for name in "abcde"]
    assert kin_of(0, paths, known) == Kin(coin, (Path("b"), Path("e")), (Path("e"),))
    assert kin_of(2, paths, known) == Kin(share, (), ())
    assert kin_of(3, paths, known) is None


SIZES = Sizes(0.6, 4, 20, 64, 32, 1, 32, 1, (0.0,), (5.0,))


def test_a_recording_that_cannot_be_read_is_listed_with_the_reason(tmp_path):
    path = tmp_path / "data" / "usdm_x_1_depth.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1 and then nothing")
    result = Recorded(path.parent / "usdm_x_1", tmp_path / "out", SIZES, 0).all_stages(lambda stage: None)
    assert result["done"] == {}
    assert list(result["refused"]) == ["read"]
    assert str(path.parent) not in result["refused"]["read"]  # where it lies is not for the page


def test_the_command_is_written_down_without_folders():
    assert typed(Reproduce(data=Path("/somewhere"), updates=10, fees=(0.5,))) == (
        "flowhft reproduce real --data FOLDER --updates 10 --fees 0.5 --seed 0 --docs docs/real-markets.md"
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--data nowhere", 3, "`data` must be a folder of recordings"),
        ("--recordings usdm_btcusdt_2024071", 2, "did you mean 'usdm_btcusdt_20240718'?"),
        ("--share 1", 2, "`share` must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(options, code, message, tmp_path):
    said = flowhft("reproduce", "real", *options.split(), "--out", tmp_path / "real", "--quiet")
    assert said.code == code, said.err
    assert message in said.err


@pytest.mark.slow  # every stage of a recording, the training among them
def test_the_page_of_the_bundled_recording_is_made_and_made_again(tmp_path):
    arguments = ("reproduce", "real", "--quick", "--out", tmp_path / "real", "--json", "--quiet")
    first = flowhft(*arguments, "--docs", tmp_path / "page.md").json
    assert {row["policy"] for row in first["judged"]} == {
        *("white_noise", "avellaneda_stoikov", "glft", "glft_drift", "imitated", "blind", "adapted"),
        *("book", "flowhft"),
        "no_quote",
    }
    assert {row["policy"] for row in first["walks"]} >= {"glft", "flowhft", "adapted"}
    page = (tmp_path / "page.md").read_text()
    assert re.search(r"^### usdm_btcusdt_20240718$", page, re.MULTILINE)
    assert (tmp_path / "real" / "report.html").is_file()
    stages = {
        path: manifest_of(path)["started"] for path in (tmp_path / "real" / "usdm_btcusdt_20240718").iterdir()
    }
    again = flowhft(*arguments).json
    assert json.dumps(again["judged"]) == json.dumps(first["judged"])
    assert {path: manifest_of(path)["started"] for path in stages} == stages
    assert read_table(tmp_path / "real" / "sentences.parquet").height >= 8
