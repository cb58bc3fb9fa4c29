"""The stages of one recording of the study `reproduce real`: a run folder each, in a folder of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import DataError, UsageError
from flowhft.learn.recordings.training_set import DAY_NS
from flowhft.learn.settings import AdaptSettings, StateSettings, TeacherSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings
from flowhft.simulate.spans import Task
from flowhft.stages.folder import identity_of
from flowhft.stages.folders import adapt, backtest, calibrate, demonstrate, imitate, learn
from flowhft.stages.folders.calibrate import SCENARIOS
from flowhft.stages.settings import SweepSettings, WalkSettings
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.studies.book.protocol import Kind, kind_of
from flowhft.studies.walk_forward import walk
from flowhft.types import Progress

EXPERTS = "white_noise,avellaneda_stoikov,glft,glft_drift"
REFERENCE = "glft"  # what paired differences are taken against
SHIPPED = "flowhft"  # with the order book; it learned from recordings like these, and from these
BLIND = "blind=flowhft@0.3"  # the same without it, at the dial that is its own
# Makers that see the order book: by what was known of all recordings of the kind when the unseen part begins,
# and by those of other days alone.
OWN, ELSEWHERE = "book", "elsewhere"
# Of a walk: an hour and half an hour, where a session is long enough.
LEARN, TRADE = 3600.0, 1800.0
INVENTORY_LIMIT = 10  # orders
FEWEST_SESSIONS = 4  # that are judged: where fewer of the calibrated market's fit, shorter ones are traded
RunStage = Callable[[Any, Listener], Path]
STAGES = ("calibrate", "demonstrate", "imitate", "adapt", OWN, ELSEWHERE, "backtest", "walk")
MAKERS = (OWN, ELSEWHERE)  # without which the others are judged


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

    def prepare(self, scenario: int) -> "tuple[Known | None, ...]":
        """Return what makers must know of every recording to choose what they learn from."""
        return tuple(known_of(prefix) for prefix in self.prefixes)

    def do(self, prepared: "tuple[Known | None, ...]", task: Task, progress: Progress) -> dict[str, Any]:
        """Run all stages of a recording, and return which finished and why others did not."""
        at = task.span.number
        kin = kin_of(at, self.prefixes, prepared)
        run = Recorded(self.prefixes[at], self.folder / self.names[at], self.sizes, self.seed, kin)
        return run.all_stages(lambda stage: progress(0.0, f"{self.names[at]}: {stage}"))


class Known(NamedTuple):
    """What is known of a recording before it is learned from.

    Attributes:
        kind: of its market.
        day: of its first event, since 1970 or, where its times count from midnight, of an unknown day.
    """

    kind: Kind
    day: int


class Kin(NamedTuple):
    """Other recordings of the same kind of market.

    Attributes:
        kind: of market.
        all: prefixes of them all.
        elsewhere: of those of other days.
    """

    kind: Kind
    all: tuple[Path, ...]
    elsewhere: tuple[Path, ...]


def known_of(prefix: Path) -> Known | None:
    """Return what is known of a recording; None where it cannot be read."""
    from flowhft.recordings.formats.read import read_recording

    try:
        recording = read_recording(prefix)
    except (DataError, UsageError):
        return None
    return Known(kind_of(recording.venue), int(recording.events["local_time_ns"][0]) // DAY_NS)


def kin_of(at: int, prefixes: Sequence[Path], known: Sequence[Known | None]) -> Kin | None:
    """Return the other recordings of a recording's kind; None where it cannot be read.

    Args:
        at: its place.
        prefixes: of all recordings.
        known: of each.
    """
    own = known[at]
    if own is None:
        return None
    others = [
        (prefix, one.day)
        for place, (prefix, one) in enumerate(zip(prefixes, known, strict=True))
        if place != at and one is not None and one.kind == own.kind
    ]
    apart = tuple(prefix for prefix, day in others if day != own.day)
    return Kin(own.kind, tuple(prefix for prefix, _ in others), apart)


class Recorded:
    """One recording on its way through the stages.

    Args:
        prefix: of its files.
        folder: its stages have folders in it.
        sizes: of the stages.
        seed: of the run.
        kin: other recordings of its kind; None where there is nothing to say.
    """

    def __init__(self, prefix: Path, folder: Path, sizes: Sizes, seed: int, kin: Kin | None = None) -> None:
        self.prefix, self.folder, self.sizes, self.kin = prefix, folder, sizes, kin
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
                if stage not in ("walk", *MAKERS) and self.refused.keys() - MAKERS:
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
            (OWN, learn.run, lambda: self._maker(scenarios, replay, anywhere=False)),
            (ELSEWHERE, learn.run, lambda: self._maker(scenarios, replay, anywhere=True)),
            (
                "backtest",
                backtest.run,
                lambda: backtest.Backtest(
                    recording=prefix,
                    calibration=folder / "calibrate",
                    policies=self._policies(),
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
                    policies=f"{EXPERTS},{BLIND},{SHIPPED}",
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

    def _maker(self, scenarios: str, replay: ReplaySettings, *, anywhere: bool) -> Stage:
        """Return the settings of a maker that sees the order book, deciding as often as all others do.

        Args:
            scenarios: file of the calibrated market.
            replay: settings.
            anywhere: whether it learns from recordings of other days alone, for any market like them.

        Raises:
            DataError: there are none.
        """
        from flowhft.scenarios.files import read_scenarios

        kin = self.kin
        if kin is None or (anywhere and not kin.elsewhere):
            raise DataError(
                f"`data` must hold a recording of another day than `{self.prefix.name}` and of the same "
                "kind of market to learn without it; received none."
            )
        dt = read_scenarios(Path(scenarios))[0].dt
        maker = replace(kin.kind.settings, interval=dt, lifetime=max(kin.kind.settings.lifetime, dt))
        if anywhere:
            first, *others = kin.elsewhere
        else:
            first, others = self.prefix, list(kin.all)
        return learn.Learn(
            recording=first,
            others=tuple(others),
            share=1.0 if anywhere else self.sizes.share,
            anywhere=anywhere,
            maker=maker,
            replay=replace(replay, order_lots=None),  # that of each recording's own market orders
            **self.common,
        )

    def _policies(self) -> str:
        """Return who trades: experts, policies of the simulated market, and makers that see the book."""
        learned = [f"imitated={self.folder / 'imitate'}", BLIND, f"adapted={self.folder / 'adapt'}"]
        makers = [f"{name}={self.folder / name}" for name in MAKERS if name in self.done]
        return ",".join([EXPERTS, *learned, *makers, SHIPPED])
