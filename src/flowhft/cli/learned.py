"""`flowhft reproduce learned`: the shipped policy in every cell, why it earns what it does, ablations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import RUNS, identity_of_run
from flowhft.cli.learned_stages import MARKETS, NEEDS_POLICY, STAGES, Stages, at_dial, check_sections
from flowhft.cli.page import Found, claim, settle, write_page
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UnknownNameError, UsageError, require
from flowhft.runs.folder import MANIFEST, REPORT, Run, manifest_of
from flowhft.scenarios.presets import PRESETS
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.stages.tables import units_in
from flowhft.studies.learned.settings import StudySettings

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
class ReproduceLearned(Command):
    """Measure what the shipped policy is worth, and what every choice in learning it was worth.

    Judges it in the test cells of every market beside experts, tuned experts, PPO and the oracle; splits its
    gain into drift, forecasts and market making; draws its risk dial; repeats the paper's ablations and
    compares objectives, observations and chunks in small trainings of several seeds; and tries markets never
    seen. Each section is a finished folder; the page tells of those that are there. Writes cells.parquet,
    wins.parquet, counts.parquet, printed.parquet, targets.parquet, misses.parquet, trainings.parquet,
    worth.parquet, dial.parquet, dial_printed.parquet, imitation.parquet, studies.parquet,
    study_summaries.parquet, unseen.parquet, sentences.parquet, results.md and report.html.
    """

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

    def run(self, terminal: Terminal) -> Result:
        """Run the sections, each in a folder of its own, and write down what all finished ones found."""
        from flowhft.studies.learned.document import document
        from flowhft.studies.learned.findings import found_in

        if self.quick:
            return self._quickly().run(terminal)
        self._check()
        folder = self.out or RUNS / "reproduce-learned"
        claim(folder, terminal)
        prepare(self.device)
        stages = Stages(self, folder, terminal)
        for name in STAGES:
            if name in self.sections:
                stages.run(name)
        done = stages.finished()
        settle(folder)
        # The page follows from the stages that are there, and from the calls that made them.
        written = manifest_of(folder)["summary"] if (folder / MANIFEST).is_file() else {}
        earlier = written.get("settings", {})

        def find(work: Path) -> Found:
            tables = found_in(stages.tables())
            settings = self._settings(folder, done, earlier)
            units = {name: units_in(NAME, name, "price units") for name in tables}
            return Found(tables, units, document(tables, settings), {"settings": settings})

        run = Run(folder, NAME, {"policy": self.policy, "stages": list(done)}, self.seed, done)
        return self._result(folder, write_page(run, PAGE, terminal, find, self.docs))

    def _quickly(self) -> "ReproduceLearned":
        """Return the same command with the sizes of `QUICK` where they are left as they are."""
        changes = {
            name: value for name, value in QUICK.items() if getattr(self, name) == getattr(type(self), name)
        }
        if self.agents:
            changes.pop("without_ppo", None)
        return replace(self, quick=False, **changes)

    def _check(self) -> None:
        """Refuse what cannot be before anything is computed."""
        from flowhft.scenarios.presets import find_scenarios, paper_test

        check_sections(self.sections)
        for name in ("paths", "detail_paths"):
            value = getattr(self, name)
            require(2 <= value <= MOST_PATHS, name, f"lie between 2 and {MOST_PATHS:,}", value)
        for market in self.markets:
            if market not in PRESETS:
                raise UnknownNameError("market preset", market, PRESETS)
        require(len(self.markets) >= 1, "markets", "name at least one market", "none")
        named = bool(self.trainings or self.plain_trainings)
        if "trainings" in self.sections and not named and self.sections != tuple(STAGES):
            raise UsageError(
                "`trainings` must name trainings for the section of that name; received none. Make some with "
                "scripts/policy --seed, and name their folders."
            )
        if named and "trainings" not in self.sections:
            raise UsageError(
                "`trainings` must not be given unless the section of that name is run; received --sections "
                f"{','.join(self.sections)}. Add it."
            )
        if self.agents and self.without_ppo:
            raise UsageError(
                "`agents` must not be given together with `--without-ppo`. Leave one of them out."
            )
        for cells in (self.cells, self.study.cells):
            for scenario in find_scenarios(cells, "paper"):
                require(
                    paper_test("paper").get(scenario.name) == scenario,
                    "cells",
                    "be cells of the paper",
                    f"'{scenario.name}'",
                    "Name some of T1.HH to T6.LL.",
                )
            require(len(find_scenarios(cells, "paper")) > 0, "cells", "name at least one cell", f"'{cells}'")
        if self.agents:
            identity_of_run(self.agents, "agents", "ppo")
        if set(self.sections) & set(NEEDS_POLICY):
            from flowhft.policies.names import find_policy

            dials = self.dials if "dial" in self.sections else ()
            settings = [at_dial(self.policy, dial) for dial in dials]
            again = (*self.trainings, *self.plain_trainings) if "trainings" in self.sections else ()
            for where in filter(None, (self.policy, self.pretrained, self.plain, *settings, *again)):
                find_policy(where)  # better said now than hours later

    def _settings(self, folder: Path, done: Mapping[str, str], earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the page says about how it was made; nothing about when or where.

        A call is named as long as it made a stage that no later call has made again.
        """
        made = {place: command for place, command in earlier.get("made", {}).items() if place in done}
        made |= {place: self._typed() for place in done if self._makes(place)}
        calls = [*(call for call in earlier.get("commands", []) if call != self._typed()), self._typed()]
        if set(made) == set(done):  # else the folder is of a time when this was not written down
            calls = [call for call in calls if call in made.values()] or calls[-1:]
        configs = {place: manifest_of(folder / place)["config"] for place in done}
        from flowhft.studies.learned.lineup import OURS, saved, told_premium

        about_policy = bool({place.partition("/")[0] for place in done} & set(NEEDS_POLICY))
        return {
            "commands": calls,
            "made": made,
            "seed": self.seed,
            "policy": self.policy if about_policy else None,
            "told_premium": about_policy and told_premium(saved(OURS, self.policy)),
            "stages": configs,
        }

    def _makes(self, place: str) -> bool:
        """Return whether this call runs a stage, or finds it finished as it would be."""
        section, _, market = place.partition("/")
        return section in self.sections and (not market or market in self.markets)

    def _typed(self) -> str:
        """Return this call, as short as can be."""
        usual, words = type(self), [f"flowhft {NAME}"]
        shown = ("policy", "pretrained", "plain", "trainings", "plain_trainings", "sections", "markets")
        for name in (*shown, "cells", "paths", "detail_paths", "dials", "agents"):
            value = getattr(self, name)
            if value != getattr(usual, name):
                parts = [str(part) for part in (value if isinstance(value, tuple) else (value,))]
                words.append(f"--{name.replace('_', '-')} {','.join(_shortest(parts))}")
        for name in ("without_ppo", "without_tuned"):
            words += [f"--{name.replace('_', '-')}"] if getattr(self, name) else []
        for item in fields(StudySettings):
            value = getattr(self.study, item.name)
            if value != item.default:
                value = ",".join(map(str, value)) if isinstance(value, tuple) else value
                words.append(f"--study.{item.name.replace('_', '-')} {value}")
        return " ".join([*words, f"--seed {self.seed}", f"--docs docs/{PAGE}"])

    def _result(self, folder: Path, tables: Mapping[str, pl.DataFrame]) -> Result:
        """Return the targets and the sentences of the page."""
        targets = tables.get("targets", pl.DataFrame())
        rows = [
            [row["name"], f"{row['found']:g} of {row['of']}", f"{row['needed']:g}", _verdict(row["hit"])]
            for row in targets.iter_rows(named=True)
        ]
        missed = [
            f"Target missed: {row['wanted']}; found {row['found']:g}."
            for row in targets.iter_rows(named=True)
            if row["hit"] is False
        ]
        page = self.docs or folder / PAGE
        sentences = tables["sentences"]["sentence"].to_list() if "sentences" in tables else []
        return Result(
            summary={
                "folder": folder,
                "report": folder / REPORT,
                "page": page,
                "missed": missed,
                **{name: table.to_dicts() for name, table in tables.items()},
            },
            shown=[
                *([Table(["target", "found", "needed", ""], rows, title="Targets")] if rows else []),
                *sentences,
                f"The report is {folder / REPORT}, the page {page}",
            ],
            missed=missed if self.require else (),
        )


def _shortest(paths: list[str]) -> list[str]:
    """Return the ends of paths: their names, or so many folders more that no two are alike."""
    for kept in range(1, 1 + max(len(Path(path).parts) for path in paths)):
        short = [str(Path(*Path(path).parts[-kept:])) if "/" in path else path for path in paths]
        if len(set(short)) == len(paths):
            return short
    return [Path(path).name for path in paths]


def _verdict(hit: bool | None) -> str:
    return "not all cells judged" if hit is None else "hit" if hit else "missed"
