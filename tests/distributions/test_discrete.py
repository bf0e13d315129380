"""Bernoulli, categorical and Poisson variables: scipy, numpyro and enumeration."""

import functools
import itertools

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
    MEAN,
    assert_samples_have_frequencies,
    project_key,
    samples_of,
)
from vae_jax.distributions import (
    Bernoulli,
    Categorical,
    Masked,
    NegativeBinomial,
    Observed,
    OneHot,
    Poisson,
)

# Bernoulli.


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


@pytest.mark.parametrize("bit", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-np.inf, np.inf])
def test_an_infinite_logit_is_a_certain_bit(logit, bit):
    """Oracle: log 1 and log 0. Mutants: inf - inf, 0 times inf, a finite number for log 0."""
    value, gradient = bernoulli_log_prob(logit, bit)
    expected = 0 if (logit > 0) == (bit == 1) else -np.inf
    per_bit = Bernoulli(jnp.float32(logit)).log_prob_per_dimension(jnp.float32(bit))
    assert value == per_bit == expected
    assert np.isfinite(gradient)


def test_bernoulli_moments_are_scipys():
    """Mutants: a softplus for the sigmoid, a variance that is a standard deviation."""
    bernoulli = EXAMPLES[Bernoulli][0]
    np.testing.assert_allclose(bernoulli.mean, special.expit(LOGITS), 1e-6)
    np.testing.assert_allclose(bernoulli.variance, stats.bernoulli.var(special.expit(LOGITS)), 1e-5)


# Categorical.


def one_hot(classes, num_classes):
    return jnp.eye(num_classes)[np.asarray(classes)]


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


def test_categorical_classes_of_infinite_logits():
    """Oracle: scipy's log_softmax of the other classes. Mutants: 0 times -inf, inf - inf."""
    log_probs = jax.vmap(lambda x, logits: Categorical(logits).log_prob(x), in_axes=(0, None))(
        jnp.eye(3), jnp.array([0.0, -jnp.inf, 1.0])
    )
    kept = special.log_softmax([0.0, 1.0])
    np.testing.assert_allclose(log_probs, [kept[0], -np.inf, kept[1]], 1e-6)
    certain = Categorical(jnp.array([0.0, jnp.inf, -jnp.inf]))
    np.testing.assert_array_equal(certain.mean, [0, 1, 0])
    np.testing.assert_array_equal(certain.sample(KEY), [0, 1, 0])
    assert certain.log_prob(certain.mean) == 0
    assert certain.log_prob(jnp.array([0.0, 0.0, 1.0])) == -np.inf


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


@pytest.mark.slow
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


TOTALS = (0.01, 0.7, 20.0, 1e5)


@pytest.mark.parametrize("mean", [0.05, 3.0, 400.0])
def test_negative_binomial_is_scipys(mean):
    """Oracle: scipy.stats.nbinom in float64 with n = r and p = r / (r + m), to Poisson's limit.

    Mutants: r and m exchanged, log Gamma(x + r) of float32 (off by 0.06 nats at r = 1e5), x! left
    out.
    """
    counts = np.float32([0, 1, 2, 7, 8, 9, 30, 500])
    log_mean, log_totals = np.float32(np.log(mean)), np.float32(np.log(TOTALS))[:, None]
    values = np.broadcast_to(counts, (len(TOTALS), len(counts)))
    ours = jax.jit(NegativeBinomial(log_mean, log_totals).log_prob_per_dimension)(values)
    m, r = np.exp(np.float64(log_mean)), np.exp(np.float64(log_totals))
    np.testing.assert_allclose(ours, stats.nbinom.logpmf(counts, r, r / (r + m)), 2e-5, atol=2e-4)


SIZES = (2, 1, 4)


def test_one_hot_vectors_are_softmaxes_of_their_own():
    """Oracle: scipy's log_softmax of each stretch of the logits, enumerated over all values.

    Mutants: one softmax over all logits, stretches of the longest size, the padding counted.
    """
    logits = np.random.default_rng(0).normal(size=7)
    parts = [special.log_softmax(part) for part in np.split(logits, np.cumsum(SIZES)[:-1])]
    p = OneHot(jnp.asarray(logits), SIZES)
    for choice in itertools.product(*map(range, SIZES)):
        value = np.concatenate([np.eye(n)[k] for n, k in zip(SIZES, choice, strict=True)])
        expected = [part[k] for part, k in zip(parts, choice, strict=True)]
        np.testing.assert_allclose(p.log_prob(jnp.asarray(value)), sum(expected), 1e-5)
    np.testing.assert_allclose(p.mean, np.exp(np.concatenate(parts)), 1e-5)
    drawn = np.asarray(jax.jit(jax.vmap(p.sample))(jax.random.split(KEY, 4000)))
    for part in np.split(drawn, np.cumsum(SIZES)[:-1], axis=1):
        np.testing.assert_array_equal(part.sum(axis=1), 1)
    errors = np.sqrt(np.asarray(p.variance) / 4000) + 1e-6
    assert np.all(np.abs(drawn.mean(axis=0) - p.mean) < 4 * errors)


def test_logits_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="one-hot vectors of"):
        OneHot(jnp.zeros(6), SIZES)


def test_a_missing_one_hot_vector_is_left_out():
    """Oracle: log_softmax of the other ones. Mutant: zeros counted as a class."""
    logits = np.random.default_rng(0).normal(size=7)
    mask = np.array([1, 1, 1, 0, 0, 0, 0])
    value = jnp.array([0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    ours = Observed(OneHot(jnp.asarray(logits), SIZES)).log_prob(Masked(value, jnp.asarray(mask)))
    np.testing.assert_allclose(ours, special.log_softmax(logits[:2])[1], 1e-5)
