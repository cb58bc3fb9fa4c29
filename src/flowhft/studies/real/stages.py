"""The stages of one recording of the study `reproduce real`: a run folder each, in a folder of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, UsageError
from flowhft.learn.settings import AdaptSettings, StateSettings, TeacherSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings
from flowhft.simulate.spans import Task
from flowhft.stages.folder import identity_of
from flowhft.stages.folders import adapt, backtest, calibrate, demonstrate, imitate
from flowhft.stages.folders.calibrate import SCENARIOS
from flowhft.stages.settings import SweepSettings, WalkSettings
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.studies.walk_forward import walk
from flowhft.types import Progress

EXPERTS = "white_noise,avellaneda_stoikov,glft,glft_drift"
REFERENCE = "glft"  # what paired differences are taken against
SHIPPED = "flowhft"
# Of a walk: an hour and half an hour, where a session is long enough.
LEARN, TRADE = 3600.0, 1800.0
INVENTORY_LIMIT = 10  # orders
FEWEST_SESSIONS = 4  # that are judged: where fewer of the calibrated market's fit, shorter ones are traded
RunStage = Callable[[Any, Listener], Path]
STAGES = ("calibrate", "demonstrate", "imitate", "adapt", "backtest", "walk")


@dataclass(frozen=True)
class Sizes:
    """How much is spent on a recording.

    Attributes:
        share: of its time that is learned from.
        demonstrations: sessions that the best expert demonstrates in each of nine regimes.
        updates: of the training by imitation.
        teacher_paths: simulated sessions by which a teacher is chosen.
        adapt_paths, adapt_generations: of the adaptation before the judgement.
        walk_paths, walk_generations: of the adaptation in every window of the walk.
        fees: maker fees of the sweep, basis points.
        latencies: of the sweep, milliseconds.
    """

    share: float
    demonstrations: int
    updates: int
    teacher_paths: int
    adapt_paths: int
    adapt_generations: int
    walk_paths: int
    walk_generations: int
    fees: tuple[float, ...]
    latencies: tuple[float, ...]


@dataclass(frozen=True)
class RecordingWork:
    """Recordings as tasks (a `flowhft.work.task.Work`): the span of a task is a recording.

    Attributes:
        prefixes: of the recordings' files.
        names: of their folders.
        folder: of the page.
        sizes: of the stages.
        seed: of the run.
    """

    prefixes: tuple[Path, ...]
    names: tuple[str, ...]
    folder: Path
    sizes: Sizes
    seed: int

    def prepare(self, scenario: int) -> None:
        """Return nothing: recordings have nothing in common."""

    def do(self, prepared: None, task: Task, progress: Progress) -> dict[str, Any]:
        """Run all stages of a recording, and return which finished and why others did not."""
        at = task.span.number
        run = Recorded(self.prefixes[at], self.folder / self.names[at], self.sizes, self.seed)
        return run.all_stages(lambda stage: progress(0.0, f"{self.names[at]}: {stage}"))


class Recorded:
    """One recording on its way through the stages.

    Args:
        prefix: of its files.
        folder: its stages have folders in it.
        sizes: of the stages.
        seed: of the run.
    """

    def __init__(self, prefix: Path, folder: Path, sizes: Sizes, seed: int) -> None:
        self.prefix, self.folder, self.sizes = prefix, folder, sizes
        self.common: dict[str, Any] = {"seed": seed}
        self.done: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def all_stages(self, tell: Callable[[str], None]) -> dict[str, Any]:
        """Run what can be run; a stage that is refused takes those that build on it with it."""
        tell("read")
        facts = self._attempt("read", self._facts) or {}
        if facts and "read" not in self.refused:
            replay = ReplaySettings(order_lots=facts["order_lots"], inventory_limit=INVENTORY_LIMIT)
            for stage, run, settings in self._stages(replay, facts["seconds"]):
                if stage != "walk" and self.refused:
                    continue
                tell(stage)
                self._attempt(stage, partial(self._run, stage, run, settings))
        return {"facts": facts, "done": self.done, "refused": self.refused}

    def _attempt(self, stage: str, find: Callable[[], Any]) -> Any:
        try:
            return find()
        except (DataError, UsageError) as reason:
            # Where the recording lies is nobody's business but the reader's of this machine.
            self.refused[stage] = str(reason).replace(f"{self.prefix.parent}/", "")
            return None

    def _run(self, stage: str, run: RunStage, settings: Callable[[], Stage]) -> None:
        where = run(replace(settings(), out=self.folder / stage), Silent())
        self.done[stage] = identity_of(where)

    def _facts(self) -> dict[str, Any]:
        """Read the recording and return what is worth knowing before it is learned from."""
        from flowhft.recordings.formats.read import read_recording
        from flowhft.recordings.order_size import small_order
        from flowhft.recordings.split import split
        from flowhft.recordings.ticks import require_trades

        recording = read_recording(self.prefix)
        require_trades(recording, "a judgement")
        learn, _ = split(recording, self.sizes.share)
        return {
            "name": recording.name,
            "currency": recording.instrument.money,
            "seconds": recording.duration,
            "events": len(recording.events),
            "trades": recording.trades,
            "order_lots": small_order(learn),
            "lot_size": recording.lot_size,
            "tick_size": recording.tick_size,
        }

    def _session(self, scenarios: Path, seconds: float) -> float | None:
        """Return how long a session is to be that is judged, where the calibrated market's is too long."""
        from flowhft.scenarios.files import read_scenarios

        most = (1.0 - self.sizes.share) * seconds / FEWEST_SESSIONS
        return None if read_scenarios(scenarios)[0].horizon <= most else most

    def _stages(
        self, replay: ReplaySettings, seconds: float
    ) -> list[tuple[str, RunStage, Callable[[], Stage]]]:
        """Return the stages by name: what runs each, and its settings, which those before it may decide."""
        sizes, folder, prefix = self.sizes, self.folder, self.prefix
        scenarios = str(folder / "calibrate" / SCENARIOS)
        sweep = SweepSettings(fees=sizes.fees, latencies=sizes.latencies)
        learned = f"imitated={folder / 'imitate'},{SHIPPED}"
        long = seconds >= LEARN + 2.0 * TRADE

        return [
            (
                "calibrate",
                calibrate.run,
                lambda: calibrate.Calibrate(
                    recording=prefix,
                    share=sizes.share,
                    order_lots=replay.lots,
                    inventory_limit=replay.limit,
                    **self.common,
                ),
            ),
            (
                "demonstrate",
                demonstrate.run,
                lambda: demonstrate.Demonstrate(
                    scenarios=scenarios,
                    paths=sizes.demonstrations,
                    teachers=TeacherSettings(paths=sizes.teacher_paths, fresh_paths=sizes.teacher_paths),
                    **self.common,
                ),
            ),
            (
                "imitate",
                imitate.run,
                lambda: imitate.Imitate(
                    demonstrations=folder / "demonstrate",
                    network=NetworkSettings(horizon=8, width=64, blocks=2),
                    training=TrainingSettings(
                        objective="shortcut",
                        updates=sizes.updates,
                        batch=512,
                        learning_rate=1e-3,
                        checkpoint_every=max(1, sizes.updates // 2),
                        examine_scenarios=0,
                    ),
                    **self.common,
                ),
            ),
            (
                "adapt",
                adapt.run,
                lambda: adapt.Adapt(
                    policy=SHIPPED,
                    scenarios=scenarios,
                    only="centre",
                    search=AdaptSettings(paths=sizes.adapt_paths, fresh_paths=sizes.adapt_paths),
                    state=StateSettings(generations=sizes.adapt_generations),
                    **self.common,
                ),
            ),
            (
                "backtest",
                backtest.run,
                lambda: backtest.Backtest(
                    recording=prefix,
                    calibration=folder / "calibrate",
                    policies=f"{EXPERTS},{learned},adapted={folder / 'adapt'}",
                    after=sizes.share,
                    teachers=folder / "demonstrate",
                    reference=REFERENCE,
                    replay=replace(replay, horizon=self._session(Path(scenarios), seconds)),
                    sweep=sweep,
                    **self.common,
                ),
            ),
            (
                "walk",
                walk.run,
                lambda: backtest.Backtest(
                    recording=prefix,
                    policies=f"{EXPERTS},{SHIPPED}",
                    walk_forward=True,
                    reference=REFERENCE,
                    cores=1,
                    replay=replay,
                    walk=WalkSettings(
                        learn=LEARN if long else None,
                        trade=TRADE if long else None,
                        adapt=SHIPPED,
                        paths=sizes.walk_paths,
                        generations=sizes.walk_generations,
                        teachers=sizes.teacher_paths,
                    ),
                    **self.common,
                ),
            ),
        ]
