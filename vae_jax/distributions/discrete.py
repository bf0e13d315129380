"""Distributions of discrete values: their log-densities are log-probabilities."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, Factorized, check_event, default_kind
from vae_jax.distributions.concrete import BinaryConcrete, Concrete, Temperature
from vae_jax.distributions.special import (
    exp_gap,
    finite,
    log_gamma_excess,
    restore_infinity,
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

        With p = sigmoid(l) this is x l - softplus(l), which neither overflows nor takes log(0). An
        infinite l is a certain bit: the log-probability of the other one is -inf.
        """
        logits = finite(self.logits)
        return restore_infinity(value * logits - jax.nn.softplus(logits))

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the sum of `log_prob_per_dimension`, in nats.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits)
        value, logits = jnp.broadcast_arrays(value, self.logits)
        return log_prob_of_bits(jnp.ravel(value).astype(logits.dtype), jnp.ravel(logits))

    def relaxed(self, temperature: Temperature) -> BinaryConcrete:
        """Return the relaxation of these bits at a temperature > 0; its samples have gradients."""
        return BinaryConcrete(self.logits, temperature)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical(Distribution):
    """Independent one-hot vectors over the last axis, with P(x_k = 1) = softmax(logits)_k.

    `logits` is [*event, classes], and a value has the same shape, as floats. A logit of -inf is a
    class of probability zero, one of inf a certain class.
    """

    logits: Any

    @property
    def mean(self) -> Float[Array, "*event classes"]:
        """The probability of each class, softmax(logits)."""
        return jax.nn.softmax(finite(self.logits))

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
        log_probs = jax.nn.log_softmax(finite(self.logits))
        return restore_infinity(jnp.sum(value * log_probs, axis=-1))

    def log_prob(self, value: Float[Array, "*event classes"]) -> Float[Array, ""]:
        """Return the log-probability of `value` in nats, summed over the event axes.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits)
        return jnp.sum(self.log_prob_per_dimension(value))

    def relaxed(self, temperature: Temperature) -> Concrete:
        """Return the relaxation at a temperature > 0; its samples have gradients."""
        return Concrete(self.logits, temperature)


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
        return jax.random.poisson(default_kind(key), self.mean).astype(self.mean.dtype)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return x log_rate - exp(log_rate) - log(x!) of each count x, in nats."""
        # The large terms of log x! = log x + log Gamma(x), x log x - x, cancel the others: what is
        # left of them is -x (exp(-d) - 1 + d) with d = log x - log_rate.
        is_large = value > 8
        small, large = jnp.where(is_large, 0.0, value), jnp.where(is_large, value, 10.0)
        direct = small * self.log_rate - jnp.exp(self.log_rate) - gammaln(small + 1)
        exponent = -large * exp_gap(jnp.log(large) - self.log_rate)
        far = exponent - jnp.log(large) - log_gamma_excess(large)
        return jnp.where(is_large, far, direct)
