"""Distil: teach a copy of a flow policy to answer at once what the policy works out in many steps.

The policy's sampler carries a noise to a chunk of quotes. Those pairs are drawn wherever demonstrations have
been, and a network that begins as the policy's own learns the straight path between the two: from its
beginning, one step leads to the end. Where the policy quotes without noise the pairs hold no chance at all,
which is why this gets nearer in one evaluation than objectives that learn long steps from demonstrations.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float, PRNGKeyArray

from flowhft.errors import require
from flowhft.flow.checkpoint import Checkpoint
from flowhft.flow.interpolant import Batch
from flowhft.flow.network import Network
from flowhft.flow.normaliser import scale_features
from flowhft.flow.policy import FlowPolicy
from flowhft.learn.demonstrations import dataset
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.imitation.examine import Examination
from flowhft.learn.imitation.fit import VALIDATION_WINDOWS, fit
from flowhft.learn.settings import DistilSettings
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress

AT_ONCE = 8_192  # pairs of one call of the policy: one shape, one program


class Pairs(NamedTuple):
    """What a policy made of a noise: `flowhft.learn.demonstrations.dataset.Samples`.

    Attributes:
        features: scaled.
        noise: where its sampler began; None where that is 0.
        chunk: scaled half-spreads, clipped, to which its sampler led.
    """

    features: Float[Array, "pair feature"]
    noise: Float[Array, "pair chunk"] | None
    chunk: Float[Array, "pair horizon side"]

    @property
    def remedy(self) -> str:
        """What to do where a loss is not finite."""
        return "Lower the learning rate."

    def draw(self, key: PRNGKeyArray, samples: int, horizon: int) -> Batch:
        """Draw pairs uniformly, with replacement; `horizon` is that of the chunks."""
        rows = jax.random.randint(key, (samples,), 0, len(self.features))
        chunk = self.chunk[rows]
        still = jnp.zeros((samples, horizon * chunk.shape[2]), chunk.dtype)
        return Batch(
            features=self.features[rows],
            chunk=chunk,
            mask=jnp.ones((samples, horizon), bool),
            noise=still if self.noise is None else self.noise[rows],
        )

    def furthest(self, key: PRNGKeyArray, samples: int) -> str:
        """Say which pair of that batch has the chunk that is the furthest from the mean quote."""
        rows = jax.random.randint(key, (samples,), 0, len(self.features))
        deviations = jnp.max(jnp.abs(self.chunk[rows]), axis=(1, 2))
        worst = int(jnp.argmax(deviations))
        return (
            f"pair {int(rows[worst]):,} has the chunk that is the furthest from the mean quote, "
            f"{float(deviations[worst]):.1f} standard deviations"
        )


@eqx.filter_jit
def _answers(
    policy: FlowPolicy, raw_features: Float[Array, "pair feature"], keys: PRNGKeyArray
) -> tuple[Float[Array, "pair chunk"], Float[Array, "pair horizon side"]]:
    """Return the noise at which the policy begins and the chunk to which it carries it."""
    known = policy.init().chunk

    def one(raw_features: Array, key: Array) -> tuple[Array, Array]:
        noise = policy.noise(key)
        return noise, policy.carry(raw_features, noise, known)

    return jax.vmap(one)(raw_features, keys)


def draw_pairs(policy: FlowPolicy, demonstrations: Demonstrations, most: int, seed: int) -> Pairs:
    """Draw one pair of noise and chunk at every step of the demonstrations.

    Args:
        policy: whose sampler begins every chunk in the noise.
        demonstrations: whose features are those of the policy; what was quoted does not matter.
        most: pairs; of more steps that many are drawn at random.
        seed: of the steps and the noise.
    """
    within = np.arange(demonstrations.features.shape[1]) < dataset.lengths_of(demonstrations)[:, None]
    raw = demonstrations.features[within]
    if len(raw) > most:
        rows = np.random.default_rng(stream(seed, "distil", "steps")).permutation(len(raw))[:most]
        raw = raw[np.sort(rows)]
    count, keys = len(raw), jax.random.key(stream(seed, "distil", "noise"))
    still = policy.sampler.noise_scale == 0.0
    noises, chunks = [], []
    for first in range(0, count, AT_ONCE):
        rows = np.minimum(
            np.arange(first, first + AT_ONCE), count - 1
        )  # the last pair fills up the last call
        own = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(keys, jnp.asarray(rows))
        noise, chunk = _answers(policy, jnp.asarray(raw[rows], jnp.float32), own)
        chunks.append(np.asarray(chunk))
        noises += [] if still else [np.asarray(noise)]
    return Pairs(
        scale_features(policy.normaliser, jnp.asarray(raw, jnp.float32)),
        None if still else jnp.asarray(np.concatenate(noises)[:count]),
        jnp.asarray(np.concatenate(chunks)[:count]),
    )


def require_many_steps(policy: FlowPolicy) -> None:
    """Require a policy that has something to be distilled: more than one evaluation, begun in the noise.

    Args:
        policy: with its sampler.

    Raises:
        UsageError: it does not begin its chunks in the noise or asks its network once only.
    """
    require(
        policy.sampler.warm_start == 0.0,
        "warm_start",
        "be 0 for a policy that is distilled: one step leads from noise to quotes",
        policy.sampler.warm_start,
        "Write policy[warm_start=0].",
    )
    adaptive = policy.sampler.solver == "adaptive"
    require(
        adaptive or len(policy.plan.evaluations) > 1,
        "policy",
        "quote in several evaluations to be distilled into one",
        "one that does so already",
        "Write policy[steps=32].",
    )


def distil(
    policy: FlowPolicy,
    demonstrations: Demonstrations,
    settings: DistilSettings,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
    examined: Examination | None = None,
) -> tuple[FlowPolicy, pl.DataFrame]:
    """Train a policy that answers in one evaluation what another one works out in many.

    Args:
        policy: to be distilled, with its sampler: steps, solver and noise.
        demonstrations: where it is asked; of the features that it senses.
        settings: updates, batch, pairs.
        seed: of the split, the pairs and every batch.
        folder: where checkpoints go, named after pairs, settings and seed: the same call resumes, another
            begins afresh beside it. None for no checkpoints.
        progress: told the share done.
        examined: sessions in closed loop beside the policy itself (`examination` with `instead`); None for
            none.

    Returns:
        The policy of one evaluation, and the learning curve as from `flowhft.learn.imitation.fit.fit`, where
        `teacher` is the policy.

    Raises:
        UsageError: the policy does not begin its chunks in the noise or asks its network once only, the
            demonstrations are of other features, or the loss stopped being finite.
        DataError: the checkpoint is damaged.
    """
    require_many_steps(policy)
    dataset.require_demonstrations(
        demonstrations, policy.settings.feature_count, len(policy.settings.answers)
    )
    learned, held_out = dataset.split(demonstrations, settings.held_out, stream(seed, "held out"))
    training, validation = (
        draw_pairs(policy, part, most, stream(seed, "distil", name))
        for part, most, name in (
            (learned, settings.pairs, "training"),
            (held_out, min(settings.pairs, VALIDATION_WINDOWS), "validation"),
        )
    )
    sampler = replace(policy.sampler, steps=1, solver="euler")

    def policy_of(network: Network) -> FlowPolicy:
        return replace(policy, network=network, sampler=sampler, objective=settings.training.objective)

    asked = (learned.features, dataset.lengths_of(learned))
    checkpoint = Checkpoint(
        folder,
        *(policy.settings, policy.sampler, policy.sensor, policy.objective, settings, seed),
        examined and examined[:3],
        arrays=(*policy.weights().values(), *policy.normaliser, *asked),
    )
    return fit(
        policy.network,
        training,
        validation,
        policy.settings.horizon,
        settings.training,
        seed,
        policy_of,
        checkpoint,
        progress,
        examined,
    )
