"""Decision delay: a quote stands in the market some steps after the observation that it was decided on."""

from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flowhft.errors import require
from flowhft.policies.options import Late
from flowhft.policies.own import OwnPolicy, own_policy
from flowhft.types import Observation, Policy, Quote


class Memory(NamedTuple):
    """What a delayed policy remembers between two steps of one session.

    Attributes:
        within: memory of the policy within.
        sent: (delay, 4): decisions that are on their way, the next one to stand first: the fields of a
            `Quote`, half-spreads from the mid or, if prices are late, from the session's first mid price.
        decided: quotes that were decided so far.
    """

    within: Any
    sent: Float[Array, "delay field"]
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
        nothing = jnp.zeros((self.delay, len(Quote._fields)), jnp.float32)
        return Memory(self.policy.init(), nothing, jnp.zeros((), jnp.int32))

    def act(self, memory: Memory, observation: Observation, key: PRNGKeyArray) -> tuple[Quote, Memory]:
        """Return the quote that stands now, and send the one that is decided now on its way."""
        quote, within = self.policy.act(memory.within, observation, key)
        fields = [jnp.asarray(field, jnp.float32) for field in _moved(quote, self.late, observation, -1.0)]
        decided = jnp.stack(fields)
        sent = jnp.where(memory.decided == 0, decided, memory.sent)
        standing = _moved(Quote(*sent[0]), self.late, observation, 1.0)
        return standing, Memory(within, jnp.concatenate([sent[1:], decided[None]]), memory.decided + 1)


@dataclass(frozen=True)
class DelayedOwn:
    """A user's own policy whose decisions are late in the same way: plain Python, like what it calls.

    Attributes:
        policy: who decides.
        delay: steps from a decision to the market, at least 1.
        late: what is late, `quotes` or `prices`.
    """

    policy: OwnPolicy
    delay: int
    late: Late

    def init(self) -> tuple[Any, tuple[Quote, ...]]:
        """Return the memory of a session that has just begun: nothing is on its way."""
        return self.policy.init(), ()

    def act(self, memory: Any, observation: Observation, key: Any) -> tuple[Quote, Any]:
        """Return the quote that stands now, and send the one that is decided now on its way."""
        within, sent = memory
        quote, within = self.policy.act(within, observation, key)
        decided = _moved(quote, self.late, observation, -1.0)
        first, *others = sent or (decided,) * self.delay
        return _moved(first, self.late, observation, 1.0), (within, (*others, decided))


def _moved(quote: Quote, late: Late, observation: Observation, sign: float) -> Quote:
    """Return a quote measured from the first mid (`sign` -1) or this one again (1), if prices are late."""
    origin = sign * observation.mid_price if late == "prices" else 0.0
    return Quote(
        quote.half_spread_bid + origin, quote.half_spread_ask - origin, quote.size_bid, quote.size_ask
    )


def delayed(policy: Any, steps: int, late: Late = "quotes") -> Any:
    """Return a policy whose decisions reach the market some steps later; itself where there is no delay.

    Args:
        policy: who decides.
        steps: from a decision to the market; 0 is the market without delay.
        late: what is late, half-spreads around the mid (`quotes`) or `prices`.

    Raises:
        UsageError: a negative number of steps, or something else that is late.
    """
    require(steps >= 0, "delay", "be 0 steps or more", steps)
    if steps and isinstance(policy, OwnPolicy):
        return own_policy(DelayedOwn(policy, steps, late), policy.name)
    return Delayed(policy, steps, late) if steps else policy
