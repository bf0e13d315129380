"""Distributions of discrete values: their log-densities are log-probabilities."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, Factorized
from vae_jax.distributions.relaxed import (
    Temperature,
    binary_concrete_log_prob,
    concrete_log_prob,
)
from vae_jax.fast.bits import log_prob_of_bits


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

    def sample_relaxed_logit(
        self, key: Key[Array, ""], temperature: Temperature
    ) -> Float[Array, "*event"]:
        """Draw the logit of `sample_relaxed`: (logits + logistic noise) / temperature."""
        noise = jax.random.logistic(key, jnp.shape(self.logits), jnp.result_type(self.logits))
        return (self.logits + noise) / temperature

    def sample_relaxed(
        self, key: Key[Array, ""], temperature: Temperature
    ) -> Float[Array, "*event"]:
        """Draw relaxed bits in [0, 1], differentiable in the logits and the temperature > 0.

        The binary Concrete distribution of Maddison et al. (2017). At a temperature
        near 0 they are bits; at every one, a bit is above 1/2 with the probability of a one.
        """
        return jax.nn.sigmoid(self.sample_relaxed_logit(key, temperature))

    def relaxed_log_prob(
        self, logit_value: Float[Array, "*event"], temperature: Temperature
    ) -> Float[Array, ""]:
        """Return the log-density of what `sample_relaxed_logit` draws, in nats."""
        return binary_concrete_log_prob(self.logits, temperature, logit_value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical(Distribution):
    """Independent one-hot vectors over the last axis, with P(x_k = 1) = softmax(logits)_k.

    `logits` is [*event, classes], and a value is of the same shape, in floats.
    """

    logits: Any

    @property
    def mean(self) -> Float[Array, "*event classes"]:
        """The probability of each class, softmax(logits)."""
        return jax.nn.softmax(self.logits)

    @property
    def variance(self) -> Float[Array, "*event classes"]:
        """The variance p (1 - p) of each entry of the one-hot vectors."""
        return self.mean * (1 - self.mean)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event classes"]:
        """Draw one-hot vectors (no gradient flows through them)."""
        classes = jax.random.categorical(key, self.logits)
        return jax.nn.one_hot(classes, self.logits.shape[-1], dtype=self.logits.dtype)

    def log_prob_per_dimension(
        self, value: Float[Array, "*event classes"]
    ) -> Float[Array, "*event"]:
        """Return sum_k x_k log softmax(logits)_k of each one-hot vector x, in nats."""
        return jnp.sum(value * jax.nn.log_softmax(self.logits), axis=-1)

    def log_prob(self, value: Float[Array, "*event classes"]) -> Float[Array, ""]:
        """Return the log-probability of `value` in nats, summed over the event axes."""
        return jnp.sum(self.log_prob_per_dimension(value))

    def sample_relaxed_log(
        self, key: Key[Array, ""], temperature: Temperature
    ) -> Float[Array, "*event classes"]:
        """Draw the log of `sample_relaxed`: log_softmax((logits + Gumbel noise) / temperature)."""
        noise = jax.random.gumbel(key, self.logits.shape, self.logits.dtype)
        return jax.nn.log_softmax((self.logits + noise) / temperature)

    def sample_relaxed(
        self, key: Key[Array, ""], temperature: Temperature
    ) -> Float[Array, "*event classes"]:
        """Draw points of the simplex, differentiable in the logits and the temperature > 0.

        The Gumbel-Softmax or Concrete distribution: Jang et al. (2017). At a temperature near 0
        they are one-hot; at every one, an entry is the largest with its class's probability.
        """
        return jnp.exp(self.sample_relaxed_log(key, temperature))

    def relaxed_log_prob(
        self, log_value: Float[Array, "*event classes"], temperature: Temperature
    ) -> Float[Array, ""]:
        """Return the log-density of what `sample_relaxed_log` draws, in nats."""
        return concrete_log_prob(self.logits, temperature, log_value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Poisson(Factorized):
    """Independent counts with the rate exp(log_rate)."""

    log_rate: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The rate, exp(log_rate)."""
        return jnp.exp(self.log_rate)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of each count, which is its rate."""
        return jnp.exp(self.log_rate)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw counts, as floats (no gradient flows through them); rates stay under 2^31."""
        # jax draws Poisson counts from keys of its own default kind only.
        words = jax.random.bits(key, (2,), "uint32")
        own_key = jax.random.wrap_key_data(words, impl="threefry2x32")
        return jax.random.poisson(own_key, self.mean).astype(self.mean.dtype)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return x log_rate - exp(log_rate) - log(x!) of each count x, in nats."""
        return value * self.log_rate - jnp.exp(self.log_rate) - gammaln(value + 1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiscretizedLogistic(Factorized):
    """Independent levels x in {0, 1/(L-1), ..., 1}, the bins of a logistic variable.

    P(x) = sigmoid((x + h - mean) / s) - sigmoid((x - h - mean) / s) with s = exp(log_scale) and
    half a bin h = 1 / (2 (L - 1)); the first and the last bin reach to infinity, so that the
    num_levels = L probabilities sum to one. Eq. (2) of Salimans et al. (2017); Kingma et al.
    (2016). `mean` is the location of the logistic variable, which only far from both ends is the
    mean of the levels, and s is no standard deviation.

    Raises:
      ValueError: fewer than two levels.
    """

    mean: Any
    log_scale: Any
    num_levels: int = dataclasses.field(default=256, metadata={"static": True})

    def __post_init__(self) -> None:
        if self.num_levels < 2:
            raise ValueError(f"num_levels={self.num_levels} is not at least 2")

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw levels (no gradient flows through them)."""
        shape = jnp.broadcast_shapes(jnp.shape(self.mean), jnp.shape(self.log_scale))
        noise = jax.random.logistic(key, shape, jnp.result_type(self.mean, self.log_scale))
        level = jnp.round((self.mean + jnp.exp(self.log_scale) * noise) * (self.num_levels - 1))
        return jnp.clip(level, 0, self.num_levels - 1) / (self.num_levels - 1)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return log P(x) of each x, read as its nearest level, in nats.

        With u and l the bin's standardized ends, sigmoid(u) - sigmoid(l) is the product
        sigmoid(u) sigmoid(-l) (1 - exp(l - u)), whose logarithms stay finite however far x is.
        """
        last = self.num_levels - 1
        # In units of a bin, an end that two bins share is the same float for both.
        level, mean = jnp.round(value * last), self.mean * last
        inverse_scale = jnp.exp(-self.log_scale) / last
        below_upper = jax.nn.log_sigmoid((level + 0.5 - mean) * inverse_scale)
        above_lower = -jax.nn.softplus((level - 0.5 - mean) * inverse_scale)
        inside = below_upper + above_lower + _log1mexp(inverse_scale)
        return jnp.where(level <= 0, below_upper, jnp.where(level >= last, above_lower, inside))


def _log1mexp(x):
    # log(1 - exp(-x)) of x > 0: either of the two forms loses every digit where the other holds.
    near = x < 0.7
    return jnp.where(
        near,
        jnp.log(-jnp.expm1(-jnp.where(near, x, 1.0))),
        jnp.log1p(-jnp.exp(-jnp.where(near, 1.0, x))),
    )
