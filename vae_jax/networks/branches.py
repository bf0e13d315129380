"""The encoder of several fields: one encoder per field, joined by a dense layer."""

from collections.abc import Callable, Mapping
from typing import Any

from flax import linen as nn
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.networks.layers import Layers, join


class Branches(nn.Module):
    """An encoder for each named field; a last dense layer joins their features."""

    layers: Layers
    encoder: Callable[..., nn.Module]
    fields: tuple[str, ...]
    num_outputs: int

    @nn.compact
    def __call__(self, x: Mapping[str, Array], context: Any = None) -> Float[Array, "outputs"]:
        size = self.layers.hidden[-1]
        features = [
            self.layers.activation(self.encoder(size, name=f"field_{name}")(x[name]))
            for name in self.fields
        ]
        return self.layers.dense(self.num_outputs)(join(jnp.concatenate(features), context))
