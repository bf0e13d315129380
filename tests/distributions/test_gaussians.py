"""Every distribution's contract, and the Gaussians' and Bernoulli's numbers.

Oracles: scipy, numpyro, closed forms and Monte Carlo.
"""

import functools

import jax
import jax.numpy as jnp
from linear_gaussian import assert_mean_is
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from tests.support.families import (
    EXAMPLES,
    KEY,
    LOG_SCALE,
    LOGITS,
    MEAN,
    SCALE_TRIL,
    every_type,
    every_type_but,
    project_key,
    samples_of,
)
from vae_jax.distributions import (
    Bernoulli,
    DiscretizedLogistic,
    Distribution,
    FullGaussian,
    Gaussian,
    kl_divergence,
    standard_normal,
)
from vae_jax.models.posteriors import gaussian_posterior

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


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_bernoulli_log_prob_is_scipys_and_numpyros(shape):
    """Mutants: the cross-entropy's sign, sigmoid(logits) taken for logits, a mean over pixels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=shape).astype(np.float32)
    logits = rng.normal(size=shape).astype(np.float32)
    value = Bernoulli(jnp.asarray(logits)).log_prob(jnp.asarray(x))
    assert value.shape == () and value < 0
    np.testing.assert_allclose(value, stats.bernoulli.logpmf(x, special.expit(logits)).sum(), 1e-5)
    np.testing.assert_allclose(value, numpyro.BernoulliLogits(logits).log_prob(x).sum(), 1e-5)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=0)
def bernoulli_log_prob(logit, bit):
    return Bernoulli(logit).log_prob(bit)


@pytest.mark.parametrize("bit", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1e3, -88.0, 88.0, 1e3])
def test_bernoulli_is_finite_at_extreme_logits(logit, bit):
    """Oracle: log p = -|l| for the unlikely bit, 0 for the other. Mutant: log(1 - sigmoid(l))."""
    value, gradient = bernoulli_log_prob(logit, bit)
    unlikely = (logit > 0) != (bit == 1)
    np.testing.assert_allclose(value, -abs(logit) if unlikely else 0, atol=1e-6)
    np.testing.assert_allclose(gradient, -np.sign(logit) if unlikely else 0, atol=1e-6)


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


# The mean of a discretized logistic is a location: test_discrete enumerates its levels.
@every_type_but(DiscretizedLogistic)
def test_moments_are_those_of_the_samples(family):
    """Estimators: means of z and of (z - mean)^2 over N = 20,000 draws; four standard errors.

    The keys are of the programs' kind. Mutants: noise scaled by sigma^2, logits taken for
    probabilities, a rate for a scale.
    """
    q = EXAMPLES[family][0]
    samples = samples_of(q, key=project_key())
    assert_mean_is(samples, q.mean)
    assert_mean_is((samples - q.mean) ** 2, q.variance)


def test_full_gaussian_samples_have_its_covariance():
    """Estimator: the mean of (z - mean)(z - mean)^T, N = 20,000. Mutant: L^T eps for L eps."""
    q = EXAMPLES[FullGaussian][0]
    residuals = samples_of(q) - q.mean
    covariance = np.float64(SCALE_TRIL) @ np.float64(SCALE_TRIL).T
    assert_mean_is(residuals[:, :, None] * residuals[:, None, :], covariance)
    np.testing.assert_allclose(q.covariance, covariance, 1e-5)
    np.testing.assert_allclose(q.scale, np.sqrt(np.diag(covariance)), 1e-5)


def test_moments_are_scipys():
    """Mutant: a variance that is a standard deviation."""
    gaussian, bernoulli = EXAMPLES[Gaussian][0], EXAMPLES[Bernoulli][0]
    np.testing.assert_allclose(gaussian.scale, np.exp(LOG_SCALE), 1e-6)
    np.testing.assert_allclose(gaussian.variance, np.exp(LOG_SCALE) ** 2, 1e-5)
    np.testing.assert_allclose(bernoulli.mean, special.expit(LOGITS), 1e-6)
    np.testing.assert_allclose(bernoulli.variance, stats.bernoulli.var(special.expit(LOGITS)), 1e-5)


@every_type
def test_sample_and_log_prob_is_the_two_calls(family):
    """Mutant: the log-density of another draw."""
    q = EXAMPLES[family][0]
    value, log_prob = q.sample_and_log_prob(KEY)
    np.testing.assert_array_equal(value, q.sample(KEY))
    np.testing.assert_array_equal(log_prob, q.log_prob(value))


def test_base_class_asks_for_both_methods():
    for call in (lambda d: d.sample(KEY), lambda d: d.log_prob(MEAN)):
        with pytest.raises(NotImplementedError):
            call(Distribution())


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
    q = gaussian_posterior(jnp.array([0.0, unbounded]))
    z, log_prob = q.sample_and_log_prob(KEY)
    sigma = np.float64(z / jax.random.normal(KEY, (1,)))
    assert np.all(np.abs(np.log(sigma)) < 10.001)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(z, 0, sigma).sum(), 1e-4)
    expected = 0.5 * (sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(kl_divergence(q, standard_normal(1)), expected.sum(), 1e-4)


def test_posterior_is_unbounded_near_one():
    """Mutant: mean and log sigma exchanged."""
    q = gaussian_posterior(jnp.array([5.0, -6.0, 0.3, -0.2]))
    np.testing.assert_allclose(q.mean, [5, -6])
    np.testing.assert_allclose(q.log_scale, [0.3, -0.2], 1e-3)


# Transformations.


def methods(family):
    """Return the methods of a distribution of this type, as functions of it."""
    value = EXAMPLES[family][1].sample(KEY)
    return {
        "sample": lambda q: q.sample(KEY),
        "log_prob": lambda q: q.log_prob(value),
        "sample_and_log_prob": lambda q: q.sample_and_log_prob(KEY),
    }


def own_functions(family):
    """Return what only some distributions have, as functions of them."""
    value = EXAMPLES[family][1].sample(KEY)
    functions = {"mean": lambda q: q.mean}
    if hasattr(family, "variance"):
        functions["variance"] = lambda q: q.variance
    if hasattr(family, "log_prob_per_dimension"):
        functions["log_prob_per_dimension"] = lambda q: q.log_prob_per_dimension(value)
    if hasattr(family, "sample_relaxed"):
        functions["sample_relaxed"] = lambda q: q.sample_relaxed(KEY, 0.5)
        functions["relaxed_log_prob"] = lambda q: q.relaxed_log_prob(value - 1.5, 0.5)
    return functions


def all_of(family):
    """Return one function of a distribution of this type that gives every function's value."""
    functions = methods(family) | own_functions(family)
    return lambda q: {name: function(q) for name, function in functions.items()}


def assert_all_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, atol=1e-6), a, b)


@every_type
def test_jit_and_vmap_change_nothing(family):
    """Oracle: a loop over the members without jit. Mutant: a sum over the batch's axis too."""
    members, function = EXAMPLES[family], all_of(family)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(function, members))
    assert_all_close(jax.jit(jax.vmap(function))(stacked), looped)


@every_type_but(FullGaussian)
def test_log_prob_is_the_sum_of_one_number_a_variable(family):
    """Mutant: a mean over the variables, or a sum over the classes' axis too."""
    q = EXAMPLES[family][0]
    value = q.sample(KEY)
    per_dimension = q.log_prob_per_dimension(value)
    assert per_dimension.shape == (3,)
    np.testing.assert_allclose(q.log_prob(value), np.sum(per_dimension), 1e-5)
