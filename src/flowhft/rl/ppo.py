"""Proximal policy optimisation: what one update of an agent does, as pure functions of arrays.

An update draws fresh episodes with the current policy, estimates the advantage of every action, and then
takes a few passes over them in minibatches, each a step of Adam on

    - mean min(rho A, clip(rho, 1 - c, 1 + c) A) + w_V mean (V - return)^2 / 2 - w_H entropy

with rho the ratio of an action's probability to that under the policy that took it, and advantages A
standardised in each minibatch. Episodes are drawn whole, so that time stands in the observation and nothing
follows the last step. What a position earns by luck is taken off the advantage of later actions.

Source: Schulman et al. (2017), "Proximal policy optimization algorithms", equation 7; the value loss is not
clipped (Andrychowicz et al. 2021 find no gain).
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from flowhft.rl.advantage import advantages, luck
from flowhft.rl.environment import Environment, Reward
from flowhft.rl.settings import PpoSettings
from flowhft.simulate.quoting.agent import Actor, forward, scaled

# What an update tells about itself, in the order of its numbers.
CURVES = (
    "episode_reward",
    "pnl",
    "divergence",
    "clipped",
    "entropy",
    "value_loss",
    "explained_variance",
    "gradient_norm",
)
ADAM_EPSILON = 1e-5  # as the reference implementations have it: small gradients stay small steps


class Critic(NamedTuple):
    """A multilayer perceptron from scaled features to the expected return, in units of the reward's scale."""

    weights: tuple[Float[Array, "in out"], ...]
    biases: tuple[Float[Array, " out"], ...]


class Learner(NamedTuple):
    """What learns.

    Attributes:
        actor, critic: its networks.
        optimiser: moments of the gradients.
    """

    actor: Actor
    critic: Critic
    optimiser: PyTree


class Units(NamedTuple):
    """Scales that are measured once, before training, and then stay.

    Attributes:
        mean, std: of the features, shape (feature,).
        reward: of rewards: the critic and the advantages count in it.
    """

    mean: Float[Array, " feature"]
    std: Float[Array, " feature"]
    reward: Float[Array, ""]


class Batch(NamedTuple):
    """Samples of episodes: arrays whose first axes are step and path, or one axis of samples.

    Attributes:
        features: scaled.
        action: taken.
        log_probability: of it, under the policy that took it.
        target: of the critic: what it expected and the advantage.
        advantage: of the action, luck taken off.
    """

    features: Array
    action: Array
    log_probability: Array
    target: Array
    advantage: Array


def _layers(
    random: np.random.Generator, sizes: Sequence[int], last_gain: float
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return orthogonal weights, of gain sqrt(2) but for the last layer, and no biases.

    By numpy: several factorisations in one jitted program can wait for each other forever on a machine of few
    cores, since each holds a thread of the pool that it waits for.
    """
    weights = []
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        gain = last_gain if index == len(sizes) - 2 else math.sqrt(2.0)
        tall = random.standard_normal((max(before, after), min(before, after)))
        orthogonal, triangle = np.linalg.qr(tall)
        orthogonal = orthogonal * np.sign(np.diag(triangle))
        weights.append(gain * (orthogonal if before >= after else orthogonal.T))
    return (
        tuple(jnp.asarray(weight, jnp.float32) for weight in weights),
        tuple(jnp.zeros(size, jnp.float32) for size in sizes[1:]),
    )


def begin(seed: int, features: int, actions: int, settings: PpoSettings) -> Learner:
    """Return a learner that knows nothing: its mean action is nearly 0 everywhere.

    Args:
        seed: of its weights.
        features: that it sees.
        actions: that it takes.
        settings: of the training.
    """
    random = np.random.default_rng(seed)
    weights, biases = _layers(random, (features, *settings.layers, actions), 0.01)
    log_std = jnp.full(actions, math.log(settings.exploration), jnp.float32)
    actor = Actor(weights, biases, log_std)
    critic = Critic(*_layers(random, (features, *settings.layers, 1), 1.0))
    return Learner(actor, critic, _optimiser(settings).init((actor, critic)))


def _optimiser(settings: PpoSettings) -> optax.GradientTransformation:
    """Adam under clipped gradients; the learning rate is the update's business."""
    return optax.chain(optax.clip_by_global_norm(settings.gradient), optax.scale_by_adam(eps=ADAM_EPSILON))


def _run(
    environment: Environment,
    actor: Actor,
    units: Units,
    noise: Float[Array, "path step action"],
    keys: PRNGKeyArray,
    first: Int[Array, ""],
) -> tuple[Array, Array, Reward]:
    """Play an episode a key: features, actions and rewards, arrays of shape (step, path, ...)."""
    deviation = jnp.exp(actor.log_std)

    def path(key: PRNGKeyArray, number: Int[Array, ""], noise: Float[Array, "step action"]) -> tuple:
        setting, start, world = environment.draw(key, number)

        def step(state: PyTree, now: tuple) -> tuple[PyTree, tuple]:
            world, noise = now
            features = environment.encode(setting, state)
            mean = forward(actor.weights, actor.biases, scaled(units.mean, units.std, features))
            action = mean + deviation * noise
            state, reward = environment.step(setting, state, action, world)
            return state, (features, action, reward)

        return jax.lax.scan(step, start, (world, noise))[1]

    return jax.vmap(path, out_axes=1)(keys, first + jnp.arange(len(keys)), noise)


def _log_probability(actor: Actor, features: Array, action: Array) -> Array:
    """Return the logarithm of the density of actions, less a constant that cancels in every ratio."""
    standard = (action - forward(actor.weights, actor.biases, features)) / jnp.exp(actor.log_std)
    return jnp.sum(-0.5 * standard**2 - actor.log_std, axis=-1)


def _value(critic: Critic, features: Array) -> Array:
    return forward(critic.weights, critic.biases, features)[..., 0]


def play(
    learner: Learner,
    environment: Environment,
    units: Units,
    key: PRNGKeyArray,
    first: Int[Array, ""],
    paths: int,
    settings: PpoSettings,
) -> tuple[Batch, Float[Array, " 2"]]:
    """Draw episodes with the current policy.

    Returns:
        Samples of shape (step, path), and mean reward and gain of an episode.
    """
    episode_key, noise_key = jax.random.split(key)
    keys = jax.random.split(episode_key, paths)
    actions = len(learner.actor.log_std)
    noise = jax.random.normal(noise_key, (paths, environment.steps, actions))
    seen, action, reward = _run(environment, learner.actor, units, noise, keys, first)
    features = scaled(units.mean, units.std, seen)
    value = _value(learner.critic, features)
    ahead = (settings.discount, settings.trace)
    advantage = advantages(reward.value / units.reward, value, *ahead)
    chance = luck(reward.position, reward.move / units.reward, *ahead)
    log_probability = _log_probability(learner.actor, features, action)
    means = jnp.stack([jnp.mean(jnp.sum(numbers, axis=0)) for numbers in reward[:2]])
    target = value + advantage
    return Batch(features, action, log_probability, target, advantage - chance), means


def evaluate_learner(
    actor: Actor, environment: Environment, units: Units, key: PRNGKeyArray, paths: int
) -> tuple[Float[Array, " path"], Float[Array, " path"]]:
    """Return reward and gain of episodes in which the actor does not explore, shape (path,)."""
    noise = jnp.zeros((paths, environment.steps, len(actor.log_std)))
    keys = jax.random.split(key, paths)
    _, _, reward = _run(environment, actor, units, noise, keys, jnp.asarray(0))
    return jnp.sum(reward.value, axis=0), jnp.sum(reward.gain, axis=0)


def measure_units(
    learner: Learner, environments: Sequence[Environment], key: PRNGKeyArray, paths: int
) -> Units:
    """Measure the scales of features and rewards on episodes of a policy that knows nothing.

    Rewards count in the root mean square of what is still to come in an episode, so that the critic begins
    among numbers of order 1. A feature that does not vary is only centred.
    """
    features, actions = learner.actor.weights[0].shape[0], len(learner.actor.log_std)
    plain = Units(jnp.zeros(features), jnp.ones(features), jnp.ones(()))
    parts = []
    for number, environment in enumerate(environments):
        noise_key, episode_key = jax.random.split(jax.random.fold_in(key, number))
        noise = jax.random.normal(noise_key, (paths, environment.steps, actions))
        keys = jax.random.split(episode_key, paths)
        seen, _, reward = _run(environment, learner.actor, plain, noise, keys, jnp.asarray(0))
        parts.append((seen.reshape(-1, features), jnp.cumsum(reward.value[::-1], axis=0).ravel()))
    every, to_come = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    mean, std = jnp.mean(every, axis=0), jnp.std(every, axis=0)
    size = jnp.sqrt(jnp.mean(to_come**2))
    varies = std > 1e-4 * (1.0 + jnp.abs(mean))
    return Units(mean, jnp.where(varies, std, 1.0), jnp.where(size > 0.0, size, 1.0))


def loss(
    networks: tuple[Actor, Critic], batch: Batch, settings: PpoSettings
) -> tuple[Float[Array, ""], Float[Array, " 4"]]:
    """Return the loss of a minibatch; beside it divergence, share clipped, entropy and the critic's loss.

    The divergence is that of the new policy from the old one, estimated by mean(rho - 1 - log rho).
    """
    actor, critic = networks
    change = _log_probability(actor, batch.features, batch.action) - batch.log_probability
    ratio = jnp.exp(change)
    advantage = (batch.advantage - jnp.mean(batch.advantage)) / (jnp.std(batch.advantage) + 1e-8)
    held = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
    gain = jnp.mean(jnp.minimum(ratio * advantage, held * advantage))
    value_loss = 0.5 * jnp.mean((_value(critic, batch.features) - batch.target) ** 2)
    entropy = jnp.sum(actor.log_std + 0.5 * math.log(2.0 * math.pi * math.e))
    clipped = jnp.mean(jnp.abs(ratio - 1.0) > settings.clip)
    numbers = jnp.stack([jnp.mean(ratio - 1.0 - change), clipped, entropy, value_loss])
    return -gain + settings.value * value_loss - settings.entropy * entropy, numbers


def update(
    learner: Learner,
    environments: Sequence[Environment],
    units: Units,
    key: PRNGKeyArray,
    number: Int[Array, ""],
    settings: PpoSettings,
) -> tuple[Learner, Float[Array, " curve"]]:
    """Learn from fresh episodes, once.

    Args:
        learner: before the update.
        environments: which share the episodes evenly.
        units: scales of features and rewards.
        key: of this update.
        number: of this update, from 0: says how far the learning rate has fallen.
        settings: of the training.

    Returns:
        The learner after it, and the numbers named in `CURVES`.
    """
    play_key, shuffle_key = jax.random.split(key)
    paths = settings.environments // len(environments)
    played = [
        play(learner, environment, units, jax.random.fold_in(play_key, n), number * paths, paths, settings)
        for n, environment in enumerate(environments)
    ]
    batch = jax.tree.map(
        lambda *parts: jnp.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts]),
        *(part for part, _ in played),
    )
    means = jnp.mean(jnp.stack([means for _, means in played]), axis=0)
    samples = len(batch.target)
    value = _value(learner.critic, batch.features)
    size = samples // settings.minibatches
    rate = settings.learning_rate * (
        1.0 - number / settings.updates if settings.decay == "linear" else jnp.ones(())
    )
    optimiser = _optimiser(settings)

    def minibatch(learner: Learner, rows: Int[Array, " sample"]) -> tuple[Learner, Array]:
        part = jax.tree.map(lambda array: array[rows], batch)
        networks = (learner.actor, learner.critic)
        gradient, numbers = jax.grad(loss, has_aux=True)(networks, part, settings)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        changes, state = optimiser.update(gradient, learner.optimiser)
        actor, critic = jax.tree.map(lambda old, change: old - rate * change, networks, changes)
        return Learner(actor, critic, state), jnp.append(numbers, norm)

    def epoch(learner: Learner, key: PRNGKeyArray) -> tuple[Learner, Array]:
        rows = jax.random.permutation(key, samples)[: size * settings.minibatches]
        return jax.lax.scan(minibatch, learner, rows.reshape(settings.minibatches, size))

    learner, numbers = jax.lax.scan(epoch, learner, jax.random.split(shuffle_key, settings.epochs))
    # The last pass says how far the update went; losses and gradients are means over all.
    last, mean = jnp.mean(numbers[-1], axis=0), jnp.mean(numbers, axis=(0, 1))
    explained = 1.0 - jnp.var(batch.target - value) / jnp.maximum(jnp.var(batch.target), 1e-12)
    return learner, jnp.stack([*means, last[0], last[1], last[2], mean[3], explained, mean[4]])
