"""One window of a walk: calibrate on what was before, adapt to it, and trade what comes next.

A window is a task of its own: it sees its two parts of the recording and nothing else, not even what other
windows found. So windows are done in any order, on any core, and nothing of the future can reach a decision.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.calibrate.calibrate import Calibration, CalibrationSettings
from flowhft.calibrate.scenario import scenario_of
from flowhft.desk.compiled import Frozen
from flowhft.desk.compiled.freeze import freeze
from flowhft.desk.replay.engine import Replayed, replay
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow, Tape, read_tape
from flowhft.errors import DataError, UsageError
from flowhft.features.scales import Scales
from flowhft.learn.adapt.adapt import adapt
from flowhft.learn.select import select_in
from flowhft.learn.settings import AdaptSettings, StateSettings, TeacherSettings
from flowhft.metrics.measures import each, inventory_after
from flowhft.policies.names import tune
from flowhft.policies.origin import Origin, origin_of
from flowhft.policies.own import OwnPolicy
from flowhft.policies.policy import Policy
from flowhft.policies.rule import rule_in
from flowhft.recordings.book import first_mid
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.formats.tick_windows import open_windows, tick_file_in
from flowhft.recordings.instrument import value, worth
from flowhft.recordings.ticks import Recording, without_closed
from flowhft.recordings.windowed import InMemory, Windowed
from flowhft.runs.folder import stream
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.quoting.lab import unmapped_in_lab
from flowhft.simulate.spans import Task
from flowhft.stages.calibrated import calibrate
from flowhft.stages.costs import slowest, sweep_costs
from flowhft.stages.policies import Lineup, find_saved, frozen_in, lineup
from flowhft.stages.settings import SweepSettings, WalkSettings
from flowhft.studies.walk_forward.windows import Window
from flowhft.types import Progress, Trajectory, no_progress

ADAPTED = "adapted"
# Of a calibration, what a table of windows shows.
SHOWN = ("volatility", "intensity", "fill_decay", "market_order_rate", "branching_ratio", "adverse_selection")


class Traded(NamedTuple):
    """What became of a window.

    Attributes:
        record: what can be said in words and numbers: times, why it was refused, the calibration, what was
            chosen, what was open at the end, orders and latencies by policy.
        replayed: by policy; empty where the window was refused.
        costs: PnL by policy, costs and step (see `flowhft.stages.costs`).
    """

    record: dict[str, Any]
    replayed: dict[str, Replayed]
    costs: pl.DataFrame


class Prepared(NamedTuple):
    """What all windows of a walk have in common."""

    recording: Windowed
    lineup: Lineup
    adapted: Policy | None
    reference: float  # of an inverse contract, see `replay`
    tick_value: float  # currency of a tick x lot

    @property
    def names(self) -> list[str]:
        """Everybody who trades."""
        return self.lineup.names + ([ADAPTED] if self.adapted else [])

    @property
    def origins(self) -> dict[str, Origin]:
        """Where the quotes of each come from, by name."""
        return self.lineup.origins | ({ADAPTED: origin_of(self.adapted)} if self.adapted else {})


@dataclass(frozen=True)
class WalkWork:
    """A walk as tasks, here or elsewhere (a `flowhft.work.task.Work`): the span of a task is its window.

    Attributes:
        paths: of the recording, as `read_recording` takes them.
        repair: mend what can be mended in it.
        policies: what the user names, comma-separated.
        windows: of the walk.
        walk: what is fitted in each.
        replay: with the times between decisions and of a session, and the size of an order set.
        calibration: of every window.
        sweep: costs at which everything is replayed again, and ways to book fills.
        seed: of the run.
        instrument: what is said of it.
    """

    paths: tuple[Path, ...]
    repair: bool
    policies: str
    windows: tuple[Window, ...]
    walk: WalkSettings
    replay: ReplaySettings
    calibration: CalibrationSettings
    sweep: SweepSettings
    seed: int
    instrument: InstrumentSettings = InstrumentSettings()

    def prepare(self, scenario: int) -> Prepared:
        """Read the recording and the policies."""
        return self.prepared_for(self.read())

    def read(self) -> Windowed:
        """Return the recording: window by window from one file in the tick schema, else in memory.

        A file of single orders is held in memory too, and one that is mended.
        """
        file = None if self.repair else tick_file_in(self.paths)
        result = None if file is None else open_windows(file, self.instrument)
        if result is not None:
            return result
        return InMemory(read_recording(list(self.paths), repair=self.repair, instrument=self.instrument))

    def prepared_for(self, recording: Windowed, reference: str = "") -> Prepared:
        """Return what windows have in common, of a recording that is already read.

        Args:
            recording: of the walk.
            reference: the policy that differences are taken against; empty for the first.
        """
        adapted = find_saved(self.walk.adapt, "walk.adapt").as_data() if self.walk.adapt else None
        besides = [ADAPTED] if adapted else []
        compared = lineup(self.policies, reference, frozen=True, besides=besides)
        if adapted and ADAPTED in compared.names:
            raise UsageError(
                f"`policies` must leave the name `{ADAPTED}` to what the walk adapts; received "
                f"'{self.policies}'. Write label=path, or --walk.adapt ''."
            )
        instrument, start = recording.instrument, recording.first_mid()
        return Prepared(
            recording, compared, adapted, instrument.reference(start), instrument.tick_value(start)
        )

    def do(self, prepared: Prepared, task: Task, progress: Progress) -> Traded:
        """Calibrate, adapt, trade one window."""
        return self.trade(prepared, self.windows[task.span.number], progress)

    def trade(self, prepared: Prepared, part: Window, progress: Progress = no_progress) -> Traded:
        """Calibrate before a window, adapt, trade it, and close what is open at its end.

        A window whose past cannot carry a calibration is not traded by anybody: its record says why.
        """
        seed = stream(self.seed, "walk", part.number)
        origin = prepared.recording.sessions[0][0]
        record: dict[str, Any] = {
            "window": part.number,
            "session": part.session,
            "learn_start": 1e-9 * (part.learn_start_ns - origin),
            "trade_start": 1e-9 * (part.trade_start_ns - origin),
            "trade_end": 1e-9 * (part.trade_end_ns - origin),
            "refused": None,
        }
        progress(0.0, f"window {part.number + 1}: calibrating")
        try:
            result, scenario = self.calibrated(prepared.recording, part, seed)
        except (DataError, UsageError) as reason:
            return Traded(record | {"refused": str(reason)}, {}, pl.DataFrame())
        record |= {
            "parameters": {name: result.parameters[name] for name in SHOWN if name in result.parameters},
            "warnings": list(result.warnings),
        }
        progress(0.2, f"window {part.number + 1}: adapting")
        frozen, chosen = self._frozen(prepared, scenario, result.book, seed)
        progress(0.7, f"window {part.number + 1}: trading")
        flow = OrderFlow(*(result.parameters[name].value for name in OrderFlow._fields))
        market = traded_part(prepared.recording, part)
        seconds = 1e-9 * (part.trade_end_ns - part.trade_start_ns)
        rules = self.replay.counting(result.facts.order_window).answering(result.facts.answered).settled()
        tape = read_tape(as_received(market, rules), rules)

        def at_end(path: Trajectory) -> Ended:
            return ended(path, tape, rules, seconds, prepared.reference)

        replayed = replay(
            market,
            frozen,
            rules,
            seed,
            flow=flow,
            reference=prepared.reference,
            tick_value=prepared.tick_value,
        )
        ends = {name: at_end(one.trajectory) for name, one in replayed.items()}
        record |= {
            "chosen": chosen,
            "answered": rules.answered,
            "open_at_end": {name: end.inventory for name, end in ends.items()},
            "closing_fee": {name: end.fee for name, end in ends.items()},
        }
        costs = sweep_costs(
            market,
            frozen,
            replace(rules, decision_latency_us=slowest(replayed, rules)),
            self.sweep,
            seed,
            flow,
            lambda path: at_end(path).trajectory,
            reference=prepared.reference,
            tick_value=prepared.tick_value,
        )
        steps = {name: np.shape(end.trajectory.fee)[-1] for name, end in ends.items()}
        kept = {
            name: one._replace(
                trajectory=ends[name].trajectory, fills=one.fills.filter(pl.col("step") < steps[name])
            )
            for name, one in replayed.items()
        }
        return Traded(record, kept, costs)

    def calibrated(self, recording: Windowed, part: Window, seed: int) -> tuple[Calibration, Scenario]:
        """Return the market as it was before a window, and the scenario that policies are told.

        Raises:
            DataError: the window's past cannot carry a parameter.
        """
        past = recording.window(part.learn_start_ns, part.learn_end_ns)
        result = calibrate(past, self.calibration, seed)
        scenario = scenario_of(
            result,
            first_mid(past),
            dt=self.replay.decision_interval,
            horizon=self.replay.horizon,
            order_lots=self.replay.order_lots,
            inventory_limit=self.replay.limit,
            maker_fee_bps=self.replay.fee_bps,
        )
        return result, scenario

    def _frozen(
        self, prepared: Prepared, scenario: Scenario, book: Scales | None, seed: int
    ) -> tuple[dict[str, Frozen | OwnPolicy], dict[str, Any]]:
        """Return every policy as it quotes in the market before the window, and what was chosen for it."""
        chosen: dict[str, Any] = {}
        policies = prepared.lineup.policies
        if self.walk.teachers:
            many = TeacherSettings(paths=self.walk.teachers, fresh_paths=2)
            rows = pl.DataFrame(select_in(scenario, many, seed).candidates)
            policies = tune(policies, rows)
            chosen["risk_aversions"] = {
                policy.name: rule.risk_aversions.get(scenario.name)
                for policy in policies
                if (rule := rule_in(policy.policy)) is not None
            }
        frozen = frozen_in(policies, scenario, book)
        if prepared.adapted:
            fitted = adapt(
                [unmapped_in_lab(prepared.adapted, scenario)],
                [scenario],
                AdaptSettings(paths=self.walk.paths, fresh_paths=self.walk.paths),
                seed,
                method="state",
                state=StateSettings(generations=self.walk.generations),
            )
            # A network that works out an adapter from what it senses stays, the map comes after it.
            frozen[ADAPTED] = freeze(replace(prepared.adapted, adapter=fitted.adapter), scenario)
            chosen |= {"adapter": fitted.adapter, "gain": fitted.fresh}
        return frozen, chosen


class Ended(NamedTuple):
    """A window's course, cut to whole sessions and closed.

    Attributes:
        trajectory: with the price of closing among the fees of its last step.
        inventory: that was open at the end, lots of one order.
        fee: what closing it cost, tick x lot of one order.
    """

    trajectory: Trajectory
    inventory: float
    fee: float


def ended(
    path: Trajectory,
    tape: Tape,
    settings: ReplaySettings,
    seconds: float,
    reference: float = 0.0,
) -> Ended:
    """Cut a course to the whole sessions of a window, and close what is open then at the best price.

    Closing pays half the market spread and the taker fee on every lot: it trades at the best price that was
    known when the last step ended. That the touch might hold less than
    is closed is not modelled.

    Args:
        path: of the replay, shape (1, step).
        tape: what was known at every decision, and once more at the end.
        settings: of the replay.
        seconds: of the window.
        reference: of an inverse contract, ticks; 0 for a linear one.
    """
    session = round(settings.session / settings.interval)
    recorded = np.shape(path.fee)[-1]
    steps = min(recorded, int(seconds / settings.interval + 1e-6)) // session * session
    path = each(lambda values: np.asarray(values)[..., :steps], path)
    if steps == 0:
        return Ended(path, 0.0, 0.0)
    inventory = float(inventory_after(path)[0, -1])
    mid = float(tape.mid_price[steps])
    price = float((tape.best_bid if inventory > 0.0 else tape.best_ask)[steps])
    lost = abs(worth(mid, reference) - worth(price, reference))
    cost = abs(inventory) * (lost + 1e-4 * settings.taking_fee_bps * value(price, reference))
    fee = np.array(path.fee, np.float64)
    fee[0, -1] += cost
    return Ended(path._replace(fee=fee), inventory, cost)


def traded_part(recording: Windowed, part: Window) -> Recording:
    """Return what is replayed of a recording: the window, and the first event after it.

    That event only ends the last step: a replay has whole steps between events, and the course is cut to
    the window.
    """
    after = recording.following(part.trade_end_ns)
    end = (recording.sessions[-1][1] if after is None else after) + 1
    spans = without_closed(recording.sessions, recording.closed)
    of_session = [stop for start, stop in spans if start <= part.trade_start_ns <= stop]
    return recording.window(part.trade_start_ns, min([end, *(stop + 1 for stop in of_session)]))
