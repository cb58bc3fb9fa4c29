"""The layers that `pyproject.toml` draws: imports go down, and the desk never reaches the lab."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DESK = (
    "types",
    "errors",
    "runs",
    "work",
    "metrics",
    "recordings",
    "features",
    "scenarios",
    "policies",
    "calibrate",
    "desk",
    "report",
)


def test_imports_go_down_the_layers():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_desk_runs_without_the_lab(tmp_path):
    """Where jax is not installed at all: a module of that name that fails stands in its place."""
    for lab in ("jax", "equinox", "optax", "diffrax"):
        (tmp_path / f"{lab}.py").write_text(f"raise ImportError('the desk reached {lab}')\n")
    code = (
        "import importlib, pkgutil\n"
        f"for name in {DESK}:\n"
        "    package = importlib.import_module(f'flowhft.{name}')\n"
        "    for found in pkgutil.walk_packages(getattr(package, '__path__', []), package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
