"""`flowhft freeze`: a policy told its market, which quotes in microseconds without the lab."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import freeze
from flowhft.stages.folders.freeze import FILE


@dataclass(frozen=True, kw_only=True)
class Freeze(freeze.Freeze, Command):
    """Tell a policy its market, for the desk: it quotes in microseconds, without jax.

    Writes frozen.safetensors, which every command takes like any other policy, and any program by
    `flowhft.load_frozen`.
    """

    stage = staticmethod(freeze.run)

    def result(self, folder: Path) -> Result:
        """Return where the frozen policy is."""
        path = folder / FILE
        summary = summary_of(folder)
        return Result(
            summary={"folder": folder, "path": path, **summary},
            shown=[f"{summary['policy']} is frozen to {path} ({summary['bytes']:,} bytes)"],
        )
