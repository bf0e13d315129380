"""Values of which some are missing."""

import dataclasses
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key, Num, Shaped

from vae_jax.distributions.base import Distribution


class Masked(NamedTuple):
    """Values of which some are missing."""

    values: Any
    mask: Any
    """1 or True where the value is observed; over the leading axes of the values, or all."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Observed(Distribution):
    """The distribution of those entries that are observed; a value is `Masked(values, mask)`.

    log p = sum_i mask_i log base(x_i): the missing entries are integrated out, which is to leave
    them out, since those of `base` are independent. What stands in them, NaN too, changes neither
    the log-density nor a gradient. A mask of fewer axes than the values holds for all that follow:
    [height, width] for every color. `base` has `log_prob_per_dimension` and `mean`.
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
        """Draw every entry: which would be missing is not modelled, so the mask is all True."""
        values = self.base.sample(key)
        return Masked(values, jnp.ones(self.base.log_prob_per_dimension(values).shape, bool))

    def log_prob_per_dimension(self, value: Masked) -> Float[Array, "*event"]:
        """Return the log-density of each observed entry in nats, and 0 of each missing one."""
        # A missing entry is replaced before the density is taken: the gradient of a NaN that is
        # dropped afterwards is NaN. A mean is inside the support of every distribution.
        stand_in = jax.lax.stop_gradient(self.base.mean)
        values = jnp.where(spread(value.mask, value.values), value.values, stand_in)
        log_probs = self.base.log_prob_per_dimension(values)
        return jnp.where(spread(value.mask, log_probs), log_probs, 0)

    def log_prob(self, value: Masked) -> Float[Array, ""]:
        """Return the log-density of the observed entries in nats."""
        return jnp.sum(jnp.ravel(self.log_prob_per_dimension(value)))


def spread(mask: Shaped[Array, "*leading"], array: Num[Array, "*event"]) -> Bool[Array, "*event"]:
    """Return where a mask is not 0, in the shape of the array: it is read from the first axis."""
    # Arrays of different ranks broadcast from the last axis.
    mask = mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
    return jnp.broadcast_to(mask != 0, array.shape)
