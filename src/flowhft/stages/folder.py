"""The run folder of a stage: where it is, what identifies it, and whether it is already done."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flowhft.errors import DataError
from flowhft.runs.folder import MANIFEST, UNFINISHED, Run, manifest_of, read_json, sha256_of
from flowhft.stages.stage import Listener, Stage

# These decide nothing about a result; what is said of an instrument is in the identity of its recording.
COMMON = ("config", "json", "quiet", "seed", "out", "chunk", "ray", "cores", "instrument")
RUNS = Path("runs")


def identity_of(path: Path) -> str:
    """Return what tells the content of a file or finished run folder from every other.

    Raises:
        DataError: there is no such file or finished folder.
    """
    if path.is_dir():
        return str(manifest_of(path)["fingerprint"])
    if not path.is_file():
        raise DataError(f"`{path}` must exist; it does not. Name a file or a finished run folder.")
    return sha256_of(path)[:16]


def identity_of_run(path: Path, option: str, *commands: str) -> str:
    """Return what tells a finished run from every other, once it is known to be of the right command.

    Args:
        path: of the folder.
        option: that names it, for the message.
        *commands: one of which wrote it.

    Raises:
        DataError: there is no such folder, it is not finished, or another command wrote it.
    """
    wrote = manifest_of(path).get("command")
    if wrote not in commands:
        known = " or ".join(f"`flowhft {command}`" for command in commands)
        raise DataError(
            f"`{option}` must be a run folder of {known}; `flowhft {wrote}` wrote `{path}`. "
            "Name another folder."
        )
    return identity_of(path)


def scenarios_of(names: str) -> tuple[str, dict[str, str]]:
    """Return how a list of scenarios is remembered: without the folders of its files, but with their content.

    Args:
        names: comma-separated names and TOML files.

    Returns:
        The list with files by their bare names, and the identity of each file.
    """
    words = [word for word in (part.strip() for part in names.split(",")) if word]
    files = [Path(word) for word in words if word.endswith(".toml")]
    bare = [Path(word).name if word.endswith(".toml") else word for word in words]
    return ",".join(bare), {f"scenarios {n}: {f.name}": identity_of(f) for n, f in enumerate(files, 1)}


def policies_of(results: Iterable[Any], *, book: bool = False) -> tuple[str, dict[str, str]]:
    """Return how policies are remembered: experts as they were written, saved ones by name and content.

    Args:
        results: policies as `flowhft.policies.names.find_policies` returns them.
        book: whether they may see an order book: then what takes their place there is remembered too.
    """
    results = list(results)
    identities = {f"policy {p.name}": identity_of(p.path) for p in results if p.path}
    if book:
        identities |= {
            f"policy {p.name} by {file.stem}": identity_of(file) for p in results for file in p.seeing
        }
    return ",".join(policy.remembered for policy in results), identities


def run_of(settings: Stage, name: str, parents: Mapping[str, str], **remembered: str) -> Run:
    """Return the run of a stage: its folder is `--out`, or one named after what identifies it.

    Args:
        settings: of the stage, resolved.
        name: of the command that leaves such a run.
        parents: identities of what it builds on; paths themselves do not identify anything.
        remembered: options that name files, as they are to be remembered instead (see `scenarios_of`).
    """
    config = {
        item.name: value
        for item in fields(settings)
        if item.name not in COMMON and not isinstance(value := getattr(settings, item.name), Path)
    }
    run = Run(settings.out or RUNS, name, config | remembered, settings.seed, dict(parents))
    if settings.out is None:
        run.folder = RUNS / f"{name}-{run.fingerprint[:8]}"
    return run


def begin(run: Run, listener: Listener) -> Path | None:
    """Return the folder in which the run is to write its files, or None if the run is already finished.

    The listener is told where results are. A folder that holds something else than an earlier run of flowhft
    is left alone.

    Raises:
        DataError: the folder cannot be used.
    """
    if listener.where is None:  # a stage of a study leaves its results in the folder of that one
        listener.where = run.folder
    require_ours(run.folder)
    if run.finished:
        run.tidy()
        listener.note(f"{run.command}: already done in {run.folder}")
        return None
    return run.begin()


def require_ours(folder: Path) -> None:
    """Refuse a folder that holds anything but a run of flowhft.

    Raises:
        DataError: it holds something else.
    """
    if not folder.is_dir():
        return
    manifest = folder / MANIFEST
    known = read_json(manifest) if manifest.is_file() else {}
    finished = isinstance(known, dict) and {"fingerprint", "files"} <= known.keys()
    if finished or (folder / UNFINISHED).is_dir():
        return
    foreign = sorted(path.name for path in folder.iterdir())
    if foreign:
        raise DataError(
            f"`out` must be new, empty or a run folder; `{folder}` holds {', '.join(foreign[:3])}. "
            "Choose another folder."
        )


def summary_of(folder: Path) -> dict[str, Any]:
    """Return the summary that a finished run wrote into its manifest."""
    return dict(manifest_of(folder)["summary"])
