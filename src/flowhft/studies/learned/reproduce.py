"""The shipped policy in every cell, why it earns what it does, and what every choice was worth."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.runs.folder import MANIFEST, Run, manifest_of
from flowhft.scenarios.presets import PRESETS
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.stages.folder import RUNS, identity_of_run
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.tables import units_in
from flowhft.studies.learned.settings import StudySettings
from flowhft.studies.learned.stages import MARKETS, NEEDS_POLICY, STAGES, Stages, at_dial, check_sections
from flowhft.studies.page import StudyResult, claim, settle, write_page

NAME = "reproduce learned"
PAGE = "results.md"
MOST_PATHS = 1_000_000_000
# What `--quick` takes for options that are left as they are.
QUICK: dict[str, Any] = {
    "paths": 400,
    "cells": "T1.HH,T1.LL",
    "detail_paths": 200,
    "without_ppo": True,
    "without_tuned": True,
    "study": StudySettings(
        scenarios=2,
        sessions=4,
        updates=20,
        width=8,
        blocks=1,
        seeds=2,
        paths=64,
        cells="T1.LL",
        evaluations=(1, 2),
        imitation_updates=20,
        distil_updates=20,
        imitation_scenarios=2,
        imitation_paths=64,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Reproduce(Stage):
    """Settings of the study of the shipped policy."""

    policy: str = "flowhft"
    """The policy that all of this is about: the shipped one, a .safetensors file or a run folder; @ and a
    number set its risk dial."""
    pretrained: str = ""
    """The flow policy that it was adapted from, to be judged beside it; by default the one within."""
    plain: str = ""
    """Control: a plain network trained by the same adaptation."""
    trainings: tuple[str, ...] = ()
    """Trainings of the policy from other seeds, for the section of that name: files or run folders."""
    plain_trainings: tuple[str, ...] = ()
    """The same of the control."""
    sections: tuple[str, ...] = tuple(STAGES)
    """Sections to run now; the page has them and those that earlier calls finished in the same folder."""
    markets: tuple[str, ...] = MARKETS
    """Markets of the sections cells, trainings, worth and unseen."""
    cells: str = "paper-test"
    """Comma-separated cells, T1.HH ... T6.LL; all 24 by default."""
    paths: int = 200_000
    """Sessions simulated per cell in the section cells, the same for every policy."""
    detail_paths: int = 20_000
    """Sessions per cell in the sections trainings, worth, dial and unseen."""
    dials: tuple[float, ...] = ()
    """Settings of the risk dial in the section dial; seven over the trained range if none are given."""
    without_ppo: bool = False
    """Leave PPO out, which is trained cell by cell in the paper's market."""
    agents: Path | None = None
    """A finished run of `flowhft ppo` in the market `paper`, instead of a training here."""
    without_tuned: bool = False
    """Leave the experts out that are tuned to every cell."""
    study: StudySettings = StudySettings()
    quick: bool = False
    """A first look: a few cells, sessions and updates, where those are not set."""
    chunk: int = 8_192
    """Sessions simulated at once: bounds the memory and changes no result."""
    device: DeviceName = "auto"
    """Where to simulate: on every core of the processor, or on a GPU; auto takes a GPU if there is one."""
    ray: str = ""
    """Judge on a Ray cluster: its address (host:port), or auto to join the one here or start one."""
    docs: Path | None = None
    """File that the page results.md is copied to."""
    require: bool = False
    """End with exit code 4 if a target is missed."""


def run(settings: Reproduce, listener: Listener | None = None) -> Path:
    """Run the sections, each in a folder of its own, and write down what all finished ones found.

    Args:
        settings: of the study.
        listener: told how it goes.

    Returns:
        The finished run folder, with those of the sections in it.
    """
    listener = listener or Silent()
    from flowhft.studies.learned.document import document
    from flowhft.studies.learned.findings import tables_of

    if settings.quick:
        return run(_quickly(settings), listener)
    _check(settings)
    folder = settings.out or RUNS / "reproduce-learned"
    claim(folder, listener)
    prepare(settings.device)
    stages = Stages(settings, folder, listener)
    for name in STAGES:
        if name in settings.sections:
            stages.run(name)
    done = stages.finished()
    settle(folder)
    # The page follows from the stages that are there, and from the calls that made them.
    written = manifest_of(folder)["summary"] if (folder / MANIFEST).is_file() else {}
    earlier = written.get("settings", {})

    def find(work: Path) -> StudyResult:
        tables = tables_of(stages.tables())
        shown_settings = _settings(settings, folder, done, earlier)
        units = {name: units_in(NAME, name, "price units") for name in tables}
        return StudyResult(tables, units, document(tables, shown_settings), {"settings": shown_settings})

    page = Run(folder, NAME, {"policy": settings.policy, "stages": list(done)}, settings.seed, done)
    write_page(page, PAGE, listener, find, settings.docs)
    return folder


def _quickly(settings: Reproduce) -> Reproduce:
    """Return the same command with the sizes of `QUICK` where they are left as they are."""
    changes = {
        name: value for name, value in QUICK.items() if getattr(settings, name) == getattr(Reproduce, name)
    }
    if settings.agents:
        changes.pop("without_ppo", None)
    return replace(settings, quick=False, **changes)


def _check(settings: Reproduce) -> None:
    """Refuse what cannot be before anything is computed."""
    from flowhft.scenarios.presets import find_scenarios, paper_test

    check_sections(settings.sections)
    for name in ("paths", "detail_paths"):
        value = getattr(settings, name)
        require(2 <= value <= MOST_PATHS, name, f"lie between 2 and {MOST_PATHS:,}", value)
    for market in settings.markets:
        if market not in PRESETS:
            raise UnknownNameError("market preset", market, PRESETS)
    require(len(settings.markets) >= 1, "markets", "name at least one market", "none")
    named = bool(settings.trainings or settings.plain_trainings)
    if "trainings" in settings.sections and not named and settings.sections != tuple(STAGES):
        raise UsageError(
            "`trainings` must name trainings for the section of that name; received none. Make some with "
            "scripts/policy --seed, and name their folders."
        )
    if named and "trainings" not in settings.sections:
        raise UsageError(
            "`trainings` must not be given unless the section of that name is run; received --sections "
            f"{','.join(settings.sections)}. Add it."
        )
    if settings.agents and settings.without_ppo:
        raise UsageError("`agents` must not be given together with `--without-ppo`. Leave one of them out.")
    for cells in (settings.cells, settings.study.cells):
        for scenario in find_scenarios(cells, "paper"):
            require(
                paper_test("paper").get(scenario.name) == scenario,
                "cells",
                "be cells of the paper",
                f"'{scenario.name}'",
                "Name some of T1.HH to T6.LL.",
            )
        require(len(find_scenarios(cells, "paper")) > 0, "cells", "name at least one cell", f"'{cells}'")
    if settings.agents:
        identity_of_run(settings.agents, "agents", "ppo")
    if set(settings.sections) & set(NEEDS_POLICY):
        from flowhft.policies.names import find_policy

        dials = settings.dials if "dial" in settings.sections else ()
        dialled = [at_dial(settings.policy, dial) for dial in dials]
        again = (*settings.trainings, *settings.plain_trainings) if "trainings" in settings.sections else ()
        for where in filter(None, (settings.policy, settings.pretrained, settings.plain, *dialled, *again)):
            find_policy(where)  # better said now than hours later


def _settings(
    settings: Reproduce, folder: Path, done: Mapping[str, str], earlier: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the page says about how it was made; nothing about when or where.

    A call is named as long as it made a stage that no later call has made again.
    """
    made = {key: command for key, command in earlier.get("made", {}).items() if key in done}
    made |= {key: _typed(settings) for key in done if _makes(settings, key)}
    calls = [*(call for call in earlier.get("commands", []) if call != _typed(settings)), _typed(settings)]
    if set(made) == set(done):  # else the folder is of a time when this was not written down
        calls = [call for call in calls if call in made.values()] or calls[-1:]
    configs = {key: manifest_of(folder / key)["config"] for key in done}
    from flowhft.studies.learned.lineup import OURS, saved, sees_premium

    of_policy = bool({key.partition("/")[0] for key in done} & set(NEEDS_POLICY))
    return {
        "commands": calls,
        "made": made,
        "seed": settings.seed,
        "policy": settings.policy if of_policy else None,
        "told_premium": of_policy and sees_premium(saved(OURS, settings.policy)),
        "stages": configs,
    }


def _makes(settings: Reproduce, key: str) -> bool:
    """Return whether this call runs a stage, or finds it finished as it would be."""
    section, _, market = key.partition("/")
    return section in settings.sections and (not market or market in settings.markets)


def _typed(settings: Reproduce) -> str:
    """Return this call, as short as can be."""
    usual, words = Reproduce, [f"flowhft {NAME}"]
    shown = ("policy", "pretrained", "plain", "trainings", "plain_trainings", "sections", "markets")
    for name in (*shown, "cells", "paths", "detail_paths", "dials", "agents"):
        value = getattr(settings, name)
        if value != getattr(usual, name):
            parts = [str(part) for part in (value if isinstance(value, tuple) else (value,))]
            words.append(f"--{name.replace('_', '-')} {','.join(_shortest(parts))}")
    for name in ("without_ppo", "without_tuned"):
        words += [f"--{name.replace('_', '-')}"] if getattr(settings, name) else []
    for item in fields(StudySettings):
        value = getattr(settings.study, item.name)
        if value != item.default:
            value = ",".join(map(str, value)) if isinstance(value, tuple) else value
            words.append(f"--study.{item.name.replace('_', '-')} {value}")
    return " ".join([*words, f"--seed {settings.seed}", f"--docs docs/{PAGE}"])


def _shortest(paths: list[str]) -> list[str]:
    """Return the ends of paths: their names, or so many folders more that no two are alike."""
    for kept in range(1, 1 + max(len(Path(path).parts) for path in paths)):
        short = [str(Path(*Path(path).parts[-kept:])) if "/" in path else path for path in paths]
        if len(set(short)) == len(paths):
            return short
    return [Path(path).name for path in paths]
