"""Rendered colour shapes, against areas and colors that are known."""

import colorsys

import numpy as np
import pytest

from vae_jax import datasets
from vae_jax.datasets import shapes


def test_shapes_have_one_area():
    """That of the circle, pi r^2, wherever they are turned. Mutants: the radius of the corners for
    that of the sides, an angle in degrees, no smoothing of the edges."""
    steps = np.arange(40) + 0.5
    offsets = (
        np.broadcast_to(steps[:, None] - 20, (6, 40, 1)),
        np.broadcast_to(steps - 20, (6, 1, 40)),
    )
    radius, angle = np.full((6, 1, 1), 9.0), np.arange(6.0).reshape(6, 1, 1)
    inside = shapes.coverage(np.array([0, 0, 1, 1, 2, 2]), offsets, radius, angle)
    np.testing.assert_allclose(inside.sum((1, 2)), np.pi * 81, rtol=0.01)
    assert inside[:, 20, 20].min() == 1 and inside[:, 0, 0].max() == 0
    for one, other in ((0, 2), (2, 4), (4, 0)):
        assert np.sum(np.abs(inside[one] - inside[other])) > 20


def test_colors_are_those_of_the_hue():
    """Oracle: colorsys. Mutants: red, green and blue changed; saturation of the brightness."""
    hues = np.linspace(0, 1, 50, endpoint=False)
    for saturation in (0.3, 1.0):
        expected = [colorsys.hsv_to_rgb(hue, saturation, 1.0) for hue in hues]
        np.testing.assert_allclose(shapes.to_rgb(hues, saturation), expected, atol=1e-12)


def test_images_are_8_bit_in_color():
    """And the same each time. Mutants: a draw that is not seeded, floats, one color."""
    first, second = (datasets.load_shapes(num_examples=50, size=12) for _ in range(2))
    assert datasets.fingerprint(first) == datasets.fingerprint(second)
    assert first.train.x.dtype == np.uint8 and first.train.x.shape == (40, 12, 12, 3)
    assert first.values.likelihood == "discretized_logistic" and first.condition == 3
    assert np.ptp(first.train.x.astype(int), axis=-1).max() > 100
    grey = datasets.load_shapes(num_examples=10, size=12, grey=True)
    assert grey.shape == (12, 12, 1)


@pytest.mark.parametrize(
    ("options", "message"), [({"size": 4}, "size must be >= 8"), ({"num_examples": 3}, ">= 10")]
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_shapes(**options)


@pytest.mark.parametrize(
    ("array", "likelihood"),
    [
        (np.arange(120, dtype=np.uint8).reshape(10, 2, 2, 3), "discretized_logistic"),
        (np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1), "discretized_logistic"),
        (np.arange(40, dtype=np.uint8).reshape(10, 4), ""),
        (np.arange(40.0).reshape(10, 2, 2, 1), ""),
    ],
)
def test_images_of_8_bits_have_a_likelihood(array, likelihood):
    """Of one's own arrays. Mutants: any bytes taken for images, floats for levels."""
    assert datasets.from_arrays(array).values.likelihood == likelihood
