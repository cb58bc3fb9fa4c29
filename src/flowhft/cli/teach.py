"""`flowhft teach`: a maker that sees the order book shows what it would quote on recordings."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import teach


@dataclass(frozen=True, kw_only=True)
class Teach(teach.Teach, Command):
    """Let a maker that sees the order book show what it would quote on recordings, whatever it holds.

    It is asked at every decision of the first part of each recording, in short sessions of a position each.
    Writes the data set, which `imitate` and `distil` take with --network.features book: shards
    demonstrations-*.parquet, the signals decisions-*.parquet, teacher-*.safetensors, and its card:
    demonstrations.json and demonstrations.md. Finished shards are kept: an interrupted run goes on with the
    next.
    """

    stage = staticmethod(teach.run)

    def result(self, folder: Path) -> Result:
        """Return how much there is to learn from, and how often the maker stayed out."""
        summary = summary_of(folder)
        choices = summary["choices"]
        out = choices.get("none", 0) / max(sum(choices.values()), 1)
        return Result(
            summary={"folder": folder, **summary},
            shown=[
                f"{summary['pairs']:,} decisions are in {folder}, in {summary['shards']} shards; "
                f"{out:.0%} of all sides are not quoted"
            ],
        )
