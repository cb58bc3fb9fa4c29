"""PPO: train agents that learn to quote by trial and error."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flowhft.errors import require
from flowhft.rl.settings import PpoSettings
from flowhft.runs.folder import plain, read_table, write_table
from flowhft.runs.resume import JSON, Finished
from flowhft.scenarios.presets import Preset
from flowhft.stages.folder import begin, run_of, scenarios_of
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.types import Progress


@dataclass(frozen=True, kw_only=True)
class Ppo(Stage):
    """Settings of agents that are trained by trial and error."""

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    market: Preset = "correct"
    """Preset of the named scenarios."""
    observation: Literal["state", "regime"] = "state"
    """What agents see: `state` (time, cash, inventory, price, previous spread; one agent a scenario) or
    `regime` (the same in units of the market, and its volatility, demand, drift, ...; one agent for all)."""
    ppo: PpoSettings = PpoSettings()


def run(settings: Ppo, listener: Listener | None = None) -> Path:
    """Train scenario by scenario, or one agent in all of them; finished agents are kept."""
    listener = listener or Silent()
    from flowhft.simulate.devices import prepare

    prepare()
    from flowhft.policies.file import load_policy, save_policy
    from flowhft.rl.agents import merged
    from flowhft.rl.train import CURVE_UNITS, SEED_UNITS
    from flowhft.scenarios.presets import find_scenarios

    scenarios = find_scenarios(settings.scenarios, settings.market)
    require(len(scenarios) > 0, "scenarios", "name at least one scenario", f"'{settings.scenarios}'")
    named, files = scenarios_of(settings.scenarios)
    run = run_of(settings, "ppo", files, scenarios=named)
    if work := begin(run, listener):
        jobs = [[one] for one in scenarios] if settings.observation == "state" else [scenarios]
        parts = work / "parts"
        finished = Finished(parts, JSON)
        with listener.stage("train by trial and error") as progress:
            for i, job in enumerate(jobs):
                if f"{i:04d}" in finished:
                    continue

                def on_progress(share: float, now: str, i: int = i) -> None:
                    progress((i + share) / len(jobs), now)

                title, left = _train(settings, job, scenarios, work, f"{i:04d}", on_progress)
                finished.keep(f"{i:04d}", title, left)
        made = [load_policy(parts / f"{i:04d}.safetensors") for i in range(len(jobs))]
        tables = {
            name: pl.concat([read_table(parts / f"{i:04d}.{name}.parquet") for i in range(len(jobs))])
            for name in ("curves", "seeds")
        }
        training = {
            "seed": settings.seed,
            "settings": plain(settings.ppo),
            "market": settings.market,
            "scenarios": [scenario.name for scenario in scenarios],
            "parents": run.parents,
        }
        save_policy(work / "policy.safetensors", merged(made, training))
        write_table(work / "curves.parquet", tables["curves"], CURVE_UNITS)
        write_table(work / "seeds.parquet", tables["seeds"], SEED_UNITS)
        run.finish(
            observation=settings.observation,
            agents=len(jobs),
            selection=f"per agent the seed of most reward on {settings.ppo.validation:,} validation episodes "
            "of a stream of their own",
            chosen=tables["seeds"].filter(pl.col("chosen")).drop("chosen").to_dicts(),
        )
    return run.folder


def _train(
    settings: Ppo, job: list[Any], family: list[Any], work: Path, name: str, progress: Progress
) -> tuple[str, list[Path]]:
    """Train one agent and leave it in the run's parts; return whose it is, and its files."""
    from flowhft.policies.agent import VIEWS
    from flowhft.policies.file import save_policy
    from flowhft.rl.agents import agent_policy
    from flowhft.rl.environment import environments_of
    from flowhft.rl.train import CURVE_UNITS, SEED_UNITS, train

    environments = environments_of(job, settings.observation, settings.ppo.inventory_penalty, family)
    title = job[0].name if len(job) == 1 else f"{len(job)} scenarios"
    result = train(
        environments,
        (len(VIEWS[settings.observation]), 2),
        settings.ppo,
        settings.seed,
        title if settings.observation == "state" else f"regime/{title}",
        work / "checkpoints",
        progress,
    )
    parts, files = work / "parts", [work / "parts" / f"{name}.safetensors"]
    for kind, table, units in (("curves", result.curves, CURVE_UNITS), ("seeds", result.seeds, SEED_UNITS)):
        on_progress = table.select(pl.lit(title).alias("scenario"), pl.all())
        files.append(parts / f"{name}.{kind}.parquet")
        write_table(files[-1], on_progress, units)
    scales = environments[0].scales._replace(mean=result.mean, std=result.std)
    own = job[0].name if settings.observation == "state" else ""
    agent = agent_policy(settings.observation, result.actor, scales, own)
    save_policy(files[0], agent)
    return title, files
