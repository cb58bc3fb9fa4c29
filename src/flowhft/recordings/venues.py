"""What a venue's name and a symbol tell of an instrument: the currency of its prices, and inverse contracts.

Letters are never cut out of a symbol: a currency is one of `CURRENCIES`, found where the venue writes it.
Where no rule knows, or two readings are possible, nothing is returned, and whoever reads has to be told.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

# Longer names are looked for before those that they end with.
CURRENCIES = tuple(
    sorted(
        (
            *(
                "USD",
                "EUR",
                "GBP",
                "JPY",
                "CHF",
                "AUD",
                "CAD",
                "NZD",
                "KRW",
                "TRY",
                "BRL",
                "MXN",
                "ARS",
                "COP",
            ),
            *(
                "ZAR",
                "NGN",
                "UAH",
                "RUB",
                "PLN",
                "RON",
                "CZK",
                "SEK",
                "NOK",
                "DKK",
                "HUF",
                "INR",
                "IDR",
                "THB",
            ),
            *("VND", "PHP", "SGD", "HKD", "TWD", "CNY", "CNH", "AED", "SAR", "ILS", "KZT"),
            *(
                "USDT",
                "USDC",
                "FDUSD",
                "BUSD",
                "TUSD",
                "USDP",
                "USDS",
                "USD1",
                "USDE",
                "PYUSD",
                "GUSD",
                "RLUSD",
            ),
            *("DAI", "PAX", "UST", "EURT", "EURC", "EURI", "AEUR", "BIDR", "IDRT", "BRZ", "XUSD", "BFUSD"),
            *("BTC", "XBT", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "DOT", "EOS"),
        ),
        key=lambda name: (-len(name), name),
    )
)
# Coins that tell BNB-USD from BN-BUSD where a symbol is written in one word.
COINS = frozenset(
    (
        *CURRENCIES,
        *("ADA", "ALGO", "APT", "ARB", "ATOM", "AVAX", "AXS", "BCH", "BSV", "CRV"),
        *("DASH", "ETC", "FIL", "FTM", "HBAR", "ICP", "INJ", "LINK", "LTC", "MATIC"),
        *("NEAR", "NEO", "OP", "POL", "PEPE", "SAND", "SEI", "SHIB", "SUI", "TIA"),
        *("TON", "UNI", "VET", "WBTC", "WIF", "WLD", "XLM", "XMR", "XTZ", "ZEC"),
    )
)
# Venues on which nothing is quoted in dollars but by the names of coins.
WITHOUT_DOLLARS = ("binance", "binance-spot", "binance-usdm", "binance-futures")
# Venues that count contracts, of a number of coins that their symbols do not tell.
COUNT_CONTRACTS = (
    *("okex-swap", "okex-futures", "gate-io-futures", "huobi-dm-linear-swap", "kucoin-futures", "bitmex"),
)
TEN_AND_BTC = {"BTC": 100.0, "": 10.0}  # dollars of a contract by its coin; "" for all others
PARTS = re.compile(r"[-_/:]")


class Terms(NamedTuple):
    """What is known of an instrument beside its units.

    Attributes:
        currency: unit of prices.
        inverse: as in `Instrument`, and so is the next.
        contract_value: None: it is not known.
        settlement: currency of PnL where it is not that of prices.
    """

    currency: str
    inverse: bool = False
    contract_value: float | None = 1.0
    settlement: str = ""


class Rule(NamedTuple):
    """How a venue names some of its contracts.

    Attributes:
        venues: names of the venue, ours and those of Tardis.
        symbol: a pattern with the group `coin`, and `currency` where the symbol says it.
        currency: unit of prices where the symbol does not say it; "coin": that of the group.
        values: of an inverse contract, dollars by coin; None: it is linear.
        contracts: coins in a linear contract, by coin; for a coin that is not there it is not known.
    """

    venues: tuple[str, ...]
    symbol: str
    currency: str = ""
    values: Mapping[str, float] | None = None
    contracts: Mapping[str, float] | None = None


# Sources: the venues' contract specifications, and Tardis.dev's "Historical data details" for how symbols and
# amounts are written. The first rule that fits decides.
RULES = (
    # Binance, COIN-M futures: 100 USD of BTC, 10 USD of anything else.
    Rule(("binance-coinm", "binance-delivery"), r"(?P<coin>\w+?)USD(?:_\w+)?", "USD", TEN_AND_BTC),
    # BitMEX: XBTUSD and dated XBT contracts are 1 USD; those of other coins in USD are quanto.
    Rule(("bitmex",), r"(?P<coin>XBT)(?:USD|[FGHJKMNQUVXZ]\d\d)", "USD", {"": 1.0}),
    # Deribit counts dollars, not contracts; options are priced in their coin.
    Rule(("deribit",), r"(?P<coin>[A-Z0-9]+)-(?:PERPETUAL|\d+[A-Z]{3}\d\d)", "USD", {"": 1.0}),
    Rule(("deribit",), r"(?P<coin>[A-Z0-9]+)-\d+[A-Z]{3}\d\d-\d+-[CP]", "coin"),
    # OKX: inverse contracts of 100 and 10 USD, linear ones of a part of a coin.
    Rule(("okex-swap", "okex-futures"), r"(?P<coin>\w+)-(?P<currency>USD)-\w+", "", TEN_AND_BTC),
    Rule(
        ("okex-swap", "okex-futures"),
        r"(?P<coin>\w+)-(?P<currency>\w+)-\w+",
        contracts={"BTC": 0.01, "ETH": 0.1},
    ),
    Rule(("okex-options",), r"(?P<coin>\w+)-USD-\d+-\d+-[CP]", "coin"),
    # Bybit: inverse contracts are 1 USD; what ends with PERP is quoted in USDC.
    Rule(("bybit",), r"(?P<coin>[A-Z0-9]+)USD(?:[FGHJKMNQUVXZ]\d\d)?", "USD", {"": 1.0}),
    Rule(("bybit",), r"(?P<coin>[A-Z0-9]+)PERP", "USDC"),
    # Kraken futures: PI and FI are inverse, 1 USD; PF and FF linear.
    Rule(("cryptofacilities", "kraken-futures"), r"[PF]I_(?P<coin>[A-Z0-9]+)USD(?:_\d+)?", "USD", {"": 1.0}),
    Rule(("cryptofacilities", "kraken-futures"), r"[PF]F_(?P<coin>[A-Z0-9]+)USD(?:_\d+)?", "USD"),
    # Huobi: coin-margined contracts of 100 and 10 USD.
    Rule(("huobi-dm-swap",), r"(?P<coin>\w+)-USD", "USD", TEN_AND_BTC),
    Rule(("huobi-dm",), r"(?P<coin>[A-Z0-9]+?)(?:_\w+|\d{6})", "USD", TEN_AND_BTC),
    Rule(("phemex",), r"(?P<coin>BTC)USD", "USD", {"": 1.0}),
    Rule(("ftx",), r"(?P<coin>[A-Z0-9]+)-(?:PERP|\d{4})", "USD"),
    Rule(("upbit",), r"(?P<currency>[A-Z]+)-(?P<coin>[A-Z0-9]+)"),  # the currency stands first
)
# Symbols of these look like those of other venues and mean something else: only rules are believed.
RULES_ONLY = ("bitmex", "phemex", "poloniex", "huobi-dm", "huobi-dm-swap", "cryptofacilities", "upbit")


def terms_of(venue: str, symbol: str) -> Terms | None:
    """Return what a symbol tells of an instrument; None where its currency has to be said.

    Args:
        venue: by the name of ours or of Tardis; any other has symbols like BTCUSDT, BTC-USDT or BTC_USDT.
        symbol: as the venue writes it, in capitals or not.

    Example:
        >>> terms_of("binance-coinm", "DOTUSD_PERP")
        Terms(currency='USD', inverse=True, contract_value=10.0, settlement='DOT')
        >>> terms_of("coinbase", "USDT-USD").currency, terms_of("binance-spot", "ETHBTC").currency
        ('USD', 'BTC')
    """
    symbol = symbol.upper()
    for rule in RULES:
        result = re.fullmatch(rule.symbol, symbol) if venue in rule.venues else None
        if result is None:
            continue
        groups = result.groupdict()
        coin, currency = groups["coin"], groups.get("currency") or rule.currency
        if currency == "coin":
            return Terms(coin)
        if currency not in CURRENCIES:
            return None
        if rule.values is not None:
            return Terms(currency, True, rule.values.get(coin, rule.values.get("")), coin)
        return Terms(currency, contract_value=1.0 if rule.contracts is None else rule.contracts.get(coin))
    if venue in RULES_ONLY:
        return None
    guessed_currency = currency_of(symbol, dollars=venue not in WITHOUT_DOLLARS)
    value = None if venue in COUNT_CONTRACTS else 1.0
    return None if guessed_currency is None else Terms(guessed_currency, contract_value=value)


def currency_of(symbol: str, dollars: bool = True) -> str | None:
    """Return the currency that a symbol ends with, or names second; None where two readings are possible.

    Args:
        symbol: in capitals.
        dollars: whether the venue quotes in dollars.
    """
    first, *others = PARTS.split(symbol)
    if others and others[0] in CURRENCIES:
        return others[0]
    readings = [
        (first.removesuffix(name), name) for name in CURRENCIES if first.endswith(name) and first != name
    ]
    if not dollars and len(readings) > 1:
        readings = [(coin, name) for coin, name in readings if name != "USD"]
    if len(readings) > 1:
        readings = [(coin, name) for coin, name in readings if coin in COINS]
    return readings[0][1] if len(readings) == 1 else None
