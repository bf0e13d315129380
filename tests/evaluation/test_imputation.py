"""Missing entries given the observed ones, against the conditional of a Gaussian in closed form."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.linear_gaussian import make_model
from vae_jax import evaluation
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian, Masked, Observed, standard_normal
from vae_jax.fast import threefry
from vae_jax.models import VAE

REPEATS, SAMPLES = 40, 1000
MODEL = make_model()
MASK = np.array([1, 0, 1, 1, 0], np.float32)


def conditional():
    """Return x and, in numpy, mean and covariance of its missing entries given the observed."""
    x = MODEL.sample(seed=3, num_examples=1)[0]
    covariance = MODEL.weights @ MODEL.weights.T + MODEL.noise_scale**2 * np.eye(5)
    seen, missing = MASK == 1, MASK == 0
    gain = covariance[np.ix_(missing, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    mean = MODEL.bias[missing] + gain @ (x - MODEL.bias)[seen]
    rest = covariance[np.ix_(missing, missing)] - gain @ covariance[np.ix_(seen, missing)]
    return x, mean, rest


def make_vae():
    """The model with the proposal N(0, 1.5^2 I), which is not its posterior."""

    def decode(params, z, y=None):
        mean = jnp.asarray(MODEL.weights, jnp.float32) @ z + jnp.asarray(MODEL.bias, jnp.float32)
        return Observed(Gaussian(mean, jnp.full(5, jnp.log(MODEL.noise_scale))))

    def encode(params, x, y=None):
        return Gaussian(jnp.zeros(2), jnp.full(2, jnp.log(1.5)))

    return VAE(None, encode, decode, lambda params, y=None: standard_normal(2))


def repeated(x):
    """One example as often as there are repeats, which draw other samples: their index differs."""
    x = np.where(MASK == 1, x, np.nan).astype(np.float32)
    rows = Masked(np.tile(x, (REPEATS, 1)), np.tile(MASK, (REPEATS, 1)))
    given = {}, evaluation.evaluation_keys(threefry.key(0))
    return given, np.arange(REPEATS), Examples(rows)


def test_means_are_those_of_the_conditional():
    """Within four standard errors over repeats. Mutants: unweighted samples, weights without
    p(z) / q(z), the samples beyond K of the last chunk counted."""
    x, mean, _ = conditional()
    means = {}
    for chunk_size in (300, SAMPLES):
        impute = evaluation.make_impute(make_vae(), SAMPLES, chunk_size)
        means[chunk_size] = np.asarray(impute(*repeated(x)))[:, MASK == 0]
    np.testing.assert_allclose(means[300], means[SAMPLES], rtol=1e-4, atol=1e-5)
    error = means[300].std(axis=0, ddof=1) / np.sqrt(REPEATS)
    assert np.all(np.abs(means[300].mean(axis=0) - mean) < 4 * error)
    assert np.all(np.abs(mean - MODEL.bias[MASK == 0]) > 8 * error)  # that of unweighted samples


def test_scores_are_those_of_the_model_in_closed_form():
    """log p(x), its standard error against the spread over repeats, and E[log p(x_i|z)] of each
    entry under the exact posterior. Mutants: contributions of prior or proposal, those of missing
    entries, log K left out, the standard error of one sample."""
    x = MODEL.sample(seed=3, num_examples=1)[0]
    score = evaluation.make_score(make_vae(), SAMPLES, 300)
    scores = jax.device_get(score(*repeated(x)))
    seen, noise = MASK == 1, MODEL.noise_scale**2
    weights, rest = MODEL.weights[seen], (x - MODEL.bias)[seen]
    covariance = np.linalg.inv(np.eye(2) + weights.T @ weights / noise)
    mean = covariance @ weights.T @ rest / noise
    squares = (rest - weights @ mean) ** 2 + np.einsum("ij,jk,ik->i", weights, covariance, weights)
    expected = -0.5 * np.log(2 * np.pi * noise) - squares / (2 * noise)
    kl = 0.5 * (np.trace(covariance) + mean @ mean - 2 - np.linalg.slogdet(covariance)[1])
    error = scores["contributions"].std(axis=0, ddof=1)[seen] / np.sqrt(REPEATS)
    # The bias of self-normalized weights is of the order of 1 / K.
    found = scores["contributions"].mean(axis=0)
    assert np.all(np.abs(found[seen] - expected) < 4 * error + 10 / SAMPLES)
    assert np.all(scores["contributions"][:, ~seen] == 0)
    logs = scores["log_likelihood"]
    spread = logs.std(ddof=1)
    assert abs(logs.mean() - (expected.sum() - kl)) < 4 * spread / np.sqrt(REPEATS) + spread**2
    assert 0.6 < np.mean(scores["standard_error"]) / spread < 1.6


def test_draws_are_those_of_the_conditional():
    """Mean and covariance of 40 x 50 draws. Mutants: draws of means, the same z for all draws of
    an example, an index without its key."""
    x, mean, covariance = conditional()
    draw = evaluation.make_imputed_draws(make_vae(), 50, SAMPLES, 300)
    draws = np.asarray(draw(*repeated(x)))[:, :, MASK == 0]
    assert draws.shape == (REPEATS, 50, 2)
    error = draws.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(REPEATS)
    assert np.all(np.abs(draws.mean(axis=(0, 1)) - mean) < 4 * error)
    by_example = np.stack([np.cov(each.T) for each in draws])
    error = by_example.std(axis=0, ddof=1) / np.sqrt(REPEATS)
    assert np.all(np.abs(by_example.mean(axis=0) - covariance) < 4 * error)
    assert len(np.unique(jax.device_get(draws[0, :, 0]))) == 50
