"""Parts that composed distributions are made of, and what is asked of every one of them."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Gaussian

KEY = jax.random.key(0)
NUM_SAMPLES = 20_000

MEANS = np.array([[2.0, -1.0], [0.0, 0.5], [-3.0, 4.0]], np.float32)
LOG_SCALES = np.array([[-0.5, 0.2], [0.1, -1.0], [0.0, 0.3]], np.float32)
Z = np.array([0.7, -0.4], np.float32)


def gaussians(means=MEANS, log_scales=LOG_SCALES):
    """Return three Gaussians of two dimensions, whose leaves have a leading axis over them."""
    return Gaussian(jnp.asarray(means), jnp.asarray(log_scales))


def assert_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, atol=1e-6), a, b)


def draw(distribution, num_samples=NUM_SAMPLES):
    """Return independent samples, stacked."""
    return jax.jit(jax.vmap(distribution.sample))(jax.random.split(KEY, num_samples))
