"""Natural parameters, statistics and log-normalizers against the densities and divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.families import EXAMPLES, KEY, MEAN, samples_of
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import (
    EXPONENTIAL_FAMILIES,
    Bernoulli,
    ContinuousBernoulli,
    FullGaussian,
    Gaussian,
    bregman_kl,
    kl_divergence,
)

every_family = pytest.mark.parametrize(
    "family", EXPONENTIAL_FAMILIES, ids=lambda family: family.__name__
)


def inner(a, b):
    """Return the inner product of two pytrees of one structure and one set of shapes."""
    jax.tree.map(lambda x, y: np.testing.assert_equal(np.shape(x), np.shape(y)), a, b)
    return sum(jnp.sum(x * y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


@pytest.mark.slow
@every_family
def test_log_density_ratio_is_that_of_the_family(family):
    """Oracle: log q(x) - log p(x) = <eta_q - eta_p, T(x)> - A(eta_q) + A(eta_p) for every x.

    The base measure cancels. Mutants: eta_1 = a for T = (log x, x) with h = 1, the -1/2 of
    -1 / (2 sigma^2) dropped, A summed over one axis only, log(2 pi) kept in one of the two.
    """
    row, (q, p) = EXPONENTIAL_FAMILIES[family], EXAMPLES[family]
    eta_q, eta_p = row.natural_parameters(q), row.natural_parameters(p)
    difference = jax.tree.map(jnp.subtract, eta_q, eta_p)
    log_normalizers = row.log_normalizer(eta_q) - row.log_normalizer(eta_p)
    for key in jax.random.split(KEY, 3):
        x = p.sample(key)
        expected = inner(difference, row.sufficient_statistics(x)) - log_normalizers
        ratio = q.log_prob(x) - p.log_prob(x)
        np.testing.assert_allclose(ratio, expected, 1e-4, atol=1e-5)


@pytest.mark.slow
@every_family
def test_gradient_of_the_log_normalizer_is_the_mean_statistic(family):
    """Estimator: the mean of T(x) over x ~ q, N = 20,000; four standard errors.

    Mutants: the eta of another parameterization than T's, the gradient of one triangle of a
    symmetric matrix alone.
    """
    row, q = EXPONENTIAL_FAMILIES[family], EXAMPLES[family][0]
    mean_statistics = jax.grad(row.log_normalizer)(row.natural_parameters(q))
    statistics = jax.vmap(row.sufficient_statistics)(jnp.asarray(samples_of(q)))
    jax.tree.map(assert_mean_is, statistics, mean_statistics)


@pytest.mark.slow
@every_family
def test_bregman_kl_is_the_hand_written_one(family):
    """Mutants: the gradient at eta_p, q and p exchanged, the inner product left out."""
    q, p = EXAMPLES[family]
    np.testing.assert_allclose(bregman_kl(q, p), kl_divergence(q, p), 1e-4)
    np.testing.assert_allclose(bregman_kl(p, q), kl_divergence(p, q), 1e-4)


@every_family
def test_bregman_kl_is_zero_of_equals(family):
    q = EXAMPLES[family][0]
    np.testing.assert_allclose(bregman_kl(q, q), 0, atol=1e-5)


def test_bregman_kl_broadcasts():
    """Mutant: a parameter that all dimensions share counted once, or once for each too many."""
    shared, own = (Gaussian(MEAN, log_scale) for log_scale in (jnp.array(0.3), jnp.full(3, 0.3)))
    single, p = Gaussian(jnp.zeros(()), jnp.array(-0.2)), EXAMPLES[Gaussian][1]
    np.testing.assert_allclose(bregman_kl(shared, p), bregman_kl(own, p), 1e-6)
    np.testing.assert_allclose(bregman_kl(p, shared), bregman_kl(p, own), 1e-6)
    np.testing.assert_allclose(bregman_kl(single, p), kl_divergence(single, p), 1e-4)
    np.testing.assert_allclose(bregman_kl(p, single), kl_divergence(p, single), 1e-4)
    scales = Gaussian(jnp.zeros(()), jnp.array([-0.2, 0.1, 0.3]))
    np.testing.assert_allclose(bregman_kl(single, scales), kl_divergence(single, scales), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("log_scale", [-60.0, -44.4, -5.0, 40.0])
@pytest.mark.parametrize("is_full", [False, True])
def test_bregman_kl_of_gaussians_of_any_scale(log_scale, is_full):
    """Oracle: the closed form in float64, (e^-.2 - 1) / 2 + .1 of a sigma larger by e^.1.

    A of N(3, e^-5) is 1e5 nats, and N(3, e^-5) || N(3, e^-5.1) was .01367 for .01070; from
    log sigma = -44.4 on it was NaN, as 1 / sigma^2 overflows.
    """
    if is_full and log_scale == -60.0:
        pytest.skip("a factor of exp(-60) squared is 0 in float32")

    def make(shift):
        if is_full:
            return FullGaussian(jnp.full(2, 3.0), jnp.exp(log_scale + shift) * jnp.eye(2))
        return Gaussian(jnp.full(2, 3.0), jnp.array(log_scale + shift))

    for shift in (0.1, -0.1):
        expected = np.expm1(-2 * shift) + 2 * shift  # of two dimensions
        np.testing.assert_allclose(bregman_kl(make(0.0), make(shift)), expected, 1e-3)


@every_family
def test_jit_and_vmap_change_nothing(family):
    """Mutant: a sum over every axis, the batch's too."""
    p, qs = EXAMPLES[family][1], EXAMPLES[family]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *qs)
    mapped = jax.jit(jax.vmap(bregman_kl, (0, None)))(stacked, p)
    looped = [bregman_kl(q, p) for q in qs]
    np.testing.assert_allclose(mapped, looped, 1e-4, atol=1e-5)


@pytest.mark.parametrize("types", [(Gaussian, Bernoulli), (ContinuousBernoulli,) * 2])
def test_unknown_pair_names_the_known_types(types):
    with pytest.raises(TypeError) as error:
        bregman_kl(*(EXAMPLES[family][0] for family in types))
    message = str(error.value)
    assert "\n" not in message and f"({types[0].__name__}, {types[1].__name__})" in message
    for family in EXPONENTIAL_FAMILIES:
        assert family.__name__ in message.partition("known")[2]
