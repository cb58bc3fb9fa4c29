"""`flowhft scenarios`: which scenarios there are, and what is in them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.runs.files import replacing
from flowhft.scenarios.files import scenarios_to_toml
from flowhft.scenarios.presets import SETS, Preset, find_scenarios
from flowhft.scenarios.scenario import Scenario

COLUMNS = (
    "scenario",
    "volatility",
    "Hurst",
    "drift",
    "jumps / s",
    "jump",
    "bursts",
    "orders / s",
    "branching",
    "1 / k",
    "step in 1 / k",
    "adverse",
    "lost (%)",
)
NOTES = (
    "Volatility, drift and jumps (mean ± deviation) are relative where the price is log-normal, else in "
    "ticks; bursts multiply the volatility; orders are those of a side (bid, ask where they differ); 1 / k "
    "is in ticks.",
    "In 1 / k: the deviation of a step's move, and the adverse move at a fill. Lost: of the orders that "
    "reach a quote at 1 / k, those that find it filled already.",
)


@dataclass(frozen=True, kw_only=True)
class Scenarios(Action):
    """List the named sets of scenarios, or show what is in some scenarios and write them to a file."""

    names: Positional[str] = ""
    """Comma-separated sets, scenarios or TOML files of scenarios; the list of sets where nothing is named."""
    market: Preset = "correct"
    """Preset of the named scenarios: as they should be, as the paper ran them, or with informed traders."""
    save: Path | None = None
    """New TOML file for the scenarios, for `--scenarios FILE.toml` of other commands."""

    def run(self, terminal: Terminal) -> Result:
        """List, or show and save."""
        if not self.names:
            require(
                self.save is None, "save", "come with names of scenarios", self.save, "Name some, or a set."
            )
            return _sets(self.market)
        scenarios = find_scenarios(self.names, self.market)
        require(len(scenarios) > 0, "names", "name at least one scenario", f"'{self.names}'")
        saved = []
        if self.save:
            require(self.save.suffix == ".toml", "save", "end in .toml", f"`{self.save}`")
            require(
                not self.save.exists(),
                "save",
                "be a new file",
                f"`{self.save}`, which exists",
                "Choose another.",
            )
            with replacing(self.save) as temporary:
                temporary.write_text(scenarios_to_toml(scenarios), encoding="utf-8")
            saved = [f"Scenarios: {self.save}"]
        return Result(
            summary={
                "scenarios": [dataclasses.asdict(one) | derived(one) for one in scenarios],
                "saved": self.save,
            },
            shown=[Table(columns=COLUMNS, rows=[_row(scenario) for scenario in scenarios]), *NOTES, *saved],
        )


def _sets(market: Preset) -> Result:
    rows = [
        {"set": name, "scenarios": len(one.make(market)), "about": one.about} for name, one in SETS.items()
    ]
    return Result(
        summary={"sets": rows},
        shown=[
            Table(columns=["set", "scenarios", "about"], rows=[list(row.values()) for row in rows]),
            "`flowhft scenarios NAME` shows a set; a scenario of a set, or a TOML file, is named like one.",
        ],
    )


def derived(scenario: Scenario) -> dict[str, float]:
    """Return what follows from the parameters of a scenario: rates per second, the rest without units."""
    bid, ask = scenario.mean_intensities
    return {
        "mean_intensity_bid": bid,
        "mean_intensity_ask": ask,
        "branching_ratio": scenario.branching_ratio,
        "step_deviation_of_distance": scenario.step_deviation * scenario.fill_decay,
        "adverse_selection_of_distance": scenario.adverse_move * scenario.fill_decay,
        "lost_share": scenario.lost_share(),
    }


def _row(scenario: Scenario) -> list[str | float]:
    known = derived(scenario)
    bid, ask = scenario.mean_intensities
    return [
        scenario.name,
        scenario.volatility,
        scenario.hurst_exponent,
        scenario.drift,
        scenario.jump_intensity,
        f"{scenario.jump_mean:g} ± {scenario.jump_deviation:g}" if scenario.jump_intensity else "",
        f"x {scenario.burst_factor:g}" if scenario.burst_intensity else "",
        f"{bid:.3g}" if bid == ask else f"{bid:.3g}, {ask:.3g}",
        known["branching_ratio"],
        1.0 / scenario.fill_decay,
        known["step_deviation_of_distance"],
        known["adverse_selection_of_distance"],
        100.0 * known["lost_share"],
    ]
