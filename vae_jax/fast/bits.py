"""The log-probability of many bits."""

import functools
import math

import jax
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp
from jaxtyping import Float


def plain_log_prob_of_bits(bits: Float[Array, "n"], logits: Float[Array, "n"]) -> Float[Array, ""]:
    """Return the sum of x l - softplus(l) over bits x with logits l, in nats."""
    return jnp.sum(bits * logits - jax.nn.softplus(logits))


@jax.custom_jvp
def log_prob_of_bits(bits: Float[Array, "n"], logits: Float[Array, "n"]) -> Float[Array, ""]:
    """Return what `plain_log_prob_of_bits` returns, with one logarithm for eight bits.

    softplus(l) = max(l, 0) + log(1 + y) with y = exp(-|l|) in 0 .. 1. The logarithms of eight bits
    are that of one product, 1 + m, which (1 + a)(1 + b) = 1 + (a + b + a b) builds from the y, so
    that none of their digits is lost. Beside saving logarithms, XLA's CPU backend computes this
    reduction from the logits as they come, where it writes those of a sum to memory first.

    An infinite logit, of which the plain form makes NaN, is a certain bit: its log-probability is 0
    or -inf.
    """
    y = jnp.exp(-jnp.abs(logits)).reshape(math.gcd(logits.size, 8), -1)
    m = lax.reduce(y, jnp.zeros((), y.dtype), lambda a, b: a + b + a * b, (0,))
    # 0 where the bit is the likely one; infinite logits must not be subtracted there.
    is_one_likely = logits > 0
    linear = jnp.where(bits == is_one_likely, 0, (bits - is_one_likely) * logits)
    return jnp.sum(linear) - jnp.sum(jnp.log1p(m))


@functools.partial(log_prob_of_bits.defjvp, symbolic_zeros=True)
def _log_prob_of_bits_jvp(primals, tangents):
    bits, logits = primals
    value = log_prob_of_bits(bits, logits)
    change = jnp.zeros_like(value)
    for slope, tangent in zip((logits, bits - jax.nn.sigmoid(logits)), tangents, strict=True):
        if not isinstance(tangent, SymbolicZero):  # training data are not differentiated
            change += jnp.sum(slope * tangent)
    return value, change
