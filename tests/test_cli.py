"""The command line: what it prints where, what it refuses and how, and what it leaves when it is stopped."""

import dataclasses
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from tyro.conf import Positional

from flowhft.cli import main as program
from flowhft.cli.command import Action, Result
from flowhft.cli.main import COMMANDS, main
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import DataError, require
from flowhft.runs.folder import Run
from flowhft.stages.stage import Stage
from flowhft.types import Interval


@dataclass(frozen=True)
class Inner:
    """Settings of a part."""

    width: int = 64
    """Units of a layer."""
    solver: Literal["euler", "heun"] = "euler"
    """How it steps."""
    noise_scale: float = 0.0
    """Noise at the start."""

    def __post_init__(self) -> None:
        require(self.width >= 1, "width", "be at least 1", self.width)


@dataclass(frozen=True, kw_only=True)
class Toy(Stage, Action):
    """A command that says what it was told."""

    path: Positional[Path]
    """What to read."""
    policies: tuple[str, ...] = ("glft", "oracle")
    """Policies by name."""
    levels: tuple[float, ...] = (0.5,)
    """Levels."""
    limit: float | None = None
    """A limit, if any."""
    inner: Inner = field(default_factory=lambda: Inner(width=32))

    def run(self, terminal: Terminal) -> Result:
        with terminal.stage("thinking") as progress:
            progress(0.5, "half way")
        terminal.note("a note")
        said = dataclasses.asdict(self)
        return Result({**said, "nothing": float("nan")}, ["a sentence", Table(("name",), [(self.path,)])])


@dataclass(frozen=True, kw_only=True)
class Failing(Action):
    """A command that fails in the way that the test plans."""

    def run(self, terminal: Terminal) -> Result:
        if isinstance(FAILURE[0], Result):
            return FAILURE[0]
        terminal.where = Path("runs/demo")
        raise FAILURE[0]


FAILURE: list[Any] = [None]


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWHFT_TRACEBACK", raising=False)
    monkeypatch.setitem(COMMANDS, "toy", (__name__, "Toy", "a toy"))
    monkeypatch.setitem(COMMANDS, "failing", (__name__, "Failing", "fails"))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Return what the toy command was told."""
    assert main(["toy", *arguments, "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Return the one line on stderr with which a call is refused."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    return captured.err.strip()


# --- flags and files --------------------------------------------------------------------------------------


def test_defaults_of_a_nested_group_are_those_of_the_command(capsys):
    result = told(capsys, "x")
    assert result["path"] == "x"
    assert result["inner"] == {"width": 32, "solver": "euler", "noise_scale": 0.0}


def test_flags_reach_nested_groups_and_lists_have_commas(capsys):
    result = told(
        capsys,
        *("x", "--policies", "glft, mine=runs/a", "--levels=1,2e-3", "--limit", "2", "--seed", "7"),
        *("--inner.noise-scale", "0.5", "--inner.solver", "heun"),
    )
    assert result["policies"] == ["glft", "mine=runs/a"]
    assert result["levels"] == [1.0, 0.002]
    assert result["limit"] == 2.0
    assert result["seed"] == 7
    assert result["inner"] == {"width": 32, "solver": "heun", "noise_scale": 0.5}


def test_a_file_gives_defaults_and_flags_win(capsys, tmp_path):
    config = tmp_path / "toy.toml"
    config.write_text(
        'path = "from-file"\nseed = 3\npolicies = ["a", "b"]\nlevels = [1, 2]\nlimit = 4\n'
        '[inner]\nnoise-scale = 1\nsolver = "heun"\n'
    )
    result = told(capsys, "--config", str(config), "--seed", "5", "--inner.solver", "euler")
    assert result["path"] == "from-file"
    assert result["seed"] == 5
    assert result["policies"] == ["a", "b"]
    assert result["levels"] == [1.0, 2.0]
    assert result["limit"] == 4.0
    assert result["inner"] == {"width": 32, "solver": "euler", "noise_scale": 1.0}


def test_a_switch_of_the_file_can_be_unset(capsys, tmp_path):
    config = tmp_path / "toy.toml"
    config.write_text("json = true\n")
    assert main(["toy", "x", f"--config={config}", "--no-json", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("a sentence")
    assert main(["toy", "x", f"--config={config}", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["json"] is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sede = 3", "unknown key 'sede'; did you mean 'seed'? It stands in `{file}`."),
        (
            "[inner]\nwidht = 3",
            "unknown key 'inner.widht'; did you mean 'inner.width'? It stands in `{file}`.",
        ),
        ('seed = "3"', "`seed` must be a whole number; received '3' in `{file}`."),
        ("seed = true", "`seed` must be a whole number; received True in `{file}`."),
        ("seed = 1.5", "`seed` must be a whole number; received 1.5 in `{file}`."),
        ('limit = "x"', "`limit` must be a number; received 'x' in `{file}`."),
        ("json = 1", "`json` must be true or false; received 1 in `{file}`."),
        ("path = 3", "`path` must be a path; received 3 in `{file}`."),
        ('policies = "a,b"', "`policies` must be a list; received 'a,b' in `{file}`."),
        ("policies = 3", "`policies` must be a list; received 3 in `{file}`."),
        ("policies = [3]", "`policies` must be text; received 3 in `{file}`."),
        ("inner = 3", "`inner` must be a table; received 3 in `{file}`."),
        ('inner.solver = "rk4"', "`inner.solver` must be one of euler, heun; received 'rk4' in `{file}`."),
        (
            "inner.width = 0",
            "`width` must be at least 1; received 0. It stands in table [inner] of `{file}`.",
        ),
    ],
)
def test_a_file_that_cannot_be_is_refused(capsys, tmp_path, text, says):
    config = tmp_path / "toy.toml"
    config.write_text(text + "\n")
    line = refused(capsys, 2, "toy", "x", "--config", str(config))
    assert line == "error: " + says.format(file=config)


def test_a_file_that_is_missing_or_no_toml_is_refused(capsys, tmp_path):
    line = refused(capsys, 2, "toy", "x", "--config", str(tmp_path / "none.toml"))
    assert line == f"error: `--config` must name a TOML file; received {tmp_path}/none.toml."
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = \n")
    line = refused(capsys, 3, "toy", "x", "--config", str(broken))
    assert line.startswith(f"error: `{broken}` must be TOML; Invalid value (at line 1, column 8).")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["toy", "x", "--sede", "3"],
            "unknown option '--sede'; did you mean '--seed'? See `flowhft toy --help`.",
        ),
        (
            ["toy", "x", "--inner.widht=3"],
            "unknown option '--inner.widht'; did you mean '--inner.width'? See",
        ),
        (["toy", "x", "y"], "unknown argument 'y'; nothing more must follow. See `flowhft toy --help`."),
        (["toy"], "`path` must be given; received nothing. See `flowhft toy --help`."),
        (["toy", "x", "--seed"], "`--seed` must be followed by a value; received nothing. See"),
        (
            ["toy", "x", "--seed", "y"],
            "`--seed` must be a whole number; received 'y'. See `flowhft toy --help`.",
        ),
        (["toy", "x", "--seed", "1.5"], "`--seed` must be a whole number; received '1.5'. See"),
        (
            ["toy", "x", "--inner.noise-scale", "y"],
            "`--inner.noise-scale` must be a number; received 'y'. See",
        ),
        (
            ["toy", "x", "--levels", "1,y"],
            "`--levels` must be a number; received 'y'. See `flowhft toy --help`.",
        ),
        (
            ["toy", "x", "--inner.solver", "rk4"],
            "`--inner.solver` must be one of 'euler', 'heun'; received 'rk4'.",
        ),
        (["toy", "x", "--inner.width", "0"], "`width` must be at least 1; received 0."),
        (["simulat"], "unknown command 'simulat'; did you mean 'simulate'? See `flowhft --help`."),
        (["data"], "unknown command 'data'; did you mean 'data check'? See `flowhft --help`."),
        (["data", "chekc"], "unknown command 'data chekc'; did you mean 'data check'? See `flowhft --help`."),
        (["--verison"], "unknown option '--verison'; did you mean '--version'? Options follow the command."),
    ],
)
@pytest.mark.parametrize("columns", ["80", "40"])
def test_a_call_that_cannot_be_is_refused_in_one_line(capsys, monkeypatch, arguments, says, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert refused(capsys, 2, *arguments).startswith("error: " + says)


def test_help_shows_the_defaults_of_the_file(capsys, tmp_path):
    config = tmp_path / "toy.toml"
    config.write_text("[inner]\nwidth = 4321\n")
    assert main(["toy", "--config", str(config), "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "4321" in captured.out
    assert "Units of a layer." in captured.out


# --- stdout and stderr ------------------------------------------------------------------------------------


def test_stdout_holds_only_the_result(capsys):
    assert main(["toy", "x"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "a sentence\nname\n────\nx\n"
    assert captured.err.splitlines()[0].startswith("thinking: done in ")
    assert captured.err.splitlines()[1:] == ["a note"]
    assert "\x1b" not in captured.err + captured.out


def test_json_is_strict_and_one_object(capsys):
    assert main(["toy", "x", "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert captured.out.count("\n") == 1
    assert result["nothing"] is None
    assert "a note" in captured.err


def test_quiet_says_nothing_but_the_result(capsys):
    assert main(["toy", "x", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out != ""


def test_a_table_is_aligned_and_loses_nothing_to_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    long = "a_name_that_is_longer_than_the_terminal"
    Terminal().show({}, [Table(("policy", "PnL (USD)", "fills"), [(long, 1234.5678, 3), ("[b]", None, 12)])])
    heading, rule, first, second = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "policy"
    assert set(rule) == {"─"}
    assert first.split() == [long, "1,235", "3"]
    assert second.split()[0] == "[b]"  # names are not markup
    assert len(heading) == len(first) == len(second)  # numbers end at the right edge


def test_an_estimate_shows_its_interval(capsys):
    Terminal().show({}, [Table(("PnL",), [(Interval(12.34, 9.876, 14.8),)])])
    assert capsys.readouterr().out.splitlines()[-1] == "12.3 (9.9 to 14.8)"


def test_stages_nest_on_a_terminal_and_end_with_a_line_each(capsys, monkeypatch):
    monkeypatch.setattr("flowhft.cli.terminal._is_interactive", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with terminal.stage("outer") as outer:
        outer(0.3, "going on")
        with terminal.stage("inner [x]") as inner:
            inner(2.0, "more than all")  # a share above 1 must not break the bar
        terminal.note("between")
    with pytest.raises(DataError), terminal.stage("failing"):
        raise DataError("broken")
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if "in " in line or "after" in line or line == "between"]
    assert [line.split(":")[0] for line in lines] == ["inner [x]", "between", "outer", "failing"]
    assert "stopped after" in lines[-1]


# --- endings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (DataError("`x` must be good;\n received bad."), 3, "error: `x` must be good; received bad."),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a.parquet"),
            3,
            "error: `runs/a.parquet` must fit on the disk; received: No space left on device. "
            "Free some space and run the same command again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs"),
            3,
            "error: `runs` must be open to you; received: Permission denied. "
            "Change its permissions or choose another path.",
        ),
        (
            OSError("disk on fire"),
            3,
            "error: what is written must be readable and writable; received: disk on fire.",
        ),
        (
            KeyError("lost"),
            1,
            "unexpected error: KeyError: 'lost'; run with FLOWHFT_TRACEBACK=1 for the traceback",
        ),
        (
            KeyboardInterrupt(),
            130,
            "interrupted; finished stages are in runs/demo; run the same command again to resume",
        ),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(capsys, failure, code, says):
    FAILURE[0] = failure
    assert refused(capsys, code, "failing") == says


def test_the_traceback_is_there_for_those_who_ask(capsys, monkeypatch):
    FAILURE[0] = KeyError("lost")
    monkeypatch.setenv("FLOWHFT_TRACEBACK", "1")
    assert main(["failing"]) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert said.splitlines()[-1].startswith("unexpected error: KeyError")


def test_a_missed_bar_still_prints_the_result(capsys):
    FAILURE[0] = Result({"pnl": 1.0}, ["PnL 1.0"], missed=["`pnl` must exceed 2; received 1."])
    assert main(["failing"]) == 4
    captured = capsys.readouterr()
    assert captured.out == "PnL 1.0\n"
    assert captured.err == "error: `pnl` must exceed 2; received 1.\n"


def test_a_reader_that_goes_away_is_no_error(capsys):
    FAILURE[0] = BrokenPipeError()
    assert main(["failing"]) == program.PIPE_CLOSED
    assert capsys.readouterr().err == ""


def test_termination_is_an_interrupt_and_the_handler_is_given_back(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    class Terminated(Result):
        def __init__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Failing, "run", lambda self, terminal: Terminated())
    assert refused(capsys, 130, "failing") == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interruption_that_python_drops_is_not_lost(capsys, monkeypatch):
    class Careless:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def run(self: Action, terminal: Terminal) -> Result:
        with terminal.stage("long work") as progress:
            Careless()  # an exception in a destructor cannot spread
            progress(0.5, "half way")
        raise AssertionError("went on")

    hook = sys.unraisablehook
    monkeypatch.setattr(Failing, "run", run)
    assert refused(capsys, 130, "failing", "--quiet") == "interrupted"
    assert sys.unraisablehook is hook


# --- the table of commands --------------------------------------------------------------------------------


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in COMMANDS)
    assert max(map(len, lines)) <= 100
    assert main([]) == 0


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("toy", "failing")])
def test_every_command_can_be_built_and_documents_its_options(name, capsys):
    module, kind, _ = COMMANDS[name]
    command = getattr(importlib.import_module(module), kind)
    assert issubclass(command, Action)
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: flowhft {name} ")
    assert "--json" in said


def test_starting_takes_no_lab_and_no_data_library():
    code = (
        "import sys; from flowhft.cli.main import main\n"
        "codes = [main(['--help']), main(['info']), main(['--version'])]\n"
        "heavy = {'jax', 'equinox', 'numba', 'polars', 'plotly', 'scipy'} & set(sys.modules)\n"
        "print(codes, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] set()"


def test_the_installed_program_speaks_and_survives_a_full_disk():
    flowhft = [sys.executable, "-c", "import sys; from flowhft.cli.main import main; sys.exit(main())"]
    done = subprocess.run([*flowhft, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:8], done.stderr) == (0, "flowhft ", "")
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            done = subprocess.run([*flowhft, "info"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 3
        assert done.stderr.startswith("error: what is written must fit on the disk; received: No space left")
        assert done.stderr.count("\n") == 1
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*flowhft, "info"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (program.PIPE_CLOSED, "")


# --- info and data check ----------------------------------------------------------------------------------


def test_info_tells_about_the_installation(capsys):
    assert main(["info", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["packages"]["numpy"]
    assert "pytest" not in result["packages"]


def test_info_tells_about_a_run_folder(capsys, tmp_path):
    run = Run(tmp_path / "run", "toy", Inner(), seed=11)
    (run.begin() / "note.json").write_text("{}")
    line = refused(capsys, 3, "info", str(run.folder))
    assert "must be a finished run folder; it has no manifest.json" in line
    run.finish(pnl=1.5)
    assert main(["info", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert run.fingerprint in said
    assert "config.solver" in said
    assert "note.json" in said
    assert main(["info", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"] == {"pnl": 1.5}


def test_info_tells_about_a_policy_file(capsys, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "policy.safetensors"
    save_file(
        {"weight": np.zeros((2, 3), np.float32)},
        path,
        {"flowhft": json.dumps({"format": "toy", "a": [1, 2]})},
    )
    assert main(["info", str(path)]) == 0
    said = capsys.readouterr().out
    assert "2 x 3" in said
    assert "toy" in said
    save_file({"weight": np.zeros(3, np.float32)}, path)
    assert "must be a policy file of flowhft" in refused(capsys, 3, "info", str(path))
    path.write_bytes(path.read_bytes()[:20])
    assert "must be a policy file of flowhft" in refused(capsys, 3, "info", str(path))


def test_data_check_tells_what_the_bundled_recording_holds(capsys):
    from flowhft.recordings.formats.sample import sample_recording

    assert main(["data", "check", str(sample_recording()), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["venue"], result["symbol"], result["currency"]) == ("binance-usdm", "BTCUSDT", "USDT")
    assert result["events"]["trades"] > 0
    assert 400 < result["seconds"] < 700
    assert result["market_spread_mean"] >= 1.0  # ticks: a spread is at least one
    assert main(["data", "check", str(sample_recording())]) == 0
    assert "binance-usdm BTCUSDT" in capsys.readouterr().out


def test_data_check_refuses_what_is_no_recording(capsys, tmp_path):
    (tmp_path / "x_depth.parquet").write_bytes(b"PAR1")
    assert main(["data", "check", str(tmp_path), "--quiet"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
