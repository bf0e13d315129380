"""Distributions of values with L equally spaced levels 0, 1 / (L - 1), ..., 1.

They are those of quantized data: counts 0 .. L - 1, such as 8-bit pixels, divided by L - 1.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np

from vae_jax.distributions.base import Distribution, Factorized, check_event, default_kind


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Levels(Distribution):
    """Independent values in {0, 1 / (L - 1), ..., 1}, with probabilities softmax(logits).

    `logits` has the event's shape and a last axis over the L levels; their order has no meaning.
    """

    logits: Any

    @property
    def levels(self) -> Float[Array, "levels"]:
        """The L possible values."""
        return jnp.linspace(0.0, 1.0, self.logits.shape[-1])

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean of each value."""
        return jax.nn.softmax(self.logits) @ self.levels

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of each value."""
        deviations = self.levels - self.mean[..., None]
        return jnp.sum(jax.nn.softmax(self.logits) * deviations**2, axis=-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw a level for each value (no gradient flows through it)."""
        return self.levels[jax.random.categorical(key, self.logits)]

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the log-probability of the level nearest to each value, in nats.

        A value whose nearest level would lie outside of 0 .. 1 has the log-probability -inf.
        """
        last = self.logits.shape[-1] - 1
        index = jnp.round(value * last).astype(jnp.int32)
        log_probs = jax.nn.log_softmax(self.logits)
        chosen = jnp.take_along_axis(log_probs, jnp.clip(index, 0, last)[..., None], axis=-1)[
            ..., 0
        ]
        return jnp.where((index < 0) | (index > last), -jnp.inf, chosen)

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the log-probability of `value` in nats, summed over the event axes.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.logits[..., 0])
        return jnp.sum(self.log_prob_per_dimension(value))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiscretizedLogistic(Factorized):
    """Independent levels x in {0, 1/(L-1), ..., 1}, the bins of a logistic variable.

    P(x) = sigmoid((x + h - location) / s) - sigmoid((x - h - location) / s), with s =
    exp(log_scale) and half a bin's width h = 1 / (2 (L - 1)). The first and the last bin extend to
    infinity, so that the L = num_levels probabilities sum to one. Eq. (2) of Salimans et al.
    (2017); Kingma et al. (2016). The location of the logistic variable equals the mean of the
    levels only far from both ends, and s is not their standard deviation.

    Raises:
      ValueError: fewer than two levels.
    """

    location: Any
    log_scale: Any
    num_levels: int = dataclasses.field(default=256, metadata={"static": True})

    def __post_init__(self) -> None:
        if self.num_levels < 2:
            raise ValueError(f"num_levels={self.num_levels} is not at least 2")

    @property
    def some_value(self) -> Float[Array, "*event"]:
        """The first level; the mean takes a sum over all of them."""
        return jnp.zeros(jnp.broadcast_shapes(jnp.shape(self.location), jnp.shape(self.log_scale)))

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean of the levels, sum_j P(X >= j) / (L - 1) over the levels j = 1 .. L - 1."""
        return self._moments()[0]

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of the levels, by E[X^2] = sum_j (2 j - 1) P(X >= j) in units of a level."""
        mean, mean_square = self._moments()
        return mean_square - mean**2

    def _moments(self):
        last = self.num_levels - 1
        location, scale = self.location * last, jnp.exp(self.log_scale) * last

        def add(j, sums):
            tail = jax.nn.sigmoid((location - (j - 0.5)) / scale)
            return sums[0] + tail / last, sums[1] + (2 * j - 1) * tail / last**2

        shape = jnp.broadcast_shapes(jnp.shape(location), jnp.shape(scale))
        zeros = jnp.zeros(shape, jnp.result_type(location, scale))
        return jax.lax.fori_loop(1, last + 1, add, (zeros, zeros))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw levels (no gradient flows through them)."""
        shape = jnp.broadcast_shapes(jnp.shape(self.location), jnp.shape(self.log_scale))
        noise = jax.random.logistic(key, shape, jnp.result_type(self.location, self.log_scale))
        level = jnp.round((self.location + jnp.exp(self.log_scale) * noise) * (self.num_levels - 1))
        return jnp.clip(level, 0, self.num_levels - 1) / (self.num_levels - 1)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return log P(x) of each x, read as its nearest level, in nats; -inf outside of 0 .. 1.

        With u and l the standardized upper and lower end of the bin, sigmoid(u) - sigmoid(l) is the
        product sigmoid(u) sigmoid(-l) (1 - exp(l - u)), whose logarithms are finite for every x.
        """
        last = self.num_levels - 1
        # In units of bins, the end that two neighbouring bins share is the same float for both.
        level, location = jnp.round(value * last), self.location * last
        inverse_scale = jnp.exp(-self.log_scale) / last
        below_upper = jax.nn.log_sigmoid((level + 0.5 - location) * inverse_scale)
        above_lower = -jax.nn.softplus((level - 0.5 - location) * inverse_scale)
        inside = below_upper + above_lower + _log1mexp(inverse_scale)
        log_probs = jnp.where(
            level <= 0, below_upper, jnp.where(level >= last, above_lower, inside)
        )
        return jnp.where((level < 0) | (level > last), -jnp.inf, log_probs)


def _log1mexp(x):
    # log(1 - exp(-x)) for x > 0: each form loses all precision where the other is used.
    near = x < 0.7
    return jnp.where(
        near,
        jnp.log(-jnp.expm1(-jnp.where(near, x, 1.0))),
        jnp.log1p(-jnp.exp(-jnp.where(near, 1.0, x))),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Binomial(Factorized):
    """Independent levels x = k / n, with k successes in n trials of probability sigmoid(logits).

    log P(x) = log n! - log k! - log (n - k)! + k l - n softplus(l) with the logit l and k = n x.

    Raises:
      ValueError: fewer than one trial.
    """

    logits: Any
    num_trials: int = dataclasses.field(default=1, metadata={"static": True})
    """n: one less than the number of levels."""

    def __post_init__(self) -> None:
        if self.num_trials < 1:
            raise ValueError(f"num_trials={self.num_trials} is not at least 1")

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean of x = k / n, the probability p = sigmoid(logits)."""
        return jax.nn.sigmoid(self.logits)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of x = k / n, p (1 - p) / n."""
        return jax.nn.sigmoid(self.logits) * jax.nn.sigmoid(-self.logits) / self.num_trials

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw levels (no gradient flows through them)."""
        dtype = jnp.result_type(self.logits)
        draws = jax.random.binomial(default_kind(key), self.num_trials, self.mean, dtype=dtype)
        return draws / self.num_trials

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return log P(x) of each x, read as its nearest level, in nats; -inf outside of 0 .. 1."""
        n, dtype = self.num_trials, jnp.result_type(self.logits)
        k = jnp.round(value * n)
        is_inside = (k >= 0) & (k <= n)
        k = jnp.clip(k, 0, n)
        log_ways = jnp.asarray(_log_binomial_coefficients(n), dtype)[k.astype(jnp.int32)]
        # k l - n softplus(l) in terms of one sign: the difference of 255 trials loses four digits.
        log_ones, log_zeros = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return jnp.where(is_inside, log_ways + k * log_ones + (n - k) * log_zeros, -jnp.inf)


@functools.cache
def _log_binomial_coefficients(n):
    # In float32 the logarithms of factorials of 255 leave an error of 1e-4 nats in every pixel.
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])
