"""Gamma, Beta and Dirichlet variables: scipy, numpyro and quadrature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from tests.support.families import (
    CONCENTRATION,
    CONCENTRATIONS,
    EXAMPLES,
    KEY,
    assert_samples_have_cdf,
    project_key,
    samples_of,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import Beta, Dirichlet, Gamma, Gaussian, Mixture, kl_divergence
from vae_jax.distributions.gamma_beta_dirichlet import LogGamma
from vae_jax.models import VAE
from vae_jax.objectives.terms import sample_terms

RATE, OTHER = jnp.array([1.0, 0.3, 4.0]), jnp.array([1.2, 0.8, 4.0])
TINY = np.finfo(np.float32).tiny


# Densities.


def test_gamma_log_prob_is_scipys_and_numpyros():
    """Mutants: the rate's power dropped, a scale for a rate."""
    x = np.array([0.01, 3.0, 40.0], np.float32)
    value = Gamma(CONCENTRATION, RATE).log_prob(x)
    oracle = stats.gamma.logpdf(x, CONCENTRATION, scale=1 / np.float64(RATE)).sum()
    np.testing.assert_allclose(value, oracle, 1e-5)
    np.testing.assert_allclose(value, numpyro.Gamma(CONCENTRATION, RATE).log_prob(x).sum(), 1e-5)


def test_beta_log_prob_is_scipys_and_numpyros():
    """Mutants: the parameters exchanged, log Gamma of their sum dropped."""
    x = jnp.array([0.01, 0.4, 0.93])
    value = Beta(CONCENTRATION, OTHER).log_prob(x)
    oracle = stats.beta.logpdf(np.float64(x), np.float64(CONCENTRATION), np.float64(OTHER)).sum()
    np.testing.assert_allclose(value, oracle, 1e-5)
    with jax.enable_x64(True):
        oracle = numpyro.Beta(np.float64(CONCENTRATION), np.float64(OTHER))
        expected = oracle.log_prob(np.float64(x)).sum()
    np.testing.assert_allclose(value, expected, 1e-5)


def test_dirichlet_log_prob_is_scipys_and_numpyros():
    """Mutants: the normalizer over all variables, log Gamma of the sum dropped."""
    x = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.01, 0.04, 0.95]])
    value = Dirichlet(CONCENTRATIONS).log_prob_per_dimension(jnp.asarray(x, jnp.float32))
    rows = zip(x, np.float64(CONCENTRATIONS), strict=True)
    np.testing.assert_allclose(value, [stats.dirichlet.logpdf(*row) for row in rows], 1e-5)
    oracle = numpyro.Dirichlet(CONCENTRATIONS).log_prob(x)
    np.testing.assert_allclose(value, oracle, 1e-5)


@pytest.mark.slow
def test_one_parameter_is_shared_by_all_dimensions():
    """Mutant: log Gamma subtracted once instead of once a dimension."""
    x = np.array([0.01, 0.4, 0.93], np.float32)
    for family in (Gamma, Beta):
        shared, own = family(jnp.array(0.7), OTHER), family(jnp.full(3, 0.7), OTHER)
        np.testing.assert_allclose(shared.log_prob(x), own.log_prob(x), 1e-6)
        np.testing.assert_array_equal(shared.sample(KEY), own.sample(KEY))


GRID = np.linspace(-30, 30, 3001, dtype=np.float32)


@functools.partial(jax.jit, static_argnums=0)
def mass(family, parameters):
    """Return the integral of a density of one variable by the trapezoidal rule.

    Over t with x = exp(t), x = sigmoid(t), or x_1 = sigmoid(s) and x_2 = (1 - x_1) sigmoid(t).
    """
    if family is Gamma:
        log_densities = jax.vmap(lambda t: family(*parameters).log_prob(jnp.exp(t)) + t)(GRID / 3)
        return jnp.trapezoid(jnp.exp(log_densities), GRID / 3)
    up, down = jax.nn.sigmoid(GRID), jax.nn.sigmoid(-GRID)
    if family is Beta:
        densities = jnp.exp(jax.vmap(family(*parameters).log_prob)(up))
        return jnp.trapezoid(densities * up * down, GRID)
    up, down, grid = up[::10], down[::10], GRID[::10]

    def log_density(i, j):
        point = jnp.stack([up[i], down[i] * up[j], down[i] * down[j]])
        return family(*parameters).log_prob(point) + jnp.log(up[i] * down[i] ** 2 * up[j] * down[j])

    indices = jnp.arange(len(grid))
    densities = jnp.exp(jax.vmap(jax.vmap(log_density, (None, 0)), (0, None))(indices, indices))
    return jnp.trapezoid(jnp.trapezoid(densities, grid), grid)


@pytest.mark.parametrize(
    "family, parameters",
    [
        (Gamma, (2.0, 0.3)),
        (Gamma, (1.5, 4.0)),
        (Beta, (0.7, 2.0)),
        (Beta, (3.0, 1.0)),
        (Dirichlet, ((0.8, 2.0, 1.5),)),
        (Dirichlet, ((3.0, 1.0, 5.0),)),
    ],
)
def test_densities_integrate_to_one(family, parameters):
    """Oracle: the trapezoidal rule. Mutant: a normalizer's factor dropped."""
    arrays = tuple(jnp.asarray(p) for p in parameters)
    np.testing.assert_allclose(mass(family, arrays), 1, 1e-4)


# Samples.


def test_samples_have_scipys_distribution_functions():
    """Oracle: Kolmogorov and Smirnov's test, N = 20,000; a Dirichlet's entries are Beta variables.

    The keys are of the programs' kind. Mutants: a rate for a scale, the parameters exchanged.
    """
    gamma, beta, dirichlet = (EXAMPLES[family][0] for family in (Gamma, Beta, Dirichlet))
    samples = [samples_of(q, key=project_key()) for q in (gamma, beta, dirichlet)]
    for i in range(3):
        rate = np.float64(gamma.rate[i])
        oracle = stats.gamma(np.float64(gamma.concentration[i]), scale=1 / rate)
        assert_samples_have_cdf(samples[0][:, i], oracle.cdf)
        assert_samples_have_cdf(samples[1][:, i], stats.beta(beta.alpha[i], beta.beta[i]).cdf)
        for k, row in enumerate(np.float64(dirichlet.concentration)):
            marginal = stats.beta(row[i], row.sum() - row[i])
            assert_samples_have_cdf(samples[2][:, k, i], marginal.cdf)
    np.testing.assert_allclose(samples[2].sum(-1), 1, 1e-6)


@functools.partial(jax.jit, static_argnums=0)
def draw(family, parameters):
    """Return 2,000 samples and their derivatives [num_samples, *x's shape, *parameter's shape]."""

    def sample(parameters, key):
        value = family(*parameters).sample(key)
        return value, value

    jacobians = jax.vmap(jax.jacobian(sample, has_aux=True), (None, 0))
    derivatives, values = jacobians(parameters, jax.random.split(KEY, 2000))
    return values, derivatives


def diagonals(derivatives):
    """Return dx_i / dparameter_i in float64, where every other derivative is zero."""
    for derivative in np.float64(derivatives):
        off_diagonal = derivative * (1 - np.eye(derivative.shape[-1]))
        np.testing.assert_array_equal(off_diagonal, 0)
    return [np.diagonal(derivative, axis1=1, axis2=2) for derivative in np.float64(derivatives)]


def test_gamma_samples_have_the_implicit_derivative():
    """Oracle: dx/da and dx/db at a fixed quantile, by differences of scipy's quantile function.

    Figurnov et al. (2018). Mutants: x / a, which has the right mean, and a stopped gradient.
    """
    parameters = jnp.array([0.3, 2.0, 50.0]), jnp.array([0.7, 2.0, 1.0])
    values, derivatives = draw(Gamma, parameters)
    by_a, by_b = diagonals(derivatives)
    (a, b), values = np.float64(parameters), np.float64(values)
    tail = stats.gamma.sf(values, a, scale=1 / b)
    step = 1e-4 * a
    ends = [stats.gamma.isf(tail, a + s, scale=1 / b) for s in (step, -step)]
    np.testing.assert_allclose(by_a, (ends[0] - ends[1]) / (2 * step), 2e-3)
    np.testing.assert_allclose(by_b, -values / b, 1e-4)


@pytest.mark.slow
def test_expected_derivatives_of_log_samples_are_trigammas():
    """Oracles: E[log x] is psi(a) - log b for Gamma, psi(alpha) - psi(alpha + beta) for Beta and
    psi(a_k) - psi(sum_j a_j) for Dirichlet, differentiated.

    Estimator: the mean over 2,000 samples; four standard errors. Mutants: Gamma's x / a, the
    gradient through one of Beta's two Gamma variables stopped, or through the total.
    """
    trigamma = functools.partial(special.polygamma, 1)
    a, b = jnp.array([0.7, 3.0, 20.0]), jnp.array([0.5, 2.0, 7.0])
    values, derivatives = draw(Gamma, (a, b))
    assert_mean_is(diagonals(derivatives)[0] / values, trigamma(a))
    values, derivatives = draw(Beta, (a, b))
    by_alpha, by_beta = diagonals(derivatives)
    assert_mean_is(by_alpha / values, trigamma(a) - trigamma(a + b))
    assert_mean_is(by_beta / values, -trigamma(a + b))
    values, (derivatives,) = draw(Dirichlet, (a,))
    assert_mean_is(derivatives / values[:, :, None], np.diag(trigamma(a)) - trigamma(a.sum()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "q",
    [
        Gamma(jnp.array([1e-3, 1e-2, 1e4]), jnp.array([1.0, 1e-3, 1e3])),
        Beta(jnp.array([1e-3, 1e-2, 1e4]), jnp.array([1e-3, 1e3, 1e4])),
        Dirichlet(jnp.array([1e-3, 1e-2, 1.0])),
    ],
    ids=lambda q: type(q).__name__,
)
def test_samples_stay_inside_the_support(q):
    """Every sample, its log-density and their gradients are finite, where most samples underflow.

    Mutants: samples of 0 or 1, a smallest float that the CPU flushes to zero.
    """
    values, derivatives = draw(type(q), tuple(jax.tree.leaves(q)))
    assert np.min(values) == TINY
    if isinstance(q, Beta):
        assert np.max(values) == 1 - np.finfo(np.float32).epsneg
    density = jax.value_and_grad(lambda q, x: q.log_prob(x), argnums=(0, 1))
    densities = jax.jit(jax.vmap(density, (None, 0)))(q, values)
    for leaf in jax.tree.leaves((values, derivatives, densities)):
        assert np.all(np.isfinite(leaf))


def test_uniform_densities_are_zero_at_the_edge():
    """Oracle: Beta(1, 1) and Dirichlet(1, 1) are flat. Mutant: 0 log 0 = NaN."""
    edge = jnp.array([0.0, 1.0])
    flat = Beta(jnp.ones(2), jnp.ones(2)), Dirichlet(jnp.ones(2))
    for log_prob in jax.jit(lambda edge: [q.log_prob(edge) for q in flat])(edge):
        np.testing.assert_allclose(log_prob, 0, atol=5e-6)


def test_moments_are_scipys():
    """Mutants: a scale for a rate, alpha + beta without the 1, a variance that is a deviation."""
    gamma, beta, dirichlet = (EXAMPLES[family][0] for family in (Gamma, Beta, Dirichlet))
    oracles = (
        stats.gamma(gamma.concentration, scale=1 / gamma.rate),
        stats.beta(beta.alpha, beta.beta),
    )
    for q, oracle in zip((gamma, beta), oracles, strict=True):
        np.testing.assert_allclose(q.mean, oracle.mean(), 1e-5)
        np.testing.assert_allclose(q.variance, oracle.var(), 1e-5)
        np.testing.assert_allclose(q.scale, oracle.std(), 1e-5)
    rows = np.float64(dirichlet.concentration)
    np.testing.assert_allclose(dirichlet.mean, [stats.dirichlet.mean(row) for row in rows], 1e-5)
    variances = np.array([stats.dirichlet.var(row) for row in rows])
    np.testing.assert_allclose(dirichlet.variance, variances, 1e-5)
    np.testing.assert_allclose(dirichlet.scale, np.sqrt(variances), 1e-5)


# Samples of small concentrations, of which a float32 holds the logarithms only.

ONE = jnp.ones(())
# q, p, the true KL in nats (what samples of x itself gave is beside it) and a number of samples by
# which four standard errors tell the two apart.
SMALL = {
    "beta": (Beta(0.05 * ONE, 0.05 * ONE), Beta(ONE, ONE), 15.4557, 20_000),  # 11.17
    "ten betas": (
        Beta(*jnp.full((2, 10), 0.05)),
        Beta(*jnp.full((2, 10), 0.06)),
        0.175468,  # -.270
        4_000,
    ),
    "dirichlet": (Dirichlet(jnp.full(10, 0.05)), Dirichlet(jnp.ones(10)), 134.158, 20_000),  # 131.6
    "gamma": (Gamma(0.05 * ONE, ONE), Gamma(ONE, ONE), 16.5041, 200_000),  # 16.22
}


def small(names):
    """Return the names as cases, of which the betas alone run by default."""
    return [pytest.param(name, marks=() if "beta" in name else pytest.mark.slow) for name in names]


@functools.cache
def draw_log_ratios(name):
    """Return log q - log p of samples, as the terms of a bound have them."""
    q, p, _, num_samples = SMALL[name]
    vae = VAE(
        init=lambda key, examples: {},
        encode=lambda params, x, y: q,
        decode=lambda params, z, y: Gaussian(jnp.zeros(()), jnp.zeros(())),
        prior=lambda params, y: p,
    )
    keys = jax.random.split(KEY, num_samples)
    terms = jax.jit(lambda keys: sample_terms(keys, vae, {}, jnp.zeros(()), None))(keys)
    return np.float64(terms.log_posterior - terms.log_prior)


@pytest.mark.slow
@pytest.mark.parametrize("name", small(SMALL))
def test_sampled_kl_of_small_concentrations_is_the_closed_form(name):
    """Oracle: the closed form of scipy's functions, as given in SMALL. Estimator: the mean of
    the samples, four standard errors. Mutant: samples cut off at 1 - 2^-24 or at 1e-38."""
    assert_mean_is(draw_log_ratios(name), SMALL[name][2])


@pytest.mark.slow
@pytest.mark.parametrize("name", small(["beta", "ten betas", "gamma"]))
def test_no_bound_is_violated_by_small_concentrations(name):
    """E[log mean_k p(z_k) / q(z_k)] <= log 1. Estimator: the mean over values of K = 10, four
    standard errors. Mutant: samples cut off at the end of the support, +.366 of ten betas."""
    bounds = special.logsumexp(-draw_log_ratios(name).reshape(-1, 10), axis=-1) - np.log(10)
    assert bounds.mean() < 4 * bounds.std() / np.sqrt(len(bounds))


@pytest.mark.slow
def test_gradients_of_small_concentrations_are_those_of_the_closed_form():
    """Oracle: the derivatives of the closed form. Estimator: the mean of 3,000 pathwise
    derivatives, four standard errors. Mutants: a stopped gradient, or that of one of the two gamma
    variables alone."""
    q, p = Beta(0.05 * ONE, 0.3 * ONE), Beta(0.5 * ONE, ONE)

    def log_ratio(q, key):
        value = q.unbounded().sample(key)
        return q.unbounded().log_prob(value) - p.unbounded().log_prob(value)

    keys = jax.random.split(KEY, 3_000)
    gradients = jax.jit(jax.vmap(jax.grad(log_ratio), (None, 0)))(q, keys)
    jax.tree.map(assert_mean_is, gradients, jax.jit(jax.grad(kl_divergence))(q, p))


@pytest.mark.slow
def test_log_samples_far_below_the_least_float_have_their_derivative():
    """Oracle: (psi(a + 1) - log x) / a, of the power law F(x) = x^a / Gamma(a + 1).

    Mutant: jax's derivative, that of x = 1e-38 where x is smaller.
    """
    a = jnp.float32(0.05)
    draw = jax.value_and_grad(lambda a, key: LogGamma(a, jnp.ones(())).sample(key))
    values, slopes = jax.jit(jax.vmap(draw, (None, 0)))(a, jax.random.split(KEY, 2000))
    expected = (special.digamma(1.05) - np.float64(values)) / 0.05
    small = values < -20
    assert np.sum(values < -90) > 10
    np.testing.assert_allclose(slopes[small], expected[small], 1e-4)


@pytest.mark.parametrize("family", [Gamma, Beta, Dirichlet], ids=lambda family: family.__name__)
def test_unbounded_densities_are_those_of_the_values(family):
    """Oracle: scipy's density plus the log of the Jacobian. Mutants: the Jacobian left out, its
    sign, the logits of 1 - x."""
    q = EXAMPLES[family][0]
    unbounded = q.unbounded()
    value = unbounded.sample(KEY)
    t = np.float64(value)
    if family is Gamma:
        density = stats.gamma.logpdf(np.exp(t), q.concentration, scale=1 / np.float64(q.rate))
        expected = np.sum(density + t)
    elif family is Beta:
        x = special.expit(t)
        density = stats.beta.logpdf(x, np.float64(q.alpha), np.float64(q.beta))
        expected = np.sum(density + np.log(x) + np.log1p(-x))
    else:
        x = np.exp(t) / np.exp(t).sum(-1, keepdims=True)
        rows = zip(x, np.float64(q.concentration), strict=True)
        expected = sum(stats.dirichlet.logpdf(*row) for row in rows) + t.sum()
    np.testing.assert_allclose(unbounded.log_prob(value), expected, 1e-5)
    np.testing.assert_array_equal(unbounded.latent(value), q.sample(KEY))


@pytest.mark.slow
def test_a_mixture_is_unbounded_where_its_components_are():
    """Oracle: the ratio of two densities of the values, in float64 of scipy at x = .3.

    Mutants: the components' own coordinates left, weights dropped.
    """
    weights, t = np.array([0.3, 0.7]), float(special.logit(0.3))
    alphas = np.array([2.0, 5.0])
    mixture = Mixture(jnp.log(jnp.float32(weights)), Beta(jnp.float32(alphas), jnp.ones(2)))
    density = np.sum(weights * stats.beta.pdf(0.3, alphas, 1)) * 0.3 * 0.7
    np.testing.assert_allclose(mixture.unbounded().log_prob(jnp.float32(t)), np.log(density), 1e-5)
    assert Mixture(jnp.zeros(2), Gaussian(jnp.zeros(2), jnp.zeros(2))).unbounded() is None
