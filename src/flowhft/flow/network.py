"""The velocity network: a residual multilayer perceptron, its layers modulated by flow time and step size.

Features enter once, at the input; flow time and step size act only through `condition`. So a condition is
shared by every path that is asked for the same, and folds into constants when a policy is frozen.
"""

from typing import NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from flowhft.policies import flow as flows
from flowhft.policies.settings import NetworkSettings

# Periods of the features of flow time and step size. Smooth ones: a method that differentiates in them stays
# tame. The longest ones tell 0 from 1.
PERIODS = (0.5, 1.0, 2.0, 4.0)
LAYER_NORM_EPSILON = 1e-6


class VelocityField(Protocol):
    """What objectives and samplers ask of a network, for one chunk of one path."""

    @property
    def finest(self) -> int:
        """Most steps of a shortcut sampler."""

    def condition(self, flow_time: Float[Array, ""], step_size: Float[Array, ""]) -> PyTree:
        """Return everything that depends on flow time and step size alone."""

    def velocity(
        self, condition: PyTree, x: Float[Array, " chunk"], features: Float[Array, " feature"]
    ) -> Float[Array, " chunk"]:
        """Return the velocity at `x`."""


class Condition(NamedTuple):
    """Shifts, scales and gates of every layer at one flow time and step size.

    Attributes:
        block: (block, 3 width): shift, scale and gate of every block.
        output: (2 width,): shift and scale of the last layer.
    """

    block: Float[Array, "block three_widths"]
    output: Float[Array, " two_widths"]


class Embed(eqx.Module):
    """Flow time and step size to a conditioning vector."""

    weight_1: Float[Array, "width embedding"]
    bias_1: Float[Array, " width"]
    weight_2: Float[Array, "width width"]
    bias_2: Float[Array, " width"]


class Input(eqx.Module):
    """Chunk and features to the residual stream."""

    weight_x: Float[Array, "width chunk"]
    weight_features: Float[Array, "width feature"]
    bias: Float[Array, " width"]


class Block(eqx.Module):
    """All residual blocks, stacked along the first axis."""

    modulation_weight: Float[Array, "block three_widths width"]
    modulation_bias: Float[Array, "block three_widths"]
    weight_1: Float[Array, "block width width"]
    bias_1: Float[Array, "block width"]
    weight_2: Float[Array, "block width width"]
    bias_2: Float[Array, "block width"]


class Output(eqx.Module):
    """The residual stream to a velocity."""

    modulation_weight: Float[Array, "two_widths width"]
    modulation_bias: Float[Array, " two_widths"]
    weight: Float[Array, "chunk width"]
    bias: Float[Array, " chunk"]


def embedding(flow_time: Float[Array, ""], step_size: Float[Array, ""]) -> Float[Array, " embedding"]:
    """Return sin(2 pi t / p) and cos(2 pi t / p) for each period p, in pairs; then those of the step size."""
    asked = jnp.stack([jnp.asarray(flow_time, jnp.float32), jnp.asarray(step_size, jnp.float32)])
    angle = 2.0 * jnp.pi * asked[:, None] / jnp.asarray(PERIODS, jnp.float32)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).ravel()


def layer_norm(x: Float[Array, " width"]) -> Float[Array, " width"]:
    """Return x with mean 0 and variance 1 over its units, without learned scale."""
    centred = x - jnp.mean(x)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2) + LAYER_NORM_EPSILON)


class Network(eqx.Module):
    """Velocity of a chunk of quotes, averaged over the step from a flow time on, given features.

    A step size of 0 asks for the velocity itself. With e the embedding of flow time and step size, and c the
    conditioning vector:

        c = silu(W2 silu(W1 e + b1) + b2)
        h = Wx x + Wf features + b
        h <- h + gate (V2 silu(V1 u + a1) + a2),  u = layer_norm(h) (1 + scale) + shift,   for each block
        velocity = Wo (layer_norm(h) (1 + scale) + shift) + bo

    where shift, scale and gate are affine in c (adaLN-zero).

    Source: W. Peebles, S. Xie, "Scalable diffusion models with transformers", 2023, section 3.2 (adaLN-Zero),
    on a multilayer perceptron; the features enter at the input instead of the modulation.
    """

    embed: Embed
    input: Input
    block: Block
    output: Output
    finest: int = eqx.field(static=True)

    def condition(self, flow_time: Float[Array, ""], step_size: Float[Array, ""]) -> Condition:
        """Return shifts, scales and gates of every layer.

        Args:
            flow_time: from 0 (noise) to 1 (quotes).
            step_size: how far ahead is asked for, from 0 to 1 - flow_time.
        """
        asked = embedding(flow_time, step_size)
        hidden = jax.nn.silu(asked @ self.embed.weight_1.T + self.embed.bias_1)
        c = jax.nn.silu(hidden @ self.embed.weight_2.T + self.embed.bias_2)
        blocks, three_widths, width = self.block.modulation_weight.shape
        modulation = c @ self.block.modulation_weight.reshape(-1, width).T
        return Condition(
            block=modulation.reshape(blocks, three_widths) + self.block.modulation_bias,
            output=c @ self.output.modulation_weight.T + self.output.modulation_bias,
        )

    def velocity(
        self, condition: Condition, x: Float[Array, " chunk"], features: Float[Array, " feature"]
    ) -> Float[Array, " chunk"]:
        """Return the velocity of a chunk under a condition.

        Args:
            condition: from `condition`.
            x: scaled half-spreads, the chunk (horizon, side) in row-major order.
            features: scaled features.
        """
        # x @ W.T instead of W @ x: a vmapped product then needs no transposition.
        h = x @ self.input.weight_x.T + features @ self.input.weight_features.T + self.input.bias
        for index in range(self.block.bias_1.shape[0]):
            shift, scale, gate = jnp.split(condition.block[index], 3)
            u = layer_norm(h) * (1.0 + scale) + shift
            u = jax.nn.silu(u @ self.block.weight_1[index].T + self.block.bias_1[index])
            h = h + gate * (u @ self.block.weight_2[index].T + self.block.bias_2[index])
        shift, scale = jnp.split(condition.output, 2)
        return (layer_norm(h) * (1.0 + scale) + shift) @ self.output.weight.T + self.output.bias

    def __call__(
        self,
        x: Float[Array, " chunk"],
        features: Float[Array, " feature"],
        flow_time: Float[Array, ""],
        step_size: Float[Array, ""],
    ) -> Float[Array, " chunk"]:
        """Return the velocity of one chunk at one flow time, for one step size."""
        return self.velocity(self.condition(flow_time, step_size), x, features)


def weight_shapes(settings: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a network by its name, as a policy file holds them."""
    return flows.weight_shapes(
        feature=settings.feature_count,
        sample=settings.chunk_size,
        width=settings.width,
        block=settings.blocks,
    )


def network_from(weights: dict[str, Array] | dict[str, np.ndarray], finest: int) -> Network:
    """Return the network with these arrays, named as in `weight_shapes`.

    Args:
        weights: its arrays.
        finest: most steps of a shortcut sampler, as in `NetworkSettings`.
    """
    parts: dict[str, dict[str, Array]] = {"embed": {}, "input": {}, "block": {}, "output": {}}
    for name, value in weights.items():
        part, field = name.split(".")
        parts[part][field] = jnp.asarray(value, jnp.float32)
    return Network(
        embed=Embed(**parts["embed"]),
        input=Input(**parts["input"]),
        block=Block(**parts["block"]),
        output=Output(**parts["output"]),
        finest=finest,
    )


def weights_of(network: Network) -> dict[str, Array]:
    """Return every array of a network by its name; the inverse of `network_from`."""
    return {
        f"{part}.{field}": value
        for part in ("embed", "input", "block", "output")
        for field, value in vars(getattr(network, part)).items()
    }


def init_network(settings: NetworkSettings, seed: int) -> Network:
    """Return an untrained network.

    Matrices are normal with variance 1 / inputs; the input's two matrices act as one. Biases, modulations
    (adaLN-zero: every block begins as the identity) and the output (the velocity begins at 0) are zero.

    Args:
        settings: its shape.
        seed: of the draw, by numpy: there is nothing to compile.
    """
    random = np.random.default_rng(seed)
    inputs = settings.chunk_size + settings.feature_count
    weights = {}
    for name, shape in weight_shapes(settings).items():
        if "modulation" in name or "bias" in name or name == "output.weight":
            deviation = 0.0
        else:
            deviation = (inputs if name.startswith("input.") else shape[-1]) ** -0.5
        weights[name] = deviation * random.standard_normal(shape, np.float32)
    return network_from(weights, settings.finest)
