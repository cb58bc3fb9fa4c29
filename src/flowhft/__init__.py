"""flowhft: quoting policies for market makers, learned from experts by conditional flow matching.

    import flowhft

    recording = flowhft.read_recording(flowhft.sample_recording())
    found = flowhft.backtest(recording, "flowhft,glft")
    print(found.results)

A name is imported when it is first asked for: `import flowhft` itself takes no time, and who only quotes
never meets the lab.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> where it comes from; a room that is named by what it does is called itself.
_PUBLIC = {
    "read_recording": "flowhft.recordings",
    "sample_recording": "flowhft.recordings",
    "calibrate": "",
    "calibrate_signals": "flowhft.stages.signals",
    "scenario_of": "flowhft.stages.calibrated",
    "find_scenarios": "flowhft.scenarios.presets",
    "Scenario": "flowhft.scenarios.scenario",
    "find_policies": "flowhft.stages.policies",
    "load_policy": "flowhft.stages.policies",
    "own_policy": "flowhft.policies.own",
    "evaluate": "flowhft.stages.evaluate",
    "replay": "flowhft.stages.backtest",
    "backtest": "flowhft.stages.backtest",
    "imitate": "flowhft.stages.imitate",
    "adapt": "flowhft.stages.adapt",
    "report": "",
    "load_frozen": "flowhft.stages.frozen",
    "begin": "flowhft.desk.compiled",
    "quote": "flowhft.desk.compiled",
    "Observation": "flowhft.types",
    "Quote": "flowhft.types",
    "Fill": "flowhft.types",
    "Trajectory": "flowhft.types",
    "Estimates": "flowhft.types",
    "Policy": "flowhft.types",
    "Expert": "flowhft.policies.rules",
    "METRICS": "flowhft.metrics.table",
    "ReplaySettings": "flowhft.desk.replay.settings",
}

__all__ = [
    "METRICS",
    "Estimates",
    "Expert",
    "Fill",
    "Observation",
    "Policy",
    "Quote",
    "ReplaySettings",
    "Scenario",
    "Trajectory",
    "__version__",
    "adapt",
    "backtest",
    "begin",
    "calibrate",
    "calibrate_signals",
    "evaluate",
    "find_policies",
    "find_scenarios",
    "imitate",
    "load_frozen",
    "load_policy",
    "own_policy",
    "quote",
    "read_recording",
    "replay",
    "report",
    "sample_recording",
    "scenario_of",
]

if TYPE_CHECKING:
    from flowhft.desk.compiled.quote import begin, quote
    from flowhft.desk.replay.settings import ReplaySettings
    from flowhft.metrics.table import METRICS
    from flowhft.policies.own import own_policy
    from flowhft.policies.rules import Expert
    from flowhft.recordings import read_recording, sample_recording
    from flowhft.report.build import build as report
    from flowhft.scenarios.presets import find_scenarios
    from flowhft.scenarios.scenario import Scenario
    from flowhft.stages.adapt import adapt
    from flowhft.stages.backtest import backtest, replay
    from flowhft.stages.calibrated import calibrate, scenario_of
    from flowhft.stages.evaluate import evaluate
    from flowhft.stages.frozen import load_frozen
    from flowhft.stages.imitate import imitate
    from flowhft.stages.policies import find_policies, load_policy
    from flowhft.stages.signals import calibrate_signals
    from flowhft.types import Estimates, Fill, Observation, Policy, Quote, Trajectory


def __getattr__(name: str) -> Any:
    """Return a public name, imported now."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flowhft' has no attribute '{name}'")
    room = _PUBLIC[name]
    result = (
        getattr(importlib.import_module(room), name) if room else importlib.import_module(f"flowhft.{name}")
    )
    globals()[name] = result
    return result


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
