"""What the study fixes before anything is run: kinds of markets, their settings, and two protocols.

Protocol A: heads see the recordings of other nights of the same kind of market whole, and those of the
evaluated night before the moment at which the evaluated one's last 40 % begins, by the clock; positions are
valued, and the gate is set, on the evaluated recording's own first part. Protocol B: heads, values and gate
see other nights alone; of the evaluated recording's first part only its scales are taken, which any
calibration measures.
"""

from collections.abc import Mapping
from typing import NamedTuple

from flowhft.learn.recordings.settings import MakerSettings
from flowhft.learn.recordings.training_set import Seen, TrainingSet, training_set

SHARE = 0.6  # of a recording's time that is learned from
COIN = MakerSettings(interval=0.2, lifetime=1.0, edge_horizon=5.0, block=10.0)
EQUITY = MakerSettings()
PROTOCOLS = ("A", "B")


class Kind(NamedTuple):
    """A kind of market.

    Attributes:
        name: that its recordings share.
        settings: of makers there.
        rebate_bps: what a venue pays for a fill, basis points of its value.
        rebate: what it pays a share or coin, currency.
    """

    name: str
    settings: MakerSettings
    rebate_bps: float
    rebate: float = 0.0


# By how a venue's name begins.
KINDS = {
    "binance": Kind("binance", COIN, 0.5),
    "nasdaq": Kind("nasdaq", EQUITY, 0.0, 0.002),
    "": Kind("other", EQUITY, 0.0),
}


def kind_of(venue: str) -> Kind:
    """Return the kind of market of a venue."""
    return next(kind for begin, kind in KINDS.items() if venue.startswith(begin))


def set_for(
    name: str, recordings: Mapping[str, Seen], kinds: Mapping[str, Kind], protocol: str
) -> TrainingSet:
    """Return what a maker learns from.

    Args:
        name: of the recording that it is evaluated on.
        recordings: all that there are.
        kinds: of market, of each.
        protocol: one of `PROTOCOLS`.

    Raises:
        DataError: there is nothing to learn from.
    """
    others = [one for other, one in recordings.items() if other != name and kinds[other] == kinds[name]]
    return training_set(recordings[name], others, SHARE, own_part=protocol == "A")
