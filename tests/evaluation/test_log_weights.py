"""Bounds at several K, jackknife and effective sample size, from one pass of log-weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.linear_gaussian import assert_mean_is, make_model, make_vae
from vae_jax.datasets import Examples
from vae_jax.evaluation import (
    Spread,
    diagnose,
    evaluation_keys,
    jackknife,
    make_log_weights,
    make_measure,
    map_examples,
    mean_over_examples,
    over_groups,
    variance_of_bound,
)
from vae_jax.evaluation.log_weights import effective_sample_size, importance_weighted_bounds

RANDOM = np.random.default_rng(0)
LOG_WEIGHTS = RANDOM.normal(-90, 2, (4, 60))


def test_groups_are_disjoint_and_averaged():
    """Oracle: scipy's logsumexp in a loop over 60 // 7 = 8 groups. Mutants: the first 7 samples
    alone, the remainder as a ninth group, the mean of weights for the mean of bounds."""
    found = over_groups(importance_weighted_bounds, LOG_WEIGHTS, 7)
    for value, variance, row in zip(*found, LOG_WEIGHTS, strict=True):
        groups = [special.logsumexp(row[i : i + 7]) - np.log(7) for i in range(0, 56, 7)]
        np.testing.assert_allclose(value, np.mean(groups), rtol=1e-12)
        np.testing.assert_allclose(variance, np.var(groups, ddof=1) / 8, rtol=1e-9)


def test_too_many_samples_are_refused():
    with pytest.raises(ValueError, match=r"size must lie in 1 \.\. 60.*got 61"):
        over_groups(importance_weighted_bounds, LOG_WEIGHTS, 61)


def test_variance_of_the_bound_is_that_of_repetitions():
    """Oracle: the variance over 4,000 repetitions of the bound of 400 samples, log w ~ N(0, 0.5);
    the mean of the estimates is held to four standard errors of both. Mutants: the variance of the
    log-weights over K, 1 / K left out."""
    drawn = np.random.default_rng(1).normal(0, np.sqrt(0.5), (4000, 400))
    bounds = importance_weighted_bounds(drawn)
    squares = (bounds - bounds.mean()) ** 2
    expected, error = squares.mean(), squares.std() / np.sqrt(4000)
    estimates = variance_of_bound(drawn)
    error = np.hypot(error, estimates.std() / np.sqrt(4000))
    # The delta method itself is off by a relative 1 / K.
    assert abs(estimates.mean() - expected) < 4 * error + expected / 400
    assert 4 * error < 0.15 * expected


def test_effective_sample_size():
    """Oracle: its definition on plain weights; K of equal weights and 1 of a single one."""
    weights = np.exp(LOG_WEIGHTS + 90)
    expected = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    np.testing.assert_allclose(effective_sample_size(LOG_WEIGHTS), expected, rtol=1e-9)
    extremes = np.array([[-800.0] * 4, [0, -np.inf, -np.inf, -np.inf]])
    np.testing.assert_allclose(effective_sample_size(extremes), [4, 1])


def test_jackknife_is_the_definition():
    """Oracle: K L_K - (K - 1) mean L_{K-1} with each sample left out in turn, by scipy. Mutants:
    K and K - 1 exchanged, the mean over K - 1."""
    for size in (2, 3, 60):
        rows = LOG_WEIGHTS[:, :size]
        left = [np.delete(rows, i, axis=1) for i in range(size)]
        inner = np.mean([special.logsumexp(r, axis=1) - np.log(size - 1) for r in left], axis=0)
        outer = special.logsumexp(rows, axis=1) - np.log(size)
        expected = size * outer - (size - 1) * inner
        np.testing.assert_allclose(jackknife(rows), expected, rtol=1e-10)


def test_jackknife_is_stable():
    """Equal weights give themselves at any K and size; one weight of 5,000 that outweighs all by
    e^60, where 1 - s = 0 in float64, gives a finite number: log(1 - s) is log sum of the others.
    Mutant: log1p(-s) of all, which is infinite. K = 1 has no jackknife."""
    np.testing.assert_allclose(jackknife(np.full((1, 5000), -3e4)), -3e4, rtol=1e-12)
    heavy = np.concatenate([[60.0], np.zeros(4999)])[None]
    others = np.log(4999) - 60
    mean = others / 5000 - np.log1p(-1 / 5000)  # the other shares are e^-60
    np.testing.assert_allclose(jackknife(heavy), 60 - np.log(5000) - 4999 * mean, rtol=1e-10)
    assert np.isnan(jackknife(np.zeros((1, 1))))


def test_jackknife_takes_the_bias_away():
    """log w ~ N(-1/8, 1/4), so that E w = 1 and the target is 0. At K = 10 the bound is off by
    Var w / (2 K) = 0.014; the mean jackknife of 40,000 groups is within four standard errors and
    the 1 / K^2 of its own bias. Mutant: the bound itself."""
    drawn = np.random.default_rng(2).normal(-0.125, 0.5, (40_000, 10))
    values = jackknife(drawn)
    error = 4 * values.std() / np.sqrt(len(values)) + 0.1 / 10**2
    assert abs(values.mean()) < error < 0.007
    assert importance_weighted_bounds(drawn).mean() < -error


def test_two_standard_errors_are_told_apart():
    """Oracle: 3,000 repetitions. Values of 40 examples with spread 2 and a noise of 0.5 of samples:
    over samples the mean varies by 0.5 / sqrt(40), whatever the spread of the examples. Mutants:
    the two exchanged, the mean of variances without 1 / N."""
    random = np.random.default_rng(3)
    truth = random.normal(0, 2, 40)
    repeated = truth + random.normal(0, 0.5, (3000, 40))
    found = mean_over_examples(Spread(repeated[0], np.full(40, 0.25)))
    over_samples = repeated.mean(axis=1).std()
    assert abs(found["standard_error_over_samples"] / over_samples - 1) < 4 / np.sqrt(2 * 3000)
    expected = repeated[0].std(ddof=1) / np.sqrt(40)
    np.testing.assert_allclose(found["standard_error_over_examples"], expected)


def test_bounds_of_the_linear_gaussian_model():
    """From one pass of K = 200 samples for each of 200 examples: at K = 1 the mean bound is the
    ELBO, and exp(bound - log p(x)) is 1 in expectation at K = 200, both in closed form and to four
    standard errors; the bound rises with K; that of all samples is `make_measure`'s. Mutants: the
    log-weights without log q, keys that differ from those of `make_measure`."""
    model = make_model()
    vae, xs = make_vae(model), model.sample(1, 200)
    params = vae.init(None, None)
    params |= {"offset": params["offset"] + 0.1, "log_scale": params["log_scale"] + 0.2}
    keys, examples = evaluation_keys(jax.random.key(0)), Examples(jnp.float32(xs))
    made = (make(vae, keys, 200, 64) for make in (make_log_weights, make_measure))
    drawn, measured = (map_examples(each, params, examples, 100) for each in made)
    told = diagnose(drawn["log_weights"], (1, 10, 200))
    np.testing.assert_allclose(told["bound"][:, 2], measured["log_likelihood"], rtol=1e-5)
    np.testing.assert_allclose(drawn["elbo"], measured["elbo"], rtol=1e-5)
    assert_mean_is(np.exp(told["bound"][:, 2] - model.log_marginal(xs)), 1)
    gain, offset = np.float64(params["gain"]), np.float64(params["offset"])
    covariance = np.diag(np.exp(2 * np.float64(params["log_scale"])))
    exact = [model.elbo(x, gain @ x + offset, covariance) for x in xs]
    assert_mean_is(told["bound"][:, 0] - exact, 0)
    assert np.all(np.diff(told["bound"].mean(axis=0)) > 0)
