"""What a session needs of a venue: somebody who takes requests, tells what became of orders, and has a clock.

Thin on purpose: whoever holds the pointer of a replay or the socket of an exchange offers these three, and
nothing of the order rules, of risk or of the account is known there.
"""

from collections.abc import Sequence
from typing import Protocol

from flowhft.desk.orders import OrderUpdate, Requests


class Venue(Protocol):
    """Where orders go."""

    def time(self) -> int:
        """Return the time on the local clock, ns."""

    def send(self, requests: Requests) -> float:
        """Send what is requested, the bid's first and on each side the cancellation first.

        Returns:
            Microseconds until it is at the venue, as far as that is known; else NaN.
        """

    def poll(self) -> Sequence[OrderUpdate]:
        """Return what has been heard of our orders since the last call, in the order of booking."""
