"""How the encoder's outputs are read as distributions: scales bounded once, factors by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vae_jax.distributions import kl_divergence, standard_normal
from vae_jax.models.posteriors import (
    LOG_SCALE_BOUND,
    POSTERIORS,
    decoder_input,
    read_full_gaussian,
    read_gaussian,
)
from vae_jax.networks import make_layers

KEY = jax.random.key(0)


def test_posterior_scales_are_bounded_once():
    """Any encoder output gives a finite sample, density and KL that use the same sigma."""
    q = read_gaussian(jnp.array([0.0, 1.0, -1e6, 1e6]))
    np.testing.assert_allclose(q.log_scale, [-LOG_SCALE_BOUND, LOG_SCALE_BOUND])
    slope = jax.grad(lambda raw: read_gaussian(jnp.array([0.0, raw])).log_scale[0])(0.0)
    assert slope == 1.0


@pytest.mark.parametrize("unbounded", [-1e3, -12.0, 0.1, 12.0, 1e3])
def test_sample_density_and_kl_see_one_scale(unbounded):
    """Oracle: sigma is read off a sample, (z - mean) / epsilon, and handed to scipy and numpy.

    Mutants: a log-scale bounded in the sample alone, or not in the KL.
    """
    q = read_gaussian(jnp.array([0.0, unbounded]))
    z, log_prob = q.sample_and_log_prob(KEY)
    sigma = np.float64(z / jax.random.normal(KEY, (1,)))
    assert np.all(np.abs(np.log(sigma)) < 10.001)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(z, 0, sigma).sum(), 1e-4)
    expected = 0.5 * (sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(kl_divergence(q, standard_normal(1)), expected.sum(), 1e-4)


def test_posterior_is_unbounded_near_one():
    """Mutant: mean and log sigma exchanged."""
    q = read_gaussian(jnp.array([5.0, -6.0, 0.3, -0.2]))
    np.testing.assert_allclose(q.mean, [5, -6])
    np.testing.assert_allclose(q.log_scale, [0.3, -0.2], 1e-3)


def test_full_gaussian_is_read_from_its_outputs():
    """Oracle: (I + strictly lower) diag by numpy, near zero where no bound bends. Mutants: rows
    scaled for columns, the triangle above the diagonal, mean and diagonal exchanged."""
    outputs = 0.1 * np.arange(1.0, 10.0)
    q = read_full_gaussian(jnp.float32(outputs), 3)
    unit = np.eye(3)
    unit[np.tril_indices(3, -1)] = 10 * np.tanh(outputs[6:] / 10)
    expected = unit * np.exp(10 * np.tanh(outputs[3:6] / 10))
    np.testing.assert_allclose(q.mean, outputs[:3], 1e-6)
    np.testing.assert_allclose(q.scale_tril, expected, 1e-5)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_example_of_z_has_the_shape_of_a_sample(posterior):
    """Mutant: an example of z of another shape, by which the decoder would be made."""
    made = POSTERIORS[posterior].make(4, make_layers((8,)))

    def sample(key):
        return made.make(made.init(key), jnp.zeros(made.num_outputs)).sample(key)

    z = jax.eval_shape(sample, KEY)
    assert jax.tree.map(jnp.shape, z) == jax.tree.map(jnp.shape, made.latent)


def test_decoder_sees_the_lower_layer_alone():
    """Mutant: both layers joined."""
    lower, upper = jnp.arange(3.0), jnp.ones(2)
    np.testing.assert_array_equal(decoder_input((lower, upper)), lower)
    np.testing.assert_array_equal(decoder_input(jnp.eye(2)), [1, 0, 0, 1])
