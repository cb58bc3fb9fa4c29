"""Export: a policy with a network as an ONNX file, for other languages and runtimes."""

from pathlib import Path
from typing import NamedTuple

from flowhft.errors import BarMissedError, UsageError

# Ticks by which a model may differ from the policy, relative to a half-spread of one unit: float32 of both.
TOLERANCE = 1e-3


class Exported(NamedTuple):
    """A policy as an ONNX file.

    Attributes:
        path: of the file.
        bytes: its size.
        inputs: names of what it takes.
        largest_difference_ticks: by which its quotes differ from the policy's, ticks; None where onnxruntime
            is not installed, and nothing was compared.
    """

    path: Path
    bytes: int
    inputs: list[str]
    largest_difference_ticks: float | None


def export(policy: str, out: Path, scenario: str = "") -> Exported:
    """Write a flow policy or an agent as an ONNX file, and compare it with the policy where that can be run.

    Args:
        policy: a .safetensors file or a run folder.
        out: the file to write.
        scenario: name or TOML file of the market in whose units the policy quotes.

    Raises:
        UsageError: the scenario is not one market, or the policy has no network.
        BarMissedError: the file does not quote like the policy.
    """
    from flowhft.desk.compiled.export import inputs_of, largest_difference, save_onnx, unit_of
    from flowhft.desk.compiled.freeze import freeze
    from flowhft.policies.names import find_policy
    from flowhft.scenarios.presets import find_scenarios

    scenarios = find_scenarios(scenario) if scenario else [None]
    if len(scenarios) != 1:
        raise UsageError(f"`scenario` must name one market; received '{scenario}'.")
    frozen = freeze(find_policy(policy, frozen=True), scenarios[0])
    save_onnx(frozen, out)
    difference = largest_difference(frozen, out)
    reach = max(1.0, unit_of(frozen))
    if difference is not None and not difference <= TOLERANCE * reach:
        raise BarMissedError(
            f"`{out}` must quote like the policy to {TOLERANCE * reach:g} ticks; received a "
            f"difference of {difference:g}. Do not use the file."
        )
    return Exported(out, out.stat().st_size, list(inputs_of(frozen)), difference)
