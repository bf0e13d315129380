"""Flax modules for one example without a batch axis: the only place that knows layers.

An encoder maps an example, and the features of a condition where there is one, to a flat vector of
`num_outputs` posterior parameters. A decoder maps a latent vector, and those features, to an array
of the example's shape, WITHOUT its last bias: `models` adds one per value, set from the data.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple

from flax import linen as nn
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.fast.convolutions import downsample, same, upsample

ACTIVATIONS: dict[str, Callable] = {
    "elu": nn.elu,
    "gelu": nn.gelu,
    "relu": nn.relu,
    "silu": nn.silu,
    "tanh": nn.tanh,
}
INITIALIZERS: dict[str, Callable] = {
    "glorot_normal": nn.initializers.glorot_normal(),
    "glorot_uniform": nn.initializers.glorot_uniform(),
    "he_normal": nn.initializers.he_normal(),
    "he_uniform": nn.initializers.he_uniform(),
    "lecun_normal": nn.initializers.lecun_normal(),
}


class Layers(NamedTuple):
    """What the layers of an encoder and its decoder have in common."""

    hidden: tuple[int, ...]
    """Sizes of the dense layers."""
    activation: Callable
    kernel_init: Callable = INITIALIZERS["glorot_uniform"]
    channels: tuple[int, ...] = ()
    """Of convolutions, one for each halving of the image."""
    gated: bool = False
    """Whether a dense layer is gated (and then has no activation)."""
    residual: bool = False
    """Whether a residual block follows each convolution."""

    def dense(self, size: int, **options: Any) -> nn.Dense:
        """Return one dense layer."""
        return nn.Dense(size, kernel_init=self.kernel_init, **options)


class Dense(nn.Module):
    """A stack of dense layers, each followed by the activation, or gated.

    A gated layer is (W x + b) * sigmoid(V x + c): Dauphin et al. (2017), and Section 4.2 of
    Tomczak & Welling (2018).
    """

    layers: Layers
    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        for size in self.sizes:
            outputs = self.layers.dense(size)(x)
            if self.layers.gated:
                x = outputs * nn.sigmoid(self.layers.dense(size)(x))
            else:
                x = self.layers.activation(outputs)
        return x


def join(features: Float[Array, "features"], context: Any) -> Float[Array, "both"]:
    """Append the features of a condition to others; None adds nothing."""
    return features if context is None else jnp.concatenate([features, context])


class DenseEncoder(nn.Module):
    """Example of any shape, and context -> hidden layers -> posterior parameters."""

    layers: Layers
    num_outputs: int

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"], context: Any = None) -> Float[Array, "outputs"]:
        features = Dense(self.layers, self.layers.hidden)(join(x.reshape(-1), context))
        return self.layers.dense(self.num_outputs)(features)


class DenseDecoder(nn.Module):
    """Latent vector and context -> hidden layers -> array of `shape`."""

    layers: Layers
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Float[Array, "latent"], context: Any = None) -> Float[Array, "*shape"]:
        features = Dense(self.layers, self.layers.hidden)(join(z, context))
        outputs = self.layers.dense(math.prod(self.shape), use_bias=False)(features)
        return outputs.reshape(self.shape)


class Convolution(nn.Module):
    """A convolution with parameters like those of nn.Conv, 4x4 where it changes the size."""

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
    """A convolution that halves or doubles, its activation and, where wanted, a residual block.

    The block adds to x two 3x3 convolutions of it, each after an activation: He et al. (2016b).
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


class Branches(nn.Module):
    """Named fields, one encoder each, whose features are joined by one last dense layer."""

    layers: Layers
    encoder: Callable[..., nn.Module]
    fields: tuple[str, ...]
    num_outputs: int

    @nn.compact
    def __call__(self, x: Mapping[str, Array], context: Any = None) -> Float[Array, "outputs"]:
        size = self.layers.hidden[-1]
        features = [
            self.layers.activation(self.encoder(self.layers, size, name=f"field_{name}")(x[name]))
            for name in self.fields
        ]
        return self.layers.dense(self.num_outputs)(join(jnp.concatenate(features), context))


class NetworkPair(NamedTuple):
    """An encoder class (layers, num_outputs), a decoder class (layers, shape), and their kind."""

    encoder: Callable[..., nn.Module]
    decoder: Callable[..., nn.Module]
    options: Mapping[str, bool] = {}
    """Fields of Layers that make this row what it is."""


NETWORKS = {
    "mlp": NetworkPair(DenseEncoder, DenseDecoder),
    "gated_mlp": NetworkPair(DenseEncoder, DenseDecoder, {"gated": True}),
    "conv": NetworkPair(ConvEncoder, ConvDecoder),
    "resnet": NetworkPair(ConvEncoder, ConvDecoder, {"residual": True}),
}


def is_convolutional(network: str) -> bool:
    """Tell whether this row of NETWORKS takes images."""
    return NETWORKS[network].encoder is ConvEncoder


def check_conv_shape(shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    """Refuse an example shape that the convolutional pair cannot halve len(channels) times.

    Raises:
      ValueError: not (height, width, color), no channels, or a side not divisible.
    """
    factor = 2 ** len(channels)
    if len(shape) != 3 or not channels or shape[0] % factor or shape[1] % factor:
        raise ValueError(
            f"a convolutional network of channels {channels} needs examples (height, width, color) "
            f"whose sides divide by {factor}, and at least one entry in channels; got shape {shape}"
        )
