"""Continuous relaxations of bits and one-hot vectors, whose samples carry gradients.

The Concrete distributions of Maddison et al. (2017), also called Gumbel-Softmax (Jang et al.,
2017). Their values are logits of relaxed bits, or logarithms of points of the simplex (Maddison et
al., Appendix C.3): a float would round the samples of a low temperature to 0 or 1, and their
densities to infinity. `latent` turns a value into what a decoder takes.
"""

import dataclasses
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, check_event

Temperature = float | Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BinaryConcrete(Distribution):
    """Logits of relaxed bits: y = (logits + logistic noise) / T, at a temperature T > 0.

    sigmoid(y) is near a bit at a low temperature; at every temperature it is above 1/2 with the
    probability sigmoid(logits) of a one.
    """

    logits: Any
    temperature: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw a logit for each bit, differentiable in the logits and the temperature."""
        noise = jax.random.logistic(key, jnp.shape(self.logits), jnp.result_type(self.logits))
        return (self.logits + noise) / self.temperature

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the log-density of the logits y in nats, summed over the event.

        log T + (l - T y) - 2 log(1 + exp(l - T y)) of each bit with logit l. The density of
        sigmoid(y) has -log sigmoid(y) - log sigmoid(-y) more.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits)
        noise = self.temperature * value - self.logits
        # A logistic density is even: -|noise| is the one sign that no softplus cancels.
        per_bit = -jnp.abs(noise) - 2 * jax.nn.softplus(-jnp.abs(noise))
        return jnp.sum(per_bit + jnp.log(self.temperature))

    def latent(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the relaxed bits in [0, 1]."""
        return jax.nn.sigmoid(value)

    def nearest(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the nearest bits, which have the probabilities sigmoid(logits)."""
        return (value > 0).astype(value.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Concrete(Distribution):
    """Logarithms of points of the simplex: y = log_softmax((logits + Gumbel noise) / T), T > 0.

    exp(y) is nearly one-hot at a low temperature; at every temperature its largest entry is class k
    with probability softmax(logits)_k. The classes are on the last axis.
    """

    logits: Any
    temperature: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event classes"]:
        """Draw the logarithm of each point, differentiable in the logits and the temperature."""
        noise = jax.random.gumbel(key, self.logits.shape, self.logits.dtype)
        return jax.nn.log_softmax((self.logits + noise) / self.temperature)

    def log_prob(self, value: Float[Array, "*event classes"]) -> Float[Array, ""]:
        """Return the log-density of y in nats, summed over the event's variables.

        log((K-1)!) + (K-1) log T + sum_k (l_k - T y_k) - K logsumexp_k (l_k - T y_k): a density of
        the K - 1 log-ratios y_k - y_K, whichever class is K. The density of K - 1 entries of the
        point exp(y) has -sum_k y_k more.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits)
        num_classes = value.shape[-1]
        scores = jax.nn.log_softmax(self.logits - self.temperature * value)
        per_variable = jnp.sum(scores, axis=-1) + (num_classes - 1) * jnp.log(self.temperature)
        return jnp.sum(per_variable + math.lgamma(num_classes))

    def latent(self, value: Float[Array, "*event classes"]) -> Float[Array, "*event classes"]:
        """Return the points of the simplex."""
        return jnp.exp(value)

    def nearest(self, value: Float[Array, "*event classes"]) -> Float[Array, "*event classes"]:
        """Return the nearest one-hot vectors, which have the probabilities softmax(logits)."""
        return jax.nn.one_hot(jnp.argmax(value, axis=-1), value.shape[-1], dtype=value.dtype)
