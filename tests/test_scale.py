"""Evaluation at scale: moments, spans, checkpoints, the control variate, devices and clusters.

False alarms: seeds are fixed, so a test that passes once always passes. Bands of z standard errors would be
left by one seed in 15,000 (z = 4) or fewer.
"""

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from functools import partial

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import begin_process, contents, flowhft

from flowhft.errors import DataError, MissingExtraError, UsageError
from flowhft.learn.demonstrations.demonstrate import Course
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.learn.demonstrations.episodes import plan as lesson_plan
from flowhft.metrics import moments
from flowhft.metrics import table as metrics
from flowhft.metrics.estimators import TAIL
from flowhft.metrics.measures import DELAYED, measure
from flowhft.metrics.moments import BLOCK
from flowhft.metrics.table import METRICS
from flowhft.policies.names import find_policy
from flowhft.runs.folder import UNFINISHED
from flowhft.runs.resume import Finished
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate import spans as plan
from flowhft.simulate.checkpoint import checkpoints
from flowhft.simulate.devices import prepare
from flowhft.simulate.drive import evaluate_all, total_of
from flowhft.simulate.evaluate import evaluate_scenario
from flowhft.simulate.job import Job
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import evaluate_one, rollout
from flowhft.simulate.spans import MOST_SPANS, Span, spans_of
from flowhft.types import Observation, Quote, no_progress
from flowhft.work import cluster as clusters
from flowhft.work.task import do_here

SHORT = Scenario("short", dt=0.1, base_intensity=20.0, volatility=0.1)  # ten steps
NAMES = ("white_noise", "glft@0.05", "glft@0.5")
POLICIES = {name: partial(in_lab, find_policy(name)) for name in NAMES}


def invented(
    paths: int, seed: int = 0, names: tuple[str, ...] = ("a", "b")
) -> dict[str, dict[str, np.ndarray]]:
    """Return measures of policies that share most of their noise, with skewed PnL."""
    rng = np.random.default_rng(seed)
    measures = list(dict.fromkeys(name for metric in METRICS.values() for name in metric.measures))
    shared = {name: rng.gamma(2.0, 3.0, paths) + 10.0 for name in measures}
    shared["pnl"] -= 14.0  # some paths lose
    return {
        policy: {name: shared[name] * (1.0 + 0.1 * i) + rng.normal(0.0, 0.3, paths) for name in measures}
        for i, policy in enumerate(names)
    }


def in_blocks(measures: dict[str, dict[str, np.ndarray]], size: int) -> moments.Moments:
    paths = len(measures["a"]["pnl"])
    total = None
    for start in range(0, paths, size):
        part = {p: {m: v[start : start + size] for m, v in of.items()} for p, of in measures.items()}
        result = moments.collect(part, total.pilots if total else None)
        total = moments.merge(total, result) if total else result
    return total


# --- moments: one definition of every metric ---------------------------------------------------------------


def test_moments_of_one_block_give_what_the_paths_give():
    """Values, intervals and paired differences, metric by metric, to rounding; against either reference."""
    measures = invented(3_000)
    result = in_blocks(measures, BLOCK)
    for name in measures:
        for metric, expected in metrics.summarise(measures[name], 0.9).items():
            np.testing.assert_allclose(moments.summarise(result, name, 0.9)[metric], expected, rtol=1e-9)
    for one, other in (("a", "b"), ("b", "a")):
        expected = metrics.compare(measures[one], measures[other], 0.9)
        for metric, interval in moments.compare(result, one, other, 0.9).items():
            np.testing.assert_allclose(interval, expected[metric], rtol=1e-7, atol=1e-9, err_msg=metric)


def test_moments_of_many_blocks_give_what_the_paths_give_but_for_the_tail():
    measures = invented(30_000, seed=1)
    result, expected = moments.summarise(in_blocks(measures, 1_000), "b"), metrics.summarise(measures["b"])
    for metric in METRICS:
        if metric != "expected_shortfall":
            np.testing.assert_allclose(result[metric], expected[metric], rtol=1e-9, err_msg=metric)


def test_the_expected_shortfall_errs_by_the_square_of_the_pilots_error():
    """The quantile of the first block is off by sqrt(TAIL (1 - TAIL) / block) / density; the shortfall by

    density x that^2 / (2 TAIL) on average, always downwards: (1 - TAIL) / (2 block density). Over 40
    pilots of 500 normal paths the mean error is 0.0092 +- 0.0021 (a chi-square): within 4 of these errors.
    """
    values = np.random.default_rng(2).normal(0.0, 1.0, 200_000)
    exact = metrics.METRICS["expected_shortfall"].estimator(values)[0]
    density = np.exp(-0.5 * 1.6449**2) / np.sqrt(2 * np.pi)
    errors = []
    paths = invented(len(values), names=("a",))
    for i in range(40):
        pnl = np.roll(values, 500 * i)
        paths["a"]["pnl"] = pnl
        quantile = np.quantile(pnl[:500], TAIL, method="averaged_inverted_cdf")
        errors.append(np.mean(np.minimum(pnl - quantile, 0.0) / TAIL) + quantile - exact)
    theory = (1.0 - TAIL) / (2 * 500 * density)
    assert np.all(np.array(errors) < 1e-9)
    assert abs(-np.mean(errors) - theory) < 4 * theory * np.sqrt(2 / 40)
    result = moments.summarise(in_blocks(paths, 500), "a")["expected_shortfall"]
    assert result.value - exact == pytest.approx(errors[-1], abs=1e-9)
    assert exact - result.value < 3 * (result.high - result.low)  # not seen beside chance


def test_a_policy_does_not_differ_from_itself_and_undefined_metrics_stay_alone():
    measures = invented(500)
    measures["c"] = {**measures["a"], "expected_pnl": np.full(500, np.nan), "pnl": np.full(500, 3.0)}
    measures["d"] = measures["a"]
    result = in_blocks(measures, 100)
    assert all(tuple(interval) == (0.0, 0.0, 0.0) for interval in moments.compare(result, "d", "a").values())
    undefined = moments.summarise(result, "c")
    assert np.isnan(undefined["expected_pnl"].value)
    assert np.isnan(undefined["sharpe"].value)
    assert undefined["pnl"].value == pytest.approx(3.0)
    assert np.isfinite(list(moments.summarise(result, "a").values())).all()
    assert moments.score(result, "a", "utility", reference="d").high == 0.0


def test_moments_come_back_from_bytes_and_bytes_are_always_the_same():
    result = in_blocks(invented(700), 100)
    again = moments.from_bytes(moments.to_bytes(result))
    assert moments.to_bytes(again) == moments.to_bytes(result)
    assert moments.compare(again, "a", "b") == moments.compare(result, "a", "b")


def test_moments_of_other_metrics_are_named_and_not_merged(tmp_path):
    """A version with fewer columns left them: adding them up would add squares to means."""
    result = in_blocks(invented(50), 50)
    few = {name: sums[:, :1] for name, sums in result.sums.items()}
    content = moments.to_bytes(result._replace(sums=few))
    with pytest.raises(ValueError, match="other metrics"):
        moments.from_bytes(content)
    kept = checkpoints(tmp_path)
    kept.keep("0", result._replace(sums=few))
    with pytest.raises(DataError, match="of another version"):
        kept["0"]


# --- spans and memory ---------------------------------------------------------------------------------------


@given(paths=st.integers(1, 10**9))
def test_spans_cover_every_path_once_and_stay_few(paths):
    spans = spans_of(3, paths)
    assert 1 <= len(spans) <= MOST_SPANS
    assert [span.number for span in spans] == list(range(len(spans)))
    assert spans[0].first == 0
    for one, other in itertools.pairwise(spans):
        assert other.first == one.first + one.paths
        assert one.paths % BLOCK == 0
    assert spans[-1].first + spans[-1].paths == paths
    if paths < 10**7:
        assert sum(size for span in spans for _, size in span.blocks) == paths


@pytest.mark.slow
def test_memory_does_not_grow_with_paths(monkeypatch):
    """Three times the paths: the same state, and the same peak of numpy's memory to a tenth."""
    monkeypatch.setattr(plan, "BLOCK", 300)
    monkeypatch.setattr(plan, "MOST_SPANS", 2)
    peaks, sizes = [], []
    for blocks in (1, 3, 9):  # the first compiles
        job = Job([SHORT], POLICIES, 300 * blocks, seed=0)
        finished: dict[Span, moments.Moments] = {}
        tracemalloc.start()
        evaluate_all(job, finished)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(len(moments.to_bytes(total_of(job, finished, 0))))
        assert len(finished) <= 2
    assert sizes[0] == sizes[1] == sizes[2]
    assert peaks[2] < 1.1 * peaks[1]


# --- bits ---------------------------------------------------------------------------------------------------

DIGEST = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from test_scale import digest
print(digest(int(sys.argv[2])))
"""


def digest(chunk: int) -> str:
    """Return the hash of a judgement over more than one block, whose last one is odd."""
    plan.BLOCK, block = 300, plan.BLOCK
    try:
        result = evaluate_scenario(SHORT, POLICIES, paths=1_001, seed=0, reference=NAMES[0], chunk=chunk)
    finally:
        plan.BLOCK = block
    return hashlib.sha256(repr(result).encode()).hexdigest()


@pytest.mark.slow
def test_not_a_bit_depends_on_chunks_or_devices():
    """Three devices and odd chunks give what one device gives in one piece."""
    three = subprocess.run(
        [sys.executable, "-c", DIGEST, "3", "70"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert digest(8192) == digest(100) == three.stdout.strip()


# --- resume -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    text = '[[scenario]]\nname = "{}"\ndt = 0.1\nbase_intensity = 20.0\nvolatility = {}\n'
    (folder / "two.toml").write_text(text.format("one", 0.1) + text.format("other", 0.2))
    return folder


def command(shop, out, *more: object, paths: int = 6 * BLOCK + 7) -> tuple[object, ...]:
    policies = ("--policies", "white_noise,glft@0.05", "--paths", paths)
    return ("evaluate", "--scenarios", shop / "two.toml", *policies, "--out", out, "--json", "--quiet", *more)


@pytest.fixture(scope="module")
def whole(shop):
    """Return the folder of a run that nothing disturbed, and what it said."""
    said = flowhft(*command(shop, shop / "whole"))
    return shop / "whole", said.json


@pytest.mark.slow
def test_a_killed_evaluation_resumes_to_the_same_bytes(shop, whole, tmp_path):
    folder = tmp_path / "killed"
    process = begin_process(*command(shop, folder))
    try:
        deadline = time.monotonic() + 90.0
        while len(list(folder.glob(f"{UNFINISHED}/*/moments/*.moments"))) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = sorted(folder.glob(f"{UNFINISHED}/*/moments/*.moments"))
    assert 3 <= len(kept) < 14
    work = kept[0].parent
    (work / ".half.moments.1.part").write_bytes(b"half")  # what a kill within a write leaves

    # Another configuration is told apart from this one, by name, and nothing goes.
    changed = flowhft(*command(shop, folder, "--seed", "1"))
    assert (changed.code, changed.out) == (2, "")
    assert "`out` must not hold unfinished work of other options" in changed.err
    assert "`seed` was 0 and is 1" in changed.err
    assert sorted(work.glob("*.moments")) == kept

    # A damaged file is named, and with it only its own paths are lost.
    damaged = bytearray(kept[2].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept[2].write_bytes(damaged)
    said = flowhft(*command(shop, folder))
    assert (said.code, said.out) == (3, "")
    assert f"`{kept[2]}` must be what an interrupted run kept; it is damaged" in said.err
    assert "Delete it and run the same command again: only that part is worked out anew." in said.err
    kept[2].unlink()

    # How it is cut and on what it runs is not what it is; what is finished is not done again.
    done, write = [], Finished.__setitem__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Finished, "__setitem__", lambda self, *now: (done.append(now[0]), write(self, *now))[1])
        resumed = flowhft(*command(shop, folder, "--chunk", "5000")).json
    assert len(done) == 14 - len(kept) + 1
    assert Span(0, 2, 2 * BLOCK, BLOCK) in done
    assert contents(folder) == contents(whole[0])
    assert {**resumed, "folder": ""} == {**whole[1], "folder": ""}


def test_what_another_evaluation_finished_is_not_taken_for_this_one(tmp_path):
    finished = checkpoints(tmp_path)
    evaluate_all(Job([SHORT], POLICIES, 25, seed=0), finished)
    assert finished[Span(0, 0, 0, 25)].paths == 25
    with pytest.raises(DataError, match="must be of this evaluation; received 25 paths where it has 30"):
        evaluate_all(Job([SHORT], POLICIES, 30, seed=0), finished)


def test_json_and_table_hold_every_metric(shop, tmp_path):
    row = flowhft(*command(shop, tmp_path, paths=1_000)).json["results"][0]
    assert row["paths"] == 1_000
    for name, metric in METRICS.items():
        if metric.of in DELAYED:  # no time passes in a simulation
            assert row[name] is None
        else:
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


# --- the control variate ------------------------------------------------------------------------------------


class Momentum(eqx.Module):
    """A policy that looks at the price: it leans towards where the mid has gone."""

    sees_price: bool = eqx.field(static=True, default=True)

    def init(self) -> tuple:
        return ()

    def act(self, memory: tuple, observation: Observation, key: object) -> tuple[Quote, tuple]:
        lean = 0.5 * jnp.sign(observation.mid_price)
        return Quote(0.7 - lean, 0.7 + lean), memory


def gap(results: dict[str, np.ndarray]) -> float:
    """Return how far the mean PnL is from the mean PnL given fills, in standard errors."""
    difference = results["pnl"] - results["expected_pnl"]
    return float(np.mean(difference) / np.std(difference) * np.sqrt(len(difference)))


CELLS = ("T1.HH", "T3.HH", "T5.HH", "T6.HH")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "correct"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_pnl_given_fills_is_unbiased_and_sharper(preset, cell):
    """H = 0.5, 0.2 and 0.8, the last with drift too; in the paper's market jumps drift as well."""
    cells = {name: paper_test(preset)[name].but(risk_aversion=0.05) for name in CELLS}
    market = build(cells[cell], like=list(cells.values()))
    result = evaluate_one(market, closed_form("glft", cells[cell]), paths=3_000, seed=0, scenario=cell)
    assert abs(gap(result)) < 4.0
    assert np.var(result["expected_pnl"]) < 0.4 * np.var(result["pnl"])
    drifts = preset == "paper" or cell == "T6.HH"
    assert (abs(float(market.expected_move(market.init()))) > 1e-4) == drifts


@pytest.mark.slow
def test_a_policy_that_looks_at_the_price_has_it_only_where_the_price_has_no_memory():
    plain = Scenario("plain", dt=0.05, base_intensity=40.0, volatility=0.05, drift=0.1)
    result = evaluate_one(build(plain), Momentum(), paths=4_000, seed=0, scenario="a")
    assert abs(gap(result)) < 4.0
    trending = plain.but(hurst_exponent=0.8, drift=0.0)
    assert np.isnan(
        evaluate_one(build(trending), Momentum(), paths=16, seed=0, scenario="a")["expected_pnl"]
    ).all()
    # Negative: had it been believed not to look, its PnL given fills would miss what it earns by looking.
    assert gap(evaluate_one(build(trending), Momentum(False), paths=4_000, seed=0, scenario="a")) > 8.0


@pytest.mark.slow
def test_adverse_selection_leaves_no_pnl_given_fills():
    """Fills then tell of the coming move: inventory x expected move would miss what that costs."""
    toxic = SHORT.but(adverse_selection=0.3 * SHORT.step_deviation)
    market, policy = build(toxic), closed_form("glft", toxic, 0.05)
    assert np.isnan(evaluate_one(market, policy, paths=16, seed=0, scenario="a")["expected_pnl"]).all()
    row = evaluate_scenario(toxic, POLICIES, paths=50, seed=0, reference=NAMES[0]).results[0]
    assert np.isnan(row["expected_pnl"])
    assert np.isfinite(row["pnl"])
    beside = evaluate_one(build(SHORT, like=[SHORT, toxic]), policy, paths=16, seed=0, scenario="a")
    assert np.isfinite(beside["expected_pnl"]).all()  # judged beside a toxic market, it is not one
    path = rollout(market, policy, paths=4_000, seed=0, scenario="a")
    after = path.observation.inventory + path.fill.bid - path.fill.ask
    expected = after * float(market.expected_move(market.init()))
    believed = measure(path._replace(expected_inventory_pnl=expected))
    assert gap(believed) < -8.0


def test_a_recording_knows_no_expected_move():
    path = rollout(build(SHORT), closed_form("glft", SHORT), paths=3, seed=0, scenario="a")
    assert np.isnan(measure(path._replace(expected_inventory_pnl=None))["expected_pnl"]).all()


# --- devices ------------------------------------------------------------------------------------------------


def test_a_gpu_that_is_not_there_is_told(shop, tmp_path):
    import jax

    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("there is a GPU")
    said = flowhft(*command(shop, tmp_path, "--device", "gpu"))
    assert (said.code, said.out) == (2, "")
    assert "`device` must be one that jax finds; received gpu, and jax finds cpu only." in said.err


# --- a cluster ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executor():
    """Return two workers on this machine."""
    pytest.importorskip("ray", reason="the cluster needs flowhft[scale]")
    with clusters.cluster("local", "cpu", prepare, cores=2) as result:
        yield result


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes(executor, shop, whole, tmp_path):
    """By its address, from a process of its own: what `--ray` does."""
    address = executor.ray.get_runtime_context().gcs_address
    process = begin_process(*command(shop, tmp_path / "ray", "--ray", address))
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert {**json.loads(out), "folder": ""} == {**whole[1], "folder": ""}
    assert contents(tmp_path / "ray") == contents(whole[0])


def test_a_cluster_records_the_same_demonstrations(executor):
    lessons = [
        Episodes(SHORT.but(name=name), "glft", 0.05, chosen=True, first=0, paths=3)
        for name in ("one", "other")
    ]
    course = Course(lesson_plan(lessons, rows=30), [lesson.scenario for lesson in lessons], seed=0)
    here, there = (
        {task.span.scenario: table for task, table in who(course, course.tasks(), no_progress)}
        for who in (do_here, executor)
    )
    assert sorted(here) == [0, 1] == sorted(there)
    assert all(here[shard].equals(there[shard]) for shard in here)
    assert here[1]["path"].min() == 3


@pytest.mark.slow  # workers begin anew; that a cluster does what is done here, a faster test holds to it
def test_a_killed_worker_loses_nothing_and_counts_nothing_twice(executor, tmp_path):
    """Six tasks of half a second each; every worker is killed in the middle of one."""

    def slow(scenario):
        (tmp_path / str(os.getpid())).touch()
        time.sleep(0.5)
        return quick(scenario)

    quick, killed = POLICIES["glft@0.05"], []

    class Once(dict):
        def __setitem__(self, span, result):
            assert span not in self
            super().__setitem__(span, result)
            if len(self) == 3:
                killed.extend(int(path.name) for path in tmp_path.iterdir())
                for process in killed:
                    os.kill(process, signal.SIGKILL)

    scenarios = [SHORT.but(name=f"short {i}", volatility=0.05 + 0.01 * i) for i in range(6)]
    here, there = {}, Once()
    evaluate_all(Job(scenarios, {"glft": quick}, 30, seed=0), here)
    evaluate_all(Job(scenarios, {"glft": slow}, 30, seed=0), there, executor=executor)
    assert killed
    assert {int(path.name) for path in tmp_path.iterdir()} > set(killed)  # others went on
    assert {span: moments.to_bytes(result) for span, result in there.items()} == {
        span: moments.to_bytes(result) for span, result in here.items()
    }


def test_errors_of_a_cluster_are_told(executor, monkeypatch):
    job = Job([SHORT], {"glft": POLICIES["glft@0.05"]}, 100, seed=0)
    monkeypatch.setattr(clusters, "__version__", "99")
    with pytest.raises(UsageError, match=r"must name a cluster with flowhft 99; its workers have"):
        evaluate_all(job, {}, executor=executor)


def test_an_address_that_does_not_answer_is_told_at_once(shop, tmp_path):
    pytest.importorskip("ray", reason="the cluster needs flowhft[scale]")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"  # nobody listens
        began = time.monotonic()
        for wrong in (address, "nowhere"):
            said = flowhft(*command(shop, tmp_path / "out", "--ray", wrong))
            assert (said.code, said.out) == (3, "")
            assert f"`ray` must be an address that answers; received '{wrong}'" in said.err
        assert time.monotonic() - began < 30


def test_an_address_that_answers_but_is_no_cluster_is_told(monkeypatch):
    pytest.importorskip("ray", reason="the cluster needs flowhft[scale]")
    monkeypatch.setattr(clusters, "PATIENCE_OF_RAY", 3.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(DataError, match="must be the address of a Ray cluster"):
            clusters.cluster(address, "cpu", prepare).__enter__()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flowhft\[scale\]'"):
        clusters.cluster("auto", "cpu", prepare).__enter__()
