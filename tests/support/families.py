"""Two members of every distribution of the package, and how samples are held to a known one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.support.quick import quick
from vae_jax.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    Dirichlet,
    DiscretizedLogistic,
    FullGaussian,
    Gamma,
    Gaussian,
    InUnits,
    Levels,
    NegativeBinomial,
    OneHot,
    Poisson,
)
from vae_jax.fast import threefry

KEY = jax.random.key(0)
MEAN, LOG_SCALE = jnp.array([0.3, -2.0, 1.5]), jnp.array([0.2, -1.0, 0.7])
LOGITS = jnp.array([-2.0, 0.1, 3.0])
SCALE_TRIL = jnp.array([[1.1, 0.0, 0.0], [-0.4, 0.6, 0.0], [0.3, 0.9, 1.7]])
CLASS_LOGITS = jnp.array([[1.0, -0.5, 0.2, 0.9], [0.0, 2.0, -1.0, 0.4], [0.3, 0.3, -2.0, 1.0]])
CONCENTRATION = jnp.array([0.7, 2.0, 9.0])
CONCENTRATIONS = jnp.array([[0.8, 2.0, 1.5], [3.0, 0.6, 5.0], [1.0, 1.0, 0.9]])

# Two members a type, so that a pair's KL is of two different distributions. Three variables each.
EXAMPLES = {
    Gaussian: (Gaussian(MEAN, LOG_SCALE), Gaussian(MEAN[::-1] + 0.4, LOG_SCALE[::-1] - 0.1)),
    FullGaussian: (
        FullGaussian(MEAN, SCALE_TRIL),
        FullGaussian(MEAN[::-1] + 0.4, SCALE_TRIL[::-1, ::-1].T - 0.1 * jnp.tri(3)),
    ),
    Bernoulli: (Bernoulli(LOGITS), Bernoulli(0.5 * LOGITS - 0.3)),
    Categorical: (Categorical(CLASS_LOGITS), Categorical(0.3 * CLASS_LOGITS[::-1] - 0.1)),
    Poisson: (Poisson(MEAN), Poisson(0.5 * MEAN - 0.3)),
    DiscretizedLogistic: (
        DiscretizedLogistic(jnp.array([0.2, 0.7, 1.1]), jnp.array([-2.0, -1.0, -3.0]), 6),
        DiscretizedLogistic(jnp.array([0.5, 0.4, 0.0]), jnp.array([-1.0, 0.0, -2.0]), 6),
    ),
    Binomial: (Binomial(LOGITS, 5), Binomial(0.5 * LOGITS - 0.3, 5)),
    NegativeBinomial: (
        NegativeBinomial(MEAN, jnp.array([0.1, 3.0, -1.0])),
        NegativeBinomial(0.5 * MEAN - 0.3, jnp.array([1.0, 0.0, 2.0])),
    ),
    OneHot: (OneHot(LOGITS, (3,)), OneHot(0.5 * LOGITS - 0.3, (3,))),
    InUnits: (
        InUnits(Gaussian(MEAN, LOG_SCALE), MEAN, jnp.array([0.3, 2.0, 10.0]), True),
        InUnits(Gaussian(-MEAN, LOG_SCALE), MEAN - 1, jnp.array([3.0, 0.2, 1.0]), True),
    ),
    Levels: (Levels(CLASS_LOGITS), Levels(0.3 * CLASS_LOGITS[::-1] - 0.1)),
    Gamma: (
        Gamma(CONCENTRATION, jnp.array([1.0, 0.3, 4.0])),
        Gamma(CONCENTRATION[::-1], jnp.array([2.0, 0.9, 1.0])),
    ),
    Beta: (
        Beta(CONCENTRATION, jnp.array([1.2, 0.8, 4.0])),
        Beta(CONCENTRATION[::-1], jnp.array([2.0, 0.9, 1.0])),
    ),
    Dirichlet: (Dirichlet(CONCENTRATIONS), Dirichlet(CONCENTRATIONS[::-1] + 0.3)),
    ContinuousBernoulli: (
        ContinuousBernoulli(jnp.array([-5.0, 0.0, 1.2])),
        ContinuousBernoulli(jnp.array([0.2, -0.1, -30.0])),
    ),
}


def every_type_but(*families):
    """Return the mark that runs a test for every type of distribution but these."""
    kept = [family for family in EXAMPLES if family not in families]
    return pytest.mark.parametrize("family", kept, ids=lambda family: family.__name__)


every_type = every_type_but()
# Samples of gamma and beta variables take seconds to compile; they have files of their own.
every_quick_type = pytest.mark.parametrize(
    "family",
    quick(EXAMPLES, *(each for each in EXAMPLES if each not in (Beta, Dirichlet, Gamma))),
    ids=lambda family: family.__name__,
)


def samples_of(q, num_samples=20_000, key=KEY):
    """Return independent samples of q [num_samples, *event]."""
    return np.asarray(jax.jit(jax.vmap(q.sample))(jax.random.split(key, num_samples)))


def project_key(seed=0):
    """Return a key of the kind that the programs use."""
    return threefry.key(seed)


def moments(d):
    """Return the mean and covariance of a Gaussian or a FullGaussian in float64."""
    if isinstance(d, Gaussian):
        return np.float64(d.mean), np.diag(np.exp(2 * np.float64(d.log_scale)))
    factor = np.float64(d.scale_tril)
    return np.float64(d.mean), factor @ factor.T


def assert_samples_have_cdf(samples, cdf):
    """Check independent numbers by Kolmogorov and Smirnov's test, rejecting at p < 1e-4."""
    assert stats.kstest(np.asarray(samples, np.float64), cdf).pvalue > 1e-4


def assert_samples_have_frequencies(counts, probabilities):
    """Check counts of values by Pearson's chi-square, rejecting at p < 1e-4.

    Values expected fewer than five times are counted as one.
    """
    counts, expected = np.asarray(counts, np.float64), np.asarray(probabilities, np.float64)
    expected = expected / expected.sum() * counts.sum()
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    assert counts[~kept].sum() == 0
    assert stats.chisquare(counts[kept], expected[kept]).pvalue > 1e-4
