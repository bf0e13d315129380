"""Gradients of expectations against finite differences, a closed form, and each other.

The function is f(z) = z^T A z / 2 + b^T z. With z ~ N(mean, diag(sigma^2)), E[z z^T] =
mean mean^T + diag(sigma^2), hence E[f] = (mean^T A mean + sum_i A_ii sigma_i^2) / 2 + b^T mean.
"""

import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np
import pytest

from vae_jax.distributions import Gaussian, reparameterize
from vae_jax.evaluation import gradient_checks
from vae_jax.evaluation.gradient_checks import compare_gradient_estimators

NUM_SAMPLES = 20_000
A = np.array([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, -1.5]], np.float32)
B = np.array([0.3, -1.0, 0.7], np.float32)
MEAN = np.array([0.5, -1.0, 2.0], np.float32)
SCALE = np.array([0.5, 1.5, 0.8], np.float32)


def make_posterior():
    return Gaussian(jnp.asarray(MEAN), jnp.log(SCALE))


def quadratic(z):
    return z @ A @ z / 2 + B @ z


def expected_quadratic(q):
    return (q.mean @ A @ q.mean + jnp.diag(A) @ q.variance) / 2 + B @ q.mean


def compare():
    return compare_gradient_estimators(jax.random.key(0), quadratic, make_posterior(), NUM_SAMPLES)


def noise(key, q):
    return jax.random.normal(key, q.mean.shape, q.mean.dtype)


# Wrong ways to draw z, each a slip of one symbol in mean + sigma * eps.
MUTANTS = {
    "eps not multiplied by sigma": lambda key, q: q.mean + noise(key, q),
    "sigma^2 for sigma": lambda key, q: q.mean + q.variance * noise(key, q),
    "log sigma for sigma": lambda key, q: q.mean + q.log_scale * noise(key, q),
    "gradient of sigma stopped": lambda key, q: (
        q.mean + jax.lax.stop_gradient(q.scale) * noise(key, q)
    ),
    "gradient of the mean stopped": lambda key, q: (
        jax.lax.stop_gradient(q.mean) + q.scale * noise(key, q)
    ),
}


def score_of_a_moving_sample(key, function, q):
    """A wrong score function: log q(z) is differentiated through z as well."""
    return jax.grad(
        lambda q: (
            jax.lax.stop_gradient(function(reparameterize(key, q)))
            * q.log_prob(reparameterize(key, q))
        )
    )(q)


def score_without_function(key, function, q):
    """A wrong score function: f(z) is left out."""
    return jax.grad(lambda q, z: q.log_prob(z))(q, reparameterize(key, q))


def score_of_wrong_sign(key, function, q):
    """A wrong score function: -f(z) grad log q(z)."""
    return jax.grad(lambda q, z: -function(z) * q.log_prob(z))(q, reparameterize(key, q))


def assert_within_four_standard_errors(estimate, expected, standard_error):
    """Compare trees leaf by leaf, every component."""
    for mean, target, error in zip(
        *map(jax.tree.leaves, (estimate, expected, standard_error)), strict=True
    ):
        assert np.all(np.abs(mean - target) <= 4 * error), (mean, target, error)


def check_by_finite_differences(sample):
    # check_grads hands over NumPy arrays; jit turns them into what the annotations ask for.
    function = jax.jit(lambda q: quadratic(sample(jax.random.key(0), q)))
    with jax.enable_x64(True):
        q = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), make_posterior())
        check_grads(function, (q,), order=2, modes=("fwd", "rev"))


def check_by_closed_form(comparison):
    expected = jax.grad(expected_quadratic)(make_posterior())
    pathwise = comparison.pathwise
    assert_within_four_standard_errors(pathwise.mean, expected, pathwise.standard_error)


def check_by_each_other(comparison):
    pathwise, score, ratio = comparison
    # The samples are independent, so the variances of the two means add.
    error = jax.tree.map(jnp.hypot, pathwise.standard_error, score.standard_error)
    assert_within_four_standard_errors(pathwise.mean, score.mean, error)
    assert all(np.all(leaf > 1) for leaf in jax.tree.leaves(ratio)), ratio


def test_expected_quadratic_is_the_mean_of_the_quadratic():
    """The oracle's own check, exact: Gauss-Hermite nodes integrate a quadratic without error.

    Mutant: A_ij instead of A_ii, or the factor 1/2 of one term dropped.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1).reshape(-1, 3)
    weight = np.einsum("i,j,k->ijk", weights, weights, weights).reshape(-1) / weights.sum() ** 3
    values = jax.vmap(quadratic)(jnp.asarray(MEAN + SCALE * grid, jnp.float32))
    np.testing.assert_allclose(weight @ values, expected_quadratic(make_posterior()), rtol=1e-5)


@pytest.mark.slow
def test_gradient_through_the_sample_equals_finite_differences():
    """On one key, first and second order, forward and reverse. Mutants: either gradient stopped."""
    check_by_finite_differences(reparameterize)


@pytest.mark.parametrize("mutant", ["gradient of sigma stopped", "gradient of the mean stopped"])
def test_finite_differences_reject(mutant):
    with pytest.raises(AssertionError):
        check_by_finite_differences(MUTANTS[mutant])


def test_pathwise_gradient_equals_the_closed_form():
    """Mean of 20,000 pathwise gradients, within four standard errors. Mutants: all of MUTANTS."""
    check_by_closed_form(compare())


@pytest.mark.parametrize("mutant", MUTANTS)
def test_closed_form_rejects(mutant, monkeypatch):
    monkeypatch.setattr(gradient_checks, "reparameterize", MUTANTS[mutant])
    with pytest.raises(AssertionError):
        check_by_closed_form(compare())


def test_pathwise_gradient_equals_the_score_function_gradient():
    """Means of 20,000 each, within four standard errors of their difference; variance ratio > 1.

    Mutants: all of MUTANTS, and the three wrong score functions.
    """
    check_by_each_other(compare())


@pytest.mark.parametrize("mutant", MUTANTS)
def test_score_function_rejects(mutant, monkeypatch):
    monkeypatch.setattr(gradient_checks, "reparameterize", MUTANTS[mutant])
    with pytest.raises(AssertionError):
        check_by_each_other(compare())


@pytest.mark.parametrize(
    "mutant", [score_of_a_moving_sample, score_without_function, score_of_wrong_sign]
)
def test_pathwise_gradient_rejects(mutant, monkeypatch):
    monkeypatch.setattr(gradient_checks, "score_function_gradient", mutant)
    with pytest.raises(AssertionError):
        check_by_each_other(compare())


def assert_spread_of_the_pathwise_gradient(pathwise, num_samples):
    """The derivative in the mean is A z + b, of variance sum_j A_ij^2 sigma_j^2."""
    variance = A**2 @ SCALE**2
    error = variance * np.sqrt(2 / (num_samples - 1))  # of the sample variance of a Gaussian
    assert np.all(np.abs(pathwise.variance.mean - variance) <= 4 * error)
    error_of_mean = num_samples * pathwise.standard_error.mean**2
    assert np.all(np.abs(error_of_mean - variance) <= 4 * error)


def test_spread_of_the_pathwise_gradient_equals_the_closed_form():
    """Sample variance of 20,000 gradients, within four standard errors.

    Mutants: the standard error of half or of twice as many samples, or one key for all samples.
    """
    pathwise = compare().pathwise
    assert_spread_of_the_pathwise_gradient(pathwise, NUM_SAMPLES)
    for wrong in (NUM_SAMPLES // 2, 2 * NUM_SAMPLES):
        with pytest.raises(AssertionError):
            assert_spread_of_the_pathwise_gradient(pathwise, wrong)


def test_one_key_for_all_samples_is_rejected(monkeypatch):
    gradient = gradient_checks.pathwise_gradient
    monkeypatch.setattr(
        gradient_checks, "pathwise_gradient", lambda key, f, q: gradient(jax.random.key(0), f, q)
    )
    with pytest.raises(AssertionError):
        assert_spread_of_the_pathwise_gradient(compare().pathwise, NUM_SAMPLES)


def test_a_constant_added_to_the_function_troubles_the_score_function_only():
    """Identity: f + c has the gradient of f. Mutant: the two estimators exchanged."""
    shifted = compare_gradient_estimators(
        jax.random.key(0), lambda z: quadratic(z) + 100, make_posterior(), NUM_SAMPLES
    )
    plain = compare()
    for a, b in zip(*map(jax.tree.leaves, (plain.pathwise, shifted.pathwise)), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(
        *map(jax.tree.leaves, (plain.variance_ratio, shifted.variance_ratio)), strict=True
    ):
        assert np.all(b > 10 * a), (a, b)


@pytest.mark.slow
def test_jit_changes_nothing():
    def compared(key):
        return compare_gradient_estimators(key, quadratic, make_posterior(), 100)

    for a, b in zip(
        *map(jax.tree.leaves, (compared(jax.random.key(1)), jax.jit(compared)(jax.random.key(1)))),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="num_samples must be >= 2, got 1"):
        compare_gradient_estimators(jax.random.key(0), quadratic, make_posterior(), 1)


def test_a_function_of_several_values_is_refused():
    with pytest.raises(TypeError, match="scalar"):
        compare_gradient_estimators(jax.random.key(0), lambda z: z, make_posterior(), 10)
