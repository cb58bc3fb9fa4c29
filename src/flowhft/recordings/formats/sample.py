"""The bundled session: eight minutes of the BTCUSDT perpetual future on Binance.

See `sample/NOTICE.md` for its origin and terms.
"""

from importlib import resources
from pathlib import Path


def sample_recording() -> Path:
    """Return the prefix of the bundled session's files, ready for `read_recording`.

    Example:
        >>> sample_recording().name
        'usdm_btcusdt_20240718'
    """
    return Path(str(resources.files("flowhft.recordings") / "sample" / "usdm_btcusdt_20240718"))
