"""The documents against the code: examples run, commands parse, links lead somewhere, tables are complete."""

import dataclasses
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from flowhft import features
from flowhft.calibrate import calibration, fill_curve, hawkes_fit, volatility
from flowhft.calibrate.calibrate import CalibrationSettings
from flowhft.cli.command import Command
from flowhft.cli.configuration import options, parse
from flowhft.cli.main import COMMANDS
from flowhft.desk.replay.labels import LabelSettings
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.errors import BarMissedError, DataError, FlowhftError, UnknownNameError, UsageError
from flowhft.flow.normaliser import REACH
from flowhft.learn.demonstrations.demonstrate import FURTHEST
from flowhft.learn.regime.settings import FamilySettings, RegimeSettings
from flowhft.learn.settings import (
    AdaptSettings,
    DataSettings,
    DistilSettings,
    GradientSettings,
    GridSettings,
    StateSettings,
    TeacherSettings,
    TrainingSettings,
)
from flowhft.metrics import table as metrics
from flowhft.metrics.intervals import LEAST_LOSSES
from flowhft.policies import rules as experts
from flowhft.policies.rules import white_noise
from flowhft.policies.settings import NetworkSettings
from flowhft.recordings.checks import validate
from flowhft.recordings.described import InstrumentSettings
from flowhft.recordings.ticks import EVENT
from flowhft.rl.settings import PpoSettings
from flowhft.runs import folder as runs
from flowhft.scenarios.files import scenario_from_table
from flowhft.scenarios.scenario import MOST_CARRIED, MOST_IN_STEP, Scenario
from flowhft.simulate.market.tick_settings import TickSettings
from flowhft.stages.settings import BLOCK_SECONDS, SweepSettings, WalkSettings
from flowhft.studies.learned.settings import StudySettings
from flowhft.studies.realism import resemblance
from flowhft.types import Estimates, Observation, Quote, Trajectory

ROOT = Path(__file__).parents[1]
DOCS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GROUPS = {
    "calibration": CalibrationSettings,
    "instrument": InstrumentSettings,
    "data": DataSettings,
    "teachers": TeacherSettings,
    "network": NetworkSettings,
    "ppo": PpoSettings,
    "training": TrainingSettings,
    "distil": DistilSettings,
    "search": AdaptSettings,
    "labels": LabelSettings,
    "grid": GridSettings,
    "state": StateSettings,
    "gradient": GradientSettings,
    "family": FamilySettings,
    "regime": RegimeSettings,
    "study": StudySettings,
    "replay": ReplaySettings,
    "ticks": TickSettings,
    "walk": WalkSettings,
    "sweep": SweepSettings,
}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(.+)$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| `(.+?)` \| (.*?) \| (.*) \|$", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def every_document(function):
    return pytest.mark.parametrize("path", DOCS, ids=named)(function)


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return FENCE.sub("", path.read_text())


def section(path: Path, title: str) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    text = prose(path)
    for result in HEADING.finditer(text):
        if result[2] == title:
            rest = text[result.end() :]
            following = re.search(rf"^#{{1,{len(result[1])}}} ", rest, re.MULTILINE)
            return rest[: following.start()] if following else rest
    raise AssertionError(f"{path.name} has no section '{title}'")


def words(text: str) -> set[str]:
    return {word for code in INLINE.findall(text) for word in re.split(r"[\s,=:()]+", code)}


def command_class(name: str) -> type:
    module, kind, _ = COMMANDS[name]
    return getattr(importlib.import_module(module), kind)


def shown(value: object) -> str:
    """Return a default as the tables of the documents show it."""
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


# Examples


def test_readme_shows_the_quickstart_as_it_is():
    assert blocks(ROOT / "README.md", "python") == [(ROOT / "examples" / "quickstart.py").read_text()]


SLOW = ("own_policy",)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem in SLOW else path for path in EXAMPLES],
    ids=named,
)
def test_example_runs_as_it_stands(path, tmp_path):
    if path.name == "train_with_sb3.py":
        pytest.importorskip("stable_baselines3", reason="needs stable_baselines3 (extra rl), which is large")
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    if path.name == "quickstart.py":
        (told,) = re.findall(
            r"<!-- measured: python examples/quickstart.py -->\n```text\n(.*?)```",
            (ROOT / "README.md").read_text(),
            re.DOTALL,
        )
        assert_told(told.splitlines(), done.stdout.splitlines())


def assert_told(told: list[str], printed: list[str]) -> None:
    """Assert that the README shows what was printed: the same words, and numbers that chance can explain.

    A number is followed by its error or its interval. Another machine rounds otherwise, which may turn a few
    fills; an eighth of the interval is room for that, and far less than a change of the model makes.
    """
    number = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
    assert [number.sub("#", line).split() for line in told] == [
        number.sub("#", line).split() for line in printed
    ]
    for old, new in zip(told, printed, strict=True):
        before, after = ([float(value) for value in number.findall(line)[-3:]] for line in (old, new))
        width = before[2] - before[1] if len(before) == 3 else 2.0 * before[-1]
        assert after[0] == pytest.approx(before[0], rel=1e-3, abs=width / 8.0), new


def test_numbers_that_no_longer_hold_are_noticed():
    assert_told(["PnL 1.464 [-2.621, 5.550]"], ["PnL 1.470 [-2.610, 5.560]"])
    with pytest.raises(AssertionError):
        assert_told(["PnL 1.464 [-2.621, 5.550]"], ["PnL 0.270 [-4.181, 4.721]"])
    with pytest.raises(AssertionError):
        assert_told(["PnL 1.464 [-2.621, 5.550]"], ["Sharpe 1.464 [-2.621, 5.550]"])


# Commands


def commands_in(path: Path) -> list[list[str]]:
    """Return what follows `flowhft` in the lines of a document that are to be typed."""
    lines = INDENTED.findall(prose(path)) + re.findall(r"<!-- measured: (.+?) -->", path.read_text())
    # Three spaces set off an explanation.
    typed = (shlex.split(re.split(r"\s{3,}", line)[0], comments=True) for line in lines)
    return [words[1:] for words in typed if words and Path(words[0]).name == "flowhft"]


def split_command(arguments: list[str]) -> tuple[str, list[str]]:
    for count in (2, 1):
        if (name := " ".join(arguments[:count])) in COMMANDS:
            return name, arguments[count:]
    raise AssertionError(f"`flowhft {' '.join(arguments)}` names no command")


@every_document
def test_commands_to_type_parse(path):
    for arguments in commands_in(path):
        name, rest = split_command(arguments)
        if rest[-1:] != ["..."]:  # an outline, which leaves out what is required
            kind = command_class(name)
            assert isinstance(parse(kind, rest, f"flowhft {name}"), kind)


def test_the_readme_and_the_command_line_show_commands():
    shown_names = {split_command(words)[0] for path in DOCS for words in commands_in(path)}
    assert shown_names == set(COMMANDS)


def test_a_command_that_does_not_exist_is_noticed():
    with pytest.raises(UnknownNameError):
        parse(command_class("demo"), ["--no-such-option", "1"], "flowhft demo")
    with pytest.raises(AssertionError, match="names no command"):
        split_command(["demonstrat", "--paths", "2"])


@every_document
def test_commands_in_the_text_exist(path):
    for code in INLINE.findall(prose(path)):
        if code.startswith("flowhft ") and not code.startswith(("flowhft COMMAND", "flowhft --")):
            name, rest = split_command(code.split()[1:])
            known = {f"--{option.replace('_', '-')}" for option in options(command_class(name))}
            assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known | {"--help"}, code


@every_document
def test_options_in_the_text_exist(path):
    known = {"--help", "--version"}
    for name in COMMANDS:
        for option in options(command_class(name)):
            parts = option.replace("_", "-").rpartition(".")
            known |= {
                f"--{option.replace('_', '-')}",
                f"--{parts[0]}{parts[1]}no-{parts[2]}",
                f"--{parts[0]}.",
            }
    for code in INLINE.findall(prose(path)):
        for word in code.split():
            if re.match(r"--[a-z]", word) and word not in ("--no-", "--exclude-editable"):
                assert word in known, f"{word} in {path.name}"


def test_readme_has_every_command_with_its_summary():
    rows = re.findall(r"^\| `flowhft (.+?)` \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(name, summary) for name, (_, _, summary) in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented_with_its_options_and_files(name):
    kind = command_class(name)
    text = section(ROOT / "docs" / "cli.md", f"flowhft {name}")
    rows = {option.lower().replace("-", "_").lstrip("_"): default for option, default, _ in ROW.findall(text)}
    common = {field.name for field in dataclasses.fields(Command)}
    hints = typing.get_type_hints(kind)
    own, groups = {}, set()
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            groups.add(field.name)
        elif field.name not in common:
            own[field.name] = shown(field.default)
    assert rows == own
    assert set(re.findall(r"`--(\w+)\.`", text)) == groups
    files = re.findall(r"[\w_]+\.(?:parquet|json|toml|safetensors|html)", inspect.getdoc(kind) or "")
    assert set(files) <= words(text)
    folder = (ROOT / "docs" / "run-folder.md").read_text()
    assert [file for file in files if file not in folder and not file.endswith(".safetensors")] == []


def test_common_options_are_documented():
    text = section(ROOT / "docs" / "cli.md", "What all commands share")
    rows = {
        option.removeprefix("--"): default for option, default, _ in ROW.findall(text) if option[0] == "-"
    }
    assert rows == {field.name: shown(field.default) for field in dataclasses.fields(Command)}


def options_of(kind, prefix):
    """Yield the options of a group and of those within it, with their defaults as the documents show them."""
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.default):
            yield from options_of(type(field.default), f"{prefix}.{field.name}")
        else:
            yield f"--{prefix}.{field.name.replace('_', '-')}", shown(field.default)


@pytest.mark.parametrize("group", GROUPS)
def test_group_of_settings_is_documented(group):
    text = section(ROOT / "docs" / "cli.md", f"--{group}.")
    rows = {option: default for option, default, _ in ROW.findall(text)}
    assert rows == dict(options_of(GROUPS[group], group))


def test_every_group_of_every_command_is_known_here():
    nested = {
        (field.name, typing.get_type_hints(command_class(name))[field.name])
        for name in COMMANDS
        for field in dataclasses.fields(command_class(name))
        if dataclasses.is_dataclass(typing.get_type_hints(command_class(name))[field.name])
    }
    assert nested == set(GROUPS.items())


def test_exit_codes_are_documented():
    text = section(ROOT / "docs" / "cli.md", "What all commands share")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert codes == {0, 130} | {e.exit_code for e in (FlowhftError, UsageError, DataError, BarMissedError)}


# Tables


def test_every_metric_is_documented_word_for_word():
    text = section(ROOT / "docs" / "models.md", "Metrics")
    better = {1: "more", -1: "less", 0: "neither"}
    for metric in metrics.METRICS.values():
        row = (metric.name, metric.title, metric.unit, better[metric.direction], metric.definition)
        assert f"| `{row[0]}` | {' | '.join(row[1:])} |" in text
    assert len(re.findall(r"^\| `", text, re.MULTILINE)) == len(metrics.METRICS)


def test_every_expert_is_documented():
    text = section(ROOT / "docs" / "models.md", "Experts")
    assert [row[0] for row in ROW.findall(text)] == list(experts.EXPERTS)


def test_criteria_are_documented():
    text = section(ROOT / "docs" / "models.md", "Experts")
    assert set(metrics.CRITERIA) <= words(text)
    assert f"less {metrics.RISK_WEIGHT:g} standard deviations" in " ".join(text.split())


def test_constants_are_documented_as_they_are():
    text = " ".join((ROOT / "docs" / "models.md").read_text().split())
    for phrase in (
        f"at most {MOST_CARRIED:g} of its standard deviations",
        f"more than {MOST_IN_STEP:g} market orders of a side",
        f"capped at {FURTHEST:g} / k",
        f"uniform on (0, {white_noise.REACH:g} / k)",
        f"shorter than {BLOCK_SECONDS:g} s",
        f"fewer than {LEAST_LOSSES} sessions lose",
        f"{metrics.CONFIDENCE:.0%} by default".replace("%", " %"),
        f"clipped at {REACH:g};",
    ):
        assert phrase in text, phrase


def test_every_key_of_a_scenario_is_documented_with_its_default():
    text = section(ROOT / "docs" / "models.md", "Keys of a scenario file")
    assert {key: default for key, default, _ in ROW.findall(text)} == {
        field.name: shown(field.default) for field in dataclasses.fields(Scenario) if field.init
    }


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ("glossary.md", (*Observation._fields, *Quote._fields, *Estimates._fields, *Trajectory._fields[3:])),
        ("recordings.md", EVENT.names),
        ("recordings.md", validate.SNAPSHOT_COLUMNS + validate.DEPTH_COLUMNS),
        ("recordings.md", validate.TRADES_COLUMNS + validate.BBO_COLUMNS + validate.MESSAGE_COLUMNS),
        ("recordings.md", validate.book_columns(1)),
        ("run-folder.md", [column for m in metrics.METRICS for column in ("M", "M_low", "M_high") if m]),
        ("run-folder.md", volatility.SIGNATURE_UNITS),
        ("run-folder.md", fill_curve.FILL_CURVE_UNITS),
        ("run-folder.md", hawkes_fit.RESIDUAL_UNITS),
        ("run-folder.md", [column for units in calibration.TABLES.values() for column in units]),
        ("run-folder.md", (*resemblance.POINT_UNITS, *resemblance.VERDICT_UNITS)),
    ],
)
def test_names_are_documented(document, names):
    assert set(names) <= words((ROOT / "docs" / document).read_text())


def test_columns_and_latency_of_the_replay_are_documented():
    pytest.importorskip("hftbacktest", reason="the replay needs flowhft[replay]")
    from flowhft.desk.journal import FILL_UNITS
    from flowhft.desk.replay.latency import ROUNDING_US
    from flowhft.desk.replay.markout import MARKOUT_UNITS

    assert {*FILL_UNITS, *MARKOUT_UNITS} <= words((ROOT / "docs" / "run-folder.md").read_text())
    told = " ".join((ROOT / "docs" / "models.md").read_text().split())
    assert f"rounded up to {ROUNDING_US:g} us" in told


def test_features_are_documented():
    told = section(ROOT / "docs" / "models.md", "Features")
    assert all(f"`{kind}`" in told for kind in features.KINDS)


def test_manifest_is_documented(tmp_path):
    run = runs.Run(tmp_path / "run", "info", {}, 0)
    run.begin()
    run.finish()
    text = section(ROOT / "docs" / "run-folder.md", "The manifest")
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert rows == list(runs.manifest_of(run.folder))


def test_toml_of_the_documents_is_read():
    import tomllib

    for path in DOCS:
        for body in blocks(path, "toml"):
            declared = tomllib.loads(body)
            if "recording" in declared:  # columns of a recording: `test_readers.py` reads it
                continue
            for key, value in declared.items():
                if key == "scenario":
                    assert [scenario_from_table(table, path.name) for table in value]
                else:
                    assert key in set(GROUPS) | {"paths"}


# Text


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@every_document
def test_links_lead_somewhere(path):
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        where = (path.parent / file).resolve() if file else path
        assert where.exists(), target
        if anchor:
            assert anchor in {slug(title) for _, title in HEADING.findall(prose(where))}, target


@every_document
def test_paths_in_the_text_exist(path):
    for code in INLINE.findall(prose(path)):
        if re.fullmatch(r"(tests|docs|benchmarks|examples|scripts|src)/[\w/.-]+", code):
            assert (ROOT / code).exists(), code
        elif re.fullmatch(r"[\w/]+\.py|[a-z]+/", code) and path.name == "models.md":
            assert (ROOT / "src" / "flowhft" / code).exists(), code


@every_document
def test_nothing_is_left_to_fill_in(path):
    assert not re.search(r"@@|TODO|TBD|FIXME|lorem", path.read_text())


def test_measured_blocks_hold_what_was_measured():
    count = 0
    for path in DOCS:
        text = path.read_text()
        starts = re.findall(r"^<!-- measured: (.+) -->$", text, re.MULTILINE)
        whole = re.findall(
            r"^<!-- measured: [^\n]+ -->\n```text\n[^`]+^```\n<!-- /measured -->$", text, re.MULTILINE
        )
        assert len(starts) == len(whole), path.name
        for command in starts:
            program, *rest = shlex.split(command)
            assert program == "flowhft" or (ROOT / rest[0]).exists(), command
        count += len(starts)
    assert count >= 5
