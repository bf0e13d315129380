"""Log-densities in the units of the data, of standardized values; oracle: scipy in those units."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from vae_jax.distributions import Gaussian, InUnits, Masked, Observed

LOCATION, SCALE = np.array([3.0, -2.0, 100.0]), np.array([0.5, 4.0, 30.0])
MEAN, SIGMA = np.array([0.3, -1.0, 0.4]), np.array([0.7, 1.5, 0.2])
U = np.array([0.1, -2.0, 1.3])
BASE = Gaussian(jnp.asarray(MEAN), jnp.log(SIGMA))


def test_a_standardized_gaussian_is_a_gaussian_of_x():
    """Oracle: scipy.stats.norm at x. Mutants: the scale's logarithm added, or of one value only."""
    p = InUnits(BASE, jnp.asarray(LOCATION), jnp.asarray(SCALE))
    expected = stats.norm.logpdf(LOCATION + SCALE * U, LOCATION + SCALE * MEAN, SCALE * SIGMA)
    np.testing.assert_allclose(p.log_prob(jnp.asarray(U)), expected.sum(), 1e-5)
    np.testing.assert_allclose(p.log_prob_per_dimension(jnp.asarray(U)), expected, 1e-5)
    observed = Observed(p).log_prob(Masked(jnp.asarray(U), jnp.array([1, 0, 1])))
    np.testing.assert_allclose(observed, expected[[0, 2]].sum(), 1e-5)


def test_a_standardized_logarithm_is_log_normal():
    """Oracle: scipy.stats.lognorm at x. Mutants: no Jacobian of the logarithm, one at u."""
    location, scale = LOCATION / 20, SCALE / 20
    p = InUnits(BASE, jnp.asarray(location), jnp.asarray(scale), is_log=True)
    x = np.exp(location + scale * U)
    expected = stats.lognorm.logpdf(x, scale * SIGMA, scale=np.exp(location + scale * MEAN))
    np.testing.assert_allclose(p.log_prob(jnp.asarray(U)), expected.sum(), 1e-5)
    np.testing.assert_allclose(p.log_prob_per_dimension(jnp.asarray(U)), expected, 1e-5)


def test_the_jacobian_reaches_no_gradient_of_the_base():
    """Oracle: the gradients of the base itself."""
    p = InUnits(BASE, jnp.asarray(LOCATION), jnp.asarray(SCALE), is_log=True)
    ours = jax.grad(lambda base: InUnits(base, p.location, p.scale, True).log_prob(jnp.array(U)))
    expected = jax.grad(lambda base: base.log_prob(jnp.asarray(U)))(BASE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), ours(BASE), expected)
