"""The simulated market: price + arrivals + fills for one path; `vmap` makes many.

What does not depend on the maker is drawn first and at once: the `World` of a path, namely the moves of
the mid and the uniform numbers that decide arrivals and fills. Two policies in the same world meet the
same random numbers by construction, and `step` is plain, deterministic arithmetic.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.stats import poisson as poisson_law

from flowhft.market import price
from flowhft.market.scenario import Scenario
from flowhft.types import Fill, Numeric, Observation, Quote

# Counts are cut off where the Poisson tail beyond falls below this, at BURST times the mean intensity or, if
# that is more, at the intensity of a step with adverse selection whose move is RARE_MOVE.
NEGLIGIBLE = 1e-7
BURST = 2.0
RARE_MOVE = 2.5  # standard deviations; one step in 160 moves further against a side


class World(NamedTuple):
    """The random numbers of one path, none of which depends on the maker.

    Attributes:
        move: of the mid in every step, ticks, shape (step,).
        order_flow: uniform numbers that decide how many market orders come for each side, and whether one
            of them reaches our quote there, shape (step, side).
    """

    move: Float[Array, " step"]
    order_flow: Float[Array, "step side"]


class State(NamedTuple):
    """Where one path stands: numbers, with the units of `Observation`.

    Attributes:
        excitation_bid, excitation_ask: intensity above the base, 1 / second.
    """

    time: Numeric
    mid_price: Numeric
    inventory: Numeric
    cash: Numeric
    arrivals_bid: Numeric
    arrivals_ask: Numeric
    excitation_bid: Numeric
    excitation_ask: Numeric


class Outcome(NamedTuple):
    """What one step brought: fills in lots, money in tick x lot (see `Trajectory`)."""

    fill: Fill
    spread_pnl: Numeric
    inventory_pnl: Numeric
    fee: Numeric


class Market(eqx.Module):
    """One market; its numeric parameters are leaves, so that a family of markets is a vmapped market.

    Parameters have the names, units and meaning of `Scenario`, with price parameters in the units of its
    price form. What changes the program is static.

    Discretisation: the intensity is held over a step at its value at the step's start. `fade` is what is
    left of an excitation after a step and `impulse` what is left, on average, at the step's end of one
    that began within it: exp(-beta dt) and (1 - exp(-beta dt)) / (beta dt), which keep the stationary mean
    of the intensity exact for every dt; only the clustering within a step is lost. The Euler form of the
    paper's runs has 1 - beta dt and 1. At most one lot is filled a side and step.
    """

    horizon: Numeric
    dt: Numeric
    initial_price: Numeric
    drift: Numeric
    volatility: Numeric
    hurst_exponent: Numeric
    amplitude: Float[Array, " frequency"] | None
    jump_intensity: Numeric
    jump_mean: Numeric
    jump_deviation: Numeric
    compensator: Numeric
    base_intensity: Numeric
    self_excitation: Numeric
    cross_excitation: Numeric
    fade: Numeric
    impulse: Numeric
    initial_excitation: Numeric
    reach: Numeric
    fill_decay: Numeric
    tilt: Numeric | None
    maker_fee: Numeric
    inventory_limit: Numeric

    steps: int = eqx.field(static=True)
    lognormal: bool = eqx.field(static=True)
    excited_by_arrivals: bool = eqx.field(static=True)
    jump_terms: int = eqx.field(static=True)
    arrival_terms: int = eqx.field(static=True)

    def draw(self, key: PRNGKeyArray) -> World:
        """Draw the random numbers of one path.

        Paths are spread over devices by their keys, never within a path, so the numbers of one path may come
        from jax's sequential threefry, which costs half of the partitionable one.

        Args:
            key: of the path; used once.
        """
        with jax.threefry_partitionable(False):
            return self._draw(key)

    def _draw(self, key: PRNGKeyArray) -> World:
        noise_key, jump_key, flow_key = jax.random.split(key, 3)
        deviation = self.volatility * self.dt**self.hurst_exponent
        trend = (self.drift - self.compensator) * self.dt
        count = (
            price.jump_counts(jump_key, self.steps, self.jump_intensity * self.dt, self.jump_terms)
            if self.jump_terms
            else 0.0
        )
        if self.amplitude is None:
            # Without memory n jumps and the diffusion add to one Gaussian: N(n mean, deviation^2 + n var).
            spread = jnp.sqrt(deviation**2 + count * self.jump_deviation**2)
            gain = trend + count * self.jump_mean + spread * jax.random.normal(noise_key, (self.steps,))
        else:
            diffusion_key, size_key = jax.random.split(noise_key)
            gain = trend + deviation * price.fractional_noise(diffusion_key, self.amplitude)
            if self.jump_terms:
                sizes = jax.random.normal(size_key, (self.steps,))
                gain = gain + count * self.jump_mean + jnp.sqrt(count) * self.jump_deviation * sizes
        if self.lognormal:
            time = self.dt * jnp.arange(1, self.steps + 1)
            log_price = jnp.cumsum(gain) - 0.5 * self.volatility**2 * time ** (2.0 * self.hurst_exponent)
            displacement = self.initial_price * jnp.expm1(log_price)
            move = jnp.diff(displacement, prepend=0.0)
        else:
            move = gain
        return World(move=move, order_flow=jax.random.uniform(flow_key, (self.steps, 2)))

    def init(self) -> State:
        """Return the state at the session's start: flat, at the first mid price, at the mean excitation."""
        zero = jnp.zeros(())
        excitation = jnp.asarray(self.initial_excitation)
        return State(zero, zero, zero, zero, zero, zero, excitation, excitation)

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
            intensity_bid=self.base_intensity + state.excitation_bid,
            intensity_ask=self.base_intensity + state.excitation_ask,
        )

    def step(self, state: State, quote: Quote, world: World) -> tuple[State, Outcome]:
        """Advance one step: fills at the quote, then the move of the mid.

        Args:
            state: before the step.
            quote: half-spreads around the mid, ticks.
            world: the random numbers of this step: move (), order_flow (side,).

        Returns:
            The state after the step and what the step brought.
        """
        tilt_bid, tilt_ask = self._tilt(world.move)
        arrived_bid, filled_bid = self._side(
            self.base_intensity + state.excitation_bid, quote.half_spread_bid, tilt_bid, world.order_flow[0]
        )
        arrived_ask, filled_ask = self._side(
            self.base_intensity + state.excitation_ask, quote.half_spread_ask, tilt_ask, world.order_flow[1]
        )
        filled_bid = filled_bid * (state.inventory + 1.0 <= self.inventory_limit)
        filled_ask = filled_ask * (state.inventory - 1.0 >= -self.inventory_limit)

        spread_pnl = quote.half_spread_bid * filled_bid + quote.half_spread_ask * filled_ask
        mid = self.initial_price + state.mid_price
        fee = self.maker_fee * (
            (mid - quote.half_spread_bid) * filled_bid + (mid + quote.half_spread_ask) * filled_ask
        )
        change = filled_bid - filled_ask
        inventory = state.inventory + change
        cause_bid, cause_ask = (
            (arrived_bid, arrived_ask) if self.excited_by_arrivals else (filled_bid, filled_ask)
        )
        after = State(
            time=state.time + self.dt,
            mid_price=state.mid_price + world.move,
            inventory=inventory,
            cash=state.cash - change * state.mid_price + spread_pnl - fee,
            arrivals_bid=arrived_bid,
            arrivals_ask=arrived_ask,
            excitation_bid=self.fade * state.excitation_bid
            + self.impulse * (self.self_excitation * cause_bid + self.cross_excitation * cause_ask),
            excitation_ask=self.fade * state.excitation_ask
            + self.impulse * (self.self_excitation * cause_ask + self.cross_excitation * cause_bid),
        )
        return after, Outcome(Fill(filled_bid, filled_ask), spread_pnl, inventory * world.move, fee)

    def _tilt(self, move: Numeric) -> tuple[Numeric, Numeric]:
        """Return the factors on both intensities given the coming move: adverse selection.

        exp(-+ a z - a^2 / 2) with z the standardised move: its mean is 1, so that fills keep their rate,
        and under the tilted law z has mean -+ a, so that the expected move at a fill is a standard
        deviations against the maker (the Esscher transform of a Gaussian).
        """
        if self.tilt is None:
            return 1.0, 1.0
        standard = move / (self.volatility * self.dt**self.hurst_exponent)
        if self.lognormal:
            standard = standard / self.initial_price
        half = 0.5 * self.tilt**2
        return jnp.exp(-self.tilt * standard - half), jnp.exp(self.tilt * standard - half)

    def _side(
        self, intensity: Numeric, half_spread: Numeric, tilt: Numeric, uniform: Numeric
    ) -> tuple[Numeric, Numeric]:
        """Return how many market orders came for a side in the step, and whether our quote there was filled.

        Excited by all arrivals: N ~ Poisson(lambda dt) orders come, each reaches the quote with probability
        min(1, reach exp(-k delta)), and a fill is one lot if at least one does, whose probability is
        1 - exp(-lambda reach exp(-k delta) dt). Excited by own fills (as the paper ran): that probability
        directly, above 1 included in the exponent for quotes beyond the mid, and arrivals are not simulated.
        """
        rate = intensity * tilt
        reaching = self.reach * jnp.exp(-self.fill_decay * half_spread)
        if not self.excited_by_arrivals:
            filled = (uniform < -jnp.expm1(-rate * reaching * self.dt)).astype(jnp.float32)
            return filled, filled
        arrived, uniform = price.poisson(uniform, rate * self.dt, self.arrival_terms)
        # (1 - reaching)^arrived by its logarithm; the guard keeps it finite where every order reaches us.
        missed = jnp.exp(arrived * jnp.log1p(-jnp.minimum(reaching, 1.0 - 1e-7)))
        return arrived, (uniform < 1.0 - missed).astype(jnp.float32)


def build(scenario: Scenario, like: list[Scenario] | None = None) -> Market:
    """Build the market of a scenario.

    Args:
        scenario: its parameters.
        like: scenarios that are judged beside it: markets that agree in price form, exciter, number of
            steps and whether the price has memory then share one compiled program. The random numbers of
            a path are the same with and without them.
    """
    family = like or [scenario]
    lognormal = scenario.price == "lognormal"
    # Not of the family: what a path's random numbers are may not depend on who is judged beside it.
    fractional = scenario.hurst_exponent != 0.5
    jumpy = max(member.jump_intensity * member.dt for member in family)
    busy = max(member.mean_intensity * member.dt * _surge(_tilt_of(member)) for member in family)
    tilted = any(member.adverse_selection for member in family)
    if lognormal:
        mean_jump = np.expm1(scenario.jump_mean + 0.5 * scenario.jump_deviation**2)
    else:
        mean_jump = scenario.jump_mean
    compensator = scenario.jump_intensity * mean_jump if scenario.jumps_compensated else 0.0
    faded = scenario.decay * scenario.dt
    fade, impulse = (
        (np.exp(-faded), -np.expm1(-faded) / faded) if scenario.exact_decay else (1.0 - faded, 1.0)
    )

    def leaf(value: float | np.ndarray) -> Array:
        return jnp.asarray(value, jnp.float32)

    return Market(
        horizon=leaf(scenario.horizon),
        dt=leaf(scenario.dt),
        initial_price=leaf(scenario.initial_price),
        drift=leaf(scenario.drift),
        volatility=leaf(scenario.volatility),
        hurst_exponent=leaf(scenario.hurst_exponent),
        amplitude=leaf(price.spectrum(scenario.steps, scenario.hurst_exponent)) if fractional else None,
        jump_intensity=leaf(scenario.jump_intensity),
        jump_mean=leaf(scenario.jump_mean),
        jump_deviation=leaf(scenario.jump_deviation),
        compensator=leaf(compensator),
        base_intensity=leaf(scenario.base_intensity),
        self_excitation=leaf(scenario.self_excitation),
        cross_excitation=leaf(scenario.cross_excitation),
        fade=leaf(fade),
        impulse=leaf(impulse),
        initial_excitation=leaf(scenario.mean_intensity - scenario.base_intensity),
        reach=leaf(scenario.reach),
        fill_decay=leaf(scenario.fill_decay),
        tilt=leaf(_tilt_of(scenario)) if tilted else None,
        maker_fee=leaf(scenario.maker_fee),
        inventory_limit=leaf(scenario.inventory_limit),
        steps=scenario.steps,
        lognormal=lognormal,
        excited_by_arrivals=scenario.exciter == "arrivals",
        jump_terms=_terms(jumpy),
        arrival_terms=_terms(busy),
    )


def _tilt_of(scenario: Scenario) -> float:
    """Return the adverse selection in standard deviations of a step's move."""
    return scenario.adverse_selection / scenario.step_deviation


def _surge(tilt: float) -> float:
    """Return the largest factor on the mean intensity for which counts are simulated whole."""
    return max(BURST, float(np.exp(RARE_MOVE * tilt - 0.5 * tilt**2)))


def _terms(mean: float) -> int:
    """Return the largest count worth simulating: the Poisson tail beyond it is negligible."""
    return int(poisson_law.isf(NEGLIGIBLE, mean)) if mean > 0 else 0
