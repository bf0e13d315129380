"""Mixtures against scipy, numpyro and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from tests.support.composed import (
    LOG_SCALES,
    MEANS,
    Z,
    draw,
    gaussians,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import Bernoulli, Gaussian, Mixture, Product

LOG_WEIGHTS = np.array([0.5, -1.0, 1.2], np.float32)  # not normalized
WEIGHTS = special.softmax(np.float64(LOG_WEIGHTS))


def mixture_log_prob(z, log_weights, means, log_scales):
    """Return scipy's log-density of a mixture of Gaussians in float64."""
    z, means, log_scales = map(np.float64, (z, means, log_scales))
    log_probs = stats.norm.logpdf(z, means, np.exp(log_scales)).sum(-1)
    return special.logsumexp(special.log_softmax(np.float64(log_weights)) + log_probs)


def test_mixture_of_gaussians_is_scipys_and_numpyros():
    """Mutants: unnormalized weights, a mean of log-densities, a density without log(2 pi)."""
    value = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians()).log_prob(jnp.asarray(Z))
    assert value.shape == ()
    np.testing.assert_allclose(value, mixture_log_prob(Z, LOG_WEIGHTS, MEANS, LOG_SCALES), 1e-5)
    components = numpyro.Normal(MEANS, np.exp(LOG_SCALES)).to_event(1)
    oracle = numpyro.MixtureSameFamily(numpyro.Categorical(logits=LOG_WEIGHTS), components)
    np.testing.assert_allclose(value, oracle.log_prob(Z), 1e-5)


def test_mixture_of_bernoullis_is_numpyros():
    """Mutant: bits weighted as if they were drawn from different components."""
    logits, bits = jnp.asarray(MEANS), jnp.array([1.0, 0.0])
    value = Mixture(jnp.asarray(LOG_WEIGHTS), Bernoulli(logits)).log_prob(bits)
    components = numpyro.BernoulliLogits(logits).to_event(1)
    oracle = numpyro.MixtureSameFamily(numpyro.Categorical(logits=LOG_WEIGHTS), components)
    np.testing.assert_allclose(value, oracle.log_prob(bits), 1e-5)


def test_mixture_density_at_a_log_variance_of_minus_four():
    """Oracle: 2 - .0175 e^4 / 2 - log(2 pi) / 2 = .603 a dimension, of equal components.

    Mutant: the bracket -(log sigma^2 + (z - mean)^2) / (2 sigma^2), which gives 108 for it.
    """
    mixture = Mixture(jnp.zeros(7), gaussians(np.zeros((7, 5)), np.full((7, 5), -2.0)))
    value = mixture.log_prob(jnp.full(5, np.sqrt(0.0175)))
    np.testing.assert_allclose(value, 5 * 0.6033, 1e-3)


@pytest.mark.parametrize(
    "mean_shape, scale_shape", [((3, 2), (3,)), ((3,), (3, 2)), ((3, 1), (3, 2))]
)
def test_fields_of_gaussian_components_broadcast_within_a_component(mean_shape, scale_shape):
    """Mutants: log sigma counted once instead of once a dimension, components taken for events."""
    rng = np.random.default_rng(0)
    means, log_scales = rng.normal(size=mean_shape), rng.normal(size=scale_shape)
    value = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians(means, log_scales)).log_prob(jnp.asarray(Z))
    full = [np.broadcast_to(a.reshape(3, -1), (3, 2)) for a in (means, log_scales)]
    np.testing.assert_allclose(value, mixture_log_prob(Z, LOG_WEIGHTS, *full), 1e-5)


def plain_mixture_log_prob(z, log_weights, means, log_scales):
    """The same density with no derivative of its own."""
    log_probs = jax.vmap(lambda mean, log_scale: Gaussian(mean, log_scale).log_prob(z))
    return jax.nn.logsumexp(jax.nn.log_softmax(log_weights) + log_probs(means, log_scales))


def fast_mixture_log_prob(z, log_weights, means, log_scales):
    return Mixture(log_weights, Gaussian(means, log_scales)).log_prob(z)


def narrow_mixture(log_scale, num_dimensions=50):
    """Return (zs, log_weights, means, log_scales): five draws near means of size 3."""
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(20, num_dimensions))
    log_scales = log_scale + 0.1 * rng.normal(size=means.shape)
    zs = means[:5] + np.exp(log_scales[:5]) * rng.normal(size=(5, num_dimensions))
    return tuple(np.float32(a) for a in (zs, rng.normal(size=20), means, log_scales))


@pytest.mark.parametrize("log_scale", [-6.0, -4.0, 0.0])
def test_mixture_keeps_its_digits_at_small_scales(log_scale):
    """Oracle: scipy in float64; D = 50, means of size 3, values of about 150 nats at exp(-4).

    Mutant: the expanded square, (z^2 - 2 z m + m^2) / sigma^2, which is .2 nats off there.
    """
    zs, *parameters = narrow_mixture(log_scale)
    values = jax.vmap(fast_mixture_log_prob, (0, None, None, None))(zs, *parameters)
    np.testing.assert_allclose(values, [mixture_log_prob(z, *parameters) for z in zs], atol=5e-4)


def roundings(zs, log_weights, means, log_scales, tangents):
    """Return float32's rounding of the terms p m t and p z t whose sum each tangent is.

    p = exp(-2 log_scale), t is the change of z or of a mean, and the components are weighted as
    their responsibilities weigh them, by numpy in float64.
    """
    zs, means, log_scales = map(np.float64, (zs, means, log_scales))
    z_dots, _, mean_dots, _ = (np.abs(np.float64(t)) for t in tangents)
    precisions = np.exp(-2 * log_scales)
    log_probs = stats.norm.logpdf(zs[:, None], means, np.exp(log_scales)).sum(-1)
    shares = special.softmax(special.log_softmax(log_weights) + log_probs, axis=-1)
    sizes = np.abs(means) + np.abs(zs[:, None])
    terms = precisions * sizes * (z_dots[:, None] + mean_dots)
    return 2.0**-24 * np.sum(shares * terms.sum(-1), axis=-1)


@pytest.mark.parametrize("log_scale", [-6.0, -4.0, 0.0])
def test_mixture_gradients_are_those_of_the_plain_form(log_scale):
    """Oracle: automatic differentiation of the plain form, by a batch's gradient and tangent.

    A tangent may be off by a rounding of its terms, which cancel to other digits in another order
    of summation. Mutants: a term of the hand-written derivative dropped; its square expanded,
    which is off by a tenth at exp(-6).
    """
    arguments, rng = narrow_mixture(log_scale), np.random.default_rng(1)
    tangents = tuple(np.float32(rng.normal(size=a.shape)) for a in arguments)

    @jax.jit
    def derivatives(*arguments):
        def both(log_prob):
            batch = jax.vmap(log_prob, (0, None, None, None))
            gradients = jax.vjp(batch, *arguments)[1](jnp.arange(1.0, 6.0))
            return gradients, jax.jvp(batch, arguments, tangents)[1]

        return both(fast_mixture_log_prob), both(plain_mixture_log_prob)

    (fast, fast_tangent), (plain, plain_tangent) = derivatives(*arguments)
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-4 * np.abs(b).max())
    error = np.abs(fast_tangent - plain_tangent)
    assert np.all(error <= roundings(*arguments, tangents))


def test_mixture_samples_choose_components_by_weight():
    """Estimator: each component's share, and its noise's mean and variance; four standard errors.

    Mutants: the first components, equal shares, one key for the choice and the noise.
    """
    means = np.array([[0.0], [100.0], [200.0]])
    zs = np.asarray(draw(Mixture(jnp.asarray(LOG_WEIGHTS), gaussians(means, 0 * means))))
    chosen = np.rint(zs / 100).astype(int).ravel()
    assert_mean_is(np.eye(3)[chosen], WEIGHTS)
    for k in range(3):
        noise = zs[chosen == k] - means[k]
        assert_mean_is(noise, 0)
        assert_mean_is(noise**2, 1)


def test_mixture_moments_are_those_of_its_samples():
    """Estimators: the means of z and of z z'. Mutants: weights not normalized, scales exchanged."""
    mixture = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians())
    zs = np.asarray(draw(mixture))
    assert_mean_is(zs, mixture.mean)
    np.testing.assert_allclose(mixture.mean, WEIGHTS @ MEANS, 1e-5)
    outer = np.einsum("kd,ke->kde", MEANS, MEANS) + np.einsum(
        "kd,de->kde", np.exp(2 * LOG_SCALES), np.eye(2)
    )
    assert_mean_is(np.einsum("nd,ne->nde", zs, zs), np.tensordot(WEIGHTS, outer, 1))


def test_mixture_of_products_has_a_mean_for_each_field():
    fields = {"a": gaussians(), "b": Bernoulli(jnp.asarray(MEANS))}
    mean = Mixture(jnp.asarray(LOG_WEIGHTS), Product(fields)).mean
    np.testing.assert_allclose(mean["a"], WEIGHTS @ MEANS, 1e-5)
    np.testing.assert_allclose(mean["b"], WEIGHTS @ special.expit(MEANS), 1e-5)


@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize("family", [gaussians, lambda: Bernoulli(jnp.asarray(MEANS))])
def test_mixture_refuses_weights_of_another_number(num_weights, family):
    """Mutant: one weight that broadcasts, so that the density integrates to three."""
    with pytest.raises(ValueError, match="sizes"):
        Mixture(jnp.zeros(num_weights), family()).log_prob(jnp.asarray(Z))


@pytest.mark.parametrize("log_scale", [-4.0, -8.0, -15.0, -30.0, -60.0])
def test_gradients_of_narrow_gaussians_far_from_zero(log_scale):
    """Oracle: plain autodiff of the same float32 numbers in float64, at means of +-3; z is as near
    to two of them as float32 allows, or on them, and far from the others.

    Mutants: the derivative as matrix products of z and of the means (5e-4 off at -8, 10% at -15,
    NaN at -60), a product of factors that overflows.
    """
    rng = np.random.default_rng(0)
    means = np.float32(rng.choice([-3.0, 3.0], (5, 4)) + 0.1 * rng.normal(size=(5, 4)))
    means[1] = means[0]
    log_scales = np.float32(log_scale + 0.3 * rng.normal(size=means.shape))
    near = means[0] + np.float64(np.exp(log_scale)) * rng.normal(size=4)
    z = near.astype(np.float32) if log_scale > -15.5 else means[0]

    def log_prob(z, means, log_scales):
        standardized = (z - means) * jnp.exp(-log_scales)
        log_probs = jnp.sum(-0.5 * standardized**2 - log_scales, axis=-1)
        return jax.nn.logsumexp(log_probs)

    def mixture(z, means, log_scales):
        return Mixture(jnp.zeros(5), Gaussian(means, log_scales)).log_prob(z)

    ours = jax.jit(jax.grad(mixture, (0, 1, 2)))(z, means, log_scales)
    with jax.enable_x64(True):
        exact = map(np.float64, (z, means, log_scales))
        expected = jax.jit(jax.grad(log_prob, (0, 1, 2)))(*exact)
    for value, oracle in zip(ours, expected, strict=True):
        # Of the largest: a sum over two components of either sign may be smaller than its terms.
        np.testing.assert_allclose(value, oracle, 1e-5, atol=2e-6 * np.abs(oracle).max())
