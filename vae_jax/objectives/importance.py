"""Objectives made of importance-weighted bounds: functions of the log-weights of K samples."""

import jax
import jax.numpy as jnp

from vae_jax.lookup import check_finite, check_whole
from vae_jax.objectives.bounds import (
    combined_bound,
    importance_weighted_bound,
    multiply_importance_weighted_bound,
    renyi_bound,
)
from vae_jax.objectives.estimators import check_estimator
from vae_jax.objectives.objective import Objective, make_bound_objective

_FITTING = (
    "pathwise",
    "sticking_the_landing",
    "doubly_reparameterized",
    "score_function",
    "vimco",
)


def make_iwae(
    *, num_samples: int = 5, estimator: str = "pathwise", chunk_size: int = 0
) -> Objective:
    """The importance-weighted bound of K samples, which is tighter than the ELBO.

    Formula: log((1/K) sum_k w_k), w_k = p(x, z_k) / q(z_k|x)
    Estimates: a lower bound of log p(x) in expectation, which rises with K towards it.
    Source: Burda et al. (2016), Eq. (8).
    Use: for a tighter bound and a better model; with estimator=doubly_reparameterized, whose
      encoder gradients do not fade as K grows.

    Args:
      num_samples: K, samples of z per example.
      estimator: of the gradient, a row of ESTIMATORS.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: no samples, or an estimator or chunk size that does not fit.
    """
    check_estimator(estimator, (*_FITTING, "wake_sleep"), num_samples)

    def bound(log_weights, hparams):
        return importance_weighted_bound(log_weights)

    def factors(log_weights, hparams):
        return jax.nn.softmax(log_weights)

    return _of_log_weights(bound, factors, num_samples, {}, estimator, chunk_size)


def make_miwae(
    *,
    num_groups: int = 4,
    num_samples: int = 5,
    estimator: str = "pathwise",
    chunk_size: int = 0,
) -> Objective:
    """The mean of M importance-weighted bounds of K samples each: MIWAE.

    Formula: (1/M) sum_m log((1/K) sum_k w_mk)
    Estimates: the importance-weighted bound of K samples, with 1/M of its variance.
    Source: Rainforth et al. (2018), Section 4.
    Use: to spend samples on both a tight bound and an encoder gradient with little noise; with
      estimator=piwae the model follows the bound of all M K samples.

    Args:
      num_groups: M, bounds that are averaged.
      num_samples: K, samples of z in each group: M K per example.
      estimator: of the gradient, a row of ESTIMATORS.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: no groups or samples, or an estimator or chunk size that does not fit.
    """
    check_whole(1, 1_000_000, num_groups=num_groups, num_samples=num_samples)
    total = num_groups * num_samples
    fitting = [name for name in _FITTING if name != "sticking_the_landing"]
    check_estimator(estimator, (*fitting, "piwae"), total)

    def bound(log_weights, hparams):
        return multiply_importance_weighted_bound(log_weights, num_groups)

    def factors(log_weights, hparams):
        return jax.nn.softmax(log_weights.reshape(num_groups, -1)).reshape(-1)

    return _of_log_weights(bound, factors, total, {}, estimator, chunk_size)


def make_ciwae(
    *,
    elbo_weight: float = 0.5,
    num_samples: int = 5,
    estimator: str = "pathwise",
    chunk_size: int = 0,
) -> Objective:
    """A weighted mean of the ELBO and of the importance-weighted bound: CIWAE.

    Formula: b (1/K) sum_k log w_k + (1 - b) log((1/K) sum_k w_k)
    Estimates: a lower bound of log p(x) in expectation, between the ELBO and IWAE.
    Source: Rainforth et al. (2018), Section 4.
    Use: where IWAE's encoder gradients are too noisy and the ELBO's bound is too loose.

    Args:
      elbo_weight: b, the ELBO's weight in 0 .. 1 (may be swept); the bound's is 1 - b.
      num_samples: K, samples of z per example.
      estimator: of the gradient, a row of ESTIMATORS.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: a weight outside of 0 .. 1, no samples, or an estimator or chunk size that does
        not fit.
    """
    check_estimator(estimator, _FITTING, num_samples)
    check_finite(elbo_weight=elbo_weight)
    if not 0 <= elbo_weight <= 1:
        raise ValueError(f"elbo_weight must lie in 0 .. 1, got {elbo_weight}")

    def bound(log_weights, hparams):
        return combined_bound(log_weights, hparams["elbo_weight"])

    def factors(log_weights, hparams):
        weights = jax.nn.softmax(log_weights)
        uniform = hparams["elbo_weight"] / num_samples
        rest = (1 - hparams["elbo_weight"]) * weights
        total = uniform + rest
        # At b = 0 a weight that underflows has no gradient to scale.
        return (uniform + rest * weights) / jnp.where(total > 0, total, 1.0)

    hparams = {"elbo_weight": elbo_weight}
    return _of_log_weights(bound, factors, num_samples, hparams, estimator, chunk_size)


def make_renyi(
    *,
    alpha: float = 0.5,
    num_samples: int = 5,
    estimator: str = "pathwise",
    chunk_size: int = 0,
) -> Objective:
    """The variational Renyi bound of order alpha: 1 is the ELBO, 0 the importance-weighted bound.

    Formula: log((1/K) sum_k w_k^(1 - alpha)) / (1 - alpha)
    Estimates: for 0 <= alpha <= 1 a lower bound of log p(x) in expectation; for alpha < 0 the
      integral lies above log p(x) where it is finite, an estimate of K samples need not.
    Source: Li & Turner (2016); alpha = -1: Dieng et al. (2017).
    Use: to choose between covering all modes of the posterior (small alpha) and seeking one.

    Args:
      alpha: the order, any finite number (may be swept).
      num_samples: K, samples of z per example.
      estimator: of the gradient, a row of ESTIMATORS.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: an order that is not finite, no samples, or an estimator or chunk size that does
        not fit.
    """
    check_estimator(estimator, _FITTING, num_samples)
    check_finite(alpha=alpha)

    def bound(log_weights, hparams):
        return renyi_bound(log_weights, hparams["alpha"])

    def factors(log_weights, hparams):
        alpha = hparams["alpha"]
        return alpha + (1 - alpha) * jax.nn.softmax((1 - alpha) * log_weights)

    return _of_log_weights(bound, factors, num_samples, {"alpha": alpha}, estimator, chunk_size)


def _of_log_weights(bound, factors, num_samples, hparams, estimator, chunk_size):
    # bound(log_weights, hparams) in nats; factors(log_weights, hparams): see `Estimation`.
    def bound_of_terms(terms, hparams, step):
        return bound(terms.log_weights, hparams)

    def factors_of_terms(terms, hparams):
        return factors(terms.log_weights, hparams)

    return make_bound_objective(
        bound_of_terms,
        num_samples,
        sampled_kl=True,
        hparams=hparams,
        estimator=estimator,
        chunk_size=chunk_size,
        factors=factors_of_terms,
    )


ROWS = {"iwae": make_iwae, "miwae": make_miwae, "ciwae": make_ciwae, "renyi": make_renyi}
