"""Mixtures of distributions of one type."""

import dataclasses
import functools
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution, check_event
from vae_jax.distributions.gaussians import Gaussian
from vae_jax.fast.mixtures import gaussian_log_probs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """p(z) = sum_k w_k p_k(z) with w = softmax(log_weights).

    `components` is one distribution whose leaves have a leading axis over k, as vmap makes it.
    `log_weights` [k] need not be normalized: log_softmax is applied wherever they are read.
    """

    log_weights: Any
    components: Any

    @property
    def weights(self) -> Float[Array, "components"]:
        """The probability of each component."""
        return jax.nn.softmax(self.log_weights)

    @property
    def mean(self) -> Any:
        """The mean sum_k w_k E_k[z]."""
        means = jax.vmap(lambda component: component.mean)(self.components)
        return jax.tree.map(lambda mean: jnp.tensordot(self.weights, mean, axes=1), means)

    def unbounded(self) -> "Mixture | None":
        """Return the mixture in the unbounded coordinates of its components, or None."""
        components = self.components.unbounded()
        return None if components is None else Mixture(self.log_weights, components)

    def sample(self, key: Key[Array, ""]) -> Any:
        """Draw a component by its weight, and a value from it.

        The value is differentiable in that component's parameters, not in the weights.
        """
        key_component, key_value = jax.random.split(key)
        k = jax.random.categorical(key_component, self.log_weights)
        return jax.tree.map(lambda leaf: leaf[k], self.components).sample(key_value)

    def log_prob(self, value: Any) -> Float[Array, ""]:
        """Return log sum_k w_k p_k(value) in nats.

        Raises:
          ValueError: `value` has another shape than the event; it is not broadcast.
        """
        log_probs = _component_log_probs(self.components, value)
        return jax.nn.logsumexp(_add(jax.nn.log_softmax(self.log_weights), log_probs))


# vmap instead of broadcasting: a number of components other than that of the weights is an error.
_add = jax.vmap(jnp.add)


def _component_log_probs(components, value):
    if type(components) is not Gaussian:
        return jax.vmap(lambda component: component.log_prob(value))(components)
    flatten = jax.vmap(functools.partial(_flatten, value), out_axes=(None, 0, 0))
    return gaussian_log_probs(*flatten(components))


def _flatten(value, component):
    check_event(value, component.mean, component.log_scale)
    arrays = jnp.broadcast_arrays(value, component.mean, component.log_scale)
    return tuple(jnp.ravel(array) for array in arrays)
