"""dSprites rendered from their factors: exact fractions, and the genuine images where they are."""

from fractions import Fraction
import json
import math

import jax
import numpy as np
import pytest

from tests.conftest import DATA_DIR
from vae_jax import datasets
from vae_jax.datasets import sprites
from vae_jax.datasets.data import Factor
from vae_jax.fast.polygons import plain_fill

RAW = "raw/dsprites/dsprites_downsampled.npz"
DATA = DATA_DIR.parent
SIZES = (3, 6, 40, 32, 32)


@pytest.fixture(scope="module")
def data():
    return datasets.load_dataset("sprites", num_validation=20, num_test=30, seed=3)


def filled(vertices):
    """Return the pixels inside of a polygon (x, y), by the even-odd rule in exact fractions."""
    image = np.zeros((64, 64), np.uint8)
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        for row in range(64):
            r = Fraction(2 * row + 1, 2)
            if (y0 < r) != (y1 < r):
                crossing = x0 + (r - y0) * (x1 - x0) / (y1 - y0)
                image[row, max(0, math.ceil(crossing - Fraction(1, 2))) :] ^= 1
    return image


def vertices_of(shape, scale, orientation, x, y):
    """Return the vertices of an image in pixels, snapped to 1/256, in float64 and then exact."""
    angle, size = 2 * np.pi * orientation / 39, 0.5 + 0.1 * scale
    if shape == 0:
        outline = [(-9.6, -9.6), (9.6, -9.6), (9.6, 9.6), (-9.6, 9.6)]
    elif shape == 1:
        ts = [2 * np.pi * k / 100 for k in range(100)]
        outline = [(9.6 * 1.33 * np.cos(t), 9.6 / 1.33 * np.sin(t)) for t in ts]
    else:
        ts = [2 * np.pi * k / 150 for k in range(150)]
        cosines = [(np.cos(t), np.cos(2 * t), np.cos(3 * t), np.cos(4 * t)) for t in ts]
        lows = [-1.44 - 9.6 / 14.5 * np.dot((13, -5, -2, -1), each) for each in cosines]
        outline = [(9.6 * np.sin(t) ** 3, low) for t, low in zip(ts, lows, strict=True)]
    c, s = np.cos(angle), np.sin(angle)
    moved = [
        (16 + 32 * x / 31 + size * (c * u + s * w), 16 + 32 * y / 31 + size * (c * w - s * u))
        for u, w in outline
    ]
    return [tuple(Fraction(math.floor(256 * p + 0.5), 256) for p in point) for point in moved]


def test_images_are_the_polygons_of_their_factors():
    """Oracle: the same geometry in float64 and exact fractions, one edge after the other. Mutants:
    a vertex that is not snapped, x for y, an orientation of 2 pi / 40, a quotient rounded down."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, 12) for size in SIZES], axis=1)
    factors[:, 0] = np.arange(12) % 3
    indices = np.ravel_multi_index(factors.T, SIZES).astype(np.int32)
    expected = np.stack([filled(vertices_of(*each)) for each in factors])
    np.testing.assert_array_equal(datasets.render_sprites(indices)[..., 0], expected)


def test_the_tuned_form_renders_what_the_plain_one_does():
    """Oracle: every pixel against every edge. Mutant: a row that has four crossings keeps two."""
    indices = np.random.default_rng(1).integers(0, sprites.NUM_SPRITES, 24).astype(np.int32)
    render = jax.jit(jax.vmap(lambda index: sprites.render_sprite(index, plain_fill)))
    np.testing.assert_array_equal(datasets.render_sprites(indices), render(indices))


def genuine(part):
    """Return images, indices in the full set and factors of the genuine subset."""
    path = DATA / RAW
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path) as arrays:
        names = ("imgs", "original_dataset_indices", "latents_classes")
        images, indices, classes = (arrays[name][part] for name in names)
    return images, indices.astype(np.int32), classes * (1, 1, 4, 2, 2)


@pytest.mark.parametrize(
    "part", [np.s_[7::23], pytest.param(np.s_[:], marks=pytest.mark.slow, id="all")]
)
def test_images_are_the_genuine_ones(data, part):
    """Oracle: dSprites itself. 99.9% of each shape are bit-equal, none differs in two pixels."""
    images, indices, factors = genuine(part)
    rendered = np.concatenate(
        [datasets.render_sprites(some) for some in np.array_split(indices, len(indices) // 2000)]
    )
    wrong = np.sum(rendered[..., 0] != images, axis=(1, 2))
    assert wrong.max() <= 1
    for shape in range(3):
        assert np.mean(wrong[factors[:, 0] == shape] == 0) >= 0.999
    np.testing.assert_array_equal(datasets.factors_of(data, datasets.Examples(indices)), factors)


def test_factors_are_counted_in_the_order_of_dsprites(data):
    """The last factor varies fastest. Mutant: the axes of the grid turned round."""
    indices = np.array([0, 1, 32, 32**2, 40 * 32**2, 6 * 40 * 32**2, sprites.NUM_SPRITES - 1])
    expected = [np.zeros(5, int), *np.eye(5, dtype=int)[::-1], np.array(SIZES) - 1]
    found = datasets.factors_of(data, datasets.Examples(indices))
    np.testing.assert_array_equal(found, expected)
    assert tuple(factor.size for factor in data.factors) == SIZES and found.dtype == np.int32


def test_training_draws_from_its_own_images_and_renders_them(data):
    """No image is in two parts; a step's images are those of training indices, drawn by its key.
    Mutants: an index drawn below the size of the whole set, the same images in every step."""
    parts = [part.x for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [sprites.NUM_SPRITES - 50, 20, 30]
    assert len(np.unique(np.concatenate(parts))) == sprites.NUM_SPRITES
    few = data._replace(train=datasets.Examples(jax.device_put(data.train.x[:5])))
    batches = datasets.make_batches(few, 4)
    source = batches.begin_epoch(few.train, jax.random.key(0), 0)
    batch = jax.jit(lambda key: batches.batch(source, key, 0))
    drawn = [np.asarray(batch(jax.random.key(i)).x) for i in range(20)]
    own = np.asarray(datasets.render_sprites(few.train.x))
    found = [[np.flatnonzero(np.all(own == x, (1, 2, 3)))[0] for x in xs] for xs in drawn]
    assert set(np.ravel(found)) == set(range(5)) and len(set(map(tuple, found))) > 15
    assert drawn[0].dtype == np.float32


def test_a_share_of_the_images_stands_for_all_in_the_initial_bias(data):
    """Oracle: the images of the first indices. Mutant: all 737,230 of them, 12 GB."""
    expected = jax.eval_shape(lambda: datasets.expected_examples(data, data.train))
    assert expected.x.shape == (5000, 64, 64, 1)
    few = datasets.expected_examples(data, data.test).x
    np.testing.assert_array_equal(few, datasets.render_sprites(data.test.x))


def test_an_outline_knows_factors_and_rendering(data):
    """From JSON. Mutant: images in the place of indices, which a trained run's shapes come from."""
    again = datasets.from_outline(json.loads(json.dumps(datasets.outline_of(data))))
    assert again.factors == data.factors and again.values == data.values
    assert again.train.x.shape == data.train.x.shape and again.train.x.dtype == np.int32
    images = datasets.with_images(again)
    assert images.train.x.shape == (len(data.train.x), 64, 64, 1) and not images.is_rendered
    assert again.is_rendered and datasets.with_images(images) is images


def test_a_part_of_dsprites_has_the_factors_that_are_there(monkeypatch):
    """Oracle: a grid of two shapes and three orientations, 0, 4 and 8. Mutant: their values for
    their indices."""
    grid = np.stack(np.meshgrid([0, 2], [5], [0, 4, 8], [1], [3, 9], indexing="ij"), -1)
    labels = grid.reshape(-1, 5)

    def read_tfds(name, version, data_dir, download, features, splits):
        columns = {f"label_{f.name}": labels[:, i] for i, f in enumerate(sprites.FACTORS)}
        columns["image"] = np.arange(len(labels))[:, None, None, None] % 2 * np.ones((64, 64, 1))
        return {"train": {key: columns[feature] for key, feature in features.items()}}

    monkeypatch.setattr(sprites, "read_tfds", read_tfds)
    data = datasets.load_dataset("dsprites", num_validation=1, num_test=4)
    assert data.factors == (
        *(Factor("shape", 2), Factor("scale", 1), Factor("orientation", 3)),
        *(Factor("x_position", 1), Factor("y_position", 2)),
    )
    parts = (data.train, data.validation, data.test)
    factors = np.concatenate([datasets.factors_of(data, part) for part in parts])
    assert sorted(map(tuple, factors)) == [
        (a, 0, b, 0, c) for a in range(2) for b in range(3) for c in range(2)
    ]


@pytest.mark.slow
def test_dsprites_of_tfds_are_the_sprites(data):
    """Oracle: the rendered set, at the indices that the factors of the subset stand for."""
    folder = DATA / "tfds_subset_array_record"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    part = datasets.load_dataset("dsprites", data_dir=str(folder))
    assert [factor.size for factor in part.factors] == [3, 6, 10, 16, 16]
    factors = datasets.factors_of(part, part.test) * (1, 1, 4, 2, 2)
    indices = np.ravel_multi_index(factors.T, SIZES).astype(np.int32)
    wrong = np.sum(datasets.render_sprites(indices) != part.test.x, axis=(1, 2, 3))
    assert wrong.max() <= 1 and np.mean(wrong == 0) > 0.999


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sprites", {"binarization": "dynamic"}, "binarization='dynamic' is an option of"),
        ("sprites", {"num_test": 0}, "num_test must be >= 1, got 0"),
        ("sprites", {"num_test": 737_000}, "num_test must be at most 736,279, got 737000"),
        ("sprites", {"num_train": 734_281}, "num_train must be at most 734,280, got 734281"),
        ("sprites", {"num_labels": 10}, "num_labels=10 needs labels, but sprites has no labels"),
        ("dsprites", {"data_dir": "/nowhere"}, "dsprites 2.0.0 is not prepared in '/nowhere'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        datasets.load_dataset(name, **options)
    assert "\n" not in str(error.value)


def test_a_set_without_factors_says_which_have_some():
    own = datasets.from_arrays(np.eye(9, dtype=np.float32), name="own")
    with pytest.raises(ValueError, match="own has no factors of variation: sprites and dsprites"):
        datasets.factors_of(own, own.test)
