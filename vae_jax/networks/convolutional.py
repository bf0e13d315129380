"""Convolutional encoders and decoders: for images (height, width, color)."""

from collections.abc import Callable
import functools
import math
from typing import Any

from flax import linen as nn
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.fast.convolutions import downsample, same, upsample
from vae_jax.networks.dense import Dense
from vae_jax.networks.layers import Layers, NetworkPair, join, make_layers


class Convolution(nn.Module):
    """A convolution with parameters like those of nn.Conv, 4x4 by default."""

    layers: Layers
    size: int
    convolve: Callable
    width: int = 4
    use_bias: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width inputs"]
    ) -> Float[Array, "new_height new_width size"]:
        shape = (self.width, self.width, x.shape[-1], self.size)
        outputs = self.convolve(x, self.param("kernel", self.layers.kernel_init, shape))
        if not self.use_bias:
            return outputs
        return outputs + self.param("bias", nn.initializers.zeros, (self.size,))


class ConvolutionalBlock(nn.Module):
    """A convolution that halves or doubles the image, an activation, optionally a residual block.

    The residual block is x + conv(act(conv(act(x)))) with 3x3 convolutions: He et al. (2016b).
    """

    layers: Layers
    size: int
    convolve: Callable

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width inputs"]
    ) -> Float[Array, "new_height new_width size"]:
        x = Convolution(self.layers, self.size, self.convolve)(x)
        if self.layers.residual:
            change = x
            for _ in range(2):
                change = self.layers.activation(change)
                change = Convolution(self.layers, self.size, same, width=3)(change)
            x = x + change
        return self.layers.activation(x)


class ConvEncoder(nn.Module):
    """Image (height, width, color) -> convolutions that halve it -> dense layers -> parameters.

    One 4x4 convolution of stride 2 for each entry of `channels`; the context enters after them.
    Sides that cannot be halved so often are filled up with zeros.
    """

    layers: Layers
    num_outputs: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width color"], context: Any = None
    ) -> Float[Array, "outputs"]:
        channels = channels_for(self.layers.channels, x.shape)
        height, width = whole_sides(channels, x.shape)
        x = jnp.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]), (0, 0)))
        for size in channels:
            x = ConvolutionalBlock(self.layers, size, downsample)(x)
        features = Dense(self.layers, self.layers.hidden)(join(x.reshape(-1), context))
        return self.layers.dense(self.num_outputs)(features)


class ConvDecoder(nn.Module):
    """The mirror of ConvEncoder: latent vector -> dense layers -> transposed convolutions."""

    layers: Layers
    shape: tuple[int, ...]

    @nn.compact
    def __call__(
        self, z: Float[Array, "latent"], context: Any = None
    ) -> Float[Array, "height width color"]:
        channels = channels_for(self.layers.channels, self.shape)
        height, width = whole_sides(channels, self.shape)
        factor = 2 ** len(channels)
        smallest = (height // factor, width // factor, channels[-1])
        sizes = (*self.layers.hidden[::-1], math.prod(smallest))
        x = Dense(self.layers, sizes)(join(z, context)).reshape(smallest)
        for size in channels[-2::-1]:
            x = ConvolutionalBlock(self.layers, size, upsample)(x)
        x = Convolution(self.layers, self.shape[-1], upsample, use_bias=False)(x)
        return x[: self.shape[0], : self.shape[1]]


def make_conv(
    *,
    channels: tuple[int, ...] = (),
    hidden: tuple[int, ...] = (200, 200),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
) -> NetworkPair:
    """4x4 convolutions that halve the image, then dense layers; the decoder mirrors them.

    Args:
      channels: output channels of each convolution, one entry per halving of the image; (): as
        many of 32, 64, 128, 128, ... as leave a smallest side of 4 to 7.
      hidden: sizes of the encoder's dense layers; the decoder has them in reverse order.
      activation: a row of networks.ACTIVATIONS: elu, gelu, relu, silu or tanh.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, activation, initializer, channels))


def make_resnet(
    *,
    channels: tuple[int, ...] = (),
    hidden: tuple[int, ...] = (200, 200),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
) -> NetworkPair:
    """The convolutions of conv, each followed by a residual block of two 3x3 convolutions.

    Args:
      channels: output channels of each convolution, one entry per halving of the image; (): as
        many of 32, 64, 128, 128, ... as leave a smallest side of 4 to 7.
      hidden: sizes of the encoder's dense layers; the decoder has them in reverse order.
      activation: a row of networks.ACTIVATIONS: elu, gelu, relu, silu or tanh.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, activation, initializer, channels, residual=True))


def channels_for(channels: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the channels, or those that suit images of this shape where there are none.

    As many of 32, 64, 128, 128, ... as halve the shorter side to 4 .. 7, one at least.
    """
    halvings = max(1, min(shape[:2]).bit_length() - 3)
    return tuple(channels) or (32, 64, *(128,) * halvings)[:halvings]


def whole_sides(channels: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width, rounded up to what can be halved len(channels) times."""
    factor = 2 ** len(channels)
    return -(-shape[0] // factor) * factor, -(-shape[1] // factor) * factor


def check_image_shape(channels: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse an example shape that cannot be halved len(channels) times.

    Raises:
      ValueError: not (height, width, color), or more halvings than leave a pixel.
    """
    if len(shape) != 3:
        hint = ": give grey images an axis of one color, x[..., None]" if len(shape) == 2 else ""
        raise ValueError(
            "a convolutional network needs examples (height, width, color); got shape "
            f"{shape}{hint}"
        )
    if 2 ** len(channels) > min(shape[:2]) > 1:
        raise ValueError(
            f"channels={channels} halve an image {len(channels)} times, but one of shape {shape} "
            f"only {min(shape[:2]).bit_length() - 1} times: name fewer"
        )


def _pair(layers):
    return NetworkPair(
        layers,
        lambda num_outputs, name=None: ConvEncoder(layers, num_outputs, name=name),
        lambda shape: ConvDecoder(layers, shape),
        functools.partial(check_image_shape, layers.channels),
    )


ROWS = {"conv": make_conv, "resnet": make_resnet}
