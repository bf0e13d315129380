"""Distributions of discrete values: their log-densities are log-probabilities."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Factorized
from vae_jax.distributions.bits import log_prob_of_bits


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli(Factorized):
    """Independent bits with P(x = 1) = sigmoid(logits)."""

    logits: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The probability of a one, sigmoid(logits)."""
        return jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance p (1 - p) of each bit."""
        return jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw bits, as floats 0. and 1. (no gradient flows through them)."""
        return jax.random.bernoulli(key, self.mean).astype(self.mean.dtype)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return +(x log p + (1 - x) log(1 - p)) of each x in {0, 1}, in nats.

        With p = sigmoid(l) this is x l - softplus(l), which neither overflows nor takes log(0).
        """
        return value * self.logits - jax.nn.softplus(self.logits)

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the sum of `log_prob_per_dimension`, in nats."""
        value, logits = jnp.broadcast_arrays(value, self.logits)
        return log_prob_of_bits(jnp.ravel(value).astype(logits.dtype), jnp.ravel(logits))
