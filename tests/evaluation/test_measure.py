"""The numbers of an evaluation: exactly K samples, whatever the chunk and the batch, and the same
functions as in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests.support.linear_gaussian import assert_mean_is, make_model, make_vae
from tests.support.quick import quick
from vae_jax import models, objectives
from vae_jax.datasets import Examples
from vae_jax.evaluation import (
    draw_in_chunks,
    evaluation_keys,
    make_measure,
    map_examples,
    sample_keys,
)

KEY = jax.random.key(0)
INDEX = jnp.array(3)


# Exactly K samples.


def noisy_log_weights(keys):
    """Return log-weights from N(0, 9), and twice them as a further term."""
    log_weights = 3 * jax.vmap(jax.random.normal)(keys)
    return log_weights, 2 * log_weights


def looped_keys(num_samples):
    """Return the keys that the module promises for example 3, one by one."""
    key = jax.random.fold_in(KEY, 3)
    return jnp.stack([jax.random.fold_in(key, k) for k in range(num_samples)])


def test_sample_keys_are_those_of_example_and_sample():
    """Mutants: keys that depend on the chunk's place alone, or on the example alone."""
    keys = sample_keys(KEY, INDEX, jnp.array(4), 3)
    np.testing.assert_array_equal(
        jax.random.key_data(keys), jax.random.key_data(looped_keys(7)[4:])
    )


@pytest.mark.parametrize("chunk_size", quick([1, 3, 10, 64], 3))
def test_chunks_change_nothing(chunk_size):
    """Oracle: scipy's logsumexp - log K and plain values on the keys of the module's promise.

    Mutants: surplus samples of the last chunk kept, samples of chunks out of order, K divided by
    twice.
    """
    log_weights, doubled = draw_in_chunks(noisy_log_weights, KEY, INDEX, 10, chunk_size)
    expected, _ = noisy_log_weights(looped_keys(10))
    np.testing.assert_allclose(log_weights, expected, 1e-6)
    np.testing.assert_allclose(doubled, 2 * expected, 1e-6)
    bound = objectives.importance_weighted_bound(log_weights)
    np.testing.assert_allclose(bound, special.logsumexp(np.float64(expected), b=1 / 10), 1e-5)


def test_k_is_exact():
    """Oracle: equal weights give themselves. Mutant: ceil(K / chunk) chunk of them over K, +0.18
    nats at 1,000 and 300."""
    weights = draw_in_chunks(lambda keys: jnp.full(len(keys), -200.0), KEY, INDEX, 1000, 300)
    assert weights.shape == (1000,)
    np.testing.assert_allclose(objectives.importance_weighted_bound(weights), -200, atol=1e-3)


def test_an_impossible_sample_weighs_nothing():
    """Oracle: one impossible chunk of two costs log 2. Mutant: -inf - -inf = NaN."""

    def draw(keys):
        possible = jax.vmap(jax.random.key_data)(keys) == jax.random.key_data(looped_keys(1)[0])
        return jnp.where(jnp.all(possible, axis=1), -1.0, -jnp.inf)

    bound = objectives.importance_weighted_bound
    value = bound(draw_in_chunks(draw, KEY, INDEX, 2, 1))
    np.testing.assert_allclose(value, -1 - np.log(2), 1e-6)
    assert bound(draw_in_chunks(lambda keys: jnp.full(1, -jnp.inf), KEY, INDEX, 2, 1)) == -np.inf


# Measured numbers.


@pytest.fixture(scope="module")
def solvable():
    """(model, vae, params) of an exactly solvable model, its posterior moved off the exact one."""
    model = make_model()
    vae = make_vae(model)
    params = vae.init(KEY, None)
    params |= {"offset": params["offset"] + 0.1, "log_scale": params["log_scale"] + 0.2}
    return model, vae, params


def measure_all(vae, params, xs, num_samples, chunk_size, batch_size):
    """Return what is measured of every example."""
    measure = make_measure(vae, evaluation_keys(KEY), num_samples, chunk_size)
    return map_examples(measure, params, Examples(jnp.float32(xs)), batch_size)


def test_log_marginal_of_the_linear_gaussian_model_is_recovered(solvable):
    """Estimator: the mean over N = 400 examples of p_hat(x) / p(x), K = 300 samples each in chunks
    of 128; its expectation is 1 for each x, and it is held to four standard errors.

    Mutants: surplus samples counted (x 1.28), the prior left out, log q added. The mean error of
    log p_hat, a lower bound, is below 0.01 nats.
    """
    model, vae, params = solvable
    xs = model.sample(seed=1, num_examples=400)
    values = measure_all(vae, params, xs, 300, 128, 64)["log_likelihood"]
    errors = np.float64(values) - model.log_marginal(xs)
    assert_mean_is(np.exp(errors), 1)
    assert abs(errors.mean()) < 0.01


def test_elbo_of_the_linear_gaussian_model_is_recovered(solvable):
    """Oracle: the model's ELBO in closed form, in float64, of 400 examples with 300 samples each;
    held to four standard errors. Mutants: the KL added, the sampled form of another sample, a bound
    of the exact posterior (0.2 nats more)."""
    model, vae, params = solvable
    xs = model.sample(seed=1, num_examples=400)
    measured = measure_all(vae, params, xs, 300, 128, 64)
    gain, offset = np.float64(params["gain"]), np.float64(params["offset"])
    covariance = np.diag(np.exp(2 * np.float64(params["log_scale"])))
    exact = [model.elbo(x, gain @ x + offset, covariance) for x in np.float64(xs)]
    assert_mean_is(np.float64(measured["elbo"]) - exact, 0)
    np.testing.assert_allclose(
        measured["elbo"], measured["reconstruction"] - measured["kl"], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("chunk_size", "batch_size"), quick([(1, 7), (3, 2), (5, 4), (64, 1)], (3, 2))
)
def test_chunk_and_batch_change_no_number(solvable, chunk_size, batch_size):
    """All that is measured of seven examples by K = 5 samples, against five at once in batches of
    three. Mutants: keys of the place within the batch or the chunk, a last chunk that counts whole,
    the padding of the last batch kept."""
    model, vae, params = solvable
    xs = model.sample(seed=1, num_examples=7)
    expected = measure_all(vae, params, xs, 5, 5, 3)
    found = measure_all(vae, params, xs, 5, chunk_size, batch_size)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert len(values) == 7
        np.testing.assert_allclose(found[name], values, 1e-5, 1e-5, err_msg=name)
    repeated = measure_all(vae, params, xs[[0, 0]], 5, chunk_size, batch_size)
    assert repeated["elbo"][0] != repeated["elbo"][1]  # each example has noise of its own


@pytest.mark.parametrize("posterior", quick(["gaussian", "coupling"], "gaussian"))
def test_the_bounds_are_those_of_training(posterior):
    """Oracle: metrics of the objectives for the same batch and the same keys, which split(key)[i]
    and fold_in(key, i) are; with a KL in closed form and with a sampled one.

    Mutants: beta in the evaluation, a mean of the log-weights for their log-mean, the sampled KL
    where training has the closed form.
    """
    vae = models.make_vae((4,), posterior=posterior, latent_dim=3, hidden=(5,))
    batch = Examples(jnp.round(jax.random.uniform(KEY, (6, 4))))
    params = vae.init(jax.random.key(1), batch)
    keys = evaluation_keys(jax.random.key(2))
    measured = make_measure(vae, keys, num_samples=3, chunk_size=2)(params, np.arange(6), batch)

    def metrics(objective):
        given = {"vae": params, "objective": {}}
        loss = jax.jit(lambda key: objective.loss(key, vae, given, objective.hparams, batch, 0))
        return loss(keys.samples)[1]

    elbo = metrics(objectives.make_elbo(num_samples=3))
    for name in ("elbo", "kl", "reconstruction"):
        np.testing.assert_allclose(np.mean(measured[name]), elbo[name], 1e-5, err_msg=name)
    iwae = metrics(objectives.make_iwae(num_samples=3))
    np.testing.assert_allclose(np.mean(measured["log_likelihood"]), iwae["objective"], 1e-5)
