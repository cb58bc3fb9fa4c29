"""Reproduction: the FlowHFT paper's tables against ours, and what its errors were worth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import UsageError, require
from flowhft.rl.settings import PpoSettings
from flowhft.runs.folder import MANIFEST, manifest_of, read_table
from flowhft.runs.resume import JSON, Finished
from flowhft.runs.tables import units_of
from flowhft.scenarios.presets import Preset
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.stages.folder import RUNS, identity_of, identity_of_run, require_ours, run_of, scenarios_of
from flowhft.stages.folders import evaluate, frontier, ppo
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.studies.page import StudyResult, write_page

MARKET: Preset = "paper"
PAGE = "reproduction.md"
REFERENCE = "glft_as_run"
EFFECT_PATHS = 50_000  # of each side of an effect, at most: they are paired
FRONTIER_PATHS = 20_000  # of each point of the frontier, at most


@dataclass(frozen=True, kw_only=True)
class Reproduce(Stage):
    """Settings of the reproduction of Tables 1 to 6."""

    paths: int = 200_000
    """Sessions simulated per cell, the same for every policy."""
    cells: str = "paper-test"
    """Comma-separated cells, T1.HH ... T6.LL; all 24 by default."""
    without_ppo: bool = False
    """Leave PPO out: the closed forms alone, in minutes."""
    agents: Path | None = None
    """A finished run of `flowhft ppo` in the market `paper`; by default PPO is trained here, cell by cell."""
    ppo: PpoSettings = PpoSettings()
    device: DeviceName = "auto"
    """Where to simulate: on every core of the processor, or on a GPU; auto takes a GPU if there is one."""
    ray: str = ""
    """Judge on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    docs: Path | None = None
    """File that the page reproduction.md is copied to."""
    require: bool = False
    """End with exit code 4 if the closed forms miss a median error of 2 % or a 90th percentile of 5 %."""


def run(settings: Reproduce, listener: Listener | None = None) -> Path:
    """Run stage after stage, each in a folder of its own, and write down what was found.

    Args:
        settings: of the reproduction.
        listener: told how it goes.

    Returns:
        The finished run folder, with those of the stages in it.
    """
    listener = listener or Silent()
    from flowhft.studies.document import document
    from flowhft.studies.effects import EFFECTS

    require(2 <= settings.paths <= 1_000_000_000, "paths", "lie between 2 and 1,000,000,000", settings.paths)
    if settings.agents and settings.without_ppo:
        raise UsageError("`agents` must not be given together with `--without-ppo`. Leave one of them out.")
    scenarios = _scenarios(settings)
    agents = {"agents": _identity_of_agents(settings, settings.agents)} if settings.agents else {}
    folder = settings.out or RUNS / "reproduce-paper"
    require_ours(folder)
    command = replace(settings, out=folder, docs=None, require=False, ray="")  # they change no result
    cells = scenarios_of(settings.cells)[0]
    run = run_of(command, "reproduce paper", agents, cells=cells, device=prepare(settings.device))

    def find(work: Path) -> StudyResult:
        tables = _tables(settings, folder, work, scenarios, listener)
        shown_settings = _settings(settings, folder)
        units = {name: units_of("reproduce paper", name) for name in tables}
        page = document(tables, EFFECTS, shown_settings)
        return StudyResult(tables, units, page, {"settings": shown_settings, "stages": _stages(folder)})

    write_page(run, PAGE, listener, find, settings.docs)
    return folder


def _scenarios(settings: Reproduce) -> list[Any]:
    """Return the cells, all of which the paper must print."""
    from flowhft.scenarios.presets import find_scenarios, paper_test

    known = paper_test(MARKET)
    scenarios = find_scenarios(settings.cells, MARKET)
    require(len(scenarios) > 0, "cells", "name at least one cell", f"'{settings.cells}'")
    for scenario in scenarios:
        require(
            known.get(scenario.name) == scenario,
            "cells",
            "be cells of the paper",
            f"'{scenario.name}'",
            "Name some of T1.HH to T6.LL.",
        )
    return scenarios


def _identity_of_agents(settings: Reproduce, run: Path) -> str:
    """Return what tells agents from others, once it is known that they were trained in this market."""
    identity = identity_of_run(run, "agents", "ppo")
    config = manifest_of(run)["config"]
    for name, wanted in (("market", MARKET), ("observation", ppo.Ppo.observation)):
        require(
            config.get(name) == wanted,
            "agents",
            f"be trained with the {name} {wanted}, as the paper's were",
            f"`{run}`, {name} {config.get(name)}",
            "Train others.",
        )
    return identity


def _settings(settings: Reproduce, folder: Path) -> dict[str, Any]:
    """Return what the page says about how it was made; nothing about when or where."""
    words = [f"flowhft reproduce paper --paths {settings.paths} --seed {settings.seed}"]
    words += [f"--cells {settings.cells}"] if settings.cells != Reproduce.cells else []
    words += ["--without-ppo"] if settings.without_ppo else _training(settings, folder)
    return {
        "command": " ".join([*words, f"--docs docs/{PAGE}"]),
        "paths": settings.paths,
        "effect_paths": min(settings.paths, EFFECT_PATHS),
        "frontier_paths": min(settings.paths, FRONTIER_PATHS),
        "seed": settings.seed,
        "ppo": not settings.without_ppo,
    }


def _training(settings: Reproduce, folder: Path) -> list[str]:
    """Return the options that train the same agents again; those of another seed are only named."""
    ran = manifest_of(settings.agents or folder / "ppo")
    if settings.agents and ran["seed"] != settings.seed:
        return [f"--agents {settings.agents.name}"]
    usual = asdict(PpoSettings())
    return [
        f"--ppo.{name.replace('_', '-')} {','.join(map(str, value)) if name == 'layers' else value}"
        for name, value in ran["config"]["ppo"].items()
        if value != (list(usual[name]) if name == "layers" else usual[name])
    ]


def _tables(
    settings: Reproduce, folder: Path, work: Path, scenarios: list[Any], listener: Listener
) -> dict[str, pl.DataFrame]:
    """Run the stages and return the tables that they come to."""
    from flowhft.studies.comparison import against_paper, given_fills, summary_table
    from flowhft.studies.contradictions import checks_of
    from flowhft.studies.paper import CLOSED_FORMS, PPO, printed_tables
    from flowhft.studies.reasons import unexplained_entries

    common: dict[str, Any] = {"seed": settings.seed}
    agents = [] if settings.without_ppo else [f"{PPO}={_agents(settings, folder, listener, common)}"]
    policies = ",".join([*CLOSED_FORMS, *agents])
    asked = evaluate.Evaluate(
        scenarios=settings.cells,
        policies=policies,
        market=MARKET,
        paths=settings.paths,
        reference=REFERENCE,
        device=settings.device,
        ray=settings.ray,
        out=folder / "evaluate",
        **common,
    )
    results = read_table(evaluate.run(asked, listener) / "results.parquet")
    effects = _effects(settings, work, scenarios, listener)
    comparison = against_paper(results)
    checks = checks_of(printed_tables())
    return {
        "comparison": comparison,
        "agreement": summary_table(comparison, given_fills(results)),
        "contradictions": _contradictions(checks),
        "unexplained": unexplained_entries(comparison, checks),
        "effects": pl.DataFrame(effects),
        "placing": _placing(settings, folder, policies, listener, common),
    }


def _agents(settings: Reproduce, folder: Path, listener: Listener, common: Mapping[str, Any]) -> Path:
    """Return the run folder of the agents: the user's, or one that is trained now."""
    if settings.agents:
        return settings.agents
    out = folder / "ppo"
    asked = ppo.Ppo(scenarios=settings.cells, market=MARKET, ppo=settings.ppo, out=out, **common)
    return ppo.run(asked, listener)


def _effects(
    settings: Reproduce, work: Path, scenarios: list[Any], listener: Listener
) -> list[dict[str, Any]]:
    """Mend the errors of the paper's runs one at a time, cell by cell; finished cells are kept."""
    from flowhft.studies.effects import cells_of, effects_in

    rows: list[dict[str, Any]] = []
    cells, finished = cells_of(scenarios), Finished(work / "effects", JSON)
    paths = min(settings.paths, EFFECT_PATHS)
    with listener.stage("mend the errors of the runs one at a time") as progress:
        for i, cell in enumerate(cells):
            progress(i / len(cells), cell.name)
            rows += finished.get(
                cell.name,
                lambda cell=cell: effects_in(cell, paths=paths, seed=settings.seed),  # type: ignore[misc]
            )
    return rows


def _placing(
    settings: Reproduce, folder: Path, policies: str, listener: Listener, common: Mapping[str, Any]
) -> pl.DataFrame:
    """Draw the oracle's frontier in every cell, and set every policy against it."""
    from flowhft.studies.frontier_gap import SWEPT, placed

    asked = frontier.Frontier(
        scenarios=settings.cells,
        policies=policies,
        market=MARKET,
        swept=SWEPT,
        paths=min(settings.paths, FRONTIER_PATHS),
        out=folder / "frontier",
        **common,
    )
    return placed(read_table(frontier.run(asked, listener) / "frontier.parquet"))


def _stages(folder: Path) -> dict[str, str]:
    """Return the identity of every stage that is there."""
    return {
        stage: identity_of(folder / stage)
        for stage in ("ppo", "evaluate", "frontier")
        if (folder / stage / MANIFEST).is_file()
    }


def _contradictions(checks: Any) -> pl.DataFrame:
    """Return one row per failure of a check, and one without words for a check that holds."""
    nothing = {"scenario": "", "policy": "", "metric": "", "says": ""}
    return pl.DataFrame(
        [
            {"check": check.name, "rule": check.rule, "entries": check.entries} | failure
            for check in checks
            for failure in check.failures or (nothing,)
        ]
    ).rename({"policy": "printed_policy"})
