"""Files of frozen policies as flowhft 0.1 wrote them: a format of the desk's own, which is still read."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from flowhft import features
from flowhft.desk.compiled import Frozen
from flowhft.desk.compiled.flow import FLOW
from flowhft.desk.compiled.network import NO_NETWORK
from flowhft.policies.regime_adapter import RegimeAdapter


def save_folded(frozen: Frozen, path: Path) -> None:
    """Write a flow policy or a rule in version 2 of the old format."""
    header = {"format": "flowhft.frozen", "version": 2, "kind": frozen.kind.name}
    header |= {"adapter": frozen.adapter._asdict()}
    arrays = {"coefficients": np.zeros(0)}
    if frozen.kind is FLOW:
        network, regime = frozen.parts
        said = ("start", "begin", "held", "execute", "noise_scale")
        header["network"] = {name: getattr(network, name) for name in said}
        header["network"]["sensor"] = network.sensor._asdict()
        kinds = {number: name for name, number in features.KINDS.items()}
        header["network"]["features"] = kinds[network.feature_kind]
        of_network = [name for name in network._fields if isinstance(getattr(NO_NETWORK, name), np.ndarray)]
        arrays |= {name: getattr(network, name) for name in of_network}
        if regime.bias_1.size > 0:
            header["half_spread"] = regime.half_spread
            own = [name for name in RegimeAdapter._fields if name != "half_spread"]
            arrays |= {f"regime.{name}": getattr(regime, name) for name in own}
    else:
        numbers = frozen.parts.coefficients
        arrays["coefficients"] = numbers
        if frozen.kind.name.startswith("oracle"):  # its table stood apart
            rows, limit = int(numbers[2]), int(numbers[3])
            arrays["coefficients"] = numbers[:4]
            arrays["table"] = numbers[4:].reshape(rows + 2, 2 * limit + 1, 2)
    save_file(arrays, path, {"flowhft": json.dumps(header)})
