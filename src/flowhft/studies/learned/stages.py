"""The stages of the study `reproduce learned`: a run folder each, resumed piece by piece."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl

from flowhft.errors import require
from flowhft.policies.origin import with_origins
from flowhft.runs.folder import MANIFEST, Run, finite, plain, read_table, write_table
from flowhft.runs.resume import JSON, Finished
from flowhft.scenarios.presets import Preset
from flowhft.stages.folder import begin, identity_of
from flowhft.stages.folders import ppo, tune
from flowhft.stages.stage import Listener

# Name -> what a person reads while it runs; in the order in which they run.
STAGES = {
    "cells": "judge every policy in the test cells",
    "trainings": "judge trainings from other seeds",
    "worth": "split the gain into drift, forecasts and market making",
    "dial": "turn the risk dial",
    "unseen": "judge in markets never seen",
    "imitation": "imitate a teacher as faithfully as can be",
    "ablations": "learn from one expert alone",
    "scaling": "learn from more and more instructors",
    "objectives": "compare objectives and numbers of evaluations",
    "observation": "compare what policies see",
    "chunks": "compare horizons, steps executed and noise",
}
STUDIES = ("ablations", "scaling", "objectives", "observation", "chunks")
NEEDS_POLICY = ("cells", "trainings", "worth", "dial", "unseen")
MARKETS: tuple[Preset, ...] = ("paper", "correct", "informed")  # in the order of the page
PAPER: Preset = "paper"  # the market of studies, of the dial and of PPO: the printed rows are of it
Rows = list[dict[str, Any]]


class Stages:
    """The stages of one page.

    Args:
        settings: a `flowhft.studies.learned.reproduce.Reproduce`, with its sizes decided.
        folder: of the page; a stage has a folder in it.
        listener: told how it goes.
    """

    def __init__(self, settings: Any, folder: Path, listener: Listener) -> None:
        self.settings, self.folder, self.listener = settings, folder, listener

    def run(self, name: str) -> None:
        """Run one stage, of what an earlier call has left only the rest."""
        if name in STUDIES:
            self._study(name)
        elif name in ("dial", "imitation"):
            {"dial": self._dial, "imitation": self._imitation}[name]()
        else:
            for market in self.settings.markets:
                {
                    "cells": self._cells,
                    "trainings": self._trainings,
                    "worth": self._worth,
                    "unseen": self._unseen,
                }[name](market)

    def finished(self) -> dict[str, str]:
        """Return the identity of every finished stage, by its folder's name."""
        return {
            str(manifest.parent.relative_to(self.folder)): identity_of(manifest.parent)
            for name in STAGES
            for manifest in sorted((self.folder / name).rglob(MANIFEST))
        }

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return what all finished stages found: tables by name, those of several markets together."""
        parts: dict[str, list[pl.DataFrame]] = {}
        order = {str(Path(name) / market): n for n, (name, market) in enumerate(self._places())}
        for key in sorted(self.finished(), key=lambda key: order.get(key, len(order))):
            for path in sorted((self.folder / key).glob("*.parquet")):
                parts.setdefault(path.stem, []).append(with_origins(read_table(path), {}))
        return {name: pl.concat(tables, how="diagonal_relaxed") for name, tables in parts.items()}

    def _places(self) -> list[tuple[str, str]]:
        return [(name, market) for name in STAGES for market in ("", *MARKETS)]

    def _stage(
        self,
        key: str,
        config: dict[str, Any],
        find: Callable[[Path], dict[str, pl.DataFrame]],
        parents: dict[str, str] | None = None,
    ) -> None:
        """Run one stage in its folder, unless that is finished."""
        shared = {} if key.partition("/")[0] in STUDIES else {"cells": self.settings.cells}
        command = f"reproduce learned: {key}"
        run = Run(self.folder / key, command, plain(config | shared), self.settings.seed, parents or {})
        if work := begin(run, self.listener):
            tables = find(work)
            for name, table in tables.items():
                write_table(work / f"{name}.parquet", table, {})
            run.finish(tables=list(tables))

    def _pieces(self, work: Path, title: str, pieces: Sequence[tuple[str, Callable[[], Rows]]]) -> Rows:
        """Find piece after piece; those that an interrupted run found are read back."""
        rows: Rows = []
        with self.listener.stage(title) as progress:
            finished = Finished(work / "parts", JSON)
            for i, (name, find) in enumerate(pieces):
                progress(i / len(pieces), name)
                rows += finished.get(f"{i:04d}", find)
        return rows

    # Who is judged

    def _learned(self) -> list[Any]:
        """Return the learned policies: ours first, then what it is compared with."""
        from flowhft.studies.learned.lineup import OURS, PLAIN, PRETRAINED, base_of, saved

        settings = self.settings
        ours = saved(OURS, settings.policy)
        base = saved(PRETRAINED, settings.pretrained) if settings.pretrained else base_of(ours)
        return [ours, *([base] if base else []), *([saved(PLAIN, settings.plain)] if settings.plain else [])]

    def _fitted(self, market: str) -> list[Any]:
        """Return the policies that are fitted to each cell, fitted now if they are not yet."""
        from flowhft.studies.learned.lineup import PPO, TUNED, saved

        settings, results = self.settings, []
        common: dict[str, Any] = {"seed": settings.seed}
        if not settings.without_tuned:
            out = self.folder / "tune" / market
            tune.run(
                tune.Tune(scenarios=settings.cells, market=market, out=out, **common),  # type: ignore[arg-type]
                self.listener,
            )
            results.append(saved(TUNED, str(out / "policy.safetensors"), "fitted"))
        if market == PAPER and not settings.without_ppo:
            out = settings.agents or self.folder / "ppo"
            if not settings.agents:
                ppo.run(ppo.Ppo(scenarios=settings.cells, market=PAPER, out=out, **common), self.listener)
            results.append(saved(PPO, str(out / "policy.safetensors"), "fitted"))
        return results

    def _executor(self) -> Any:
        """Return who judges, as a context: a Ray cluster or this process."""
        from flowhft.simulate.devices import prepare
        from flowhft.work.cluster import cluster
        from flowhft.work.task import do_here

        ray = self.settings.ray
        return cluster(ray, self.settings.device, prepare) if ray else nullcontext(do_here)

    def _identities(self, members: Sequence[Any]) -> dict[str, str]:
        return {f"policy {m.name}": identity_of(m.policy.path) for m in members if m.policy.path}

    # Stages

    def _cells(self, market: str) -> None:
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.simulate.checkpoint import checkpoints
        from flowhft.simulate.drive import evaluate_all
        from flowhft.studies.learned.cells import job_of, rows_of
        from flowhft.studies.learned.lineup import at_home, closed_forms, oracle

        settings = self.settings
        scenarios = find_scenarios(settings.cells, market)  # type: ignore[arg-type]
        members = [*self._learned(), *closed_forms(), *self._fitted(market), oracle(), at_home()]

        def find(work: Path) -> dict[str, pl.DataFrame]:
            job = job_of(scenarios, members, settings.paths, settings.seed, settings.chunk)
            finished = checkpoints(work / "moments")
            with (
                self.listener.stage(f"{STAGES['cells']}, {market}") as progress,
                self._executor() as executor,
            ):
                evaluate_all(job, finished, executor=executor, progress=progress)
            results, margins = [], []
            for index in range(len(scenarios)):
                one, other = rows_of(job, finished, index, market, members)
                results += finite(one)
                margins += finite(other)
            return {"cells": _table(results), "margins": _table(margins)}

        config = {"market": market, "paths": settings.paths, "policies": [m.policy.written for m in members]}
        self._stage(f"cells/{market}", config, find, self._identities(members))

    def _trainings(self, market: str) -> None:
        from flowhft.learn.regime.baselines import BASELINES
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.simulate.checkpoint import checkpoints
        from flowhft.simulate.drive import evaluate_all
        from flowhft.studies.learned.cells import job_of, rows_of
        from flowhft.studies.learned.lineup import closed_forms
        from flowhft.studies.learned.repeats import repeats_in, trained_again

        settings = self.settings
        if not settings.trainings and not settings.plain_trainings:
            return  # all sections were asked for; who names this one must name trainings
        scenarios = find_scenarios(settings.cells, market)  # type: ignore[arg-type]
        names = trained_again(
            (settings.policy, *settings.trainings),
            (*((settings.plain,) if settings.plain else ()), *settings.plain_trainings),
        )
        members = [*(member for _, _, member in names.values()), *closed_forms(BASELINES)]

        def find(work: Path) -> dict[str, pl.DataFrame]:
            job = job_of(scenarios, members, settings.detail_paths, settings.seed, settings.chunk)
            finished = checkpoints(work / "moments")
            with (
                self.listener.stage(f"{STAGES['trainings']}, {market}") as progress,
                self._executor() as executor,
            ):
                evaluate_all(job, finished, executor=executor, progress=progress)
            results, margins = [], []
            for index in range(len(scenarios)):
                one, other = rows_of(job, finished, index, market, members, BASELINES)
                results += finite(one)
                margins += finite(other)
            return {"trainings": repeats_in(_table(results), _table(margins), names)}

        config = {
            "market": market,
            "paths": settings.detail_paths,
            "policies": [m.policy.written for m in members],
        }
        self._stage(f"trainings/{market}", config, find, self._identities(members))

    def _worth(self, market: str) -> None:
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.studies.learned.attribution import attributed_in

        scenarios = find_scenarios(self.settings.cells, market)  # type: ignore[arg-type]
        members, paths = self._learned(), self.settings.detail_paths

        def find(work: Path) -> dict[str, pl.DataFrame]:
            pieces = [
                (
                    cell.name,
                    lambda cell=cell: attributed_in(
                        cell, market, members, paths=paths, seed=self.settings.seed, like=scenarios
                    ),
                )
                for cell in scenarios
            ]
            return {"worth": _table(self._pieces(work, f"{STAGES['worth']}, {market}", pieces))}

        config = {"market": market, "paths": paths, "policies": [m.policy.written for m in members]}
        self._stage(f"worth/{market}", config, find, self._identities(members))

    def _dial(self) -> None:
        from flowhft.policies.names import find_policy
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.studies.learned.dial import dial_in, dials_of

        scenarios = find_scenarios(self.settings.cells, PAPER)
        ours, *others = self._learned()
        paths, base = self.settings.detail_paths, at_dial(self.settings.policy)
        dials = self.settings.dials or dials_of(ours.policy)
        if not dials:
            self.listener.note(
                f"dial: {base} has none, and --dials names no settings; the section is left out"
            )
            return
        settings = [(dial, find_policy(f"dial-{dial:g}={at_dial(base, dial)}")) for dial in dials]

        def find(work: Path) -> dict[str, pl.DataFrame]:
            pieces = [
                (
                    cell.name,
                    lambda cell=cell: dial_in(
                        cell, PAPER, settings, others, paths=paths, seed=self.settings.seed, like=scenarios
                    ),
                )
                for cell in scenarios
            ]
            return {"dial": _table(self._pieces(work, STAGES["dial"], pieces))}

        config = {"dials": dials, "paths": paths, "policy": base}
        self._stage("dial", config, find, self._identities([ours, *others]))

    def _unseen(self, market: str) -> None:
        from flowhft.studies.learned.unseen import unseen_in, unseen_markets

        scenarios = unseen_markets(market)  # type: ignore[arg-type]
        members, paths = self._learned(), self.settings.detail_paths

        def find(work: Path) -> dict[str, pl.DataFrame]:
            pieces = [
                (
                    where.name,
                    lambda where=where: unseen_in(
                        where, market, members, paths=paths, seed=self.settings.seed, like=scenarios
                    ),
                )
                for where in scenarios
            ]
            return {"unseen": _table(self._pieces(work, f"{STAGES['unseen']}, {market}", pieces))}

        config = {"market": market, "paths": paths, "policies": [m.policy.written for m in members]}
        self._stage(f"unseen/{market}", config, find, self._identities(members))

    def _imitation(self) -> None:
        from flowhft.scenarios.presets import find_scenarios
        from flowhft.studies.learned.faithful import (
            DISTILLED,
            OBJECTIVES,
            distil_faithfully,
            faithful_in,
            imitate_faithfully,
            taught,
        )

        settings, seed = self.settings, self.settings.seed
        cells, study = find_scenarios(settings.cells, PAPER), settings.study

        def find(work: Path) -> dict[str, pl.DataFrame]:
            policies = {}
            with self.listener.stage("imitate a teacher, told the market") as progress:
                progress(0.0, "demonstrate")
                shown, sensor = taught(study, seed)
                for i, objective in enumerate(OBJECTIVES):
                    progress(i / (len(OBJECTIVES) + 1), objective)
                    folder = work / "checkpoints" / objective
                    policies[objective] = imitate_faithfully(objective, shown, sensor, study, seed, folder)
                if max(study.evaluations) > 1:  # else there is nothing to distil
                    progress(len(OBJECTIVES) / (len(OBJECTIVES) + 1), DISTILLED)
                    folder, flow = work / "checkpoints" / DISTILLED, policies[OBJECTIVES[0]]
                    policies[DISTILLED] = distil_faithfully(flow, shown, study, seed, folder)
            pieces = [
                (
                    cell.name,
                    lambda cell=cell: faithful_in(cell, cells, policies, study, seed),
                )
                for cell in cells
            ]
            return {"imitation": _table(self._pieces(work, STAGES["imitation"], pieces))}

        self._stage("imitation", {"study": study}, find)

    def _study(self, name: str) -> None:
        from flowhft.studies.learned.studies import study
        from flowhft.studies.learned.trainings import classroom, try_variant

        settings, seed = self.settings.study, self.settings.seed
        variants = study(name, settings)

        def find(work: Path) -> dict[str, pl.DataFrame]:
            room = classroom(settings, seed)
            pieces = [
                (variant.name, lambda variant=variant: try_variant(room, variant, settings, seed))
                for variant in variants
            ]
            return {"studies": _table(self._pieces(work, STAGES[name], pieces))}

        self._stage(name, {"study": settings, "variants": [plain(variant) for variant in variants]}, find)


def _table(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def at_dial(policy: str, dial: float | None = None) -> str:
    """Return a policy as a user would write it at another setting of its dial, its options kept.

    Args:
        policy: as the user wrote it, with or without a setting.
        dial: the setting; None for none.
    """
    name, bracket, options = policy.rpartition("[") if policy.endswith("]") else (policy, "", "")
    setting = "" if dial is None else f"@{dial:g}"
    return f"{name.partition('@')[0]}{setting}{bracket}{options}"


def check_sections(sections: Sequence[str]) -> None:
    """Require sections that exist.

    Raises:
        UsageError: no section of this name, or none at all.
    """
    known = ", ".join(STAGES)
    require(len(sections) >= 1, "sections", f"name some of {known}", "none")
    for name in sections:
        require(name in STAGES, "sections", f"name some of {known}", f"'{name}'")
