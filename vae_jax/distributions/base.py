"""What every distribution offers, and how those of independent dimensions sum over them."""

import dataclasses
import math
from typing import Any

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


class Factorized(Distribution):
    """A distribution of independent dimensions, whose fields broadcast to the event's shape."""

    def log_prob_per_dimension(self, value: Any) -> Float[Array, "*event"]:
        """Return the log-density of each dimension of `value` in nats."""
        raise NotImplementedError

    def log_prob(self, value: Any) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, summed over the event axes."""
        # XLA's CPU backend leaves a reduction over the axes of an image, such as (28, 28, 1),
        # unvectorized: over one axis a batch of Bernoulli densities takes a quarter of the time.
        names = [f.name for f in dataclasses.fields(self) if not f.metadata.get("static")]
        value, *fields = _flat(value, *(getattr(self, name) for name in names))
        flat = dataclasses.replace(self, **dict(zip(names, fields, strict=True)))
        return jnp.sum(flat.log_prob_per_dimension(value))


def _flat(*arrays):
    return [jnp.ravel(array) for array in jnp.broadcast_arrays(*arrays)]
