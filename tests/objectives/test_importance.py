"""The importance-weighted bound against scipy and an exactly solvable model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.bounds import (
    MODEL,
    Q_COVARIANCE,
    Q_MEAN,
    X,
    draw,
    evaluate,
)
from tests.support.linear_gaussian import assert_mean_is, gaussian_kl
from vae_jax.objectives import (
    importance_weighted_bound,
    make_objective,
)


def test_importance_weighted_bound_is_a_logmeanexp():
    """Oracle: scipy's logsumexp - log K of each of N = 4,000 rows of K = 50 log-weights from
    N(0, 9); the mean over rows is 3.627 (a million rows of numpy) within four standard errors.

    Mutants: log K not subtracted, 7.54; the sum of normalized weights times log-weights, whose
    mean of 5.85 is above log E[w] = 4.5, which no bound exceeds.
    """
    log_weights = 3 * np.random.default_rng(0).normal(size=(4000, 50))
    values = jax.jit(jax.vmap(importance_weighted_bound))(jnp.float32(log_weights))
    np.testing.assert_allclose(values, special.logsumexp(log_weights, 1) - np.log(50), atol=1e-5)
    assert_mean_is(values, 3.627)
    assert np.mean(np.sum(special.softmax(log_weights, 1) * log_weights, 1)) > 4.5 > values.mean()


def test_importance_weighted_bound_neither_overflows_nor_vanishes():
    """Mutant: the log of a mean of exponentials."""
    for level in (-1e4, 1e4):
        assert importance_weighted_bound(jnp.full(8, level)) == pytest.approx(level)


def test_importance_weighted_bound_rises_with_k_to_log_marginal():
    """Estimators over N = 4,000 replicates, four standard errors each: the bound's mean, which
    rises with K; the mean of exp(bound - log p(x)), which is 1 for every K.

    Mutants: log K not subtracted, or of another number; a mean of log-weights (it does not rise).
    """
    log_weights = draw(lambda terms: terms.log_weights, 4000, num_samples=64)
    gaps = {}
    for num_samples in (1, 4, 16, 64):
        bounds = jax.jit(jax.vmap(importance_weighted_bound))(log_weights[:, :num_samples])
        gaps[num_samples] = np.asarray(bounds, np.float64) - MODEL.log_marginal(X)
        assert_mean_is(np.exp(gaps[num_samples]), 1)
    elbo_gap = gaussian_kl(Q_MEAN, Q_COVARIANCE, *MODEL.posterior(X))
    assert_mean_is(gaps[1], -elbo_gap)
    for fewer, more in ((1, 4), (4, 16), (16, 64)):
        rise = gaps[more] - gaps[fewer]
        assert rise.mean() > 4 * rise.std() / np.sqrt(len(rise))
    assert -0.05 * elbo_gap < gaps[64].mean() < 0


def test_iwae_of_one_sample_is_the_sampled_elbo():
    """Identity on one key; it fails for the KL in closed form, which shows that it can fail."""
    iwae, _ = evaluate(make_objective("iwae", num_samples=1))
    sampled, _ = evaluate(make_objective("elbo", form="log_weights"))
    closed_form, _ = evaluate(make_objective("elbo"))
    np.testing.assert_allclose(iwae, sampled, 1e-5)
    assert abs(iwae - closed_form) > 0.01
