"""Your own policy: in the market of the bundled recording, and on the recording itself."""

import flowhft


def mine(observation):
    """Quote 30 ticks around the mid, lean against the inventory, and stay out of bursts of orders."""
    lean = 10.0 * observation.inventory
    if observation.arrivals_bid + observation.arrivals_ask > 3.0:
        return float("nan"), float("nan")
    return 30.0 + lean, 30.0 - lean


recording = flowhft.read_recording(flowhft.sample_recording())
policies = {"mine": mine, "glft": "glft"}

market = flowhft.scenario_of(flowhft.calibrate(recording), recording)
print(flowhft.evaluate(policies, market, paths=200))
print(flowhft.backtest(recording, policies))
