"""`flowhft ppo`: train agents that learn to quote by trial and error."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, run_of, scenarios_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.rl.settings import PpoSettings
from flowhft.runs.folder import plain, read_table, write_table
from flowhft.scenarios.presets import Preset


@dataclass(frozen=True, kw_only=True)
class Ppo(Command):
    """Train agents by proximal policy optimisation (PPO) in simulated markets.

    Writes policy.safetensors (the agents), curves.parquet (every update of every seed) and seeds.parquet
    (what each seed earns on validation paths, and which was kept). Scenarios that are finished are kept when
    a run is interrupted, and the one in work resumes from its last checkpoint, bit for bit.
    """

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    observation: Literal["state", "regime"] = "state"
    """What agents see: `state` (time, cash, inventory, price, previous spread; one agent a scenario) or
    `regime` (the same in units of the market, and its volatility, demand, drift, ...; one agent for all)."""
    ppo: PpoSettings = PpoSettings()

    def run(self, terminal: Terminal) -> Result:
        """Train scenario by scenario, or one agent in all of them."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.policies.file import load_policy, save_policy
        from flowhft.rl.agents import merged
        from flowhft.rl.train import CURVE_UNITS, SEED_UNITS
        from flowhft.scenarios.presets import find_scenarios

        scenarios = find_scenarios(self.scenarios, self.market)
        require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{self.scenarios}'")
        named, files = scenarios_of(self.scenarios)
        run = run_of(self, "ppo", files, scenarios=named)
        if work := begin(run, terminal):
            jobs = [[one] for one in scenarios] if self.observation == "state" else [scenarios]
            parts = work / "parts"
            with terminal.stage("train by trial and error") as progress:
                for i, job in enumerate(jobs):
                    if not (parts / f"{i:04d}.safetensors").is_file():
                        self._train(
                            job,
                            scenarios,
                            work,
                            f"{i:04d}",
                            lambda share, now, i=i: progress((i + share) / len(jobs), now),  # type: ignore[misc]
                        )
            made = [load_policy(parts / f"{i:04d}.safetensors") for i in range(len(jobs))]
            tables = {
                name: pl.concat([read_table(parts / f"{i:04d}.{name}.parquet") for i in range(len(jobs))])
                for name in ("curves", "seeds")
            }
            training = {
                "seed": self.seed,
                "settings": plain(self.ppo),
                "market": self.market,
                "scenarios": [scenario.name for scenario in scenarios],
                "parents": run.parents,
            }
            save_policy(work / "policy.safetensors", merged(made, training))
            write_table(work / "curves.parquet", tables["curves"], CURVE_UNITS)
            write_table(work / "seeds.parquet", tables["seeds"], SEED_UNITS)
            run.finish(
                observation=self.observation,
                agents=len(jobs),
                selection=f"per agent the seed of most reward on {self.ppo.validation:,} validation episodes "
                "of a stream of their own",
                chosen=tables["seeds"].filter(pl.col("chosen")).drop("chosen").to_dicts(),
            )
        return _result(run.folder)

    def _train(
        self, job: list[Any], family: list[Any], work: Path, name: str, progress: Callable[[float, str], None]
    ) -> None:
        """Train one agent and leave it in the run's parts, the agent itself last."""
        from flowhft.policies.agent import VIEWS
        from flowhft.policies.file import save_policy
        from flowhft.rl.agents import agent_policy
        from flowhft.rl.environment import environments_of
        from flowhft.rl.train import CURVE_UNITS, SEED_UNITS, train

        environments = environments_of(job, self.observation, self.ppo.inventory_penalty, family)
        title = job[0].name if len(job) == 1 else f"{len(job)} scenarios"
        found = train(
            environments,
            (len(VIEWS[self.observation]), 2),
            self.ppo,
            self.seed,
            title if self.observation == "state" else f"regime/{title}",
            work / "checkpoints" / f"{name}.safetensors",
            progress,
        )
        parts = work / "parts"
        for kind, table, units in (("curves", found.curves, CURVE_UNITS), ("seeds", found.seeds, SEED_UNITS)):
            told = table.select(pl.lit(title).alias("scenario"), pl.all())
            write_table(parts / f"{name}.{kind}.parquet", told, units)
        scales = environments[0].scales._replace(mean=found.mean, std=found.std)
        own = job[0].name if self.observation == "state" else ""
        agent = agent_policy(self.observation, found.actor, scales, own)
        save_policy(parts / f"{name}.safetensors", agent)


def _result(folder: Path) -> Result:
    """Return what a finished training found out, read back from its folder."""
    seeds = read_table(folder / "seeds.parquet")
    rows = []
    for (scenario,), every in seeds.group_by("scenario", maintain_order=True):
        kept = every.filter(pl.col("chosen")).row(0, named=True)
        rows.append(
            [
                scenario,
                f"{kept['seed']} of {every.height}",
                f"{kept['reward']:.2f} ± {kept['reward_error']:.2f}",
                f"{kept['pnl']:.2f} ± {kept['pnl_error']:.2f}",
                every["reward"].min(),
            ]
        )
    table = Table(
        ("scenario", "seed kept", "reward (tick x lot)", "PnL (tick x lot)", "reward of the worst seed"),
        rows,
        title="On validation paths, with standard errors; the best of several seeds is flattered by chance",
    )
    return Result(
        summary={"folder": folder, "seeds": seeds.to_dicts()},
        shown=[table, f"The agents are {folder / 'policy.safetensors'}"],
    )
