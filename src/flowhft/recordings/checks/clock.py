"""How far a receiver's clock runs behind the venue's, whatever single messages say."""

import numpy as np
from jaxtyping import Int

from flowhft.recordings.ticks import Finding

STRAY_NS = 50 * 10**6  # by which a message must be faster than nearly all others to be no clock
STRAYS = 1_000  # one message in so many may be such
KEPT = 4_096  # of the fastest messages, or one in `KEPT_OF` where those are more
KEPT_OF = 200


class LocalClock:
    """Learns by how much a local clock must be moved forward so that no message arrives before it was sent.

    The fastest message decides. But one in a thousand may carry a time that is simply wrong: where the
    fastest messages lie apart from all others by more than 50 ms, they say nothing of the clock.
    """

    def __init__(self) -> None:
        self._messages = 0
        self._fastest: np.ndarray = np.empty(0, np.int64)

    def feed(self, latency_ns: Int[np.ndarray, " message"]) -> None:
        """Take local minus venue's time of the next messages, ns; of those that tell both."""
        self._messages += len(latency_ns)
        kept = max(KEPT, self._messages // KEPT_OF)
        fastest = np.concatenate([self._fastest, latency_ns])
        self._fastest = np.partition(fastest, kept)[:kept] if len(fastest) > kept else fastest

    @property
    def offset_ns(self) -> int:
        """Return what must be added to the local clock, ns; 0 or more."""
        fastest = np.sort(self._fastest)[self.strays :]
        return max(0, -int(fastest[0])) if len(fastest) else 0

    @property
    def strays(self) -> int:
        """Return how many messages were so far ahead of all others that they are no clock."""
        fastest, some = np.sort(self._fastest), self._messages // STRAYS
        usual = int(fastest[min(some, len(fastest) - 1)]) if len(fastest) else 0
        return int(np.searchsorted(fastest, usual - STRAY_NS))

    def findings(self, path_name: str) -> list[Finding]:
        """Return what is said of messages that are no clock.

        Args:
            path_name: of the session, for people.
        """
        if not self.strays:
            return []
        ahead = -int(self._fastest.min()) - self.offset_ns
        return [
            Finding(
                "warning",
                f"`{path_name}`: {self.strays:,} messages carry a time of the venue up to {ahead / 1e6:,.0f} "
                "ms after their arrival, unlike all others: it says nothing of the clocks, and the time of "
                "arrival stands in for it.",
            )
        ]
