"""Flax modules for one example without a batch axis: the only place that knows layers.

An encoder maps an example, and the features of a condition where there is one, to a flat vector of
`num_outputs` posterior parameters. A decoder maps a latent vector, and those features, to an array
of the example's shape, WITHOUT its last bias: `models` adds one per value, set from the data.
"""

from vae_jax.networks.branches import Branches
from vae_jax.networks.convolutional import (
    ROWS as CONVOLUTIONAL_ROWS,
)
from vae_jax.networks.convolutional import (
    ConvDecoder,
    ConvEncoder,
    channels_for,
    check_image_shape,
)
from vae_jax.networks.dense import ROWS as DENSE_ROWS
from vae_jax.networks.dense import Dense, DenseDecoder, DenseEncoder
from vae_jax.networks.layers import (
    ACTIVATIONS,
    INITIALIZERS,
    LARGEST_SIZE,
    Layers,
    NetworkPair,
    check_sizes,
    make_layers,
)

# {name: a function of the network's options that makes the NetworkPair}
NETWORKS = DENSE_ROWS | CONVOLUTIONAL_ROWS

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LARGEST_SIZE",
    "NETWORKS",
    "Branches",
    "ConvDecoder",
    "ConvEncoder",
    "Dense",
    "DenseDecoder",
    "DenseEncoder",
    "Layers",
    "NetworkPair",
    "channels_for",
    "check_image_shape",
    "check_sizes",
    "make_layers",
]
