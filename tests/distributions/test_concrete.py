"""Binary Concrete and Gumbel-Softmax samples and densities: quadrature, scipy and numpyro."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import integrate, special, stats

from tests.support.families import (
    CLASS_LOGITS,
    KEY,
    LOGITS,
    assert_samples_have_cdf,
    assert_samples_have_frequencies,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import Bernoulli, BinaryConcrete, Categorical, Concrete

GRID = np.linspace(-120, 120, 24_001, dtype=np.float32)  # of a logit
KEYS = jax.random.split(KEY, 20_000)

every_temperature = pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])


@jax.jit
def draw(q):
    """Draw many values."""
    return jax.vmap(q.sample)(KEYS)


@jax.jit
def binary_density(logit, temperature):
    """Return the density of each of the grid's logits."""
    return jnp.exp(jax.vmap(BinaryConcrete(logit, temperature).log_prob)(GRID))


@jax.jit
def two_class_density(logits, temperature):
    """Return the density of each of the grid's points, whose logit is y_1 - y_2."""
    log_values = jnp.stack([jax.nn.log_sigmoid(GRID), jax.nn.log_sigmoid(-GRID)], axis=-1)
    return jnp.exp(jax.vmap(Concrete(logits, temperature).log_prob)(log_values))


@every_temperature
@pytest.mark.parametrize("logit", [-2.0, 0.5, 8.0])
def test_densities_integrate_to_one(logit, temperature):
    """Oracle: the trapezoidal rule over logits. Mutants: log T dropped, the Jacobian of a sigmoid
    or a softmax kept, (K-1)! or the K of K logsumexp wrong."""
    binary = binary_density(logit, temperature)
    two_class = two_class_density(jnp.array([logit, 0.3]), temperature)
    np.testing.assert_allclose(np.trapezoid(binary, GRID), 1, 1e-4)
    np.testing.assert_allclose(np.trapezoid(two_class, GRID), 1, 1e-4)


@every_temperature
def test_two_classes_are_one_bit(temperature):
    """Oracle: y_1 - y_2 is the logit of a bit with logit l_1 - l_2. Mutant: l T for l."""
    two_class = two_class_density(jnp.array([0.9, 0.3]), temperature)
    np.testing.assert_allclose(two_class, binary_density(0.9 - 0.3, temperature), 2e-4, atol=1e-6)


@every_temperature
def test_binary_density_is_scipys_and_numpyros(temperature):
    """Oracles: a logistic variable of location l / T and scale 1 / T; numpyro's of sigmoid(y).

    Mutant: location l.
    """
    y = np.array([-1.5, 0.3, 2.0], np.float32)
    value = Bernoulli(LOGITS).relaxed(temperature).log_prob(jnp.asarray(y))
    expected = stats.logistic.logpdf(y, LOGITS / temperature, 1 / temperature).sum()
    np.testing.assert_allclose(value, expected, 1e-5)
    of_sigmoid = numpyro.RelaxedBernoulliLogits(temperature, LOGITS).log_prob(special.expit(y))
    jacobian = special.log_expit(y) + special.log_expit(-y)
    np.testing.assert_allclose(value, np.sum(of_sigmoid + jacobian), 1e-4)


@every_temperature
def test_concrete_density_is_the_integral_over_the_last_gumbel(temperature):
    """Oracle: with g_k = T (y_k - y_K) - (l_k - l_K) + g_K, the product of scipy's Gumbel densities
    integrated over g_K, by the Jacobian T^(K-1) of the log-ratios y_k - y_K.

    Mutants: (K-1)! dropped, T^K, the density of the simplex's points for that of their log-ratios.
    """
    logits, y = np.float64(CLASS_LOGITS[0]), special.log_softmax([0.5, -1.0, 0.1, -0.3])
    offsets = temperature * (y - y[-1]) - (logits - logits[-1])

    def product(gumbel):
        return np.exp(stats.gumbel_r.logpdf(offsets + gumbel).sum())

    integral = integrate.quad(product, -10, 40, epsabs=0, epsrel=1e-9, limit=200)[0]
    expected = np.log(integral) + 3 * np.log(temperature)
    value = Concrete(CLASS_LOGITS[0], temperature).log_prob(jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(value, expected, 2e-5)


def test_log_probs_sum_over_the_event():
    """Mutants: a mean over the variables, log T or (K-1)! once for all of them."""
    y = jax.nn.log_softmax(CLASS_LOGITS[::-1])
    by_row = [
        Concrete(row, 0.7).log_prob(value) for row, value in zip(CLASS_LOGITS, y, strict=True)
    ]
    np.testing.assert_allclose(Concrete(CLASS_LOGITS, 0.7).log_prob(y), sum(by_row), 1e-5)
    bits = y[0, :3]
    by_bit = [
        BinaryConcrete(logit, 0.7).log_prob(value)
        for logit, value in zip(LOGITS, bits, strict=True)
    ]
    np.testing.assert_allclose(BinaryConcrete(LOGITS, 0.7).log_prob(bits), sum(by_bit), 1e-5)


@every_temperature
def test_samples_have_the_logistic_distribution(temperature):
    """Oracle: y_j - y_k is logistic, of location (l_j - l_k) / T and scale 1 / T; the test of
    Kolmogorov and Smirnov, N = 20,000. Mutants: Gumbel noise divided by T twice, or not at all."""
    logits = draw(Bernoulli(LOGITS).relaxed(temperature))
    for y, logit in zip(np.float64(logits).T, LOGITS, strict=True):
        assert_samples_have_cdf(y, stats.logistic(logit / temperature, 1 / temperature).cdf)
    logs = draw(Categorical(CLASS_LOGITS).relaxed(temperature))
    for j, k in ((0, 1), (2, 3)):
        location = (CLASS_LOGITS[0, j] - CLASS_LOGITS[0, k]) / temperature
        oracle = stats.logistic(location, 1 / temperature)
        assert_samples_have_cdf(logs[:, 0, j] - logs[:, 0, k], oracle.cdf)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_samples_have_the_concrete_density(temperature):
    """Estimator: the mean of p(y) / q(y) over y ~ q is 1, N = 20,000; four standard errors.

    q has the logits l and p other ones. Mutants: one Gumbel variable for all classes, the noise of
    another temperature than the density's.
    """
    q = Concrete(CLASS_LOGITS, temperature)
    p = Concrete(0.8 * CLASS_LOGITS + 0.1 * CLASS_LOGITS[::-1], temperature)
    log_ratio = jax.jit(jax.vmap(lambda y: p.log_prob(y) - q.log_prob(y)))
    assert_mean_is(jnp.exp(log_ratio(draw(q))), 1.0)


def test_latents_are_relaxed_bits_and_points_of_the_simplex():
    """Oracles: scipy's expit, and exp. Mutants: logits handed to the decoder, points that do not
    sum to one, a softmax of them over the variables."""
    bits, points = Bernoulli(LOGITS).relaxed(0.4), Categorical(CLASS_LOGITS).relaxed(0.4)
    assert isinstance(bits, BinaryConcrete) and isinstance(points, Concrete)
    logit, log = bits.sample(KEY), points.sample(KEY)
    assert logit.shape == (3,) and log.shape == (3, 4)
    np.testing.assert_allclose(bits.latent(logit), special.expit(logit), 1e-6)
    np.testing.assert_allclose(points.latent(log), np.exp(log), 1e-6)
    np.testing.assert_allclose(np.sum(points.latent(log), axis=-1), 1, 1e-6)


def test_nearest_values_are_bits_and_one_hot_vectors():
    """Oracle: numpy's rounding of the latents, of 20,000 draws. Mutants: the threshold of the
    logits' sign turned, or set at 1/2; the largest entry over the variables' axis."""
    bits, points = Bernoulli(LOGITS).relaxed(1.0), Categorical(CLASS_LOGITS).relaxed(1.0)
    logits, logs = draw(bits), draw(points)
    np.testing.assert_array_equal(bits.nearest(logits), np.round(bits.latent(logits)))
    expected = np.eye(4)[np.argmax(points.latent(logs), axis=-1)]
    np.testing.assert_array_equal(points.nearest(logs), expected)
    assert bits.nearest(logits).dtype == points.nearest(logs).dtype == np.float32


@pytest.mark.parametrize("temperature", [1e-3, 1.0])
def test_largest_entry_has_the_classs_probability(temperature):
    """Oracle: softmax(logits) at every temperature, by chi-square. Mutant: logits / T + noise."""
    classes, bits = Categorical(CLASS_LOGITS), Bernoulli(LOGITS)
    relaxed = jnp.exp(draw(classes.relaxed(temperature)))
    for row, logits in zip(np.argmax(relaxed, axis=-1).T, CLASS_LOGITS, strict=True):
        counts = np.bincount(row, minlength=4)
        assert_samples_have_frequencies(counts, special.softmax(np.float64(logits)))
    if temperature < 0.01:
        np.testing.assert_allclose(np.mean(np.max(relaxed, axis=-1)), 1, atol=2e-3)
    assert_mean_is(draw(bits.relaxed(temperature)) > 0, special.expit(np.float64(LOGITS)))


def test_relaxed_samples_are_differentiable():
    """Oracle: finite differences on the same key. Mutants: a stopped gradient, a one-hot value."""

    def functions(shift, temperature):
        bits, classes = Bernoulli(LOGITS + shift), Categorical(CLASS_LOGITS.at[:, 0].add(shift))
        relaxed = bits.relaxed(temperature), classes.relaxed(temperature)
        bit, point = (q.latent(q.sample(KEY)) for q in relaxed)
        return jnp.append(bit, point[:, 0])

    by_shift, by_temperature = jax.jacobian(functions, argnums=(0, 1))(0.0, 0.8)
    plus, minus = functions(1e-2, 0.8), functions(-1e-2, 0.8)
    np.testing.assert_allclose(by_shift, (plus - minus) / 2e-2, 1e-2, atol=1e-4)
    plus, minus = functions(0.0, 0.81), functions(0.0, 0.79)
    np.testing.assert_allclose(by_temperature, (plus - minus) / 2e-2, 1e-2, atol=1e-4)


@pytest.mark.parametrize("value", [-1e3, 0.0, 1e3])
@pytest.mark.parametrize("temperature", [1e-2, 10.0])
def test_densities_are_finite_at_extremes(value, temperature):
    """Oracle: scipy's logistic density. Mutant: log x of an x that is 0 or 1 in float32."""

    def by_all(kind):
        def log_prob(logits, temperature, value):
            return kind(logits, temperature).log_prob(value)

        return jax.value_and_grad(log_prob, argnums=(0, 1, 2))

    log_density, gradients = by_all(BinaryConcrete)(jnp.array(-88.0), temperature, jnp.array(value))
    expected = stats.logistic.logpdf(value, -88 / temperature, 1 / temperature)
    np.testing.assert_allclose(log_density, expected, 1e-5)
    assert np.all(np.isfinite(jax.tree.leaves(gradients)))
    logs = jax.nn.log_softmax(jnp.array([value, 0.0, 1.0]))
    log_density, gradients = by_all(Concrete)(jnp.array([88.0, 0.0, -88.0]), temperature, logs)
    assert np.isfinite(log_density)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))
