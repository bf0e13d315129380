"""Draws from a linear-Gaussian model, and the maximum likelihood of probabilistic PCA."""

import numpy as np
import pytest
from scipy import optimize, stats

from tests.support.linear_gaussian import assert_mean_is
from vae_jax.datasets import load_ppca
from vae_jax.datasets.ppca import (
    LinearGaussian,
    draw_examples,
    draw_model,
    log_likelihood,
    maximum_likelihood,
)


def test_log_likelihood_is_that_of_a_gaussian():
    """Oracle: scipy's multivariate normal. Mutants: sigma for sigma^2, W^T W, the volume halved
    twice."""
    model = draw_model(6, 2, 0.7, seed=1)
    x, _ = draw_examples(model, 20, seed=2)
    covariance = model.weights @ model.weights.T + 0.49 * np.eye(6)
    expected = stats.multivariate_normal(model.mean, covariance).logpdf(x)
    np.testing.assert_allclose(log_likelihood(model, x), expected, rtol=1e-10)


def test_examples_have_the_moments_of_the_model():
    """Estimator: the mean of 20,000 products (x - mean) (x - mean)^T, and of (x - mean) z^T, to
    four standard errors. Mutants: noise of variance `noise`, z scaled twice."""
    model = draw_model(4, 2, 0.5, seed=1)
    x, z = draw_examples(model, 20_000, seed=2)
    centered = x - model.mean
    covariance = model.weights @ model.weights.T + 0.25 * np.eye(4)
    assert_mean_is(centered[:, :, None] * centered[:, None, :], covariance)
    assert_mean_is(centered[:, :, None] * z[:, None, :], model.weights)


def test_maximum_likelihood_is_the_largest():
    """Oracles: its value is the mean log p(x) of its model; and scipy's BFGS over all entries of W,
    mean and log sigma, from the true model, ends at the same value to 1e-6 nats. Mutants: the
    covariance divided by N - 1, sigma^2 as the mean over all features, L_q without sigma^2 taken
    away."""
    model = draw_model(4, 2, 0.5, seed=1)
    x, _ = draw_examples(model, 300, seed=2)
    found, value = maximum_likelihood(x, 2)
    np.testing.assert_allclose(log_likelihood(found, x).mean(), value, rtol=1e-10)

    def loss(flat):
        own = LinearGaussian(flat[:8].reshape(4, 2), flat[8:12], np.exp(flat[12]))
        return -log_likelihood(own, x).mean()

    start = np.concatenate([model.weights.ravel(), model.mean, [np.log(0.5)]])
    assert loss(start) > -value + 0.01
    assert abs(optimize.minimize(loss, start).fun + value) < 1e-6


def test_data_set_is_reproducible():
    """The same seed gives the same draws, another one others; both parts are of one model: the
    model fitted to the training examples is nearly as likely on the test ones."""
    first, again, other = (load_ppca(num_examples=2000, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.train.x, again.train.x)
    assert np.abs(first.train.x - other.train.x).min(axis=0).max() > 0
    found, value = maximum_likelihood(first.train.x, 5)
    values = log_likelihood(found, first.test.x)
    assert abs(values.mean() - value) < 4 * values.std() / np.sqrt(200) + 0.1
    assert [len(part.x) for part in first[1:4]] == [1600, 200, 200]


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="true_latents must be at most 4, got 5"):
        load_ppca(features=5)
    with pytest.raises(ValueError, match="noise must be above 0"):
        load_ppca(noise=0.0)
    with pytest.raises(ValueError, match=r"latent_dim must lie in 1 \.\. 3, got 4"):
        maximum_likelihood(np.zeros((5, 4)), 4)
