"""Which latents carry something, and the posterior means that say so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.support.quick import quick
from vae_jax import datasets, evaluation, models
from vae_jax.evaluation import active_units, is_active


def test_active_units_vary_over_examples():
    """Oracle: standard deviations 0, 0.09, 0.11 and 1 about means of 10,000; threshold 0.1^2.

    Mutants: the standard deviation compared, the variance over latents, sums in float32.
    """
    signs = np.resize([-1.0, 1.0], (100_000, 1))
    means = np.float32(10_000 + signs * [0, 0.09, 0.11, 1])
    assert active_units(means) == 2
    assert active_units(means, threshold=0.001) == 3
    assert active_units(means, threshold=10.0) == 0


def test_a_discrete_variable_is_one_unit():
    """Of three one-hot variables one follows the example. Mutant: its five entries counted."""
    means = np.zeros((50, 3, 5))
    means[:, :, 0] = 1
    means[:, 1] = np.eye(5)[np.arange(50) % 5]
    assert active_units(means) == 1


@pytest.mark.parametrize(
    ("prior", "latents"),
    [
        (stats.norm(), "real"),
        (stats.gamma(1), "positive"),
        (stats.uniform(), "unit"),
        (stats.bernoulli(0.5), "bits"),
        (stats.beta(1, 9), "simplex"),  # an entry of ten
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_threshold_is_a_fraction_of_the_priors_variance(prior, latents):
    """Oracle: scipy's standard deviation of the prior. Posterior means that vary by just over or
    under a tenth of it.

    Mutant: 0.01 throughout, more than the whole variance of an entry of a uniform Dirichlet.
    """
    signs = np.resize([-1.0, 1.0], (100, 1))
    factors = np.resize([0.099, 0.101], 10)
    means = 0.5 + signs * factors * prior.std()
    np.testing.assert_array_equal(is_active(means, latents), factors > 0.1)
    assert active_units(means, latents) == 5


def test_the_threshold_of_one_hot_variables():
    """Oracle: 1 - 1/K, the trace of the covariance of a uniform one-hot variable of K classes."""
    uniform = np.resize(np.eye(4), (100, 1, 4))
    assert np.isclose(uniform.var(axis=0).sum(), 0.75)
    means = [0.25 + factor * (uniform - 0.25) for factor in (0.099, 0.101)]
    assert [active_units(each, "classes") for each in means] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("posterior", quick(["two_layers", "coupling"], "coupling"))
def test_no_unit_is_active_by_noise(posterior):
    """A posterior that is the same for every x. Mutant: noise of its own for each example, whose
    means of 100 draws vary by 0.01, the threshold."""
    prior = "two_layers" if posterior == "two_layers" else "standard_normal"
    sizes = {"latent_dim": 3, "hidden": (5,)}
    vae = models.make_vae((4,), posterior=posterior, prior=prior, likelihood="gaussian", **sizes)
    xs = jax.random.normal(jax.random.key(0), (200, 4))
    params = vae.init(jax.random.key(1), datasets.Examples(xs))
    params["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])
    keys = evaluation.evaluation_keys(jax.random.key(2))
    measure = evaluation.make_measure(vae, keys, num_samples=2, chunk_size=2)
    measured = jax.device_get(measure(params, np.arange(200), datasets.Examples(xs)))
    names = {"posterior_mean", "posterior_mean_upper"} & measured.keys()
    assert names
    for name in names:
        assert active_units(measured[name]) == 0
