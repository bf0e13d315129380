"""Missing values: a mask beside the values, and the density of the observed ones."""

import dataclasses
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, Num, Shaped

from vae_jax.distributions.base import Distribution, check_event


class Masked(NamedTuple):
    """Values of which some are missing."""

    values: Any
    mask: Any
    """1 or True where the value is observed; over the leading axes of the values, or all."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Observed(Distribution):
    """The distribution of the observed entries; a value is `Masked(values, mask)`.

    log p = sum_i mask_i log base(x_i): the entries of `base` are independent, so integrating out
    the missing ones means leaving them out. What is stored in them, even NaN, changes neither the
    log-density nor a gradient. A mask with fewer axes than the values applies to all axes that
    follow: [height, width] to every color. A mask over all axes of one-hot vectors observes those
    of which it observes every entry. `base` has `log_prob_per_dimension`, `mean` and `some_value`.
    """

    base: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean of every entry, observed or not."""
        return self.base.mean

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance of every entry, observed or not."""
        return self.base.variance

    def sample(self, key: Key[Array, ""]) -> Masked:
        """Draw every entry; which entries are missing is not modelled, so the mask is all True."""
        values = self.base.sample(key)
        return Masked(values, jnp.ones(self.base.log_prob_per_dimension(values).shape, bool))

    def log_prob_per_dimension(self, value: Masked) -> Float[Array, "*event"]:
        """Return the log-density of each observed entry in nats, and 0 of each missing one.

        Raises:
          ValueError: the value has no mask, or another shape than the event: it is not broadcast.
        """
        if not isinstance(value, Masked):
            raise ValueError(
                f"a value of this distribution is Masked(values, mask), got {type(value).__name__}"
            )
        # Missing entries are replaced before the density is computed: dropping a NaN afterwards
        # would leave its gradient NaN.
        stand_in = jax.lax.stop_gradient(self.base.some_value)
        check_event(value.values, stand_in)
        values = jnp.where(spread(value.mask, value.values), value.values, stand_in)
        log_probs = self.base.log_prob_per_dimension(values)
        mask = jnp.asarray(value.mask) != 0
        mask = jnp.all(mask, axis=tuple(range(log_probs.ndim, mask.ndim)))
        return jnp.where(spread(mask, log_probs), log_probs, 0)

    def log_prob(self, value: Masked) -> Float[Array, ""]:
        """Return the log-density of the observed entries in nats."""
        return jnp.sum(jnp.ravel(self.log_prob_per_dimension(value)))


def spread(mask: Shaped[Array, "*leading"], array: Num[Array, "*event"]) -> Bool[Array, "*event"]:
    """Return where a mask is not 0, broadcast to the shape of the array from its first axis on."""
    # Arrays of different ranks broadcast from the last axis.
    mask = mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
    return jnp.broadcast_to(mask != 0, array.shape)
