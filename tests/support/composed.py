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


def everything(distribution, key):
    """Return what every method of a distribution gives at one key."""
    value, log_prob = distribution.sample_and_log_prob(key)
    return value, log_prob, distribution.sample(key), distribution.log_prob(value)


def check_jit_and_vmap(first):
    """Check that jit changes nothing, and that vmap over two members is a loop."""
    members = (first, jax.tree.map(lambda leaf: 0.7 * leaf, first))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    looped = [everything(member, KEY) for member in members]
    mapped = jax.jit(jax.vmap(everything, in_axes=(0, None)))(stacked, KEY)
    assert_close(mapped, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped))


def check_every_parameter_has_a_gradient(distribution):
    """Check that the gradients of all parameters are finite and not zero."""
    value = distribution.sample(KEY)

    def total(distribution):
        leaves = jax.tree.leaves(distribution.sample_and_log_prob(KEY))
        return distribution.log_prob(value) + sum(jnp.sum(leaf) for leaf in leaves)

    gradients = jax.jit(jax.grad(total))(distribution)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)
