"""Values of equally spaced levels: scipy, numpyro and enumeration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from tests.support.families import (
    CLASS_LOGITS,
    EXAMPLES,
    KEY,
    LOGITS,
    assert_samples_have_frequencies,
    project_key,
    samples_of,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import Bernoulli, Binomial, DiscretizedLogistic, Levels

# Levels.


def test_levels_are_numpyros():
    """Oracle: numpyro's categorical variable of the index. Mutants: levels counted from one, a
    last level of (L - 1) / L, a mean over the event."""
    indices = np.array([2, 0, 3])
    q = Levels(CLASS_LOGITS)
    per_dimension = q.log_prob_per_dimension(jnp.float32(indices / 3))
    oracle = numpyro.CategoricalLogits(CLASS_LOGITS).log_prob(indices)
    np.testing.assert_allclose(per_dimension, oracle, 1e-5)
    np.testing.assert_allclose(q.log_prob(jnp.float32(indices / 3)), np.sum(oracle), 1e-5)
    np.testing.assert_allclose(q.levels, [0, 1 / 3, 2 / 3, 1], 1e-6)


def test_levels_samples_have_their_frequencies():
    """Chi-square of 20,000 samples. Mutant: the index for its level."""
    samples = samples_of(Levels(CLASS_LOGITS))
    probabilities = special.softmax(np.float64(CLASS_LOGITS), axis=-1)
    for column, expected in zip(samples.T, probabilities, strict=True):
        index = np.rint(column * 3).astype(int)
        np.testing.assert_allclose(column, index / 3, 1e-6)
        assert_samples_have_frequencies(np.bincount(index, minlength=4), expected)


# Binomial.


@functools.partial(jax.jit, static_argnums=1)
@functools.partial(jax.vmap, in_axes=(0, None))
def binomial_log_probs(logit, num_trials):
    """Return log P of every level k / n, and its gradient by the logit."""
    levels = jnp.arange(num_trials + 1) / num_trials
    by_logit = jax.value_and_grad(lambda logit, x: Binomial(logit, num_trials).log_prob(x))
    return jax.vmap(by_logit, (None, 0))(logit, levels)


BINOMIAL_LOGITS = np.float32([-9.0, -2.0, -0.3, 0.0, 0.7, 4.0])


def rounding(num_trials):
    """Return four roundings of the largest term, log C(n, k) <= n log 2, to float32."""
    return 4 * 2.0**-24 * num_trials * np.log(2) + 1e-6


every_number_of_trials = pytest.mark.parametrize("num_trials", [1, 4, 16, 255])


@every_number_of_trials
def test_binomial_log_prob_is_scipys(num_trials):
    """Of all k. Mutants: a factorial dropped, k of x (n + 1), successes and failures exchanged."""
    log_probs, _ = binomial_log_probs(BINOMIAL_LOGITS, num_trials)
    k = np.arange(num_trials + 1)
    probabilities = special.expit(np.float64(BINOMIAL_LOGITS))[:, None]
    expected = stats.binom.logpmf(k, num_trials, probabilities)
    np.testing.assert_allclose(log_probs, expected, 1e-5, atol=rounding(num_trials))


@every_number_of_trials
def test_binomial_probabilities_sum_to_one(num_trials):
    """Oracle: enumeration of the levels. Mutant: log n! read as log (n + 1)!."""
    log_probs, _ = binomial_log_probs(BINOMIAL_LOGITS, num_trials)
    np.testing.assert_allclose(np.exp(np.float64(log_probs)).sum(-1), 1, rounding(num_trials))


@every_number_of_trials
def test_binomial_gradient_is_successes_less_their_mean(num_trials):
    """Oracle: k - n sigmoid(l). Mutants: a mean over the trials, k / n for k."""
    _, gradients = binomial_log_probs(BINOMIAL_LOGITS, num_trials)
    k = np.arange(num_trials + 1)
    expected = k - num_trials * special.expit(np.float64(BINOMIAL_LOGITS))[:, None]
    np.testing.assert_allclose(gradients, expected, 1e-5, atol=1e-5 * num_trials)


def test_binomial_of_one_trial_is_a_bernoulli():
    """Mutant: a factor of two at one of the two levels."""
    bits = jnp.array([0.0, 1.0, 1.0])
    one, bernoulli = Binomial(LOGITS, 1), Bernoulli(LOGITS)
    of_bits = bernoulli.log_prob_per_dimension(bits)
    np.testing.assert_allclose(one.log_prob_per_dimension(bits), of_bits, 1e-5)
    np.testing.assert_allclose(one.log_prob(bits), bernoulli.log_prob(bits), 1e-5)
    np.testing.assert_allclose(one.mean, bernoulli.mean, 1e-6)
    np.testing.assert_allclose(one.variance, bernoulli.variance, 1e-6)


@pytest.mark.parametrize("logit", [-1e3, 1e3])
def test_binomial_is_finite_at_extreme_logits(logit):
    """Oracle: log P = 0 of the sure level and -n |l| of the opposite one; samples are the sure one.

    Mutants: log(sigmoid(l)), which is log 0; a sample of NaN at a probability of 0 or 1.
    """
    log_probs, gradients = binomial_log_probs(np.float32([logit]), 16)
    sure, opposite = (16, 0) if logit > 0 else (0, 16)
    assert np.all(np.isfinite(log_probs)) and np.all(np.isfinite(gradients))
    np.testing.assert_allclose(log_probs[0, sure], 0, atol=1e-4)
    np.testing.assert_allclose(log_probs[0, opposite], -16e3, 1e-6)
    samples = samples_of(Binomial(jnp.float32([logit]), 16), 100)
    np.testing.assert_array_equal(samples, float(logit > 0))


@pytest.mark.slow
@pytest.mark.parametrize("key", [KEY, project_key(), jax.random.key(0, impl="rbg")])
def test_binomial_samples_have_scipys_frequencies(key):
    """Chi-square of 20,000 counts, from keys of any kind. Mutants: counts for their shares k / n,
    one draw for all values, successes and failures exchanged."""
    samples = samples_of(Binomial(LOGITS, 16), key=key)
    assert samples.dtype == np.float32
    for column, logit in zip(samples.T, np.float64(LOGITS), strict=True):
        k = np.rint(16 * column).astype(int)
        np.testing.assert_allclose(column, k / 16, 1e-6)
        frequencies = stats.binom.pmf(np.arange(17), 16, special.expit(logit))
        assert_samples_have_frequencies(np.bincount(k, minlength=17), frequencies)
    assert abs(np.corrcoef(samples[:, 0], samples[:, 1])[0, 1]) < 4 / np.sqrt(len(samples))


@every_number_of_trials
def test_binomial_moments_are_scipys(num_trials):
    """Oracle: the moments of k / n. Estimators: means of x and of (x - mean)^2, N = 20,000, four
    standard errors. Mutants: the variance of k, or of k / sqrt(n)."""
    q = Binomial(LOGITS, num_trials)
    mean, variance = stats.binom.stats(num_trials, special.expit(np.float64(LOGITS)))
    np.testing.assert_allclose(q.mean, mean / num_trials, 1e-5)
    np.testing.assert_allclose(q.variance, variance / num_trials**2, 1e-5)
    samples = samples_of(q)
    assert_mean_is(samples, mean / num_trials)
    assert_mean_is((samples - mean / num_trials) ** 2, variance / num_trials**2)


@pytest.mark.parametrize("num_trials", [0, -1])
def test_fewer_than_one_trial_is_refused(num_trials):
    with pytest.raises(ValueError, match=f"num_trials={num_trials} is not at least 1"):
        Binomial(jnp.zeros(3), num_trials)


# Discretized logistic.


@functools.partial(jax.jit, static_argnums=2)
@functools.partial(jax.vmap, in_axes=(0, 0, None))
def level_log_probs(mean, log_scale, num_levels):
    """Return log P of each level, and its gradients, for one-dimensional parameters."""
    levels = jnp.arange(num_levels) / (num_levels - 1)
    by_both = jax.value_and_grad(
        lambda mean, log_scale, x: DiscretizedLogistic(mean, log_scale, num_levels).log_prob(x),
        argnums=(0, 1),
    )
    return jax.vmap(by_both, (None, None, 0))(mean, log_scale, levels)


def logistic_parameters(*pairs):
    """Return arrays of means and of log-scales."""
    return tuple(np.array(column, np.float32) for column in zip(*pairs, strict=True))


MODERATE = logistic_parameters((0.5, -3), (0.0, -1), (1.2, -2), (0.1, 1), (-0.5, 0), (0.501, -4))
# A mean of 1/2 is an end that two bins of an even number share, and exact: at an inexact one a
# compiler may round the product and the sum at once in one bin and one by one in the other.
EXTREME = logistic_parameters(
    (0.5, -60), (0.5, -20), (0.3, 40), (-50, -5), (1e3, -2), (0.0, -60), (1.0, -10), (-3, 10)
)


@pytest.mark.parametrize("num_levels", [2, 5, 256])
def test_level_probabilities_are_scipys(num_levels):
    """Oracle: differences of scipy's logistic distribution function at the bins' ends.

    Mutants: bins of half the width, open ends forgotten, exp(log_scale) for its inverse.
    """
    log_probs, _ = level_log_probs(*MODERATE, num_levels)
    levels = np.arange(num_levels) / (num_levels - 1)
    half = 0.5 / (num_levels - 1)
    for mean, log_scale, row in zip(*MODERATE, log_probs, strict=True):
        ends = np.concatenate([[-np.inf], levels[:-1] + half, [np.inf]])
        oracle = stats.logistic(np.float64(mean), np.exp(np.float64(log_scale)))
        # From the nearer tail, where the differences keep their digits.
        upper, lower = np.diff(oracle.cdf(ends)), -np.diff(oracle.sf(ends))
        expected = np.log(np.where(levels > mean, lower, upper))
        np.testing.assert_allclose(row, expected, 1e-4, atol=1e-5)


@pytest.mark.parametrize("num_levels", [2, 5, 256])
@pytest.mark.parametrize("parameters", [MODERATE, EXTREME], ids=["moderate", "extreme"])
def test_level_probabilities_sum_to_one(parameters, num_levels):
    """Oracle: enumeration of the levels; nothing is infinite or NaN, gradients neither.

    Mutants: log(sigmoid(u) - sigmoid(l)), which is log 0 far away, and an epsilon added to it; an
    end that two bins share rounded apart.
    """
    log_probs, gradients = level_log_probs(*parameters, num_levels)
    assert np.all(np.isfinite(log_probs)) and np.all(np.isfinite(gradients))
    np.testing.assert_allclose(np.exp(np.float64(log_probs)).sum(-1), 1, 1e-5)


def test_gradients_are_those_of_scipys_probabilities():
    """Oracle: central differences of the log of scipy's probabilities, in float64.

    Mutants: a gradient stopped in the width's term, or in one branch of it.
    """
    _, (by_mean, by_log_scale) = level_log_probs(*MODERATE, 5)

    def log_prob(mean, log_scale):
        ends = np.concatenate([[-np.inf], np.arange(4) / 4 + 1 / 8, [np.inf]])
        scale = np.exp(log_scale)[:, None]
        lower, upper = ((e - mean[:, None]) / scale for e in (ends[:-1], ends[1:]))
        from_left = special.expit(upper) - special.expit(lower)
        from_right = special.expit(-lower) - special.expit(-upper)
        return np.log(np.where(lower > 0, from_right, from_left))

    mean, log_scale = (np.float64(p) for p in MODERATE)
    step = 1e-5
    expected = (log_prob(mean + step, log_scale) - log_prob(mean - step, log_scale)) / (2 * step)
    np.testing.assert_allclose(by_mean, expected, 1e-3, atol=1e-3)
    expected = (log_prob(mean, log_scale + step) - log_prob(mean, log_scale - step)) / (2 * step)
    np.testing.assert_allclose(by_log_scale, expected, 1e-3, atol=1e-3)


@pytest.mark.parametrize("log_scale", [-6.0, -2.0])
def test_far_levels_fall_off_by_the_scale(log_scale):
    """Oracle: far above the mean, log P falls by a bin's width / s a level, and so for the mean.

    Mutant: probabilities clipped at 1e-12, flat from there on and without a gradient.
    """
    log_probs, (by_mean, _) = level_log_probs(*logistic_parameters((-30, log_scale)), 256)
    inverse_scale = np.exp(-log_scale)
    np.testing.assert_allclose(np.diff(log_probs[0, 1:-1]), -inverse_scale / 255, 2e-2)
    np.testing.assert_allclose(by_mean[0, 1:], inverse_scale, 1e-4)


def test_discretized_logistic_samples_have_its_frequencies():
    """Chi-square of 20,000 samples. Mutants: floor for round, levels outside [0, 1] kept."""
    q = EXAMPLES[DiscretizedLogistic][0]
    samples = samples_of(q)
    log_probs, _ = level_log_probs(q.location, q.log_scale, 6)
    for column, row in zip(samples.T, log_probs, strict=True):
        index = np.rint(column * 5).astype(int)
        np.testing.assert_allclose(column, index / 5, 1e-6)
        assert_samples_have_frequencies(np.bincount(index, minlength=6), np.exp(row))


def test_levels_of_bytes_are_read_as_such():
    """Oracle: x / 255 of any rounding is the same level. Mutant: an end compared exactly."""
    q = DiscretizedLogistic(jnp.full(256, 0.4), jnp.array(-2.0), 256)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    off = np.nextafter(levels, np.float32(0.5))
    exact, rounded = (q.log_prob_per_dimension(jnp.asarray(x)) for x in (levels, off))
    np.testing.assert_array_equal(exact, rounded)


@pytest.mark.parametrize("num_levels", [1, 0])
def test_fewer_than_two_levels_are_refused(num_levels):
    with pytest.raises(ValueError, match=f"num_levels={num_levels} is not at least 2"):
        DiscretizedLogistic(jnp.zeros(3), jnp.zeros(3), num_levels)


@pytest.mark.parametrize("location", [-0.5, 0.0, 0.3, 0.77, 1.0, 1.8])
def test_mean_of_the_logistic_levels_is_their_mean(location):
    """Against the sum over all levels of x P(x); near and beyond the ends the location is not it:
    at 1.8 it lies outside of 0 .. 1 altogether."""
    q = DiscretizedLogistic(jnp.array([location]), jnp.array([-1.0]), 16)
    levels = np.arange(16) / 15
    log_probs = [q.log_prob(jnp.array([x], jnp.float32)) for x in levels]
    probabilities = np.exp(np.array(log_probs, np.float64))
    mean = np.sum(levels * probabilities)
    np.testing.assert_allclose(q.mean[0], mean, rtol=1e-5)
    np.testing.assert_allclose(
        q.variance[0], np.sum((levels - mean) ** 2 * probabilities), rtol=1e-4
    )


@pytest.mark.parametrize(
    "p",
    [
        Levels(jnp.zeros((1, 256))),
        DiscretizedLogistic(jnp.array([0.5]), jnp.array([-1.0]), 256),
        Binomial(jnp.array([0.0]), 255),
    ],
    ids=lambda p: type(p).__name__,
)
@pytest.mark.parametrize("x", [-1 / 255, 256 / 255])
def test_levels_end_at_zero_and_one(p, x):
    """The level below the first one read as the last one, and the one above the last gave NaN."""
    assert float(p.log_prob(jnp.array([x], jnp.float32))) == -np.inf
    assert np.isfinite(p.log_prob(jnp.array([0.0]))) and np.isfinite(p.log_prob(jnp.array([1.0])))
