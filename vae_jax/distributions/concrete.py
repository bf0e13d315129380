"""Relaxed samples of discrete distributions, which carry gradients."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.discrete import Bernoulli, Categorical


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Relaxed(Distribution):
    """The Concrete or Gumbel-Softmax relaxation of bits or one-hot vectors at a temperature > 0.

    Its values are logits of bits, or logarithms of points of the simplex: Maddison et al. (2017),
    Appendix C.3; `latent` turns them into what a decoder takes.
    """

    base: Bernoulli | Categorical
    temperature: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw a value, differentiable in the logits and the temperature."""
        if isinstance(self.base, Bernoulli):
            return self.base.sample_relaxed_logit(key, self.temperature)
        return self.base.sample_relaxed_log(key, self.temperature)

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the log-density of a value in nats, summed over the event axes."""
        return self.base.relaxed_log_prob(value, self.temperature)

    def latent(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the relaxed bits in 0 .. 1, or the points of the simplex."""
        return jax.nn.sigmoid(value) if isinstance(self.base, Bernoulli) else jnp.exp(value)

    def nearest(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the nearest bits or one-hot vectors, a sample of `base` (without gradient)."""
        if isinstance(self.base, Bernoulli):
            return (value > 0).astype(value.dtype)
        return jax.nn.one_hot(jnp.argmax(value, axis=-1), value.shape[-1], dtype=value.dtype)
