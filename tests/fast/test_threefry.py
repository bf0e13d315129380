"""The unrolled generator against jax's own."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vae_jax.fast import threefry


def theirs(key):
    """Return the key of jax's generator with the same words."""
    return jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")


def assert_same_words(ours, jaxs):
    np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(jaxs))


def test_hash_is_jaxs():
    """Mutants: a rotation, a constant of the schedule or the round's number changed."""
    counters = jax.random.bits(jax.random.key(0), (2, 1000))
    words = jax.random.key_data(jax.random.key(123456789))
    expected = jax.extend.random.threefry_2x32((words[0], words[1]), counters.ravel())
    hashed = jnp.concatenate(threefry.threefry_2x32(words, *counters))
    np.testing.assert_array_equal(hashed, expected)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_seed_split_and_fold_in_are_jaxs(seed):
    key = threefry.key(seed)
    assert_same_words(key, jax.random.key(seed))
    assert_same_words(jax.random.split(key, (3, 5)), jax.random.split(theirs(key), (3, 5)))
    assert_same_words(jax.random.fold_in(key, 77), jax.random.fold_in(theirs(key), 77))


def test_bits_are_uniform_and_none_is_drawn_twice():
    """Chi-square over bytes of 400,001 words, 255 degrees of freedom, at four standard errors."""
    words = np.asarray(jax.random.bits(threefry.key(1), (400_001,)))
    counts = np.bincount(words.view(np.uint8), minlength=256)
    statistic = stats.chisquare(counts).statistic
    assert abs(statistic - 255) < 4 * np.sqrt(2 * 255)
    # n^2 / 2^33 = 18.6 pairs are expected to be equal; drawing a half again gives 200,000.
    assert len(words) - len(np.unique(words)) < 18.6 + 4 * np.sqrt(18.6)


def test_bits_differ_from_the_words_of_split():
    key = threefry.key(2)
    words = np.asarray(jax.random.bits(key, (200,)))
    assert not np.intersect1d(words, jax.random.key_data(jax.random.split(key, 100))).size


def test_vmap_changes_nothing():
    keys = jax.random.split(threefry.key(3), 7)
    lifted = jax.vmap(lambda key: jax.random.normal(key, (5,)))(keys)
    looped = jnp.stack([jax.random.normal(key, (5,)) for key in keys])
    np.testing.assert_array_equal(lifted, looped)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
def test_normal_draws_of_each_precision(dtype):
    """Moments of 100,000 draws within four standard errors."""
    with jax.enable_x64(True):
        draws = np.asarray(jax.random.normal(threefry.key(4), (100_000,), dtype), np.float64)
    assert abs(draws.mean()) < 4 / np.sqrt(draws.size)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / draws.size)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / np.sqrt(draws.size)
    if dtype == jnp.float64:
        assert len(np.unique(draws)) == draws.size  # 32 bits would meet again
