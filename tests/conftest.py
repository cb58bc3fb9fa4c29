"""What every test shares: compile caches, a reproducible hypothesis, the recordings beside the repository."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

# Compiled programs outlive a test run: set before anything imports jax or numba.
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME", Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"))
    / "flowhft-tests"
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("FLOWHFT_CACHE", str(CACHE))
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # tests of the mark `gpu` are run with another value
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "numba"))


def pytest_configure(config: pytest.Config) -> None:
    """Let XLA compile fast and not well where tests are small: compiling is most of what they do.

    Slow tests run what users run. Set JAX_DISABLE_MOST_OPTIMIZATIONS=0 to have that in the others too.
    """
    if "not slow" in config.option.markexpr:
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


settings.register_profile(
    "flowhft",
    derandomize=True,  # the same examples in every run: a red test stays red
    max_examples=50,
    deadline=None,  # the first example compiles
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flowhft")


# Files of tests that take longest, the longest first: whoever takes one of them last keeps the other waiting.
LONGEST = (
    *("test_commands", "test_demo", "test_conformance", "test_kills", "test_regime"),
    *("test_reproduce_command", "test_api", "test_imitate", "test_scale", "test_rollout"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of tests that take longest; the others stay in their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of recordings beside the repository, which users do not have."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recordings in {folder}")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_module() -> Iterator[None]:
    """Let go of compiled programs after every module.

    A process that keeps those of all of them runs out of memory mappings, and XLA then ends it.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
