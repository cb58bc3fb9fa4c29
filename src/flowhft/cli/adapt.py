"""`flowhft adapt`: fit the small map behind a trained policy to a market, on validation paths."""

from dataclasses import dataclass
from pathlib import Path

from flowhft.cli.command import Command, Result
from flowhft.cli.terminal import Table
from flowhft.learn.settings import AdaptMethod
from flowhft.report.numbers import formatted
from flowhft.stages.folder import summary_of
from flowhft.stages.folders import adapt


@dataclass(frozen=True, kw_only=True)
class Adapt(adapt.Adapt, Command):
    """Fit scale, offset per side, inventory skew and its slope behind a trained policy, itself frozen.

    Writes policy.safetensors (the policy with its adapter), search.parquet (every candidate) and
    adapter.json. Everything is chosen on validation paths; what was chosen is judged on fresh ones.
    """

    stage = staticmethod(adapt.run)

    def result(self, folder: Path) -> Result:
        """Return the map that was chosen, and what it was worth."""
        summary = summary_of(folder)
        gains = [
            [stage, *(summary[stage][part] for part in ("value", "low", "high"))]
            for stage in ("validation", "fresh")
        ]
        return Result(
            summary={"folder": folder, **summary},
            shown=[
                Table(
                    columns=list(_COLUMNS.values()),
                    rows=[[summary[name] for name in _COLUMNS]],
                    title=f"Adapter, by `{self.method}` of {summary['candidates']} candidates",
                ),
                Table(
                    columns=["paths", f"gain in {summary['criterion']}", "low", "high"],
                    rows=gains,
                    title=f"Against the policy without an adapter, {summary['unit']}, paired",
                ),
                f"Winner's curse (validation less fresh): {formatted(summary['winners_curse'], '.3g')} "
                f"{summary['unit']}",
                *(f"warning: {_warning(name, self.method)}" for name in summary["edges"]),
                f"The adapted policy is {folder / 'policy.safetensors'}",
            ],
        )


_COLUMNS = {
    "scale": "scale",
    "offset_bid": "offset bid (ticks)",
    "offset_ask": "offset ask (ticks)",
    "skew": "skew (ticks / lot)",
    "slope": "slope (ticks / (lot s))",
}
_FIX: dict[AdaptMethod, str] = {
    "turns": "Add --search.rounds, or raise --search.shrink.",
    "paper": "Widen --grid.scales or --grid.offsets.",
    "state": "Raise --state.bound.",
}


def _warning(edge: str, method: AdaptMethod) -> str:
    """Return what to say where a choice lies on the edge of what was searched."""
    if edge == "updates":
        return "the score was still rising when updates ran out. Raise --gradient.updates."
    return f"the chosen `{edge}` lies on the edge of what was searched: more may lie beyond. {_FIX[method]}"
