"""Gradients of objectives on many keys at once, and how two estimates of one are compared."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.bounds import FULL_MODEL, KEY, LINEAR_VAE, PARAMS, Batch, X
from tests.support.linear_gaussian import assert_mean_is, make_vae
from vae_jax.distributions import FullGaussian
from vae_jax.objectives import make_objective

KEYS = jax.random.split(KEY, 8000)
ENCODER = ("encoder", "posterior", "gain", "offset", "log_scale", "scale_tril")
# Bounds of four samples for each encoder's gradient, with options that tell M from K.
BOUNDS = {
    "elbo": {"num_samples": 4, "form": "log_weights"},
    "iwae": {"num_samples": 4},
    "miwae": {"num_groups": 2, "num_samples": 4},
    "ciwae": {"elbo_weight": 0.3, "num_samples": 4},
    "renyi": {"alpha": -1.0, "num_samples": 4},
}


def _encode_full(params, x, y=None):
    return FullGaussian(params["gain"] @ x + params["offset"], params["scale_tril"])


def _init_full(key, examples):
    params = make_vae(FULL_MODEL).init(key, examples)
    _, covariance = FULL_MODEL.posterior(X)
    del params["log_scale"]
    return params | {"scale_tril": jnp.float32(np.linalg.cholesky(covariance))}


# The model whose exact posterior has a correlation; `init` gives this posterior.
FULL_VAE = make_vae(FULL_MODEL)._replace(init=_init_full, encode=_encode_full)


def make_gradients(objective, vae, batch, own=None):
    """Return the jitted function (params, keys, hparams) -> objectives and gradients of each key.

    The gradients are those by params["vae"] of the batch mean of the objective, larger is better.
    """
    own = objective.init(KEY, vae, batch) if own is None else own

    def value(params, key, hparams):
        params = {"vae": params, "objective": own}
        return -objective.loss(key, vae, params, objective.hparams | hparams, batch, 0)[0]

    return jax.jit(jax.vmap(jax.value_and_grad(value), (None, 0, None)))


@functools.cache
def compile_linear(name, vae=LINEAR_VAE, **options):
    """Return `make_gradients` of an objective for one x of the linear-Gaussian model."""
    return make_gradients(make_objective(name, **options), vae, Batch(jnp.float32(X)[None]))


def linear_gradients(
    name, estimator="pathwise", params=PARAMS, vae=LINEAR_VAE, hparams=None, **more
):
    """Return objectives [keys] and {parameter: gradients [keys, ...]} on KEYS, by BOUNDS[name]."""
    options = BOUNDS.get(name, {}) | more
    if name in BOUNDS:
        options |= {"estimator": estimator}
    values, gradients = compile_linear(name, vae, **options)(params, KEYS, hparams or {})
    return np.asarray(values), jax.tree.map(np.asarray, gradients)


def split(gradients):
    """Return gradients [keys, numbers] of the encoder's and of the model's parameters."""
    encoder = {name: leaf for name, leaf in gradients.items() if name in ENCODER}
    model = {name: leaf for name, leaf in gradients.items() if name not in ENCODER}
    return flatten(encoder), flatten(model)


def flatten(gradients):
    """Return gradients [keys, numbers] in float64."""
    leaves = jax.tree.leaves(gradients)
    return np.concatenate([np.float64(leaf).reshape(len(leaf), -1) for leaf in leaves], -1)


def project(gradients, num_directions=4):
    """Return fixed random projections of gradients [keys, numbers]."""
    directions = np.random.default_rng(0).normal(size=(gradients.shape[-1], num_directions))
    return gradients @ directions


def assert_gradients_have_one_mean(estimated, plain):
    """Check encoder's and model's gradients (`split`) on the same keys.

    Estimator: the mean over keys of the paired differences of four fixed random projections each;
    four standard errors.
    """
    for one, other in zip(estimated, plain, strict=True):
        assert_mean_is(project(one - other), 0)
