"""`flowhft export`: a policy with a network as an ONNX file, for other languages and runtimes."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Terminal
from flowhft.errors import BarMissedError, UsageError

# Ticks by which a model may differ from the policy, relative to a half-spread of one unit: float32 of both.
TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Export(Action):
    """Turn a flow policy or an agent into an ONNX file for other languages and runtimes.

    The file holds the normaliser, the whole sampler and the adapter; names of features and units stand in
    its metadata. Where onnxruntime is installed, it is run and compared with the policy. Needs the extra
    `export`.
    """

    policy: Positional[str]
    """A .safetensors file or a run folder with a flow policy or an agent."""
    out: Path = Path("policy.onnx")
    """File to write."""
    scenario: str = ""
    """Name or TOML file of the market in whose units the policy quotes."""

    def run(self, terminal: Terminal) -> Result:
        """Export, and compare."""
        from flowhft.desk.compiled.export import inputs_of, largest_difference, save_onnx, unit_of
        from flowhft.desk.compiled.freeze import freeze
        from flowhft.policies.names import find_policy
        from flowhft.scenarios.presets import find_scenarios

        scenarios = find_scenarios(self.scenario) if self.scenario else [None]
        if len(scenarios) != 1:
            raise UsageError(f"`scenario` must name one market; received '{self.scenario}'.")
        frozen = freeze(find_policy(self.policy, frozen=True), scenarios[0])
        save_onnx(frozen, self.out)
        difference = largest_difference(frozen, self.out)
        reach = max(1.0, unit_of(frozen))
        if difference is not None and not difference <= TOLERANCE * reach:
            raise BarMissedError(
                f"`{self.out}` must quote like the policy to {TOLERANCE * reach:g} ticks; received a "
                f"difference of {difference:g}. Do not use the file."
            )
        said = (
            "not compared with the policy: onnxruntime is not installed"
            if difference is None
            else f"its quotes differ from the policy's by at most {difference:.1e} ticks"
        )
        size, inputs = self.out.stat().st_size, list(inputs_of(frozen))
        return Result(
            summary={
                "path": self.out,
                "bytes": size,
                "inputs": inputs,
                "largest_difference_ticks": difference,
            },
            shown=[f"{self.out} ({size:,} bytes) takes {', '.join(inputs)}; {said}"],
        )
