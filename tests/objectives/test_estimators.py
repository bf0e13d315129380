"""How samples of q(z|x) become terms, against an exactly solvable model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.bounds import (
    FULL_MODEL,
    KEY,
    LINEAR_VAE,
    MODEL,
    PARAMS,
    X,
)
from tests.support.linear_gaussian import FullGaussian, make_vae
from vae_jax.objectives import (
    elbo,
    importance_weighted_bound,
    sample_terms,
)


@pytest.mark.parametrize("model", [MODEL, FULL_MODEL], ids=["diagonal", "full"])
def test_exact_posterior_weighs_every_sample_alike(model):
    """Oracle: log w = log p(x) for each z, so the sampled ELBO has no variance; the other has.

    Mutants: any constant dropped, log q of another draw.
    """
    with jax.enable_x64(True):
        vae = make_vae(model)
        params = vae.init(KEY, None)
        if model is FULL_MODEL:
            q = FullGaussian(*map(jnp.asarray, model.posterior(X)))
            vae = vae._replace(encode=lambda params, x, y=None: q)
        draw_terms = jax.jit(lambda keys, x: sample_terms(keys, vae, params, x, None))
        terms = draw_terms(jax.random.split(KEY, 20), jnp.asarray(X))
        bounds = elbo(terms, sampled_kl=True), importance_weighted_bound(terms.log_weights)
        values = np.array([*terms.log_weights, *bounds])
        spread = float(jnp.std(terms.log_likelihood))
    np.testing.assert_allclose(values, model.log_marginal(X), rtol=0, atol=1e-6)
    assert spread > 0.1


def test_one_key_is_one_sample():
    """Oracle: the terms of each key alone. Mutants: one key for all samples, keys in another order,
    a mean over the samples."""
    keys, x = jax.random.split(KEY, 3), jnp.float32(X)
    together = sample_terms(keys, LINEAR_VAE, PARAMS, x, None)
    for i, key in enumerate(keys):
        alone = sample_terms(key[None], LINEAR_VAE, PARAMS, x, None)
        for a, b in zip(together[:3], alone[:3], strict=True):
            np.testing.assert_allclose(a[i], b[0], 1e-5)
    assert len(np.unique(together.log_posterior)) == 3


def test_gradient_flows_through_the_sample():
    """Oracle: of z = mean + sigma eps, d log p(x|z) / d mean = W'(x - b - W z) / s^2, by numpy.

    Mutant: a sample whose gradient is stopped, which gives zero.
    """
    x = jnp.float32(X)

    def log_likelihood(params):
        return sample_terms(KEY[None], LINEAR_VAE, params, x, None).log_likelihood[0]

    gradient = jax.grad(log_likelihood)(PARAMS)["offset"]
    z = np.float64(LINEAR_VAE.encode(PARAMS, x).sample(KEY))
    residual = X - MODEL.bias - MODEL.weights @ z
    expected = MODEL.weights.T @ residual / MODEL.noise_scale**2
    np.testing.assert_allclose(gradient, expected, 1e-4)
