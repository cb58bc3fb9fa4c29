"""What flow policies learn: the linear-Gaussian case in closed form, and two experts told apart.

The linear-Gaussian case: chunk ~ N(A f + b, s^2) in every component, f the feature. Noise and quotes are then
jointly normal, and the velocity, the flow map, the mean and the second look are known exactly. An objective
is right where its loss is stationary at that truth, and is seen to be wrong elsewhere.
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowhft.errors import UsageError
from flowhft.flow import objectives
from flowhft.flow.interpolant import Batch, share_out, target_error, together
from flowhft.flow.network import embedding
from flowhft.flow.objectives import flow_map, flow_matching, shortcut
from flowhft.policies.plan import euler, heun, long_steps
from flowhft.policies.plans import plan_of, require_sampler
from flowhft.policies.settings import NetworkSettings, SamplerSettings

DEVIATION = 0.5  # s
SLOPES, OFFSETS = jnp.array([1.0, -0.5, 0.3, 0.8]), jnp.array([0.2, 0.0, -0.4, 0.1])  # A, b
FINEST = 4


def _variance(t):
    return (1.0 - t) ** 2 + t**2 * DEVIATION**2


def _velocity(t, x, mean):
    slope = (t * DEVIATION**2 - (1.0 - t)) / _variance(t)
    return mean + slope * (x - t * mean)


def _jump(t, d, x, mean):
    """The mean velocity of the exact flow over a step of d."""
    r = t + d
    landed = r * mean + (x - t * mean) * jnp.sqrt(_variance(r) / _variance(t))
    return jnp.where(d > 0.0, (landed - x) / jnp.where(d > 0.0, d, 1.0), _velocity(t, x, mean))


def _euler_steps(t, d, x, mean):
    """The mean velocity over d of Euler's method in steps of 1 / FINEST: the most that a shortcut learns."""

    def step(point, index):
        inside = index < d * FINEST - 0.5
        return point + jnp.where(inside, _velocity(t + index / FINEST, point, mean) / FINEST, 0.0), None

    return (jax.lax.scan(step, x, jnp.arange(FINEST))[0] - x) / d


def _answer(t, d, x, mean):
    """The mean of the chunk given what a control sees: nothing at flow time 0, x elsewhere."""
    return jnp.where(t > 0.0, x + (1.0 - t) * _velocity(t, x, mean), mean)


class Field(eqx.Module):
    """A known function of flow time, step size, x and the mean, plus a small multiple of other functions."""

    wrong: jax.Array
    truth: callable = eqx.field(static=True)
    finest: int = eqx.field(static=True, default=FINEST)

    def condition(self, flow_time, step_size):
        return flow_time, step_size

    def velocity(self, condition, x, features):
        t, d = condition
        mean = SLOPES * features[0] + OFFSETS
        return self.truth(t, d, x, mean) + self.wrong @ jnp.stack([jnp.ones_like(x), x, t * x, d * x, mean])


def _field(truth, wrong=(0.0, 0.0, 0.0, 0.0, 0.0)):
    return Field(jnp.asarray(wrong), truth)


TRUTHS = {
    "flow_matching": _jump,
    "shortcut": _euler_steps,
    "flow_map": _jump,
    "rectified": _jump,
    "regression": _answer,
    "minimal_iterative": _answer,
}


def _gaussian_batch(key, samples):
    key_feature, key_chunk = jax.random.split(key)
    feature = jax.random.normal(key_feature, (samples, 1))
    chunk = SLOPES * feature + OFFSETS + DEVIATION * jax.random.normal(key_chunk, (samples, 4))
    return Batch(feature, chunk.reshape(samples, 2, 2), jnp.ones((samples, 2), bool))


@partial(jax.jit, static_argnames=("loss", "truth"))
def _gradients(loss, truth, wrong):
    """Return the gradient of the loss along each wrong direction, for 32 batches."""

    def gradient(key):
        key_batch, key_loss = jax.random.split(key)
        batch = _gaussian_batch(key_batch, 4096)

        def value(wrong):
            field = Field(wrong, truth)
            return loss(field, jax.lax.stop_gradient(field), key_loss, batch)

        return jax.grad(value)(wrong)

    return jax.lax.map(gradient, jax.random.split(jax.random.key(0), 32))


def _score(loss, truth, wrong):
    """Return the largest mean gradient in standard errors; a direction that is not seen scores 0."""
    gradients = np.asarray(_gradients(loss, truth, jnp.array(wrong)))
    error = gradients.std(0) / np.sqrt(len(gradients))
    return np.max(np.abs(gradients.mean(0)) / np.maximum(error, 1e-9))


@pytest.mark.slow
@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_every_loss_is_stationary_at_the_truth_and_nowhere_near_it(name):
    loss = objectives.get(name).loss
    # 5 directions x 6 objectives: |z| < 5 fails by chance once in 60,000 seeds (normal; 32 replicas).
    assert _score(loss, TRUTHS[name], [0.0, 0.0, 0.0, 0.0, 0.0]) < 5.0
    assert _score(loss, TRUTHS[name], [0.1, 0.0, 0.1, 0.0, 0.0]) > 30.0


def test_flow_matching_loss_is_the_conditional_variance_at_its_minimum():
    # Var(chunk - noise | x_t) = s^2 / ((1 - t)^2 + t^2 s^2) per component: integrate over t by quadrature.
    t = (np.arange(10_000) + 0.5) / 10_000
    expected = np.mean(DEVIATION**2 / _variance(t))
    field = _field(_jump)

    @jax.jit
    def losses_of(keys):
        return jax.lax.map(
            lambda key: flow_matching.loss(field, field, key[0], _gaussian_batch(key[1], 8192)), keys
        )

    losses = np.asarray(losses_of(jax.random.split(jax.random.key(0), (20, 2))))
    assert np.mean(losses) == pytest.approx(expected, abs=4.5 * np.std(losses) / np.sqrt(20))


def _straight(t, d, x, mean):
    """The velocity of the straight paths from a noise z to where the exact flow carries it, mean + s z."""
    noise = (x - t * mean) / ((1.0 - t) + t * DEVIATION)
    return mean + (DEVIATION - 1.0) * noise


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_pairs_of_noise_and_chunk_leave_a_straight_flow_no_error(scale):
    key_feature, key_noise = jax.random.split(jax.random.key(1))
    feature = jax.random.normal(key_feature, (256, 1))
    noise = scale * jax.random.normal(key_noise, (256, 4))
    carried = SLOPES * feature + OFFSETS + DEVIATION * noise  # by the exact flow
    batch = Batch(feature, carried.reshape(256, 2, 2), jnp.ones((256, 2), bool), noise=noise)
    loss = objectives.get("rectified").loss
    field = _field(_straight)
    assert loss(field, field, jax.random.key(0), batch) < 1e-10
    if scale:  # the flow that made the pairs is curved, but for the mean's own path
        assert loss(_field(_jump), field, jax.random.key(0), batch) > 1e-3
    assert loss(field, field, jax.random.key(0), batch._replace(noise=None)) > 0.1
    # One step of the straight flow ends where the whole of the curved one does.
    at_once = objectives.get("rectified").carry(field, noise[0], feature[0], SamplerSettings(steps=1))
    assert np.asarray(at_once) == pytest.approx(np.asarray(carried[0]), abs=1e-5)


# --- self-consistency: what ties long steps to short ones


def _printed_bootstrap(network, ema, key, batch):
    """The bootstrap as the FlowHFT paper prints it (Algorithm 3): the student is asked at d / 2."""
    lesson = shortcut.bootstrap_targets(ema, key, batch)
    return target_error(network, lesson._replace(step_size=0.5 * lesson.step_size))


def _bootstrap(network, ema, key, batch):
    return target_error(network, shortcut.bootstrap_targets(ema, key, batch))


def _misread(t, d, x, mean):
    """Jumps as long as half of what is asked for."""
    return _jump(t, 0.5 * d, x, mean)


@partial(jax.jit, static_argnames=("loss", "truth"))
def _at(loss, truth, student, teacher):
    """Return a loss on one batch, and its gradient in what is wrong of the student and of the teacher."""
    batch, key = _gaussian_batch(jax.random.key(1), 1024), jax.random.key(2)

    def value(student, teacher):
        return loss(Field(student, truth), Field(teacher, _jump), key, batch)

    return jax.value_and_grad(value, argnums=(0, 1))(student, teacher)


@pytest.mark.parametrize("loss", [_bootstrap, flow_map.distillation])
def test_exact_jumps_are_consistent_and_a_teacher_is_not_taught(loss):
    right, off = jnp.zeros(5), jnp.array([0.1, 0.0, 0.0, 0.0, 0.0])
    least, (by_student, by_teacher) = _at(loss, _jump, right, right)
    assert least < 1e-8
    assert jnp.abs(by_student).max() < 1e-3
    assert jnp.all(by_teacher == 0.0)
    more, (by_student, _) = _at(loss, _jump, off, right)
    assert more > 1e-3
    assert jnp.abs(by_student).max() > 0.1
    misled, (_, by_teacher) = _at(loss, _jump, right, off)
    assert misled > 1e-3
    assert jnp.all(by_teacher == 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "truth"),
    [(_printed_bootstrap, _jump), (_bootstrap, _misread), (flow_map.distillation, _misread)],
)
def test_jumps_of_another_length_are_inconsistent_and_so_is_the_bootstrap_as_printed(loss, truth):
    assert _at(loss, truth, jnp.zeros(5), jnp.zeros(5))[0] > 1e-2


class Recorder(NamedTuple):
    """A field that is 0 everywhere and notes at which flow times and step sizes it is asked."""

    asked: list
    finest: int = FINEST

    def condition(self, flow_time, step_size):
        jax.debug.callback(lambda *asked: self.asked.append(tuple(map(float, asked))), flow_time, step_size)
        return ()

    def velocity(self, condition, x, features):
        return jnp.zeros_like(x)


def _asked(loss, samples=128):
    student, teacher = Recorder([]), Recorder([])
    jax.jit(lambda: loss(student, teacher, jax.random.key(5), _gaussian_batch(jax.random.key(6), samples)))()
    jax.effects_barrier()
    return sorted(student.asked), sorted(teacher.asked)


def test_a_shortcut_starts_on_its_own_grid_and_its_teacher_takes_two_half_steps_of_it():
    student, teacher = _asked(_bootstrap)
    assert len(student) == 128 // 8
    assert {d for _, d in student} == {1.0, 0.5}
    assert all((t / d).is_integer() and t + d <= 1.0 for t, d in student)
    assert teacher == sorted((t + half, d / 2) for t, d in student for half in (0.0, d / 2))


def test_a_jump_stays_inside_and_its_teacher_waits_where_it_lands():
    student, teacher = _asked(flow_map.distillation)
    assert len(student) == 128 // 8
    assert all(0.0 <= t <= t + d <= 1.0 for t, d in student)
    assert max(d for _, d in student) > 0.5
    assert np.allclose(teacher, sorted((t + d, 0.0) for t, d in student), atol=1e-6)


def test_flow_matching_asks_for_the_velocity_at_stratified_times():
    student, _ = _asked(flow_matching.loss, samples=128)
    assert {d for _, d in student} == {0.0}
    # One in each of 16 equal strata of (0, 1).
    assert np.array_equal(np.floor(16 * np.array(student)[:, 0]), np.arange(16))


def test_half_of_a_rectified_batch_asks_where_one_evaluation_does():
    student, _ = _asked(objectives.get("rectified").loss)
    assert {d for _, d in student} == {0.0}
    times = np.array(student)[:, 0]
    assert np.array_equal(np.floor(8 * times), [0.0] * 8 + list(range(8)))
    assert np.count_nonzero(times) == 8


# --- samplers


def _carried(name, truth, **sampler):
    """Return what a sampler makes of noise, and what the exact flow makes of it: mean + s x noise."""
    feature, noise = jnp.array([0.7]), jax.random.normal(jax.random.key(10), (4,))
    mean = SLOPES * feature + OFFSETS
    settings = SamplerSettings(**sampler)
    begin = settings.warm_start
    start = begin * mean + noise * jnp.sqrt(_variance(begin))  # where the exact flow is at `begin`
    drawn = jax.jit(lambda: objectives.get(name).carry(_field(truth), start, feature, settings))()
    return np.asarray(drawn), np.asarray(mean + DEVIATION * noise)


def _error(**sampler):
    drawn, exact = _carried("flow_matching", _jump, **sampler)
    return np.abs(drawn - exact).max()


@pytest.mark.slow
def test_euler_is_of_first_order_heun_of_second_and_adaptive_as_exact_as_asked():
    for solver, order, begin in (("euler", 1, 0.0), ("heun", 2, 0.4)):
        coarse, fine = (_error(solver=solver, steps=steps, warm_start=begin) for steps in (16, 32))
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.3)
    assert _error(solver="adaptive", tolerance=1e-5, warm_start=0.4) < 1e-5 < fine


@pytest.mark.parametrize(
    ("name", "steps", "begin"),
    [
        *(("flow_map", steps, 0.0) for steps in (1, 3, 10)),
        ("flow_map", 3, 0.37),
        ("shortcut", 1, 0.0),
        ("shortcut", 4, 0.0),
        ("shortcut", 3, 0.25),
    ],
)
def test_exact_jumps_arrive_in_any_number_of_steps_from_anywhere(name, steps, begin):
    drawn, exact = _carried(name, _jump, steps=steps, warm_start=begin)
    assert np.allclose(drawn, exact, atol=2e-5)


def test_controls_answer_with_the_mean_whatever_the_noise():
    mean = np.asarray(SLOPES * 0.7 + OFFSETS)
    assert np.allclose(_carried("regression", _answer, steps=1)[0], mean, atol=1e-6)
    # The second look sees 0.9 mean + 0.1 noise, and trusts it as the posterior does.
    drawn, exact = _carried("minimal_iterative", _answer, steps=2)
    noise = (exact - mean) / DEVIATION
    trust = 0.9 * DEVIATION**2 / _variance(0.9)
    assert np.allclose(drawn, mean + trust * 0.1 * noise, atol=1e-5)


@pytest.mark.parametrize("plan", [euler(3), heun(2), long_steps(5), long_steps(3, 0.4), euler(2, 0.9)])
def test_plans_stay_inside_the_flow_and_add_up_to_it(plan):
    for asked in plan.evaluations:
        assert 0.0 <= asked.flow_time <= asked.flow_time + asked.step_size <= 1.0 + 1e-12
    assert all(asked.keep == 1.0 for asked in plan.evaluations)
    assert sum(asked.share for asked in plan.evaluations) == pytest.approx(1.0 - plan.begin)


@pytest.mark.parametrize(
    ("name", "sampler", "message"),
    [
        ("shortcut", {"steps": 3}, "`steps` must be a power of two up to 4.* received 3"),
        ("shortcut", {"steps": 8}, "`steps` must be a power of two up to 4"),
        ("shortcut", {"steps": 4, "solver": "heun"}, "`solver` must be euler for a shortcut"),
        ("shortcut", {"steps": 2, "warm_start": 0.25}, "`warm_start` must .* received 0.25 with 2 steps"),
        ("shortcut", {"steps": 1, "solver": "adaptive"}, "`solver` must be euler for a shortcut"),
        ("flow_map", {"steps": 3, "solver": "heun"}, "`solver` must be euler for a flow_map"),
        ("regression", {"steps": 2}, "`steps` must be 1 for a regression"),
        ("regression", {"steps": 1, "noise_scale": 1.0}, "`noise_scale` must be 0.0 for a regression"),
        ("regression", {"steps": 1, "warm_start": 0.5}, "`warm_start` must be 0.0 for a regression"),
        ("minimal_iterative", {"steps": 1}, "`steps` must be 2 for a minimal_iterative"),
        ("minimal_iterative", {"steps": 2, "solver": "heun"}, "`solver` must be euler"),
    ],
)
def test_samplers_that_were_not_learned_are_refused(name, sampler, message):
    with pytest.raises(UsageError, match=message):
        require_sampler(SamplerSettings(**sampler), NetworkSettings(finest=FINEST), name)


def test_an_adaptive_sampler_has_no_plan_and_says_so():
    sampler = SamplerSettings(solver="adaptive")
    require_sampler(sampler, NetworkSettings(finest=FINEST), "flow_matching")
    with pytest.raises(UsageError, match=r"`solver` must be one of euler, heun .* before freezing"):
        plan_of("flow_matching", sampler, FINEST)


# --- two experts: 70 % quote +1, 30 % quote -1, or the reverse where the feature is -1

NEAR = 0.2  # standard deviation of the quotes of one expert
MOST = 0.7


def _experts_batch(key, samples):
    keys = jax.random.split(key, 3)
    feature = jnp.where(jax.random.bernoulli(keys[0], 0.5, (samples, 1)), 1.0, -1.0)
    expert = feature * jnp.where(jax.random.bernoulli(keys[1], MOST, (samples, 1)), 1.0, -1.0)
    chunk = expert[:, :, None] + NEAR * jax.random.normal(keys[2], (samples, 1, 2))
    return Batch(feature, chunk, jnp.ones((samples, 1), bool))


class Small(eqx.Module):
    """A network that compiles fast: two layers on the embedding of flow time and step size that all share."""

    inner: jax.Array
    outer: jax.Array
    answer: jax.Array
    finest: int = eqx.field(static=True, default=8)

    def condition(self, flow_time, step_size):
        return embedding(flow_time, step_size)

    def velocity(self, condition, x, features):
        seen = jnp.concatenate([x, features, condition, jnp.ones(1)])
        return self.answer @ jnp.tanh(self.outer @ jnp.tanh(self.inner @ seen))


def _printed(network, ema, key, batch):
    """The shortcut as printed, a quarter of the batch in its bootstrap as in the corrected one."""
    key_bootstrap, key_flow = jax.random.split(key)
    quarter, rest = share_out(batch, len(batch.features) // 4)
    lesson = shortcut.bootstrap_targets(ema, key_bootstrap, quarter)
    lesson = lesson._replace(step_size=0.5 * lesson.step_size)
    return target_error(
        network, together(lesson, flow_matching.targets_at(key_flow, rest, 1.0 / network.finest))
    )


LOSSES = {name: objectives.get(name).loss for name in ("shortcut", "flow_map", "regression")}
UPDATES = 2000


@pytest.fixture(scope="module")
def learned():
    """Networks by objective, all trained in one program."""
    random = np.random.default_rng(0)
    shapes = ((64, 2 + 1 + 16 + 1), (64, 64), (2, 64))
    begin = Small(*(jnp.asarray(random.normal(size=s) / np.sqrt(s[1]), jnp.float32) for s in shapes))
    losses = LOSSES | {"printed": _printed}
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, UPDATES))

    def update(carried, index):
        networks, averages, state = carried
        key_batch, key_loss = jax.random.split(jax.random.fold_in(jax.random.key(0), index))
        batch = _experts_batch(key_batch, 256)

        def total(networks):  # every network has a loss of its own
            return sum(loss(networks[name], averages[name], key_loss, batch) for name, loss in losses.items())

        changes, state = optimiser.update(jax.grad(total)(networks), state)
        networks = optax.apply_updates(networks, changes)
        keep = jnp.minimum(0.99, (1.0 + index) / (10.0 + index))
        averages = jax.tree.map(lambda past, new: keep * past + (1.0 - keep) * new, averages, networks)
        return (networks, averages, state), None

    networks = dict.fromkeys(losses, begin)
    carried = (networks, networks, optimiser.init(networks))
    return jax.jit(lambda: jax.lax.scan(update, carried, jnp.arange(UPDATES))[0][1])()


SAMPLES = 1000


def _drawn(name, network, **sampler):
    """Return draws where the feature is 1."""
    noise = jax.random.normal(jax.random.key(3), (SAMPLES, 2))
    settings = SamplerSettings(**sampler)

    def carry(noise):
        return objectives.get(name).carry(network, noise, jnp.ones(1), settings)

    return np.asarray(jax.jit(jax.vmap(carry))(noise))


def _energy_distance(drawn):
    """Return the energy distance between draws and as many demonstrated chunks."""
    random = np.random.default_rng(0)
    expert = np.where(random.random((SAMPLES, 1)) < MOST, 1.0, -1.0)
    real = expert + NEAR * random.normal(size=(SAMPLES, 2))

    def apart(a, b):
        return np.hypot(*(a[:, None, side] - b[None, :, side] for side in (0, 1))).mean()

    return 2.0 * apart(drawn, real) - apart(drawn, drawn) - apart(real, real)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "objective", "steps"),
    [
        ("shortcut", "shortcut", 1),
        ("flow_map", "flow_map", 1),
        ("flow_map", "flow_map", 3),
        ("flow_map", "flow_matching", 32),  # the flow inside the flow map, which is what flow matching learns
    ],
)
def test_draws_keep_the_experts_apart_and_in_proportion(learned, name, objective, steps):
    drawn = _drawn(objective, learned[name], steps=steps, noise_scale=1.0)
    # A share of 1,000 draws has a standard error of 0.015; what was learned in seconds adds to it.
    assert np.mean(drawn.mean(1) > 0.0) == pytest.approx(MOST, abs=0.07)
    assert np.mean(np.abs(drawn.mean(1)) < 0.5) < 0.2
    assert _energy_distance(drawn) < 0.04


@pytest.mark.slow
def test_one_step_that_was_not_learned_misses(learned):
    """One step of Euler's method, and one that the bootstrap as printed ties to nothing."""
    for name, objective in (("flow_map", "flow_matching"), ("printed", "shortcut")):
        drawn = _drawn(objective, learned[name], steps=1, noise_scale=1.0)
        assert _energy_distance(drawn) > 0.3


def test_regression_quotes_what_no_expert_does(learned):
    drawn = _drawn("regression", learned["regression"], steps=1)
    assert np.allclose(drawn, 2.0 * MOST - 1.0, atol=0.1)  # half-way between the experts, weighed
    assert _energy_distance(drawn) > 0.3
