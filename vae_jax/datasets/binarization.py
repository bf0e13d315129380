"""Bits drawn from grey values."""

import functools
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np

BINARIZATIONS = ("none", "static", "dynamic")


@functools.partial(jax.jit, static_argnames="maximum", inline=True)
def binarize(key: Key[Array, ""], x: Any, maximum: float) -> Float[Array, "*shape"]:
    """Draw bits with P(1) = x / maximum, as floats.

    Compares 16 random bits with the value scaled to 0 .. 65536: exact for 0 and the maximum, and to
    1 / 65536 between them. One random 32-bit word serves two values, which takes less than half the
    time of drawing a float for each.
    """
    num_values = math.prod(x.shape)
    words = jax.random.bits(key, (-(-num_values // 2),))
    halves = jnp.concatenate([words & 0xFFFF, words >> 16])[:num_values].reshape(x.shape)
    return (halves < x * np.float32(65536 / maximum)).astype(jnp.float32)
