"""Evaluate: judge policies in simulated markets, and keep the tables in a run folder."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowhft.scenarios.presets import Preset
from flowhft.simulate.devices import DeviceName, prepare
from flowhft.stages.folder import begin, policies_of, run_of, scenarios_of
from flowhft.stages.notes import note_losses
from flowhft.stages.settings import require_evaluation
from flowhft.stages.stage import Listener, Silent, Stage
from flowhft.stages.teachers import scores_from


@dataclass(frozen=True, kw_only=True)
class Evaluate(Stage):
    """Settings of an evaluation in simulation."""

    scenarios: str
    """Comma-separated names (T1.HH, paper-test, stress: see `flowhft scenarios`) or TOML files."""
    policies: str
    """Comma-separated experts (glft, or glft@0.01 with a risk aversion), .safetensors files, run folders, or
    your own (mine=my_policy.py:NAME); label=path names one, path[steps=1,execute=4] draws its quotes in
    another way. `no_quote`, who stays at home, is among them whether it is named or not."""
    market: Preset = "correct"
    """Preset of the named scenarios: as they should be, as the paper ran them, or with informed traders."""
    paths: int = 10_000
    """Sessions simulated per policy and scenario."""
    delay: int = 0
    """Steps from a decision to the market, of every policy without one in its brackets (glft[delay=1])."""
    late: Literal["quotes", "prices"] = "quotes"
    """What a delay makes late: the quotes around the mid, or their prices, which are picked off then."""
    reference: str = ""
    """Policy that paired differences are taken against; the first one if none is named."""
    teachers: Path | None = None
    """A demonstrate or select run: experts quote with the risk aversion that was best for them in each."""
    confidence: float = 0.99
    """Of every interval."""
    chunk: int = 8_192
    """Sessions simulated at once: bounds the memory and changes no result."""
    device: DeviceName = "auto"
    """Where to simulate: on every core of the processor, or on a GPU; auto takes a GPU if there is one."""
    ray: str = ""
    """Judge on a Ray cluster: its address (host:port), or auto to join the one here or start one."""


def run(settings: Evaluate, listener: Listener | None = None) -> Path:
    """Judge span by span of paths; finished ones are kept and not judged again."""
    listener = listener or Silent()
    device = prepare(settings.device)
    from flowhft.simulate.checkpoint import checkpoints
    from flowhft.stages.evaluate import evaluate, scenarios_in
    from flowhft.stages.policies import lineup
    from flowhft.work.cluster import cluster
    from flowhft.work.task import do_here

    require_evaluation(settings.paths, settings.confidence, settings.chunk, settings.delay)
    scenarios = scenarios_in(settings.scenarios, settings.market)
    named, files = scenarios_of(settings.scenarios)
    taught, scores = {}, None
    if settings.teachers:
        taught["teachers"], scores = scores_from(settings.teachers)
    compared = lineup(
        settings.policies,
        settings.reference,
        scenarios=scenarios,
        delay=settings.delay,
        late=settings.late,
        risk_aversions=scores,
    )
    called, saved = policies_of(compared.policies)
    run = run_of(
        settings, "evaluate", files | saved | taught, scenarios=named, policies=called, device=device
    )
    if work := begin(run, listener):
        note_losses(scenarios, listener)
        with listener.stage("judge policies in simulation") as progress, contextlib.ExitStack() as stack:
            result = evaluate(
                compared,
                scenarios,
                settings.paths,
                seed=settings.seed,
                reference=compared.reference,
                confidence=settings.confidence,
                delay=settings.delay,
                late=settings.late,
                chunk=settings.chunk,
                device=settings.device,
                executor=stack.enter_context(cluster(settings.ray, device, prepare))
                if settings.ray
                else do_here,
                finished=checkpoints(work / "moments"),
                progress=progress,
            )
        with listener.stage("draw the course of a session") as progress:
            result.save(work, progress)
        run.finish(
            reference=result.reference,
            scenarios=[scenario.name for scenario in result.scenarios],
            policies=compared.names,
        )
    return run.folder
