"""Distilling: one evaluation that answers as many did, with the noise they began at and without any."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_experts import SENSOR, draw, trained, two_experts

from flowhft.errors import UsageError
from flowhft.flow.normaliser import scale_features
from flowhft.learn.imitation.distil import distil, draw_pairs
from flowhft.learn.imitation.imitate import imitate
from flowhft.learn.settings import DistilSettings, TrainingSettings
from flowhft.policies.settings import NetworkSettings, SamplerSettings

pytestmark = pytest.mark.slow  # trainings; every command together distils once, by default

MANY = SamplerSettings(steps=16, noise_scale=1.0)
ONCE = replace(MANY, steps=1)
SETTINGS = DistilSettings(updates=3000, batch=256, learning_rate=2e-3, held_out=0.05)


@pytest.fixture(scope="module")
def policy():
    return trained("flow_matching")[0].with_sampler(MANY)


@pytest.fixture(scope="module")
def distilled(policy):
    return distil(policy, two_experts(), SETTINGS, seed=0)


def _spread(paths):
    """Demonstrations whose features differ from step to step."""
    random = np.random.default_rng(2)
    features = random.uniform(-1.0, 1.0, (paths, 4, 5)).astype(np.float32)
    return two_experts(paths)._replace(features=features)


def test_pairs_are_the_noise_and_the_chunk_that_the_policy_draws(policy):
    demonstrations, known = _spread(10), policy.init().chunk
    pairs = draw_pairs(policy, demonstrations, most=1_000, seed=3)
    assert pairs.noise.shape == (40, 4)
    assert 0.8 < float(np.std(pairs.noise)) < 1.2
    assert len(np.unique(pairs.noise)) == 160  # no key is used twice
    raw = demonstrations.features.reshape(-1, 5)
    np.testing.assert_array_equal(pairs.features, scale_features(policy.normaliser, jnp.asarray(raw)))
    for row in (0, 17, 39):
        drawn = policy.carry(raw[row], pairs.noise[row], known)
        np.testing.assert_allclose(pairs.chunk[row], drawn, atol=1e-5)
    assert np.array_equal(draw_pairs(policy, demonstrations, 1_000, seed=3).noise, pairs.noise)
    few = draw_pairs(policy, demonstrations, most=7, seed=3)
    rows = [int(np.argmin(np.abs(pairs.features - own).sum(-1))) for own in few.features]
    assert len(set(rows)) == 7
    for place, row in enumerate(rows):
        drawn = policy.carry(raw[row], few.noise[place], known)
        np.testing.assert_allclose(few.chunk[place], drawn, atol=1e-5)
    still = draw_pairs(policy.with_sampler(replace(MANY, noise_scale=0.0)), demonstrations, 1_000, 3)
    assert still.noise is None
    batch = still.draw(jax.random.key(0), 32, 2)
    assert not np.any(batch.noise)


def test_how_many_pairs_are_asked_for_at_once_changes_none(policy, monkeypatch):
    whole = draw_pairs(policy, _spread(10), most=1_000, seed=3)
    monkeypatch.setattr("flowhft.learn.imitation.distil.AT_ONCE", 16)
    parts = draw_pairs(policy, _spread(10), most=1_000, seed=3)
    np.testing.assert_array_equal(parts.noise, whole.noise)
    np.testing.assert_allclose(parts.chunk, whole.chunk, atol=1e-5)


def test_padding_is_never_asked_about(policy):
    demonstrations = two_experts(paths=6)
    features = demonstrations.features.copy()
    features[2, 3:] = np.nan
    padded = demonstrations._replace(features=features, lengths=np.array([4, 4, 3, 4, 4, 4], np.int32))
    pairs = draw_pairs(policy, padded, most=1_000, seed=0)
    assert len(pairs.features) == 23
    assert np.isfinite(pairs.chunk).all()


def test_one_evaluation_draws_what_many_did_noise_by_noise(policy, distilled):
    student, curve = distilled
    assert student.sampler == ONCE
    assert len(student.plan.evaluations) == 1
    for sign in (1.0, -1.0):
        many, once = draw(policy, sign), draw(student, sign)  # the same keys, so the same noise
        naive = draw(policy.with_sampler(ONCE), sign)
        # The experts are 0.6 ticks apart; one Euler step of the policy itself finds their mean.
        wrong = np.mean((once[:, 0, 0] < 0.6) != (many[:, 0, 0] < 0.6))
        assert wrong < 0.03
        assert np.sqrt(np.mean((once - many) ** 2)) < 0.25 * np.sqrt(np.mean((naive - many) ** 2))
    assert curve["validation_loss"][-1] < 0.5 * curve["validation_loss"][0]


@pytest.mark.parametrize(
    ("sampler", "once"),
    [
        (replace(MANY, noise="held", execute=2), replace(ONCE, noise="held", execute=2)),
        (SamplerSettings(steps=4, solver="heun"), SamplerSettings(steps=1)),
        (SamplerSettings(solver="adaptive", noise_scale=0.5), SamplerSettings(steps=1, noise_scale=0.5)),
    ],
)
def test_what_is_distilled_draws_as_before_but_in_one_step(policy, sampler, once):
    few = replace(SETTINGS, updates=20, batch=32)
    student, _ = distil(policy.with_sampler(sampler), two_experts(100), few, 0)
    assert student.sampler == once
    assert student.init().noise.size == policy.with_sampler(sampler).init().noise.size  # held, or not


def test_quotes_without_noise_come_nearer_than_one_step_of_the_same_network(policy):
    rng = np.random.default_rng(1)
    demonstrations = two_experts(400)._replace(
        features=rng.normal(size=(400, 4, 5)).astype(np.float32) * np.float32([1, 0, 0, 0, 0])
    )
    many = policy.with_sampler(SamplerSettings(steps=16))
    student, _ = distil(many, demonstrations, SETTINGS, seed=0)
    raw = jnp.asarray(rng.normal(size=(300, 5)) * [1, 0, 0, 0, 0], jnp.float32)

    def quotes(policy):
        return np.asarray(jax.jit(jax.vmap(policy.draw, (0, None)))(raw, jax.random.key(0)))

    error = np.sqrt(np.mean((quotes(student) - quotes(many)) ** 2))
    naive = np.sqrt(np.mean((quotes(many.with_sampler(SamplerSettings(steps=1))) - quotes(many)) ** 2))
    assert error < 0.2 * naive


class Interrupted(Exception):
    pass


def test_an_interrupted_distillation_resumes_to_the_same_bits_and_another_never_resumes_it(tmp_path):
    rng = np.random.default_rng(0)
    demonstrations = two_experts(20)
    network = NetworkSettings(features="paper", horizon=2, width=8, blocks=1, finest=2)
    few = TrainingSettings(updates=20, batch=32, warmup=1, held_out=0.2, checkpoint_every=10)
    policy, _ = imitate(demonstrations, SENSOR, network, few, seed=0)
    settings = DistilSettings(updates=20, batch=32, held_out=0.2, checkpoint_every=10)
    whole, curve = distil(policy, demonstrations, settings, 0)

    def interrupt(done, now):
        if done >= 0.5:
            raise Interrupted

    with pytest.raises(Interrupted):
        distil(policy, demonstrations, settings, 0, tmp_path, interrupt)
    told = []
    resumed, again = distil(
        policy, demonstrations, settings, 0, tmp_path, lambda done, now: told.append(done)
    )
    assert told == [1.0]  # only the second half ran
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(one, other)
    assert again.drop("seconds").equals(curve.drop("seconds"))
    other = replace(policy, network=jax.tree.map(lambda w: w + rng.normal(), policy.network))
    with pytest.raises(Interrupted):
        distil(other, demonstrations, settings, 0, tmp_path, interrupt)
    assert len(list(tmp_path.glob("training-*.arrays"))) == 2


def test_a_policy_that_begins_elsewhere_or_sees_something_else_is_refused(policy):
    warm = policy.with_sampler(SamplerSettings(steps=4, warm_start=0.5))
    with pytest.raises(UsageError, match="`warm_start` must be 0 for a policy that is distilled"):
        distil(warm, two_experts(10), SETTINGS, 0)
    with pytest.raises(UsageError, match=r"`policy` must quote in several evaluations .*policy\[steps=32\]"):
        distil(policy.with_sampler(ONCE), two_experts(10), SETTINGS, 0)
    other = two_experts(10)._replace(features=np.zeros((10, 4, 7), np.float32))
    with pytest.raises(UsageError, match=r"`demonstrations.features` must have shape \(path, step, 5\)"):
        distil(policy, other, SETTINGS, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("pairs", 0), ("updates", 0), ("batch", 33), ("learning_rate", 0.0), ("held_out", 1.0)],
)
def test_settings_refuse_what_cannot_be(name, value):
    with pytest.raises(UsageError, match=f"`{name}` must"):
        DistilSettings(**{name: value})
