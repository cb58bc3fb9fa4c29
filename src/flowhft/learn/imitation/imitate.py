"""Imitation: train a flow policy on what experts quoted."""

from pathlib import Path

import polars as pl

from flowhft import features
from flowhft.errors import require
from flowhft.features import Sensor
from flowhft.flow import objectives
from flowhft.flow.checkpoint import Checkpoint
from flowhft.flow.network import Network, init_network
from flowhft.flow.normaliser import hide
from flowhft.flow.policy import FlowPolicy, require_sampler
from flowhft.learn.demonstrations import dataset
from flowhft.learn.demonstrations.dataset import Demonstrations
from flowhft.learn.imitation.examine import Examination
from flowhft.learn.imitation.fit import fit
from flowhft.learn.settings import TrainingSettings
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.runs.folder import stream
from flowhft.types import Progress, no_progress


def imitate(
    demonstrations: Demonstrations,
    sensor: Sensor,
    network_settings: NetworkSettings,
    training_settings: TrainingSettings,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
    sampler: SamplerSettings | None = None,
    examined: Examination | None = None,
) -> tuple[FlowPolicy, pl.DataFrame]:
    """Train a flow policy on demonstrations, and return its running average.

    Whole sessions are held out for the validation loss; the normaliser never sees them. Windows are drawn on
    the device, and many updates run in one compiled loop. Update n draws from a key of (seed, n), so that a
    training resumed from a checkpoint ends bit for bit where an uninterrupted one ends (on the same machine).

    Args:
        demonstrations: what experts saw and quoted.
        sensor: the scales with which the demonstrations' features were made; saved with the policy.
        network_settings: shape of the network.
        training_settings: objective, updates, batch, how the optimiser moves, when it is examined and stops.
        seed: of the split, the initial weights and every batch.
        folder: where checkpoints go, named after data, settings and seed: the same call resumes, another
            begins afresh beside it. None for no checkpoints.
        progress: told the share done.
        sampler: how the policy draws its quotes; None for what suits the objective.
        examined: sessions in closed loop beside the teachers; None for none.

    Returns:
        The policy, and one row per 100 updates: update, loss, validation_loss (of the running average),
        gradient_norm (before clipping), closed_loop_pnl, teacher_pnl and closed_loop_gap (of the running
        average, where it was examined, else NaN), seconds (training time so far).

    Raises:
        UsageError: the demonstrations do not fit the settings, the sampler does not fit the objective, or the
            loss stopped being finite.
        DataError: the checkpoint is damaged.
    """
    settings = training_settings
    sampler = sampler or objectives.get(settings.objective).sampler
    require_sampler(sampler, network_settings, settings.objective)
    answers = network_settings.answers
    dataset.require_demonstrations(demonstrations, network_settings.feature_count, len(answers))
    by_loss = settings.stop_by == "validation_loss"
    require(
        by_loss or not settings.patience or examined is not None,
        "stop_by",
        "be validation_loss where there is no closed loop",
        "closed_loop without an examination",
    )
    learned, held_out = dataset.split(demonstrations, settings.held_out, stream(seed, "held out"))
    fitted = dataset.fit(learned, scaled=answers == features.HALF_SPREADS)
    normaliser = hide(fitted, features.NAMES[network_settings.features], settings.hidden)
    training, validation = (dataset.to_device(part, normaliser) for part in (learned, held_out))

    def policy_of(network: Network) -> FlowPolicy:
        return FlowPolicy(network, normaliser, sensor, network_settings, sampler, settings.objective)

    checkpoint = Checkpoint(
        folder,
        *(network_settings, settings, seed, examined and examined[:3]),
        arrays=(demonstrations.features, demonstrations.quotes, dataset.lengths_of(demonstrations)),
    )
    return fit(
        init_network(network_settings, stream(seed, "imitate", "network")),
        training,
        validation,
        network_settings.horizon,
        settings,
        seed,
        policy_of,
        checkpoint,
        progress,
        examined,
    )
