"""What every test shares: compile caches, a reproducible hypothesis, the recordings beside the repository."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
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


# One function for what is fused, all in one piece: a third of the time that XLA's own choice takes.
COMPILE_FAST = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def _is_pinned(package: str) -> bool:
    """Say whether a package is installed as constraints.txt has it."""
    return f"{package}=={version(package)}" in (ROOT / "constraints.txt").read_text().splitlines()


def pytest_configure(config: pytest.Config) -> None:
    """Let XLA compile fast and not well where tests are small: compiling is most of what they do.

    Slow tests run what users run. Set JAX_DISABLE_MOST_OPTIMIZATIONS=0 to have that in the others too.
    """
    if "not slow" not in config.option.markexpr:
        return
    chosen = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if chosen == "1" and _is_pinned("jaxlib"):  # XLA ends a process that gives it a flag of another version
        os.environ.setdefault("XLA_FLAGS", COMPILE_FAST)


def pytest_collection_finish() -> None:
    """Collect garbage rarely, and never what was imported: to look through it all is a tenth of compiling."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


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
# The demo comes late: most of what it runs, the first of them has compiled by then.
LONGEST = (
    *("test_commands", "test_scale", "test_kills", "test_order_flow", "test_ppo", "test_reproduce_command"),
    *("test_select", "test_market", "test_tune", "test_learned_results", "test_flow", "test_conformance"),
    *("test_demo", "test_session", "test_api", "test_tick_windows", "test_report", "test_own_in_lab"),
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


MAPPINGS = Path("/proc/self/maps")
MOST_MAPPINGS = 6_000  # of the 65,530 that Linux gives a process; memory, too, grows with them


@pytest.fixture(scope="module", autouse=True)
def _programs_of_few_modules() -> Iterator[None]:
    """Let go of compiled programs after a module once there are many.

    A process that keeps those of all of them runs out of memory mappings, and XLA then ends it.
    """
    yield
    many = not MAPPINGS.exists() or MAPPINGS.read_bytes().count(b"\n") > MOST_MAPPINGS
    if "jax" in sys.modules and many:
        sys.modules["jax"].clear_caches()
        gc.collect()
