"""What a maker learns from and where it is judged: fixed before anything was run.

Protocol A: heads see the recordings of other nights of the same kind of market whole, and those of the judged
night before the moment at which the judged one's last 40 % begins, by the clock; positions are valued, and the
gate is set, on the judged recording's own first part. Protocol B: heads, values and gate see other recordings
alone, whose market is of the same kind; of the judged one's first part only its scales are taken, which any
calibration measures. Orders whose fate is not known at the border are left out on its near side.
"""

from collections.abc import Mapping
from typing import NamedTuple

from flowhft.learn.recordings.examples import Examples, scales_of
from flowhft.learn.recordings.settings import MakerSettings

SHARE = 0.6  # of a recording's time that is learned from
COIN = MakerSettings(interval=0.2, lifetime=1.0, edge_horizon=5.0, block=10.0)
EQUITY = MakerSettings()
DAY_NS = 86_400_000_000_000
LATE = 0.05  # seconds by which what became of an order is known later than its life and horizon say
BORDER = 600.0  # seconds that are left out on either side of a fold


class Kind(NamedTuple):
    """A kind of market.

    Attributes:
        name: that its recordings share.
        settings: of makers there.
        rebate_bps: what a venue pays for a fill, basis points of its value; None where it is by the share.
        rebate: what it pays a share, currency.
    """

    name: str
    settings: MakerSettings
    rebate_bps: float | None
    rebate: float = 0.0


# By how a venue's name begins.
KINDS = {
    "binance": Kind("binance", COIN, 0.5),
    "nasdaq": Kind("nasdaq", EQUITY, None, 0.002),
    "": Kind("other", EQUITY, 0.0),
}


def kind_of(venue: str) -> Kind:
    """Return the kind of market of a venue."""
    return next(kind for begin, kind in KINDS.items() if venue.startswith(begin))


class Seen(NamedTuple):
    """A recording as the study knows it.

    Attributes:
        name: of its files.
        kind: of its market.
        first_ns, last_ns: its events, local clock.
        examples: its decisions.
    """

    name: str
    kind: Kind
    first_ns: int
    last_ns: int
    examples: Examples

    @property
    def night(self) -> int:
        """Return the day of its first event: recordings of one are of one night."""
        return self.first_ns // DAY_NS

    @property
    def border_ns(self) -> int:
        """Return when its last part begins."""
        return self.first_ns + round(SHARE * (self.last_ns - self.first_ns))

    def until(self, time_ns: int) -> Examples:
        """Return its decisions whose orders' fate was known at a time, in scales of their own."""
        settings = self.kind.settings
        known = time_ns - round((settings.lifetime + settings.edge_horizon + LATE) * 1e9)
        return rescaled(self.examples.between(None, known))


def rescaled(examples: Examples) -> Examples:
    """Return examples in scales that their own signals make; the unit of moves stays."""
    return examples._replace(scales=scales_of(examples.signals, examples.scales.unit))


class Lesson(NamedTuple):
    """What a maker for one recording learns from.

    Attributes:
        examples: of each recording, those with decisions.
        like: which of them its positions are valued on, and its gate is set on.
        own: the judged recording's first part, which its scales are of.
    """

    examples: tuple[Examples, ...]
    like: tuple[int, ...]
    own: Examples


def lesson_for(name: str, recordings: Mapping[str, Seen], protocol: str) -> Lesson:
    """Return what a maker learns from.

    Args:
        name: of the recording that it is judged on.
        recordings: all that there are.
        protocol: "A" or "B".
    """
    judged = recordings[name]
    border = judged.border_ns
    own = judged.until(border)
    others = [
        one.until(border) if one.night == judged.night else rescaled(one.examples)
        for other, one in recordings.items()
        if other != name and one.kind.name == judged.kind.name and (protocol == "A" or one.night != judged.night)
    ]
    others = [one for one in others if len(one.time_ns) > 1]
    if protocol == "A":
        return Lesson((own, *others), (0,), own)
    return Lesson(tuple(others), tuple(range(len(others))), own)
