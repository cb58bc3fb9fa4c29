"""Rules at the touch: prices of the book, joined or bettered by a tick."""

import numpy as np
import pytest

from flowhft.features.book import NAMES
from flowhft.policies import rules
from flowhft.policies.rules import touch
from flowhft.types import Estimates, Observation

SPREAD = NAMES.index("log_spread")
SEEN = Observation(0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def half_spread(name: str, ticks: float) -> float:
    book = np.full(len(NAMES), np.nan)
    book[SPREAD] = np.log(ticks)
    expert = rules.get(name)
    told = expert.coefficients(Estimates(1.0, 0.0, 1.0, 1.0, 1.0), 0.1)
    quote = expert.quote(told, SEEN._replace(book=book), (0.0, 0.0))
    assert quote.half_spread_ask == quote.half_spread_bid
    return quote.half_spread_bid


@pytest.mark.parametrize("ticks", [*range(1, 30), 1_000])
def test_half_spreads_are_exact_multiples_of_half_a_tick(ticks):
    assert half_spread("join", ticks) == 0.5 * ticks
    assert half_spread("improve", ticks) == 0.5 * ticks - (1.0 if ticks >= 3 else 0.0)


def test_without_a_book_neither_side_is_quoted():
    for book in (None, np.zeros(0)):
        quote = touch.quote(touch.Coefficients(0.0), SEEN._replace(book=book), (0.0, 0.0))
        assert np.isnan(quote.half_spread_bid)
        assert np.isnan(quote.half_spread_ask)
