"""Entropies in closed form against scipy, and of unbounded coordinates against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.families import EXAMPLES
from vae_jax.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Flow,
    FullGaussian,
    Gamma,
    Gaussian,
    Poisson,
    entropy,
    has_closed_form_entropy,
)

SIZES = np.float32([0.05, 0.7, 1.0, 3.0, 40.0, 1e5])
LARGE_AND_SMALL = np.array([a.ravel() for a in np.meshgrid(SIZES, SIZES)])


def of_each(make, *parameters):
    """Return the entropy of make(*row) for each row of the parameters."""
    return jax.jit(jax.vmap(lambda *row: entropy(make(*row))))(*map(jnp.float32, parameters))


@pytest.mark.parametrize("log_scale", [-40.0, -1.0, 0.0, 3.0, 40.0])
def test_gaussian(log_scale):
    """Oracle: scipy. Mutants: the scale for the variance, 1 / 2 per dimension or log 2 pi dropped,
    a mean that broadcasts counted once."""
    q = Gaussian(jnp.ones(3), jnp.float32(log_scale))
    expected = 3 * stats.norm.entropy(scale=np.exp(log_scale))
    np.testing.assert_allclose(entropy(q), expected, 1e-6)


@pytest.mark.parametrize("number", [0, 1])
def test_full_gaussian(number):
    """Oracle: scipy's, of the covariance. Mutant: the log-determinant of the covariance, which is
    twice that of its factor."""
    factor = np.tril(EXAMPLES[FullGaussian][number].scale_tril) * np.float32([0.1, 1, 10])
    expected = stats.multivariate_normal.entropy(None, np.float64(factor) @ np.float64(factor).T)
    np.testing.assert_allclose(
        entropy(FullGaussian(jnp.ones(3), jnp.asarray(factor))), expected, 1e-5
    )


def test_bernoulli():
    """Oracle: scipy's, with probabilities of 0 and 1. Mutants: 0 log 0 = NaN, bits for nats."""
    logits = np.float32([-np.inf, -100, -3, 0, 0.5, 20, 100, np.inf])
    expected = stats.bernoulli.entropy(special.expit(np.float64(logits)))
    np.testing.assert_allclose(of_each(Bernoulli, logits), expected, 1e-5, atol=1e-7)


def test_categorical():
    """Oracle: scipy's sum over two variables. Mutants: 0 log 0 = NaN, a mean over variables."""
    logits = np.float32([[1.0, -0.5, 0.2], [-np.inf, 300.0, -300.0]])
    expected = stats.entropy(special.softmax(np.float64(logits), -1), axis=-1).sum()
    np.testing.assert_allclose(entropy(Categorical(jnp.asarray(logits))), expected, 1e-5)


def test_gamma():
    """Oracle: scipy, concentrations and rates from .05 to 1e5. Mutants: a scale for the rate,
    log Gamma in float32, which loses all digits at 1e5."""
    a, b = LARGE_AND_SMALL
    expected = stats.gamma.entropy(np.float64(a), scale=1 / np.float64(b))
    np.testing.assert_allclose(of_each(Gamma, a, b), expected, 1e-5, atol=1e-5)


def test_beta():
    """Oracle: scipy, parameters from .05 to 1e5. Mutant: that of the logit."""
    expected = stats.beta.entropy(*np.float64(LARGE_AND_SMALL))
    np.testing.assert_allclose(of_each(Beta, *LARGE_AND_SMALL), expected, 1e-5, atol=2e-5)


CONCENTRATIONS = np.float32([[0.05, 0.05, 0.05], [0.1, 3.0, 1e3], [1, 1, 1], [1e5, 2e5, 3e5]])


def test_dirichlet():
    """Oracle: scipy, of K = 3 entries. Mutants: that of the logarithms, K for K - 1 densities."""
    expected = [stats.dirichlet.entropy(np.float64(a)) for a in CONCENTRATIONS]
    np.testing.assert_allclose(of_each(Dirichlet, CONCENTRATIONS), expected, 1e-5, atol=5e-5)


# Of the unbounded coordinates: -sum p log p over a fine grid, with scipy's densities.


def entropy_on_grid(log_density, grid):
    """Return -int p log p by a Riemann sum, and check that p integrates to one."""
    log_p, width = log_density(grid), grid[1] - grid[0]
    weights = np.exp(log_p) * width
    np.testing.assert_allclose(weights.sum(), 1, 1e-6)
    return -np.sum(weights * log_p)


@pytest.mark.parametrize("concentration", [0.05, 0.7, 3.0, 40.0])
def test_logarithm_of_gamma(concentration):
    """Mutants: the entropy of the variable itself; one that depends on the rate."""
    q = Gamma(jnp.float32([concentration]), jnp.float32([2.5])).unbounded()

    def log_density(t):
        return stats.gamma.logpdf(np.exp(t), concentration, scale=1 / 2.5) + t

    expected = entropy_on_grid(log_density, np.linspace(-700, 20, 200_000))
    np.testing.assert_allclose(entropy(q), expected, 1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.05), (0.7, 3.0), (40.0, 2.0)])
def test_logit_of_beta(alpha, beta):
    """And of the logarithms of a Dirichlet variable of two entries, whose density is the same.

    Mutant: the entropy of the variable itself."""
    q = Beta(jnp.float32([alpha]), jnp.float32([beta])).unbounded()
    two = Dirichlet(jnp.float32([[alpha, beta]])).unbounded()

    def log_density(t):
        return (
            alpha * special.log_expit(t)
            + beta * special.log_expit(-t)
            - special.betaln(alpha, beta)
        )

    expected = entropy_on_grid(log_density, np.linspace(-600, 600, 200_000))
    np.testing.assert_allclose([entropy(q), entropy(two)], expected, 1e-4)


def test_logarithms_of_dirichlet():
    """Oracle: the change of variables, by scipy: H[x] - E[sum_k log x_k] in float64."""
    expected = []
    for a in np.float64(CONCENTRATIONS):
        logs = special.digamma(a) - special.digamma(a.sum())
        expected.append(stats.dirichlet.entropy(a) - logs.sum())
    values = of_each(lambda a: Dirichlet(a).unbounded(), CONCENTRATIONS)
    np.testing.assert_allclose(values, expected, 1e-5, atol=5e-5)


# All of them.


@pytest.mark.slow
def test_gradients_of_extreme_parameters_are_finite():
    """Mutant: an infinite derivative of 0 log 0, or of log(0)."""

    def total(logits, sizes):
        variables = Gamma(sizes, sizes[::-1]), Beta(sizes, sizes[::-1]), Dirichlet(sizes[None])
        discrete = Bernoulli(logits), Categorical(logits[None])
        return sum(entropy(q) for q in (*discrete, *variables, *(q.unbounded() for q in variables)))

    logits = jnp.float32([-jnp.inf, -100.0, 0.0, 100.0])
    gradients = jax.jit(jax.grad(total, (0, 1)))(logits, jnp.asarray(SIZES))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_what_has_none_is_refused():
    """Mutant: a flow's entropy taken for that of its base."""
    flow = Flow(EXAMPLES[Gaussian][0], lambda z: (z, 0.0), lambda z: (z, 0.0))
    for q in (flow, EXAMPLES[Poisson][0]):
        assert not has_closed_form_entropy(q)
        with pytest.raises(TypeError, match=f"entropy of {type(q).__name__}; known: Gaussian"):
            entropy(q)
