"""Categorical, Poisson and discretized logistic variables: scipy, numpyro and enumeration."""

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
    MEAN,
    assert_samples_have_frequencies,
    project_key,
    samples_of,
)
from vae_jax.distributions import Categorical, DiscretizedLogistic, Poisson


def one_hot(classes, num_classes):
    return jnp.eye(num_classes)[np.asarray(classes)]


# Categorical.


def test_categorical_log_prob_is_scipys_and_numpyros():
    """Mutants: logits taken for log-probabilities, normalized over the variables, a mean."""
    classes = np.array([2, 0, 3])
    value = Categorical(CLASS_LOGITS).log_prob(one_hot(classes, 4))
    probabilities = special.softmax(np.float64(CLASS_LOGITS), axis=-1)
    expected = stats.multinomial.logpmf(one_hot(classes, 4), 1, probabilities).sum()
    assert value.shape == ()
    np.testing.assert_allclose(value, expected, 1e-5)
    oracle = numpyro.CategoricalLogits(CLASS_LOGITS).log_prob(classes)
    per_variable = Categorical(CLASS_LOGITS).log_prob_per_dimension(one_hot(classes, 4))
    np.testing.assert_allclose(per_variable, oracle, 1e-5)


def test_categorical_probabilities_sum_to_one():
    """Oracle: enumeration of one variable's classes."""
    log_probs = jax.vmap(Categorical(CLASS_LOGITS[0]).log_prob)(np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1, 1e-6)
    np.testing.assert_allclose(np.exp(log_probs), Categorical(CLASS_LOGITS[0]).mean, 1e-5)


def test_categorical_samples_are_one_hot_with_its_frequencies():
    """Chi-square, N = 20,000. Mutants: drawn over the wrong axis, one draw for all variables."""
    samples = samples_of(Categorical(CLASS_LOGITS))
    assert samples.shape == (20_000, 3, 4) and samples.dtype == np.float32
    np.testing.assert_array_equal(np.sort(samples, axis=-1)[..., -2:], [[[0, 1]] * 3] * 20_000)
    probabilities = special.softmax(np.float64(CLASS_LOGITS), axis=-1)
    for counts, expected in zip(samples.sum(0), probabilities, strict=True):
        assert_samples_have_frequencies(counts, expected)
    pairs = 4 * samples[:, 0].argmax(-1) + samples[:, 1].argmax(-1)
    expected = np.outer(probabilities[0], probabilities[1]).ravel()
    assert_samples_have_frequencies(np.bincount(pairs, minlength=16), expected)


@pytest.mark.parametrize("logit", [88.0, 1e3])
def test_categorical_is_finite_at_extreme_logits(logit):
    """Oracle: -logit for the unlikely class, 0 for the other. Mutant: log(softmax)."""
    values = jax.vmap(
        jax.value_and_grad(lambda logits, x: Categorical(logits).log_prob(x)), (None, 0)
    )
    log_probs, gradients = values(jnp.array([logit, 0.0]), jnp.eye(2))
    np.testing.assert_allclose(log_probs, [0, -logit], 1e-6)
    np.testing.assert_allclose(gradients, [[0, 0], [-1, 1]], atol=1e-6)


# Poisson.


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_poisson_log_prob_is_scipys_and_numpyros(shape):
    """Mutants: log x! dropped, a rate for a log-rate."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, size=shape).astype(np.float32)
    log_rate = rng.normal(size=shape).astype(np.float32)
    value = Poisson(jnp.asarray(log_rate)).log_prob(jnp.asarray(x))
    np.testing.assert_allclose(value, stats.poisson.logpmf(x, np.exp(log_rate)).sum(), 1e-5)
    np.testing.assert_allclose(value, numpyro.Poisson(np.exp(log_rate)).log_prob(x).sum(), 1e-5)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def poisson_log_prob(log_rate, count):
    return Poisson(log_rate).log_prob(count)


@pytest.mark.parametrize("log_rate", [-20.0, -1.0, 0.0, 3.0])
def test_poisson_probabilities_sum_to_one(log_rate):
    """Oracle: enumeration of 200 counts."""
    total = np.exp(poisson_log_prob(log_rate, np.arange(200, dtype=np.float32))).sum()
    np.testing.assert_allclose(total, 1, 1e-5)


@pytest.mark.parametrize("key", [KEY, project_key(), jax.random.key(0, impl="rbg")])
def test_poisson_samples_have_its_frequencies(key):
    """Chi-square of 20,000 counts, from keys of any kind. Mutant: the rate's exponential left."""
    samples = samples_of(Poisson(MEAN), key=key)
    assert samples.dtype == np.float32
    for column, log_rate in zip(samples.T, np.float64(MEAN), strict=True):
        counts = np.bincount(column.astype(int), minlength=40)
        probabilities = stats.poisson.pmf(np.arange(len(counts)), np.exp(log_rate))
        assert_samples_have_frequencies(counts, probabilities)


@pytest.mark.parametrize("log_rate", [-80.0, -20.0, 15.0])
@pytest.mark.parametrize("count", [0.0, 1.0, 1e6])
def test_poisson_is_finite_at_extremes(log_rate, count):
    """Oracle: scipy, and d log p / d log_rate = x - rate. Mutant: log(exp(log_rate))."""

    def log_prob(log_rate):
        return Poisson(log_rate).log_prob(count)

    value, gradient = jax.value_and_grad(log_prob)(log_rate)
    expected = stats.poisson.logpmf(count, np.exp(log_rate))
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, count - np.exp(log_rate), 1e-5, atol=1e-6)


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
    log_probs, _ = level_log_probs(q.mean, q.log_scale, 6)
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
