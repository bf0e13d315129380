"""What every network is made of, and what a row of NETWORKS returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flax import linen as nn
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.lookup import check_whole, look_up

# Beyond these nobody has a use, and arrays fill the memory or programs compile for many minutes.
LARGEST_SIZE = 1_000_000
MOST_LAYERS = 64

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


def make_layers(
    hidden: tuple[int, ...],
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
    channels: tuple[int, ...] = (),
    **kind: bool,
) -> Layers:
    """Make Layers of the options of a row of NETWORKS.

    Raises:
      ValueError: an unknown activation or initializer, or a size that is not possible.
    """
    for name, sizes in {"hidden": hidden, "channels": channels}.items():
        if not isinstance(sizes, tuple | list):
            raise ValueError(f"{name} must be a tuple, such as (200, 200), got {sizes!r}")
    check_sizes(hidden=hidden, channels=channels)
    return Layers(
        tuple(hidden),
        look_up(ACTIVATIONS, activation, "activation"),
        look_up(INITIALIZERS, initializer, "initializer"),
        tuple(channels),
        **kind,
    )


class NetworkPair(NamedTuple):
    """An encoder and a decoder that belong together: what a row of NETWORKS returns."""

    layers: Layers
    encoder: Callable[..., nn.Module]
    """encoder(num_outputs, name=None) -> a module of (x, context)."""
    decoder: Callable[[tuple[int, ...]], nn.Module]
    """decoder(shape) -> a module of (z, context) with outputs of that shape."""
    check_shape: Callable[[tuple[int, ...]], None] = lambda shape: None
    """check_shape(shape) raises ValueError for examples that the pair cannot take."""


def check_sizes(**sizes: Any) -> None:
    """Refuse sizes that are not whole numbers in 1 .. LARGEST_SIZE, or too many layers.

    Raises:
      ValueError: with the name of the size and its value.
    """
    check_whole(1, LARGEST_SIZE, **sizes)
    for name, size in sizes.items():
        if isinstance(size, tuple | list) and len(size) > MOST_LAYERS:
            raise ValueError(f"{name} must name at most {MOST_LAYERS} layers, got {len(size)}")


def join(features: Float[Array, "features"], context: Any) -> Float[Array, "both"]:
    """Append the features of a condition to others; None adds nothing."""
    return features if context is None else jnp.concatenate([features, context])
