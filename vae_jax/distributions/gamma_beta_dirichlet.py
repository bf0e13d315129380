"""Gamma, Beta and Dirichlet: positive numbers, and points of (0, 1) and of the simplex.

Samples are made from jax's gamma variables, which are differentiable in the parameters by implicit
reparameterization, dz/dtheta = -(dF/dtheta) / p(z) with F the distribution function: Figurnov et
al. (2018).

A float32 cannot hold every sample of a small concentration: 22% of Beta(.05, .05) lie within 6e-8
of 1, and 1.3% of Gamma(.05, 1) below 1e-38. `sample` keeps them strictly inside the support, and no
gradient flows through those that it moves; but a mean of log-densities of such samples is wrong by
nats. `unbounded()` is the distribution of the logarithm or logit, which a float holds of every
sample: sampled terms of a bound are made of it. A divergence, or a ratio of two densities, is the
same in these coordinates.
"""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.special import betaln, gammaln, xlog1py, xlogy
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, Factorized, check_event
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
        unbounded = self.unbounded()
        return unbounded.latent(unbounded.sample(key))

    def unbounded(self) -> "LogGamma":
        """Return the distribution of log x."""
        return LogGamma(self.concentration, self.rate)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return a log b + (a - 1) log x - b x - log Gamma(a) of each x, in nats."""
        a, b = self.concentration, self.rate
        is_edge = value <= 0
        x = jnp.where(is_edge, 1.0, value)
        inside = _log_gamma_density(a, b, x, jnp.log(x)) - jnp.log(x)
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
        unbounded = self.unbounded()
        return unbounded.latent(unbounded.sample(key))

    def unbounded(self) -> "LogitBeta":
        """Return the distribution of log x - log(1 - x)."""
        return LogitBeta(self.alpha, self.beta)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return (alpha - 1) log x + (beta - 1) log(1 - x) - log B of each x, in nats."""
        a, b = self.alpha, self.beta
        is_edge = (value <= 0) | (value >= 1)
        x = jnp.where(is_edge, 0.5, value)
        logs = jnp.log(x), jnp.log1p(-x)
        inside = _logit_beta_density(a, b, *logs) - logs[0] - logs[1]
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
        unbounded = self.unbounded()
        return unbounded.latent(unbounded.sample(key))

    def unbounded(self) -> "LogDirichlet":
        """Return the distribution of the logarithm of each entry."""
        return LogDirichlet(self.concentration)

    def log_prob_per_dimension(self, value: Float[Array, "*event k"]) -> Float[Array, "*event"]:
        """Return sum_k (a_k - 1) log x_k - log B(a) of each point x, in nats."""
        a, total = self.concentration, jnp.sum(self.concentration, axis=-1)
        is_edge = value <= 0
        x = jnp.where(is_edge, 1.0, value)
        inside = _powers(a, x, jnp.log(x)) - jnp.log(x)
        at_edge = xlogy(a - 1, value) + a * (jnp.log(total)[..., None] - jnp.log(a))
        terms = jnp.where(is_edge, at_edge, inside) - log_gamma_excess(a)
        return jnp.sum(terms, axis=-1) + log_gamma_excess(total)

    def log_prob(self, value: Float[Array, "*event k"]) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, summed over the event axes.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.concentration)
        return jnp.sum(self.log_prob_per_dimension(value))


# The same variables in coordinates of which a float holds every sample.


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogGamma(Factorized):
    """Logarithms t of gamma variables: p(t) = exp(t) p(x = exp(t))."""

    concentration: Any
    rate: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw logarithms, differentiable in concentration and rate."""
        concentration, rate = jnp.broadcast_arrays(self.concentration, self.rate)
        return _log_gamma_variables(key, concentration) - jnp.log(rate)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return a (log b + t) - b exp(t) - log Gamma(a) of each t, in nats."""
        return _log_gamma_density(self.concentration, self.rate, jnp.exp(value), value)

    def latent(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the gamma variables, inside the support."""
        return _at_least_tiny(jnp.exp(value))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogitBeta(Factorized):
    """Logits t of beta variables: p(t) = x (1 - x) p(x) with x = sigmoid(t)."""

    alpha: Any
    beta: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw logits, differentiable in alpha and beta."""
        logs = _log_gamma_variables(key, jnp.stack(jnp.broadcast_arrays(self.alpha, self.beta)))
        return logs[0] - logs[1]

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return alpha log x + beta log(1 - x) - log B of each t, in nats."""
        logs = jax.nn.log_sigmoid(value), jax.nn.log_sigmoid(-value)
        return _logit_beta_density(self.alpha, self.beta, *logs)

    def latent(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the beta variables, inside the support."""
        return _inside_unit(jax.nn.sigmoid(value))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogDirichlet(Distribution):
    """Logarithms y of points x of the simplex: p(y) = p(x) prod_k x_k.

    A density of the K - 1 log-ratios y_k - y_K, whichever entry is K.
    """

    concentration: Any

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event k"]:
        """Draw the logarithm of each entry, differentiable in the concentration."""
        return jax.nn.log_softmax(_log_gamma_variables(key, self.concentration))

    def log_prob(self, value: Float[Array, "*event k"]) -> Float[Array, ""]:
        """Return sum_k a_k y_k - log B(a) in nats, summed over the event axes.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.concentration)
        a, total = self.concentration, jnp.sum(self.concentration, axis=-1)
        terms = _powers(a, jnp.exp(value), value) - log_gamma_excess(a)
        return jnp.sum(terms) + jnp.sum(log_gamma_excess(total))

    def latent(self, value: Float[Array, "*event k"]) -> Float[Array, "*event k"]:
        """Return the points of the simplex, inside the support."""
        return _at_least_tiny(jnp.exp(value))


# Densities in these coordinates, of the variables and their logarithms. The large terms of
# log Gamma(a), a log a - a, cancel those of the powers: what is left is precise for large a too.


def _log_gamma_density(a, b, x, log_x):
    far = jnp.log(a) - jnp.log(b) - log_x
    return -a * exp_gap(log_ratio(a, b * x, far)) - log_gamma_excess(a)


def _logit_beta_density(a, b, log_x, log_complement):
    powers = a * (log_x + jnp.log1p(b / a)) + b * (log_complement + jnp.log1p(a / b))
    return powers - log_gamma_excess(a) - log_gamma_excess(b) + log_gamma_excess(a + b)


def _powers(a, x, log_x):
    total = jnp.sum(a, axis=-1, keepdims=True)
    return a * log_ratio(x * total, a, log_x + jnp.log(total) - jnp.log(a))


def _log_gamma_variables(key, concentration):
    logs = jax.random.loggamma(key, concentration, dtype=jnp.result_type(concentration))
    # jax's derivative is that of x = exp(log x), which underflows for a small concentration a.
    # There F(x) = x^a / Gamma(a + 1), so that log x = (log F + log Gamma(a + 1)) / a.
    is_small = logs < -40
    a = jnp.where(is_small, concentration, 1.0)
    log_quantile = jax.lax.stop_gradient(a * logs - gammaln(a + 1))
    return jnp.where(is_small, (log_quantile + gammaln(a + 1)) / a, logs)


def _at_least_tiny(value):
    # Smaller floats are subnormal, which many devices flush to zero.
    return jnp.maximum(value, jnp.finfo(value.dtype).tiny)


def _inside_unit(value):
    return jnp.minimum(_at_least_tiny(value), 1 - jnp.finfo(value.dtype).epsneg)
