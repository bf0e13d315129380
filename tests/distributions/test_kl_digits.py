"""Digits of the divergences: q close to p, large and small concentrations, extreme parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support import linear_gaussian
from tests.support.families import EXAMPLES, moments
from vae_jax.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    FullGaussian,
    Gamma,
    Gaussian,
    Poisson,
    kl_divergence,
    kl_per_dimension,
)

SMALL = jnp.array([1e-3, -2e-3, 1e-3])
NEAR = {
    Gaussian: lambda d: Gaussian(d.mean + SMALL, d.log_scale - SMALL),
    FullGaussian: lambda d: FullGaussian(
        d.mean + SMALL, d.scale_tril + jnp.tril(jnp.outer(SMALL, jnp.array([1.0, 2.0, -1.0])))
    ),
    Categorical: lambda d: Categorical(d.logits + jnp.outer(SMALL, jnp.array([1.0, -1, 2, 0]))),
    Poisson: lambda d: Poisson(d.log_rate + SMALL),
    Gamma: lambda d: Gamma(d.concentration * (1 + SMALL), d.rate * (1 - SMALL)),
}


def exact_kl(q, p):
    """Return KL(q || p) of the float32 parameters by the textbook's formula in float64."""
    q64, p64 = jax.tree.map(np.float64, (q, p))
    if isinstance(q, Gaussian | FullGaussian):
        return linear_gaussian.gaussian_kl(*moments(q), *moments(p))
    if isinstance(q, Categorical):
        logs = (special.log_softmax(d.logits, axis=-1) for d in (q64, p64))
        log_q, log_p = logs
        return np.sum(np.exp(log_q) * (log_q - log_p))
    if isinstance(q, Poisson):
        rates = np.exp(p64.log_rate) - np.exp(q64.log_rate)
        return np.sum(np.exp(q64.log_rate) * (q64.log_rate - p64.log_rate) + rates)
    a, b = q64.concentration, p64.concentration
    gammas = special.gammaln(b) - special.gammaln(a) - (b - a) * special.digamma(a)
    rates = b * np.log(q64.rate / p64.rate) + a * (p64.rate / q64.rate - 1)
    return np.sum(gammas + rates)


@pytest.mark.parametrize("scale", [1, 1e3])
@pytest.mark.parametrize("family", NEAR, ids=lambda family: family.__name__)
def test_kl_keeps_its_digits_near_equality(family, scale):
    """Oracle: the textbook's formula in float64, of a KL of some 1e-6 nats.

    Mutants: the textbook's formula in float32, whose terms of 1 to 1e4 nats leave no digit of it.
    """
    q = EXAMPLES[family][0]
    if family is Gamma:
        q = Gamma(q.concentration * scale, q.rate)
    if family is Poisson:
        q = Poisson(q.log_rate + np.float32(np.log(scale)))
    for pair in ((q, NEAR[family](q)), (NEAR[family](q), q)):
        np.testing.assert_allclose(kl_divergence(*pair), exact_kl(*pair), 1e-2)


def test_full_gaussian_kl_of_ill_conditioned_factors():
    """Oracle: L_p = r L_q gives 3 ((1/r^2 - 1) / 2 + log r), whatever L_q; r = 1 + 11 / 4096.

    Mutant: L_p^-1 L_q itself, whose off-diagonal zeros are up to 2^16 roundings wide.
    """
    excess = 11 / 4096  # r times these factors is exact in float32
    factor = jnp.tril(jnp.full((3, 3), 1.3125), -1) + jnp.eye(3) / 256
    q, p = (FullGaussian(jnp.zeros(3), r * factor) for r in (1.0, 1.0 + excess))
    log_ratio = np.log1p(excess)
    expected = 3 * (0.5 * np.expm1(-2 * log_ratio) + log_ratio)
    np.testing.assert_allclose(kl_divergence(q, p), expected, 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("family", [Gamma, Beta, Dirichlet], ids=lambda family: family.__name__)
def test_kl_of_small_and_large_concentrations(family):
    """Oracle: the textbook's formula in float64, at concentrations from 1/30 to 500.

    Mutants: Stirling's log-gamma without its 1/(12 c), one logarithm of the shift forgotten.
    """
    logs = np.random.default_rng(0).uniform(np.log(1 / 30), np.log(500), (2, 3, 8))
    a_q, a_p = np.float32(np.exp(logs))

    def gap(p, q):
        return special.gammaln(p) - special.gammaln(q) - (p - q) * special.digamma(q)

    q64, p64 = np.float64(a_q), np.float64(a_p)
    if family is Gamma:
        pair, expected = (Gamma(a, jnp.ones(())) for a in (a_q, a_p)), gap(p64, q64)
    elif family is Dirichlet:
        pair = (Dirichlet(a) for a in (a_q, a_p))
        expected = gap(p64, q64).sum(-1) - gap(p64.sum(-1), q64.sum(-1))
    else:
        pair = (Beta(a[0], a[1]) for a in (a_q, a_p))
        expected = gap(p64[:2], q64[:2]).sum(0) - gap(p64[:2].sum(0), q64[:2].sum(0))
    np.testing.assert_allclose(kl_per_dimension(*pair), expected, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("q", "p"),  # what the sum of three gaps, of each parameter and of their total, gave beside it
    [
        ((0.001, 1e4), (0.001, 2e4)),  # -0.00073 for 0.00031
        ((0.001, 1e4), (0.0011, 1.1e4)),  # 0.004703 for 0.004685
        ((0.001, 1e4), (1.0, 1.0)),  # 1001.873 for 1001.877
        ((1.0, 1.0), (0.001, 1e4)),
        ((0.001, 1e4), (1e4, 0.001)),
        ((7.0, 9.0), (9.0, 7.0)),
        ((1e3, 1e3), (1001.0, 999.0)),
    ],
)
def test_beta_kl_of_unequal_parameters(q, p):
    """Oracles: the textbook's formula in float64, and its gradient in closed form.

    Mutant: gaps of log Gamma of 4,000 nats, of beta and of the total, that cancel.
    """
    value, gradient = jax.jit(
        jax.value_and_grad(lambda a: kl_divergence(Beta(a[0], a[1]), Beta(a[2], a[3])))
    )(jnp.float32([*q, *p]))
    a, b, c, d = np.float64(np.float32([*q, *p]))
    psi, trigamma = special.digamma, functools.partial(special.polygamma, 1)
    expected = special.betaln(c, d) - special.betaln(a, b) + (a - c) * psi(a) + (b - d) * psi(b)
    expected += (c + d - a - b) * psi(a + b)
    total = (c + d - a - b) * trigamma(a + b)
    slopes = [(a - c) * trigamma(a) + total, (b - d) * trigamma(b) + total]
    slopes += [psi(c) - psi(c + d) - psi(a) + psi(a + b), psi(d) - psi(c + d) - psi(b) + psi(a + b)]
    np.testing.assert_allclose(value, expected, 2e-5, atol=2e-7)
    np.testing.assert_allclose(gradient, slopes, 1e-4, atol=1e-7)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def poisson_kl(log_rate_q, log_rate_p):
    return kl_divergence(Poisson(log_rate_q), Poisson(log_rate_p))


@pytest.mark.parametrize("log_rate_q, log_rate_p", [(-80.0, 3.0), (3.0, -80.0), (-1e3, 0.0)])
def test_poisson_kl_at_extreme_rates(log_rate_q, log_rate_p):
    """Oracle: scipy's kl_div by its definition in float64. Mutant: exp(-log(q / p)) overflows."""
    value, gradients = poisson_kl(log_rate_q, log_rate_p)
    q, p = np.exp(log_rate_q), np.exp(log_rate_p)
    np.testing.assert_allclose(value, q * (log_rate_q - log_rate_p) - q + p, 1e-5)
    np.testing.assert_allclose(gradients, [q * (log_rate_q - log_rate_p), p - q], 1e-5, atol=1e-30)


@pytest.mark.parametrize("logit", [88.0, 1e3])
def test_categorical_kl_at_extreme_logits(logit):
    """Oracle: a certain class q and p's log-probability of it. Mutant: 0 log 0 = NaN."""
    q, p = jnp.array([logit, 0.0, 0.0]), jnp.array([0.0, logit, 0.0])
    kl = jax.jit(jax.value_and_grad(lambda q, p: kl_divergence(Categorical(q), Categorical(p))))
    (there, gradient), (same, gradient_same) = kl(q, p), kl(q, q)
    np.testing.assert_allclose([there, same], [logit, 0], 1e-6, atol=1e-6)
    assert np.all(np.isfinite(gradient)) and np.all(np.isfinite(gradient_same))


def test_categorical_kl_of_impossible_classes():
    """Oracle: scipy's entropy of the probabilities. Mutants: 0 log 0 = NaN, a finite log 0.

    Logits of -inf exclude a class, and one of inf excludes the others.
    """
    logits = np.array([[0.0, -np.inf, 1.0], [0.2, -np.inf, np.inf], [0.3, -1.0, 0.5]])
    finite = np.where(np.isposinf(logits), 1e3, logits)
    for q, some in zip(special.softmax(finite, axis=-1), logits, strict=True):
        for p, other in zip(special.softmax(finite, axis=-1), logits, strict=True):
            pair = Categorical(jnp.float32(some)), Categorical(jnp.float32(other))
            np.testing.assert_allclose(kl_divergence(*pair), stats.entropy(q, p), 1e-6, atol=1e-7)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2, 3))
def gaussian_kl(mean_q, log_scale_q, mean_p, log_scale_p):
    return kl_divergence(Gaussian(mean_q, log_scale_q), Gaussian(mean_p, log_scale_p))


@pytest.mark.parametrize("distance", [0.0, 3.0])
@pytest.mark.parametrize("log_scale_p", [-60.0, 0.0, 40.0])
@pytest.mark.parametrize("log_scale_q", [-60.0, -44.0, 0.0, 40.0])
def test_gaussian_kl_at_extreme_scales(log_scale_q, log_scale_p, distance):
    """Oracle: the closed form in float64, read as float32; no NaN in value or gradients.

    Mutant: log(sigma^2), which is -inf in float32 at log sigma = -60.
    """
    value, gradients = gaussian_kl(distance, log_scale_q, 0.0, log_scale_p)
    log_ratio = log_scale_q - log_scale_p
    expected = 0.5 * (np.expm1(2 * log_ratio) + distance**2 * np.exp(-2 * log_scale_p)) - log_ratio
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(value, np.float32(expected), 1e-4)
    assert not np.any(np.isnan(gradients))


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def bernoulli_kl(logit_q, logit_p):
    return kl_divergence(Bernoulli(logit_q), Bernoulli(logit_p))


@pytest.mark.parametrize(
    "logit_q, logit_p, expected",
    [
        (1e3, 1e3, 0.0),
        (1e3, -1e3, 1e3),
        (-1e3, 1e3, 1e3),
        (1e3, 0.0, np.log(2)),
        (0.0, 1e3, 500 - np.log(2)),
        (0.0, -1e3, 500 - np.log(2)),
        (np.inf, np.inf, 0.0),
        (-np.inf, -np.inf, 0.0),
        (-np.inf, 0.0, np.log(2)),
        (np.inf, -np.inf, np.inf),
        (0.0, np.inf, np.inf),
        (3.0, -np.inf, np.inf),
    ],
)
def test_bernoulli_kl_at_extreme_logits(logit_q, logit_p, expected):
    """Oracle: a certain bit by hand, a fair coin's log 2. Mutants: 0 log 0 = NaN, inf - inf."""
    value, gradients = bernoulli_kl(logit_q, logit_p)
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-6)
    assert np.all(np.isfinite(gradients))
