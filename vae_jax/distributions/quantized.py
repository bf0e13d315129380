"""A categorical distribution of each value over equally spaced levels."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Levels(Distribution):
    """Independent values in {0, 1 / (L - 1), ..., 1}, with probabilities softmax(logits).

    `logits` has the event's shape and a last axis over the L levels; their order means nothing.
    """

    logits: Any

    @property
    def levels(self) -> Float[Array, "levels"]:
        """The values that there are."""
        return jnp.linspace(0.0, 1.0, self.logits.shape[-1])

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The expected value of each."""
        return jax.nn.softmax(self.logits) @ self.levels

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of each."""
        deviations = self.levels - self.mean[..., None]
        return jnp.sum(jax.nn.softmax(self.logits) * deviations**2, axis=-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw a level for each value (no gradient flows through it)."""
        return self.levels[jax.random.categorical(key, self.logits)]

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the log-probability of the level nearest to each value, in nats."""
        index = jnp.round(value * (self.logits.shape[-1] - 1)).astype(jnp.int32)
        log_probs = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_probs, index[..., None], axis=-1)[..., 0]

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the log-probability of `value` in nats, summed over the event axes."""
        return jnp.sum(self.log_prob_per_dimension(value))
