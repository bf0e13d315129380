"""The linear-Gaussian model as a VAE with a gap, and how a bound or an objective is evaluated."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.linear_gaussian import make_model, make_vae
from vae_jax.objectives import Terms, sample_terms

KEY = jax.random.key(0)
MODEL, FULL_MODEL = make_model(), make_model(orthogonal=False)
X = MODEL.sample(seed=1, num_examples=1)[0]
LINEAR_VAE = make_vae(MODEL)

# The exact posterior moved away: a q(z|x) with a gap. Its moments are numpy's.
PARAMS = LINEAR_VAE.init(KEY, None)
PARAMS |= {"offset": PARAMS["offset"] + 0.3, "log_scale": PARAMS["log_scale"] + 0.2}
Q_MEAN = MODEL.posterior(X)[0] + 0.3
Q_COVARIANCE = MODEL.posterior(X)[1] * np.exp(0.4)
# Another one, for the model whose exact posterior has a correlation.
FULL_Q = np.array([0.7, -0.4]), np.array([[0.5, 0.3], [0.3, 0.8]])


# Terms made by hand: log p(x|z) = (-3, -5), log p(z) = (-1, -2), log q(z|x) = (1, 3).
HAND_TERMS = Terms(
    jnp.array([-3.0, -5.0]), jnp.array([-1.0, -2.0]), jnp.array([1.0, 3.0]), jnp.array(2.5)
)


class Batch(NamedTuple):
    """What a data set hands to a loss."""

    x: Any
    y: Any = None


BATCH = Batch(jnp.float32(MODEL.sample(seed=2, num_examples=6)))


def draw(bound, num_replicates, num_samples=1, vae=LINEAR_VAE, params=PARAMS):
    """Return bound(terms of X) on so many independent keys."""

    def value(key):
        keys = jax.random.split(key, num_samples)
        return bound(sample_terms(keys, vae, params, jnp.float32(X), None))

    return jax.jit(jax.vmap(value))(jax.random.split(KEY, num_replicates))


def evaluate(objective, key=KEY, vae=LINEAR_VAE, batch=BATCH, step=5, jit=jax.jit, **hparams):
    """Return (loss, metrics) on parameters as training has them."""
    params = {"vae": PARAMS, "objective": objective.init(KEY, vae, batch)}

    def loss(key, params, hparams, batch, step):
        return objective.loss(key, vae, params, hparams, batch, step)

    return jit(loss)(key, params, objective.hparams | hparams, batch, jnp.array(step))
