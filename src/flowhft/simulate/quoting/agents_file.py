"""Agents in a file: one for everywhere, or one for each of several scenarios."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowhft.errors import DataError, UnknownNameError, UsageError, require
from flowhft.policies.actor import IN_TICKS, Units
from flowhft.runs.archive import read_archive, require_arrays, write_archive
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.quoting.agent import Actor, Agent, Scales
from flowhft.simulate.quoting.agent_view import VIEWS, told

FORMAT = "flowhft.agents"
VERSION = 1
ACTIVATION = "tanh"
_WHAT = "agents"


@dataclass(frozen=True)
class Agents:
    """One agent for everywhere, or a set of them by scenario.

    Attributes:
        view: what they see, a key of `VIEWS`.
        actor: their networks, arrays with a leading axis agent.
        scales: likewise.
        scenarios: name of the scenario that each was trained for; empty for one agent for everywhere.
        training: how they came about, for people and manifests: what JSON can hold.
    """

    view: str
    actor: Actor
    scales: Scales
    scenarios: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.view in VIEWS, "view", f"be one of {', '.join(VIEWS)}", repr(self.view))
        names, count = self.scenarios, len(self.actor.log_std)
        require(len(set(names)) == len(names), "scenarios", "differ", names)
        require(
            count == max(1, len(names)), "scenarios", f"name each of {count} agents", f"{len(names)} names"
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the sizes of the layers, from features to actions."""
        return (self.actor.weights[0].shape[-2], *(weight.shape[-1] for weight in self.actor.weights))

    def in_market(self, scenario: Scenario) -> Agent:
        """Return the agent of a scenario, told about it if it is of the view `regime`.

        Raises:
            UsageError: there is no agent for this scenario.
        """
        place = 0
        if self.scenarios:
            if scenario.name not in self.scenarios:
                raise UnknownNameError(
                    "scenario",
                    scenario.name,
                    self.scenarios,
                    "These agents were trained one a scenario: train one for it.",
                )
            place = self.scenarios.index(scenario.name)
        return self._agent(place, told(self.view, scenario))

    def anywhere(self) -> Agent:
        """Return the agent that needs to know nothing of a scenario: one for everywhere, that sees ticks."""
        return self._agent(0, IN_TICKS)

    def _agent(self, place: int, units: Units) -> Agent:
        arrays = (self.actor, self.scales)
        actor, scales = jax.tree.map(lambda array: jnp.asarray(array[place], jnp.float32), arrays)
        return Agent(actor, scales, jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), units))


def alone(view: str, actor: Actor, scales: Scales, scenarios: tuple[str, ...] = ()) -> Agents:
    """Return a single agent, its arrays without the leading axis, as a set of one.

    Args:
        view: what it sees.
        actor: its network.
        scales: between features, network and half-spreads.
        scenarios: the name of the scenario it is for; empty for everywhere.
    """
    first, second = jax.tree.map(lambda array: np.asarray(array, np.float32)[None], (actor, scales))
    return Agents(view, first, second, scenarios)


def merge_agents(sets: Sequence[Agents], training: dict[str, Any]) -> Agents:
    """Return agents of different scenarios, of one shape, as one set.

    Raises:
        UsageError: two of them are for the same scenario.
    """
    arrays = [(agents.actor, agents.scales) for agents in sets]
    actor, scales = jax.tree.map(lambda *parts: np.concatenate(parts), *arrays)
    names = tuple(name for agents in sets for name in agents.scenarios)
    return Agents(sets[0].view, actor, scales, names, training)


def _named(actor: Actor, scales: Scales) -> dict[str, Any]:
    """Return every array by its name in the file."""
    layers = range(len(actor.weights))
    return (
        {f"weight.{n}": actor.weights[n] for n in layers}
        | {f"bias.{n}": actor.biases[n] for n in layers}
        | {"log_std": actor.log_std}
        | {f"scales.{name}": value for name, value in scales._asdict().items()}
    )


def save_agents(path: Path, agents: Agents) -> None:
    """Write agents with everything they need to quote: one .safetensors file, whole or not at all.

    The file holds, for N agents and layers of sizes n_0, ..., n_L: `weight.i` (N, n_i, n_i+1), `bias.i`
    (N, n_i+1), `log_std` (N, 2), `scales.mean` and `scales.std` (N, n_0), and `scales.centre`,
    `scales.scale`, `scales.low`, `scales.high` (N, 2), all float32 (see `Scales`).
    """
    arrays = {
        name: np.asarray(value, np.float32) for name, value in _named(agents.actor, agents.scales).items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "view": agents.view,
        "layers": agents.layers,
        "activation": ACTIVATION,
        "scenarios": agents.scenarios,
        "training": agents.training,
    }
    write_archive(path, arrays, header)


def load_agents(path: Path) -> Agents:
    """Read agents.

    Raises:
        DataError: the file is missing, damaged, does not hold agents, is of an unknown version, or its arrays
            do not fit its header.
    """
    arrays, header = read_archive(path, _WHAT, FORMAT, VERSION)
    again = "The file was changed: make it again."
    try:
        layers = [int(size) for size in header["layers"]]
        view, scenarios = str(header["view"]), tuple(str(name) for name in header["scenarios"])
        training = dict(header["training"])
        features = len(VIEWS[view])
        known = header["activation"] == ACTIVATION
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"`{path}` must describe {_WHAT}; its header does not: {cause!r} is wrong. {again}"
        ) from cause
    fits = len(layers) >= 2 and min(layers) >= 1 and layers[0] == features and layers[-1] == 2
    if not (fits and known):
        raise DataError(
            f"`{path}` must hold layers from {features} features to 2 actions, {ACTIVATION} between them; "
            f"received {layers} with {header['activation']!r}. {again}"
        )
    count, sides = max(1, len(scenarios)), (2,)
    steps = list(enumerate(itertools.pairwise(layers)))
    shapes: dict[str, tuple[int, ...]] = {"log_std": (count, *sides)}
    for n, (before, after) in steps:
        shapes |= {f"weight.{n}": (count, before, after), f"bias.{n}": (count, after)}
    for name in Scales._fields:
        shapes[f"scales.{name}"] = (count, features if name in ("mean", "std") else 2)
    require_arrays(path, arrays, shapes, _WHAT)
    if not (arrays["scales.std"] > 0.0).all():
        raise DataError(f"`scales.std` must be positive; received 0 or less in `{path}`. {again}")
    known_arrays: dict[str, Any] = arrays
    actor = Actor(
        tuple(known_arrays[f"weight.{n}"] for n, _ in steps),
        tuple(known_arrays[f"bias.{n}"] for n, _ in steps),
        known_arrays["log_std"],
    )
    try:
        return Agents(
            view,
            actor,
            Scales(*(known_arrays[f"scales.{name}"] for name in Scales._fields)),
            scenarios,
            training,
        )
    except UsageError as cause:
        raise DataError(f"`{path}` must describe {_WHAT}; its header does not: {cause} {again}") from cause
