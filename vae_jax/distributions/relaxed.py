"""Densities of the continuous relaxations of bits and one-hot vectors, in nats.

Both are densities of logits or logarithms rather than of points of (0, 1) or of the simplex, where
a float would round the samples of a low temperature to the edge and their densities to infinity.
"""

import math

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

Temperature = float | Float[Array, ""]


def binary_concrete_log_prob(
    logits: Float[Array, "*event"], temperature: Temperature, logit_value: Float[Array, "*event"]
) -> Float[Array, ""]:
    """Return the log-density of y = (logits + logistic noise) / T in nats, summed over the event.

    log T + (l - T y) - 2 log(1 + exp(l - T y)) of each bit with logit l: the binary Concrete
    distribution of Maddison et al. (2017), before its sigmoid. It is a density of the logit y; that
    of sigmoid(y) has -log sigmoid(y) - log sigmoid(-y) more.
    """
    noise = temperature * logit_value - logits
    # A logistic density is even: -|noise| is the one sign that no softplus cancels.
    per_bit = -jnp.abs(noise) - 2 * jax.nn.softplus(-jnp.abs(noise))
    return jnp.sum(per_bit + jnp.log(temperature))


def concrete_log_prob(
    logits: Float[Array, "*event classes"],
    temperature: Temperature,
    log_value: Float[Array, "*event classes"],
) -> Float[Array, ""]:
    """Return the log-density of y = log_softmax((logits + Gumbel noise) / T) in nats.

    log((K-1)!) + (K-1) log T + sum_k (l_k - T y_k) - K logsumexp_k (l_k - T y_k), summed over the
    event's variables: the ExpConcrete distribution of Maddison et al. (2017). It is a density of
    the K - 1 log-ratios y_k - y_K, whichever class is K, as the binary one is of the logit; that of
    K - 1 entries of the point exp(y) of the simplex has -sum_k y_k more.
    """
    num_classes = log_value.shape[-1]
    scores = jax.nn.log_softmax(logits - temperature * log_value)
    per_variable = jnp.sum(scores, axis=-1) + (num_classes - 1) * jnp.log(temperature)
    return jnp.sum(per_variable + math.lgamma(num_classes))
