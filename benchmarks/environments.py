"""Steps per second of the Gymnasium environments against plain numpy environments of the same market.

    python benchmarks/environments.py [--sessions N] [--rounds N] [--json]

The market is the paper's cell T1.HH, correct preset: log-normal price with compensated jumps, Hawkes
arrivals, fills; observation, reward and account as `MarketEnv` tells them. The peers, float64 numpy: `numpy`
is one environment that steps all sessions as arrays, `loop` is a Python loop over environments of one session
each, as Gymnasium's SyncVectorEnv runs them. Whole sessions are timed, resets included; all take turns in one
process, and ratios are of the medians. JAX runs each step in the thread that asks for it, since the step is
waited for anyway (docs/gym.md).
"""

import os

os.environ.setdefault("JAX_CPU_ENABLE_ASYNC_DISPATCH", "false")  # before jax is loaded

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from flowhft.simulate.devices import prepare

prepare()

from flowhft.rl.gymnasium import MarketEnv, MarketVectorEnv  # noqa: E402
from flowhft.scenarios.presets import paper_test  # noqa: E402
from flowhft.scenarios.scenario import Scenario  # noqa: E402

COUNTS = (64, 512, 4096)
LOOPED = 64  # environments of the peer that loops: its cost a step does not depend on their number


class NumpyMarket:
    """The environment as one would write it in numpy, for any number of sessions at once."""

    def __init__(self, scenario: Scenario, count: int, seed: int) -> None:
        self.s, self.count, self.random = scenario, count, np.random.default_rng(seed)
        s = scenario
        self.fade = np.exp(-s.decay * s.dt)
        self.impulse = (1 - self.fade) / (s.decay * s.dt)
        self.compensator = s.jump_intensity * np.expm1(s.jump_mean + 0.5 * s.jump_deviation**2)
        self.move = s.volatility_ticks * s.horizon**0.5

    def reset(self) -> np.ndarray:
        """Begin a session in every environment."""
        self.step_index = 0
        self.log_price, self.mid, self.inventory, self.cash, self.equity = np.zeros((5, self.count))
        self.excitation = np.full((2, self.count), self.s.mean_intensity - self.s.base_intensity)
        self.previous = np.full(self.count, 2.0 / self.s.fill_decay)
        return self.seen()

    def seen(self) -> np.ndarray:
        """Return what the agents see."""
        s, half = self.s, 0.5 * self.s.horizon
        time_scaled = np.full(self.count, (self.step_index * s.dt - half) / half)
        columns = (
            time_scaled,
            self.cash / (5.0 * self.move),
            self.inventory / 5.0,
            self.mid / self.move,
            self.previous * s.fill_decay - 2.0,
        )
        return np.clip(np.stack(columns, axis=-1), -10.0, 10.0).astype(np.float32)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool, bool, dict[str, np.ndarray]]:
        """Advance every session by one step."""
        s, random = self.s, self.random
        half = (1.0 + actions.T) / s.fill_decay
        arrived = random.poisson((s.base_intensity + self.excitation) * s.dt)
        reaching = np.minimum(s.reach * np.exp(-s.fill_decay * half), 1.0)
        filled = random.random((2, self.count)) < 1.0 - (1.0 - reaching) ** arrived
        self.excitation = self.fade * self.excitation + self.impulse * (
            s.self_excitation * arrived + s.cross_excitation * arrived[::-1]
        )
        self.cash = self.cash - (self.mid - half[0]) * filled[0] + (self.mid + half[1]) * filled[1]
        self.inventory = self.inventory + filled[0] - filled[1]
        jumps = random.poisson(s.jump_intensity * s.dt, self.count)
        self.log_price = (
            self.log_price
            + (s.drift - self.compensator - 0.5 * s.volatility**2) * s.dt
            + s.volatility * np.sqrt(s.dt) * random.standard_normal(self.count)
            + jumps * s.jump_mean
            + np.sqrt(jumps) * s.jump_deviation * random.standard_normal(self.count)
        )
        before, self.mid = self.mid, s.initial_price * np.expm1(self.log_price)
        equity = self.cash + self.inventory * self.mid
        reward = equity - self.equity - self.inventory**2 * s.dt
        self.equity = equity
        self.previous = half[0] + half[1]
        self.step_index += 1
        info = {
            "equity": equity,
            "mid_price": self.mid,
            "fill_bid": filled[0],
            "fill_ask": filled[1],
            "spread_pnl": half[0] * filled[0] + half[1] * filled[1],
            "inventory_pnl": self.inventory * (self.mid - before),
        }
        return self.seen(), reward, self.step_index == s.steps, False, info


def sessions(envs: list, action: np.ndarray, steps: int) -> float:
    """Step whole sessions in every environment; return the mean reward, against idleness."""
    total = 0.0
    for env in envs:
        env.reset()
    for _ in range(steps):
        for env in envs:
            total += float(np.mean(env.step(action)[1]))
    return total / len(envs)


def rate(runs: dict[str, tuple[Callable[[], float], int]], rounds: int) -> dict[str, float]:
    """Return environment steps per second of each, by turns, medians."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, (run, _) in runs.items():
            began = time.perf_counter()
            run()
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - began)
    return {name: runs[name][1] / statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10, help="that each environment steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scenario = paper_test("correct")["T1.HH"]
    steps, times = scenario.steps, options.sessions

    def often(envs: list, action: np.ndarray) -> Callable[[], float]:
        return lambda: sum(sessions(envs, action, steps) for _ in range(times))

    rows = []
    one, pair = MarketEnv(scenario), np.zeros(2, np.float32)
    single = NumpyMarket(scenario, 1, 0)
    work = times * steps
    result = rate(
        {
            "flowhft": (often([one], pair), work),
            "numpy": (often([single], pair[None]), work),
        },
        options.rounds,
    )
    rows.append({"environments": 1, **result, "loop": result["numpy"]})
    for count in COUNTS:
        zero = np.zeros((count, 2), np.float32)
        looped = [NumpyMarket(scenario, 1, seed) for seed in range(LOOPED)]
        result = rate(
            {
                "flowhft": (often([MarketVectorEnv(scenario, num_envs=count)], zero), work * count),
                "numpy": (often([NumpyMarket(scenario, count, 0)], zero), work * count),
                "loop": (lambda looped=looped: sessions(looped, pair[None], steps), steps * LOOPED),
            },
            options.rounds,
        )
        rows.append({"environments": count, **result})
    for row in rows:
        row |= {f"over_{peer}": row["flowhft"] / row[peer] for peer in ("numpy", "loop")}
    if options.json:
        print(json.dumps({"sessions": times, "steps": steps, "rows": rows}))
        return
    print("environments  flowhft steps/s  numpy steps/s  loop steps/s  over numpy  over loop")
    for row in rows:
        print(
            f"{row['environments']:12,}  {row['flowhft']:15,.0f}  {row['numpy']:13,.0f}  {row['loop']:12,.0f}"
            f"  {row['over_numpy']:10.2f}  {row['over_loop']:9.1f}"
        )


if __name__ == "__main__":
    main()
