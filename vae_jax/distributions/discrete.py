"""Distributions of discrete values: their log-densities are log-probabilities."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Float, Key
import numpy as np

from vae_jax.distributions.base import Distribution, Factorized, check_event, default_kind
from vae_jax.distributions.concrete import BinaryConcrete, Concrete, Temperature
from vae_jax.distributions.special import (
    exp_gap,
    finite,
    log_gamma_excess,
    log_ratio,
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
class OneHot(Distribution):
    """Independent one-hot vectors of several lengths, one after the other in one vector.

    `logits` and a value are [sum of sizes]; the probabilities are softmax(logits) within each
    vector. (Vectors of one length along the last axis of an array are `Categorical`.)

    Raises:
      ValueError: sizes that do not add up to the length of the logits.
    """

    logits: Any
    sizes: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    def __post_init__(self) -> None:
        shape = getattr(self.logits, "shape", None)  # jax also makes objects without arrays
        if shape is not None and shape[-1:] != (sum(self.sizes),):
            raise ValueError(
                f"one-hot vectors of {self.sizes} classes need as many logits: {shape}"
            )

    @property
    def mean(self) -> Float[Array, "entries"]:
        """The probability of each class."""
        return jnp.exp(self._log_probs())

    @property
    def variance(self) -> Float[Array, "entries"]:
        """The variance p (1 - p) of each entry."""
        return self.mean * (1 - self.mean)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "entries"]:
        """Draw one-hot vectors (no gradient flows through them)."""
        noise = jax.random.gumbel(key, self.logits.shape, self.logits.dtype)
        drawn = self._padded(self.logits + noise)
        one_hot = jax.nn.one_hot(jnp.argmax(drawn, axis=-1), drawn.shape[-1])
        return one_hot.astype(self.logits.dtype)[self._places]

    def log_prob_per_dimension(self, value: Float[Array, "entries"]) -> Float[Array, "entries"]:
        """Return x_k log p_k of each entry in nats: their sum over a vector is its log-density."""
        return value * self._log_probs()

    def log_prob(self, value: Float[Array, "entries"]) -> Float[Array, ""]:
        """Return the log-probability of `value` in nats, summed over the vectors.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits)
        return jnp.sum(self.log_prob_per_dimension(value))

    def _log_probs(self):
        return jax.nn.log_softmax(self._padded(finite(self.logits)))[self._places]

    @property
    def _places(self):
        # (vector, class) of each entry.
        classes = np.concatenate([np.arange(size) for size in self.sizes])
        return np.repeat(np.arange(len(self.sizes)), self.sizes), classes

    def _padded(self, entries):
        # One row for each vector, filled up with -inf; the indices are known while compiling.
        starts = np.cumsum([0, *self.sizes[:-1]])[:, None] + np.arange(max(self.sizes))
        is_entry = np.arange(max(self.sizes)) < np.array(self.sizes)[:, None]
        return jnp.where(is_entry, entries[np.where(is_entry, starts, 0)], -jnp.inf)


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NegativeBinomial(Factorized):
    """Independent counts of mean m = exp(log_mean) and variance m + m^2 / r, r = exp(log_total).

    A Poisson count whose rate is a gamma variable of mean m and shape r; for a large r it is
    Poisson. r need not be an integer.
    """

    log_mean: Any
    log_total: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean m."""
        return jnp.broadcast_arrays(jnp.exp(self.log_mean), self.log_total)[0]

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance m + m^2 / r of each count."""
        return self.mean + jnp.exp(2 * self.log_mean - self.log_total)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw counts, as floats (no gradient flows through them); rates stay under 2^31."""
        key_rate, key_count = jax.random.split(default_kind(key))
        total = jnp.exp(jnp.broadcast_to(self.log_total, self.mean.shape))
        log_rate = jax.random.loggamma(key_rate, total) + self.log_mean - self.log_total
        return jax.random.poisson(key_count, jnp.exp(log_rate)).astype(self.mean.dtype)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return log Gamma(x + r) - log Gamma(r) - log x! + r log(r / (r + m)) + x log(m / (r + m))
        of each count x, in nats.
        """
        # Poisson's log-probability, and what is left of the large terms of log Gamma.
        total, mean = jnp.exp(self.log_total), jnp.exp(self.log_mean)
        both = value + total
        excess = log_gamma_excess(both) - log_gamma_excess(total)
        correction = both * exp_gap(log_ratio(both, mean + total)) + excess
        return Poisson(self.log_mean).log_prob_per_dimension(value) + correction
