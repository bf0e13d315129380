"""Gamma, Beta and Dirichlet: positive numbers, and points of (0, 1) and of the simplex.

Samples are made from jax's gamma variables, which are differentiable in the parameters by implicit
reparameterization, dz/dtheta = -(dF/dtheta) / p(z) with F the distribution function: Figurnov et
al. (2018). Samples are kept strictly inside the support, so that their log-density is finite: a
gamma variable with a small concentration often underflows, and is then replaced by the smallest
normal float. No gradient flows through a replaced sample.
"""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.special import betaln, gammaln, xlog1py, xlogy
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, Factorized
from vae_jax.distributions.special import exp_gap, log_gamma_excess, log_ratio


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gamma(Factorized):
    """Independent positive numbers: p(x) = b^a x^(a-1) exp(-b x) / Gamma(a).

    a = concentration > 0 and b = rate > 0, the inverse of a scale parameter.
    """

    concentration: Any
    rate: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean a / b."""
        return self.concentration / self.rate

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance a / b^2."""
        return self.concentration / self.rate**2

    @property
    def scale(self) -> Float[Array, "*event"]:
        """The standard deviation (not the scale parameter 1 / b)."""
        return jnp.sqrt(self.variance)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw positive numbers, differentiable in concentration and rate."""
        concentration, rate = jnp.broadcast_arrays(self.concentration, self.rate)
        return _at_least_tiny(jnp.exp(_log_gamma_variables(key, concentration) - jnp.log(rate)))

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return a log b + (a - 1) log x - b x - log Gamma(a) of each x, in nats."""
        # The large terms of log Gamma(a), a log a - a, cancel those of a log b and b x: what is
        # left is precise for large a too.
        a, b = self.concentration, self.rate
        is_edge = value <= 0
        x = jnp.where(is_edge, 1.0, value)
        exponent = -a * exp_gap(log_ratio(a, b * x, jnp.log(a) - jnp.log(b) - jnp.log(x)))
        inside = exponent - jnp.log(x) - log_gamma_excess(a)
        at_edge = xlogy(a, b) + xlogy(a - 1, value) - gammaln(a)
        return jnp.where(is_edge, at_edge, inside)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Beta(Factorized):
    """Independent numbers in (0, 1): p(x) = x^(alpha-1) (1-x)^(beta-1) / B(alpha, beta)."""

    alpha: Any
    beta: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean alpha / (alpha + beta)."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance m (1 - m) / (alpha + beta + 1), with m the mean."""
        total = self.alpha + self.beta
        return self.alpha / total * (self.beta / total) / (total + 1)

    @property
    def scale(self) -> Float[Array, "*event"]:
        """The standard deviation."""
        return jnp.sqrt(self.variance)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw numbers in (0, 1), differentiable in alpha and beta."""
        alpha, beta = jnp.broadcast_arrays(self.alpha, self.beta)
        logs = _log_gamma_variables(key, jnp.stack([alpha, beta]))
        value = _at_least_tiny(jax.nn.sigmoid(logs[0] - logs[1]))
        return jnp.minimum(value, 1 - jnp.finfo(value.dtype).epsneg)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return (alpha - 1) log x + (beta - 1) log(1 - x) - log B of each x, in nats."""
        # As for gamma variables, the large terms of log B cancel those of the powers.
        a, b = self.alpha, self.beta
        is_edge = (value <= 0) | (value >= 1)
        x = jnp.where(is_edge, 0.5, value)
        powers = a * (jnp.log(x) + jnp.log1p(b / a)) + b * (jnp.log1p(-x) + jnp.log1p(a / b))
        log_beta_excess = log_gamma_excess(a) + log_gamma_excess(b) - log_gamma_excess(a + b)
        inside = powers - log_beta_excess - jnp.log(x) - jnp.log1p(-x)
        at_edge = xlogy(a - 1, value) + xlog1py(b - 1, -value) - betaln(a, b)
        return jnp.where(is_edge, at_edge, inside)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dirichlet(Distribution):
    """Independent points of the simplex over the last axis: p(x) = prod_k x_k^(a_k - 1) / B(a).

    a = concentration > 0 has the shape [*event, K] of a value. The density is that of K - 1 of the
    K entries, and B(a) = prod_k Gamma(a_k) / Gamma(sum_k a_k).
    """

    concentration: Any

    @property
    def mean(self) -> Float[Array, "*event k"]:
        """The mean a_k / sum_j a_j."""
        return self.concentration / jnp.sum(self.concentration, axis=-1, keepdims=True)

    @property
    def variance(self) -> Float[Array, "*event k"]:
        """The variance m_k (1 - m_k) / (sum_j a_j + 1) of each entry, with m the mean."""
        total = jnp.sum(self.concentration, axis=-1, keepdims=True)
        return self.mean * (1 - self.mean) / (total + 1)

    @property
    def scale(self) -> Float[Array, "*event k"]:
        """The standard deviation of each entry."""
        return jnp.sqrt(self.variance)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event k"]:
        """Draw points of the simplex, differentiable in the concentration."""
        return _at_least_tiny(jax.nn.softmax(_log_gamma_variables(key, self.concentration)))

    def log_prob_per_dimension(self, value: Float[Array, "*event k"]) -> Float[Array, "*event"]:
        """Return sum_k (a_k - 1) log x_k - log B(a) of each point x, in nats."""
        # As for gamma variables, the large terms of log B cancel those of the powers.
        a, total = self.concentration, jnp.sum(self.concentration, axis=-1)
        is_edge = value <= 0
        x = jnp.where(is_edge, 1.0, value)
        inside = a * log_ratio(x * total[..., None], a) - jnp.log(x)
        at_edge = xlogy(a - 1, value) + a * (jnp.log(total)[..., None] - jnp.log(a))
        terms = jnp.where(is_edge, at_edge, inside) - log_gamma_excess(a)
        return jnp.sum(terms, axis=-1) + log_gamma_excess(total)

    def log_prob(self, value: Float[Array, "*event k"]) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, summed over the event axes."""
        return jnp.sum(self.log_prob_per_dimension(value))


def _log_gamma_variables(key, concentration):
    return jax.random.loggamma(key, concentration, dtype=jnp.result_type(concentration))


def _at_least_tiny(value):
    # Smaller floats are subnormal, which many devices flush to zero.
    return jnp.maximum(value, jnp.finfo(value.dtype).tiny)
