"""`flowhft export`: a policy with a network as an ONNX file, for other languages and runtimes."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Terminal


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
        from flowhft.stages.export import export

        made = export(self.policy, self.out, self.scenario)
        difference = made.largest_difference_ticks
        message = (
            "not compared with the policy: onnxruntime is not installed"
            if difference is None
            else f"its quotes differ from the policy's by at most {difference:.1e} ticks"
        )
        return Result(
            summary=made._asdict(),
            shown=[f"{made.path} ({made.bytes:,} bytes) takes {', '.join(made.inputs)}; {message}"],
        )
