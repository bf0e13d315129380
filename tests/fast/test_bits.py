"""The log-probability of many bits against its plain form, bit by bit."""

import functools

import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np
import pytest
from scipy import special

from tests.support.quick import quick
from vae_jax.fast.bits import log_prob_of_bits


def examples(size, scale=4.0):
    rng = np.random.default_rng(size)
    bits = np.float32(rng.integers(0, 2, size))
    return jnp.asarray(bits), jnp.asarray(scale * rng.normal(size=size), jnp.float32)


@pytest.mark.parametrize("size", quick([1, 7, 12, 784], 12))
def test_value_and_gradients_are_those_of_the_plain_form(size):
    """Oracles: float64, x - sigmoid(l) and l. Mutants: what eight does not divide is cut off; l
    for |l|, or a sum of y for the product of 1 + y."""
    bits, logits = examples(size)
    x, l64 = np.float64(bits), np.float64(logits)
    np.testing.assert_allclose(
        log_prob_of_bits(bits, logits), np.sum(x * l64 - np.logaddexp(0, l64)), 1e-5
    )
    gradients = jax.grad(log_prob_of_bits, argnums=(0, 1))(bits, logits)
    np.testing.assert_allclose(gradients[0], l64, 1e-6)
    np.testing.assert_allclose(gradients[1], x - special.expit(l64), rtol=1e-5, atol=1e-6)


def test_small_probabilities_keep_their_digits():
    """Oracle: softplus(-20) = exp(-20) to nine digits. Mutant: log of the product of 1 + y, 0."""
    value = log_prob_of_bits(jnp.zeros(784), jnp.full(784, -20.0))
    np.testing.assert_allclose(value, -784 * np.exp(-20), 1e-5)


@pytest.mark.parametrize("logit", [0.0, 1e3, -1e3])
def test_no_product_overflows(logit):
    """Oracle: -784 log 2, and nothing or -784 |l|. Mutant: a product of all 784 factors."""
    bits = jnp.full(784, float(logit < 0))
    expected = -784 * (np.log(2) if logit == 0 else 1e3)
    np.testing.assert_allclose(log_prob_of_bits(bits, jnp.full(784, logit)), expected, 1e-6)


@pytest.mark.slow
def test_second_derivatives_and_vmap():
    """Oracles: finite differences, and a loop."""
    bits, logits = examples(8, 1.0)
    function = jax.jit(functools.partial(log_prob_of_bits, bits))  # takes numpy's arrays too
    check_grads(function, (logits,), order=2, rtol=2e-2)
    batch = jnp.stack([logits, -logits])
    lifted = jax.vmap(log_prob_of_bits, in_axes=(None, 0))(bits, batch)
    np.testing.assert_allclose(lifted, [log_prob_of_bits(bits, each) for each in batch], 1e-6)
