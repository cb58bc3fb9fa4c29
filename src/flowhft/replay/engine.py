"""The replay: frozen policies quote into a recording, and hftbacktest says which of their orders fill.

One compiled loop serves every policy. At each decision it shows the policy what the tape shows plus its
own inventory and cash, turns the quote into prices on the tick grid that do not cross the book, and sends
what has changed: post-only limit orders, one bid and one ask at most. The engine knows queues, latencies
and the venue's book; the accounting is done here, in whole lots and ticks.

Not modelled: the market's answer to our orders, and liquidity that our fills took from others.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numba import njit

from flowhft.errors import FlowhftError, require
from flowhft.frozen import Frozen, begin, quote
from flowhft.recordings.book import mid_at, top_of_book
from flowhft.recordings.ticks import BUY, SELL, Recording
from flowhft.replay.events import exchange_events
from flowhft.replay.latency import charged_latency
from flowhft.replay.settings import ReplaySettings
from flowhft.replay.tape import OrderFlow, Tape, read_tape
from flowhft.runs import stream
from flowhft.types import Fill, Observation, Progress, Quote, Trajectory, no_progress

# hftbacktest's names for the state of an order and for what was asked of it; see its `order.py`.
NONE, EXPIRED, FILLED, CANCELED, POST_ONLY, LIMIT = 0, 2, 3, 4, 1, 0
# What a call to the engine returns: below 10 all is well (1 is the end of the data).
FAILED = 10
