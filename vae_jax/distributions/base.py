"""The interface of distributions, and the base class of those with independent dimensions."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.fast.reductions import sum_elementwise

LOG_2PI = math.log(2 * math.pi)


class Distribution:
    """What a posterior, prior or likelihood must offer; subclasses are small frozen pytrees.

    `sample(key)` draws one value, `log_prob(value)` is its log-density in nats. A flow overrides
    `sample_and_log_prob`, which costs it less than the two calls. `mean` is the mean of the value,
    a pytree like it; flows, chains and relaxed distributions have none.
    """

    if TYPE_CHECKING:  # at run time a property would become the default of the field `mean`

        @property
        def mean(self) -> Any: ...

    def sample(self, key: Key[Array, ""]) -> Any:
        """Draw one value."""
        raise NotImplementedError

    def log_prob(self, value: Any) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, summed over the event axes."""
        raise NotImplementedError

    @property
    def some_value(self) -> Any:
        """A value inside the support, to stand in for a missing one: the mean."""
        return self.mean

    def unbounded(self) -> "Distribution | None":
        """Return the distribution of unbounded coordinates of a value, as of its logarithm.

        Only where a float holds too few values near the ends of the support; else None. Its
        `latent(value)` is the value itself.
        """
        return None

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
        """Return the log-density of `value` in nats, summed over the event axes.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        names = [f.name for f in dataclasses.fields(self) if not f.metadata.get("static")]
        check_event(value, *(getattr(self, name) for name in names))

        def per_dimension(value, *fields):
            flat = dataclasses.replace(self, **dict(zip(names, fields, strict=True)))
            return flat.log_prob_per_dimension(value)

        return sum_elementwise(per_dimension, value, *(getattr(self, name) for name in names))


def check_event(value: Any, *parameters: Any) -> None:
    """Refuse a value of another shape than that to which the parameters broadcast.

    Raises:
      ValueError: with both shapes. Broadcasting would count some densities several times.
    """
    event = jnp.broadcast_shapes(*map(jnp.shape, parameters))
    if jnp.shape(value) != event:
        raise ValueError(
            f"a value of this distribution has shape {event}, got {jnp.shape(value)}: lift "
            "log_prob to a batch by jax.vmap"
        )


def default_kind(key: Key[Array, ""]) -> Key[Array, ""]:
    """Return a key of jax's default kind, drawn from a key of any kind.

    jax draws Poisson counts from no others, and binomial counts of wrong frequencies from keys of
    the kind "rbg" under `jax.vmap`.
    """
    words = jax.random.bits(key, (2,), "uint32")
    return jax.random.wrap_key_data(words, impl="threefry2x32")
