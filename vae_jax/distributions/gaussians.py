"""Gaussians, and the reparameterization that makes their samples differentiable."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float, Key

from vae_jax.distributions.base import LOG_2PI, Distribution, Factorized, check_event


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(Factorized):
    """A Gaussian with diagonal covariance: N(mean, diag(exp(log_scale))^2).

    `log_scale` is log sigma; the l = log sigma^2 of many texts is 2 log_scale. One of the two
    fields has the event's shape, and the other broadcasts to it.
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

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return -((x - mean) / sigma)^2 / 2 - log sigma - log(2 pi) / 2 of each x, in nats."""
        standardized = (value - self.mean) * jnp.exp(-self.log_scale)
        return -0.5 * standardized**2 - self.log_scale - 0.5 * LOG_2PI


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrackedGaussian(Gaussian):
    """A Gaussian whose derivatives tell the errors of the values that it meets.

    `error` and `count` are 0 and add nothing. The derivative of log_prob by `error` is the sum of
    the squared errors, and by `count` the number of values; of an objective, both are times its
    weight of log_prob, so that their ratio is a mean squared error whatever that weight is.
    """

    error: Any
    count: Any

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the log-density of each x, in nats."""
        squared_error = jax.lax.stop_gradient(value - self.mean) ** 2
        tracked = self.error * squared_error + self.count
        return super().log_prob_per_dimension(value) + tracked


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGaussian(Distribution):
    """A Gaussian over a vector, with full covariance: N(mean, L L^T).

    `scale_tril` is L, lower triangular with a positive diagonal, the Cholesky factor of the
    covariance; entries above its diagonal are ignored.
    """

    mean: Any
    scale_tril: Any

    @property
    def covariance(self) -> Float[Array, "event event"]:
        """The covariance L L^T."""
        factor = jnp.tril(self.scale_tril)
        return factor @ factor.T

    @property
    def variance(self) -> Float[Array, "event"]:
        """The variance of each dimension, the diagonal of the covariance."""
        return jnp.sum(jnp.tril(self.scale_tril) ** 2, axis=-1)

    @property
    def scale(self) -> Float[Array, "event"]:
        """The standard deviation of each dimension."""
        return jnp.sqrt(self.variance)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "event"]:
        """Draw mean + L eps with eps ~ N(0, I), differentiable in mean and scale_tril."""
        factor = jnp.tril(self.scale_tril)
        epsilon = jax.random.normal(key, factor.shape[:1], factor.dtype)
        return self.mean + factor @ epsilon

    def log_prob(self, value: Float[Array, "event"]) -> Float[Array, ""]:
        """Return -|L^-1 (x - mean)|^2 / 2 - sum_i log L_ii - d log(2 pi) / 2, in nats.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        check_event(value, self.mean)
        standardized = solve_triangular(self.scale_tril, value - self.mean, lower=True)
        log_volume = jnp.sum(jnp.log(jnp.diagonal(self.scale_tril)))
        return -0.5 * jnp.sum(standardized**2 + LOG_2PI) - log_volume


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
