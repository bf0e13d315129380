"""What the pictures of a run show, and what their titles say, from values without a run."""

import numpy as np
import pytest

from experiments.support.header import describe_objective
from experiments.support.plots import ends_of_points
from experiments.support.subjects import make_images_of
from experiments.support.sweeps import Member
from vae_jax import figures
from vae_jax.distributions import Masked
from vae_jax.lookup import options_of
from vae_jax.objectives import OBJECTIVES

RNG = np.random.default_rng(0)
TABLE, IMAGES = RNG.normal(size=(20, 6)), RNG.random((20, 8, 8, 1))


def test_a_table_is_drawn_as_bars_on_the_scale_of_the_examples():
    """Of what is decoded, too: the scale is not chosen anew for each picture."""
    images_of, text = make_images_of(TABLE)
    np.testing.assert_array_equal(images_of(TABLE), figures.as_bars(TABLE, figures.bars_for(TABLE)))
    np.testing.assert_array_equal(images_of(TABLE[3:4]), images_of(TABLE)[3:4])
    assert text.startswith("bars: columns 0 to 5")


def test_images_are_drawn_as_they_are():
    images_of, text = make_images_of(IMAGES)
    np.testing.assert_array_equal(images_of(IMAGES), IMAGES.astype(np.float32))
    assert text == ""


def test_missing_columns_are_missing_bars():
    mask = np.ones_like(TABLE)
    mask[0, 2] = 0
    images_of, _ = make_images_of(Masked(TABLE, mask))
    is_missing = np.isnan(images_of(Masked(TABLE, mask))).any(axis=(1, 2, 3))
    assert is_missing[0] and not is_missing[1:].any()


def test_an_image_and_a_row_of_numbers_stand_side_by_side():
    """At about one height, and in the order of the examples, whatever that of the decoded fields.

    An image of real numbers is brought to the bars' colors, 0 to 1.
    """
    images_of, text = make_images_of({"image": 5 * IMAGES - 2, "numbers": TABLE})
    images = images_of({"numbers": TABLE, "image": 5 * IMAGES - 2})
    bars = figures.as_bars(TABLE, figures.bars_for(TABLE))
    np.testing.assert_array_equal(images[:, :, -bars.shape[2] :], bars)
    np.testing.assert_allclose(images[:, 3:48:6, 3:48:6, 0], IMAGES[..., 0], atol=0.02)
    assert text.startswith("numbers: bars")


@pytest.mark.parametrize(
    ("block", "point", "text"),
    [
        ({"name": "elbo", "beta": 3.0}, {}, "elbo (beta=3)"),
        ({"name": "elbo"}, {}, "elbo"),
        ({"name": "elbo", "beta": 3.0}, {"objective.beta": 4.0}, "elbo"),
        ({"name": "elbo", "form": "entropy"}, {}, "elbo (form=entropy)"),
    ],
)
def test_titles_name_the_objective_with_what_was_chosen(block, point, text):
    defaults = options_of(OBJECTIVES["elbo"])
    assert describe_objective(defaults | block, Member(0, point)) == text


def test_curves_tell_the_points_of_a_sweep_apart():
    """The mean over all of its points, or a failed member's NaN, would say nothing."""
    points = {"beta=1": [0, 1], "beta=4": [2, 3], "beta=9": [4, 5]}
    elbos = np.array([[0.0] * 6, [-12.0, -10.0, -5.0, np.nan, np.nan, np.nan]])
    text = ends_of_points({"train": {"elbo": elbos}}, points)
    assert (
        text == "ELBO of training at the end (nats, mean over seeds): beta=4: -5.0, beta=1: -11.0"
    )
    assert "1 best of 3" in ends_of_points({"train": {"elbo": elbos}}, points, most=1)
