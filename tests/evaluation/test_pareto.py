"""The Pareto k-hat, held to tails that are known."""

import numpy as np
import pytest
from scipy import stats

from tests.support.linear_gaussian import assert_mean_is
from vae_jax.evaluation import fit_generalized_pareto, largest_reliable_k, pareto_k

NUM_SAMPLES = 20_000
TAIL = 425  # 3 sqrt(20,000), rounded up


@pytest.mark.parametrize("variance", [0.3, pytest.param(0.6, marks=pytest.mark.slow)])
def test_k_of_two_gaussians(variance):
    """Target N(0, I), proposal N(0, variance I) in two dimensions. |z|^2 / variance is chi-squared
    with two degrees of freedom, so that P(w > t) is t^(-1 / k) up to a constant with
    k = 1 - variance, exactly. Estimator: the mean of 50 estimates of 20,000 samples, the pull of
    ten weights towards 1/2 taken away; four standard errors are 0.04. Mutants: -k, the largest
    weights without the cut-off taken away, k of the ratio turned over."""
    z = np.random.default_rng(0).normal(0, np.sqrt(variance), (50, NUM_SAMPLES, 2))
    log_weights = stats.norm.logpdf(z).sum(axis=2)
    log_weights -= stats.norm.logpdf(z, scale=np.sqrt(variance)).sum(axis=2)
    pulled = pareto_k(log_weights - 700)
    assert_mean_is((pulled * (TAIL + 10) - 5) / TAIL, 1 - variance)
    assert abs(np.mean(pulled) - (1 - variance)) < 0.05


def test_bounded_weights_have_a_small_k():
    """A proposal wider than the target has bounded weights: N(0, 4 I) for N(0, I) in two dimensions
    has weights w of P(w < t) = t^(1/3) .. 1, uniform at the end: k = -1. Mutant: |k|."""
    z = np.random.default_rng(1).normal(0, 2, (20, NUM_SAMPLES, 2))
    log_weights = -0.5 * (1 - 1 / 4) * (z**2).sum(axis=2)
    assert np.all(pareto_k(log_weights) < 0)


def test_fit_agrees_with_scipy():
    """Oracle: scipy's maximum-likelihood fit of 2,000 generalized Pareto variables, from which that
    of Zhang & Stephens, a posterior mean, differs by less than half of its standard error
    (1 + k) / sqrt(n).
    Mutants: shape and scale exchanged, the scale of the other sign."""
    for k in (-0.3, 0.4, 1.2):
        excess = np.sort(stats.genpareto.rvs(k, scale=3.0, size=2000, random_state=5))
        shape, scale = fit_generalized_pareto(excess[None])
        expected = stats.genpareto.fit(excess, floc=0)
        assert abs(shape[0] - expected[0]) < 0.5 * (1 + k) / np.sqrt(2000)
        assert abs(scale[0] / expected[2] - 1) < 0.01


def test_k_of_constant_weights_is_zero():
    """Also where they differ by the rounding of a float32, or are all zero; other weights beside
    them keep their k. Too few weights have none."""
    random = np.random.default_rng(2)
    heavy = 0.9 * random.exponential(size=5000)
    noise = np.float32(-500) + np.spacing(np.float32(-500)) * random.integers(-2, 3, 5000)
    rows = np.stack([np.full(5000, -90.0), noise, np.full(5000, -np.inf), heavy])
    ks = pareto_k(rows)
    np.testing.assert_array_equal(ks[:3], 0)
    assert 0.6 < ks[3] < 1.2
    assert np.isnan(pareto_k(rows[:, :24])).all()


def test_largest_reliable_k():
    """Oracle: by hand. 100 samples: 1 - 1/2; from 2,155 on the least of both is 0.7."""
    np.testing.assert_allclose([largest_reliable_k(100), largest_reliable_k(5000)], [0.5, 0.7])
