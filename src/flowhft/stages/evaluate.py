"""Evaluate policies in simulated markets: every policy in every scenario on the same random numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flowhft.desk.replay.markout import simulated_markout
from flowhft.errors import require
from flowhft.metrics.measures import inventory_distribution
from flowhft.metrics.table import CONFIDENCE
from flowhft.policies.options import Late
from flowhft.policies.origin import with_origins
from flowhft.runs import tables
from flowhft.runs.folder import finite, write_table
from flowhft.scenarios.presets import Preset, find_scenarios
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.checkpoint import Finished, checkpoints
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.simulate.drive import evaluate_all
from flowhft.simulate.evaluate import equity_table, evaluation_of, fingerprint, sessions_of
from flowhft.simulate.job import InMarket, Job
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import CHUNK
from flowhft.stages.policies import Given, Lineup, lineup
from flowhft.stages.settings import require_evaluation
from flowhft.stages.tables import currency_of, shown, table_of, units_in
from flowhft.types import Progress, no_progress
from flowhft.work.task import Executor, do_here

COURSE_PATHS = 500  # sessions behind the curves of equity and inventory
COURSE_STEPS = 2**23  # steps of all of them: a step of a trajectory takes some 120 bytes
SHOWN = ("sharpe", "max_drawdown", "fills", "rms_inventory")


class Courses(NamedTuple):
    """What a closer look at the first scenario shows, policy by policy.

    Attributes:
        equity: the course of a session, averaged over sessions: one row a policy and step.
        inventory: how inventory is distributed, one row a policy.
        markouts: the mean move of the mid after a fill, one row a policy and horizon.
        fingerprint: half-spreads by inventory and time left.
    """

    equity: pl.DataFrame
    inventory: pl.DataFrame
    markouts: pl.DataFrame
    fingerprint: pl.DataFrame


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What policies came to in simulated markets.

    Attributes:
        results: one row a scenario and policy: every metric with its interval, money in currency.
        differences: the same less the reference's, paired; no rows of the reference itself.
        reference: the policy that differences are taken against.
        scenarios: where.
        policies: name -> the policy as it quotes in a scenario.
        paths: sessions of each policy in each scenario.
        seed: of the run.
    """

    results: pl.DataFrame
    differences: pl.DataFrame
    reference: str
    scenarios: tuple[Scenario, ...]
    policies: Mapping[str, InMarket]
    paths: int
    seed: int
    _drawn: list[Courses] = field(default_factory=list, compare=False)

    def courses(self, progress: Progress = no_progress) -> Courses:
        """Return a closer look at the first scenario, on the first sessions; simulated when first asked for.

        Args:
            progress: told before each policy.
        """
        if not self._drawn:
            self._drawn.append(_courses(self, progress))
        return self._drawn[0]

    @property
    def equity(self) -> pl.DataFrame:
        """The course of a session in the first scenario (see `Courses`)."""
        return self.courses().equity

    @property
    def inventory(self) -> pl.DataFrame:
        """How inventory is distributed there."""
        return self.courses().inventory

    @property
    def markouts(self) -> pl.DataFrame:
        """The mean move of the mid after a fill there."""
        return self.courses().markouts

    @property
    def fingerprint(self) -> pl.DataFrame:
        """Half-spreads by inventory and time left there."""
        return self.courses().fingerprint

    def save(self, folder: Path | str, progress: Progress = no_progress) -> None:
        """Write the tables as Parquet files with their units, as `flowhft evaluate` does.

        Args:
            folder: made where there is none.
            progress: of `courses`.
        """
        folder = Path(folder)
        courses = self.courses(progress)
        currency = currency_of(scenario.currency for scenario in self.scenarios)
        for name, table, money in (
            ("equity", courses.equity, self.scenarios[0].currency),
            ("fingerprint", courses.fingerprint, currency),
            ("inventory", courses.inventory, currency),
            ("markouts", courses.markouts, currency),
        ):
            units = tables.units_of("evaluate", name, money=money)
            write_table(folder / f"{name}.parquet", table, units)
        for name, table in (("results", self.results), ("differences", self.differences)):
            write_table(folder / f"{name}.parquet", table, units_in("evaluate", name, currency))

    def __repr__(self) -> str:
        what = (
            f"{len(self.policies)} policies x {len(self.scenarios)} scenarios, {self.paths:,} sessions each"
        )
        return f"Evaluation: {what}; reference {self.reference}\n{shown(self.results, SHOWN)}"


def evaluate(
    policies: Given | Lineup,
    scenarios: str | Scenario | Sequence[str | Scenario],
    paths: int = 10_000,
    *,
    market: Preset = "correct",
    seed: int = 0,
    reference: str | None = None,
    confidence: float = CONFIDENCE,
    delay: int = 0,
    late: Late = "quotes",
    chunk: int = CHUNK,
    device: DeviceName = "auto",
    executor: Executor = do_here,
    finished: Finished | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate policies in simulated markets, all of them on the same random numbers.

    `no_quote`, who stays at home, is among them whether it is named or not.

    Args:
        policies: names, files, functions or objects (`flowhft.stages.policies`).
        scenarios: comma-separated names and TOML files, scenarios, or a list of either.
        paths: sessions of each policy in each scenario; memory does not grow with them.
        market: preset of the scenarios that are named.
        seed: of the run; the same seed gives the same markets to everybody.
        reference: policy that paired differences are taken against; None for the first.
        confidence: of every interval, between 0 and 1.
        delay: steps from a decision to the market, of every policy that says nothing of it.
        late: what a delay makes late: the `quotes` around the mid, or their `prices`.
        chunk: sessions simulated at once: bounds the memory and changes no result.
        device: where to simulate; `auto` takes a GPU if there is one.
        executor: who simulates, see `flowhft.work.cluster` for another one.
        finished: where finished parts are kept and found again; None to keep none.
        progress: told as sessions are done.

    Raises:
        UsageError: a number, a name or a policy that cannot be.

    Example:
        >>> found = evaluate("glft", "T1.LL", paths=20)
        >>> found.results["policy"].to_list()
        ['glft', 'no_quote']
    """
    require_evaluation(paths, confidence, chunk, delay)
    prepare(device)
    markets = scenarios_in(scenarios, market)
    compared = lineup(policies, reference, scenarios=markets, delay=delay, late=late)
    quoting = {policy.name: partial(in_lab, policy) for policy in compared.policies}
    job = Job(markets, quoting, paths, seed, chunk=chunk)
    done = checkpoints() if finished is None else finished
    evaluate_all(job, done, executor=executor, progress=progress)
    results: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for i in range(len(markets)):
        evaluation = evaluation_of(job, done, i, compared.reference, confidence)
        results += finite(evaluation.results)
        differences += finite(evaluation.differences)
    return Evaluation(
        with_origins(table_of(results), compared.origins),
        with_origins(table_of(differences), compared.origins),
        compared.reference,
        tuple(markets),
        quoting,
        paths,
        seed,
    )


def scenarios_in(
    given: str | Scenario | Sequence[str | Scenario], market: Preset = "correct"
) -> list[Scenario]:
    """Return the scenarios that a user gives, in their order.

    Args:
        given: comma-separated names and TOML files, scenarios, or a list of either.
        market: preset of those that are named.

    Raises:
        UsageError: there is none, or two have the same name; see also `find_scenarios`.
    """
    things = [given] if isinstance(given, str | Scenario) else list(given)
    words = [thing for thing in things if isinstance(thing, str)]
    if len(words) == len(things):
        results = find_scenarios(given if isinstance(given, str) else words, market)
    else:
        results = [
            scenario
            for thing in things
            for scenario in ([thing] if isinstance(thing, Scenario) else find_scenarios(thing, market))
        ]
    received = f"'{given}'" if isinstance(given, str) else ", ".join(s.name for s in results) or "none"
    require(len(results) > 0, "scenarios", "name at least one scenario", received)
    names = [scenario.name for scenario in results]
    require(len(set(names)) == len(names), "scenarios", "have different names", received, "Rename one.")
    return results


def _courses(evaluation: Evaluation, progress: Progress) -> Courses:
    """Simulate the first sessions of the first scenario once more, and keep every step."""
    scenario = evaluation.scenarios[0]
    paths = min(evaluation.paths, COURSE_PATHS, max(2, COURSE_STEPS // scenario.steps))
    reach = min(5, int(min(scenario.inventory_limit, 5)))
    inventories = [float(q) for q in range(-reach, reach + 1)]
    courses, prints, held, marked = [], [], [], []
    for i, (name, policy) in enumerate(evaluation.policies.items()):
        progress(i / len(evaluation.policies), name)
        quoting = policy(scenario)
        sessions = sessions_of(scenario, quoting, paths=paths, seed=evaluation.seed)
        courses.append(equity_table(scenario, name, sessions))
        held.append({"policy": name, **inventory_distribution(sessions)})
        marked.append(simulated_markout(name, sessions, scenario.dt))
        prints.append(fingerprint(scenario, name, quoting, inventories, (1.0, 0.5, 0.1)))
    return Courses(pl.concat(courses), pl.DataFrame(held), pl.concat(marked), pl.concat(prints))
