"""Convolutional encoders and decoders: for images (height, width, color)."""

from collections.abc import Callable
import functools
import math
from typing import Any

from flax import linen as nn
from jax import Array
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
    """

    layers: Layers
    num_outputs: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width color"], context: Any = None
    ) -> Float[Array, "outputs"]:
        for size in self.layers.channels:
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
        height, width, color = self.shape
        channels, factor = self.layers.channels, 2 ** len(self.layers.channels)
        smallest = (height // factor, width // factor, channels[-1])
        sizes = (*self.layers.hidden[::-1], math.prod(smallest))
        x = Dense(self.layers, sizes)(join(z, context)).reshape(smallest)
        for size in channels[-2::-1]:
            x = ConvolutionalBlock(self.layers, size, upsample)(x)
        return Convolution(self.layers, color, upsample, use_bias=False)(x)


def make_conv(
    *,
    channels: tuple[int, ...] = (32, 64),
    hidden: tuple[int, ...] = (200, 200),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
) -> NetworkPair:
    """4x4 convolutions that halve the image, then dense layers; the decoder mirrors them.

    Args:
      channels: output channels of each convolution, one entry per halving of the image.
      hidden: sizes of the encoder's dense layers; the decoder has them in reverse order.
      activation: a row of networks.ACTIVATIONS: elu, gelu, relu, silu or tanh.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, activation, initializer, channels))


def make_resnet(
    *,
    channels: tuple[int, ...] = (32, 64),
    hidden: tuple[int, ...] = (200, 200),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
) -> NetworkPair:
    """The convolutions of conv, each followed by a residual block of two 3x3 convolutions.

    Args:
      channels: output channels of each convolution, one entry per halving of the image.
      hidden: sizes of the encoder's dense layers; the decoder has them in reverse order.
      activation: a row of networks.ACTIVATIONS: elu, gelu, relu, silu or tanh.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, activation, initializer, channels, residual=True))


def check_image_shape(channels: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse an example shape that cannot be halved len(channels) times.

    Raises:
      ValueError: not (height, width, color), no channels, or a side not divisible.
    """
    factor = 2 ** len(channels)
    if len(shape) != 3 or not channels or shape[0] % factor or shape[1] % factor:
        raise ValueError(
            f"a convolutional network of channels {channels} needs examples (height, width, color) "
            f"whose sides divide by {factor}, and at least one entry in channels; got shape {shape}"
        )


def _pair(layers):
    return NetworkPair(
        layers,
        lambda num_outputs, name=None: ConvEncoder(layers, num_outputs, name=name),
        lambda shape: ConvDecoder(layers, shape),
        functools.partial(check_image_shape, layers.channels),
    )


ROWS = {"conv": make_conv, "resnet": make_resnet}
