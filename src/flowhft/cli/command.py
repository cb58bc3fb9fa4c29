"""What a command is: a dataclass whose fields are its flags, and a result that people and programs read.

One dataclass is the schema, the flags, the help and the configuration in the manifest. To write a command:

    # flowhft/stages/folders/calibrate.py
    @dataclass(frozen=True, kw_only=True)
    class Calibrate(Stage):
        recording: Positional[Path]
        '''Session to read.'''
        calibration: CalibrationSettings = CalibrationSettings()

    def run(settings: Calibrate, listener: Listener = SILENT) -> Path: ...

    # flowhft/cli/calibrate.py
    @dataclass(frozen=True, kw_only=True)
    class Calibrate(calibrate.Calibrate, Command):
        '''Fit a market to a recording.'''

        stage = staticmethod(calibrate.run)

        def result(self, folder: Path) -> Result: ...

The docstrings under the fields are the help. A nested dataclass becomes a group of flags
(`--calibration.interval 10`), a `tuple[str, ...]` or `tuple[float, ...]` a list with commas
(`--policies glft,flow_matching`), a `Literal` a choice. Ranges belong into the types of the nested
settings (`runs.ranges`), other checks into their `__post_init__` (`errors.require`) or at the top of the
stage: the command itself is also built with its required fields still missing, to show its help and to
carry a file's defaults.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from flowhft.cli.terminal import Table, Terminal
from flowhft.stages.stage import Stage


@dataclass(frozen=True)
class Result:
    """What a command found out.

    Attributes:
        summary: the whole result as one object, for `--json`; numbers unrounded.
        shown: the same for people: sentences and tables, printed in this order.
        missed: bars that the caller required and that were not reached, one sentence each. The result is
            printed all the same; then the command ends with exit code 4.
    """

    summary: Mapping[str, Any]
    shown: Sequence[str | Table] = ()
    missed: Sequence[str] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Action(abc.ABC):
    """Anything that `flowhft NAME` does; on its own, something that looks and leaves nothing behind."""

    config: Path | None = None
    """TOML file with values for the options below; flags win over it."""
    json: bool = False
    """Print the result as one JSON object."""
    quiet: bool = False
    """Print nothing but the result and errors."""

    @abc.abstractmethod
    def run(self, terminal: Terminal) -> Result:
        """Do it, telling `terminal` how it goes, and return the result.

        Raises:
            FlowhftError: it could not be done; the message says why and what to do about it.
        """


@dataclass(frozen=True, kw_only=True)
class Command(Stage, Action):
    """An action that computes something and leaves it in a run folder: a stage, and how it is shown.

    Attributes:
        stage: does it, given the settings and whoever listens; a function of `flowhft.stages` or of
            `flowhft.studies`, which a study or a notebook calls as well.
    """

    stage: ClassVar[Any]  # Callable[[Stage, Listener], Path], called with the command itself

    def run(self, terminal: Terminal) -> Result:
        """Run the stage, and return what its folder holds."""
        return self.result(type(self).stage(self, terminal))

    @abc.abstractmethod
    def result(self, folder: Path) -> Result:
        """Return what is shown of a finished folder, read back from it.

        Args:
            folder: that the stage left.
        """
