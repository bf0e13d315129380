"""Flax modules for one example without a batch axis: the only place that knows layers.

An encoder maps an example to a flat vector of `num_outputs` posterior parameters; a decoder maps a
latent vector to an array of the example's shape, WITHOUT its last bias: `models` adds one bias per
pixel, which it sets from the data.
"""

from collections.abc import Callable
import math
from typing import NamedTuple

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from vae_jax.convolutions import downsample, upsample

ACTIVATIONS: dict[str, Callable] = {
    "elu": nn.elu,
    "gelu": nn.gelu,
    "relu": nn.relu,
    "silu": nn.silu,
    "tanh": nn.tanh,
}
_dense_init = nn.initializers.glorot_uniform()


class Dense(nn.Module):
    """A stack of dense layers, each followed by the activation."""

    sizes: tuple[int, ...]
    activation: Callable

    @nn.compact
    def __call__(self, x: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        for size in self.sizes:
            x = self.activation(nn.Dense(size, kernel_init=_dense_init)(x))
        return x


class DenseEncoder(nn.Module):
    """Example of any shape -> hidden layers -> posterior parameters."""

    num_outputs: int
    hidden: tuple[int, ...]
    activation: Callable
    channels: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "num_outputs"]:
        features = Dense(self.hidden, self.activation)(x.reshape(-1))
        return nn.Dense(self.num_outputs, kernel_init=_dense_init)(features)


class DenseDecoder(nn.Module):
    """Latent vector -> hidden layers -> array of `shape`."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    activation: Callable
    channels: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, z: Float[Array, "latent"]) -> Float[Array, "*shape"]:
        features = Dense(self.hidden, self.activation)(z)
        outputs = nn.Dense(math.prod(self.shape), use_bias=False, kernel_init=_dense_init)(features)
        return outputs.reshape(self.shape)


class Convolution(nn.Module):
    """A 4x4 convolution of stride 2, with parameters like those of nn.Conv."""

    size: int
    convolve: Callable
    use_bias: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width inputs"]
    ) -> Float[Array, "new_height new_width size"]:
        shape = (4, 4, x.shape[-1], self.size)
        outputs = self.convolve(x, self.param("kernel", nn.initializers.lecun_normal(), shape))
        if not self.use_bias:
            return outputs
        return outputs + self.param("bias", nn.initializers.zeros, (self.size,))


class ConvEncoder(nn.Module):
    """Image (height, width, channels) -> convolutions that halve it -> dense layers -> parameters.

    One 4x4 convolution of stride 2 for each entry of `channels`.
    """

    num_outputs: int
    hidden: tuple[int, ...]
    activation: Callable
    channels: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "height width color"]) -> Float[Array, "num_outputs"]:
        for size in self.channels:
            x = self.activation(Convolution(size, downsample)(x))
        features = Dense(self.hidden, self.activation)(x.reshape(-1))
        return nn.Dense(self.num_outputs, kernel_init=_dense_init)(features)


class ConvDecoder(nn.Module):
    """The mirror of ConvEncoder: latent vector -> dense layers -> transposed convolutions."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    activation: Callable
    channels: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Float[Array, "latent"]) -> Float[Array, "height width color"]:
        height, width, color = self.shape
        factor = 2 ** len(self.channels)
        smallest = (height // factor, width // factor, self.channels[-1])
        x = Dense((*self.hidden[::-1], math.prod(smallest)), self.activation)(z).reshape(smallest)
        for size in self.channels[-2::-1]:
            x = self.activation(Convolution(size, upsample)(x))
        return Convolution(color, upsample, use_bias=False)(x)


class NetworkPair(NamedTuple):
    """An encoder and a decoder class that take the same `hidden`, `activation` and `channels`."""

    encoder: type[nn.Module]
    decoder: type[nn.Module]


NETWORKS = {
    "mlp": NetworkPair(DenseEncoder, DenseDecoder),
    "conv": NetworkPair(ConvEncoder, ConvDecoder),
}


def check_conv_shape(shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    """Refuse an example shape that the convolutional pair cannot halve len(channels) times.

    Raises:
      ValueError: not (height, width, color), no channels, or a side not divisible.
    """
    factor = 2 ** len(channels)
    if len(shape) != 3 or not channels or shape[0] % factor or shape[1] % factor:
        raise ValueError(
            f"network 'conv' with channels {channels} needs examples (height, width, color) whose "
            f"sides divide by {factor}, and at least one entry in channels; got shape {shape}"
        )
