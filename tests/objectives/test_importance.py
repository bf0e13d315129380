"""The importance-weighted bound against scipy and an exactly solvable model, and its factors."""

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
from vae_jax.objectives import Terms, importance, importance_weighted_bound, make_objective


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


# The factors by which the doubly reparameterized estimator scales each sample's gradient.

FACTOR_CASES = [
    ("iwae", {"num_samples": 6}, {}),
    ("miwae", {"num_groups": 2, "num_samples": 3}, {}),
    ("ciwae", {"num_samples": 6}, {"elbo_weight": 0.3}),
    ("ciwae", {"num_samples": 6}, {"elbo_weight": 0.0}),
    ("renyi", {"num_samples": 6}, {"alpha": 0.5}),
    ("renyi", {"num_samples": 6}, {"alpha": -1.0}),
    ("renyi", {"num_samples": 6}, {"alpha": 1.0}),
]


def bound_and_factors(name, options, monkeypatch):
    """Return what an objective hands to `make_bound_objective`, as functions of log-weights."""
    handed, make = {}, importance.make_bound_objective

    def take(bound, num_samples, **given):
        handed.update(given, bound=bound)
        return make(bound, num_samples, **given)

    monkeypatch.setattr(importance, "make_bound_objective", take)
    importance.ROWS[name](**options, estimator="doubly_reparameterized")

    def terms(log_weights):
        return Terms(log_weights, 0 * log_weights, 0 * log_weights, None)

    return (
        lambda log_weights, hparams: handed["bound"](terms(log_weights), hparams, 0),
        lambda log_weights, hparams: handed["factors"](terms(log_weights), hparams),
    )


@pytest.mark.parametrize(("name", "options", "hparams"), FACTOR_CASES)
def test_factors_are_one_less_curvature_over_slope(name, options, hparams, monkeypatch):
    """Oracle: 1 - B_kk / B_k by `jax.hessian` and `jax.grad` of the bound in float64.

    Mutants: 1 for all (sticking-the-landing), the weights of another bound (normalized over M, over
    all M K, not to the power 1 - alpha), b forgotten beside the weights.
    """
    bound, factors = bound_and_factors(name, options, monkeypatch)
    with jax.enable_x64(True):
        log_weights = jnp.asarray(2 * np.random.default_rng(0).normal(size=6))
        slopes = jax.grad(bound)(log_weights, hparams)
        curvatures = jnp.diagonal(jax.hessian(bound)(log_weights, hparams))
        value = np.asarray(factors(log_weights, hparams))
        expected = np.asarray(1 - curvatures / slopes)
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-9)
    assert hparams.get("alpha") == 1 or np.ptp(value) > 0.05


@pytest.mark.parametrize("elbo_weight", [0.0, 0.3])
def test_factors_of_a_weight_that_vanishes_are_finite(elbo_weight, monkeypatch):
    """Mutant: 0 / 0 of a normalized weight that underflows, which CIWAE with b = 0 divides by."""
    _, factors = bound_and_factors("ciwae", {"num_samples": 3}, monkeypatch)
    values = factors(jnp.array([0.0, -1.0, -1e4]), {"elbo_weight": elbo_weight})
    assert np.all(np.isfinite(values))
    assert values[2] == (1.0 if elbo_weight else 0.0)
