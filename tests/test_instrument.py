"""What is traded: told by venue and symbol, by a file beside, on the command line; and its arithmetic."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import main
from recording_files import (
    EPOCH_MS,
    TAPE,
    messages,
    session,
    stream_lines,
    write,
    write_bitstamp,
    write_csv,
    write_stream,
)
from test_readers import TOML, write_declared, write_tardis

from flowhft.errors import RecordingError, UsageError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.described import KEYS, InstrumentSettings, beside
from flowhft.recordings.formats.npz import write_npz
from flowhft.recordings.formats.read import open_recording, sessions_in
from flowhft.recordings.formats.tick_files import write_ticks
from flowhft.recordings.grid import ENOUGH, Grid
from flowhft.recordings.instrument import Instrument, value, worth
from flowhft.recordings.ticks import SNAPSHOT, TRADE
from flowhft.recordings.venues import Terms, terms_of
from flowhft.stages.recording import identity_of_recording


@pytest.mark.parametrize(
    ("venue", "symbol", "currency"),
    [
        ("coinbase", "DOT-USD", "USD"),
        ("coinbase", "BNB-USD", "USD"),
        ("coinbase", "USDT-USD", "USD"),
        ("coinbase", "BTC-GBP", "GBP"),
        ("okex-swap", "BTC-USDT-SWAP", "USDT"),
        ("deribit", "BTC_USDC-PERPETUAL", "USDC"),
        ("deribit", "BTC-27SEP24-60000-C", "BTC"),
        ("bybit", "BTCPERP", "USDC"),
        ("kraken", "XBT/EUR", "EUR"),
        ("upbit", "KRW-BTC", "KRW"),
        ("binance", "ethbtc", "BTC"),
        ("binance-futures", "BTCUSDT", "USDT"),
        ("binance-spot", "BTCFDUSD", "FDUSD"),
        ("binance-spot", "DOTBUSD", "BUSD"),
        ("binance-spot", "BTCUSD1", "USD1"),
        ("binance-usdm", "BTCUSDT_240628", "USDT"),
        ("binance-us", "BNBUSD", "USD"),
        ("bitstamp", "dotusd", "USD"),
    ],
)
def test_the_currency_of_a_symbol(venue, symbol, currency):
    result = terms_of(venue, symbol)
    assert result is not None
    assert (result.currency, result.inverse) == (currency, False)


@pytest.mark.parametrize(
    ("venue", "symbol", "contract", "coin"),
    [
        ("binance-coinm", "BTCUSD_PERP", 100.0, "BTC"),
        ("binance-coinm", "DOTUSD_PERP", 10.0, "DOT"),
        ("binance-delivery", "bnbusd_240628", 10.0, "BNB"),
        ("okex-swap", "BTC-USD-SWAP", 100.0, "BTC"),
        ("okex-futures", "ETH-USD-240628", 10.0, "ETH"),
        ("bitmex", "XBTUSD", 1.0, "XBT"),
        ("deribit", "ETH-PERPETUAL", 1.0, "ETH"),
        ("bybit", "BTCUSD", 1.0, "BTC"),
        ("cryptofacilities", "PI_XBTUSD", 1.0, "XBT"),
    ],
)
def test_inverse_contracts_are_known(venue, symbol, contract, coin):
    assert terms_of(venue, symbol) == Terms("USD", True, contract, coin)


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [("x", "XYZBUSD"), ("x", "USDTUSD"), ("nasdaq", "AAPL"), ("bitmex", "ETHUSD"), ("poloniex", "BTC_USDT")],
)
def test_nothing_is_cut_out_of_a_symbol(venue, symbol):
    """Two readings, none, or a venue whose symbols mean something else: it has to be said."""
    assert terms_of(venue, symbol) is None


@given(
    st.floats(100.0, 1e6), st.floats(100.0, 1e6), st.floats(100.0, 1e6), st.sampled_from([1.0, 10.0, 100.0])
)
def test_differences_of_worth_are_the_coins_of_an_inverse_contract(bought, sold, at, contract):
    tick = 0.1
    one = Instrument("v", "BTCUSD", "USD", tick, 1.0, True, contract, "BTC")
    reference, money = one.reference(at), one.tick_value(at)
    coins = contract * (1.0 / (bought * tick) - 1.0 / (sold * tick))
    gained = money * (worth(sold, reference) - worth(bought, reference))
    scale = contract / (min(bought, sold) * tick)
    assert gained == pytest.approx(coins, abs=1e-9 * scale)
    assert money * value(sold, reference) == pytest.approx(contract / (sold * tick))
    assert one.notional(sold, 3.0) == 3.0 * contract
    assert one.money == "BTC"


def test_a_linear_contract_of_a_part_of_a_coin():
    one = Instrument("okex-swap", "BTC-USDT-SWAP", "USDT", 0.1, 1.0, contract_value=0.01)
    assert one.reference(600_000.0) == 0.0
    assert one.tick_value(600_000.0) == pytest.approx(0.1 * 0.01)
    assert one.notional(600_000.0, 5) == pytest.approx(60_000.0 * 0.05)
    assert one.money == "USDT"


def write_npz_of(folder: Path) -> Path:
    write_npz(read_recording(write(folder, session())), folder / "of.npz")
    return folder / "of.npz"


def write_ticks_of(folder: Path) -> Path:
    write_ticks(open_recording(write(folder, session())), folder / "of.ticks.parquet")
    return folder / "of.ticks.parquet"


def write_bitstamp_of(folder: Path) -> Path:
    write_bitstamp(folder)
    return folder / "bitstamp"


FORMATS = {
    "binance": lambda folder: write(folder, session()),
    "binance-stream": write_stream,
    "lobster": write_csv,
    "bitstamp": write_bitstamp_of,
    "tardis": write_tardis,
    "declared": write_declared,
    "hftbacktest": write_npz_of,
    "ticks": write_ticks_of,
}


def with_keys(path: Path, **values: object) -> None:
    """Say something of an instrument beside its session, whatever was said before."""
    old = path.read_text() if path.is_file() else "[recording]\n"
    for name, given_value in values.items():
        text = f"{name} = {json.dumps(given_value)}\n"
        lines = [line for line in old.splitlines(keepends=True) if not line.startswith(f"{name} =")]
        old = "".join(lines).replace("[recording]\n", f"[recording]\n{text}", 1)
    path.write_text(old)


@pytest.mark.parametrize("format", FORMATS)
def test_options_win_over_the_file_beside_which_wins_over_the_guess(tmp_path, format):
    path = FORMATS[format](tmp_path)
    plain = read_recording(path, format=format)
    with_keys(beside(path), venue="told", tick_size=plain.tick_size / 2, minimum_notional=5)
    said = read_recording(path, format=format)
    book = plain.events["kind"] != TRADE  # between the ticks of LOBSTER are trades, rounded by coarser ticks
    np.testing.assert_array_equal(said.events["price"][book], 2 * plain.events["price"][book])
    np.testing.assert_array_equal(said.events["quantity"], plain.events["quantity"])
    assert (said.venue, said.instrument.minimum_notional) == ("told", 5.0)
    assert said.instrument.maker_fee_bps is None
    if plain.orders is not None and said.orders is not None:
        np.testing.assert_array_equal(said.orders["price"], 2 * plain.orders["price"])
    settings = InstrumentSettings(
        tick_size=plain.tick_size / 4, lot_size=plain.lot_size / 5, symbol="other", maker_fee_bps=-0.5,
        currency="EUR",
    )  # fmt: skip
    again = read_recording(path, format=format, instrument=settings)
    np.testing.assert_array_equal(again.events["price"][book], 4 * plain.events["price"][book])
    np.testing.assert_array_equal(again.events["quantity"], 5 * plain.events["quantity"])
    assert (again.venue, again.symbol, again.currency) == ("told", "other", "EUR")
    assert again.instrument.maker_fee_bps == -0.5
    assert "guessed: tick_size" not in messages(again)


@pytest.mark.parametrize("format", ["binance", "bitstamp", "ticks", "lobster", "hftbacktest", "tardis"])
def test_a_tick_that_prices_are_no_multiples_of_is_refused(tmp_path, format):
    path = FORMATS[format](tmp_path)
    with pytest.raises(RecordingError, match=r"must be.* multiple of.* (the tick|0\.7).*received|tick_size"):
        read_recording(path, format=format, instrument=InstrumentSettings(tick_size=0.7))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tik_size = 1.0", "unknown key 'tik_size'; did you mean 'tick_size'"),
        ("tick_size = 'a'", "`tick_size` must be a number above 0 and below"),
        ("tick_size = nan", "`tick_size` must be a number above 0"),
        ("tick_size = true", "`tick_size` must be a number above 0"),
        ("inverse = 1", "`inverse` must be true or false; received 1"),
        ("maker_fee_bps = 1e9", "`maker_fee_bps` must be a number below 10,000"),
        ('symbol = "a\\u001b[2Jb"', "`symbol` must be a text of up to 100 printable characters"),
        ("currency = 5", "`currency` must be a text"),
        ("inverse = true", "an inverse contract must say the coin that it is settled in"),
        ("x = [" + "[" * 5000 + "]" * 5000 + "]", "nested too deep|must be TOML"),
        ("tick_size = ", "must be TOML"),
    ],
)
def test_a_file_beside_that_says_what_cannot_be(tmp_path, text, says):
    path = write(tmp_path, session())
    beside(path).write_text(text)
    with pytest.raises(RecordingError, match=says):
        read_recording(path)


@pytest.mark.parametrize("name", KEYS)
def test_options_that_cannot_be(name):
    wrong = {"inverse": 3, "venue": "a\nb", "symbol": 5, "currency": "x" * 101, "settlement": 1}
    with pytest.raises(UsageError, match=f"`{name}` must be"):
        InstrumentSettings(**{name: wrong.get(name, float("nan"))})


def test_what_is_guessed_is_a_finding_and_what_is_said_is_none(tmp_path):
    path = write_stream(tmp_path)
    said = messages(read_recording(path))
    assert (
        "note: guessed: tick_size 0.1 (the last decimals of the first price values); lot_size 0.001 (" in said
    )
    assert "; currency USDT (the symbol, BTCUSDT). If it is another, say it in btcusdt_20231114.toml" in said
    told = InstrumentSettings(tick_size=0.1, lot_size=0.001, currency="USDT")
    assert "guessed" not in messages(read_recording(path, instrument=told))


def test_an_unknown_currency_is_asked_for_by_the_file_that_helps(tmp_path):
    lines = [
        line.replace("BTCUSDT", "ABCXYZ").replace("btcusdt", "abcxyz") for line in stream_lines(session())
    ]
    path = write_stream(tmp_path, lines, "abcxyz_20231114.jsonl")
    with pytest.raises(RecordingError, match=r'Say it: currency = "..." in `abcxyz_20231114.toml` beside it'):
        read_recording(path)
    (tmp_path / "abcxyz_20231114.toml").write_text('currency = "XYZ"')
    assert read_recording(path).currency == "XYZ"
    assert read_recording(path, instrument=InstrumentSettings(currency="ABC")).currency == "ABC"


def test_coin_margined_symbols_are_quoted_in_dollars(tmp_path):
    tables = session()
    tables["trades"] = tables["trades"].with_columns(kind=pl.Series([0, 0, 0, 0, 1, 0]))
    lines = [line.replace("BTCUSDT", "BNBUSD_PERP") for line in stream_lines(tables, "coinm")]
    read = read_recording(write_stream(tmp_path, lines, "bnbusd_perp_20231114.jsonl"))
    of = read.instrument
    assert (of.currency, of.inverse, of.contract_value, of.money) == ("USD", True, 10.0, "BNB")
    assert "warning: an inverse contract: lots are contracts of a fixed value in USD, 10, settled in BNB" in (
        messages(read)
    )


def test_contracts_of_an_unknown_size_are_warned_of(tmp_path):
    write_tardis(tmp_path)
    for path in list(tmp_path.glob("x_*")):
        path.rename(path.with_name(path.name.replace("x_", "okex-swap_").replace("BTCUSDT", "SOL-USDT-SWAP")))
    path = tmp_path / "okex-swap_2023-11-14_SOL-USDT-SWAP"
    assert "warning: quantities are contracts, of how many coins is not known" in messages(
        read_recording(path)
    )
    said = read_recording(path, instrument=InstrumentSettings(contract_value=1.0))
    assert "quantities are contracts" not in messages(said)


BELOW = """\
34200.004,1,1,10,5012,1|5013,20,5012,10,5015,5,5010,7
34200.1,4,2,20,5013,-1|5015,5,5012,10,5020,9,5010,7
34201,5,0,3,5013,1|5015,5,5012,10,5020,9,5010,7
"""


def test_a_share_below_one_dollar_has_ticks_of_its_own(tmp_path):
    read = read_recording(write_csv(tmp_path, BELOW))
    assert read.tick_size == 1e-4
    assert read.events["price"][:4].tolist() == [5012, 5010, 5013, 5015]
    assert read.events["price"][read.events["kind"] == TRADE].tolist() == [5013, 5013]
    assert "guessed: tick_size 0.0001 (the first bids stand below 1 USD)" in messages(read)


def test_a_share_that_falls_below_one_dollar_is_asked_for_its_tick(tmp_path):
    above = "34199,1,9,10,10100,1|10200,20,10100,10,10300,5,10000,7\n"
    path = write_csv(tmp_path, 4 * above + BELOW)
    with pytest.raises(RecordingError, match=r"row 4 .*multiple of 100 .*`tick_size` says another"):
        read_recording(path)
    read = read_recording(path, instrument=InstrumentSettings(tick_size=1e-4))
    assert read.events["price"].min() == 5010
    with pytest.raises(RecordingError, match=r"`tick_size` must be a multiple of 0.0001 USD.*0.00015"):
        read_recording(path, instrument=InstrumentSettings(tick_size=0.00015))


def test_a_share_above_one_dollar_keeps_its_cents(tmp_path):
    assert read_recording(write_csv(tmp_path, TAPE)).tick_size == 0.01


@given(
    st.integers(0, 8),
    st.sampled_from([1, 5, 25]),
    st.integers(120, 400),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_the_grid_is_found_whatever_noise_is_on_it(decimals, step, count, seed, noisy):
    random = np.random.default_rng(seed)
    whole = step * np.concatenate([[1, 2], random.choice(np.arange(3, 5000), count, replace=False)])
    text = [f"{number / 10**decimals:.{decimals}f}" for number in whole]
    if noisy:
        at = int(random.integers(2, len(text)))
        text[at] = repr(float(text[at]) * (1.0 + 2.0**-52))
    grid = Grid("price")
    grid.feed(pl.Series(text[: len(text) // 2]))
    grid.feed(pl.Series(text[len(text) // 2 :]))
    assert grid.unit(Path("x")).value == pytest.approx(step / 10**decimals, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["0.9998", "0.9999", "1.0000", "1.0001"], 1e-4),  # a stablecoin: all near whole numbers
        (["0.00000012", "0.00000013"], 1e-8),
        (["59999.800000001", "59999.7", "60000"], 0.1),
        (["0.30000000000000004", "0.25", "17"], 0.01),
        (["100", "250", "300"], 1.0),
    ],
)
def test_the_last_decimal_of_few_values(values, unit):
    grid = Grid("price")
    grid.feed(pl.Series(values))
    assert grid.unit(Path("x")).value == pytest.approx(unit)


def test_few_values_make_no_coarser_grid_than_their_last_decimal():
    grid = Grid("price")
    grid.feed(pl.Series(["99.5", "100.0", "100.5"]))
    assert grid.unit(Path("x")).value == 0.1


def test_one_noisy_amount_sets_no_lot(tmp_path):
    write_tardis(tmp_path)
    depth = tmp_path / "x_incremental_book_L2_2023-11-14_BTCUSDT.csv"
    text = (
        depth.read_text() if depth.is_file() else gzip.decompress(Path(f"{depth}.gz").read_bytes()).decode()
    )
    lines = text.splitlines()
    amount = lines[1].split(",")[-1]
    lines[1] = lines[1].removesuffix(amount) + repr(float(amount) + 1e-15)
    assert "00000" in lines[1].split(",")[-1]
    plain = read_recording(tmp_path / "x_2023-11-14_BTCUSDT")
    depth.write_text("\n".join(lines) + "\n")
    noisy = read_recording(tmp_path / "x_2023-11-14_BTCUSDT")
    assert noisy.lot_size == plain.lot_size
    np.testing.assert_array_equal(noisy.events, plain.events)


@pytest.mark.parametrize("factor", [1_000, 1_000_000])
def test_times_of_the_venue_in_finer_units_are_told_by_their_size(tmp_path, factor):
    plain = read_recording(write(tmp_path, session()))
    tables = session()
    for name in ("depth", "trades", "bbo"):
        finer = [
            pl.when(pl.col(c) > 0).then(pl.col(c) * factor + factor // 10).otherwise(0).alias(c)
            for c in ("exch_ms", "txn_ms")
        ]
        tables[name] = tables[name].with_columns(finer)
    for path in (
        write(tmp_path, tables, "usdm_btcusdt_20231115"),
        write_stream(tmp_path, stream_lines(tables)),
    ):
        read = read_recording(path)
        assert "note: the venue's times are taken for us or ns since 1970, by their size" in messages(read)
        later = (read.events["exchange_time_ns"] - plain.events["exchange_time_ns"])[
            plain.events["kind"] != SNAPSHOT
        ]
        assert set(later.tolist()) == {100_000}
        for name in ("local_time_ns", "price", "quantity", "kind"):
            np.testing.assert_array_equal(read.events[name], plain.events[name])
    tables["depth"] = tables["depth"].with_columns(exch_ms=pl.col("exch_ms") // factor // 1000)
    with pytest.raises(
        RecordingError, match=r"`exch_ms` must be .*in the years|`exch_ms` must be within an hour"
    ):
        read_recording(write(tmp_path, tables))


def test_times_are_read_by_the_offset_that_they_name(tmp_path):
    names = ("2023-11-14 22:13:20.500000+00:00", "2023-11-15T00:13:21+0200", "2023-11-14 17:13:22-05")
    plain = read_recording(write_declared(tmp_path))
    read = read_recording(write_declared(tmp_path, names, "iso"))
    np.testing.assert_array_equal(read.events, plain.events)
    folder = tmp_path / "aware"  # and where a data frame stored them so, whatever the zone of the rest
    folder.mkdir()
    declared_parquet(folder)
    wanted = read_recording(folder)
    for path in folder.glob("*.parquet"):
        when = pl.from_epoch("when", "ms").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
        pl.read_parquet(path).with_columns(when).write_parquet(path)
    text = (folder / "sym_20231114.toml").read_text()
    (folder / "sym_20231114.toml").write_text(
        text.replace('unit = "ms"', 'unit = "iso", zone = "Europe/Berlin"')
    )
    np.testing.assert_array_equal(read_recording(folder).events, wanted.events)


@pytest.mark.parametrize("repair", [False, True])
def test_an_hour_that_comes_twice_is_refused(tmp_path, repair):
    times = ("2024-10-27 01:59:59", "2024-10-27 02:30:00", "2024-10-27 03:10:00")
    path = write_declared(tmp_path, times, "iso")
    assert read_recording(path).duration == 4201.0
    path.write_text(path.read_text().replace('unit = "iso"', 'unit = "iso", zone = "Europe/Berlin"'))
    with pytest.raises(
        RecordingError, match=r"row . .*an hour that comes twice.* received '2024-10-27 02:30:00'"
    ):
        read_recording(path, repair=repair)


def declared_parquet(folder: Path) -> None:
    """Write a declared session whose files are called as Binance's are."""
    times = [EPOCH_MS, EPOCH_MS + 500, EPOCH_MS + 900]
    quotes = {"when": times, "bid": [99.5, 99.5, 100.0], "bid size": [1.0, 2.0, 1.0]}
    quotes |= {"ask": [1005.0, 1010.0, 1010.0], "ask size": [1.0, 1.0, 3.0]}
    trades = {"when": times[1:], "taker": ["B", "S"], "price": [100.5, 100.0], "size": [1.0, 0.5]}
    pl.DataFrame(quotes).write_parquet(folder / "sym_20231114_quotes.parquet")
    pl.DataFrame(trades).write_parquet(folder / "sym_20231114_trades.parquet")
    text = TOML.format(unit="ms").replace("quotes.csv", "sym_20231114_quotes.parquet")
    text = text.replace("trades.csv", "sym_20231114_trades.parquet")
    (folder / "sym_20231114.toml").write_text(text)


def test_a_declaration_wins_over_a_guess_by_names(tmp_path):
    declared_parquet(tmp_path)
    assert [one.format for one in sessions_in(tmp_path)] == ["declared"]
    wanted = read_recording(tmp_path / "sym_20231114.toml")
    for path in (
        tmp_path,
        tmp_path / "sym_20231114_trades.parquet",
        tmp_path / "sym_20231114_quotes.parquet",
    ):
        np.testing.assert_array_equal(read_recording(path).events, wanted.events)
    (tmp_path / "sym_20231114.toml").unlink()
    with pytest.raises(
        RecordingError, match=r"must be MARKET_SYMBOL_DATE.* were taken for binance; .*`--format`"
    ):
        read_recording(tmp_path)


def test_a_file_that_describes_is_no_session_of_its_own(tmp_path):
    for write_one in (write_csv, write_stream):
        folder = tmp_path / write_one.__name__
        folder.mkdir()
        path = write_one(folder)
        beside(path).write_text("maker_fee_bps = 1\n")
        for named in (folder, beside(path)):
            read = read_recording(named)
            assert read.instrument.maker_fee_bps == 1.0
            np.testing.assert_array_equal(read.events, read_recording(path).events)


def test_what_was_said_goes_with_a_conversion(tmp_path):
    said = InstrumentSettings(
        contract_value=0.01, maker_fee_bps=-1.0, taker_fee_bps=5.0, minimum_notional=10.0, venue="okex-swap"
    )
    path = write(tmp_path, session())
    source = open_recording(path, instrument=said)
    write_ticks(source, tmp_path / "x.ticks.parquet")
    write_npz(read_recording(path, instrument=said), tmp_path / "x.npz")
    for name in ("x.ticks.parquet", "x.npz"):
        assert read_recording(tmp_path / name).instrument == source.instrument
    assert source.instrument.contract_value == 0.01


def test_only_what_was_said_changes_what_a_recording_is_known_by():
    """Run folders of before stay those of their recordings: what a symbol tells adds nothing."""
    plain = read_recording(sample_recording())
    assert identity_of_recording(plain) == "296d862e508fc2bf"
    for change in ({"contract_value": 2.0}, {"minimum_notional": 5.0}, {"currency": "USDC"}):
        other = replace(plain, instrument=plain.instrument._replace(**change))
        assert identity_of_recording(other) != identity_of_recording(plain)


def test_the_command_line_says_what_is_traded(tmp_path, capsys):
    path = str(write(tmp_path, session()))
    told = [
        "--instrument.tick-size",
        "0.05",
        "--instrument.currency",
        "USDC",
        "--instrument.inverse",
        "False",
    ]
    assert main(["data", "check", path, "--json", *told]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["tick_size"], result["currency"], result["inverse"]) == (0.05, "USDC", False)
    assert main(["data", "check", path, "--instrument.tick-size", "0.7"]) == 3
    assert "every price must be a multiple of the tick that is said, 0.7" in capsys.readouterr().err
    assert main(["data", "check", path, "--instrument.tick-size", "-1"]) == 2


class TestGridOfTheBook:
    """Tick and lot are those of the book as it opens, not of a trade that is printed between two prices."""

    def test_a_trade_off_the_grid_and_what_comes_late_set_no_tick(self):
        grid = Grid("price")
        grid.feed(pl.Series([f"{60_000 + 0.1 * place:.1f}" for place in range(ENOUGH)]))
        grid.feed(pl.Series(["60000.05", "60000.0137"]), of_book=False)
        grid.feed(pl.Series(["60000.05"]))  # in the part that nothing has seen
        assert grid.unit(Path("x")) == (0.1, "the last decimals of the first price values")

    def test_a_grid_is_found_within_the_first_values_of_a_table(self):
        """One table holds a whole short recording: its end is not looked at."""
        grid = Grid("price")
        grid.feed(pl.Series([0.5 * place for place in range(1, 2 * ENOUGH)] + [7.123]))
        assert grid.unit(Path("x")) == (0.5, "a grid of the first price values")

    def test_trades_tell_where_the_book_says_little(self):
        grid = Grid("amount")
        grid.feed(pl.Series(["1", "2"]))
        grid.feed(pl.Series(["0.25"]), of_book=False)
        assert grid.unit(Path("x")).value == 0.01
