"""The aggregate posterior: what z tells of the example, and how far q(z) is from the prior."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

from tests.support.linear_gaussian import assert_mean_is
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian, Mixture, standard_normal
from vae_jax.evaluation import code_densities, kl_of_each_dimension
from vae_jax.models import VAE

KEY = jax.random.key(0)


def make_vae(log_scale):
    """Return a VAE whose q(z|x) is N(x, exp(log_scale)^2); it has no decoder."""

    def encode(params, x, y=None):
        return Gaussian(x, jnp.full_like(x, log_scale))

    def prior(params, y=None):
        return standard_normal(1)

    return VAE(None, encode, None, prior)


def densities_of(xs, log_scale, batch_size=64):
    """Return the densities of one code of each of these means."""
    examples = Examples(jnp.float32(xs)[:, None])
    return code_densities(KEY, make_vae(log_scale), {}, examples, batch_size)


def test_information_and_marginal_kl_are_the_integrals():
    """Two posteriors N(-1, .8^2) and N(1, .8^2), a thousand examples of each: by quadrature of
    their mixture. Estimator: the mean over N = 2,000 codes; four standard errors.

    Mutants: log N forgotten, the example itself left out, a mean of the log-densities.
    """
    densities = densities_of(np.resize([-1.0, 1.0], 2000), np.log(0.8), batch_size=700)

    def q(z):
        return (stats.norm.pdf(z, -1, 0.8) + stats.norm.pdf(z, 1, 0.8)) / 2

    entropy = -integrate.quad(lambda z: q(z) * np.log(q(z)), -8, 8)[0]
    second_moment = 1 + 0.8**2
    assert_mean_is(densities.index_code_mi, entropy - stats.norm(scale=0.8).entropy())
    assert_mean_is(densities.marginal_kl, 0.5 * (second_moment + np.log(2 * np.pi)) - entropy)


def test_the_ends_of_the_information():
    """Posteriors far apart tell the example, log N; equal ones nothing, sample by sample.

    Mutants: densities of the wrong example's posterior, N - 1 for N.
    """
    apart = densities_of(100.0 * np.arange(7), 0.0, batch_size=3)
    np.testing.assert_allclose(apart.index_code_mi, np.log(7), 1e-5)
    equal = densities_of(np.zeros(7), 0.0, batch_size=3)
    np.testing.assert_allclose(equal.index_code_mi, 0, atol=1e-6)
    np.testing.assert_allclose(equal.marginal_kl, 0, atol=1e-6)


def test_kl_of_each_dimension():
    """By hand: KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s; {} of what does not
    factorize. Mutant: the sum over dimensions."""
    q = Gaussian(jnp.array([0.0, 2.0]), jnp.log(jnp.array([1.0, 0.5])))
    kl = kl_of_each_dimension(q, standard_normal(2))["kl_per_dimension"]
    np.testing.assert_allclose(kl, [0, (4 + 0.25 - 1) / 2 - np.log(0.5)], 1e-5, atol=1e-6)
    mixture = Mixture(jnp.zeros(1), Gaussian(q.mean[None], q.log_scale[None]))
    assert kl_of_each_dimension(q, mixture) == {}
