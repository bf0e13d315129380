"""Bounds on log p(x) of one example as functions of its terms: in nats, larger is better."""

import math

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.objectives.terms import Terms, kl, reconstruction


def elbo(terms: Terms, beta: float | Array = 1.0, sampled_kl: bool = False) -> Float[Array, ""]:
    """Return E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) in nats, larger is better.

    With beta = 1: Eq. (7) of Kingma & Welling (2014), of which Eq. (6), log p(x, z) - log q(z|x),
    is the sampled form. Else: Eq. (4) of Higgins et al. (2017). For beta > 1 it remains a lower
    bound of log p(x), a looser one; for beta < 1 it is none.
    """
    return reconstruction(terms) - beta * kl(terms, sampled_kl)


def elbo_by_entropy(terms: Terms, beta: float | Array = 1.0) -> Float[Array, ""]:
    """Return E_q[log p(x|z) + beta log p(z)] + beta H[q(z|x)] in nats, larger is better.

    With beta = 1 the negative free energy: the expected log-joint by samples, and the entropy of q
    in closed form. In expectation it is `elbo`.
    """
    return jnp.mean(terms.log_likelihood + beta * terms.log_prior) + beta * terms.entropy


def importance_weighted_bound(log_weights: Float[Array, "samples"]) -> Float[Array, ""]:
    """Return log((1/K) sum_k w_k) in nats, larger is better: Eq. (8) of Burda et al. (2016).

    Its expectation rises with K from the ELBO (K = 1) towards log p(x).
    """
    return jax.nn.logsumexp(log_weights) - math.log(log_weights.shape[0])


def multiply_importance_weighted_bound(
    log_weights: Float[Array, "samples"], num_groups: int
) -> Float[Array, ""]:
    """Return the mean over M groups of the importance-weighted bound of K samples each, in nats.

    MIWAE(M, K), Section 4 of Rainforth et al. (2018): the expectation of the bound of K samples,
    with 1/M of its variance. M = 1 is that bound, K = 1 the ELBO of M samples.

    Args:
      log_weights: of M K samples, group after group.
      num_groups: M.
    """
    groups = log_weights.reshape(num_groups, -1)
    return jnp.mean(jax.vmap(importance_weighted_bound)(groups))


def combined_bound(
    log_weights: Float[Array, "samples"], elbo_weight: float | Array
) -> Float[Array, ""]:
    """Return b ELBO + (1 - b) importance-weighted bound, of the same samples, in nats.

    CIWAE(b), Section 4 of Rainforth et al. (2018); b = `elbo_weight` in 0 .. 1.
    """
    tighter = importance_weighted_bound(log_weights)
    return elbo_weight * jnp.mean(log_weights) + (1 - elbo_weight) * tighter


def renyi_bound(log_weights: Float[Array, "samples"], alpha: float | Array) -> Float[Array, ""]:
    """Return log((1/K) sum_k w_k^(1 - alpha)) / (1 - alpha) in nats: Li & Turner (2016).

    The sampled variational Renyi bound: alpha = 0 is the importance-weighted bound, alpha -> 1 the
    ELBO of K samples. The integral that it estimates falls with alpha, and for alpha < 0 (-1: the
    chi-square bound CUBO of Dieng et al., 2017) lies above log p(x), where it is finite. A finite
    number of samples is biased downwards: for alpha < 0 this is no upper bound of log p(x).
    """
    power = 1 - alpha
    mean = jnp.mean(log_weights)
    # A weight of zero has no finite logarithm, and then neither has the mean.
    center = jnp.where(jnp.isfinite(mean), mean, jnp.max(log_weights))
    gaps = jnp.where(power == 0, 0.0, power * (log_weights - center))
    # Near power = 0 the mean of exp(gap) is close to 1, and only expm1 tells by how much.
    is_near = (jnp.max(jnp.abs(gaps)) < 0.5) & (power != 0)
    near_gaps = jnp.where(is_near, gaps, 0.0)
    near = jnp.log1p(jnp.mean(jnp.expm1(near_gaps)))
    far = jax.nn.logsumexp(jnp.where(is_near, 0.0, gaps)) - math.log(len(gaps))
    excess = jnp.where(is_near, near, far)
    return jnp.where(power == 0, mean, center + excess / jnp.where(power == 0, 1.0, power))
