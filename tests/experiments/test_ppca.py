"""A trained linear VAE reaches the maximum likelihood that is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.support.loading import load_member
from experiments.support.options import resolve
from experiments.train import train_and_evaluate
from tests.support.linear_gaussian import LinearGaussian
from vae_jax.datasets.ppca import maximum_likelihood


def read_model(vae, params, num_latents):
    """Return the linear model that a linear decoder is, in float64."""
    bias, *columns = (
        np.float64(vae.decode(params, z).mean)
        for z in (jnp.zeros(num_latents), *jnp.eye(num_latents))
    )
    scale = np.exp(np.float64(vae.decode(params, jnp.zeros(num_latents)).log_scale))
    return LinearGaussian(np.stack(columns, axis=1) - bias[:, None], bias, float(scale))


@pytest.mark.slow
def test_linear_vae_reaches_the_maximum_likelihood(tmp_path):
    """configs/ppca.py on its own training set: log p(x) by scipy's multivariate normal of the
    trained W, bias and sigma, and the ELBO in closed form, each within 0.01 nats below the maximum
    of Tipping & Bishop and never above it. Mutants: beta = 1.05, a likelihood without its
    log sigma, data whose latents are one more than the model's (0.1 nats and more)."""
    from configs import ppca

    train_and_evaluate(resolve(ppca.get_config(), [])[0], tmp_path, extend=False)
    run, _, params = load_member(tmp_path, with_data=True)
    x = np.float64(run.dataset.train.x)
    model = read_model(run.vae, params, 5)
    _, best = maximum_likelihood(x, 5)
    gap = best - model.log_marginal(x).mean()
    assert 0 <= gap < 0.01
    qs = jax.jit(jax.vmap(lambda x: run.vae.encode(params, x)))(jnp.float32(x))
    means, scales = np.float64(qs.mean), np.exp(np.float64(qs.log_scale))
    pairs = zip(x, means, scales, strict=True)
    elbo = np.mean([model.elbo(x, mean, np.diag(scale**2)) for x, mean, scale in pairs])
    assert gap <= best - elbo < 0.01
