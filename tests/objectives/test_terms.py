"""The terms of one example and the two parts of the ELBO, of numbers made by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.bounds import (
    FULL_Q,
    HAND_TERMS,
    MODEL,
    Q_COVARIANCE,
    Q_MEAN,
    X,
)
from tests.support.linear_gaussian import FullGaussian, gaussian_kl
from vae_jax.distributions import Gaussian, kl_divergence, standard_normal
from vae_jax.objectives import (
    closed_form_kl,
    kl,
    reconstruction,
)


def test_parts_of_terms_made_by_hand():
    """Mutants: a sign turned, a sum over samples for the mean, log p - log q for log q - log p."""
    assert reconstruction(HAND_TERMS) == -4.0
    assert kl(HAND_TERMS) == 2.5
    assert kl(HAND_TERMS, sampled=True) == 3.5
    np.testing.assert_array_equal(HAND_TERMS.log_weights, [-5.0, -10.0])


def test_kl_is_sampled_where_no_closed_form_exists():
    assert kl(HAND_TERMS._replace(closed_form_kl=None)) == 3.5


def test_closed_form_is_that_of_the_pair_or_none():
    """Oracle: numpy's KL of two Gaussians. Mutant: zero where the pair has no closed form."""
    q = Gaussian(jnp.array([0.7, -0.4]), jnp.array([0.2, -0.5]))
    covariance = np.diag(np.exp(2 * np.float64(q.log_scale)))
    expected = gaussian_kl(np.float64(q.mean), covariance, np.zeros(2), np.eye(2))
    np.testing.assert_allclose(closed_form_kl(q, standard_normal(2)), expected, 1e-5)
    full = FullGaussian(*map(jnp.float32, FULL_Q))
    assert closed_form_kl(full, standard_normal(2)) is None


def test_closed_form_to_a_diagonal_posterior_is_the_gap():
    """Oracle: the model's log p(x) - ELBO. Mutant: KL(posterior || q)."""
    mean, covariance = MODEL.posterior(X)
    with jax.enable_x64(True):
        posterior = Gaussian(jnp.asarray(mean), jnp.asarray(0.5 * np.log(np.diag(covariance))))
        q = Gaussian(posterior.mean + 0.3, posterior.log_scale + 0.2)
        gap = np.array(kl_divergence(q, posterior))
    expected = MODEL.log_marginal(X) - MODEL.elbo(X, Q_MEAN, Q_COVARIANCE)
    np.testing.assert_allclose(gap, expected, rtol=0, atol=1e-6)
