"""The continuous Bernoulli distribution against quadrature and its paper's closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.families import KEY, assert_samples_have_cdf, project_key, samples_of
from vae_jax.distributions import ContinuousBernoulli

# Zero, both sides of the series' ends (0.3 and 1.5), and the tails.
SIGNED = (1e-6, 1e-3, 0.1, 0.299, 0.301, 1.0, 1.499, 1.501, 3.0, 30.0, 1e3)
TILTS = np.float32([0.0, *SIGNED, *(-t for t in SIGNED)])


def quadrature(logit):
    """Return log int exp((x - 1/2) l) dx, the mean and the variance in float64.

    By Gauss and Legendre's rule for t, the distance of x from the favoured end: exp(-|l| t).
    """
    tilt, reach = abs(logit), min(1.0, 40 / max(abs(logit), 1.0))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t = reach * (nodes + 1) / 2
    masses = reach / 2 * weights * np.exp(-tilt * t)
    mean = np.average(t, weights=masses)
    variance = np.average((t - mean) ** 2, weights=masses)
    return tilt / 2 + np.log(masses.sum()), 1 - mean if logit > 0 else mean, variance


@jax.jit
@jax.vmap
def tilted(logit):
    q = ContinuousBernoulli(logit)
    log_prob, gradient = jax.value_and_grad(lambda q: q.log_prob(0.5))(q)
    return -log_prob, q.mean, q.variance, q.scale, -gradient.logits


def test_moments_and_normalizer_are_the_quadratures():
    """Oracle: quadrature of exp((x - 1/2) l) in float64, at logits 0, +-1e-6 to +-1000.

    The derivative of the log-normalizer is the mean less 1/2. Mutants: log C dropped or of the
    wrong sign, NaN at l = 0, no series for the derivatives near it, a series cut too early.
    """
    expected = np.array([quadrature(float(logit)) for logit in TILTS]).T
    log_mass, mean, variance, scale, gradient = tilted(TILTS)
    np.testing.assert_allclose(log_mass, expected[0], 1e-5, atol=1e-7)
    np.testing.assert_allclose(mean, expected[1], 3e-5)
    np.testing.assert_allclose(variance, expected[2], 1e-5)
    np.testing.assert_allclose(scale, np.sqrt(expected[2]), 1e-5)
    np.testing.assert_allclose(gradient, expected[1] - 0.5, 1e-5, atol=1e-7)


@pytest.mark.parametrize("logit", [-30.0, -1e-3, 0.0, 1e-6, 2.0])
def test_log_prob_is_the_papers(logit):
    """Oracle: log C + x log(lambda) + (1 - x) log(1 - lambda) in float64, with
    C = 2 atanh(1 - 2 lambda) / (1 - 2 lambda): Loaiza-Ganem & Cunningham (2019), and 2 at 1/2.

    Mutant: the Bernoulli density, without C.
    """
    x, logit64 = np.linspace(0, 1, 7), np.float64(np.float32(logit))
    tilt = -np.tanh(logit64 / 2)
    log_c = np.log(2 * np.arctanh(tilt) / tilt if logit else 2)
    expected = log_c + x * special.log_expit(logit64) + (1 - x) * special.log_expit(-logit64)
    q = ContinuousBernoulli(jnp.full(7, logit))
    value = q.log_prob_per_dimension(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-6)


def test_density_integrates_to_one():
    """Oracle: the trapezoidal rule."""
    x = jnp.linspace(0, 1, 20_001)
    for logit in (-30.0, -1.0, 0.0, 1e-3, 8.0):
        densities = np.exp(ContinuousBernoulli(jnp.full(x.shape, logit)).log_prob_per_dimension(x))
        np.testing.assert_allclose(np.trapezoid(np.float64(densities), x), 1, 1e-5)


def tilted_cdf(x, logit):
    """Return the distribution function of the continuous Bernoulli in float64."""
    return np.expm1(x * logit) / np.expm1(logit) if logit else x


def test_samples_have_its_distribution_function():
    """Oracle: Kolmogorov and Smirnov's test, N = 20,000. Mutant: u and 1 - u exchanged."""
    logits = np.float32([-30, -1, -0.2, 0, 1e-3, 0.25, 5])
    samples = samples_of(ContinuousBernoulli(jnp.asarray(logits)), key=project_key())
    assert np.all((samples >= 0) & (samples <= 1))
    for column, logit in zip(samples.T, np.float64(logits), strict=True):
        assert_samples_have_cdf(column, functools.partial(tilted_cdf, logit=logit))


def test_samples_are_differentiable():
    """Oracle: dx/dl = -(dF/dl) / p(x) at the sample x, by differences of F in float64.

    Mutants: a gradient of 0 or NaN at l = 0, the series' factorials shifted by one.
    """
    logits = np.float32([0, 1e-3, -1e-3, 0.1, 0.299, 0.301, -0.301, 1, -5, 5, 30, -30])

    def sample(logit, key):
        return ContinuousBernoulli(logit).sample(key)

    keys = jax.random.split(KEY, 5)
    by_logit = jax.vmap(jax.vmap(jax.value_and_grad(sample), (None, 0)), (0, None))
    values, gradients = (np.float64(a) for a in jax.jit(by_logit)(logits, keys))
    for logit, x, gradient in zip(np.float64(logits), values, gradients, strict=True):
        # Of l and -l the lower: x and F are then measured from the favoured end.
        mirrored = logit > 0
        x, tilt = (1 - x, -logit) if mirrored else (x, logit)
        step = 1e-3
        by_tilt = (tilted_cdf(x, tilt + step) - tilted_cdf(x, tilt - step)) / (2 * step)
        density = np.exp(x * tilt) * (tilt / np.expm1(tilt) if tilt else 1.0)
        np.testing.assert_allclose(gradient, -by_tilt / density, 1e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1])
def test_samples_are_finite_at_extremes(end, monkeypatch):
    """The smallest and the largest uniform number, at logits of either sign.

    Mutant: a uniform number of 0, at which the derivative by a logit of 1000 is infinite.
    """

    def uniform(key, shape, dtype, minval=0.0):
        return jnp.full(shape, minval if end == 0 else np.nextafter(dtype.type(1), 0), dtype)

    monkeypatch.setattr(jax.random, "uniform", uniform)

    def sample(logits):
        return ContinuousBernoulli(logits).sample(KEY)

    logits = jnp.array([-1e3, -88.0, -1.0, 0.0, 1.0, 88.0, 1e3])
    values, gradients = sample(logits), jax.grad(lambda logits: sample(logits).sum())(logits)
    assert np.all((values >= 0) & (values <= 1)) and np.all(np.isfinite(gradients))


def test_one_key_moves_its_sample_smoothly_with_the_logits():
    """x increases with l, and never by more than max |dx/dl| = 1/8 of a step does.

    Mutant: u for 1 - u beyond the series, a sample of the right distribution that jumps at its end.
    """
    logits = jnp.linspace(-40, 40, 4001)
    sample = jax.jit(jax.vmap(lambda logit, key: ContinuousBernoulli(logit).sample(key), (0, None)))
    for key in jax.random.split(KEY, 3):
        steps = np.diff(sample(logits, key))
        assert np.all((steps >= -1e-6) & (steps <= 0.02 / 8 + 1e-6))


@pytest.mark.slow
def test_derivatives_in_float64_on_both_sides_of_the_end_of_the_series():
    """Oracle: the first three cumulants by quadrature in float64.

    Mutant: a series of six terms up to l = 1.5, 2e-10 off in value and 1e-7 in the third one.
    """
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = (nodes + 1) / 2
    with jax.enable_x64(True):
        for logit in (0.0, 0.3, 1.0, 1.4, 1.499, 1.501, 2.0):
            masses = weights / 2 * np.exp((x - 0.5) * logit)
            mean = np.average(x, weights=masses)
            q = ContinuousBernoulli(jnp.float64(logit))
            third = jax.jit(jax.grad(lambda logit: ContinuousBernoulli(logit).variance))(q.logits)
            np.testing.assert_allclose(
                q.log_prob(jnp.float64(0.5)), -np.log(masses.sum()), 1e-13, atol=1e-15
            )
            np.testing.assert_allclose(q.mean, mean, 1e-13)
            np.testing.assert_allclose(
                q.variance, np.average((x - mean) ** 2, weights=masses), 1e-13
            )
            expected = np.average((x - mean) ** 3, weights=masses)
            np.testing.assert_allclose(third, expected, 1e-10, atol=1e-14)
