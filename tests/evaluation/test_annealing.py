"""Annealed importance sampling, held to the exact log p(x) of a linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.bounds import LINEAR_VAE, MODEL, PARAMS
from tests.support.linear_gaussian import assert_mean_is
from vae_jax import evaluation, models
from vae_jax.evaluation import Annealing, annealing, make_annealed, make_bidirectional

KEY = jax.random.key(0)
NUM = 200


def log_likelihoods(weights):
    return evaluation.importance_weighted_bounds(np.float64(weights))


def both_directions(start):
    """Return the chains of both directions for x drawn from the model, and the exact log p(x)."""
    settings = Annealing(4, 25, 3, start)
    run = make_bidirectional(LINEAR_VAE, settings)
    examples = np.zeros((NUM, 5), np.float32), None
    told = evaluation.map_examples(run, (PARAMS, KEY), examples, NUM)

    def simulated(params_and_key, index, example):
        params, key = params_and_key
        keys = jax.random.split(jax.random.fold_in(key, index), 3)
        return annealing.simulate(keys[0], keys[1], LINEAR_VAE, params, example)[1]

    xs = evaluation.over_examples(simulated)((PARAMS, KEY), np.arange(NUM), examples)
    return told, MODEL.log_marginal(np.float64(xs))


@pytest.mark.parametrize("start", ["prior", pytest.param("posterior", marks=pytest.mark.slow)])
def test_log_p_of_x_lies_between_the_two_directions(start):
    """Estimators over 200 simulated x, four chains of 25 temperatures each: the mean of
    p_hat(x) / p(x) forward and of p(x) / p_hat(x) backward, both 1 in expectation, to four
    standard errors; and the bounds, whose means lie on either side of log p(x). The step sizes,
    frozen after the pilot run, give the acceptance of 65% that it aims at.

    Mutants: an increment of the wrong sign, an increment of the new z instead of the old one,
    transitions at the temperature before, no Metropolis correction, a reverse chain that starts at
    a draw of q(z|x), a step size that shrinks where too much is accepted.
    """
    told, exact = both_directions(start)
    forward = log_likelihoods(told["log_weights"])
    back = -log_likelihoods(told["reverse_log_weights"])
    assert_mean_is(np.exp(forward - exact), 1)
    assert_mean_is(np.exp(exact - back), 1)
    for below in (exact - forward, back - exact):
        assert np.mean(below) > -4 * np.std(below) / np.sqrt(NUM)
    assert np.mean(back - forward) < 0.5  # and the two are close
    assert abs(told["acceptance"].mean() - 0.65) < 0.15


def leaves_invariant(step_size):
    """Return 4,000 second moments of a chain of HMC with large steps, started in equilibrium."""

    def log_density(z):
        return -0.5 * jnp.sum(z**2 * jnp.array([1.0, 4.0]))

    def moments(key):
        key_start, *keys = jax.random.split(key, 4)
        z = jax.random.normal(key_start, (2,)) / jnp.array([1.0, 2.0])
        for each in keys:
            z, acceptance = annealing.hmc(each, log_density, z, step_size, 2)
        return z**2 * jnp.array([1.0, 4.0]), acceptance

    return jax.jit(jax.vmap(moments))(jax.random.split(KEY, 4000))


def test_hmc_leaves_its_target_invariant():
    """Estimator: E z^2 of N(0, diag(1, 1/4)) after three transitions from a draw of it, by 4,000
    chains, with so large a step that a third of the proposals is refused; four standard errors.
    Mutants: no Metropolis correction (E z^2 twice as large and more), the correction without the
    momentum, a whole step of the momentum for the first half one."""
    squares, acceptance = leaves_invariant(jnp.float32(0.8))
    assert_mean_is(squares, 1)
    assert 0.4 < acceptance.mean() < 0.9


@pytest.mark.slow
def test_no_correction_is_seen(monkeypatch):
    """The mutant "no Metropolis correction" is rejected by the test above: all is accepted where
    a uniform draw is never above a probability."""
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape=(), dtype=float: -1.0)
    squares, _ = leaves_invariant(jnp.float32(0.8))
    with pytest.raises(AssertionError):
        assert_mean_is(squares, 1)


def test_temperatures_run_from_zero_to_one():
    """Oracle: their definition by numpy. Mutant: ends at sigmoid(-4) and sigmoid(4)."""
    raw = 1 / (1 + np.exp(-np.linspace(-4, 4, 11)))
    expected = (raw - raw[0]) / (raw[-1] - raw[0])
    np.testing.assert_allclose(annealing.temperatures(10), expected, atol=1e-6)
    assert annealing.temperatures(10)[0] == 0 and annealing.temperatures(10)[-1] == 1


def test_discrete_latents_and_impossible_settings_are_refused():
    vae = models.make_vae((4,), posterior="bernoulli", prior="uniform_bits", latent_dim=3)
    with pytest.raises(ValueError, match=r"needs latents that are one of real.*got bits"):
        make_annealed(vae, Annealing())
    with pytest.raises(ValueError, match=r"start='middle' is unknown.*posterior, prior"):
        make_annealed(LINEAR_VAE, Annealing(start="middle"))
    with pytest.raises(ValueError, match="num_chains must be >= 1, got 0"):
        make_annealed(LINEAR_VAE, Annealing(num_chains=0))
