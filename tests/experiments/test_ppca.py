"""A trained linear VAE reaches the maximum likelihood that is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.support.loading import load_member
from experiments.support.options import resolve
from experiments.train import train_and_evaluate
from tests.support.linear_gaussian import LinearGaussian
import vae_jax
from vae_jax.datasets.ppca import maximum_likelihood


def read_model(vae, params, num_latents):
    """Return the linear model that a linear decoder is, in float64."""
    bias, *columns = (
        np.float64(vae.decode(params, z).mean)
        for z in (jnp.zeros(num_latents), *jnp.eye(num_latents))
    )
    scale = np.exp(np.float64(vae.decode(params, jnp.zeros(num_latents)).log_scale))
    return LinearGaussian(np.stack(columns, axis=1) - bias[:, None], bias, float(scale))


def at_the_solution(model, init):
    """Return parameters of the linear VAE that is this model with its exact posterior, which is
    diagonal since the columns of W are orthogonal: Section 3.3 of Tipping & Bishop (1999)."""
    weights, mean, sigma = model
    scaled = weights / (np.sum(weights**2, axis=0) + sigma**2)
    log_scale = 0.5 * np.log(sigma**2 / (np.sum(weights**2, axis=0) + sigma**2))
    unbounded = 10 * np.arctanh(log_scale / 10)
    encoder = {
        "kernel": np.concatenate([scaled, np.zeros_like(scaled)], axis=1),
        "bias": np.concatenate([-mean @ scaled, unbounded]),
    }
    params = init | {"encoder": {"Dense_1": encoder}, "decoder": {"Dense_1": {"kernel": weights.T}}}
    params["likelihood"] = init["likelihood"] | {"output_bias": mean}
    return jax.tree.map(jnp.float32, params)


def test_linear_vae_set_to_the_solution_has_its_likelihood():
    """Within 1e-4 nats by one sample of each example, since every weight is p(x) where q is the
    posterior. Mutant: sigma for sigma^2 in the posterior (0.8 nats)."""
    data = vae_jax.load_dataset("ppca")
    x = np.float64(data.train.x)
    model, best = maximum_likelihood(x, 5)
    vae = vae_jax.make_vae_for(
        data,
        latent_dim=5,
        hidden=(),
        likelihood="gaussian_learned_scale",
        likelihood_scale=model.noise,
    )
    init = jax.jit(vae.init)(jax.random.key(0), vae_jax.expected_examples(data, data.train))
    fixed = vae_jax.Model(vae, at_the_solution(model, init), data)
    assert abs(fixed.log_likelihood(data.train.x, 1).mean() - best) < 1e-4


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
