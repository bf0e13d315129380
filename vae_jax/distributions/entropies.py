"""Entropies in closed form, in nats."""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions.base import LOG_2PI, Distribution
from vae_jax.distributions.discrete import Bernoulli, Categorical
from vae_jax.distributions.gamma_beta_dirichlet import (
    Beta,
    Dirichlet,
    Gamma,
    LogDirichlet,
    LogGamma,
    LogitBeta,
)
from vae_jax.distributions.gaussians import FullGaussian, Gaussian
from vae_jax.distributions.special import log_gamma_excess


def has_closed_form_entropy(q: Distribution) -> bool:
    """Tell whether the entropy of q has a closed form here."""
    return type(q) in _ENTROPIES


def entropy(q: Distribution) -> Float[Array, ""]:
    """Return H[q] = -E_q[log q] in nats, in closed form.

    Of a continuous q it is the differential entropy, which depends on the coordinates: that of
    `q.unbounded()` differs from that of q.

    Raises:
      TypeError: q has no closed form here.
    """
    if type(q) not in _ENTROPIES:
        known = ", ".join(each.__name__ for each in _ENTROPIES)
        raise TypeError(f"no closed-form entropy of {type(q).__name__}; known: {known}")
    return jnp.sum(_ENTROPIES[type(q)](q))


def _gaussian(q: Gaussian) -> Float[Array, "*event"]:
    _, log_scale = jnp.broadcast_arrays(q.mean, q.log_scale)
    return log_scale + 0.5 * (1 + LOG_2PI)


def _full_gaussian(q: FullGaussian) -> Float[Array, "event"]:
    return jnp.log(jnp.diagonal(q.scale_tril)) + 0.5 * (1 + LOG_2PI)


def _bernoulli(q: Bernoulli) -> Float[Array, "*event"]:
    return sum(_surprise(jax.nn.log_sigmoid(sign * q.logits)) for sign in (1, -1))


def _categorical(q: Categorical) -> Float[Array, "*event classes"]:
    return _surprise(jax.nn.log_softmax(q.logits))


def _surprise(log_probs):
    # -p log p, 0 where p is 0.
    is_possible = log_probs > -jnp.inf
    log_probs = jnp.where(is_possible, log_probs, 0.0)
    return jnp.where(is_possible, -jnp.exp(log_probs) * log_probs, 0.0)


# With log Gamma(a) = a log a - a + e(a), the large terms cancel and e(a) - a e'(a) is left.


def _log_gamma(q: LogGamma) -> Float[Array, "*event"]:
    return _gap(jnp.broadcast_arrays(q.concentration, q.rate)[0])


def _logit_beta(q: LogitBeta) -> Float[Array, "*event"]:
    return _gap(q.alpha) + _gap(q.beta) - _gap(q.alpha + q.beta)


def _log_dirichlet(q: LogDirichlet) -> Float[Array, "*event"]:
    total = jnp.sum(q.concentration, axis=-1)
    return jnp.sum(_gap(q.concentration), axis=-1) - _gap(total)


def _gap(a):
    excess, slope = jax.jvp(log_gamma_excess, (a,), (jnp.ones_like(a),))
    return excess - a * slope


# In the coordinates of the variables themselves: less E[log|du/dx|] of the unbounded u.


def _gamma(q: Gamma) -> Float[Array, "*event"]:
    # u = log x: E[log x] = digamma(a) - log b.
    return _log_gamma(q.unbounded()) + jax.scipy.special.digamma(q.concentration) - jnp.log(q.rate)


def _beta(q: Beta) -> Float[Array, "*event"]:
    # u = logit x: E[log x + log(1 - x)].
    digamma = jax.scipy.special.digamma
    expected_logs = digamma(q.alpha) + digamma(q.beta) - 2 * digamma(q.alpha + q.beta)
    return _logit_beta(q.unbounded()) + expected_logs


def _dirichlet(q: Dirichlet) -> Float[Array, "*event"]:
    # u = log x: E[sum_k log x_k].
    digamma, total = jax.scipy.special.digamma, jnp.sum(q.concentration, axis=-1, keepdims=True)
    expected_logs = jnp.sum(digamma(q.concentration) - digamma(total), axis=-1)
    return _log_dirichlet(q.unbounded()) + expected_logs


_ENTROPIES = {
    Gaussian: _gaussian,
    FullGaussian: _full_gaussian,
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    Gamma: _gamma,
    Beta: _beta,
    Dirichlet: _dirichlet,
    LogGamma: _log_gamma,
    LogitBeta: _logit_beta,
    LogDirichlet: _log_dirichlet,
}
