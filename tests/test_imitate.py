"""Imitation: what it learns where the truth is known, what it must not see, and where it resumes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save
from two_experts import SENSOR, draw, trained

from flowhft import features
from flowhft.desk.compiled.freeze import freeze
from flowhft.errors import DataError, UsageError
from flowhft.flow.interpolant import Batch, noise_for
from flowhft.flow.network import network_from
from flowhft.flow.policy import as_data
from flowhft.learn.demonstrations import dataset
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.demonstrations.dataset_files import Shown
from flowhft.learn.demonstrations.demonstrate import record
from flowhft.learn.demonstrations.episodes import Episodes
from flowhft.learn.imitation.examine import Results, examination, examine, gap_between
from flowhft.learn.imitation.fidelity import random_markets, relative_differences
from flowhft.learn.imitation.fit import CURVE_UNITS, kept_row, noise_scales
from flowhft.learn.imitation.imitate import imitate
from flowhft.learn.select import Teacher
from flowhft.learn.settings import TrainingSettings
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.runs.resume import ARRAYS, Finished
from flowhft.scenarios.known import regime_of
from flowhft.scenarios.presets import paper_test, scenario_in
from flowhft.scenarios.sensor import sensor_for
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting import closed_form
from flowhft.simulate.quoting.lab import in_lab
from flowhft.simulate.rollout import rollout
from flowhft.types import SCALARS, Observation

TINY = NetworkSettings(features="paper", horizon=2, width=8, blocks=1, finest=2)


def _demonstrations(paths=10, steps=6, seed=0):
    rng = np.random.default_rng(seed)
    return Demonstrations(
        rng.normal(size=(paths, steps, 5)).astype(np.float32),
        rng.uniform(0.2, 1.0, (paths, steps, 2)).astype(np.float32),
    )


def _settings(**changes):
    # One set of settings for most tests, so that they share one compilation for each objective.
    common = {"updates": 20, "batch": 32, "warmup": 1, "held_out": 0.2, "checkpoint_every": 10}
    return TrainingSettings(**(common | changes))


def _same(policy, other):
    pairs = zip(jax.tree.leaves(policy), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# --- windows


def test_windows_are_cut_where_a_plain_loop_cuts_them():
    rng = np.random.default_rng(0)
    lengths = np.array([3, 6, 5, 1])
    demonstrations = _demonstrations(paths=4)._replace(lengths=lengths)
    sessions = dataset.to_device(demonstrations, dataset.fit(demonstrations))
    path = rng.integers(0, 4, 50)
    start = np.array([rng.integers(0, lengths[p]) for p in path])
    batch = dataset.windows(sessions, jnp.asarray(path), jnp.asarray(start), horizon=4)
    scaled_quotes, scaled_features = np.asarray(sessions.quotes), np.asarray(sessions.features)
    for i, (p, s) in enumerate(zip(path, start, strict=True)):
        assert np.array_equal(batch.features[i], scaled_features[p, s])
        for h in range(4):
            assert bool(batch.mask[i, h]) == (s + h < lengths[p])
            if batch.mask[i, h]:
                assert np.array_equal(batch.chunk[i, h], scaled_quotes[p, s + h])


def test_windows_are_drawn_from_every_step_and_from_no_padding():
    lengths = np.array([2, 5])
    demonstrations = _demonstrations(paths=2)
    demonstrations.features[:, :, 0] = np.arange(6)  # each step knows its own number
    sessions = dataset.Sessions(*(jnp.asarray(x) for x in (*demonstrations[:2], lengths)))
    batch = sessions.draw(jax.random.key(0), 4000, horizon=3)
    _, counts = np.unique(np.asarray(batch.features[:, 0]), return_counts=True)
    # Each session half of the windows: its steps share them equally. 5 standard errors.
    expected = 4000 * np.array([0.35, 0.35, 0.1, 0.1, 0.1])
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    assert bool(batch.mask[:, 0].all())


def test_the_split_keeps_sessions_whole_and_apart():
    demonstrations = _demonstrations(paths=20)
    learned, held_out = dataset.split(demonstrations, 0.1, seed=3)
    assert len(held_out.features) == 2
    rows = np.concatenate([learned.features, held_out.features])
    assert len(rows) == 20
    order = np.argsort(rows[:, 0, 0])
    assert np.array_equal(rows[order], demonstrations.features[np.argsort(demonstrations.features[:, 0, 0])])
    assert len(dataset.split(_demonstrations(paths=2), 0.9, seed=0)[0].features) == 1


# --- what training must not see


@pytest.mark.slow
def test_held_out_sessions_change_the_validation_loss_and_nothing_else():
    demonstrations, settings = _demonstrations(), _settings()
    policy, curve = imitate(demonstrations, SENSOR, TINY, settings, seed=0)
    unseen = 0
    for path in range(10):
        features, quotes = demonstrations.features.copy(), demonstrations.quotes.copy()
        features[path] += 3.0
        quotes[path] += 3.0
        other, other_curve = imitate(Demonstrations(features, quotes), SENSOR, TINY, settings, seed=0)
        if _same(policy.normaliser, other.normaliser):
            unseen += 1
            assert _same(policy, other)
            assert curve["loss"].to_list() == other_curve["loss"].to_list()
            assert curve["validation_loss"].to_list() != other_curve["validation_loss"].to_list()
    assert unseen == 2


def test_padding_changes_nothing():
    demonstrations, settings = _demonstrations(), _settings()
    lengths = np.array([6, 4, 2, 6, 5, 3, 6, 6, 1, 2])
    padded = np.arange(6) >= lengths[:, None]
    results = []
    for nothing in (0.0, 1e9, np.nan):
        features, quotes = demonstrations.features.copy(), demonstrations.quotes.copy()
        features[padded], quotes[padded] = nothing, nothing
        results.append(imitate(Demonstrations(features, quotes, lengths), SENSOR, TINY, settings, seed=0)[0])
    assert _same(results[0], results[1])
    assert _same(results[0], results[2])


# --- resuming


def saved_in(checkpoint):
    return Finished(checkpoint.parent, ARRAYS)[checkpoint.stem]


class Interrupted(Exception):
    pass


def _interrupt_at(share):
    def progress(done, now):
        if done >= share:
            raise Interrupted

    return progress


@pytest.mark.parametrize("objective", ["flow_matching", pytest.param("shortcut", marks=pytest.mark.slow)])
def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path, objective):
    demonstrations = _demonstrations()
    settings = _settings(objective=objective)
    whole, curve = imitate(demonstrations, SENSOR, TINY, settings, seed=0)
    kept, _ = imitate(demonstrations, SENSOR, TINY, settings, seed=0, folder=tmp_path / "kept")
    with pytest.raises(Interrupted):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "broken", _interrupt_at(0.5))
    told = []
    resumed, resumed_curve = imitate(
        demonstrations, SENSOR, TINY, settings, 0, tmp_path / "broken", lambda done, now: told.append(done)
    )
    assert told == [1.0]  # only the second half ran
    assert _same(whole, kept)
    assert _same(whole, resumed)
    assert resumed_curve["update"].to_list() == [10, 20]
    assert resumed_curve.drop("seconds").equals(curve.drop("seconds"))
    again, again_curve = imitate(
        demonstrations, SENSOR, TINY, settings, 0, tmp_path / "broken", _interrupt_at(0.0)
    )
    assert _same(again, resumed)
    assert again_curve.equals(resumed_curve)


def test_rows_and_checkpoints_fall_due_each_in_its_own_time(tmp_path, monkeypatch):
    monkeypatch.setattr("flowhft.learn.imitation.fit.UPDATES_PER_CALL", 8)
    demonstrations, settings = _demonstrations(), _settings()
    _, curve = imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "whole")
    assert curve["update"].to_list() == [8, 10, 16, 20]
    assert curve.columns == list(CURVE_UNITS)
    with pytest.raises(Interrupted):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "broken", _interrupt_at(0.8))
    resumed = imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "broken")[1]
    assert resumed.drop("seconds").equals(curve.drop("seconds"))
    assert resumed["seconds"].is_sorted()


def test_another_training_never_resumes_this_one(tmp_path):
    demonstrations, settings = _demonstrations(), _settings()
    imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    for other in (
        (_demonstrations(seed=1), settings, 0),
        (demonstrations, _settings(objective="shortcut"), 0),
        (demonstrations, settings, 1),
    ):
        data, changed, seed = other
        told = []
        imitate(data, SENSOR, TINY, changed, seed, tmp_path, lambda done, now, told=told: told.append(done))
        assert told == [0.5, 1.0]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_checkpoint_is_a_data_error(tmp_path):
    demonstrations, settings = _demonstrations(), _settings()
    imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    (checkpoint,) = tmp_path.iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(DataError, match="must be what an interrupted run kept; it is damaged"):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)


# --- what cannot be


def _broken(**changes):
    return _demonstrations()._replace(**changes)


@pytest.mark.parametrize(
    ("demonstrations", "message"),
    [
        (_broken(features=np.zeros((10, 6, 9), np.float32)), r"features` must have shape \(path, step, 5\)"),
        (_broken(quotes=np.zeros((10, 5, 2), np.float32)), r"quotes` must have shape \(10, 6, 2\)"),
        (_broken(quotes=np.full((10, 6, 2), np.nan, np.float32)), r"quotes` must be finite; .*\(0, 0\)"),
        (_broken(lengths=np.full(10, 7)), "lengths` must hold one number from 1 to 6"),
        (_broken(lengths=np.full(9, 6)), "lengths` must hold one number from 1 to 6"),
        (Demonstrations(*(x[:1] for x in _demonstrations()[:2])), "at least 2 sessions"),
    ],
)
def test_demonstrations_that_do_not_fit_are_refused(demonstrations, message):
    with pytest.raises(UsageError, match=message):
        imitate(demonstrations, SENSOR, TINY, _settings(), seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("updates", 0),
        ("batch", 48),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("warmup", -1),
        ("weight_decay", -1.0),
        ("clip", 0.0),
        ("ema", 1.0),
        ("held_out", 0.0),
        ("checkpoint_every", 0),
        ("examine_every", 0),
        ("examine_scenarios", -1),
        ("examine_paths", 1),
        ("patience", -1),
        ("stop_by", "loss"),
        ("quiet_share", 1.0),
    ],
)
def test_training_settings_refuse_what_cannot_be(name, value):
    with pytest.raises(UsageError, match=f"`{name}` must"):
        TrainingSettings(**{name: value})


def test_a_sampler_that_does_not_fit_is_refused_before_training():
    def progress(done, now):
        raise AssertionError("trained")

    settings = _settings(objective="shortcut")
    with pytest.raises(UsageError, match="`steps` must be a power of two up to 2"):
        imitate(_demonstrations(), SENSOR, TINY, settings, 0, None, progress, SamplerSettings(steps=3))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_keeps_the_network_before_it(tmp_path):
    demonstrations = _demonstrations()
    demonstrations.quotes[4, 3, 1] = 60.0  # an outlier that the message should find
    settings = _settings(learning_rate=1e30)
    with pytest.raises(UsageError, match=r"`loss` must stay finite; received loss .* at update ") as told:
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    (checkpoint,) = tmp_path.iterdir()
    assert f"The network before it is kept in `{checkpoint}`" in str(told.value)
    arrays = saved_in(checkpoint)
    failed = int(str(told.value).split("at update ")[1].split(",")[0])
    assert arrays["state.update"] == failed - 1
    assert all(np.isfinite(value).all() for value in arrays.values())
    # The same call fails at the same update again, from the checkpoint.
    with pytest.raises(UsageError, match=f"at update {failed},"):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)


def test_an_interrupted_save_loses_nothing(tmp_path, monkeypatch):
    demonstrations, settings = _demonstrations(), _settings()
    whole, _ = imitate(demonstrations, SENSOR, TINY, settings, 0)
    saves = []

    def full(arrays):
        saves.append(1)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        return save(arrays)

    monkeypatch.setattr("flowhft.runs.resume.save", full)
    with pytest.raises(OSError, match="No space left"):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # the checkpoint of update 10, and no half of the next one
    told = []
    resumed, _ = imitate(
        demonstrations, SENSOR, TINY, settings, 0, tmp_path, lambda done, now: told.append(done)
    )
    assert told == [1.0]
    assert _same(whole, resumed)


def test_a_checkpoint_with_other_arrays_is_a_data_error(tmp_path):
    demonstrations, settings = _demonstrations(), _settings()
    imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    (checkpoint,) = tmp_path.iterdir()
    arrays = saved_in(checkpoint)
    Finished(tmp_path, ARRAYS)[checkpoint.stem] = arrays | {"state.update": np.zeros(2)}
    with pytest.raises(DataError, match=r"must hold the checkpoint of this training; .* Delete it"):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)


# --- closed loop and stopping early

SHORT = scenario_in("correct", "short", horizon=0.1, volatility=0.02, base_intensity=50.0)
LONGER = SHORT.but(name="longer", base_intensity=80.0)
TEACHERS = [Teacher(scenario, "glft", 0.05) for scenario in (SHORT, LONGER)]


def _shown(kind, paths=20):
    shown = []
    for teacher in TEACHERS:
        trajectory = record(Episodes(*teacher, chosen=True, first=0, paths=paths), 0, like=(SHORT, LONGER))
        shown.append(Shown(*teacher, trajectory.observation, trajectory.quote))
    return shown, dataset.sensed(shown, sensor_for(SHORT), kind)


def test_a_teacher_is_at_no_distance_from_itself():
    taught = Results(np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([0.5, 1.0]))
    assert gap_between(taught, taught) == 0.0
    # In one of two scenarios one standard deviation less, and twice the deviation.
    worse = Results(np.array([0.0, 2.0]), np.array([2.0, 4.0]), np.array([0.5, 1.0]))
    assert gap_between(worse, taught) == pytest.approx(np.sqrt((1.0 + np.log(2.0) ** 2) / 6.0))


@pytest.mark.slow
def test_the_closed_loop_is_examined_when_it_is_due_and_moves_no_weight(tmp_path):
    demonstrations = _shown("paper")[1]
    sensor, settings = sensor_for(SHORT), _settings(examine_every=10, checkpoint_every=15)
    examined = examination(TEACHERS, scenarios=5, paths=16, seed=0)
    assert {teacher.scenario.name for teacher in examined.teachers} == {"short", "longer"}
    told = []
    policy, curve = imitate(
        demonstrations,
        sensor,
        TINY,
        settings,
        0,
        tmp_path,
        lambda _, now: told.append(now),
        examined=examined,
    )
    assert curve["update"].to_list() == [10, 15, 20]
    assert curve["closed_loop_pnl"].is_nan().to_list() == [False, True, False]
    assert "closed-loop PnL" in told[0]
    assert "gradient" in told[0]
    last = examine(examined, policy)
    assert tuple(curve.row(-1)[4:7]) == tuple(last)
    # The teachers' side is what they earn in the same sessions, added up here from every step.
    pnl = []
    for scenario in (SHORT, LONGER):
        market, name = build(scenario, like=[SHORT, LONGER]), f"examine/{scenario.name}"
        teacher = closed_form("glft", scenario, 0.05)
        steps = rollout(market, teacher, paths=16, seed=0, scenario=name)
        pnl.append(np.sum(steps.spread_pnl + steps.inventory_pnl - steps.fee, axis=1).mean())
    assert last.teacher_pnl == pytest.approx(np.mean(pnl), rel=1e-5)
    unexamined, _ = imitate(demonstrations, sensor, TINY, settings, 0)
    assert _same(policy, unexamined)


@pytest.mark.slow
def test_training_ends_early_and_returns_to_the_best_network(tmp_path):
    demonstrations = _demonstrations(paths=10)
    # A learning rate far too high: after the first examination it only gets worse.
    settings = _settings(updates=200, learning_rate=0.3, ema=0.0, examine_every=5, patience=2)
    policy, curve = imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path)
    judged = curve.filter(curve["update"] % 5 == 0)
    losses = judged["validation_loss"].to_list()
    best = int(np.argmin(losses))
    assert best == len(losses) - 3
    assert curve["update"][-1] < 200
    assert curve["update"][kept_row(curve, settings)] == judged["update"][best]
    # The network that came back is the one of that update: trained to there and no further, it is the same.
    until = int(judged["update"][best])
    stopped = []

    def stop(done, now):
        stopped.append(round(done * 200))
        if stopped[-1] >= until:
            raise Interrupted

    with pytest.raises(Interrupted):
        imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "again", stop)
    (checkpoint,) = (tmp_path / "again").iterdir()
    arrays = saved_in(checkpoint)
    prefix = "state.ema."
    weights = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    assert _same(policy.network, network_from(weights, TINY.finest))
    resumed, resumed_curve = imitate(demonstrations, SENSOR, TINY, settings, 0, tmp_path / "again")
    assert _same(policy, resumed)
    assert resumed_curve.drop("seconds").equals(curve.drop("seconds"))


def test_stopping_by_a_closed_loop_needs_one():
    with pytest.raises(UsageError, match="`stop_by` must be validation_loss where there is no closed loop"):
        TrainingSettings(stop_by="closed_loop", patience=1, examine_scenarios=0)
    settings = _settings(stop_by="closed_loop", patience=1)
    with pytest.raises(UsageError, match="closed_loop without an examination"):
        imitate(_demonstrations(), SENSOR, TINY, settings, seed=0)


def test_quiet_samples_begin_at_less_noise_and_the_others_at_all_of_it():
    scales = np.asarray(noise_scales(jax.random.key(0), _settings(quiet_share=0.25, batch=32 * 250)))
    full = scales == 1.0
    # 8,000 samples: standard errors of 0.005 in the share, 0.0065 in the mean of the quiet ones; 5 of each.
    assert np.mean(full) == pytest.approx(0.75, abs=0.025)
    assert np.mean(scales[~full]) == pytest.approx(0.5, abs=0.033)
    assert scales.min() >= 0.0
    assert noise_scales(jax.random.key(0), _settings(quiet_share=0.0)) is None
    chunks = jnp.zeros((4, 2, 2))
    plain = Batch(jnp.zeros((4, 1)), chunks, jnp.ones((4, 2), bool))
    scaled = plain._replace(noise_scale=jnp.array([0.0, 0.5, 1.0, 0.25]))
    noise, less = noise_for(jax.random.key(1), plain), noise_for(jax.random.key(1), scaled)
    assert np.allclose(less, noise * np.array([[0.0], [0.5], [1.0], [0.25]]))


def test_random_markets_surround_the_test_cells_and_hold_none_of_them():
    markets = random_markets(400, "paper", seed=0)
    assert {market.exciter for market in markets} == {"own_fills"}
    volatility = np.array([market.volatility for market in markets])
    assert volatility.min() < 0.02 < 0.25 < volatility.max()
    memory = np.array([market.hurst_exponent for market in markets])
    # 35 % of 400 have none: a standard error of 0.024, 4 of them.
    assert np.mean(memory == 0.5) == pytest.approx(0.35, abs=0.095)
    cells = {(cell.volatility, cell.base_intensity, cell.drift) for cell in paper_test("paper").values()}
    assert not cells & {(market.volatility, market.base_intensity, market.drift) for market in markets}


# --- told


def test_a_told_policy_is_told_the_regime_and_nothing_else():
    shown, demonstrations = _shown("told", paths=3)
    sensed = dataset.sensed(shown, sensor_for(SHORT), "context")
    numbers = len(features.REGIME)
    assert np.array_equal(demonstrations.features[..., :-numbers], sensed.features)
    for path, scenario in ((0, SHORT), (3, LONGER)):
        assert np.all(demonstrations.features[path, :, -numbers:] == regime_of(scenario))


@pytest.mark.slow
def test_what_a_policy_is_told_can_be_built_into_it():
    demonstrations = _shown("told")[1]
    network = dataclasses.replace(TINY, features="told")
    policy, _ = imitate(demonstrations, sensor_for(SHORT), network, _settings(), 0)
    with pytest.raises(UsageError, match="`policy` must be told its market"):
        policy.act(policy.init(), Observation(*np.zeros(len(SCALARS))), jax.random.key(0))
    data = as_data(policy)
    assert data.needs_scenario
    with pytest.raises(UsageError, match="`scenario` must say which market"):
        freeze(data)
    for path, scenario in ((0, SHORT), (20, LONGER)):
        knowing = in_lab(data, scenario).policy
        assert knowing.settings.features == "context"
        for step in (0, 5):
            raw = demonstrations.features[path, step]
            with_it = policy.draw(jnp.asarray(raw), jax.random.key(0))
            built_in = knowing.draw(jnp.asarray(raw[: -len(features.REGIME)]), jax.random.key(0))
            assert np.allclose(with_it, built_in, atol=1e-6)
    assert not np.allclose(
        in_lab(data, SHORT).policy.network.input.bias, in_lab(data, LONGER).policy.network.input.bias
    )


# --- what it learns


@pytest.mark.slow
def test_flow_matching_reproduces_how_often_each_expert_quotes_and_quotes_still_without_noise():
    policy, _ = trained("flow_matching")
    faithful = policy.with_sampler(SamplerSettings(steps=32, noise_scale=1.0))
    for sign, share in ((1.0, 0.8), (-1.0, 0.3)):
        drawn = draw(faithful, sign)
        # 2,000 draws have a standard error of 0.010, 1,000 sessions of each kind 0.014; the rest is training.
        assert np.mean(drawn[:, 0, 0] < 0.6) == pytest.approx(share, abs=0.08)
        near = np.minimum(np.abs(drawn - 0.3), np.abs(drawn - 0.9))
        assert np.mean(near < 0.12) > 0.9
        # One session has one teacher: a chunk that mixes both would be nobody's.
        assert np.mean((drawn[:, 0, 0] < 0.6) == (drawn[:, 1, 1] < 0.6)) > 0.95
        still = draw(policy.with_sampler(SamplerSettings(steps=32)), sign, samples=10)
        assert np.all(still == still[0])


@pytest.mark.slow
def test_one_shortcut_step_finds_both_experts_and_one_euler_step_finds_their_mean():
    shortcut, _ = trained("shortcut")
    drawn = draw(shortcut.with_sampler(SamplerSettings(steps=1, noise_scale=1.0)), 1.0)
    truth = 0.8 * 0.3 + 0.2 * 0.9, 0.6 * np.sqrt(0.8 * 0.2)
    assert np.mean(drawn) == pytest.approx(truth[0], abs=0.05)
    assert np.std(drawn[:, 0, 0]) > 0.7 * truth[1]
    # Asked as if it were plain flow matching, for a step of size 0, the same network finds the mean.
    as_flow = dataclasses.replace(
        shortcut, sampler=SamplerSettings(steps=1, noise_scale=1.0), objective="flow_matching"
    )
    collapsed = draw(as_flow, 1.0)
    assert np.mean(collapsed) == pytest.approx(truth[0], abs=0.06)
    assert np.std(collapsed[:, 0, 0]) < 0.55 * truth[1]


@pytest.mark.slow
def test_an_expert_without_noise_is_recovered():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 10, 5)).astype(np.float32)
    quotes = np.stack([0.6 + 0.2 * features[..., 0], 0.7 - 0.2 * features[..., 0]], axis=-1)
    network = NetworkSettings(features="paper", horizon=1, width=32, blocks=1, finest=2)
    settings = TrainingSettings(updates=1000, batch=256, learning_rate=3e-3, warmup=50, ema=0.99)
    policy, _ = imitate(
        Demonstrations(features, quotes.astype(np.float32)), SENSOR, network, settings, seed=0
    )
    raw = jnp.asarray(rng.normal(size=(500, 5)).clip(-2, 2), jnp.float32)
    drawn = np.asarray(jax.jit(jax.vmap(policy.draw, (0, None)))(raw, jax.random.key(0)))[:, 0]
    expected = np.stack([0.6 + 0.2 * raw[:, 0], 0.7 - 0.2 * raw[:, 0]], axis=-1)
    assert np.sqrt(np.mean((drawn - expected) ** 2)) < 0.02  # a tenth of the spread of the quotes


def test_relative_differences_have_the_spread_that_samples_of_them_have():
    random = np.random.default_rng(3)
    results = []
    for _ in range(400):
        common, own = random.standard_normal((2, 500))
        ours, theirs = 11.0 + 4.0 * common + 0.5 * own, 10.0 + 4.0 * common
        measures = [{"pnl": pnl, "max_drawdown": pnl**2} for pnl in (ours, theirs)]
        results.append(relative_differences(*measures, ("pnl", "sharpe"), confidence=0.9))
    for name, truth in (("pnl", 0.1), ("sharpe", 11.0 / 16.25**0.5 / 2.5 - 1.0)):
        covered = np.mean([one[name].low <= truth <= one[name].high for one in results])
        assert 0.84 <= covered <= 0.955, name  # 0.9 +- 4 standard errors of 0.015
