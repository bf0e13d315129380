"""Bounds as functions of log-weights, against numpy in float64 and an exactly solvable model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.bounds import MODEL, Q_COVARIANCE, Q_MEAN, X, draw
from tests.support.gradients import linear_gradients
from tests.support.linear_gaussian import assert_mean_is
from tests.support.quick import quick
from vae_jax.objectives import (
    combined_bound,
    elbo,
    elbo_by_entropy,
    importance_weighted_bound,
    multiply_importance_weighted_bound,
    renyi_bound,
)

RNG = np.random.default_rng(0)
# Log-weights as they are, very likely, very unlikely and far apart.
LOG_WEIGHTS = {
    "usual": 3 * RNG.normal(size=12),
    "likely": 1e4 + 3 * RNG.normal(size=12),
    "unlikely": -1e4 + 3 * RNG.normal(size=12),
    "far apart": 100 * RNG.uniform(size=12),
    "alike": np.full(12, -7.0),
}
ORDERS = [-2.0, -1.0, 0.0, 0.5, 1 - 1e-6, 1.0, 1 + 1e-4, 2.0]
compiled_renyi = jax.jit(renyi_bound)


def renyi_by_numpy(log_weights, alpha):
    """Return log mean exp((1 - alpha) l) / (1 - alpha) in float64, the mean of l at alpha = 1."""
    log_weights, power = np.float64(log_weights), 1 - np.float64(alpha)
    if power == 0:
        return log_weights.mean()
    top = (power * log_weights).max()
    # Of the largest one, so that the others' exponentials are at most 1.
    return (top + np.log1p(np.mean(np.expm1(power * log_weights - top)))) / power


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("kind", LOG_WEIGHTS)
def test_renyi_bound_is_its_formula(kind, alpha):
    """Oracle: numpy in float64, of the float32 numbers that the bound is given.

    Mutants: exp without a shift (inf or 0 at +-1e4), log(mean(exp)) divided by 1e-6, which loses
    all digits, 1 - alpha forgotten in the denominator, a NaN at alpha = 1.
    """
    log_weights, alpha = np.float32(LOG_WEIGHTS[kind]), np.float32(alpha)
    expected = renyi_by_numpy(log_weights, alpha)
    np.testing.assert_allclose(compiled_renyi(log_weights, alpha), expected, 2e-6, atol=2e-5)


def test_renyi_bound_of_a_weight_of_zero():
    """Oracle: (1 - a)^-1 log of the mean power of (0, 1, e) by hand; -inf from a = 1 on, where the
    ELBO is. Mutant: a gap of -inf to a mean of -inf, which is NaN."""
    log_weights = jnp.array([-jnp.inf, 0.0, 1.0])
    values = [float(compiled_renyi(log_weights, alpha)) for alpha in (0.0, 0.5, -1.0, 1.0, 2.0)]
    expected = [np.log((1 + np.e) / 3), 2 * np.log((1 + np.e**0.5) / 3), np.log((1 + np.e**2) / 3)]
    expected = [*expected[:2], expected[2] / 2, -np.inf, -np.inf]
    np.testing.assert_allclose(values, expected, 1e-6)


@pytest.mark.parametrize("kind", LOG_WEIGHTS)
def test_gradient_of_the_renyi_bound_is_finite(kind):
    """Oracle: the normalized (1 - alpha)-th powers of the weights, by scipy.

    Mutants: NaN from the form that is not chosen, at alpha = 1 and near it.
    """
    log_weights = np.float32(LOG_WEIGHTS[kind])
    gradients = jax.jit(jax.vmap(jax.grad(renyi_bound), (None, 0)))(
        log_weights, jnp.float32(ORDERS)
    )
    powers = 1 - np.float64(np.float32(ORDERS))[:, None]
    expected = special.softmax(powers * np.float64(log_weights), -1)
    np.testing.assert_allclose(gradients, expected, 1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", LOG_WEIGHTS)
def test_bounds_of_groups_and_mixed_bounds_are_their_formulas(kind):
    """Oracle: scipy's logsumexp over the samples of each of M = 3 groups of K = 4.

    Mutants: the groups' samples interleaved, normalized over M instead of K, b and 1 - b exchanged.
    """
    log_weights = np.float32(LOG_WEIGHTS[kind])
    groups = special.logsumexp(np.float64(log_weights).reshape(3, 4), axis=1) - np.log(4)
    whole = special.logsumexp(np.float64(log_weights)) - np.log(12)
    mixed = 0.3 * np.float64(log_weights).mean() + 0.7 * whole
    value = multiply_importance_weighted_bound(jnp.asarray(log_weights), 3)
    np.testing.assert_allclose(value, groups.mean(), 1e-6)
    np.testing.assert_allclose(combined_bound(jnp.asarray(log_weights), 0.3), mixed, 1e-6)


def test_every_bound_of_one_sample_is_its_log_weight():
    """K = 1. Mutants: log K not of this K, b or alpha as a factor."""
    for log_weight in (-1e4, -2.5, 1e4):
        one = jnp.float32([log_weight])
        bounds = [importance_weighted_bound(one), multiply_importance_weighted_bound(one, 1)]
        bounds += [combined_bound(one, weight) for weight in (0.0, 0.3)]
        bounds += [compiled_renyi(one, alpha) for alpha in (-1.0, 0.5, 1.0, 2.0)]
        np.testing.assert_allclose(bounds, log_weight, 1e-6)


# Each bound reduces to others: values and pathwise gradients on the same keys.


@pytest.mark.parametrize(
    ("bound", "options", "limit"),
    quick(
        [
            ("renyi", {"hparams": {"alpha": 1.0}}, "elbo"),
            ("renyi", {"hparams": {"alpha": 1 + 1e-6}}, "elbo"),
            ("renyi", {"hparams": {"alpha": 1 - 1e-6}}, "elbo"),
            ("renyi", {"hparams": {"alpha": 0.0}}, "iwae"),
            ("ciwae", {"hparams": {"elbo_weight": 1.0}}, "elbo"),
            ("ciwae", {"hparams": {"elbo_weight": 0.0}}, "iwae"),
            ("miwae", {"num_groups": 1, "num_samples": 4}, "iwae"),
            ("miwae", {"num_groups": 4, "num_samples": 1}, "elbo"),
        ],
        ("renyi", {"hparams": {"alpha": 1 + 1e-6}}, "elbo"),
        ("renyi", {"hparams": {"alpha": 0.0}}, "iwae"),
        ("ciwae", {"hparams": {"elbo_weight": 0.0}}, "iwae"),
        ("miwae", {"num_groups": 4, "num_samples": 1}, "elbo"),
    ),
)
def test_bound_reduces_to_another(bound, options, limit):
    """Exactly but for float rounding; the ELBO and the bound of K samples differ.

    Mutants: alpha and 1 - alpha, b and 1 - b, M and K exchanged; MIWAE's weights normalized over M.
    """
    values, gradients = linear_gradients(bound, **options)
    expected_values, expected_gradients = linear_gradients(limit)
    np.testing.assert_allclose(values, expected_values, 1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected_gradients[name], 2e-3, atol=2e-3)
    assert np.abs(linear_gradients("elbo")[0] - linear_gradients("iwae")[0]).mean() > 0.05


# In expectation, on the linear-Gaussian model.


def test_three_forms_of_the_elbo_have_one_mean():
    """Estimator: paired differences over N = 10,000 keys, four standard errors; beta = 1 and 2.

    Mutants: the entropy's sign turned, its constant dropped (log 2 pi e / 2 per dimension), beta on
    the prior alone.
    """
    for beta in (1.0, 2.0):

        def forms(terms, beta=beta):
            sampled = elbo(terms, beta, sampled_kl=True)
            return jnp.stack([elbo(terms, beta), sampled, elbo_by_entropy(terms, beta)])

        values = np.float64(draw(forms, 10_000))
        assert_mean_is(values[:, 1:] - values[:, :1], 0)
        assert np.all(np.std(np.diff(values), axis=0) > 0.1)


def test_renyi_bound_of_few_samples_is_no_upper_bound():
    """At alpha = -1 the integral, by quadrature over the two independent dimensions of the exact
    posterior, lies above log p(x); the mean of the bound of K = 2 samples below.

    Estimator: the mean over N = 10,000 keys, four standard errors. Mutant: CUBO of a finite K
    reported as an upper bound.
    """
    mean, covariance = MODEL.posterior(X)
    divergence, grid = 0.0, np.linspace(-15, 15, 20_001)
    for i in range(2):
        exact = stats.norm.logpdf(grid, mean[i], np.sqrt(covariance[i, i]))
        q = stats.norm.logpdf(grid, Q_MEAN[i], np.sqrt(Q_COVARIANCE[i, i]))
        divergence += np.log(np.sum(np.exp(2 * exact - q)) * (grid[1] - grid[0]))
    assert divergence / 2 > 0.1  # log p(x) + this is the integral

    def of_few_samples(terms):
        return renyi_bound(terms.log_weights, -1.0)

    gaps = np.float64(draw(of_few_samples, 10_000, num_samples=2)) - MODEL.log_marginal(X)
    assert gaps.mean() + 4 * gaps.std() / np.sqrt(len(gaps)) < 0
