"""The gap of the ELBO and its two parts, held to closed forms of a linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.linear_gaussian import assert_mean_is, gaussian_kl, make_model, make_vae
from vae_jax import evaluation, models
from vae_jax.datasets import Examples
from vae_jax.distributions import Beta, FullGaussian, Gamma, Gaussian
from vae_jax.evaluation import Search, coordinates_of, family_of, make_tightness

KEY = jax.random.key(0)
NUM = 60
# Its posterior has a correlation of 0.6: no diagonal Gaussian is exact.
MODEL = make_model(orthogonal=False, seed=3)
VAE = make_vae(MODEL)
PARAMS = VAE.init(KEY, None)
PARAMS |= {"offset": PARAMS["offset"] + 0.2, "log_scale": PARAMS["log_scale"] - 0.3}
XS = MODEL.sample(1, NUM)


def exact_gaps(vae_params=PARAMS):
    """Return (total, approximation) of each x: KL(q || p(z|x)) of the encoder's q, and of the best
    diagonal Gaussian, which has the posterior's mean and 1 / its precision as variance."""
    gain, offset = np.float64(vae_params["gain"]), np.float64(vae_params["offset"])
    spread = np.diag(np.exp(2 * np.float64(vae_params["log_scale"])))
    total, approximation = [], []
    for x in XS:
        mean, covariance = MODEL.posterior(x)
        total.append(gaussian_kl(gain @ x + offset, spread, mean, covariance))
        best = np.diag(1 / np.diag(np.linalg.inv(covariance)))
        approximation.append(gaussian_kl(mean, best, mean, covariance))
    return np.array(total), np.array(approximation)


def test_gaps_of_the_linear_gaussian_model():
    """Estimators, over 60 examples: log p(x) - ELBO by 400 samples each, and the ELBO of the best q
    after 150 steps, less the closed forms; each to four standard errors, with log p(x) itself in
    closed form. The gaps are 0.05 nats and more, far above those errors. The amortization gap's
    search may fall short by what 150 steps leave, under 0.003 nats.

    Mutants: a search that returns the encoder's q, a descent, the KL to the prior for that to the
    posterior, other noise for the two ELBOs (four times the error).
    """
    run = make_tightness(VAE, Search(150, 8, 0.05), 400, 100)
    told = evaluation.map_examples(run, (PARAMS, KEY), (jnp.float32(XS), None), NUM)
    log_marginal = MODEL.log_marginal(XS)
    total, approximation = exact_gaps()
    assert min(approximation.min(), (total - approximation).min()) > 0.05
    assert_mean_is(log_marginal - told["elbo"] - total, 0)
    assert_mean_is(log_marginal - told["best_elbo"] - approximation, 0.0)
    assert_mean_is(told["amortization_gap"] - (total - approximation), 0)
    np.testing.assert_allclose(
        told["amortization_gap"], told["best_elbo"] - told["elbo"], atol=1e-4
    )
    # The variance that each number says it has is that of its errors over examples.
    errors = told["elbo"] - (log_marginal - total)
    assert 0.5 < np.mean(told["elbo_variance"]) / np.mean(errors**2) < 2


@pytest.mark.parametrize(
    "q",
    [
        Gaussian(jnp.array([0.3, -1.0]), jnp.array([-2.0, 0.5])),
        FullGaussian(jnp.array([0.3, -1.0]), jnp.array([[0.7, 0.0], [-0.4, 1.3]])),
        pytest.param(Gamma(jnp.array([0.3, 2.0]), jnp.ones(2)), marks=pytest.mark.slow),
        pytest.param(Beta(jnp.array([0.3, 2.0]), jnp.ones(2)), marks=pytest.mark.slow),
    ],
)
def test_coordinates_give_q_back(q):
    """And each number is allowed in them: moved by 3, they still are a q. Mutant: a factor whose
    diagonal may become negative."""
    coordinates = coordinates_of(type(q))
    own = coordinates.to(q)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), coordinates.back(own), q)
    moved = coordinates.back(jax.tree.map(lambda leaf: leaf - 3, own))
    assert np.isfinite(moved.log_prob(jnp.array([0.2, 0.6])))


def test_a_family_that_examples_share_is_refused():
    vae = models.make_vae((4,), posterior="coupling", latent_dim=2, hidden=(3,), flow_layers=1)
    params = jax.eval_shape(vae.init, KEY, Examples(jnp.ones((4, 4))))
    with pytest.raises(ValueError, match=r"Gaussian, FullGaussian.* not in Flow"):
        coordinates_of(family_of(vae, params, (jnp.zeros(4), None)))
