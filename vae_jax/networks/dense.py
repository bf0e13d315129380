"""Dense encoders and decoders: for examples of any shape."""

import math
from typing import Any

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from vae_jax.networks.layers import Layers, NetworkPair, join, make_layers


class Dense(nn.Module):
    """A stack of dense layers, each followed by the activation, or gated.

    A gated layer is (W x + b) * sigmoid(V x + c): Dauphin et al. (2017), and Section 5.1 of
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


def make_mlp(
    *,
    hidden: tuple[int, ...] = (200, 200),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
) -> NetworkPair:
    """Dense layers, for examples of any shape.

    Args:
      hidden: sizes of the dense layers of the encoder and of the decoder, in the same order.
      activation: a row of networks.ACTIVATIONS: elu, gelu, relu, silu or tanh.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, activation, initializer))


def make_gated_mlp(
    *, hidden: tuple[int, ...] = (200, 200), initializer: str = "glorot_uniform"
) -> NetworkPair:
    """Gated dense layers (W x + b) * sigmoid(V x + c), for examples of any shape.

    Args:
      hidden: sizes of the dense layers of the encoder and of the decoder, in the same order.
      initializer: of all kernels, a row of networks.INITIALIZERS.

    Raises:
      ValueError: an unknown initializer, or a size that is not possible.
    """
    return _pair(make_layers(hidden, initializer=initializer, gated=True))


def _pair(layers):
    return NetworkPair(
        layers,
        lambda num_outputs, name=None: DenseEncoder(layers, num_outputs, name=name),
        lambda shape: DenseDecoder(layers, shape),
    )


ROWS = {"mlp": make_mlp, "gated_mlp": make_gated_mlp}
