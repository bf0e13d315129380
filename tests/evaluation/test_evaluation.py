"""Evaluation against scipy, toy numbers, and log p(x) of an exactly solvable model."""

import jax
import jax.numpy as jnp
from tests.support.linear_gaussian import assert_mean_is, make_model, make_vae
import numpy as np
import pytest
from scipy import special, stats

from vae_jax.evaluation import (
    active_units,
    bits_per_dim,
    estimate,
    importance_sampling,
    map_examples,
    over_examples,
    sample_keys,
)
from vae_jax.objectives import importance_weighted_bound, sample_terms

KEY = jax.random.key(0)
INDEX = jnp.array(3)


# Importance sampling.


def noisy_log_weights(keys):
    """Return log-weights from N(0, 9), and twice them and their squares as further terms."""
    log_weights = 3 * jax.vmap(jax.random.normal)(keys)
    return log_weights, {"double": 2 * log_weights, "square": log_weights**2}


def looped_keys(num_samples):
    """Return the keys that the module promises, one by one."""
    key = jax.random.fold_in(KEY, 3)
    return jnp.stack([jax.random.fold_in(key, k) for k in range(num_samples)])


def test_sample_keys_are_those_of_example_and_sample():
    """Mutants: keys that depend on the chunk's place alone, or on the example alone."""
    keys = sample_keys(KEY, INDEX, jnp.array(4), 3)
    np.testing.assert_array_equal(
        jax.random.key_data(keys), jax.random.key_data(looped_keys(7)[4:])
    )


@pytest.mark.parametrize("chunk_size", [1, 3, 10, 64])
def test_importance_sampling_does_not_depend_on_the_chunk(chunk_size):
    """Oracle: scipy's logsumexp - log K and plain means on the keys of the module's promise, and
    the bound of training.

    Mutants: surplus samples of the last chunk counted, K divided by twice, a mean of chunk bounds.
    """
    value, means = importance_sampling(noisy_log_weights, KEY, INDEX, 10, chunk_size)
    log_weights, terms = noisy_log_weights(looped_keys(10))
    np.testing.assert_allclose(value, special.logsumexp(np.float64(log_weights), b=1 / 10), 1e-5)
    np.testing.assert_allclose(value, importance_weighted_bound(log_weights), 1e-5)
    assert set(means) == {"double", "square"}
    for name, term in terms.items():
        np.testing.assert_allclose(means[name], np.mean(np.float64(term)), 1e-5, err_msg=name)


def test_importance_sampling_counts_k_samples():
    """Oracle: equal weights give themselves. Mutant: ceil(K / chunk) chunk of them over K, +0.18
    nats at 1,000 and 300."""

    def sample(keys):
        return jnp.full(len(keys), -200.0), jnp.ones(len(keys))

    value, mean = importance_sampling(sample, KEY, INDEX, 1000, 300)
    np.testing.assert_allclose(value, -200, atol=1e-3)
    assert mean == 1


def test_importance_sampling_takes_no_weight_as_zero():
    """Oracle: one impossible chunk of two costs log 2. Mutant: -inf - -inf = NaN."""

    def sample(keys):
        possible = jax.vmap(jax.random.key_data)(keys) == jax.random.key_data(looped_keys(1)[0])
        return jnp.where(jnp.all(possible, axis=1), -1.0, -jnp.inf), ()

    value, _ = importance_sampling(sample, KEY, INDEX, 2, 1)
    np.testing.assert_allclose(value, -1 - np.log(2), 1e-6)
    value, _ = importance_sampling(lambda keys: (jnp.full(1, -jnp.inf), ()), KEY, INDEX, 2, 1)
    assert value == -np.inf


def make_log_marginal(vae, num_samples, chunk_size):
    """Make function(params, index, example) that estimates log p(x)."""

    def log_marginal(params, index, x):
        def sample(keys):
            return sample_terms(keys, vae, params, x, None).log_weights, ()

        return importance_sampling(sample, KEY, index, num_samples, chunk_size)[0]

    return over_examples(log_marginal)


def test_log_marginal_of_the_linear_gaussian_model_is_recovered():
    """Estimator: the mean over N = 400 examples of p_hat(x) / p(x), K = 300 samples each in chunks
    of 128; its expectation is 1 for each x, and it is held to four standard errors.

    Mutants: surplus samples counted (x 1.28), the prior left out, log q added. The mean error of
    log p_hat, a lower bound, is below 0.01 nats.
    """
    model = make_model()
    vae = make_vae(model)
    params = vae.init(KEY, None)
    params |= {"offset": params["offset"] + 0.1, "log_scale": params["log_scale"] + 0.2}
    xs = model.sample(seed=1, num_examples=400)
    values = map_examples(make_log_marginal(vae, 300, 128), params, jnp.float32(xs), 64)
    errors = np.float64(values) - model.log_marginal(xs)
    assert_mean_is(np.exp(errors), 1)
    assert abs(errors.mean()) < 0.01


# Every example once.


def test_map_examples_counts_the_ragged_batch_once():
    """Oracle: a loop. Mutants: the last batch dropped, or its padding kept."""
    xs = {"image": np.arange(14.0).reshape(7, 2), "label": np.arange(7)}
    scale = jnp.array(10.0)

    def function(scale, index, x):
        return {"sum": scale * jnp.sum(x["image"]), "index": index, "pixels": x["image"]}

    for batch_size in (1, 3, 7, 16):
        result = map_examples(over_examples(function), scale, xs, batch_size)
        np.testing.assert_array_equal(result["sum"], 10 * xs["image"].sum(1))
        np.testing.assert_array_equal(result["index"], xs["label"])
        np.testing.assert_array_equal(result["pixels"], xs["image"])
        assert all(isinstance(leaf, np.ndarray) for leaf in result.values())


def test_noise_does_not_depend_on_the_batch():
    """Oracle: each example by itself. Mutant: keys of the place within the batch."""
    model = make_model()
    vae = make_vae(model)
    params = vae.init(KEY, None)
    params |= {"offset": params["offset"] + 0.3}
    xs = jnp.float32(model.sample(seed=1, num_examples=7))
    log_marginal = make_log_marginal(vae, 5, 2)
    alone = [log_marginal(params, np.array([i]), xs[i : i + 1])[0] for i in range(7)]
    np.testing.assert_allclose(map_examples(log_marginal, params, xs, 3), alone, 1e-5)
    repeated = map_examples(log_marginal, params, xs[jnp.array([0, 0])], 3)
    assert repeated[0] != repeated[1]


def test_map_examples_compiles_one_batch_shape_and_shows_progress():
    """Mutant: a last batch of another shape."""
    shapes, starts = [], []

    def progress(batches):
        for start in batches:
            starts.append(start)
            yield start

    def batched(params, indices, xs):
        shapes.append((indices.shape, xs.shape))
        return xs

    map_examples(batched, None, np.zeros((7, 2)), 3, progress)
    assert starts == [0, 3, 6] and set(shapes) == {((3,), (3, 2))}


# Summaries.


def test_estimate_is_the_mean_and_scipys_standard_error():
    """Mutants: the standard deviation, or N for N - 1."""
    values = np.random.default_rng(0).normal(size=20)
    found = estimate(values, "examples")
    np.testing.assert_allclose(
        [found.mean, found.standard_error], [values.mean(), stats.sem(values)]
    )
    assert found.over == "examples"


def test_estimate_keeps_digits_of_single_precision_values():
    """Mutant: a mean in float32."""
    values = np.full(100_000, -81.3, np.float32)
    values[0] = 1e6
    np.testing.assert_allclose(estimate(values, "examples").mean, np.float64(values).mean(), 1e-12)


def test_estimate_of_one_value_has_no_error():
    """Mutant: a standard error of zero."""
    found = estimate(np.array([2.5]), "seeds")
    assert found.mean == 2.5 and np.isnan(found.standard_error)


def test_estimate_hides_no_failed_value():
    """Mutant: a mean of the finite values only."""
    assert np.isnan(estimate(np.array([1.0, np.nan]), "examples").mean)


def test_active_units_vary_over_examples():
    """Oracle: standard deviations 0, 0.09, 0.11 and 1 about means of 10,000; threshold 0.1^2.

    Mutants: the standard deviation compared, the variance over latents, sums in float32.
    """
    signs = np.resize([-1.0, 1.0], (100_000, 1))
    means = np.float32(10_000 + signs * [0, 0.09, 0.11, 1])
    assert active_units(means) == 2
    assert active_units(means, threshold=0.001) == 3
    assert active_units(means, threshold=10.0) == 0


def test_bits_per_dim_of_uniform_bytes_is_eight():
    """Mutants: nats per dimension, log 10 for log 2."""
    assert bits_per_dim(784 * np.log(256), 784) == pytest.approx(8)
