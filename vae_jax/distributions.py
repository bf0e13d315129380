"""Densities, divergences and the reparameterization of one example, in nats.

Parameters and values carry event axes only; `jax.vmap` adds batch axes. `log_prob` sums over the
event axes and includes every constant.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

LOG_2PI = math.log(2 * math.pi)


class Distribution:
    """What a posterior, prior or likelihood must offer; subclasses are small frozen pytrees.

    `sample(key)` draws one value, `log_prob(value)` is its log-density in nats. A flow overrides
    `sample_and_log_prob`, which is cheaper for it than the two calls.
    """

    def sample(self, key: Key[Array, ""]) -> Any:
        """Draw one value."""
        raise NotImplementedError

    def log_prob(self, value: Any) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, summed over the event axes."""
        raise NotImplementedError

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Any, Float[Array, ""]]:
        """Draw one value and return it with its log-density in nats."""
        value = self.sample(key)
        return value, self.log_prob(value)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(Distribution):
    """A Gaussian with diagonal covariance: N(mean, diag(exp(log_scale))^2).

    `log_scale` is log sigma; the l = log sigma^2 of many texts is 2 log_scale. One of the fields
    has the event's shape, and the other one broadcasts to it.
    """

    mean: Any
    log_scale: Any

    @property
    def scale(self) -> Float[Array, "*event"]:
        """The standard deviation sigma."""
        return jnp.exp(self.log_scale)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance sigma^2 of each dimension."""
        return jnp.exp(2 * self.log_scale)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw mean + sigma * eps, differentiable in mean and log_scale."""
        return reparameterize(key, self)

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return sum of -((x - mean) / sigma)^2 / 2 - log sigma - log(2 pi) / 2, in nats."""
        value, mean, log_scale = _flat(value, self.mean, self.log_scale)
        standardized = (value - mean) * jnp.exp(-log_scale)
        return jnp.sum(-0.5 * standardized**2 - log_scale - 0.5 * LOG_2PI)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli(Distribution):
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

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return +sum of x log p + (1 - x) log(1 - p) in nats, for x in {0, 1}.

        With p = sigmoid(l) this is x l - softplus(l), which neither overflows nor takes log(0).
        """
        value, logits = _flat(value, self.logits)
        return jnp.sum(value * logits - jax.nn.softplus(logits))


def _flat(*arrays):
    # XLA's CPU backend leaves a reduction over the axes of an image, such as (28, 28, 1),
    # unvectorized: over one axis a batch of Bernoulli densities takes a quarter of the time.
    return [jnp.ravel(array) for array in jnp.broadcast_arrays(*arrays)]


def reparameterize(key: Key[Array, ""], q: Gaussian) -> Float[Array, "*event"]:
    """Draw z = mean + sigma * eps with eps ~ N(0, I), so that dz/dmean = 1 and dz/dsigma = eps.

    Eq. (10) of Kingma & Welling (2014). Differentiable in the parameters of `q`.
    """
    shape = jnp.broadcast_shapes(jnp.shape(q.mean), jnp.shape(q.log_scale))
    epsilon = jax.random.normal(key, shape, jnp.result_type(q.mean, q.log_scale))
    return q.mean + q.scale * epsilon


def standard_normal(num_dimensions: int) -> Gaussian:
    """Return N(0, I) over `num_dimensions` dimensions."""
    return Gaussian(jnp.zeros(num_dimensions), jnp.zeros(num_dimensions))


def _gaussian_kl(q: Gaussian, p: Gaussian) -> Float[Array, "*event"]:
    # With p = N(0, I): (mean^2 + sigma^2 - log sigma^2 - 1) / 2, Appendix B of Kingma & Welling
    # (2014). expm1 keeps the digits where q is close to p, and no variance is ever logged.
    log_ratio = q.log_scale - p.log_scale
    shift = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * (jnp.expm1(2 * log_ratio) + shift**2) - log_ratio


def _bernoulli_kl(q: Bernoulli, p: Bernoulli) -> Float[Array, "*event"]:
    log_ratio_one = jax.nn.log_sigmoid(q.logits) - jax.nn.log_sigmoid(p.logits)
    log_ratio_zero = jax.nn.log_sigmoid(-q.logits) - jax.nn.log_sigmoid(-p.logits)
    return q.mean * log_ratio_one + jax.nn.sigmoid(-q.logits) * log_ratio_zero


KL_PER_DIMENSION: dict[tuple[type, type], Callable] = {
    (Gaussian, Gaussian): _gaussian_kl,
    (Bernoulli, Bernoulli): _bernoulli_kl,
}


def has_closed_form_kl(q: Distribution, p: Distribution) -> bool:
    """Tell whether KL(q || p) of these two types has a closed form here."""
    return (type(q), type(p)) in KL_PER_DIMENSION


def kl_per_dimension(q: Distribution, p: Distribution) -> Float[Array, "*event"]:
    """Return KL(q || p) of each dimension in nats (>= 0), for a pair that factorizes.

    Raises:
      TypeError: the pair of types has no closed form here.
    """
    if not has_closed_form_kl(q, p):
        known = ", ".join(f"({a.__name__}, {b.__name__})" for a, b in KL_PER_DIMENSION)
        raise TypeError(
            f"no closed-form KL of ({type(q).__name__}, {type(p).__name__}); known: {known}"
        )
    return KL_PER_DIMENSION[type(q), type(p)](q, p)


def kl_divergence(q: Distribution, p: Distribution) -> Float[Array, ""]:
    """Return KL(q || p) = E_q[log q - log p] in nats (>= 0), in closed form.

    Raises:
      TypeError: the pair of types has no closed form here.
    """
    return jnp.sum(kl_per_dimension(q, p))
