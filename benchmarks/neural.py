"""Neural rollout: a multilayer perceptron that quotes at every step, in flowhft's loop and in plain numpy.

    python benchmarks/neural.py [--paths 20000] [--steps 100] [--json]

The market is that of `benchmarks/rollout.py`. The policies: a perceptron of three hidden layers of width 128
(four numbers in, two half-spreads out), evaluated once a step, and the library's flow policy of width 128 and
three blocks with one sampling step. The peer evaluates the same perceptron in the float32 numpy loop, all
paths at once, with numpy's own matrix product on all cores. They take turns in one process; the ratio is of
the medians. The networks are not trained: speed does not depend on their weights.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowhft.simulate.devices import prepare

prepare()

from flowhft.flow.network import init_network  # noqa: E402
from flowhft.flow.normaliser import Normaliser  # noqa: E402
from flowhft.flow.policy import FlowPolicy  # noqa: E402
from flowhft.policies.settings import NetworkSettings, SamplerSettings  # noqa: E402
from flowhft.scenarios.presets import paper_test  # noqa: E402
from flowhft.scenarios.scenario import Scenario  # noqa: E402
from flowhft.scenarios.sensor import sensor_for  # noqa: E402
from flowhft.simulate.market.market import build  # noqa: E402
from flowhft.simulate.rollout import evaluate_one  # noqa: E402
from flowhft.types import Observation, Quote  # noqa: E402

SIZES = (4, 128, 128, 128, 2)


class Perceptron(eqx.Module):
    """A policy that is a plain multilayer perceptron of time left, mid, inventory and cash."""

    weights: list
    biases: list

    def init(self) -> tuple:
        """Return the empty memory."""
        return ()

    def act(self, memory: tuple, observation: Observation, key: jax.Array) -> tuple[Quote, tuple]:
        """Return the perceptron's quote."""
        o = observation
        x = jnp.stack([o.time_left, 0.1 * o.mid_price, 0.1 * o.inventory, 0.01 * o.cash])
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = jax.nn.relu(weight @ x + bias)
        x = self.weights[-1] @ x + self.biases[-1]
        return Quote(0.7 + 0.1 * x[0], 0.7 + 0.1 * x[1]), memory


def parameters(random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return weights and biases of the perceptron, float32."""
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = [random.normal(0.0, np.sqrt(1.0 / n), (m, n)).astype(np.float32) for m, n in shapes]
    return weights, [np.zeros(m, np.float32) for m, _ in shapes]


def numpy_rollout(
    scenario: Scenario, weights: list, biases: list, paths: int, random: np.random.Generator
) -> np.ndarray:
    """Simulate the perceptron in the same market, float32, all paths at once; returns PnL."""
    s, dt, single = scenario, np.float32(scenario.dt), np.float32
    fade = single(np.exp(-s.decay * dt))
    impulse = (1 - fade) / single(s.decay * dt)
    compensator = s.jump_intensity * np.expm1(s.jump_mean + 0.5 * s.jump_deviation**2)
    log_price, mid, inventory, cash = (np.zeros(paths, single) for _ in range(4))
    excitation = np.full((2, paths), s.mean_intensity - s.base_intensity, single)
    for step in range(s.steps):
        left = np.full(paths, s.horizon - step * dt, single)
        x = np.stack([left, single(0.1) * mid, single(0.1) * inventory, single(0.01) * cash], axis=1)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = np.maximum(x @ weight.T + bias, 0.0)
        half = single(0.7) + single(0.1) * (x @ weights[-1].T + biases[-1]).T
        arrived = random.poisson((s.base_intensity + excitation) * dt)
        reaching = np.minimum(s.reach * np.exp(-single(s.fill_decay) * half), single(1.0))
        filled = random.random((2, paths), single) < 1.0 - (1.0 - reaching) ** arrived
        excitation = fade * excitation + impulse * single(s.self_excitation) * (arrived + arrived[::-1])
        cash = cash - (mid - half[0]) * filled[0] + (mid + half[1]) * filled[1]
        inventory = inventory + filled[0] - filled[1]
        jumps = random.poisson(s.jump_intensity * dt, paths)
        log_price = log_price + (
            (s.drift - compensator - 0.5 * s.volatility**2) * dt
            + s.volatility * np.sqrt(dt) * random.standard_normal(paths, single)
            + jumps * s.jump_mean
            + np.sqrt(jumps) * s.jump_deviation * random.standard_normal(paths, single)
        ).astype(single)
        mid = single(s.initial_price) * np.expm1(log_price)
    return cash + inventory * mid


def flow_policy(scenario: Scenario) -> FlowPolicy:
    """Return an untrained flow policy of width 128 whose quotes take one network evaluation."""
    settings = NetworkSettings(width=128, blocks=3, horizon=1)
    features = settings.feature_count
    normaliser = Normaliser(
        *(
            jnp.asarray(v, jnp.float32)
            for v in (np.zeros(features), np.ones(features), np.ones(2), np.ones(2))
        )
    )
    sampler = SamplerSettings(steps=1)
    return FlowPolicy(
        init_network(settings, 0), normaliser, sensor_for(scenario), settings, sampler, "flow_matching"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    scenario = paper_test("correct")["T1.HH"].but(dt=1.0 / options.steps)
    market = build(scenario)
    weights, biases = parameters(np.random.default_rng(0))
    perceptron = Perceptron([jnp.asarray(w) for w in weights], [jnp.asarray(b) for b in biases])

    def ours(policy: Perceptron | FlowPolicy) -> Callable[[int], np.ndarray]:
        return lambda seed: evaluate_one(market, policy, paths=options.paths, seed=seed, scenario="b")["pnl"]

    contestants = {
        "perceptron": ours(perceptron),
        "flow policy": ours(flow_policy(scenario)),
        "numpy": lambda seed: numpy_rollout(
            scenario, weights, biases, options.paths, np.random.default_rng(seed)
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    means: dict[str, float] = {}
    for run in contestants.values():
        run(0)  # compiles
    for seed in range(options.rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            means[name] = float(np.mean(run(seed + 1)))
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    steps = options.paths * options.steps
    result = {
        "paths": options.paths,
        "steps": options.steps,
        "env_steps_per_second": {name: steps / value for name, value in medians.items()},
        "ratio": medians["numpy"] / medians["perceptron"],
        "mean_pnl": means,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.paths:,} paths x {options.steps} steps, medians of {options.rounds} rounds")
    for name, rate in result["env_steps_per_second"].items():
        print(f"{name:12s} {rate / 1e6:6.2f} M env-steps/s   mean PnL {means[name]:.2f}")
    print(f"ratio of the perceptron to numpy {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
