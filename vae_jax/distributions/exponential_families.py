"""Exponential families, whose KL divergence follows from the log-normalizer alone.

A family is p(x) = h(x) exp(<eta, T(x)> - A(eta)). Its row in `EXPONENTIAL_FAMILIES` holds the
natural parameters eta, the statistics T(x), both pytrees of the same shapes, and the log-normalizer
A(eta) in nats, summed over the event: Wainwright & Jordan (2008), Section 3. The base measure h
does not depend on the parameters, and cancels in a divergence.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln
from jaxtyping import Float

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.discrete import Bernoulli, Categorical, Poisson
from vae_jax.distributions.gamma_beta_dirichlet import Beta, Dirichlet, Gamma
from vae_jax.distributions.gaussians import FullGaussian, Gaussian


class ExponentialFamily(NamedTuple):
    """eta of a distribution, T of a value and A of eta, in nats."""

    natural_parameters: Callable[[Any], Any]
    sufficient_statistics: Callable[[Any], Any]
    log_normalizer: Callable[[Any], Float[Array, ""]]
    standardize: Callable[[Any, Any], tuple[Any, Any]] = lambda q, p: (q, p)
    """(q, p) -> the same pair in coordinates in which q is standard: a divergence is the same in
    all coordinates, and A is large, or overflows, far from there."""


def bregman_kl(q: Distribution, p: Distribution) -> Float[Array, ""]:
    """Return KL(q || p) = A(eta_p) - A(eta_q) - <eta_p - eta_q, grad A(eta_q)> in nats (>= 0).

    The Bregman divergence of A: Wainwright & Jordan (2008). It subtracts numbers of the size of A,
    and so is less precise than `kl_divergence`, above all where q is close to p.

    Raises:
      TypeError: q and p are not of one type, or it has no row in `EXPONENTIAL_FAMILIES`.
    """
    if type(q) is not type(p) or type(q) not in EXPONENTIAL_FAMILIES:
        known = ", ".join(family.__name__ for family in EXPONENTIAL_FAMILIES)
        given = f"({type(q).__name__}, {type(p).__name__})"
        raise TypeError(f"no log-normalizer of {given}; known, as a pair of one type: {known}")
    family = EXPONENTIAL_FAMILIES[type(q)]
    q, p = family.standardize(q, p)
    eta_q, eta_p = family.natural_parameters(q), family.natural_parameters(p)
    eta_q, eta_p = _broadcast(eta_q, eta_p), _broadcast(eta_p, eta_q)
    a_q, mean_statistics = jax.value_and_grad(family.log_normalizer)(eta_q)
    products = jax.tree.map(lambda a, b, m: jnp.sum((a - b) * m), eta_p, eta_q, mean_statistics)
    return family.log_normalizer(eta_p) - a_q - sum(jax.tree.leaves(products))


def _broadcast(eta, other):
    return jax.tree.map(lambda a, b: jnp.broadcast_arrays(a, b)[0], eta, other)


# N(mean, sigma^2) of each dimension: eta = (mean / sigma^2, -1 / (2 sigma^2)), T = (x, x^2) and
# A = -eta_1^2 / (4 eta_2) - log(-2 eta_2) / 2 = mean^2 / (2 sigma^2) + log sigma,
# with h = (2 pi)^(-1/2).


def _gaussian_eta(d):
    precision = jnp.exp(-2 * d.log_scale)
    return tuple(jnp.broadcast_arrays(d.mean * precision, -0.5 * precision))


def _gaussian_a(eta):
    return jnp.sum(-(eta[0] ** 2) / (4 * eta[1]) - 0.5 * jnp.log(-2 * eta[1]))


def _standardize_gaussians(q, p):
    mean, log_scale = jnp.broadcast_arrays(
        (p.mean - q.mean) * jnp.exp(-q.log_scale), p.log_scale - q.log_scale
    )
    return Gaussian(jnp.zeros_like(mean), jnp.zeros_like(mean)), Gaussian(mean, log_scale)


# N(mean, Sigma) over d dimensions: eta = (Sigma^-1 mean, -Sigma^-1 / 2), T = (x, x x^T) and
# A = -eta_1^T eta_2^-1 eta_1 / 4 - log det(-2 eta_2) / 2
#   = mean^T Sigma^-1 mean / 2 + log det(Sigma) / 2, with h = (2 pi)^(-d/2).


def _full_gaussian_eta(d):
    inverse_factor = solve_triangular(d.scale_tril, jnp.eye(len(d.scale_tril)), lower=True)
    precision = inverse_factor.T @ inverse_factor
    return precision @ d.mean, -0.5 * precision


def _full_gaussian_a(eta):
    factor = jnp.linalg.cholesky(-2 * eta[1])
    whitened = solve_triangular(factor, eta[0], lower=True)
    return 0.5 * jnp.sum(whitened**2) - jnp.sum(jnp.log(jnp.diagonal(factor)))


def _standardize_full_gaussians(q, p):
    solve = functools.partial(solve_triangular, q.scale_tril, lower=True)
    standard = FullGaussian(jnp.zeros_like(q.mean), jnp.eye(len(q.scale_tril)))
    return standard, FullGaussian(solve(p.mean - q.mean), solve(jnp.tril(p.scale_tril)))


# Gamma of concentration a and rate b: eta = (a, -b), T = (log x, x) and
# A = log Gamma(eta_1) - eta_1 log(-eta_2) = log Gamma(a) - a log b, with h = 1 / x.
# With eta_1 = a - 1, which some texts prefer, h is 1; a small a would then lose precision.


def _gamma_eta(d):
    return tuple(jnp.broadcast_arrays(d.concentration, -d.rate))


def _gamma_a(eta):
    return jnp.sum(gammaln(eta[0]) - eta[0] * jnp.log(-eta[1]))


# Beta: eta = (alpha, beta), T = (log x, log(1 - x)) and
# A = log Gamma(eta_1) + log Gamma(eta_2) - log Gamma(eta_1 + eta_2), with h = 1 / (x (1 - x)).


def _beta_eta(d):
    return tuple(jnp.broadcast_arrays(d.alpha, d.beta))


def _beta_a(eta):
    return jnp.sum(gammaln(eta[0]) + gammaln(eta[1]) - gammaln(eta[0] + eta[1]))


# Dirichlet: eta = concentration, T = log x and
# A = sum_k log Gamma(eta_k) - log Gamma(sum_k eta_k), with h = 1 / prod_k x_k.


def _dirichlet_a(eta):
    return jnp.sum(gammaln(eta)) - jnp.sum(gammaln(jnp.sum(eta, axis=-1)))


# Bernoulli: eta = logits, T = x and A = log(1 + exp(eta)), with h = 1.
# Poisson: eta = log_rate, T = x and A = exp(eta), with h = 1 / x!.
# Categorical: eta = logits, T = x (one-hot) and A = log sum_k exp(eta_k), with h = 1. This form has
# one parameter too many: a constant added to eta is added to A as well, which leaves the divergence
# unchanged. In return all classes are treated alike.

EXPONENTIAL_FAMILIES: dict[type, ExponentialFamily] = {
    Gaussian: ExponentialFamily(
        _gaussian_eta, lambda x: (x, x**2), _gaussian_a, _standardize_gaussians
    ),
    FullGaussian: ExponentialFamily(
        _full_gaussian_eta,
        lambda x: (x, jnp.outer(x, x)),
        _full_gaussian_a,
        _standardize_full_gaussians,
    ),
    Bernoulli: ExponentialFamily(
        lambda d: d.logits, lambda x: x, lambda eta: jnp.sum(jax.nn.softplus(eta))
    ),
    Categorical: ExponentialFamily(
        lambda d: d.logits,
        lambda x: x,
        lambda eta: jnp.sum(jax.nn.logsumexp(eta, axis=-1)),
    ),
    Poisson: ExponentialFamily(
        lambda d: d.log_rate, lambda x: x, lambda eta: jnp.sum(jnp.exp(eta))
    ),
    Gamma: ExponentialFamily(_gamma_eta, lambda x: (jnp.log(x), x), _gamma_a),
    Beta: ExponentialFamily(_beta_eta, lambda x: (jnp.log(x), jnp.log1p(-x)), _beta_a),
    Dirichlet: ExponentialFamily(lambda d: d.concentration, jnp.log, _dirichlet_a),
}
