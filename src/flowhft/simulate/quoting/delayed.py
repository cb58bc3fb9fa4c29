"""Decision delay: a quote stands in the market some steps after the observation that it was decided on."""

from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.types import Observation, Policy, Quote

# What is late: the distances from the mid, which something faster keeps at the mid, or the prices themselves.
Late = Literal["quotes", "prices"]


class Memory(NamedTuple):
    """What a delayed policy remembers between two steps of one session.

    Attributes:
        within: memory of the policy within.
        bid, ask: (delay,): decisions that are on their way, the next one to stand first: half-spreads, from
            the mid or, if prices are late, from the session's first mid price; ticks.
        decided: quotes that were decided so far.
    """

    within: Any
    bid: Float[Array, " delay"]
    ask: Float[Array, " delay"]
    decided: Int[Array, ""]


class Delayed(eqx.Module):
    """Another policy whose decisions take `delay` steps to reach the market.

    With late *quotes*, in step i stand the half-spreads that were decided on the observation of step
    i - delay, around the mid of step i: whatever follows the mid is fast, and only the decision is slow. With
    late *prices* nothing follows the mid:

        half_spread_bid[i] = (decided at i - delay) + mid[i] - mid[i - delay]        (ask: the signs reversed)

    so that a stale quote is picked off when the mid comes to it, and its half-spread may be negative.

    In the first `delay` steps the first decision stands: the opening quote, which depends on nothing that is
    not known before the opening. The policy sees inventory and price as they are when it decides, and is not
    told which of its quotes are still on their way.

    Attributes:
        policy: who decides.
        delay: steps from a decision to the market, at least 1.
        late: what is late, `quotes` or `prices`.
    """

    policy: Policy
    delay: int = eqx.field(static=True)
    late: Late = eqx.field(static=True, default="quotes")

    def __check_init__(self) -> None:
        """Refuse a delay that is none."""
        require(self.delay >= 1, "delay", "be at least 1 step for a delayed policy", self.delay)
        require(self.late in get_args(Late), "late", f"be {' or '.join(get_args(Late))}", repr(self.late))

    @property
    def sees_price(self) -> bool:
        """Whether quotes depend on the mid price: a price that is late is measured from it."""
        return self.late == "prices" or bool(getattr(self.policy, "sees_price", True))

    def init(self) -> Memory:
        """Return the memory of a session that has just begun: nothing is on its way."""
        nothing = jnp.zeros(self.delay, jnp.float32)
        return Memory(self.policy.init(), nothing, nothing, jnp.zeros((), jnp.int32))

    def act(self, memory: Memory, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Memory]:
        """Return the quote that stands now, and send the one that is decided now on its way."""
        quote, within = self.policy.act(memory.within, observation, key)
        origin = observation.mid_price if self.late == "prices" else jnp.zeros(())
        bid, ask = quote.half_spread_bid - origin, quote.half_spread_ask + origin
        first = memory.decided == 0
        bids, asks = jnp.where(first, bid, memory.bid), jnp.where(first, ask, memory.ask)
        standing = Quote(bids[0] + origin, asks[0] - origin)
        sent = Memory(within, jnp.append(bids[1:], bid), jnp.append(asks[1:], ask), memory.decided + 1)
        return standing, sent


def delayed(policy: Policy, steps: int, late: Late = "quotes") -> Policy:
    """Return a policy whose decisions reach the market some steps later; itself where there is no delay.

    Args:
        policy: who decides.
        steps: from a decision to the market; 0 is the market without delay.
        late: what is late, half-spreads around the mid (`quotes`) or `prices`.

    Raises:
        UsageError: a negative number of steps, or something else that is late.
    """
    require(steps >= 0, "delay", "be 0 steps or more", steps)
    return Delayed(policy, steps, late) if steps else policy
