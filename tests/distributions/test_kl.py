"""Kullback-Leibler divergences against closed forms, scipy, numpyro and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from tests.support import linear_gaussian
from tests.support.families import EXAMPLES, KEY, LOG_SCALE, LOGITS, MEAN, moments
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import (
    KL,
    KL_PER_DIMENSION,
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    FullGaussian,
    Gamma,
    Gaussian,
    Poisson,
    has_closed_form_kl,
    kl_divergence,
    kl_per_dimension,
    standard_normal,
)

PAIRS = KL_PER_DIMENSION | KL


def name_of(pair):
    return f"{pair[0].__name__}-{pair[1].__name__}"


every_pair = pytest.mark.parametrize("pair", PAIRS, ids=name_of)


def examples_of(pair):
    """Return (q, p) of the pair's two types."""
    return EXAMPLES[pair[0]][0], EXAMPLES[pair[1]][1]


def equals_of(pair):
    """Return two equal distributions of the pair's types."""
    if pair[0] is pair[1]:
        return EXAMPLES[pair[0]][0], EXAMPLES[pair[0]][0]
    diagonal = EXAMPLES[Gaussian][0]
    full = FullGaussian(diagonal.mean, jnp.diag(diagonal.scale))
    return (diagonal, full) if pair[0] is Gaussian else (full, diagonal)


def test_kl_of_shifted_unit_gaussians_is_half():
    """Oracle: KL(N(1, 1) || N(0, 1)) = 1/2. Mutants: the half dropped, the sign turned."""
    assert kl_divergence(Gaussian(jnp.ones(1), jnp.zeros(1)), standard_normal(1)) == 0.5


def test_kl_to_the_standard_normal_by_hand():
    """Oracle: mean [1, 0], sigma^2 [1/2, 2] give 3/4. Mutant: log sigma^2 without its 2."""
    q = Gaussian(jnp.array([1.0, 0.0]), 0.5 * jnp.log(jnp.array([0.5, 2.0])))
    np.testing.assert_allclose(kl_divergence(q, standard_normal(2)), 0.75, 1e-6)
    np.testing.assert_allclose(
        kl_per_dimension(q, standard_normal(2)), [0.25 + np.log(2) / 2, 0.5 - np.log(2) / 2], 1e-6
    )


def test_gradient_of_the_kl_to_the_standard_normal():
    """Oracle: dKL/dmean = mean and dKL/d(log sigma^2) = (sigma^2 - 1) / 2.

    Mutant: log_scale read as log sigma^2.
    """

    def kl(mean, log_variance):
        return kl_divergence(Gaussian(mean, 0.5 * log_variance), standard_normal(3))

    by_mean, by_log_variance = jax.grad(kl, argnums=(0, 1))(MEAN, 2 * LOG_SCALE)
    np.testing.assert_allclose(by_mean, MEAN, 1e-5)
    np.testing.assert_allclose(by_log_variance, (np.exp(2 * LOG_SCALE) - 1) / 2, 1e-5)


def test_every_pair_has_examples():
    assert {family for pair in PAIRS for family in pair} <= set(EXAMPLES)


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(pair, marks=pytest.mark.slow if pair[0] in (Beta, Dirichlet) else ())
        for pair in PAIRS
    ],
    ids=name_of,
)
def test_kl_is_the_expected_log_ratio(pair):
    """Estimator: the mean of log q(z) - log p(z) over z ~ q, N = 20,000; four standard errors.

    Mutants: q and p exchanged, the log-ratio's sign turned.
    """
    q, p = examples_of(pair)

    def log_ratio(key):
        z, log_q = q.sample_and_log_prob(key)
        return log_q - p.log_prob(z)

    log_ratios = jax.jit(jax.vmap(log_ratio))(jax.random.split(KEY, 20_000))
    assert_mean_is(log_ratios, kl_divergence(q, p))


@pytest.mark.slow
@every_pair
def test_kl_is_zero_of_equals_and_not_below(pair):
    """Mutant: a constant dropped."""
    q, p = examples_of(pair)
    kl, shape = (kl_per_dimension, (3,)) if pair in KL_PER_DIMENSION else (kl_divergence, ())
    np.testing.assert_allclose(kl(*equals_of(pair)), 0, atol=1e-6)
    assert np.all(kl(q, p) > 0)
    assert kl(q, p).shape == shape


def test_gaussian_kl_is_numpyros():
    """Mutants: the ratio of the scales turned over, the shift divided by q's scale."""
    q, p = examples_of((Gaussian, Gaussian))
    normals = (numpyro.Normal(d.mean, d.scale) for d in (q, p))
    expected = numpyro.kl_divergence(*normals)
    np.testing.assert_allclose(kl_per_dimension(q, p), expected, 1e-5)


def test_bernoulli_kl_is_scipys():
    """Mutant: the term of the zeros dropped."""
    q, p = (special.expit(np.float64(d.logits)) for d in examples_of((Bernoulli, Bernoulli)))
    expected = special.rel_entr(q, p) + special.rel_entr(1 - q, 1 - p)
    np.testing.assert_allclose(
        kl_per_dimension(*examples_of((Bernoulli, Bernoulli))), expected, 1e-5
    )


NUMPYRO = {
    Gamma: lambda d: numpyro.Gamma(d.concentration, d.rate),
    Beta: lambda d: numpyro.Beta(d.alpha, d.beta),
    Dirichlet: lambda d: numpyro.Dirichlet(d.concentration),
    Categorical: lambda d: numpyro.CategoricalProbs(special.softmax(d.logits, axis=-1)),
    FullGaussian: lambda d: numpyro.MultivariateNormal(d.mean, scale_tril=d.scale_tril),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", NUMPYRO, ids=lambda family: family.__name__)
def test_kl_is_numpyros(family):
    """Oracle: numpyro in float64. Mutants: psi of p's parameter, the normalizers exchanged."""
    q, p = EXAMPLES[family]
    with jax.enable_x64(True):
        q64, p64 = (jax.tree.map(np.float64, d) for d in (q, p))
        expected = numpyro.kl_divergence(NUMPYRO[family](q64), NUMPYRO[family](p64))
    function = kl_divergence if family is FullGaussian else kl_per_dimension
    np.testing.assert_allclose(function(q, p), expected, 1e-5)


def test_categorical_kl_is_scipys():
    """Mutants: summed over the variables, or divided by the number of classes."""
    q, p = (special.softmax(np.float64(d.logits), axis=-1) for d in EXAMPLES[Categorical])
    expected = special.rel_entr(q, p).sum(-1)
    np.testing.assert_allclose(kl_per_dimension(*EXAMPLES[Categorical]), expected, 1e-5)


def test_poisson_kl_is_the_sum_over_counts():
    """Oracle: sum_x q(x) log(q(x) / p(x)) over x < 200. Mutant: the rates' difference turned."""
    q, p = (np.exp(np.float64(d.log_rate)) for d in EXAMPLES[Poisson])
    counts = np.arange(200)[:, None]
    log_q, log_p = stats.poisson.logpmf(counts, q), stats.poisson.logpmf(counts, p)
    expected = np.sum(np.exp(log_q) * (log_q - log_p), axis=0)
    np.testing.assert_allclose(kl_per_dimension(*EXAMPLES[Poisson]), expected, 1e-5)


@pytest.mark.parametrize("pair", KL, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def test_full_gaussian_kl_is_the_one_of_the_covariances(pair):
    """Oracle: trace, quadratic form and log-determinants in numpy.

    Mutants: L_q^-1 L_p for L_p^-1 L_q, the log-determinants exchanged, L for L L^T.
    """
    q, p = examples_of(pair)
    expected = linear_gaussian.gaussian_kl(*moments(q), *moments(p))
    np.testing.assert_allclose(kl_divergence(q, p), expected, 1e-5)


def test_full_gaussian_kl_broadcasts_a_factorized_scale():
    """Mutant: one log sigma subtracted once instead of once a dimension."""
    full = EXAMPLES[FullGaussian][0]
    short, long = Gaussian(MEAN + 1, jnp.array(0.3)), Gaussian(MEAN + 1, jnp.full(3, 0.3))
    np.testing.assert_allclose(kl_divergence(full, short), kl_divergence(full, long), 1e-6)
    np.testing.assert_allclose(kl_divergence(short, full), kl_divergence(long, full), 1e-6)


@pytest.mark.slow
@every_pair
def test_gradient_is_finite_and_zero_of_equals(pair):
    """Oracle: KL is least where q = p. Mutants: a sign in one branch, an unsafe where."""
    gradients_of = jax.jit(jax.grad(kl_divergence, argnums=(0, 1)))
    for gradient in jax.tree.leaves(gradients_of(*equals_of(pair))):
        np.testing.assert_allclose(np.tril(gradient), 0, atol=2e-6)
    for gradient in jax.tree.leaves(gradients_of(*examples_of(pair))):
        assert np.all(np.isfinite(gradient))


def functions_of(pair):
    """Return one function of q and p that gives the pair's divergences."""
    if pair in KL:
        return kl_divergence
    return lambda q, p: (kl_per_dimension(q, p), kl_divergence(q, p))


@pytest.mark.slow
@every_pair
def test_jit_and_vmap_change_nothing(pair):
    """Oracle: a loop over the members without jit. Mutant: a sum over the batch's axis too."""
    p, function = EXAMPLES[pair[1]][1], functions_of(pair)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *EXAMPLES[pair[0]])
    looped = [function(q, p) for q in EXAMPLES[pair[0]]]
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped)
    mapped = jax.jit(jax.vmap(function, (0, None)))(stacked, p)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, atol=1e-6), mapped, looped)


# Natural parameters and log-normalizer of each exponential family, for one dimension.
NATURAL = {
    Gaussian: lambda d: jnp.stack([d.mean / d.variance, -0.5 / d.variance]),
    Bernoulli: lambda d: d.logits[None],
}
LOG_NORMALIZER = {
    Gaussian: lambda eta: -(eta[0] ** 2) / (4 * eta[1]) - 0.5 * jnp.log(-2 * eta[1]),
    Bernoulli: lambda eta: jnp.logaddexp(0.0, eta[0]),
}


@pytest.mark.parametrize("family", NATURAL, ids=lambda family: family.__name__)
def test_kl_is_the_bregman_divergence_of_the_log_normalizer(family):
    """Oracle: A(eta_p) - A(eta_q) - <eta_p - eta_q, grad A(eta_q)>. Mutant: q and p exchanged."""
    q, p = EXAMPLES[family]
    eta_q, eta_p = NATURAL[family](q), NATURAL[family](p)
    value_and_grad = jax.vmap(jax.value_and_grad(LOG_NORMALIZER[family]), in_axes=1, out_axes=-1)
    (a_q, mean_q), (a_p, _) = value_and_grad(eta_q), value_and_grad(eta_p)
    expected = a_p - a_q - jnp.sum((eta_p - eta_q) * mean_q, axis=0)
    np.testing.assert_allclose(kl_per_dimension(q, p), expected, 1e-4)


def test_kl_of_an_unknown_pair_names_the_known_ones():
    q, p = Gaussian(MEAN, LOG_SCALE), Bernoulli(LOGITS)
    assert not has_closed_form_kl(q, p) and has_closed_form_kl(q, q)
    for function in (kl_divergence, kl_per_dimension):
        with pytest.raises(TypeError) as error:
            function(q, p)
        message = str(error.value)
        assert "\n" not in message and "(Gaussian, Bernoulli)" in message
        table = KL_PER_DIMENSION if function is kl_per_dimension else KL_PER_DIMENSION | KL
        for a, b in table:
            assert f"({a.__name__}, {b.__name__})" in message.partition("known")[2]


@pytest.mark.parametrize("pair", KL, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def test_kl_per_dimension_refuses_pairs_that_do_not_factorize(pair):
    q, p = examples_of(pair)
    assert has_closed_form_kl(q, p)
    with pytest.raises(TypeError, match=r"no closed-form KL per dimension of .*FullGaussian"):
        kl_per_dimension(q, p)
