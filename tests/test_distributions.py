"""Densities, divergences and samples against scipy, numpyro, closed forms and Monte Carlo."""

import functools

import jax
import jax.numpy as jnp
from linear_gaussian import assert_mean_is
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from vae_jax.distributions import (
    KL_PER_DIMENSION,
    Bernoulli,
    Distribution,
    Gaussian,
    has_closed_form_kl,
    kl_divergence,
    kl_per_dimension,
    standard_normal,
)
from vae_jax.models import gaussian_posterior

KEY = jax.random.key(0)
MEAN, LOG_SCALE = jnp.array([0.3, -2.0, 1.5]), jnp.array([0.2, -1.0, 0.7])
LOGITS = jnp.array([-2.0, 0.1, 3.0])

# Two members a type, so that a pair's KL is of two different distributions.
EXAMPLES = {
    Gaussian: (Gaussian(MEAN, LOG_SCALE), Gaussian(MEAN[::-1] + 0.4, LOG_SCALE[::-1] - 0.1)),
    Bernoulli: (Bernoulli(LOGITS), Bernoulli(0.5 * LOGITS - 0.3)),
}
every_type = pytest.mark.parametrize("family", EXAMPLES, ids=lambda family: family.__name__)
every_pair = pytest.mark.parametrize(
    "pair", KL_PER_DIMENSION, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}"
)


def examples_of(pair):
    """Return (q, p) of the pair's two types."""
    return EXAMPLES[pair[0]][0], EXAMPLES[pair[1]][1]


# Log-densities.


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_gaussian_log_prob_is_scipys_and_numpyros(shape):
    """Mutants: the constant log(2 pi) dropped, sigma^2 for sigma, a mean over pixels."""
    x, mean, log_scale = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    value = Gaussian(jnp.asarray(mean), jnp.asarray(log_scale)).log_prob(jnp.asarray(x))
    assert value.shape == ()
    np.testing.assert_allclose(value, stats.norm.logpdf(x, mean, np.exp(log_scale)).sum(), 1e-5)
    np.testing.assert_allclose(
        value, numpyro.Normal(mean, np.exp(log_scale)).log_prob(x).sum(), 1e-5
    )


def test_gaussian_log_prob_broadcasts_one_log_scale():
    """Mutant: log sigma subtracted once instead of once a dimension."""
    value = Gaussian(MEAN, jnp.array(-0.7)).log_prob(jnp.zeros(3))
    np.testing.assert_allclose(value, stats.norm.logpdf(0, MEAN, np.exp(-0.7)).sum(), 1e-5)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_bernoulli_log_prob_is_scipys_and_numpyros(shape):
    """Mutants: the cross-entropy's sign, sigmoid(logits) taken for logits, a mean over pixels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=shape).astype(np.float32)
    logits = rng.normal(size=shape).astype(np.float32)
    value = Bernoulli(jnp.asarray(logits)).log_prob(jnp.asarray(x))
    assert value.shape == () and value < 0
    np.testing.assert_allclose(value, stats.bernoulli.logpmf(x, special.expit(logits)).sum(), 1e-5)
    np.testing.assert_allclose(value, numpyro.BernoulliLogits(logits).log_prob(x).sum(), 1e-5)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=0)
def bernoulli_log_prob(logit, bit):
    return Bernoulli(logit).log_prob(bit)


@pytest.mark.parametrize("bit", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-1e3, -88.0, 88.0, 1e3])
def test_bernoulli_is_finite_at_extreme_logits(logit, bit):
    """Oracle: log p = -|l| for the unlikely bit, 0 for the other. Mutant: log(1 - sigmoid(l))."""
    value, gradient = bernoulli_log_prob(logit, bit)
    unlikely = (logit > 0) != (bit == 1)
    np.testing.assert_allclose(value, -abs(logit) if unlikely else 0, atol=1e-6)
    np.testing.assert_allclose(gradient, -np.sign(logit) if unlikely else 0, atol=1e-6)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def gaussian_log_prob(mean, log_scale, x):
    return Gaussian(mean, log_scale).log_prob(x)


@pytest.mark.parametrize("distance", [0.0, 1.0])
@pytest.mark.parametrize("log_scale", [-60.0, -44.0, -20.0, 0.0, 40.0])
def test_gaussian_log_prob_at_extreme_scales(log_scale, distance):
    """Oracle: scipy in float64, read as float32. Mutant: a variance in the denominator (0/0)."""
    value, gradients = gaussian_log_prob(0.0, log_scale, distance)
    with np.errstate(over="ignore"):
        expected = np.float32(stats.norm.logpdf(distance, 0, np.exp(log_scale)))
    np.testing.assert_allclose(value, expected, 1e-4)
    assert not np.any(np.isnan(gradients))


# Divergences.


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
    assert {family for pair in KL_PER_DIMENSION for family in pair} <= set(EXAMPLES)


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
    np.testing.assert_allclose(kl_per_dimension(q, q), 0, atol=1e-6)
    assert np.all(kl_per_dimension(q, p) > 0)
    assert kl_per_dimension(q, p).shape == (3,)


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


# Natural parameters and log-normalizer of each exponential family, for one dimension.
NATURAL = {
    Gaussian: lambda d: jnp.stack([d.mean / d.variance, -0.5 / d.variance]),
    Bernoulli: lambda d: d.logits[None],
}
LOG_NORMALIZER = {
    Gaussian: lambda eta: -(eta[0] ** 2) / (4 * eta[1]) - 0.5 * jnp.log(-2 * eta[1]),
    Bernoulli: lambda eta: jnp.logaddexp(0.0, eta[0]),
}


@every_type
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
        for a, b in KL_PER_DIMENSION:
            assert f"({a.__name__}, {b.__name__})" in message.partition("known")[2]


# Samples.


@every_type
def test_moments_are_those_of_the_samples(family):
    """Estimators: means of z and of (z - mean)^2 over N = 20,000 draws; four standard errors.

    Mutants: noise scaled by sigma^2, logits taken for probabilities.
    """
    q = EXAMPLES[family][0]
    samples = np.asarray(jax.jit(jax.vmap(q.sample))(jax.random.split(KEY, 20_000)))
    assert_mean_is(samples, q.mean)
    assert_mean_is((samples - q.mean) ** 2, q.variance)


def test_moments_are_scipys():
    """Mutant: a variance that is a standard deviation."""
    gaussian, bernoulli = EXAMPLES[Gaussian][0], EXAMPLES[Bernoulli][0]
    np.testing.assert_allclose(gaussian.scale, np.exp(LOG_SCALE), 1e-6)
    np.testing.assert_allclose(gaussian.variance, np.exp(LOG_SCALE) ** 2, 1e-5)
    np.testing.assert_allclose(bernoulli.mean, special.expit(LOGITS), 1e-6)
    np.testing.assert_allclose(bernoulli.variance, stats.bernoulli.var(special.expit(LOGITS)), 1e-5)


@every_type
def test_sample_and_log_prob_is_the_two_calls(family):
    """Mutant: the log-density of another draw."""
    q = EXAMPLES[family][0]
    value, log_prob = q.sample_and_log_prob(KEY)
    np.testing.assert_array_equal(value, q.sample(KEY))
    np.testing.assert_array_equal(log_prob, q.log_prob(value))


def test_base_class_asks_for_both_methods():
    for call in (lambda d: d.sample(KEY), lambda d: d.log_prob(MEAN)):
        with pytest.raises(NotImplementedError):
            call(Distribution())


def test_sample_is_differentiable_in_mean_and_log_scale():
    """Oracle: dz/dmean = I and dz/d(log sigma) = diag(z - mean). Mutant: a stopped gradient."""

    def sample(mean, log_scale):
        return Gaussian(mean, log_scale).sample(KEY)

    by_mean, by_log_scale = jax.jacobian(sample, argnums=(0, 1))(MEAN, LOG_SCALE)
    np.testing.assert_allclose(by_mean, np.eye(3), 1e-6)
    np.testing.assert_allclose(by_log_scale, np.diag(sample(MEAN, LOG_SCALE) - MEAN), 1e-5)


@pytest.mark.parametrize("mean_shape, log_scale_shape", [((3,), ()), ((), (3,)), ((3,), (1,))])
def test_each_dimension_has_noise_of_its_own(mean_shape, log_scale_shape):
    """Mutant: one epsilon broadcast over the dimensions."""
    z = Gaussian(jnp.zeros(mean_shape), jnp.zeros(log_scale_shape)).sample(KEY)
    assert z.shape == (3,) and len(np.unique(z)) == 3


@pytest.mark.parametrize("unbounded", [-1e3, -12.0, 0.1, 12.0, 1e3])
def test_sample_density_and_kl_see_one_scale(unbounded):
    """Oracle: sigma is read off a sample, (z - mean) / epsilon, and handed to scipy and numpy.

    Mutants: a log-scale bounded in the sample alone, or not in the KL.
    """
    q = gaussian_posterior(jnp.array([0.0, unbounded]))
    z, log_prob = q.sample_and_log_prob(KEY)
    sigma = np.float64(z / jax.random.normal(KEY, (1,)))
    assert np.all(np.abs(np.log(sigma)) < 10.001)
    np.testing.assert_allclose(log_prob, stats.norm.logpdf(z, 0, sigma).sum(), 1e-4)
    expected = 0.5 * (sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(kl_divergence(q, standard_normal(1)), expected.sum(), 1e-4)


def test_posterior_is_unbounded_near_one():
    """Mutant: mean and log sigma exchanged."""
    q = gaussian_posterior(jnp.array([5.0, -6.0, 0.3, -0.2]))
    np.testing.assert_allclose(q.mean, [5, -6])
    np.testing.assert_allclose(q.log_scale, [0.3, -0.2], 1e-3)


# Transformations.


def methods(family):
    """Return every public function of a distribution of this type, as functions of it."""
    functions = {
        "sample": lambda q: q.sample(KEY),
        "log_prob": lambda q: q.log_prob(jnp.array([1.0, 0.0, 1.0])),
        "sample_and_log_prob": lambda q: q.sample_and_log_prob(KEY),
    }
    if (family, family) in KL_PER_DIMENSION:
        functions["kl_per_dimension"] = lambda q: kl_per_dimension(q, EXAMPLES[family][1])
        functions["kl_divergence"] = lambda q: kl_divergence(q, EXAMPLES[family][1])
    return functions


@every_type
def test_jit_changes_nothing(family):
    for function in methods(family).values():
        plain, jitted = function(EXAMPLES[family][0]), jax.jit(function)(EXAMPLES[family][0])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), plain, jitted)


@every_type
def test_vmap_is_a_loop(family):
    """Mutant: a sum over every axis, the batch's too."""
    members = EXAMPLES[family]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    for function in methods(family).values():
        looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(function, members))
        mapped = jax.vmap(function)(stacked)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), mapped, looped)
