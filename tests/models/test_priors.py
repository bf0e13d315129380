"""Priors against the distributions that they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.quick import quick
from tests.support.rows import KEY, examples_of, make_model, small_options
from vae_jax.models import make_vae

Z = np.array([0.3, -0.8], np.float32)


def test_vampprior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    """Oracle: scipy's densities of each pseudo-input's posterior, and logsumexp - log K.

    Mutants: weights that do not sum to one, one posterior for all, labels not handed on.
    """
    vae, params, _ = make_model("gaussian", "vampprior")
    us = params["prior"]["pseudo_inputs"]
    assert us.shape == (3, 6)
    for y in (0, 2):
        qs = [vae.encode(params, u, y) for u in us]
        log_probs = [stats.norm.logpdf(Z, q.mean, np.exp(q.log_scale)).sum() for q in qs]
        expected = special.logsumexp(log_probs) - np.log(3)
        np.testing.assert_allclose(vae.prior(params, y).log_prob(Z), expected, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("pseudo_inputs", quick(["learned", "data"], "data"))
def test_pseudo_inputs_start_at_training_examples(pseudo_inputs):
    """Three different ones, with a gradient where they are learned. Mutants: one example thrice,
    fixed ones that move."""
    data = examples_of("gaussian")
    rows = small_options(prior="vampprior", pseudo_inputs=pseudo_inputs)
    vae = make_vae((6,), likelihood="gaussian", latent_dim=2, **rows)
    params = jax.jit(vae.init)(KEY, data)
    us = params["prior"]["pseudo_inputs"]
    chosen = [int(np.flatnonzero(np.all(data.x == u, axis=-1))[0]) for u in us]
    assert len(set(chosen)) == 3
    gradient = jax.grad(lambda params: vae.prior(params).log_prob(Z))(params)
    moves = np.any(gradient["prior"]["pseudo_inputs"] != 0)
    assert moves == (pseudo_inputs == "learned")
    assert np.any(gradient["encoder"]["Dense_1"]["kernel"] != 0)


def test_more_pseudo_inputs_than_examples_are_refused():
    rows = small_options(prior="vampprior", num_components=9)
    vae = make_vae((6,), likelihood="gaussian", latent_dim=2, **rows)
    with pytest.raises(ValueError, match=r"num_components=9 .* the 8 training examples"):
        vae.init(KEY, examples_of("gaussian"))


@pytest.mark.parametrize(
    ("posterior", "prior", "z", "expected"),
    [
        ("gaussian", "standard_normal", Z, stats.norm.logpdf(Z).sum()),
        ("gamma", "gamma", np.array([0.3, 2.0]), -2.3),
        ("beta", "uniform", np.array([0.3, 0.9]), 0.0),
        ("dirichlet", "dirichlet", np.array([0.3, 0.7]), 0.0),
        ("bernoulli", "uniform_bits", np.array([1.0, 0.0]), -2 * np.log(2)),
        ("categorical", "uniform_categorical", np.eye(3)[:2], -2 * np.log(3)),
    ],
)
def test_fixed_priors_are_their_closed_forms(posterior, prior, z, expected):
    """Oracle: the density by hand. Mutants: a scale of two, unequal classes."""
    vae, params, _ = make_model(posterior, prior)
    assert params["prior"] == {}
    value = vae.prior(params, 0).log_prob(jnp.float32(z))
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-5)
