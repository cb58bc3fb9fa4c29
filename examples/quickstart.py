"""Calibrate the bundled recording, and compare two experts in the market that results."""

from flowhft.calibrate.calibrate import calibrate
from flowhft.calibrate.scenario import scenario_of
from flowhft.metrics.table import METRICS, compare
from flowhft.recordings import read_recording, sample_recording, top_of_book
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.rollout import judge

recording = read_recording(sample_recording())
found = calibrate(recording)
for name in ("volatility", "intensity", "fill_decay", "adverse_selection"):
    value, error, unit = (
        getattr(found.parameters[name], part) for part in ("value", "standard_error", "unit")
    )
    print(f"{name:18} {value:8.3g} +- {error:.2g} {unit}")

scenario = scenario_of(found, top_of_book(recording).mid_price[0], order_lots=10)
policies = {name: closed_form(name, scenario) for name in ("avellaneda_stoikov", "glft")}
paths = {
    name: judge(build(scenario), policy, paths=2_000, seed=0, scenario="quickstart")
    for name, policy in policies.items()
}
for name, difference in compare(paths["glft"], paths["avellaneda_stoikov"]).items():
    if difference.value != difference.value:
        continue  # PnL given fills, where these tell of the coming move; what only a replay can know
    print(f"{METRICS[name].title:24} {difference.value:10.3f} [{difference.low:.3f}, {difference.high:.3f}]")
