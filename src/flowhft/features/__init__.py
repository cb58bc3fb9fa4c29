"""The one feature function: what a learned policy makes of its observations.

The simulator, the tick replay and a live session all call `sense` and then a feature function, so that
nothing differs between training and use. All are plain arithmetic on numbers: they run unchanged under
numpy, numba (`numba.njit(sense)`) and jax, and work on one path.

Flow policies have two kinds of features. `paper` is the state of the FlowHFT paper (time, cash, inventory,
price, previous spread), which holds neither volatility nor arrival rate. `context` adds what a market maker
can *sense*: running estimates of volatility, rates, trend, memory and toxicity, and the last few steps;
none of it told. A third, `told`, is `context` with the numbers of the regime behind it: what a policy
could do that knew its market, to compare others with. It has no function of its own, since nobody can
sense them. `book` is what each side of a market sees of its order book, where it shows one
(`flowhft.features.book_side`). Agents see `state`, the paper's state in units of their own, or `regime`,
which is to it what `told` is to `context`.
"""

from flowhft.features.kinds import (
    ANSWERS,
    BOOK,
    CONTEXT,
    FUNCTIONS,
    HALF_SPREADS,
    KINDS,
    NAMES,
    PAPER,
    REGIME,
    context_features,
    paper_features,
)
from flowhft.features.memory import (
    LAST,
    PACKED,
    Memory,
    Step,
    note_quote,
    pack,
    remember_nothing,
    sense,
    unpack,
)
from flowhft.features.sensor import Sensor, sensor_in_units
from flowhft.features.state import IN_TICKS, STATE, LastSpread, Units, state_features

__all__ = [
    "ANSWERS",
    "BOOK",
    "CONTEXT",
    "FUNCTIONS",
    "HALF_SPREADS",
    "IN_TICKS",
    "KINDS",
    "LAST",
    "NAMES",
    "PACKED",
    "PAPER",
    "REGIME",
    "STATE",
    "LastSpread",
    "Memory",
    "Sensor",
    "Step",
    "Units",
    "context_features",
    "note_quote",
    "pack",
    "paper_features",
    "remember_nothing",
    "sense",
    "sensor_in_units",
    "state_features",
    "unpack",
]
