"""Studies: which small trainings are compared with one another, and what they are to show."""

from dataclasses import dataclass, field
from typing import Any

from flowhft.policies.settings import ObjectiveName, SamplerSettings
from flowhft.studies.learned.settings import StudySettings

BEST = "best"  # the expert of most utility in each training scenario
# The paper's experts as it ran them, each at its risk aversion of 1.
TEACHERS = ("white_noise", "avellaneda_stoikov_as_run", "glft_as_run", "glft_drift_as_run")
DISTILLED: ObjectiveName = "rectified"  # by distilling the most evaluations of flow matching into one
FINEST = 32  # of every network: shortcuts down to it
INSTRUCTORS = (1, 3, 6, 12, 24)
HORIZONS = (1, 4, 16)


@dataclass(frozen=True)
class Variant:
    """A way to learn, and the ways in which what was learned is asked for quotes.

    Attributes:
        study: that it belongs to.
        name: in tables; unique in its study.
        teacher: an expert in every scenario, or `BEST`.
        scenarios: instructors: the training scenarios, each with its teacher.
        sessions: that each instructor demonstrates.
        features: what the policy sees.
        horizon: steps that a chunk predicts.
        objective: what the network learns; `DISTILLED` learns it from flow matching on the same data.
        samplers: ways to draw quotes; each is judged.
    """

    study: str
    name: str
    scenarios: int
    sessions: int
    teacher: str = BEST
    features: str = "context"
    horizon: int = 16
    objective: ObjectiveName = "flow_matching"
    samplers: tuple[SamplerSettings, ...] = field(default=(SamplerSettings(),))


def study(name: str, settings: StudySettings) -> list[Variant]:
    """Return the variants of a study.

    Args:
        name: ablations, scaling, objectives, observation or chunks.
        settings: sizes.
    """
    return {
        "ablations": _ablations,
        "scaling": _scaling,
        "objectives": _objectives,
        "observation": _observation,
        "chunks": _chunks,
    }[name](settings)


def _whole(settings: StudySettings, study: str, name: str, **changes: Any) -> Variant:
    return Variant(
        study, name, **({"scenarios": settings.scenarios, "sessions": settings.sessions} | changes)
    )


def _ablations(settings: StudySettings) -> list[Variant]:
    named = {
        "best expert of each scenario": BEST,
        "random quotes only": "white_noise",
        "Avellaneda-Stoikov only": "avellaneda_stoikov_as_run",
        "GLFT-drift only": "glft_drift_as_run",
    }
    return [_whole(settings, "ablations", name, teacher=teacher) for name, teacher in named.items()]


def _scaling(settings: StudySettings) -> list[Variant]:
    """1 to N instructors: with as many sessions each (growing), and with as many together (fixed)."""
    results = []
    for instructors in sorted({min(number, settings.scenarios) for number in INSTRUCTORS}):
        results.append(
            _whole(settings, "scaling", f"{instructors} instructors, growing data", scenarios=instructors)
        )
        results.append(
            _whole(
                settings,
                "scaling",
                f"{instructors} instructors, fixed data",
                scenarios=instructors,
                sessions=settings.sessions * (settings.scenarios // instructors),
            )
        )
    return results


def _objectives(settings: StudySettings) -> list[Variant]:
    def steps(*numbers: int) -> tuple[SamplerSettings, ...]:
        return tuple(SamplerSettings(steps=number) for number in numbers)

    named: dict[ObjectiveName, tuple[SamplerSettings, ...]] = {
        "flow_matching": steps(*settings.evaluations),
        "shortcut": steps(*settings.evaluations),
        "flow_map": steps(*settings.evaluations),
        **({DISTILLED: steps(1)} if max(settings.evaluations) > 1 else {}),
        "regression": steps(1),
        "minimal_iterative": steps(2),
    }
    return [
        _whole(settings, "objectives", name, objective=name, samplers=samplers)
        for name, samplers in named.items()
    ]


def _observation(settings: StudySettings) -> list[Variant]:
    return [_whole(settings, "observation", kind, features=kind) for kind in ("context", "paper")]


def _chunks(settings: StudySettings) -> list[Variant]:
    results = []
    for horizon in HORIZONS:
        samplers = [SamplerSettings(execute=steps) for steps in HORIZONS if steps <= horizon]
        if horizon == HORIZONS[-1]:
            samplers += [
                SamplerSettings(noise_scale=1.0),
                SamplerSettings(noise_scale=1.0, noise="held"),
            ]
        results.append(
            _whole(settings, "chunks", f"horizon {horizon}", horizon=horizon, samplers=tuple(samplers))
        )
    return results
