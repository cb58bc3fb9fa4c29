"""Demonstrations: what is recorded, what is read back and chosen, resumed, damaged, and taught by silence."""

import json
from functools import partial

import numpy as np
import polars as pl
import pytest
from program import contents, flowhft, manifest

from flowhft import features
from flowhft.cli.terminal import Terminal
from flowhft.errors import DataError, UnknownNameError, UsageError
from flowhft.learn.demonstrations import dataset_files, sensing
from flowhft.learn.demonstrations import episodes as lesson_plans
from flowhft.learn.demonstrations.card import never_filled, teachers_in
from flowhft.learn.demonstrations.dataset import lengths_of, sensed
from flowhft.learn.demonstrations.demonstrate import FURTHEST, Course, episodes_of, record
from flowhft.learn.demonstrations.episodes import Episodes, choose, plan
from flowhft.learn.select import Teacher, at_the_edge, best_of_each, select_teachers
from flowhft.learn.settings import DataSettings, TeacherSettings
from flowhft.runs.folder import UNFINISHED, read_table, write_json, write_table
from flowhft.scenarios.files import scenarios_to_toml
from flowhft.scenarios.scenario import Scenario
from flowhft.scenarios.sensor import sensor_for
from flowhft.stages.notes import note_silence
from flowhft.types import SCALARS
from flowhft.work.task import do_here

SHORT = Scenario("short", dt=0.1, base_intensity=20.0, volatility=0.1)  # ten steps
OWN = SHORT.but(name="own fills", exciter="own_fills", self_excitation=2.0, decay=5.0, exact_decay=False)
LONG = SHORT.but(name="long", dt=0.05)
TEACHERS = [Teacher(SHORT, "glft", 0.05), Teacher(OWN, "oracle", 0.05), Teacher(LONG, "glft", 0.05)]
OTHERS = [Teacher(SHORT, "white_noise", 0.05), Teacher(SHORT, "glft", 0.7)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data set of 5 sessions a lesson in shards of at most 70 rows, and its plan."""
    folder = tmp_path_factory.mktemp("data")
    course = Course(plan(episodes_of(TEACHERS, OTHERS, paths=5), rows=70), [SHORT, OWN, LONG], seed=3)
    records = [
        dataset_files.write_shard(folder / dataset_files.shard_name(task.span.scenario), table, lessons)
        for (task, table), lessons in zip(
            do_here(course, course.tasks(), lambda *_: None), course.shards, strict=True
        )
    ]
    table = dataset_files.episodes_table(course.shards, records, "pnl", 3)
    write_table(folder / dataset_files.EPISODES, table, lesson_plans.UNITS)
    (folder / dataset_files.SCENARIOS).write_text(scenarios_to_toml(course.scenarios))
    shards = [{"file": record["file"], "sha256": record["sha256"]} for record in records]
    write_json(folder / dataset_files.CARD, {"format": dataset_files.FORMAT, "version": 1, "shards": shards})
    return folder, course


def shown_in(folder, **choice):
    lessons, scenarios = dataset_files.read_episodes(folder)
    return list(dataset_files.read_shown(folder, choose(lessons, DataSettings(**choice)), scenarios))


def joined(shown, field):
    return np.concatenate([getattr(one.observation, field) for one in shown])


# --- what is recorded


@pytest.mark.parametrize(("rows", "shards"), [(70, 4), (10_000, 1), (1, 20)])
def test_every_session_is_planned_once_in_shards_that_are_small_enough(rows, shards):
    lessons = episodes_of(TEACHERS, OTHERS, paths=5)
    assert [(one.expert, one.chosen) for one in lessons] == [
        ("glft", True),
        ("white_noise", False),  # and glft is not taken twice
        ("oracle", True),
        ("glft", True),
    ]
    planned = plan(lessons, rows)
    assert len(planned) == shards
    assert all(sum(one.rows for one in shard) <= max(rows, 20) for shard in planned)
    sessions = [
        (one.scenario.name, one.expert, path)
        for shard in planned
        for one in shard
        for path in range(one.first, one.first + one.paths)
    ]
    assert sessions == [(one.scenario.name, one.expert, path) for one in lessons for path in range(5)]


def test_what_is_read_back_is_what_the_simulator_showed_to_the_last_bit(data):
    """Also where a lesson lies in two shards, and where own fills are seen."""
    folder, course = data
    for teacher in TEACHERS:
        trajectory = record(Episodes(*teacher, chosen=True, first=0, paths=5), 3, course.scenarios)
        shown = shown_in(folder, scenarios=(teacher.scenario.name,))
        assert {(one.teacher, one.risk_aversion) for one in shown} == {teacher[1:]}
        for field, values in zip(SCALARS, trajectory.observation.scalars, strict=True):
            if field.startswith("intensity"):
                assert np.isnan(joined(shown, field)).all()  # a policy sees none, and a learner neither
            else:
                np.testing.assert_array_equal(joined(shown, field), values, err_msg=field)
        for side in (0, 1):
            quotes = np.concatenate([one.quote[side] for one in shown])
            np.testing.assert_array_equal(quotes, trajectory.quote[side])
    assert len(shown_in(folder, scenarios=("long",))) > 1


def test_half_spreads_are_cut_where_nobody_is_filled():
    shy = Episodes(SHORT, "glft", 0.01, True, 0, 4)._replace(
        scenario=SHORT.but(fill_decay=1.5, volatility=2.0)
    )
    shown = record(shy._replace(risk_aversion=50.0), 0)
    assert max(np.max(side) for side in shown.quote[:2]) == np.float32(FURTHEST / 1.5)
    assert not np.any(shown.fill)


@pytest.mark.parametrize("kind", ["context", "paper"])
def test_features_are_those_of_the_simulated_observations_whatever_is_sensed_together(
    data, kind, monkeypatch
):
    """Sessions of two lengths, of which the shorter are padded; intensities are NaN, and no feature is."""
    monkeypatch.setattr(sensing, "SESSIONS", 4)  # of 10: 4, 4 and 2
    folder, course = data
    sensor = sensor_for(SHORT)
    shown = shown_in(folder)
    result = sensed(shown, sensor, kind)
    assert result.features.shape == (15, 20, len(features.NAMES[kind]))
    assert lengths_of(result).tolist() == [10] * 10 + [20] * 5
    assert result.scenarios.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    for i, teacher in enumerate(TEACHERS):
        trajectory = record(Episodes(*teacher, chosen=True, first=0, paths=5), 3, course.scenarios)
        expected = sensing.features_of(sensor, kind, trajectory)
        steps = teacher.scenario.steps
        np.testing.assert_allclose(result.features[5 * i : 5 * i + 5, :steps], expected, rtol=2e-5, atol=2e-6)
        assert np.isfinite(expected).all()
        assert not result.features[5 * i : 5 * i + 5, steps:].any()


@pytest.mark.slow
def test_every_expert_demonstrates_with_the_risk_aversion_that_was_best_for_it():
    settings = TeacherSettings(
        experts=("white_noise", "oracle"), risk_aversions=(0.05, 50.0), paths=20, fresh_paths=2
    )
    teachers, candidates, _ = select_teachers([SHORT], settings, seed=0)
    assert teachers == [Teacher(SHORT, "oracle", 0.05 * 1.5)]
    assert set(best_of_each(candidates, [SHORT])) == {*teachers, Teacher(SHORT, "white_noise", 0.05 * 1.5)}
    assert best_of_each(candidates, [LONG]) == []


def test_a_best_risk_aversion_at_the_edge_of_what_was_tried_is_counted():
    rows = [
        ("a", "glft", 0.1, True),  # lowest
        ("a", "glft", 0.3, False),
        ("b", "glft", 0.1, False),
        ("b", "glft", 0.2, True),  # between
        ("b", "glft", 0.3, False),
        ("c", "white_noise", 0.1, True),  # tried once
        ("d", "oracle", 0.1, False),
        ("d", "oracle", 0.3, True),  # highest
    ]
    table = pl.DataFrame(rows, schema=["scenario", "expert", "risk_aversion", "chosen"], orient="row")
    assert at_the_edge(table) == (1, 1)


# --- what is learned from


def test_what_to_learn_from_is_chosen_by_scenario_teacher_and_number(data):
    folder, _ = data
    lessons, _ = dataset_files.read_episodes(folder)

    def left(**choice):
        kept = (
            choose(lessons, DataSettings(**choice)).group_by("scenario", "expert").agg(pl.col("paths").sum())
        )
        return {(scenario, expert): paths for scenario, expert, paths in kept.iter_rows()}

    best = {("short", "glft"): 5, ("own fills", "oracle"): 5, ("long", "glft"): 5}
    assert left() == best
    assert left(teachers=("white_noise",)) == {("short", "white_noise"): 5}
    assert left(scenarios=("short", "long"), teachers=("glft", "white_noise"), sessions=2) == {
        ("short", "glft"): 2,
        ("short", "white_noise"): 2,
        ("long", "glft"): 2,
    }
    assert left(sessions=99) == best
    three = shown_in(folder, scenarios=("long",), sessions=4)  # over the edge of a shard
    whole = shown_in(folder, scenarios=("long",))
    np.testing.assert_array_equal(joined(three, "cash"), joined(whole, "cash")[:4])


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"scenarios": ("shrt",)}, "unknown scenario 'shrt'; did you mean 'short'? It has no lessons"),
        (
            {"teachers": ("glft_drift",)},
            "unknown teacher 'glft_drift'; did you mean 'glft'? It has no lessons",
        ),
        (
            {"teachers": ("white_noise",), "scenarios": ("long",)},
            "`teachers` must have lessons in the scenarios that are asked for; received white_noise,",
        ),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused(data, choice, says):
    with pytest.raises(UsageError) as told:
        shown_in(data[0], **choice)
    assert says in str(told.value)
    assert isinstance(told.value, UnknownNameError) == says.startswith("unknown")


def test_more_than_can_be_held_is_refused_before_it_is_read(data, monkeypatch):
    monkeypatch.setattr(dataset_files, "MOST_ROWS", 199)
    with pytest.raises(UsageError, match=r"must have at most 199 pairs .* received 200\. Choose scenarios"):
        shown_in(data[0])


def test_rows_that_are_not_where_the_table_says_are_found(data):
    lessons, scenarios = dataset_files.read_episodes(data[0])
    with pytest.raises(DataError, match=r"must hold session 1 and those after it from row 0 on"):
        list(dataset_files.read_shown(data[0], lessons.head(1).with_columns(path=pl.lit(1)), scenarios))


# --- the command


FILE = """
[[scenario]]
name = "one"
dt = 0.1
base_intensity = 20.0
volatility = 0.1
[[scenario]]
name = "two"
dt = 0.1
base_intensity = 20.0
volatility = 0.2
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a small demonstration in four shards, without where it goes."""
    (tmp_path / "two.toml").write_text(FILE)
    monkeypatch.setattr(lesson_plans, "plan", partial(plan, rows=30))
    chosen = (
        "--teachers.experts",
        "white_noise,oracle",
        "--teachers.paths",
        "20",
        "--teachers.fresh-paths",
        "2",
    )
    return (
        *("demonstrate", "--scenarios", tmp_path / "two.toml", "--paths", "3", *chosen),
        *("--teachers.risk-aversions", "0.05,50.0", "--demonstrators", "every", "--quiet", "--json"),
    )


@pytest.mark.slow
def test_an_interrupted_recording_goes_on_after_its_last_shard(command, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = flowhft(*command, "--out", whole).json
    assert (result["pairs"], result["shards"]) == (2 * 2 * 3 * 10, 4)
    do, done = Course.do, []

    def counting(course, place, task, progress):
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(task.span.scenario)
        return do(course, place, task, progress)

    monkeypatch.setattr(Course, "do", counting)
    stop = 3
    assert flowhft(*command, "--out", stopped).code == 130
    (work,) = (path for path in (stopped / UNFINISHED).iterdir() if path.is_dir())
    kept = work / dataset_files.shard_name(1)
    kept.write_bytes(kept.read_bytes()[:-1])  # this one was damaged meanwhile
    stop = 99
    assert flowhft(*command, "--out", stopped).code == 0
    assert done == [0, 1, 2, 1, 3]
    assert contents(whole) == contents(stopped)


def test_the_card_says_what_the_data_set_holds(command, tmp_path):
    folder = tmp_path / "run"
    flowhft(*command, "--out", folder)
    card = json.loads((folder / dataset_files.CARD).read_text())
    shards = pl.concat(
        [read_table(folder / shard["file"]) for shard in card["shards"]], how="vertical_relaxed"
    )
    assert card["pairs"] == shards.height == 120
    assert {row["expert"]: (row["chosen"], row["share"]) for row in card["teachers"]} == {
        "oracle": (True, 0.5),
        "white_noise": (False, 0.5),
    }
    for column in card["columns"]:
        assert column["smallest"] == shards[column["name"]].min()
        assert column["largest"] == shards[column["name"]].max()
    files = manifest(folder)["files"]
    assert all(files[shard["file"]] == shard["sha256"] for shard in card["shards"])
    lessons = read_table(folder / "lessons.parquet")
    assert (lessons["criterion"].unique().to_list(), lessons["seed"].unique().to_list()) == (["utility"], [0])
    fills = shards["filled_bid"].cast(pl.Int64).sum() + shards["filled_ask"].cast(pl.Int64).sum()
    assert lessons["fills"].sum() == fills > 0
    page = (folder / "demonstrations.md").read_text()
    assert "120 pairs of observation and quote: 12 sessions in 2 scenarios" in page
    assert card["shards"][3]["sha256"] in page
    assert "Without a fill: nobody." in page


def test_a_teacher_that_never_trades_is_told_and_if_nobody_does_it_is_refused(data, capsys):
    lessons, _ = dataset_files.read_episodes(data[0])
    shy = pl.when(pl.col("scenario") == "own fills").then(0.0).otherwise(pl.col("fills"))

    def noted(lessons):
        card = {"never_filled": never_filled(lessons), "teachers": teachers_in(lessons)}
        note_silence(card, Terminal())
        return capsys.readouterr().err.replace("\n", " ")

    assert noted(lessons) == ""
    assert noted(lessons.with_columns(fills=shy)).startswith(
        "warning: no order of oracle with risk aversion 0.05 in 'own fills' was filled in 5 sessions: only "
        "silence can be learned from them. Lower the risk aversions"
    )
    with pytest.raises(UsageError, match=r"`teachers` must trade; received glft .* in 'short', which nobody"):
        noted(lessons.with_columns(fills=0.0))
