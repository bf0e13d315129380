"""Bits drawn from grey values."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.datasets.files import write_npz
from vae_jax import datasets
from vae_jax.datasets import making


def test_binarize_draws_the_grey_value():
    """Mean of 2^16 draws for each grey level within four standard errors; both ends exact.

    A mutant that compares with <= gives level 0 a one in 65,536 draws; one that divides by 256
    leaves 255 short by 0.004, ten standard errors.
    """
    num_draws = 2**16
    levels = np.arange(256, dtype=np.uint8)
    x = np.broadcast_to(levels, (num_draws, 256))
    mean = np.asarray(datasets.binarize(jax.random.key(0), x, 255.0)).mean(0)
    expected = levels / 255
    error = np.sqrt(expected * (1 - expected) / num_draws)
    assert (np.abs(mean - expected) <= 4 * error).all()
    assert mean[0] == 0 and mean[255] == 1


def test_binarized_pixels_are_independent():
    """Correlation of any two pixels at most 4.5 / sqrt(draws), also of those that share a word."""
    x = np.full((4000, 9), 128, np.uint8)  # an odd number of values
    drawn = np.asarray(datasets.binarize(jax.random.key(1), x, 255.0))
    correlation = np.corrcoef(drawn.T) - np.eye(9)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)
    odd = datasets.binarize(jax.random.key(1), np.full((3, 3), 255, np.uint8), 255.0)
    np.testing.assert_array_equal(odd, np.ones((3, 3)))


def test_static_bits_are_drawn_once_and_dynamic_ones_anew():
    static = datasets.load_digits(binarization="static")
    assert set(np.unique(static.train.x)) == {0, 1}
    again = datasets.load_digits(binarization="static")
    np.testing.assert_array_equal(static.test.x, again.test.x)
    dynamic = datasets.load_digits(binarization="dynamic")
    draws = [
        datasets.to_model_values(dynamic.values, jax.random.key(i), dynamic.test.x) for i in (0, 1)
    ]
    assert not np.array_equal(*draws)


def keys_of_shuffling(key, split, rounds=3):
    """Return the key of a permutation and those that its rounds of sorting split from it."""
    keys = [key]
    for _ in range(rounds):
        key, own = split(key)
        keys += [key, own]
    return keys


def test_no_key_of_a_data_set_serves_two_purposes(tmp_path, monkeypatch):
    """The split of one npz, and static bits of three parts of two fields: every key is another one,
    and those of the next seed are others again.

    Mutants: seed + 1 for the second field; bits by key(seed), from which the split starts; by a
    small number folded in, which is a key that is split; the same keys for all fields or parts.
    """
    words = {"split": [], "bits": []}
    shuffle, split = jax.random.permutation, jax.random.split

    def note(purpose, *keys):
        words[purpose] += [bytes(np.asarray(jax.random.key_data(key))) for key in keys]

    def shuffle_noted(key, count):
        note("split", *keys_of_shuffling(key, split))
        return shuffle(key, count)

    def split_noted(key, count):
        note("bits", key)
        return split(key, count)

    def bits_noted(key, x, maximum):
        note("bits", key)
        return jnp.zeros(x.shape)

    monkeypatch.setattr(jax.random, "permutation", shuffle_noted)
    monkeypatch.setattr(jax.random, "split", split_noted)
    monkeypatch.setattr(making, "binarize", bits_noted)
    grey = np.arange(40, dtype=np.uint8).reshape(20, 2)
    path = write_npz(tmp_path / "x.npz", a=grey, b=grey)
    for seed in (0, 1):
        datasets.load_npz(path=path, fields=("a", "b"), binarization="static", seed=seed)
    assert len(words["bits"]) == 2 * 2 * (1 + 3) and len(words["split"]) == 2 * 7
    both = words["split"] + words["bits"]
    assert len(set(both)) == len(both)
