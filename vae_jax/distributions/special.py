"""Functions of densities and divergences whose plain formulas lose precision to cancellation."""

import math
from typing import Any

from jax import Array
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Float

# Coefficients of c^-1, c^-3, ..., c^-11 in Stirling's series of log Gamma(c): B_2n / (2n (2n - 1)).
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def finite(logits: Any) -> Float[Array, "*shape"]:
    """Return logits with infinite ones replaced by finite ones whose sums do not overflow.

    Log-probabilities of them are finite, so that 0 log 0 = 0; `restore_infinity` tells those of
    probability zero.
    """
    limit = float(jnp.finfo(jnp.result_type(logits, float)).max) / 8
    return jnp.clip(logits, -limit, limit)


def restore_infinity(log_probs: Any) -> Float[Array, "*shape"]:
    """Return log-probabilities of `finite` logits, with -inf for a probability of zero."""
    limit = float(jnp.finfo(log_probs.dtype).max) / 16
    return jnp.where(log_probs < -limit, -jnp.inf, log_probs)


def log_ratio(a: Any, b: Any, far: Any = None) -> Float[Array, "*shape"]:
    """Return log(a / b) of a, b > 0, precise where a is close to b.

    Args:
      a, b: positive; where b underflows to 0, `far` is the result.
      far: log a - log b, where it is known better than from a and b.
    """
    far = jnp.log(a) - jnp.log(b) if far is None else far
    is_near = jnp.abs(far) < 0.4
    # Both forms are given safe numbers where they are not used: their gradients stay finite.
    a, b = jnp.where(is_near, a, 1.0), jnp.where(is_near, b, 1.0)
    return jnp.where(is_near, jnp.log1p((a - b) / b), far)


def exp_gap(x: Any) -> Float[Array, "*shape"]:
    """Return exp(-x) - 1 + x >= 0, precise near x = 0, where it is x^2 / 2."""
    is_near = jnp.abs(x) < 0.3
    near = jnp.where(is_near, x, 0.0)
    coefficients = [(-1) ** n / math.factorial(n) for n in range(14, 1, -1)]
    series = near**2 * jnp.polyval(jnp.array(coefficients, near.dtype), near)
    return jnp.where(is_near, series, jnp.expm1(-jnp.where(is_near, 1.0, x)) + x)


def stirling_error(c: Any) -> Float[Array, "*shape"]:
    """Return log Gamma(c) - ((c - 1/2) log c - c + log(2 pi) / 2) of c > 0.

    Above c = 8 it is Stirling's series, which is precise to 1e-14; below, no term is large.
    """
    is_far = c > 8
    far, near = jnp.where(is_far, c, 8.0), jnp.where(is_far, 1.0, c)
    series = jnp.polyval(jnp.array(STIRLING[::-1], far.dtype), far**-2) / far
    direct = gammaln(near) - ((near - 0.5) * jnp.log(near) - near + 0.5 * math.log(2 * math.pi))
    return jnp.where(is_far, series, direct)


def log_gamma_excess(c: Any) -> Float[Array, "*shape"]:
    """Return log Gamma(c) - (c log c - c) of c > 0: small, where log Gamma(c) is large.

    In a log-density the large terms c log c - c cancel others, and are left out on both sides.
    """
    return stirling_error(c) - 0.5 * jnp.log(c) + 0.5 * math.log(2 * math.pi)
