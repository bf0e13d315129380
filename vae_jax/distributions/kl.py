"""Kullback-Leibler divergences in closed form, in nats."""

from collections.abc import Callable

import jax
from jax import Array
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.discrete import Bernoulli, Categorical, Poisson
from vae_jax.distributions.gamma_beta_dirichlet import Beta, Dirichlet, Gamma
from vae_jax.distributions.gaussians import FullGaussian, Gaussian
from vae_jax.distributions.special import STIRLING, exp_gap, log_ratio


def _gaussian_kl(q: Gaussian, p: Gaussian) -> Float[Array, "*event"]:
    # With p = N(0, I): (mean^2 + sigma^2 - log sigma^2 - 1) / 2, Appendix B of Kingma & Welling
    # (2014). expm1 stays precise where q is close to p, and no logarithm of a variance is taken.
    log_ratio = q.log_scale - p.log_scale
    shift = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * (jnp.expm1(2 * log_ratio) + shift**2) - log_ratio


def _bernoulli_kl(q: Bernoulli, p: Bernoulli) -> Float[Array, "*event"]:
    log_ratio_one = jax.nn.log_sigmoid(q.logits) - jax.nn.log_sigmoid(p.logits)
    log_ratio_zero = jax.nn.log_sigmoid(-q.logits) - jax.nn.log_sigmoid(-p.logits)
    return q.mean * log_ratio_one + jax.nn.sigmoid(-q.logits) * log_ratio_zero


def _categorical_kl(q: Categorical, p: Categorical) -> Float[Array, "*event"]:
    # sum_k q_k log(q_k / p_k) + sum_k (p_k - q_k), where the second sum is 0.
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    return jnp.sum(_relative_entropy(log_q, log_p), axis=-1)


def _poisson_kl(q: Poisson, p: Poisson) -> Float[Array, "*event"]:
    return _relative_entropy(q.log_rate, p.log_rate)


def _gamma_kl(q: Gamma, p: Gamma) -> Float[Array, "*event"]:
    log_ratio = jnp.log(q.rate) - jnp.log(p.rate)
    rates = p.concentration * log_ratio + q.concentration * jnp.expm1(-log_ratio)
    return _log_gamma_gap(p.concentration, q.concentration) + rates


def _beta_kl(q: Beta, p: Beta) -> Float[Array, "*event"]:
    gaps = _log_gamma_gap(p.alpha, q.alpha) + _log_gamma_gap(p.beta, q.beta)
    return gaps - _log_gamma_gap(p.alpha + p.beta, q.alpha + q.beta)


def _dirichlet_kl(q: Dirichlet, p: Dirichlet) -> Float[Array, "*event"]:
    gaps = jnp.sum(_log_gamma_gap(p.concentration, q.concentration), axis=-1)
    totals = (jnp.sum(d.concentration, axis=-1) for d in (p, q))
    return gaps - _log_gamma_gap(*totals)


def _relative_entropy(log_q, log_p):
    # q log(q / p) - q + p >= 0. Where q is close to p, the factored form is precise and p - q is
    # not; elsewhere its exponential may overflow.
    difference = log_q - log_p
    is_near = jnp.abs(difference) < 1
    near = jnp.where(is_near, difference, 0.0)
    q, p = jnp.exp(log_q), jnp.exp(log_p)
    return jnp.where(is_near, q * exp_gap(near), q * difference - q + p)


def _log_gamma_gap(a, b):
    # log Gamma(a) minus its tangent at b: log Gamma(a) - log Gamma(b) - (a - b) psi(b), whose terms
    # cancel where a is close to b. log Gamma(c) is log Gamma(c + 8) minus the logs of
    # c, c + 1, ..., c + 7; the gap of each of these terms is positive, so that none cancels.
    a_shifted = jnp.expand_dims(a, -1) + jnp.arange(8)
    b_shifted = jnp.expand_dims(b, -1) + jnp.arange(8)
    excess = (a_shifted - b_shifted) / b_shifted
    return _stirling_gap(a + 8, b + 8) + jnp.sum(excess - log_ratio(a_shifted, b_shifted), axis=-1)


def _stirling_gap(a, b):
    # The same gap of Stirling's series (c - 1/2) log c - c + log(2 pi) / 2 + sum_n s_n c^-n, which
    # is log Gamma(c) to 1e-14 for c > 8. With u = b / a, the gap of c^-n is
    # (1 - u)^2 / u b^-n (n + (n - 1) u + ... + u^(n - 1)), in which nothing cancels.
    excess, ratio, u = (a - b) / b, log_ratio(a, b), b / a
    series = sum(
        coefficient * b**-n * jnp.polyval(jnp.arange(1.0, n + 1), u)
        for n, coefficient in zip(range(1, 12, 2), STIRLING, strict=True)
    )
    gap = (b - 0.5) * (ratio - excess) + b * excess * ratio
    return gap + excess * (1 - u) * series


def _full_full_kl(q: FullGaussian, p: FullGaussian) -> Float[Array, ""]:
    log_ratio = jnp.log(jnp.diagonal(q.scale_tril)) - jnp.log(jnp.diagonal(p.scale_tril))
    # Below the diagonal L_p^-1 (L_q - L_p) equals L_p^-1 L_q; it is small where q is close to p.
    excess = jnp.tril(q.scale_tril - p.scale_tril)
    whitened = solve_triangular(p.scale_tril, excess, lower=True)
    shift = solve_triangular(p.scale_tril, q.mean - p.mean, lower=True)
    return _whitened_kl(shift, log_ratio, whitened)


def _diagonal_full_kl(q: Gaussian, p: FullGaussian) -> Float[Array, ""]:
    log_ratio = q.log_scale - jnp.log(jnp.diagonal(p.scale_tril))
    q_factor = jnp.diag(jnp.broadcast_to(q.scale, jnp.shape(p.mean)))
    whitened = solve_triangular(p.scale_tril, q_factor, lower=True)
    shift = solve_triangular(p.scale_tril, q.mean - p.mean, lower=True)
    return _whitened_kl(shift, log_ratio, whitened)


def _full_diagonal_kl(q: FullGaussian, p: Gaussian) -> Float[Array, ""]:
    p_log_scale = jnp.broadcast_to(p.log_scale, jnp.shape(q.mean))
    log_ratio = jnp.log(jnp.diagonal(q.scale_tril)) - p_log_scale
    whitened = q.scale_tril * jnp.exp(-p_log_scale)[:, None]
    return _whitened_kl((q.mean - p.mean) * jnp.exp(-p_log_scale), log_ratio, whitened)


def _whitened_kl(shift, log_ratio, whitened):
    # KL(N(shift, M M^T) || N(0, I)) = (|shift|^2 + |M|^2 - d) / 2 - log det M, of lower triangular
    # M with the diagonal exp(log_ratio), and with the entries of `whitened` below it.
    on_diagonal = jnp.sum(0.5 * jnp.expm1(2 * log_ratio) - log_ratio)
    return on_diagonal + 0.5 * (jnp.sum(shift**2) + jnp.sum(jnp.tril(whitened, -1) ** 2))


# The pairs that factorize: one number per dimension, or per variable with an axis of its own.
KL_PER_DIMENSION: dict[tuple[type, type], Callable] = {
    (Gaussian, Gaussian): _gaussian_kl,
    (Bernoulli, Bernoulli): _bernoulli_kl,
    (Categorical, Categorical): _categorical_kl,
    (Poisson, Poisson): _poisson_kl,
    (Gamma, Gamma): _gamma_kl,
    (Beta, Beta): _beta_kl,
    (Dirichlet, Dirichlet): _dirichlet_kl,
}

# The pairs that do not factorize: one number.
KL: dict[tuple[type, type], Callable] = {
    (FullGaussian, FullGaussian): _full_full_kl,
    (Gaussian, FullGaussian): _diagonal_full_kl,
    (FullGaussian, Gaussian): _full_diagonal_kl,
}


def has_closed_form_kl(q: Distribution, p: Distribution) -> bool:
    """Tell whether KL(q || p) of these two types has a closed form here."""
    return (type(q), type(p)) in KL_PER_DIMENSION | KL


def kl_per_dimension(q: Distribution, p: Distribution) -> Float[Array, "*event"]:
    """Return KL(q || p) of each dimension in nats (>= 0), for a pair that factorizes.

    Categorical and Dirichlet variables have one number each, whatever the size of their last axis.

    Raises:
      TypeError: the pair of types does not factorize, or has no closed form here.
    """
    return _row(q, p, KL_PER_DIMENSION, "closed-form KL per dimension")(q, p)


def kl_divergence(q: Distribution, p: Distribution) -> Float[Array, ""]:
    """Return KL(q || p) = E_q[log q - log p] in nats (>= 0), in closed form.

    Raises:
      TypeError: the pair of types has no closed form here.
    """
    return jnp.sum(_row(q, p, KL_PER_DIMENSION | KL, "closed-form KL")(q, p))


def _row(q, p, table, name):
    if (type(q), type(p)) not in table:
        known = ", ".join(f"({a.__name__}, {b.__name__})" for a, b in table)
        raise TypeError(f"no {name} of ({type(q).__name__}, {type(p).__name__}); known: {known}")
    return table[type(q), type(p)]
