"""Feeds of one recording against each other: one that stops, pauses or begins late, one that lags.

A market that is quiet is quiet in all of its feeds. One that says nothing while the others go on, for so long
that by their usual shares it should have said something many times, was lost.
"""

import numpy as np

from flowhft.recordings.ticks import DEPTH, SNAPSHOT, TOP, TRADE, Finding

FEEDS = {"depth": (DEPTH, SNAPSHOT), "trades": (TRADE,), "best prices": (TOP,)}
FEWEST = 100  # messages, below which nothing is said of a feed
# How long a feed must say nothing, ns, and how many messages it should have sent meanwhile. Orders that trade
# come in bursts: quotes of a stock go on without a trade for a minute and a half (BAC, NASDAQ, 2013).
SILENT_NS = {"depth": 10 * 10**9, "trades": 60 * 10**9, "best prices": 10 * 10**9}
MISSED = {"depth": 50, "trades": 500, "best prices": 50}
LAG_NS = 500 * 10**6  # by which the fastest message of one feed may be slower than that of another


class Feeds:
    """Looks at the feeds of a session chunk by chunk; remembers a few numbers a feed."""

    def __init__(self) -> None:
        self._all = 0  # messages of all feeds
        self._begin = self._end = 0
        self._messages = dict.fromkeys(FEEDS, 0)
        self._latest: dict[str, tuple[int, int]] = {}  # number among all messages, and local time
        self._longest: dict[str, tuple[int, int, int]] = {}  # others meanwhile, from and to which local time
        self._fastest: dict[str, int] = {}

    def feed(self, events: np.ndarray) -> None:
        """Look at the next events, in the order of their arrival; at least one."""
        begins = np.ones(len(events), bool)
        begins[1:] = False
        for name in ("message", "kind", "local_time_ns"):
            begins[1:] |= events[name][1:] != events[name][:-1]
        kind, local = events["kind"][begins], events["local_time_ns"][begins]
        made = events["exchange_time_ns"][begins]
        if not self._all:
            self._begin = int(local[0])
        self._end = int(local[-1])
        for name, kinds in FEEDS.items():
            own = np.flatnonzero(np.isin(kind, kinds))
            if not len(own):
                continue
            number, when = self._latest.get(name, (-1, self._begin))
            numbers = np.concatenate([[number], self._all + own])
            times = np.concatenate([[when], local[own]])
            others = np.diff(numbers) - 1
            most = int(np.argmax(others))
            results = (int(others[most]), int(times[most]), int(times[most + 1]))
            self._longest[name] = max(self._longest.get(name, (0, 0, 0)), results)
            self._messages[name] += len(own)
            self._latest[name] = (int(numbers[-1]), int(times[-1]))
            dated = own[kind[own] != SNAPSHOT]  # a snapshot answers a request
            if len(dated):
                latency = int((local[dated] - made[dated]).min())
                self._fastest[name] = min(self._fastest.get(name, latency), latency)
        self._all += len(kind)

    def findings(self) -> list[Finding]:
        """Return what was seen."""
        messages = []
        known = [name for name in self._fastest if self._messages[name] >= FEWEST]
        for name in known:
            number, when = self._latest[name]
            others, begin, end = max(self._longest[name], (self._all - 1 - number, when, self._end))
            elsewhere = self._all - self._messages[name] - others
            should = others * self._messages[name] / max(elsewhere, 1)
            if end - begin > SILENT_NS[name] and should > MISSED[name]:
                messages.append(
                    f"{name} stop for {(end - begin) * 1e-9:,.1f} s from local time {begin:,} ns on, while "
                    f"the other feeds send {others:,} messages: they were lost, and what is measured of "
                    "them is not the market's."
                )
        for name in known:
            lag = self._fastest[name] - min(self._fastest[other] for other in known)
            if lag > LAG_NS:
                messages.append(
                    f"{name} lag: the fastest of them arrives {lag / 1e6:,.0f} ms later than that of another "
                    "feed. A replay lets policies see each as it arrived: set the feed's latency "
                    "(--replay.feed-latency-ms), or record again."
                )
        return [Finding("warning", one) for one in messages]
