"""`flowhft info`: what is installed here, what a run folder holds, what a policy file is."""

import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tyro.conf import Positional

import flowhft
from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import DataError
from flowhft.runs import foreign

# The folder of the bundled recording; its module would bring numba, for which nobody waits here.
SAMPLE = Path(flowhft.__file__).parent / "recordings" / "sample"


@dataclass(frozen=True, kw_only=True)
class Info(Action):
    """Tell about the installation, a run folder or a policy file."""

    about: Positional[Path | None] = None
    """Run folder, policy file (.safetensors) or `flowhft`, the policy that ships; the installation where
    nothing is named."""
    devices: bool = False
    """List the devices that training and simulation would use; takes the seconds that jax needs to start."""

    def run(self, terminal: Terminal) -> Result:
        """Find out which of the three is meant, and describe it."""
        if self.about is None:
            return _installation(self.devices)
        if not self.about.exists():
            from flowhft.policies.names import BUNDLED

            if str(self.about) in BUNDLED:
                return _policy_file(BUNDLED[str(self.about)])
        if self.about.is_file() and self.about.suffix == ".safetensors":
            return _policy_file(self.about)
        return _run_folder(self.about)


def _installation(devices: bool) -> Result:
    summary: dict[str, Any] = {
        "flowhft": flowhft.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "sample_recording": str(SAMPLE),
        "packages": {},
        "missing": {},
    }
    for requirement in metadata.requires("flowhft") or []:
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if extra and extra[1] == "dev":  # for those who work on flowhft
            continue
        try:
            summary["packages"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            summary["missing"][name] = extra[1] if extra else None
    if devices:
        import jax

        summary["devices"] = [str(device) for device in jax.devices()]
    rows = [(name, summary[name]) for name in ("flowhft", "python", "machine")]
    rows += summary["packages"].items()
    rows += [
        (
            name,
            f"not installed: pip install 'flowhft[{extra}]'"
            if extra
            else "not installed: pip install flowhft",
        )
        for name, extra in summary["missing"].items()
    ]
    rows += [("device", device) for device in summary.get("devices", ())]
    rows.append(("sample recording", summary["sample_recording"]))
    return Result(summary, [Table(("what", "which"), rows)])


def _policy_file(path: Path) -> Result:
    """Read the header that flowhft puts into its policy files, and the shapes of the arrays."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = foreign.json_of((file.metadata() or {})["flowhft"])
            # a file, not a mapping: it has keys() but cannot be iterated
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as cause:
        raise DataError(
            f"`{path}` must be a policy file of flowhft; {cause}. Name a file that `flowhft imitate` or "
            "`flowhft freeze` wrote."
        ) from cause
    return Result(
        {"file": str(path), "header": header, "arrays": shapes},
        [
            Table(("key", "value"), list(_flat(header)), title=str(path)),
            Table(
                ("array", "shape"), [(name, " x ".join(map(str, shape))) for name, shape in shapes.items()]
            ),
        ],
    )


def _run_folder(path: Path) -> Result:
    from flowhft.runs.folder import manifest_of

    manifest = manifest_of(path)
    files = manifest.get("files", {})
    fields = {key: value for key, value in manifest.items() if key != "files"}
    return Result(
        manifest,
        [
            Table(("key", "value"), list(_flat(fields)), title=str(path)),
            Table(("file", "sha256"), [(name, f"{digest[:16]}…") for name, digest in files.items()]),
        ],
    )


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested objects as rows, their names dotted."""
    if isinstance(value, dict) and value:
        return [
            row for key, item in value.items() for row in _flat(item, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list) and len(value) > 8:
        return [(name, f"{len(value)} values: {', '.join(map(str, value[:4]))}, ...")]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, "" if value is None else str(value))]
