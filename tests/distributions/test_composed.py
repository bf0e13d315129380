"""Flows, fields and layers against scipy and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.composed import (
    KEY,
    LOG_SCALES,
    MEANS,
    Z,
    draw,
    gaussians,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax.distributions import Bernoulli, Chain, Flow, Gaussian, Product, standard_normal

# Flow.

MATRIX = np.array([[1.5, 0.4], [-0.3, 0.8]], np.float32)
SHIFT = np.array([0.3, -1.0], np.float32)


def affine(z, matrix, shift):
    return matrix @ z + shift, jnp.linalg.slogdet(matrix)[1]


def affine_inverse(value, matrix, shift):
    return jnp.linalg.solve(matrix, value - shift), -jnp.linalg.slogdet(matrix)[1]


def affine_flow(inverse=affine_inverse):
    parameters = {"matrix": jnp.asarray(MATRIX), "shift": jnp.asarray(SHIFT)}
    bind = functools.partial(jax.tree_util.Partial, **parameters)
    return Flow(standard_normal(2), bind(affine), bind(inverse))


def test_affine_flow_of_a_gaussian_is_scipys():
    """Mutants: the log-determinant's sign turned in either method, or left out."""
    oracle = stats.multivariate_normal(SHIFT, MATRIX @ MATRIX.T)
    flow = affine_flow()
    np.testing.assert_allclose(flow.log_prob(jnp.asarray(Z)), oracle.logpdf(Z), 1e-5)
    value, log_prob = flow.sample_and_log_prob(KEY)
    np.testing.assert_allclose(log_prob, oracle.logpdf(value), 1e-5)
    np.testing.assert_array_equal(value, flow.sample(KEY))


def test_flow_samples_without_its_inverse():
    """Mutant: the base class's sample_and_log_prob, which costs the inverse."""

    def refuse(value, matrix, shift):
        raise AssertionError("the inverse was asked for")

    affine_flow(refuse).sample_and_log_prob(KEY)


def test_flow_has_no_mean():
    assert not hasattr(affine_flow(), "mean")


# Product.


def product():
    # Names out of order: jax's pytrees are in order.
    bits = Bernoulli(jnp.array([-1.0, 2.0]))
    return Product({"b": bits, "a": gaussians(MEANS[0], LOG_SCALES[0])})


def test_product_log_prob_is_the_sum_of_scipys():
    """Mutants: a field left out, a mean over fields."""
    value = product().log_prob({"a": jnp.asarray(Z), "b": jnp.array([1.0, 0.0])})
    expected = stats.norm.logpdf(Z, MEANS[0], np.exp(LOG_SCALES[0])).sum()
    expected += stats.bernoulli.logpmf([1, 0], special.expit([-1, 2])).sum()
    np.testing.assert_allclose(value, expected, 1e-5)


def test_product_samples_its_fields_independently():
    """Estimator: the mean of the product of two fields; four standard errors. Mutant: one key."""
    values = draw(Product({"a": standard_normal(1), "b": standard_normal(1)}))
    assert_mean_is(values["a"] * values["b"], 0)


def test_product_means_are_those_of_its_fields():
    mean = product().mean
    np.testing.assert_allclose(mean["a"], MEANS[0])
    np.testing.assert_allclose(mean["b"], special.expit([-1, 2]), 1e-5)


@pytest.mark.parametrize("given", [("a",), ("a", "b", "c"), ("b", "A"), ()])
def test_product_names_given_and_known_fields(given):
    """Mutants: a KeyError, an unknown field ignored."""
    with pytest.raises(ValueError) as error:
        product().log_prob(dict.fromkeys(given, jnp.zeros(2)))
    before, _, known = str(error.value).partition("known")
    assert "\n" not in before + known and all(repr(name) in before for name in given)
    assert "'a', 'b'" in known


# Chain.

WIDE = np.array([[1.0, -0.5], [0.3, 2.0], [0.7, 0.1]], np.float32)


def linear(weights, value):
    return Gaussian(weights @ value + 0.3, jnp.full(len(weights), -0.4))


def chain(top_down):
    first = gaussians(MEANS[0], LOG_SCALES[0])
    return Chain(first, jax.tree_util.Partial(linear, jnp.asarray(WIDE)), top_down=top_down)


def chain_moments(top_down):
    """Return the exact mean and covariance of the joint Gaussian over concatenated (z1, z2)."""
    covariance = np.diag(np.exp(2 * np.float64(LOG_SCALES[0])))
    cross = WIDE @ covariance
    blocks = [[covariance, cross.T], [cross, cross @ WIDE.T + np.exp(-0.8) * np.eye(3)]]
    mean = np.concatenate([MEANS[0], WIDE @ MEANS[0] + 0.3])
    order = np.roll(np.arange(5), 3 if top_down else 0)
    return mean[order], np.block(blocks)[np.ix_(order, order)]


both_ways = pytest.mark.parametrize("top_down", [False, True])


@both_ways
def test_chain_density_is_that_of_the_joint_gaussian(top_down):
    """Mutants: layers exchanged, the second factor left out, the second one given its own value."""
    value, log_prob = chain(top_down).sample_and_log_prob(KEY)
    assert [len(layer) for layer in value] == ([3, 2] if top_down else [2, 3])
    expected = stats.multivariate_normal(*chain_moments(top_down)).logpdf(np.concatenate(value))
    np.testing.assert_allclose(log_prob, expected, 1e-5)
    np.testing.assert_allclose(chain(top_down).log_prob(value), expected, 1e-5)
    jax.tree.map(np.testing.assert_array_equal, value, chain(top_down).sample(KEY))


@both_ways
def test_chain_samples_have_the_moments_of_the_joint_gaussian(top_down):
    """Estimators: the means of z and of (z - mean)(z - mean)'. Mutant: one key for both layers."""
    mean, covariance = chain_moments(top_down)
    deviations = np.concatenate(draw(chain(top_down)), axis=1) - mean
    assert_mean_is(deviations, 0)
    assert_mean_is(np.einsum("nd,ne->nde", deviations, deviations), covariance)


def test_chain_differentiates_the_second_layer_by_the_first_sample():
    """Oracle: z2 = W z1 + noise, so dz2/dmean1 = W. Mutant: a stopped gradient between layers."""

    def upper(mean):
        second = jax.tree_util.Partial(linear, jnp.asarray(WIDE))
        return Chain(Gaussian(mean, jnp.zeros(2)), second).sample(KEY)[1]

    np.testing.assert_allclose(jax.jacobian(upper)(jnp.asarray(MEANS[0])), WIDE, 1e-5)
