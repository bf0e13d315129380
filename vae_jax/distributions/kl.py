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
from vae_jax.distributions.special import (
    STIRLING,
    exp_gap,
    finite,
    log_ratio,
    restore_infinity,
)


def _gaussian_kl(q: Gaussian, p: Gaussian) -> Float[Array, "*event"]:
    # With p = N(0, I): (mean^2 + sigma^2 - log sigma^2 - 1) / 2, Appendix B of Kingma & Welling
    # (2014). expm1 stays precise where q is close to p, and no logarithm of a variance is taken.
    log_ratio = q.log_scale - p.log_scale
    shift = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * (jnp.expm1(2 * log_ratio) + shift**2) - log_ratio


def _bernoulli_kl(q: Bernoulli, p: Bernoulli) -> Float[Array, "*event"]:
    ones, zeros = ((finite(sign * q.logits), finite(sign * p.logits)) for sign in (1, -1))
    return _expected_log_ratio(*map(jax.nn.log_sigmoid, ones)) + _expected_log_ratio(
        *map(jax.nn.log_sigmoid, zeros)
    )


def _categorical_kl(q: Categorical, p: Categorical) -> Float[Array, "*event"]:
    # sum_k q_k log(q_k / p_k) + sum_k (p_k - q_k), where the second sum is 0.
    log_q, log_p = jax.nn.log_softmax(finite(q.logits)), jax.nn.log_softmax(finite(p.logits))
    difference = _relative_entropy(jnp.exp(log_q), jnp.exp(log_p), log_q - log_p)
    return jnp.sum(jnp.where(_is_excluded(log_q, log_p), jnp.inf, difference), axis=-1)


def _poisson_kl(q: Poisson, p: Poisson) -> Float[Array, "*event"]:
    return _relative_entropy(q.mean, p.mean, q.log_rate - p.log_rate)


def _gamma_kl(q: Gamma, p: Gamma) -> Float[Array, "*event"]:
    # log Gamma(a) = a log a - a + its excess: the large terms join those of the rates.
    a, b = jnp.broadcast_arrays(p.concentration, q.concentration)
    ratio = log_ratio(a, b) + log_ratio(q.rate, p.rate)
    return _relative_entropy(a, b * (p.rate / q.rate), ratio) + _log_gamma_excess_gap(a, b)


def _beta_kl(q: Beta, p: Beta) -> Float[Array, "*event"]:
    parameters = jnp.stack(jnp.broadcast_arrays(p.alpha, p.beta, q.alpha, q.beta))
    return _concentrations_kl(parameters[:2], parameters[2:], axis=0)


def _dirichlet_kl(q: Dirichlet, p: Dirichlet) -> Float[Array, "*event"]:
    return _concentrations_kl(p.concentration, q.concentration, axis=-1)


def _concentrations_kl(a, b, axis):
    # log Gamma(a) = a log a - a + its excess. The large terms of the entries and of the total make
    # the relative entropy of the two means, in which nothing cancels.
    a, b = jnp.broadcast_arrays(a, b)
    total_a, total_b = (jnp.sum(each, axis=axis, keepdims=True) for each in (a, b))
    scaled = b * (total_a / total_b)
    # a - scaled, of differences that are precise where p is close to q.
    excess = (a - b) - b * (jnp.sum(a - b, axis=axis, keepdims=True) / total_b)
    far = jnp.log(a) - jnp.log(b) + jnp.log(total_b) - jnp.log(total_a)
    is_near = jnp.abs(far) < 0.4
    ratio = jnp.where(is_near, jnp.log1p(jnp.where(is_near, excess / scaled, 0.0)), far)
    entries = _relative_entropy(a, scaled, ratio) + _log_gamma_excess_gap(a, b)
    total = _log_gamma_excess_gap(total_a, total_b)
    return jnp.sum(entries, axis=axis) - jnp.squeeze(total, axis)


def _expected_log_ratio(log_q, log_p):
    # q log(q / p) of a probability q, 0 where q is 0.
    excluded = _is_excluded(log_q, log_p)
    return jnp.where(excluded, jnp.inf, jnp.exp(log_q) * (log_q - log_p))


def _is_excluded(log_q, log_p):
    # What q may draw and p may not: the logarithms are of `finite` logits.
    return (restore_infinity(log_p) == -jnp.inf) & (jnp.exp(log_q) > 0)


def _relative_entropy(a, b, log_ratio):
    # a log(a / b) - a + b >= 0. Where a is close to b, the factored form is precise and b - a is
    # not; elsewhere its exponential loses digits, or overflows.
    is_near = jnp.abs(log_ratio) < 0.3
    near = jnp.where(is_near, log_ratio, 0.0)
    return jnp.where(is_near, a * exp_gap(near), a * log_ratio - a + b)


def _log_gamma_excess_gap(a, b):
    # log_gamma_excess(a) minus its tangent at b. The excess at c is that at c + 8, Stirling's
    # series, plus r(c) + r(c + 1) + ... + r(c + 7) with r(c) = (c + 1) log(1 + 1 / c) - 1. All of
    # them are convex, so that their gaps are positive and none cancels.
    shifts = jnp.arange(8.0, dtype=a.dtype).reshape(8, *(1,) * a.ndim)
    return _stirling_gap(a + 8, b + 8) + jnp.sum(_step_gap(a + shifts, b + shifts), axis=0)


def _step_gap(a, b):
    # r(a) minus its tangent at b: (a + 1) log(1 + y) + (a - b) / b, or, where these cancel, the
    # same with y - log(1 + y) factored out.
    y = (b - a) / (a * (b + 1))
    is_near = jnp.abs(y) < 0.5
    near, far = jnp.where(is_near, y, 0.0), jnp.where(is_near, 0.0, y)
    near_gap = (b - a) ** 2 / (a * b * (b + 1)) - (a + 1) * exp_gap(-jnp.log1p(near))
    return jnp.where(is_near, near_gap, (a + 1) * jnp.log1p(far) + (a - b) / b)


def _stirling_gap(a, b):
    # log_gamma_excess(c) is (log(2 pi) - log c) / 2 + sum_n s_n c^-n to 1e-14 for c > 8. With
    # u = b / a, the gap of c^-n is (1 - u)^2 / u b^-n (n + (n - 1) u + ... + u^(n - 1)), in which
    # nothing cancels.
    u = b / a
    series = sum(
        coefficient * b**-n * jnp.polyval(jnp.arange(1.0, n + 1), u)
        for n, coefficient in zip(range(1, 12, 2), STIRLING, strict=True)
    )
    log_gap = _relative_entropy(b, a, -log_ratio(a, b)) / b  # of -log c
    return 0.5 * log_gap + (a - b) / b * (1 - u) * series


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


def kl_factorizes(q: Distribution, p: Distribution) -> bool:
    """Tell whether KL(q || p) of these two types is a sum over dimensions, in closed form here."""
    return (type(q), type(p)) in KL_PER_DIMENSION


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
