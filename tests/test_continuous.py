"""Gamma, Beta, Dirichlet and continuous Bernoulli variables: scipy, numpyro and quadrature."""

import functools

from families import (
    CONCENTRATION,
    CONCENTRATIONS,
    EXAMPLES,
    KEY,
    assert_samples_have_cdf,
    project_key,
    samples_of,
)
import jax
import jax.numpy as jnp
from linear_gaussian import assert_mean_is
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from vae_jax.distributions import Beta, ContinuousBernoulli, Dirichlet, Gamma

RATE, OTHER = jnp.array([1.0, 0.3, 4.0]), jnp.array([1.2, 0.8, 4.0])
TINY = np.finfo(np.float32).tiny


# Densities of Gamma, Beta and Dirichlet.


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


# Samples of Gamma, Beta and Dirichlet.


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


def test_gamma_samples_have_the_implicit_derivative():
    """Oracle: dx/da and dx/db at a fixed quantile, by differences of scipy's quantile function.

    Figurnov et al. (2018). Mutants: x / a, which has the right mean, and a stopped gradient.
    """
    concentration = jnp.array([0.3, 1.0, 4.0, 50.0])

    def sample(a, b):
        return Gamma(a, b).sample(KEY)

    value = np.float64(sample(concentration, 0.7 * jnp.ones(4)))
    by_a, by_b = jax.jacobian(sample, argnums=(0, 1))(concentration, 0.7 * jnp.ones(4))
    a = np.float64(concentration)
    quantile = stats.gamma.cdf(value, a, scale=1 / 0.7)
    step = 1e-4 * a
    ends = [stats.gamma.ppf(quantile, a + s, scale=1 / 0.7) for s in (step, -step)]
    np.testing.assert_allclose(np.diag(by_a), (ends[0] - ends[1]) / (2 * step), 1e-3)
    np.testing.assert_allclose(np.diag(by_b), -value / 0.7, 1e-4)


def pathwise_means(family, parameters):
    """Return samples of d log x / d parameters, [num_samples, *x's shape, *parameter's shape]."""

    def log_sample(parameters, key):
        return jnp.log(family(*parameters).sample(key))

    jacobian = jax.vmap(jax.jacobian(log_sample), (None, 0))
    return jax.jit(jacobian)(parameters, jax.random.split(KEY, 4_000))


def test_expected_derivatives_of_log_samples_are_trigammas():
    """Oracles: E[log x] is psi(a) - log b for Gamma, psi(alpha) - psi(alpha + beta) for Beta and
    psi(a_k) - psi(sum_j a_j) for Dirichlet, differentiated.

    Estimator: the mean over 4,000 samples; four standard errors. Mutants: Gamma's x / a, the
    gradient through one of Beta's two Gamma variables stopped, or through the total.
    """
    a, b = jnp.array([0.7, 3.0]), jnp.array([0.5, 2.0])
    trigamma = functools.partial(special.polygamma, 1)
    by_a, by_b = pathwise_means(Gamma, (a, b))
    assert_mean_is(by_a, np.diag(trigamma(a)))
    np.testing.assert_allclose(by_b.mean(0), -np.diag(1 / b), 1e-5)
    by_alpha, by_beta = pathwise_means(Beta, (a, b))
    assert_mean_is(by_alpha, np.diag(trigamma(a) - trigamma(a + b)))
    assert_mean_is(by_beta, -np.diag(trigamma(a + b)))
    concentration = CONCENTRATIONS[0]
    (by_concentration,) = pathwise_means(Dirichlet, (concentration,))
    expected = np.diag(trigamma(concentration)) - trigamma(concentration.sum())
    assert_mean_is(by_concentration, expected)


@pytest.mark.parametrize(
    "q",
    [
        Gamma(jnp.array([1e-3, 1e-2, 1e4]), jnp.array([1.0, 1e-3, 1e3])),
        Beta(jnp.array([1e-3, 1e-2, 1e4]), jnp.array([1e-3, 1e3, 1e4])),
        Dirichlet(jnp.array([[1e-3, 1e-2, 1.0], [1e-3, 1e-3, 1e-3], [1e4, 1e-2, 1.0]])),
    ],
    ids=lambda q: type(q).__name__,
)
def test_samples_stay_inside_the_support(q):
    """Every sample's log-density and every gradient is finite, where most samples underflow.

    Mutants: samples of 0 or 1, a smallest float that the CPU flushes to zero.
    """

    def log_prob_of_sample(q, key):
        value = q.sample(key)
        return q.log_prob(value), value

    by_q = jax.vmap(jax.value_and_grad(log_prob_of_sample, has_aux=True), (None, 0))
    (log_probs, values), gradients = jax.jit(by_q)(q, jax.random.split(KEY, 500))
    assert np.min(values) == TINY and np.all(values < (np.inf if isinstance(q, Gamma) else 1.001))
    if isinstance(q, Beta):
        assert np.max(values) == 1 - np.finfo(np.float32).epsneg
    for leaf in (log_probs, *jax.tree.leaves(gradients)):
        assert np.all(np.isfinite(leaf))


def test_uniform_densities_are_zero_at_the_edge():
    """Oracle: Beta(1, 1) and Dirichlet(1, 1) are flat. Mutant: 0 log 0 = NaN."""
    edge = jnp.array([0.0, 1.0])
    np.testing.assert_allclose(Beta(jnp.ones(2), jnp.ones(2)).log_prob(edge), 0, atol=5e-6)
    np.testing.assert_allclose(Dirichlet(jnp.ones(2)).log_prob(edge), 0, atol=5e-6)


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


# Continuous Bernoulli.

# Zero, both sides of the series' ends (0.3 and 1.5), and the tails.
SIGNED = (1e-6, 1e-3, 0.1, 0.299, 0.301, 1.0, 1.499, 1.501, 3.0, 30.0, 1e3)
TILTS = np.float32([0.0, *SIGNED, *(-t for t in SIGNED)])


def quadrature(logit):
    """Return log int exp((x - 1/2) l) dx, the mean and the variance in float64.

    By Gauss and Legendre's rule for t, the distance of x from the favoured end: exp(-|l| t).
    """
    tilt, reach = abs(logit), min(1.0, 40 / max(abs(logit), 1.0))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t = reach * (nodes + 1) / 2
    masses = reach / 2 * weights * np.exp(-tilt * t)
    mean = np.average(t, weights=masses)
    variance = np.average((t - mean) ** 2, weights=masses)
    return tilt / 2 + np.log(masses.sum()), 1 - mean if logit > 0 else mean, variance


@jax.jit
@jax.vmap
def tilted(logit):
    q = ContinuousBernoulli(logit)
    log_prob, gradient = jax.value_and_grad(lambda q: q.log_prob(0.5))(q)
    return -log_prob, q.mean, q.variance, q.scale, -gradient.logits


def test_continuous_bernoulli_is_the_quadratures():
    """Oracle: quadrature of exp((x - 1/2) l) in float64, at logits 0, +-1e-6 to +-1000.

    The derivative of the log-normalizer is the mean less 1/2. Mutants: log C dropped or of the
    wrong sign, NaN at l = 0, no series for the derivatives near it, a series cut too early.
    """
    expected = np.array([quadrature(float(logit)) for logit in TILTS]).T
    log_mass, mean, variance, scale, gradient = tilted(TILTS)
    np.testing.assert_allclose(log_mass, expected[0], 1e-5, atol=1e-7)
    np.testing.assert_allclose(mean, expected[1], 3e-5)
    np.testing.assert_allclose(variance, expected[2], 1e-5)
    np.testing.assert_allclose(scale, np.sqrt(expected[2]), 1e-5)
    np.testing.assert_allclose(gradient, expected[1] - 0.5, 1e-5, atol=1e-7)


@pytest.mark.parametrize("logit", [-30.0, -1e-3, 0.0, 1e-6, 2.0])
def test_continuous_bernoulli_log_prob_is_the_papers(logit):
    """Oracle: log C + x log(lambda) + (1 - x) log(1 - lambda) in float64, with
    C = 2 atanh(1 - 2 lambda) / (1 - 2 lambda): Loaiza-Ganem & Cunningham (2019), and 2 at 1/2.

    Mutant: the Bernoulli density, without C.
    """
    x, logit64 = np.linspace(0, 1, 7), np.float64(np.float32(logit))
    tilt = -np.tanh(logit64 / 2)
    log_c = np.log(2 * np.arctanh(tilt) / tilt if logit else 2)
    expected = log_c + x * special.log_expit(logit64) + (1 - x) * special.log_expit(-logit64)
    q = ContinuousBernoulli(jnp.full(7, logit))
    value = q.log_prob_per_dimension(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(value, expected, 1e-5, atol=1e-6)


def test_continuous_bernoulli_density_integrates_to_one():
    """Oracle: the trapezoidal rule."""
    x = jnp.linspace(0, 1, 20_001)
    for logit in (-30.0, -1.0, 0.0, 1e-3, 8.0):
        densities = np.exp(ContinuousBernoulli(jnp.full(x.shape, logit)).log_prob_per_dimension(x))
        np.testing.assert_allclose(np.trapezoid(np.float64(densities), x), 1, 1e-5)


def tilted_cdf(x, logit):
    """Return the distribution function of the continuous Bernoulli in float64."""
    return np.expm1(x * logit) / np.expm1(logit) if logit else x


def test_continuous_bernoulli_samples_have_its_distribution_function():
    """Oracle: Kolmogorov and Smirnov's test, N = 20,000. Mutant: u and 1 - u exchanged."""
    logits = np.float32([-30, -1, -0.2, 0, 1e-3, 0.25, 5])
    samples = samples_of(ContinuousBernoulli(jnp.asarray(logits)), key=project_key())
    assert np.all((samples >= 0) & (samples <= 1))
    for column, logit in zip(samples.T, np.float64(logits), strict=True):
        assert_samples_have_cdf(column, functools.partial(tilted_cdf, logit=logit))


def test_continuous_bernoulli_samples_are_differentiable():
    """Oracle: dx/dl = -(dF/dl) / p(x) at the sample x, by differences of F in float64.

    Mutants: a gradient of 0 or NaN at l = 0, the series' factorials shifted by one.
    """
    logits = np.float32([0, 1e-3, -1e-3, 0.1, 0.299, 0.301, -0.301, 1, -5, 5, 30, -30])

    def sample(logit, key):
        return ContinuousBernoulli(logit).sample(key)

    keys = jax.random.split(KEY, 5)
    by_logit = jax.vmap(jax.vmap(jax.value_and_grad(sample), (None, 0)), (0, None))
    values, gradients = (np.float64(a) for a in jax.jit(by_logit)(logits, keys))
    for logit, x, gradient in zip(np.float64(logits), values, gradients, strict=True):
        # Of l and -l the lower: x and F are then measured from the favoured end.
        mirrored = logit > 0
        x, tilt = (1 - x, -logit) if mirrored else (x, logit)
        step = 1e-3
        by_tilt = (tilted_cdf(x, tilt + step) - tilted_cdf(x, tilt - step)) / (2 * step)
        density = np.exp(x * tilt) * (tilt / np.expm1(tilt) if tilt else 1.0)
        np.testing.assert_allclose(gradient, -by_tilt / density, 1e-3, atol=2e-5)


def test_continuous_bernoulli_samples_are_finite_at_extremes():
    """Mutant: the logarithm of an overflow, or of a zero."""
    logits = jnp.array([-1e3, -88.0, 88.0, 1e3])
    keys = jax.random.split(KEY, 2000)

    def sample(logits, key):
        return jnp.sum(ContinuousBernoulli(logits).sample(key))

    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(sample), (None, 0)))(logits, keys)
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(gradients))
