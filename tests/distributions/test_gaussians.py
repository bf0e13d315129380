"""Gaussians against scipy, numpyro and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import stats

from tests.support.families import EXAMPLES, KEY, LOG_SCALE, LOGITS, MEAN, SCALE_TRIL, samples_of
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import FullGaussian, Gaussian, kl_divergence, standard_normal
from vae_jax.models.posteriors import read_gaussian

# Log-densities.


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_gaussian_log_prob_is_scipys_and_numpyros(shape):
    """Mutants: the constant log(2 pi) dropped, sigma^2 for sigma, a mean over pixels."""
    x, mean, log_scale = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    value = Gaussian(jnp.asarray(mean), jnp.asarray(log_scale)).log_prob(jnp.asarray(x))
    assert value.shape == ()
    np.testing.assert_allclose(value, stats.norm.logpdf(x, mean, np.exp(log_scale)).sum(), 1e-5)
    np.testing.assert_allclose(
        value, numpyro.Normal(mean, np.exp(log_scale)).log_prob(x).sum(), 1e-5
    )


def test_gaussian_log_prob_broadcasts_one_log_scale():
    """Mutant: log sigma subtracted once instead of once a dimension."""
    value = Gaussian(MEAN, jnp.array(-0.7)).log_prob(jnp.zeros(3))
    np.testing.assert_allclose(value, stats.norm.logpdf(0, MEAN, np.exp(-0.7)).sum(), 1e-5)


def test_full_gaussian_log_prob_is_scipys_and_numpyros():
    """Mutants: |L| for its square root, L^T solved for L, the constant once for all dimensions."""
    q, x = FullGaussian(MEAN, SCALE_TRIL), jnp.array([0.5, 1.0, -2.0])
    value = q.log_prob(x)
    covariance = np.float64(SCALE_TRIL) @ np.float64(SCALE_TRIL).T
    assert value.shape == ()
    np.testing.assert_allclose(value, stats.multivariate_normal(MEAN, covariance).logpdf(x), 1e-5)
    oracle = numpyro.MultivariateNormal(MEAN, scale_tril=SCALE_TRIL)
    np.testing.assert_allclose(value, oracle.log_prob(x), 1e-5)


def test_full_gaussian_ignores_what_is_above_the_diagonal():
    """Mutant: a sample by the whole matrix, a density by its lower triangle."""
    clean, soiled = (FullGaussian(MEAN, SCALE_TRIL + above) for above in (0, jnp.eye(3, k=1)))
    np.testing.assert_array_equal(clean.sample(KEY), soiled.sample(KEY))
    np.testing.assert_array_equal(clean.log_prob(MEAN), soiled.log_prob(MEAN))
    np.testing.assert_array_equal(clean.covariance, soiled.covariance)
    np.testing.assert_array_equal(clean.variance, soiled.variance)
    for p in (EXAMPLES[FullGaussian][1], EXAMPLES[Gaussian][1]):
        np.testing.assert_allclose(kl_divergence(clean, p), kl_divergence(soiled, p), 1e-6)
        np.testing.assert_allclose(kl_divergence(p, clean), kl_divergence(p, soiled), 1e-6)


def test_diagonal_full_gaussian_is_the_factorized_one():
    """Mutant: log det L counted twice."""
    q = Gaussian(MEAN, LOG_SCALE)
    full = FullGaussian(MEAN, jnp.diag(q.scale))
    np.testing.assert_allclose(full.log_prob(LOGITS), q.log_prob(LOGITS), 1e-5)
    np.testing.assert_allclose(full.sample(KEY), q.sample(KEY), 1e-6)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def gaussian_log_prob(mean, log_scale, x):
    return Gaussian(mean, log_scale).log_prob(x)


@pytest.mark.parametrize("distance", [0.0, 1.0])
@pytest.mark.parametrize("log_scale", [-60.0, -44.0, -20.0, 0.0, 40.0])
def test_gaussian_log_prob_at_extreme_scales(log_scale, distance):
    """Oracle: scipy in float64, read as float32. Mutant: a variance in the denominator (0/0)."""
    value, gradients = gaussian_log_prob(0.0, log_scale, distance)
    with np.errstate(over="ignore"):
        expected = np.float32(stats.norm.logpdf(distance, 0, np.exp(log_scale)))
    np.testing.assert_allclose(value, expected, 1e-4)
    assert not np.any(np.isnan(gradients))


# Samples.


def test_full_gaussian_samples_have_its_covariance():
    """Estimator: the mean of (z - mean)(z - mean)^T, N = 20,000. Mutant: L^T eps for L eps."""
    q = EXAMPLES[FullGaussian][0]
    residuals = samples_of(q) - q.mean
    covariance = np.float64(SCALE_TRIL) @ np.float64(SCALE_TRIL).T
    assert_mean_is(residuals[:, :, None] * residuals[:, None, :], covariance)
    np.testing.assert_allclose(q.covariance, covariance, 1e-5)
    np.testing.assert_allclose(q.scale, np.sqrt(np.diag(covariance)), 1e-5)


def test_gaussian_moments_are_scipys():
    """Mutant: a variance that is a standard deviation."""
    gaussian = EXAMPLES[Gaussian][0]
    np.testing.assert_allclose(gaussian.scale, np.exp(LOG_SCALE), 1e-6)
    np.testing.assert_allclose(gaussian.variance, np.exp(LOG_SCALE) ** 2, 1e-5)


def test_sample_is_differentiable_in_mean_and_log_scale():
    """Oracle: dz/dmean = I and dz/d(log sigma) = diag(z - mean). Mutant: a stopped gradient."""

    def sample(mean, log_scale):
        return Gaussian(mean, log_scale).sample(KEY)

    by_mean, by_log_scale = jax.jacobian(sample, argnums=(0, 1))(MEAN, LOG_SCALE)
    np.testing.assert_allclose(by_mean, np.eye(3), 1e-6)
    np.testing.assert_allclose(by_log_scale, np.diag(sample(MEAN, LOG_SCALE) - MEAN), 1e-5)


def test_full_sample_is_differentiable_in_mean_and_scale_tril():
    """Oracle: dz_i/dmean_i = 1 and dz_i/dL_ij = eps_j below the diagonal, 0 above it."""

    def sample(mean, scale_tril):
        return FullGaussian(mean, scale_tril).sample(KEY)

    by_mean, by_factor = jax.jacobian(sample, argnums=(0, 1))(MEAN, SCALE_TRIL)
    epsilon = np.linalg.solve(SCALE_TRIL, sample(MEAN, SCALE_TRIL) - MEAN)
    np.testing.assert_allclose(by_mean, np.eye(3), 1e-6)
    expected = np.eye(3)[:, :, None] * (np.tri(3) * epsilon)[None]
    np.testing.assert_allclose(by_factor, expected, 1e-4, atol=1e-6)


@pytest.mark.parametrize("mean_shape, log_scale_shape", [((3,), ()), ((), (3,)), ((3,), (1,))])
def test_each_dimension_has_noise_of_its_own(mean_shape, log_scale_shape):
    """Mutant: one epsilon broadcast over the dimensions."""
    z = Gaussian(jnp.zeros(mean_shape), jnp.zeros(log_scale_shape)).sample(KEY)
    assert z.shape == (3,) and len(np.unique(z)) == 3


@pytest.mark.parametrize("unbounded", [-1e3, -12.0, 0.1, 12.0, 1e3])
def test_sample_density_and_kl_see_one_scale(unbounded):
    """Oracle: sigma is read off a sample, (z - mean) / epsilon, and handed to scipy and numpy.

    Mutants: a log-scale bounded in the sample alone, or not in the KL.
    """
    q = read_gaussian(jnp.array([0.0, unbounded]))
    z, log_prob = q.sample_and_log_prob(KEY)
    sigma = np.float64(z / jax.random.normal(KEY, (1,)))
    assert np.all(np.abs(np.log(sigma)) < 10.001)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(z, 0, sigma).sum(), 1e-4)
    expected = 0.5 * (sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(kl_divergence(q, standard_normal(1)), expected.sum(), 1e-4)


def test_posterior_is_unbounded_near_one():
    """Mutant: mean and log sigma exchanged."""
    q = read_gaussian(jnp.array([5.0, -6.0, 0.3, -0.2]))
    np.testing.assert_allclose(q.mean, [5, -6])
    np.testing.assert_allclose(q.log_scale, [0.3, -0.2], 1e-3)
