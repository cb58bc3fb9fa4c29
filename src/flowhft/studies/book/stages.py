"""One recording of the study: what policies brought on it, by protocol, rule of fills, and fee."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from flowhft.calibrate.answers import answers
from flowhft.calibrate.calibrate import CalibrationSettings, calibrate
from flowhft.desk.compiled import freeze
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import OrderFlow
from flowhft.errors import DataError
from flowhft.learn.recordings.fit import Aims, Learned, maker_of
from flowhft.learn.recordings.heads import fit_heads
from flowhft.learn.recordings.training_set import Seen, TrainingSet, rescaled
from flowhft.policies import rules
from flowhft.policies.policy import Policy
from flowhft.policies.rule import Rule
from flowhft.recordings.book import first_mid
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.opening import opening_ns
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Recording
from flowhft.runs.resume import JSON, Finished
from flowhft.simulate.spans import Task
from flowhft.stages.calibrated import scenario_of
from flowhft.stages.learn import replay_for, seen
from flowhft.studies.book.controls import constants, flipped, shuffled
from flowhft.studies.book.outcomes import outcomes_on
from flowhft.studies.book.protocol import PROTOCOLS, SHARE, Kind, kind_of, set_for
from flowhft.types import Progress

DECISION_US = 100.0  # that every decision takes, whoever decides: more than any of them needs
REFERENCE, MAKER, NOBODY = "glft", "book", "no_quote"
RULES = ("avellaneda_stoikov",)  # beside the reference
HEADLINE = "answered"
FOLDS, BORDER = 5, 600.0
LONG = 3600.0  # seconds of a recording from which on it is cut into folds and walked
# How orders fill, from kind to strict: what is left of a gain.
FILLS: dict[str, dict[str, Any]] = {
    "whole": {"fills": "whole", "answered": 0.0},
    "capped": {"fills": "capped", "answered": 0.0},
    HEADLINE: {"fills": "capped", "answered": None},
    "no hidden": {"fills": "capped", "answered": None, "hidden": False},
}
FEES = (0.0, 1.0, 2.0)  # basis points; the venue's rebate beside them


@dataclass(frozen=True)
class BookWork:
    """Recordings as tasks (a `flowhft.work.task.Work`): the span of a task is a recording.

    Attributes:
        prefixes: of the recordings' files.
        names: of their folders.
        folder: of the page.
        phases: of the grid of decisions.
        seed: of the run.
    """

    prefixes: tuple[Path, ...]
    names: tuple[str, ...]
    folder: Path
    phases: int
    seed: int

    def prepare(self, scenario: int) -> "RecordingLibrary":
        """Return what the recordings are learned from."""
        return RecordingLibrary(dict(zip(self.names, self.prefixes, strict=True)), self.seed)

    def do(self, prepared: "RecordingLibrary", task: Task, progress: Progress) -> dict[str, Any]:
        """Judge on one recording, and return the rows."""
        name = self.names[task.span.number]
        evaluated = OneRecording(name, prepared, self.folder / name, self.phases)
        return evaluated.all_parts(lambda now, done: progress(done, f"{name}: {now}"))


class RecordingLibrary:
    """All recordings of the study, read when they are asked for.

    Args:
        prefixes: of their files, by name.
        seed: of the run.
    """

    def __init__(self, prefixes: Mapping[str, Path], seed: int) -> None:
        self.prefixes, self.seed = dict(prefixes), seed
        self._recordings: dict[str, Recording] = {}
        self._seen: dict[tuple[str, str], Seen] = {}
        self._answered: dict[str, float] = {}

    def recording(self, name: str) -> Recording:
        """Return a recording."""
        if name not in self._recordings:
            self._recordings[name] = read_recording(self.prefixes[name])
        return self._recordings[name]

    def kind(self, name: str) -> Kind:
        """Return the kind of its market."""
        return kind_of(self.recording(name).venue)

    def kin(self, name: str) -> dict[str, Kind]:
        """Return the recordings of the same kind of market, itself among them."""
        kinds = {other: self.kind(other) for other in self.prefixes}
        return {other: kind for other, kind in kinds.items() if kind == kinds[name]}

    def settings(self, name: str, fills: str) -> ReplaySettings:
        """Return the settings of a replay of a recording.

        Args:
            name: of it.
            fills: a key of `FILLS`.
        """
        changes = dict(FILLS[fills])
        if changes["answered"] is None:
            changes["answered"] = self.answered(name)
        first = self._first_part(name)
        general = ReplaySettings(decision_latency_us=DECISION_US, **changes)
        return replay_for(self.kind(name).settings, general, first)

    def answered(self, name: str) -> float:
        """Return the share of improving orders that others answer, as the first part of a recording tells."""
        if name not in self._answered:
            self._answered[name] = float(answers(self._first_part(name)).share.value)
        return self._answered[name]

    def seen(self, name: str, fills: str) -> Seen:
        """Return a recording as learning knows it, by a rule of fills."""
        if (name, fills) not in self._seen:
            maker = self.kind(name).settings
            known = seen(self.recording(name), maker, self.settings(name, fills), self.seed)
            self._seen[name, fills] = known._replace(name=name)
        return self._seen[name, fills]

    def training_set(self, name: str, fills: str, protocol: str) -> TrainingSet:
        """Return what a maker for a recording learns from."""
        kin = self.kin(name)
        return set_for(name, {other: self.seen(other, fills) for other in kin}, kin, protocol)

    def _first_part(self, name: str) -> Recording:
        recording = self.recording(name)
        times = recording.events["local_time_ns"]
        return between(recording, None, int(times[0]) + round(SHARE * int(times[-1] - times[0])))


class OneRecording:
    """One recording, evaluated.

    Args:
        name: of it.
        library: that it stands on, with what it is learned from.
        folder: in which finished parts are kept.
        phases: of the grid of decisions.
    """

    def __init__(self, name: str, library: RecordingLibrary, folder: Path, phases: int) -> None:
        self.name, self.library, self.phases = name, library, phases
        self.recording, self.kind = library.recording(name), library.kind(name)
        self._parts = Finished(folder, JSON)

    @cached_property
    def span(self) -> tuple[int, int, int]:
        """First event, border of the unseen part, last event: local clock, ns."""
        known = self.library.seen(self.name, HEADLINE)
        return known.first_ns, known.border_ns(SHARE), known.last_ns

    def all_parts(self, tell: Callable[[str, float], None]) -> dict[str, Any]:
        """Do what is not done yet, and return all rows, with the money of each block."""
        jobs = list(self._jobs())
        rows: list[dict[str, Any]] = []
        refused: list[dict[str, str]] = []
        for done, (key, job) in enumerate(jobs):
            tell(key, done / len(jobs))
            result = self._parts.get(key, partial(self._tried, job))
            rows += result["rows"]
            refused += [{"recording": self.name, "part": key, "reason": result["refused"]}] * bool(
                result["refused"]
            )
        return {"facts": self._facts(), "rows": rows, "refused": refused}

    def _tried(self, job: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
        try:
            return {"rows": job(), "refused": ""}
        except DataError as reason:
            return {"rows": [], "refused": str(reason)}

    def _facts(self) -> dict[str, Any]:
        first, border, last = self.span
        settings = self.library.settings(self.name, HEADLINE)
        return {
            "recording": self.name,
            "market": self.recording.name,
            "kind": self.kind.name,
            "currency": self.recording.instrument.money,
            "seconds": 1e-9 * (last - first),
            "unseen": 1e-9 * (last - border),
            "order_lots": settings.lots,
            "lot_size": self.recording.lot_size,
            "answered": self.library.answered(self.name),
            "unit": self.library.seen(self.name, HEADLINE).examples.scales.unit,
        }

    def _jobs(self) -> Iterator[tuple[str, Callable[[], list[dict[str, Any]]]]]:
        first, _, last = self.span
        for protocol in PROTOCOLS:
            for fills in FILLS:
                yield (
                    f"unseen-{protocol}-{fills.replace(' ', '-')}",
                    partial(self._unseen, protocol, fills, 0.0),
                )
        for fee in (*FEES[1:], self._rebate_bps()):
            if fee:
                yield f"unseen-A-fee-{fee:.4g}", partial(self._unseen, "A", HEADLINE, fee)
        for fills in ("whole", HEADLINE):
            yield f"controls-{fills}", partial(self._controls, fills)
        if 1e-9 * (last - first) >= LONG:
            for fills in ("whole", HEADLINE):
                for fold in range(FOLDS):
                    yield f"fold-{fills}-{fold}", partial(self._fold, fills, fold)
                for fold in range(1, FOLDS):
                    yield f"walk-{fills}-{fold}", partial(self._walked, fills, fold)

    def _rebate_bps(self) -> float:
        """Return what a fill costs with the venue's rebate, basis points: below zero."""
        price = first_mid(self.recording) * self.recording.tick_size
        return -(self.kind.rebate_bps + 1e4 * self.kind.rebate / price)

    def _unseen(self, protocol: str, fills: str, fee_bps: float) -> list[dict[str, Any]]:
        _, border, _ = self.span
        given = self.library.training_set(self.name, fills, protocol)
        learned = self._learned(given, fee_bps)
        return self._rows("unseen", protocol, fills, fee_bps, border, None, {MAKER: learned})

    def _controls(self, fills: str) -> list[dict[str, Any]]:
        _, border, _ = self.span
        given = self.library.training_set(self.name, fills, "A")
        real = self._learned(given, 0.0)
        makers = {
            "constants": self._learned(given._replace(examples=tuple(constants(given.examples))), 0.0),
            "shuffled": self._learned(
                given._replace(examples=tuple(shuffled(given.examples, self.library.seed))), 0.0
            ),
            "flipped": real._replace(maker=flipped(real.maker)),
        }
        rows = self._rows("controls", "A", fills, 0.0, border, None, makers, rules_too=False)
        late = self._rows(
            "controls", "A", fills, 0.0, border, None, {"shifted": real}, rules_too=False, shift=True
        )
        return rows + late

    def _fold(self, fills: str, fold: int) -> list[dict[str, Any]]:
        """Learn on the other folds of the day, of all recordings of it, and evaluate on one."""
        start, end = self._fold_ns(fold)
        apart = round(BORDER * 1e9)
        return self._day("fold", fills, fold, lambda time: (time < start - apart) | (time >= end + apart))

    def _walked(self, fills: str, fold: int) -> list[dict[str, Any]]:
        """Learn on what lies before a fold, and evaluate on it."""
        start, _ = self._fold_ns(fold)
        known = self.library.seen(self.name, fills).known_after
        return self._day("walk", fills, fold, lambda time: time < start - round((known + 1.0) * 1e9))

    def _day(
        self, part: str, fills: str, fold: int, kept: Callable[[np.ndarray], np.ndarray]
    ) -> list[dict[str, Any]]:
        start, end = self._fold_ns(fold)
        names = [self.name, *(other for other in self.library.kin(self.name) if other != self.name)]
        examples = []
        for name in names:
            one = self.library.seen(name, fills).examples
            examples.append(rescaled(one.rows(kept(one.time_ns))))
        given = TrainingSet(tuple(examples), (0,), examples[0])
        learned = self._learned(given, 0.0)
        last = fold == FOLDS - 1
        return self._rows(part, "A", fills, 0.0, start, None if last else end, {MAKER: learned}, number=fold)

    def _fold_ns(self, fold: int) -> tuple[int, int]:
        """Return when a fold begins and ends; the first begins when the opening of its exchange is over."""
        first, _, last = self.span
        opened = opening_ns(self.recording)
        if opened is not None:
            first = max(first, opened + round(self.kind.settings.after_opening * 1e9))
        cuts = np.linspace(first, last, FOLDS + 1).astype(np.int64)
        return int(cuts[fold]), int(cuts[fold + 1])

    def _learned(self, given: TrainingSet, fee_bps: float) -> Learned:
        cost = 1e-4 * fee_bps * first_mid(self.recording)
        fitted = fit_heads(given.examples)
        return maker_of(fitted, given.examples, given.like, given.own.scales, self.aims, cost)

    @property
    def aims(self) -> Aims:
        """What makers are made for here."""
        return self.kind.settings.aims

    @cached_property
    def _calibration(self) -> Any:
        _, border, _ = self.span
        return calibrate(between(self.recording, None, border), CalibrationSettings(), self.library.seed)

    def _rows(
        self,
        part: str,
        protocol: str,
        fills: str,
        fee_bps: float,
        start_ns: int,
        end_ns: int | None,
        makers: Mapping[str, Learned],
        *,
        rules_too: bool = True,
        shift: bool = False,
        number: int = 0,
    ) -> list[dict[str, Any]]:
        """Replay makers, and rules beside them, and return a row each."""
        settings = replace(self.library.settings(self.name, fills), maker_fee_bps=fee_bps)
        known = self._calibration
        settings = settings.counting(known.facts.order_window)
        scenario = scenario_of(known, between(self.recording, start_ns, end_ns), settings)
        flow = OrderFlow(*(known.parameters[name].value for name in OrderFlow._fields))
        quoting = {name: freeze(Policy(learned.maker)) for name, learned in makers.items()}
        if rules_too:
            for name in (REFERENCE, *RULES):
                quoting[name] = freeze(Policy(Rule(rules.get(name))), scenario)
        outcomes = outcomes_on(
            self.recording,
            start_ns,
            end_ns,
            quoting,
            settings,
            self.aims.block_seconds,
            flow,
            self.phases,
            share=self.aims.share,
            horizon=self.kind.settings.edge_horizon,
            late=shift,
        )
        rows = []
        for name, outcome in outcomes.items():
            gates = makers[name].gates if name in makers else ()
            rows.append(
                {
                    "recording": self.name,
                    "part": part,
                    "number": number,
                    "protocol": protocol,
                    "fills_by": fills,
                    "fee_bps": fee_bps,
                    "policy": name,
                    "blocks": outcome.blocks.tolist(),
                    "fills": outcome.fills,
                    "quoted": outcome.quoted,
                    "promised": outcome.promised if math.isfinite(outcome.promised) else None,
                    "realised": outcome.realised if math.isfinite(outcome.realised) else None,
                    "gate": [gate.quoted for gate in gates],
                }
            )
        return rows
