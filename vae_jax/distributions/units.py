"""Densities in the units of the data, of values that the model sees standardized."""

import dataclasses
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InUnits(Distribution):
    """The distribution of u whose log-density is that of x, where u = (x - location) / scale.

    log p(x) = log base(u) - sum_i log scale_i. With `is_log`, u = (log x - location) / scale and
    log p(x) = log base(u) - sum_i (log scale_i + log x_i), as of a log-normal x. A value, a sample
    and the mean are u, what the model sees; only the log-density knows of x. `location` and `scale`
    are known numbers in the event's shape; the dimensions of `base` are independent.
    """

    base: Any
    location: Any
    scale: Any
    is_log: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean of u."""
        return self.base.mean

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of u."""
        return self.base.variance

    @property
    def some_value(self) -> Float[Array, "*event"]:
        """A u inside the support of the base."""
        return self.base.some_value

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw u."""
        return self.base.sample(key)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return the log-density of each x in nats, given u."""
        return self.base.log_prob_per_dimension(value) - self._log_jacobian(value)

    def log_prob(self, value: Float[Array, "*event"]) -> Float[Array, ""]:
        """Return the log-density of x in nats, given u."""
        return self.base.log_prob(value) - jnp.sum(self._log_jacobian(value))

    def _log_jacobian(self, value):
        # log |dx / du| of each dimension
        log_scale = jnp.log(self.scale)
        return log_scale + self.location + self.scale * value if self.is_log else log_scale
