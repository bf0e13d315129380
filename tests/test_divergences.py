"""Kullback-Leibler divergences against closed forms, scipy, numpyro and Monte Carlo."""

import functools

from families import EXAMPLES, KEY, LOG_SCALE, LOGITS, MEAN
import jax
import jax.numpy as jnp
import linear_gaussian
from linear_gaussian import assert_mean_is
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

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

every_pair = pytest.mark.parametrize(
    "pair", KL_PER_DIMENSION | KL, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}"
)


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
    assert {family for pair in KL_PER_DIMENSION | KL for family in pair} <= set(EXAMPLES)


@every_pair
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


def moments(d):
    """Return the mean and covariance of a Gaussian in float64."""
    if isinstance(d, Gaussian):
        return np.float64(d.mean), np.diag(np.exp(2 * np.float64(d.log_scale)))
    factor = np.float64(d.scale_tril)
    return np.float64(d.mean), factor @ factor.T


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


SMALL = jnp.array([1e-3, -2e-3, 1e-3])
NEAR = {
    Gaussian: lambda d: Gaussian(d.mean + SMALL, d.log_scale - SMALL),
    FullGaussian: lambda d: FullGaussian(
        d.mean + SMALL, d.scale_tril + jnp.tril(jnp.outer(SMALL, jnp.array([1.0, 2.0, -1.0])))
    ),
    Categorical: lambda d: Categorical(d.logits + jnp.outer(SMALL, jnp.array([1.0, -1, 2, 0]))),
    Poisson: lambda d: Poisson(d.log_rate + SMALL),
    Gamma: lambda d: Gamma(d.concentration * (1 + SMALL), d.rate * (1 - SMALL)),
}


def exact_kl(q, p):
    """Return KL(q || p) of the float32 parameters by the textbook's formula in float64."""
    q64, p64 = jax.tree.map(np.float64, (q, p))
    if isinstance(q, Gaussian | FullGaussian):
        return linear_gaussian.gaussian_kl(*moments(q), *moments(p))
    if isinstance(q, Categorical):
        logs = (special.log_softmax(d.logits, axis=-1) for d in (q64, p64))
        log_q, log_p = logs
        return np.sum(np.exp(log_q) * (log_q - log_p))
    if isinstance(q, Poisson):
        rates = np.exp(p64.log_rate) - np.exp(q64.log_rate)
        return np.sum(np.exp(q64.log_rate) * (q64.log_rate - p64.log_rate) + rates)
    a, b = q64.concentration, p64.concentration
    gammas = special.gammaln(b) - special.gammaln(a) - (b - a) * special.digamma(a)
    rates = b * np.log(q64.rate / p64.rate) + a * (p64.rate / q64.rate - 1)
    return np.sum(gammas + rates)


@pytest.mark.parametrize("scale", [1, 1e3])
@pytest.mark.parametrize("family", NEAR, ids=lambda family: family.__name__)
def test_kl_keeps_its_digits_near_equality(family, scale):
    """Oracle: the textbook's formula in float64, of a KL of some 1e-6 nats.

    Mutants: the textbook's formula in float32, whose terms of 1 to 1e4 nats leave no digit of it.
    """
    q = EXAMPLES[family][0]
    if family is Gamma:
        q = Gamma(q.concentration * scale, q.rate)
    if family is Poisson:
        q = Poisson(q.log_rate + np.float32(np.log(scale)))
    for pair in ((q, NEAR[family](q)), (NEAR[family](q), q)):
        np.testing.assert_allclose(kl_divergence(*pair), exact_kl(*pair), 1e-2)


@pytest.mark.parametrize("family", [Gamma, Beta, Dirichlet], ids=lambda family: family.__name__)
def test_kl_of_small_and_large_concentrations(family):
    """Oracle: the textbook's formula in float64, at concentrations from 1/30 to 500.

    Mutants: Stirling's log-gamma without its 1/(12 c), one logarithm of the shift forgotten.
    """
    logs = np.random.default_rng(0).uniform(np.log(1 / 30), np.log(500), (2, 3, 8))
    a_q, a_p = np.float32(np.exp(logs))

    def gap(p, q):
        return special.gammaln(p) - special.gammaln(q) - (p - q) * special.digamma(q)

    q64, p64 = np.float64(a_q), np.float64(a_p)
    if family is Gamma:
        pair, expected = (Gamma(a, jnp.ones(())) for a in (a_q, a_p)), gap(p64, q64)
    elif family is Dirichlet:
        pair = (Dirichlet(a) for a in (a_q, a_p))
        expected = gap(p64, q64).sum(-1) - gap(p64.sum(-1), q64.sum(-1))
    else:
        pair = (Beta(a[0], a[1]) for a in (a_q, a_p))
        expected = gap(p64[:2], q64[:2]).sum(0) - gap(p64[:2].sum(0), q64[:2].sum(0))
    np.testing.assert_allclose(kl_per_dimension(*pair), expected, 1e-4)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def poisson_kl(log_rate_q, log_rate_p):
    return kl_divergence(Poisson(log_rate_q), Poisson(log_rate_p))


@pytest.mark.parametrize("log_rate_q, log_rate_p", [(-80.0, 3.0), (3.0, -80.0), (-1e3, 0.0)])
def test_poisson_kl_at_extreme_rates(log_rate_q, log_rate_p):
    """Oracle: scipy's kl_div by its definition in float64. Mutant: exp(-log(q / p)) overflows."""
    value, gradients = poisson_kl(log_rate_q, log_rate_p)
    q, p = np.exp(log_rate_q), np.exp(log_rate_p)
    np.testing.assert_allclose(value, q * (log_rate_q - log_rate_p) - q + p, 1e-5)
    np.testing.assert_allclose(gradients, [q * (log_rate_q - log_rate_p), p - q], 1e-5, atol=1e-30)


@pytest.mark.parametrize("logit", [88.0, 1e3])
def test_categorical_kl_at_extreme_logits(logit):
    """Oracle: a certain class q and p's log-probability of it. Mutant: 0 log 0 = NaN."""
    q, p = jnp.array([logit, 0.0, 0.0]), jnp.array([0.0, logit, 0.0])
    kl = jax.jit(jax.value_and_grad(lambda q, p: kl_divergence(Categorical(q), Categorical(p))))
    (there, gradient), (same, gradient_same) = kl(q, p), kl(q, q)
    np.testing.assert_allclose([there, same], [logit, 0], 1e-6, atol=1e-6)
    assert np.all(np.isfinite(gradient)) and np.all(np.isfinite(gradient_same))


@every_pair
def test_gradient_is_finite_and_zero_of_equals(pair):
    """Oracle: KL is least where q = p. Mutants: a sign in one branch, an unsafe where."""
    q, p = equals_of(pair)
    for gradient in jax.tree.leaves(jax.jit(jax.grad(kl_divergence, argnums=(0, 1)))(q, p)):
        np.testing.assert_allclose(np.tril(gradient), 0, atol=2e-6)
    gradients = jax.jit(jax.grad(kl_divergence, argnums=(0, 1)))(*examples_of(pair))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def functions_of(pair):
    """Return one function of q and p that gives the pair's divergences."""
    if pair in KL:
        return kl_divergence
    return lambda q, p: (kl_per_dimension(q, p), kl_divergence(q, p))


@every_pair
def test_jit_changes_nothing(pair):
    q, p = examples_of(pair)
    plain, jitted = functions_of(pair)(q, p), jax.jit(functions_of(pair))(q, p)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), plain, jitted)


@every_pair
def test_vmap_is_a_loop(pair):
    """Mutant: a sum over every axis, the batch's too."""
    p, function = EXAMPLES[pair[1]][1], jax.jit(functions_of(pair))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *EXAMPLES[pair[0]])
    looped = [function(q, p) for q in EXAMPLES[pair[0]]]
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped)
    mapped = jax.jit(jax.vmap(functions_of(pair), (0, None)))(stacked, p)
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


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2, 3))
def gaussian_kl(mean_q, log_scale_q, mean_p, log_scale_p):
    return kl_divergence(Gaussian(mean_q, log_scale_q), Gaussian(mean_p, log_scale_p))


@pytest.mark.parametrize("distance", [0.0, 3.0])
@pytest.mark.parametrize("log_scale_p", [-60.0, 0.0, 40.0])
@pytest.mark.parametrize("log_scale_q", [-60.0, -44.0, 0.0, 40.0])
def test_gaussian_kl_at_extreme_scales(log_scale_q, log_scale_p, distance):
    """Oracle: the closed form in float64, read as float32; no NaN in value or gradients.

    Mutant: log(sigma^2), which is -inf in float32 at log sigma = -60.
    """
    value, gradients = gaussian_kl(distance, log_scale_q, 0.0, log_scale_p)
    log_ratio = log_scale_q - log_scale_p
    expected = 0.5 * (np.expm1(2 * log_ratio) + distance**2 * np.exp(-2 * log_scale_p)) - log_ratio
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(value, np.float32(expected), 1e-4)
    assert not np.any(np.isnan(gradients))


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def bernoulli_kl(logit_q, logit_p):
    return kl_divergence(Bernoulli(logit_q), Bernoulli(logit_p))


@pytest.mark.parametrize(
    "logit_q, logit_p, expected",
    [
        (1e3, 1e3, 0.0),
        (1e3, -1e3, 1e3),
        (-1e3, 1e3, 1e3),
        (1e3, 0.0, np.log(2)),
        (0.0, 1e3, 500 - np.log(2)),
        (0.0, -1e3, 500 - np.log(2)),
    ],
)
def test_bernoulli_kl_at_extreme_logits(logit_q, logit_p, expected):
    """Oracle: a certain bit by hand, a fair coin's log 2. Mutant: 0 log 0 = NaN."""
    value, gradients = bernoulli_kl(logit_q, logit_p)
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-6)
    assert np.all(np.isfinite(gradients))


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
