"""Calibrate the bundled recording, and compare two experts in the market that results."""

import flowhft

recording = flowhft.read_recording(flowhft.sample_recording())
calibration = flowhft.calibrate(recording)
for name in ("volatility", "intensity", "fill_decay", "adverse_selection"):
    found = calibration.parameters[name]
    print(f"{name:18} {found.value:8.3g} +- {found.standard_error:.2g} {found.unit}")

market = flowhft.scenario_of(calibration, recording)
compared = flowhft.evaluate("avellaneda_stoikov,glft", market, paths=2_000)
(glft,) = compared.differences.filter(policy="glft").to_dicts()
for metric in flowhft.METRICS.values():
    if glft[metric.name] is not None:  # some are known in a replay only
        value, low, high = (glft[metric.name + end] for end in ("", "_low", "_high"))
        print(f"{metric.title:24} {value:10.3f} [{low:.3f}, {high:.3f}]")
