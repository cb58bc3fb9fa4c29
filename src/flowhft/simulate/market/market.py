"""The simulated market: price + arrivals + fills for one path; `vmap` makes many.

What does not depend on the maker is drawn first and at once, the `World` of a path; `step` is then plain,
deterministic arithmetic.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.stats import poisson as poisson_law

from flowhft.metrics.measures import is_quoted
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.fills import any_reaches, how_many_reach
from flowhft.simulate.market.impact import Impact, build_impact
from flowhft.simulate.market.once import once
from flowhft.simulate.market.price import Price, build_price, leaf, poisson
from flowhft.simulate.market.world import World, draw_world
from flowhft.types import Activity, Fill, Numeric, Observation, Quote

# Counts are cut off where the Poisson tail beyond falls below this, at BURST times the mean intensity or, if
# that is more, at the intensity of a step with adverse selection whose move is RARE_MOVE.
NEGLIGIBLE = 1e-7
BURST = 2.0
RARE_MOVE = 2.5  # standard deviations; one step in 160 moves further against a side
RARE_IMBALANCE = 4.0  # standard deviations, since an imbalance lasts; one step in 30,000 is beyond
# Standard deviations that a move counts for at most in adverse selection: further go only jumps.
FURTHEST_MOVE = 5.0


class State(NamedTuple):
    """Where one path stands: numbers, with the units of `Observation`.

    Attributes:
        filled_bid, filled_ask: lots that were traded in the last step.
        excitation_bid, excitation_ask: intensity above the base, 1 / second.
        imbalance: of the book, in its standard deviations, positive where bids are larger; None where order
            flow does not move the price.
    """

    time: Numeric
    mid_price: Numeric
    inventory: Numeric
    cash: Numeric
    arrivals_bid: Numeric
    arrivals_ask: Numeric
    filled_bid: Numeric
    filled_ask: Numeric
    excitation_bid: Numeric
    excitation_ask: Numeric
    imbalance: Numeric | None = None


class Outcome(NamedTuple):
    """What one step brought: fills in lots, money in tick x lot (see `Trajectory`), what we showed."""

    fill: Fill
    spread_pnl: Numeric
    inventory_pnl: Numeric
    fee: Numeric
    activity: Activity


class Market(eqx.Module):
    """One market; its numeric parameters are leaves, so that a family of markets is a vmapped market.

    Parameters have the names, units and meaning of `Scenario`; those of the mid are in `price`. What changes
    the program is static.

    Discretisation: the intensity is held over a step at its value at the step's start. `fade` is what is
    left of an excitation after a step and `impulse` what is left, on average, at the step's end of one
    that began within it: exp(-beta dt) and (1 - exp(-beta dt)) / (beta dt), which keep the stationary mean
    of the intensity exact for every dt; only the clustering within a step is lost. The Euler form of the
    paper's runs has 1 - beta dt and 1.

    Fills: the market order that reaches a quote fills it whole, `size` lots. At most one does a side and
    step, or with `refill` every order that reaches the quote, whose size stands there again at once. The
    inventory limit counts lots, and only whole fills are let through; own fills excite by the order,
    however many lots it took. A side whose half-spread is NaN or whose size is 0 is not quoted: nothing
    fills, nothing stands, no order is counted.

    Where order flow moves the price, `impact` draws the orders of a path before anybody quotes, and a step
    only looks which of them fill the quote.

    Attributes:
        base_intensity: of orders that fill our bid and our ask, 1 / second, shape (side,).
        excitation: what an arrival adds, 1 / second: row the excited side, column the arrival's.
        initial_excitation: intensity above the base at the start, 1 / second, shape (side,).
        most_reaching: largest share of orders that reach a quote: 1, or inf where own fills excite as the
            paper ran it, and quotes beyond the mid are filled ever faster.
        arrival_terms: largest number of orders of a side and step that is simulated.
    """

    price: Price
    horizon: Numeric
    dt: Numeric
    base_intensity: Float[Array, " side"]
    excitation: Float[Array, "side side"]
    fade: Numeric
    impulse: Numeric
    initial_excitation: Float[Array, " side"]
    reach: Numeric
    most_reaching: Numeric
    fill_decay: Numeric
    tilt: Numeric | None
    maker_fee: Numeric
    inventory_limit: Numeric
    impact: Impact | None

    steps: int = eqx.field(static=True)
    excited_by_arrivals: bool = eqx.field(static=True)
    refill: bool = eqx.field(static=True)
    arrival_terms: int = eqx.field(static=True)

    def draw(self, key: PRNGKeyArray) -> World:
        """Draw the random numbers of one path.

        Args:
            key: of the path; used once.
        """
        world = draw_world(self.price, key)
        if self.impact is None:
            return world
        flow = self.impact.draw(self, key)
        return world._replace(move=world.move + flow.move, order_flow=flow.uniform, flow=flow)

    def expected_move(self, state: State) -> Numeric:
        """Return the expected move of the mid in the coming step, ticks; see `Price.expected_move`.

        Args:
            state: before the step.
        """
        return self.price.expected_move(state.time, state.mid_price)

    def init(self, world: World | None = None) -> State:
        """Return the state at the session's start: flat, at the first mid price, at the mean excitation.

        Args:
            world: of the path, which knows the first imbalance of the book; 0 without one.
        """
        zero = jnp.zeros(())
        bid, ask = self.initial_excitation[0], self.initial_excitation[1]
        imbalance = None if self.impact is None else zero
        if world is not None and world.flow is not None:
            imbalance = world.flow.imbalance[0]
        return State(zero, zero, zero, zero, zero, zero, zero, zero, bid, ask, imbalance)

    def observe(self, state: State) -> Observation:
        """Return what a market maker can see."""
        return Observation(
            time=state.time,
            time_left=self.horizon - state.time,
            mid_price=state.mid_price,
            inventory=state.inventory,
            cash=state.cash,
            arrivals_bid=state.arrivals_bid,
            arrivals_ask=state.arrivals_ask,
            intensity_bid=self.base_intensity[0] + state.excitation_bid,
            intensity_ask=self.base_intensity[1] + state.excitation_ask,
            filled_bid=state.filled_bid,
            filled_ask=state.filled_ask,
            book=None if self.impact is None else self.impact.shown(state.imbalance),
        )

    def orders(self, state: State, world: World) -> tuple[Float[Array, " side"], Float[Array, " side"]]:
        """Return the market orders of a step that come for bids and for asks, and what decides their reach.

        Whoever quotes, where all arrivals excite: see `flowhft.simulate.market.ticks`.

        Args:
            state: before the step.
            world: the random numbers of this step.

        Returns:
            Counts, and what they leave of the uniform numbers; each of shape (side,).
        """
        if world.flow is not None:
            return world.flow.arrivals, world.flow.uniform
        excitation = jnp.stack([state.excitation_bid, state.excitation_ask])
        rate = (self.base_intensity + excitation) * jnp.stack([*map(jnp.asarray, self.tilts(state, world))])
        return poisson(world.order_flow, rate * self.dt, self.arrival_terms)

    def step(self, state: State, quote: Quote, world: World) -> tuple[State, Outcome]:
        """Advance one step: fills at the quote, then the move of the mid.

        Args:
            state: before the step.
            quote: half-spreads around the mid, ticks; sizes, lots.
            world: the random numbers of this step: move (), order_flow (side,).

        Returns:
            The state after the step and what the step brought.
        """
        tilt_bid, tilt_ask = self.tilts(state, world)
        quoted_bid = is_quoted(quote.half_spread_bid, quote.size_bid)
        quoted_ask = is_quoted(quote.half_spread_ask, quote.size_ask)
        half_spread_bid = jnp.where(quoted_bid, quote.half_spread_bid, 0.0)  # without a quote, any number
        half_spread_ask = jnp.where(quoted_ask, quote.half_spread_ask, 0.0)
        size_bid = jnp.where(quoted_bid, quote.size_bid, 1.0)
        size_ask = jnp.where(quoted_ask, quote.size_ask, 1.0)
        if world.flow is None:
            arrived_bid, filled_bid = once(
                self._side,
                state.time,
                self.base_intensity[0] + state.excitation_bid,
                half_spread_bid,
                tilt_bid,
                world.order_flow[0],
            )
            arrived_ask, filled_ask = once(
                self._side,
                state.time,
                self.base_intensity[1] + state.excitation_ask,
                half_spread_ask,
                tilt_ask,
                world.order_flow[1],
            )
        else:
            arrived_bid, arrived_ask = world.flow.arrivals[0], world.flow.arrivals[1]
            filled_bid = self._filled(arrived_bid, half_spread_bid, world.order_flow[0])
            filled_ask = self._filled(arrived_ask, half_spread_ask, world.order_flow[1])
        orders_bid = self._allowed(filled_bid, state.inventory, size_bid) * quoted_bid
        orders_ask = self._allowed(filled_ask, -state.inventory, size_ask) * quoted_ask
        filled_bid, filled_ask = orders_bid * size_bid, orders_ask * size_ask

        spread_pnl = half_spread_bid * filled_bid + half_spread_ask * filled_ask
        mid = self.price.initial_price + state.mid_price
        turnover = (mid - half_spread_bid) * filled_bid + (mid + half_spread_ask) * filled_ask
        fee = self.maker_fee * turnover
        standing_bid = quoted_bid * self._standing(half_spread_bid, state.inventory, size_bid)
        standing_ask = quoted_ask * self._standing(half_spread_ask, -state.inventory, size_ask)
        change = filled_bid - filled_ask
        inventory = state.inventory + change
        cause_bid, cause_ask = (
            (arrived_bid, arrived_ask) if self.excited_by_arrivals else (orders_bid, orders_ask)
        )
        after = State(
            time=state.time + self.dt,
            mid_price=state.mid_price + world.move,
            inventory=inventory,
            cash=state.cash - change * state.mid_price + spread_pnl - fee,
            arrivals_bid=arrived_bid,
            arrivals_ask=arrived_ask,
            filled_bid=filled_bid,
            filled_ask=filled_ask,
            excitation_bid=self.fade * state.excitation_bid
            + self.impulse * (self.excitation[0, 0] * cause_bid + self.excitation[0, 1] * cause_ask),
            excitation_ask=self.fade * state.excitation_ask
            + self.impulse * (self.excitation[1, 0] * cause_bid + self.excitation[1, 1] * cause_ask),
            imbalance=None if world.flow is None else world.flow.imbalance_after,
        )
        activity = Activity(
            standing_bid, standing_ask, standing_bid + standing_ask, jnp.zeros_like(fee), turnover
        )
        fill = Fill(filled_bid, filled_ask)
        return after, Outcome(fill, spread_pnl, inventory * world.move, fee, activity)

    def _standing(self, half_spread: Numeric, position: Numeric, size: Numeric) -> Numeric:
        """Return 1 where a side can trade, 0 where its quote is nowhere or the inventory limit forbids it."""
        return jnp.isfinite(half_spread) * jnp.where(position + size <= self.inventory_limit, 1.0, 0.0)

    def _allowed(self, reached: Numeric, position: Numeric, size: Numeric) -> Numeric:
        """Return how many orders the inventory limit lets fill a side, `position` lots towards that side."""
        if not self.refill:
            return reached * (position + size <= self.inventory_limit)
        fit = jnp.maximum(jnp.floor((self.inventory_limit - position) / size), 0.0)
        fit = fit - (position + fit * size > self.inventory_limit)  # the quotient was rounded up
        return jnp.minimum(reached, jnp.maximum(fit, 0.0))

    def tilts(self, state: State, world: World) -> tuple[Numeric, Numeric]:
        """Return the factors on both intensities given the coming move: adverse selection.

        exp(-+ a z - a^2 / 2) with z the standardised move: its mean is 1, so that fills keep their rate,
        and under the tilted law z has mean -+ a, so that the expected move at a fill is a standard
        deviations against the maker (the Esscher transform of a Gaussian).
        """
        if self.tilt is None:
            return 1.0, 1.0
        deviation = self.price.deviation
        if self.price.lognormal:
            deviation = deviation * (self.price.initial_price + state.mid_price)
        if world.volatility_scale is not None:
            deviation = deviation * world.volatility_scale
        standard = jnp.clip(world.move / deviation, -FURTHEST_MOVE, FURTHEST_MOVE)
        half = 0.5 * self.tilt**2
        return jnp.exp(-self.tilt * standard - half), jnp.exp(self.tilt * standard - half)

    def _side(
        self, intensity: Numeric, half_spread: Numeric, tilt: Numeric, uniform: Numeric
    ) -> tuple[Numeric, Numeric]:
        """Return how many market orders came for a side in the step, and how many of them fill our quote.

        Excited by all arrivals: N ~ Poisson(lambda dt) orders come, each reaches the quote with probability
        min(1, reach exp(-k delta)), and the quote is filled if at least one does, whose probability is
        1 - exp(-lambda reach exp(-k delta) dt). Excited by own fills (as the paper ran): that probability
        directly, above 1 included in the exponent for quotes beyond the mid, and arrivals are not simulated.
        With `refill` every order that reaches the quote fills it.
        """
        rate = intensity * tilt
        reaching = self.reach * jnp.exp(-self.fill_decay * half_spread)
        reaching = jnp.minimum(reaching, self.most_reaching)
        if not self.excited_by_arrivals:
            expected = rate * reaching * self.dt
            if self.refill:
                filled = poisson(uniform, expected, self.arrival_terms)[0]
            else:
                filled = (uniform < -jnp.expm1(-expected)).astype(jnp.float32)
            return filled, filled
        arrived, uniform = poisson(uniform, rate * self.dt, self.arrival_terms)
        if self.refill:
            return arrived, how_many_reach(uniform, arrived, reaching, self.arrival_terms)
        return arrived, any_reaches(uniform, arrived, reaching)

    def _filled(self, arrived: Numeric, half_spread: Numeric, uniform: Numeric) -> Numeric:
        """Return how many of the orders that came fill our quote: 1 if the deepest of them reaches it."""
        reaching = jnp.minimum(self.reach * jnp.exp(-self.fill_decay * half_spread), self.most_reaching)
        return any_reaches(uniform, arrived, reaching)


def build(scenario: Scenario, like: list[Scenario] | None = None) -> Market:
    """Build the market of a scenario.

    Args:
        scenario: its parameters.
        like: scenarios that are evaluated beside it: markets that agree in price form, exciter, refill,
            number of steps and whether the price has memory then share one compiled program. The random
            numbers of a path are the same with and without them.
    """
    family = like or [scenario]
    jumpy = max(member.jump_intensity * member.dt for member in family)
    busy = max(_busiest(member) * member.dt * _surge_of(member) for member in family)
    tilted = any(member.adverse_selection for member in family)
    faded = scenario.decay * scenario.dt
    fade, impulse = (
        (np.exp(-faded), -np.expm1(-faded) / faded) if scenario.exact_decay else (1.0 - faded, 1.0)
    )
    initial = np.subtract(scenario.mean_intensities, scenario.base_intensities)
    free = scenario.exciter == "own_fills" and not scenario.clip_beyond_mid
    return Market(
        price=build_price(scenario, _terms(jumpy)),
        horizon=leaf(scenario.horizon),
        dt=leaf(scenario.dt),
        base_intensity=leaf(np.array(scenario.base_intensities)),
        excitation=leaf(np.array(scenario.excitation)),
        fade=leaf(fade),
        impulse=leaf(impulse),
        initial_excitation=leaf(initial),
        reach=leaf(scenario.reach),
        most_reaching=leaf(np.inf if free else 1.0),
        fill_decay=leaf(scenario.fill_decay),
        tilt=leaf(_tilt_of(scenario)) if tilted else None,
        maker_fee=leaf(scenario.maker_fee),
        inventory_limit=leaf(scenario.inventory_limit),
        impact=build_impact(scenario),
        steps=scenario.steps,
        excited_by_arrivals=scenario.exciter == "arrivals",
        refill=scenario.refill,
        arrival_terms=_terms(busy),
    )


@functools.lru_cache(maxsize=4096)  # asked of every member of a family for every market of it
def _busiest(scenario: Scenario) -> float:
    """Return the mean intensity of the busier side; where own fills excite, as if every order was one."""
    return max(scenario.but(exciter="arrivals").mean_intensities)


def _tilt_of(scenario: Scenario) -> float:
    """Return the adverse selection in standard deviations of a step's move."""
    return scenario.adverse_selection / scenario.step_deviation


def _surge_of(scenario: Scenario) -> float:
    """Return the largest factor on the mean intensity for which counts are simulated whole."""
    if scenario.order_flow is None:
        return _surge(_tilt_of(scenario), RARE_MOVE)
    lean = abs(scenario.order_flow.order_slope) * float(np.sqrt(scenario.order_flow.share))
    return _surge(lean, RARE_IMBALANCE)


def _surge(deviation: float, rare: float) -> float:
    """Return the factor on an intensity with a log-normal factor of mean 1 in a rare state, or BURST."""
    return max(BURST, float(np.exp(rare * deviation - 0.5 * deviation**2)))


def _terms(mean: float) -> int:
    """Return the largest count worth simulating: the Poisson tail beyond it is negligible."""
    return int(poisson_law.isf(NEGLIGIBLE, mean)) if mean > 0 else 0
