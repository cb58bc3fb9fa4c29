"""How tests run the program: within this process, or in one of its own that can be stopped."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import CACHE

from flowhft.cli.main import main
from flowhft.runs.folder import MANIFEST


class Said(NamedTuple):
    """What a call of the program left on the terminal."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one strict JSON object on stdout."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def flowhft(*arguments: object) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


def begin_process(*arguments: object, largest_file: int | None = None) -> subprocess.Popen:
    """Start the program in a process of its own, by choice one whose files cannot outgrow some bytes."""
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file},) * 2);" if largest_file else ""
    code = f"import resource, sys; {limit} from flowhft.cli.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"FLOWHFT_CACHE": str(CACHE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text())


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder but the manifest, which knows the time."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
