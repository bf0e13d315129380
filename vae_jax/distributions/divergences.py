"""Kullback-Leibler divergences in closed form, in nats."""

from collections.abc import Callable

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.discrete import Bernoulli
from vae_jax.distributions.gaussians import Gaussian


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
