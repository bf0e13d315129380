"""float32 densities and divergences at large parameters, against float64 of scipy.

Each case failed with the textbook formula in float32, or with a series cut off too early: the
number that it gave stands beside the case.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from vae_jax.distributions import Beta, Dirichlet, Gamma, Poisson, kl_divergence
from vae_jax.distributions.special import exp_gap, log_ratio, stirling_error


def dirichlet_log_prob(concentration, x):
    a, x = (np.asarray(each, np.float64) for each in (concentration, x))
    normalizer = special.gammaln(a.sum()) - special.gammaln(a).sum()
    return np.sum((a - 1) * np.log(x)) + normalizer


def dirichlet_kl(q, p):
    q, p = (np.asarray(each, np.float64) for each in (q, p))
    normalizers = special.gammaln(q.sum()) - special.gammaln(q).sum()
    normalizers += special.gammaln(p).sum() - special.gammaln(p.sum())
    return normalizers + np.sum((q - p) * (special.digamma(q) - special.digamma(q.sum())))


@pytest.mark.parametrize("count", [1e4, 1e5, 1e6])  # off by .017, .21 and 1.2 nats
def test_poisson_at_large_counts(count):
    log_rate = np.float32(np.log(count))
    ours = float(Poisson(jnp.float32(log_rate)).log_prob(jnp.float32(count)))
    np.testing.assert_allclose(ours, stats.poisson.logpmf(count, np.exp(float(log_rate))), 1e-5)


def test_poisson_of_small_and_zero_counts():
    for count in (0, 1, 7, 8, 9, 10, 40):
        for log_rate in (-3.0, 0.5, 2.25, 4.0):
            ours = float(Poisson(jnp.float32(log_rate)).log_prob(jnp.float32(count)))
            np.testing.assert_allclose(ours, stats.poisson.logpmf(count, np.exp(log_rate)), 1e-5)


@pytest.mark.slow
def test_poisson_gradient():
    """d log p / d log_rate = x - rate."""
    for count, log_rate in ((0.0, 1.0), (5.0, 1.0), (1000.0, 7.0)):
        slope = jax.grad(lambda r, x=count: Poisson(r).log_prob(jnp.float32(x)))(log_rate)
        np.testing.assert_allclose(slope, count - np.exp(log_rate), 1e-5)


@pytest.mark.parametrize(
    ("num", "concentration", "tolerance"),
    [
        (50, 1000.0, 2e-3),  # off by .013 nats
        pytest.param(1000, 1e4, 0.7, marks=pytest.mark.slow),  # off by 44 nats
        pytest.param(10, 0.3, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_dirichlet_log_density(num, concentration, tolerance):
    """With so many variables the float32 sum of the concentrations, 1e7, is the coarsest number:
    the density moves by 1e7 times its rounding, 3e-8 relative."""
    a = np.full(num, concentration, np.float32)
    x = np.random.default_rng(0).dirichlet(a).astype(np.float32)
    ours = float(Dirichlet(jnp.asarray(a)).log_prob(jnp.asarray(x)))
    assert abs(ours - dirichlet_log_prob(a, x)) < tolerance


# K = 1000 was off by 12.8 nats
@pytest.mark.slow
@pytest.mark.parametrize("most", [pytest.param(1.0, marks=pytest.mark.slow), 1000.0])
def test_dirichlet_kl(most):
    generator = np.random.default_rng(0)
    q, p = generator.uniform(0.05, most, (2, 1000)).astype(np.float32)
    ours = float(kl_divergence(Dirichlet(jnp.asarray(q)), Dirichlet(jnp.asarray(p))))
    np.testing.assert_allclose(ours, dirichlet_kl(q, p), 1e-6)


@pytest.mark.slow
def test_gamma_kl():
    """573.10489 with Stirling's series cut off at 1 / (12 c)."""
    ours = float(kl_divergence(Gamma(*jnp.ones(2)), Gamma(*jnp.full(2, 1e3))))
    exact = -999 * special.digamma(1) + special.gammaln(1000) - 1000 * np.log(1000) + 999
    np.testing.assert_allclose(exact, 573.10359, atol=1e-5)
    np.testing.assert_allclose(ours, exact, 1.2e-6)


@pytest.mark.parametrize(
    ("alpha", "beta", "x"), [(1000, 1000, 0.51), (0.05, 0.05, 0.3), (1000, 0.05, 0.999)]
)
def test_beta_log_density(alpha, beta, x):
    alpha, beta, x = np.float32((alpha, beta, x))
    ours = float(Beta(jnp.float32(alpha), jnp.float32(beta)).log_prob(jnp.float32(x)))
    np.testing.assert_allclose(ours, stats.beta.logpdf(float(x), float(alpha), float(beta)), 1e-5)


@pytest.mark.slow
def test_beta_log_density_in_float64():
    """1.444793064 by jax's betaln."""
    with jax.enable_x64(True):
        ours = float(Beta(jnp.float64(10), jnp.float64(1)).log_prob(jnp.float64(1 / 1.1)))
    np.testing.assert_allclose(ours, np.log(10) + 9 * np.log(1 / 1.1), 1e-13)


@pytest.mark.parametrize(
    ("concentration", "rate", "x"), [(1000, 1000, 1.01), (0.05, 0.05, 0.3), (1e5, 0.05, 2e6)]
)
def test_gamma_log_density(concentration, rate, x):
    a, b, x = np.float32((concentration, rate, x))
    ours = float(Gamma(jnp.float32(a), jnp.float32(b)).log_prob(jnp.float32(x)))
    np.testing.assert_allclose(
        ours, stats.gamma.logpdf(float(x), float(a), scale=1 / float(b)), 1e-5
    )


@pytest.mark.slow
def test_special_functions_in_float64():
    """Against the plain formulas where these do not cancel, and their series where they do."""
    with jax.enable_x64(True):
        c = jnp.array([0.05, 0.5, 1.0, 7.9])
        plain = special.gammaln(c) - ((c - 0.5) * np.log(c) - c + 0.5 * np.log(2 * np.pi))
        np.testing.assert_allclose(stirling_error(c), plain, 1e-12)
        recurrence = (c + 8.5) * np.log1p(1 / (c + 8)) - 1  # error(c) - error(c + 1)
        gaps = stirling_error(c + 8) - stirling_error(c + 9)
        np.testing.assert_allclose(gaps, recurrence, 1e-10)
        x = jnp.array([-2.0, -0.31, -0.29, 0.29, 0.31, 5.0])
        np.testing.assert_allclose(exp_gap(x), np.expm1(-x) + x, 1e-12)
        np.testing.assert_allclose(exp_gap(jnp.float64(1e-9)), 5e-19, 1e-8)
        np.testing.assert_allclose(log_ratio(jnp.array(1 + 1e-12), 1.0), 1e-12, 1e-3)
        np.testing.assert_allclose(log_ratio(jnp.array(3.0), 1e5), np.log(3e-5), 1e-14)
