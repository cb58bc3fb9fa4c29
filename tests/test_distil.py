"""Distilling: one evaluation that answers as many did, with the noise they began at and without any."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from two_experts import SENSOR, draw, trained, two_experts

from flowhft.errors import UsageError
from flowhft.flow.settings import NetworkSettings, SamplerSettings
from flowhft.learn.distil import distil, draw_pairs
from flowhft.learn.imitate import imitate
from flowhft.learn.settings import DistilSettings, TrainingSettings

MANY = SamplerSettings(steps=16, noise_scale=1.0)
ONCE = replace(MANY, steps=1)
SETTINGS = DistilSettings(updates=3000, batch=256, learning_rate=2e-3, held_out=0.05)


@pytest.fixture(scope="module")
def policy():
    return trained("flow_matching")[0].with_sampler(MANY)


@pytest.fixture(scope="module")
def distilled(policy):
    return distil(policy, two_experts(), SETTINGS, seed=0)


def test_pairs_are_the_noise_and_the_chunk_that_the_policy_draws(policy):
    pairs = draw_pairs(policy, two_experts(paths=10), most=1_000, seed=3)
    assert pairs.noise.shape == (40, 4)
    assert 0.8 < float(np.std(pairs.noise)) < 1.2
    known = policy.init().chunk
    raw = two_experts(paths=10).features.reshape(-1, 5)
    for row in (0, 17, 39):
        np.testing.assert_allclose(
            pairs.chunk[row], policy.carry(raw[row], pairs.noise[row], known), atol=1e-5
        )
    assert np.array_equal(draw_pairs(policy, two_experts(paths=10), 1_000, seed=3).noise, pairs.noise)
    few = draw_pairs(policy, two_experts(paths=10), most=7, seed=3)
    assert few.chunk.shape == (7, 2, 2)
    still = draw_pairs(policy.with_sampler(replace(MANY, noise_scale=0.0)), two_experts(paths=10), 1_000, 3)
    assert still.noise is None
    batch = still.draw(jax.random.key(0), 32, 2)
    assert not np.any(batch.noise)


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


def test_a_distilled_policy_is_distilled_with_its_noise_held_and_without(policy):
    settings = replace(SETTINGS, updates=20, batch=32)
    held = policy.with_sampler(replace(MANY, noise="held", execute=2))
    assert distil(held, two_experts(100), settings, 0)[0].sampler == replace(ONCE, noise="held", execute=2)
    heun = policy.with_sampler(SamplerSettings(steps=4, solver="heun"))
    assert distil(heun, two_experts(100), settings, 0)[0].sampler == SamplerSettings(steps=1)


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
    assert len(list(tmp_path.glob("training-*.safetensors"))) == 2


def test_a_policy_that_begins_elsewhere_or_sees_something_else_is_refused(policy):
    warm = policy.with_sampler(SamplerSettings(steps=4, warm_start=0.5))
    with pytest.raises(UsageError, match="`warm_start` must be 0 for a policy that is distilled"):
        distil(warm, two_experts(10), SETTINGS, 0)
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
