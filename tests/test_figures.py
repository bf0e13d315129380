"""Pictures show the numbers that they were given."""

import matplotlib
import matplotlib.figure
import numpy as np
import pytest

from vae_jax import figures
from vae_jax.figures.charts import discriminant_axes


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


def test_fields_are_joined():
    """Side by side from the left, or upwards from the bottom, with NaN between and as filling."""
    a, b = np.zeros((2, 1, 2, 1)), np.ones((2, 1, 3, 1))
    nan = np.nan
    beside = figures.side_by_side([a, b])[0, ..., 0]
    np.testing.assert_array_equal(beside, [[0, 0, nan, 1, 1, 1]])
    above = figures.above_each_other([a, b])[0, ..., 0]
    np.testing.assert_array_equal(above, [[1, 1, 1], [nan, nan, nan], [0, 0, nan]])
    assert figures.side_by_side([a, np.ones((2, 1, 3, 3))]).shape == (2, 1, 6, 3)


def drawn(grid):
    """Return what a figure of one grid shows: (axes, canvas)."""
    (axes,) = figures.image_grids([grid]).axes
    return axes, np.asarray(axes.images[0].get_array())


def at_centers(grid):
    """Return the color in the middle of each image, shape (rows, columns, 3).

    Reads the positions of the labels, so that a label beside another row is an error too.
    """
    rows, columns = np.shape(grid.rows)[:2]
    grid = grid._replace(row_labels=["r"] * rows, column_labels=["c"] * columns)
    axes, canvas = drawn(grid)
    ys, xs = (np.round(ticks).astype(int) for ticks in (axes.get_yticks(), axes.get_xticks()))
    return canvas[ys[:, None], xs[None, :]]


def constant(values, shape=(4, 5, 1)):
    """Return images of one value each, in the rows and columns of `values`."""
    values = np.asarray(values, float)
    return values.reshape(*values.shape, *[1] * len(shape)) * np.ones((*values.shape, *shape))


def test_grid_places_rows_and_columns():
    """Grey of 0 is black and of 1 white; a transposed grid is rejected."""
    values = np.arange(6).reshape(2, 3) / 5
    grid = figures.Grid(constant(values), "title", row_breaks=(1,), column_breaks=(2,))
    np.testing.assert_allclose(at_centers(grid)[..., 0], values)


def test_labels_stand_in_order():
    rows = constant(np.zeros((2, 3)))
    axes, _ = drawn(figures.Grid(rows, "", ["a", "b"], ["x", "y", "z"]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"]
    assert np.all(np.diff(axes.get_yticks()) > 0)  # downwards, as the rows
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_small_images_are_enlarged_without_blur():
    """An 8x8 image is some 60 pixels wide on the page, each of its pixels a square of one grey."""
    image = np.random.default_rng(0).random((8, 8))
    axes, canvas = drawn(figures.Grid(np.tile(image, (2, 10, 1, 1)), ""))
    scale = int(np.flatnonzero(canvas[0, :, 0] == 1.0)[0]) // 8  # the first gap is white
    assert 6 <= scale <= 8
    np.testing.assert_allclose(canvas[: 8 * scale : scale, : 8 * scale : scale, 0], image)
    np.testing.assert_allclose(canvas[scale - 1 : 8 * scale : scale, 0, 0], image[:, 0])
    on_page = axes.get_position().width * axes.figure.get_figwidth() * axes.figure.dpi
    assert abs(on_page - canvas.shape[1]) < 1


def test_large_images_are_shrunk_on_the_page():
    figure = figures.image_grids([figures.Grid(np.zeros((1, 12, 256, 256)), "")])
    assert figure.get_figwidth() * figure.dpi < 1000


def test_faded_rows_are_paler():
    grid = figures.Grid(constant([[0.0, 1.0], [0.0, 1.0]]), "", faded=[False, True])
    centers = at_centers(grid)[..., 0]
    np.testing.assert_allclose(centers[0], [0, 1])
    assert centers[1, 0] > 0.6 and centers[1, 1] == 1
    axes, _ = drawn(grid._replace(row_labels=["a", "b"]))
    colors = [label.get_color() for label in axes.get_yticklabels()]
    assert colors[0] != colors[1]


def test_marked_pixels_alone_are_tinted():
    marked = np.zeros((1, 2, 4, 5))
    marked[0, 1, :2] = 1  # the upper half of the second image
    _, canvas = drawn(figures.Grid(constant([[0.5, 0.5]]), "", marked=marked))
    is_grey = np.ptp(canvas, axis=-1) < 1e-6
    height, width = canvas.shape[:2]
    assert is_grey[:, : width // 2].all() and is_grey[height // 2 :].all()
    assert not is_grey[: height // 2, -5:].any()


def test_missing_pixels_are_no_value():
    """NaN is neither black nor white, and leaves the scale of the others as it is."""
    centers = at_centers(figures.Grid(constant([[0.0, np.nan, 1.0]]), ""))[0, :, 0]
    assert centers[0] == 0 and centers[2] == 1 and 0.7 < centers[1] < 0.95


def test_values_outside_0_to_1_are_scaled():
    centers = at_centers(figures.Grid(constant([[-3.0, 0.0, 3.0]]), ""))[0, :, 0]
    np.testing.assert_allclose(centers, [0, 0.5, 1])


def test_grids_stand_side_by_side():
    grid = figures.Grid(constant(np.zeros((2, 3))), "left\nnumbers", ["a", "b"])
    figure = figures.image_grids([grid, grid._replace(title="right")], width=1600)
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.x1 < right.x0 and left.y1 == pytest.approx(right.y1)
    texts = {text.get_text(): text.get_fontweight() for text in figure.texts}
    assert texts == {"left": "bold", "numbers": "normal", "right": "bold"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rows", np.zeros((2, 3)), "rows must have shape"),
        ("row_labels", ["a"], "row_labels must be 2 or none, got 1"),
        ("column_labels", ["a"] * 4, "column_labels must be 3 or none, got 4"),
        ("faded", [True] * 3, "faded must be 2 or none, got 3"),
        ("marked", np.zeros((3, 3)), "marked must fit"),
    ],
)
def test_wrong_shapes_are_refused(field, value, message):
    grid = figures.Grid(constant(np.zeros((2, 3))), "title")._replace(**{field: value})
    with pytest.raises(ValueError, match=message):
        figures.image_grids([grid])


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_scatter_has_a_point_an_example(latent_dim):
    means = np.random.default_rng(0).normal(size=(30, latent_dim))
    (axes,) = figures.latent_scatter(means, np.arange(30) % 3, "title").axes
    assert [len(points.get_offsets()) for points in axes.collections] == [10, 10, 10]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1", "2"]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    (axes,) = figures.latent_scatter(means, None, "").axes
    assert len(axes.collections[0].get_offsets()) == 30


def test_scatter_of_two_latents_is_of_these_two():
    means = np.random.default_rng(0).normal(size=(6, 2))
    (axes,) = figures.latent_scatter(means, None, "").axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), means)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z0", "z1")


def test_many_labels_share_a_scale_of_colors():
    means = np.random.default_rng(0).normal(size=(40, 2))
    figure = figures.latent_scatter(means, np.arange(40) % 20, "")
    assert isinstance(figure, matplotlib.figure.Figure) and len(figure.axes) == 2


def test_labels_of_another_number_are_refused():
    with pytest.raises(ValueError, match="one per example: 2 for 3"):
        figures.latent_scatter(np.zeros((3, 2)), np.zeros(2, int), "")


def test_markers_and_colors_are_distinct():
    assert len(set(figures.PALETTE)) == len(set(figures.MARKERS)) == 10


def test_discriminant_axes_are_those_of_scikit_learn():
    """Up to the signs, and to the divisor of the variance; latents that never vary are harmless.

    Principal axes, which follow the noise of the last dimension here, are rejected.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    points = rng.normal(size=(200, 4)) + rng.normal(size=(4, 4))[labels] * 2
    points[:, 3] *= 50
    expected = LinearDiscriminantAnalysis(n_components=2).fit(points, labels).transform(points)
    found = discriminant_axes(points, labels)
    for i in range(2):
        assert abs(np.corrcoef(found[:, i], expected[:, i])[0, 1]) > 0.99
    dead = np.concatenate([points[:, :3], np.zeros((200, 2))], axis=1)
    assert np.isfinite(discriminant_axes(dead, labels)).all()


@pytest.mark.parametrize("means", [np.eye(3), np.ones((6, 3)), np.tile(np.eye(3), (2, 1))])
def test_labels_without_a_variance_within_get_principal_axes(means):
    """One example per label, a collapsed code, and codes that are the labels."""
    (axes,) = figures.latent_scatter(means, np.arange(len(means)) % 3, "title").axes
    assert axes.get_xlabel().startswith("principal axis 1")


def test_curves_draw_every_member():
    steps, values = np.arange(1, 6)[:, None], np.arange(15.0).reshape(5, 3)
    curve = {"step": steps, "elbo": -values, "kl": values, "reconstruction": values}
    figure = figures.training_curves({"train": curve, "validation": curve}, "title")
    assert [len(axes.lines) for axes in figure.axes] == [6, 6, 6]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "training",
        "validation",
    ]
    training, validation = figure.axes[0].lines[0], figure.axes[0].lines[3]
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()


def test_curves_of_one_model():
    """As `fit` returns them. Mutant: a member for each point."""
    curve = {"step": np.arange(1, 6)} | dict.fromkeys(
        ("elbo", "kl", "reconstruction"), np.arange(5.0)
    )
    figure = figures.training_curves({"train": curve}, "title")
    assert [len(axes.lines) for axes in figure.axes] == [1, 1, 1]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), np.arange(5.0))


def curve_of(values, steps=None):
    """Return what the history holds of one split: values, shape (points, members), thrice."""
    steps = np.arange(1, 1 + len(values))[:, None] if steps is None else steps
    return {"step": steps, "elbo": values, "kl": values, "reconstruction": values}


def test_curves_of_a_sweep_have_a_color_for_each_point():
    """Members that differ in the seed alone share it; a legend names each point once.

    Mutants: a color per member, the colors of training and validation.
    """
    values = np.arange(20.0).reshape(5, 4)
    history = {"train": curve_of(values), "validation": curve_of(values)}
    groups = ["beta=1", "beta=1", "beta=4", "beta=4"]
    figure = figures.training_curves(history, "", groups)
    colors = [line.get_color() for line in figure.axes[0].lines]
    assert colors[0] == colors[1] == colors[4] and colors[2] == colors[3] == colors[6]
    assert colors[0] != colors[2]
    (legend,) = figure.legends
    named = {
        t.get_text(): line.get_color()
        for t, line in zip(legend.texts, legend.get_lines(), strict=True)
    }
    assert named == {"beta=1": colors[0], "beta=4": colors[2]}


def test_many_points_of_a_sweep_share_a_scale_of_colors():
    groups = [f"beta={i}" for i in range(40)]
    figure = figures.training_curves({"train": curve_of(np.zeros((3, 40)))}, "", groups)
    assert len({tuple(line.get_color()) for line in figure.axes[0].lines}) == 40
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "14 of 40" and len(legend.texts) == 14


def marked(line):
    """Return the steps of a line whose points have a marker."""
    return list(
        np.asarray(line.get_xdata())[np.broadcast_to(line.get_markevery(), len(line.get_xdata()))]
    )


def test_points_without_a_line_are_marked():
    """A line of one point, and one between failures, would not be seen; many points are a line."""
    values = np.arange(90.0).reshape(30, 3)
    values[1:, 1] = np.nan
    values[[9, 11], 2] = np.nan
    one = curve_of(np.zeros((1, 3)), steps=np.array([[30]]))
    figure = figures.training_curves({"train": curve_of(values), "validation": one}, "")
    lines = figure.axes[0].lines
    assert [marked(line) for line in lines] == [[], [1], [11], [30], [30], [30]]
    assert lines[0].get_marker() not in ("", "None") and lines[3].get_markersize() > 0


def test_curves_show_the_range_of_the_settled_steps():
    """The first tenth, which is far off, and NaN do not stretch the axis."""
    values = np.concatenate([[[-1e6]], np.linspace(-20, -10, 99)[:, None]])
    values[50] = np.nan
    curve = {"step": np.arange(1, 101)[:, None], "elbo": values, "kl": values}
    figure = figures.training_curves({"train": curve | {"reconstruction": values}}, "")
    low, high = figure.axes[0].get_ylim()
    assert -22 < low < -18 and -10 < high < -8


def test_rows_of_a_table_are_bars_of_their_columns():
    """Each bar is as high as its value: the colored pixels are counted in a column of pixels.

    Mutants: columns in another order, bars that are drawn downwards, one scale for all columns.
    """
    xs = np.array([[0.0, 0.25, 1.0], [0.5, 0.75, 1.0]])
    images = figures.as_bars(xs, figures.bars_for(xs))
    height, width = images.shape[1:3]
    centers = np.round(np.linspace(0, 1, 7)[1::2] * (width - 5) + 2).astype(int)
    is_bar = np.ptp(images[:, :, centers], axis=-1) > 0.1
    np.testing.assert_allclose(is_bar.mean(axis=1), xs, atol=1.5 / height)
    assert is_bar[0, -2, 1] and not is_bar[0, 0, 1]  # from below


def test_bars_of_real_numbers_stand_on_their_means():
    """One standard deviation is a sixth of the height, up or down, in each column's own unit."""
    signs = np.tile([[1.0], [-1.0]], (50, 1))  # mean 0, standard deviation 1
    xs = 10 + signs * np.array([1.0, 1000.0])
    bars = figures.bars_for(xs)
    images = figures.as_bars(np.concatenate([xs[:2], [[1e6, -1e6]]]), bars)
    height, middle = images.shape[1], images.shape[1] // 2
    is_bar = np.ptp(images[:, :, [14, 38]], axis=-1) > 0.1
    up, down = is_bar[:, :middle].sum(axis=1), is_bar[:, middle:].sum(axis=1)
    np.testing.assert_allclose(up[0], height / 6, atol=1)
    np.testing.assert_allclose(down[1], height / 6, atol=1)
    assert not down[0].any() and not up[1].any()
    assert up[2, 0] == middle and not up[2, 1] and down[2, 1] >= middle - 1  # end at the edges
    assert "columns 0 to 1" in bars.text and "3 standard deviations" in bars.text


def test_missing_columns_of_a_table_are_no_bar():
    """A column without any value has no mean, and the others keep theirs."""
    xs = np.array([[1.0, np.nan, 3.0], [-1.0, np.nan, np.nan]])
    images = figures.as_bars(xs, figures.bars_for(xs))
    is_missing = np.isnan(images[:, 0, [10, 26, 42], 0])
    np.testing.assert_array_equal(is_missing, np.isnan(xs))


@pytest.mark.parametrize(
    ("shape", "are_bars"),
    [
        ((1,), True),
        ((6,), True),
        ((80,), True),
        ((64,), False),
        ((784,), False),
        ((300,), False),
        ((8, 8), False),
        ((8, 8, 1), False),
    ],
)
def test_vectors_are_bars_but_for_flat_images(shape, are_bars):
    xs = np.random.default_rng(0).normal(size=(5, *shape))
    bars = figures.bars_for(xs)
    assert (bars is not None) == are_bars
    if are_bars:
        images = figures.as_bars(xs, bars)
        assert images.shape[0] == 5 and images.shape[-1] == 3 and images.shape[1] >= 48


def test_bars_of_latents_are_sorted_and_dead_ones_are_orange():
    """Mutants: the names of the dimensions in their own order, the color of another bar."""
    kl, active = {"a": np.array([0.1, 3.0, 1.0])}, {"a": np.array([False, True, True])}
    axes = figures.kl_bars(kl, active, "KL", "title").axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [3.0, 1.0, 0.1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "0"]
    colors = [bar.get_facecolor() for bar in axes.patches]
    assert colors[0] == colors[1] != colors[2]
    assert axes.get_title() == "2 of 3 active"


def test_lines_of_equal_elbo_are_where_rate_and_distortion_add_up():
    """And the curve joins the means of the points by their rates. Mutants: the axes exchanged, the
    points joined as they come."""
    points = {"beta=1": [(20.0, 80.0), (22.0, 82.0)], "beta=4": [(5.0, 110.0)]}
    curve, *lines = figures.rate_distortion(points, "title").axes[0].lines
    np.testing.assert_allclose(curve.get_xydata(), [[5, 110], [21, 81]])
    assert len(lines) > 2
    for line in lines:
        totals = np.sum(line.get_xydata(), axis=1)
        np.testing.assert_allclose(totals[0], totals[1])


def test_layouts_that_the_caller_asks_of_all_figures_are_not_ours():
    """Mutant: matplotlib warns that it cannot lay out axes that have places of their own."""
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        figure = figures.image_grid(np.zeros((1, 2, 3, 3)), "title")
    assert figure.get_layout_engine() is None
