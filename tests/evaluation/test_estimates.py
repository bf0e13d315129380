"""Means and standard errors against numpy and scipy."""

import numpy as np
import pytest
from scipy import stats

from vae_jax.evaluation import best_evaluations, bits_per_dim, estimate


def test_estimate_is_the_mean_and_scipys_standard_error():
    """Mutants: the standard deviation, or N for N - 1."""
    values = np.random.default_rng(0).normal(size=20)
    found = estimate(values, "examples")
    np.testing.assert_allclose(
        [found.mean, found.standard_error], [values.mean(), stats.sem(values)]
    )
    assert found.over == "examples"


def test_estimate_keeps_digits_of_single_precision_values():
    """Mutant: a mean in float32."""
    values = np.full(100_000, -81.3, np.float32)
    values[0] = 1e6
    np.testing.assert_allclose(estimate(values, "examples").mean, np.float64(values).mean(), 1e-12)


def test_estimate_of_one_value_has_no_error():
    """Mutant: a standard error of zero."""
    found = estimate(np.array([2.5]), "seeds")
    assert found.mean == 2.5 and np.isnan(found.standard_error)


def test_estimate_hides_no_failed_value():
    """Mutant: a mean of the finite values only."""
    assert np.isnan(estimate(np.array([1.0, np.nan]), "examples").mean)


def test_bits_per_dim_of_uniform_bytes_is_eight():
    """Mutants: nats per dimension, log 10 for log 2."""
    assert bits_per_dim(784 * np.log(256), 784) == pytest.approx(8)


def test_best_evaluations_are_the_first_of_the_largest():
    """Three members: the last is best; NaN after the best; equal ones. Mutants: NaN as largest, the
    last of equal ones, counts over members."""
    elbos = np.array([[-3.0, -1.0, -2.0], [-2.0, np.nan, -2.0], [-1.0, np.nan, -4.0]])
    best, waited = best_evaluations(elbos)
    assert best.tolist() == [2, 0, 0] and waited.tolist() == [0, 2, 2]
