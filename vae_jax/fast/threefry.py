"""Random keys that are faster on a CPU: jax's default generator, Threefry-2x32, unrolled.

On a CPU jax compiles each use of its generator to a loop of five passes over memory, and uses one
of every two words that it draws: up to a fifth of a short training step. These keys work with all
of `jax.random`. `split` and `fold_in` give the same words as jax's own; `bits`, and so all other
draws, differ, since both words are used. The plain form is `jax.random.key`.
"""

import functools
import math

import jax
from jax import Array
from jax.extend.random import define_prng_impl
import jax.numpy as jnp
from jaxtyping import Integer, Key, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry_2x32(
    key: UInt32[Array, "2"], x0: UInt32[Array, "*shape"], x1: UInt32[Array, "*shape"]
) -> tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]:
    """Encrypt the counters (x0, x1) under `key`: Threefry-2x32-20 of Salmon et al. (2011)."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = x0 ^ (x1 << jnp.uint32(rotation) | x1 >> jnp.uint32(32 - rotation))
        x0, x1 = x0 + schedule[(i + 1) % 3], x1 + schedule[(i + 2) % 3] + jnp.uint32(i + 1)
    return x0, x1


def _seed(seed):
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


# Without jit, each draw outside of a jitted function would be a hundred small programs, each
# compiled by itself and with its results in memory.
@functools.partial(jax.jit, static_argnums=1, inline=True)
def _split(key, shape):
    counters = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.stack(threefry_2x32(key, jnp.zeros_like(counters), counters), axis=-1)


@functools.partial(jax.jit, inline=True)
def _fold_in(key, data):
    return jnp.stack(threefry_2x32(key, jnp.uint32(0), data.astype(jnp.uint32)))


@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _random_bits(key, width, shape):
    num_words = math.prod(shape) * (2 if width == 64 else 1)
    counters = jnp.arange(-(-num_words // 2), dtype=jnp.uint32)
    # The first counter keeps these words apart from those of split and fold_in.
    pairs = threefry_2x32(key, jnp.ones_like(counters), counters)
    words = jnp.concatenate(pairs)[:num_words]
    if width == 64:
        high, low = words.astype(jnp.uint64).reshape(2, *shape)
        return high << jnp.uint64(32) | low
    return words.reshape(shape).astype(f"uint{width}")


_IMPLEMENTATION = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="unrolled_threefry2x32",
    tag="ufry",
)


def key(seed: int | Integer[Array, ""]) -> Key[Array, ""]:
    """Make a key from a seed, to be used like one of `jax.random.key`."""
    return jax.random.key(seed, impl=_IMPLEMENTATION)
