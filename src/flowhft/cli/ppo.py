"""`flowhft ppo`: train agents that learn to quote by trial and error."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.report.numbers import formatted
from flowhft.runs.folder import read_table
from flowhft.stages.folders import ppo


@dataclass(frozen=True, kw_only=True)
class Ppo(ppo.Ppo, Command):
    """Train agents by proximal policy optimisation (PPO) in simulated markets.

    Writes policy.safetensors (the agents), curves.parquet (every update of every seed) and seeds.parquet
    (what each seed earns on validation paths, and which was kept). Scenarios that are finished are kept when
    a run is interrupted, and the one in work resumes from its last checkpoint, bit for bit.
    """

    stage = staticmethod(ppo.run)

    def result(self, folder: Path) -> Result:
        """Return what a finished training found out, read back from its folder."""
        seeds = read_table(folder / "seeds.parquet")
        rows = []
        for (scenario,), every in seeds.group_by("scenario", maintain_order=True):
            kept = every.filter(pl.col("chosen")).row(0, named=True)
            rows.append(
                [
                    scenario,
                    f"{kept['seed']} of {every.height}",
                    f"{formatted(kept['reward'], '.2f')} ± {formatted(kept['reward_error'], '.2f')}",
                    f"{formatted(kept['pnl'], '.2f')} ± {formatted(kept['pnl_error'], '.2f')}",
                    every["reward"].min(),
                ]
            )
        table = Table(
            ("scenario", "seed kept", "reward (tick x lot)", "PnL (tick x lot)", "reward of the worst seed"),
            rows,
            title="On validation paths, with standard errors; the best of several seeds is flattered by "
            "chance",
        )
        return Result(
            summary={"folder": folder, "seeds": seeds.to_dicts()},
            shown=[table, f"The agents are {folder / 'policy.safetensors'}"],
        )
