"""Pictures show the numbers that they were given."""

import matplotlib.figure
import numpy as np
import pytest

from vae_jax import figures


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((8, 8, 1), (8, 8, 1)),
        ((8, 6), (8, 6, 1)),
        ((5, 4, 3), (5, 4, 3)),
        ((7,), (3, 3, 1)),
        ((2, 3, 4, 5), (11, 11, 1)),
    ],
)
def test_any_example_becomes_an_image(shape, image):
    xs = np.random.default_rng(0).random((4, *shape))
    images = figures.as_images(xs)
    assert images.shape == (4, *image)
    kept = images[~np.isnan(images)]
    np.testing.assert_allclose(np.sort(kept), np.sort(xs.ravel().astype(np.float32)))


def test_grid_places_rows_and_columns():
    rows = np.arange(6.0).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 4, 5, 1))
    (axes,) = figures.image_grid(rows, "title", ["a", "b"]).axes
    shown = axes.images[0].get_array()
    centres = shown[2::5, 2::6]
    np.testing.assert_array_equal(centres, [[0, 1, 2], [3, 4, 5]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_scatter_has_a_point_an_example(latent_dim):
    means = np.random.default_rng(0).normal(size=(30, latent_dim))
    (axes,) = figures.latent_scatter(means, np.arange(30) % 3, "title").axes
    assert len(axes.collections[0].get_offsets()) == 30
    assert len(axes.get_legend().get_texts()) == 3
    assert isinstance(figures.latent_scatter(means, None, ""), matplotlib.figure.Figure)


def test_curves_draw_every_member():
    steps, values = np.arange(1, 6)[:, None], np.arange(15.0).reshape(5, 3)
    curve = {"step": steps, "elbo": -values, "rate": values, "distortion": values}
    figure = figures.training_curves({"train": curve, "validation": curve}, "title")
    assert [len(axes.lines) for axes in figure.axes] == [6, 6, 6]
