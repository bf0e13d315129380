"""Bits drawn from grey values."""

import jax
import numpy as np

from vae_jax import datasets


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
