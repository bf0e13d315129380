"""The rows of DATASETS: what they say of themselves, and what they refuse."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats
import sklearn.datasets

from tests.datasets.files import png_of, write_npz, write_tfds
from vae_jax import datasets, models
from vae_jax.datasets import tfds_sets
from vae_jax.distributions import Masked


@pytest.fixture
def npz(tmp_path):
    """A file of 50 examples with labels."""
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 2)).astype(np.uint8)
    return write_npz(tmp_path / "own.npz", x=x, y=np.arange(50))


@pytest.fixture
def images(tmp_path):
    """A folder of 20 colored images in two subfolders."""
    rng = np.random.default_rng(0)
    for i in range(20):
        file = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png_of(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)))
    return str(tmp_path / "images")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """TFDS's folder with some records of fashion_mnist, which are noise, and of omniglot."""
    root, rng = tmp_path_factory.mktemp("tfds"), np.random.default_rng(0)
    clothes = rng.integers(0, 256, (5120, 28, 28, 1)).astype(np.uint8)
    parts = {"train": (clothes[:5100], np.arange(5100) % 10), "test": (clothes[5100:], range(20))}
    write_tfds(root, "fashion_mnist", "3.0.1", parts)
    drawings = np.full((40, 105, 105, 3), 255, np.uint8)
    drawings[np.arange(40), 10 + np.arange(40)] = 0  # drawing i is a line in row 10 + i
    parts = {"train": (drawings[:30], range(30)), "test": (drawings[30:], range(30, 40))}
    return write_tfds(root, "omniglot", "3.0.0", parts)


# Decoding 70,000 images takes ten seconds, rendering begins with a table of all outlines.
SLOW = ("mnist", "binarized_mnist", "dsprites", "sprites")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in datasets.DATASETS],
)
def test_every_row_is_sound(name, request):
    """One conformance test over the table: disjoint splits, true statements about the values."""
    given = {}
    if name in ("mnist", "binarized_mnist"):
        given["data_dir"] = request.getfixturevalue("tfds_dir")
    elif name in ("fashion_mnist", "omniglot"):
        given["data_dir"] = request.getfixturevalue("prepared")
    elif name == "dsprites":
        subset = Path(request.getfixturevalue("tfds_dir")).parent / "tfds_subset_array_record"
        given["data_dir"] = str(subset)
    elif name == "table":
        pytest.importorskip("pandas", reason="of the extra `tables`")
        given["path"] = "sklearn://iris"
    elif name in ("npz", "images"):
        given["path"] = request.getfixturevalue(name)
    elif name == "sprites":
        given |= {"num_train": 100, "num_validation": 20, "num_test": 20}
    data = datasets.load_dataset(name, **given)
    seen = datasets.to_model_examples(data, jax.random.key(0), data.test)
    for field, values in data.fields.items():
        for part in (data.train, data.validation, data.test):
            x = part.x if data.is_plain else part.x[field]
            x = x.values if isinstance(x, Masked) else x
            x = datasets.RENDERINGS[values.rendering](x) if data.is_rendered else x
            assert x.shape[1:] == values.shape and len(x) == datasets.num_examples(part)
            assert part.y is None or len(part.y) == len(x)
            scaled = np.asarray(x[:500], np.float64) / values.maximum
            low, high = values.value_range
            assert low <= scaled.min() and scaled.max() <= high
        assert values.binarization in datasets.BINARIZATIONS
        drawn = seen.x if data.is_plain else seen.x[field]
        drawn = drawn.values if isinstance(drawn, Masked) else drawn
        bits = set(np.unique(drawn[:20])) <= {0.0, 1.0}
        assert bits == (values.kinds in (("bits",), ("one_hot",)))
        # A likelihood of its own is a density of the values.
        if values.likelihood:
            assert models.LIKELIHOODS[values.likelihood].values in values.kinds


def fake_tfds(columns, sizes):
    """Return what stands for `read_tfds`: image i of a split has the number i in its first row."""
    images = {split: np.zeros((size, 28, 28, 1), np.uint8) for split, size in sizes.items()}
    for split, each in images.items():
        each[:, 0, :4, 0] = np.arange(sizes[split], dtype="<u4").view(np.uint8).reshape(-1, 4)
    made = {
        split: {c: each if c == "x" else np.arange(len(each)) % 10 for c in columns}
        for split, each in images.items()
    }
    return lambda *_: made


def numbers_of(part):
    return np.ascontiguousarray(part.x[:, 0, :4, 0]).view("<u4")[:, 0]


def test_mnist_is_split_as_burda_did(monkeypatch):
    """Of made-up records. Mutants: the first 400 for validation, some of them in two parts, labels
    of other images."""
    sizes = {"train": 60000, "test": 10000}
    monkeypatch.setattr(tfds_sets, "read_tfds", fake_tfds("xy", sizes))
    data = datasets.load_mnist()
    np.testing.assert_array_equal(numbers_of(data.train), np.arange(59600))
    np.testing.assert_array_equal(numbers_of(data.validation), np.arange(59600, 60000))
    np.testing.assert_array_equal(numbers_of(data.test), np.arange(10000))
    for part in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(part.y, numbers_of(part) % 10)
    assert data.shape == (28, 28, 1) and data.binarization == "dynamic"


@pytest.mark.slow
def test_mnist_is_the_set_of_burda(tfds_dir):
    data = datasets.load_mnist(data_dir=tfds_dir)
    assert [len(part.x) for part in (data.train, data.validation, data.test)] == [59600, 400, 10000]
    assert data.shape == (28, 28, 1)
    assert data.train.x.dtype == np.uint8
    # Facts of the original files: the mean grey value, and the number of test images of each digit.
    whole = np.concatenate([data.train.x, data.validation.x])
    assert abs(whole.mean() / 255 - 0.1307) < 1e-4
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(data.test.y), counts)


@pytest.mark.slow
def test_binarized_mnist_is_static(tfds_dir):
    data = datasets.load_binarized_mnist(data_dir=tfds_dir)
    sizes = [len(part.x) for part in (data.train, data.validation, data.test)]
    assert sizes == [50000, 10000, 10000]
    assert data.binarization == "static"
    assert data.train.y is None


def test_fashion_mnist_is_read_as_it_lies(prepared):
    """Records made here in TFDS's layout. Mutants: the first 5,000 for validation; labels of other
    images."""
    data = datasets.load_fashion_mnist(data_dir=prepared)
    clothes = np.random.default_rng(0).integers(0, 256, (5120, 28, 28, 1))
    np.testing.assert_array_equal(data.train.x, clothes[:100])
    np.testing.assert_array_equal(data.validation.x, clothes[100:5100])
    np.testing.assert_array_equal(data.test.x, clothes[5100:])
    np.testing.assert_array_equal(data.validation.y, np.arange(100, 5100) % 10)
    assert data.binarization == "dynamic" and data.maximum == 255


def test_omniglot_is_ink_with_its_labels(prepared):
    """Each drawing is a line, whose row its label tells; the ink is its 28 * 28 / 105 pixels.
    Mutants: the paper is 1; validation and training in one; labels of other drawings."""
    data = datasets.load_omniglot(data_dir=prepared)
    assert [len(part.x) for part in (data.train, data.validation, data.test)] == [27, 3, 10]
    assert set(data.train.y) | set(data.validation.y) == set(range(30))
    for part in (data.train, data.validation, data.test):
        ink = part.x[..., 0] / 255
        np.testing.assert_allclose(ink.sum((1, 2)), 28 * 28 / 105, atol=28 * 2 / 255)
        rows = np.einsum("nhw,h->n", ink, np.arange(28) + 0.5) / ink.sum((1, 2))
        np.testing.assert_allclose(rows, (10.5 + part.y) * 28 / 105, atol=0.5)
    with pytest.raises(ValueError, match="must differ, got 'test' twice"):
        datasets.load_omniglot(data_dir=prepared, split="test")
    with pytest.raises(ValueError, match="has no split 'small1'; known: train, test"):
        datasets.load_omniglot(data_dir=prepared, split="small1")


@pytest.mark.slow
def test_omniglot_is_the_set_of_lake(tfds_dir):
    """The genuine small splits: sizes, 20 drawings of each character, thin strokes."""
    root = Path(tfds_dir).parent / "tfds_subset_array_record"
    data = datasets.load_omniglot(data_dir=str(root), split="small1", test_split="small2")
    assert [len(part.x) for part in (data.train, data.validation, data.test)] == [2448, 272, 3120]
    assert set(np.bincount(data.test.y)) == {0, 20}
    assert 0.02 < data.test.x.mean() / 255 < 0.15


def test_digits_are_scikit_learns():
    data = datasets.load_digits()
    images, _ = sklearn.datasets.load_digits(return_X_y=True)
    parts = [part.x.reshape(-1, 64) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [1258, 180, 359]
    rows = lambda array: sorted(map(bytes, array.astype(np.uint8)))  # noqa: E731
    assert rows(np.concatenate(parts)) == rows(images)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnits", {}, "did you mean 'mnist'"),
        (
            "digits",
            {"path": "x.npz"},
            "path='x.npz' is an option of name=images, name=npz, name=table only; chosen: name='di",
        ),
        ("digits", {"binarization": "dynamical"}, "did you mean 'dynamic'"),
        ("npz", {}, "needs path=FILE.npz"),
        ("images", {}, "needs path=FOLDER"),
        ("images", {"path": "/nowhere"}, "path='/nowhere' is no folder"),
        ("images", {"path": "/tmp", "size": 0}, "size must .*got 0"),
        ("mnist", {"data_dir": "/nowhere"}, "not prepared in '/nowhere'.*download=true"),
        (
            "fashion_mnist",
            {"data_dir": "/nowhere"},
            "fashion_mnist 3.0.1 is not prepared in '/nowhere'",
        ),
    ],
)
def test_bad_choices_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_dataset(name, **options)


@pytest.mark.parametrize("name", ["digits", "digit_halves"])
def test_digits_are_counts_of_sixteen_dots(name):
    """17 levels and a binomial likelihood by default; drawn bits are for Bernoulli's, and static
    ones are no levels any more. Mutants: 16 levels, dynamic bits by default."""
    counts = datasets.load_dataset(name)
    for values in counts.fields.values():
        assert values.binarization == "none" and values.likelihood == "binomial"
        assert values.num_levels == 17 and values.maximum == 16.0
    own = models.choose_likelihood(counts)
    assert set([own] if counts.is_plain else own.values()) == {"binomial"}
    for binarization in ("dynamic", "static"):
        bits = datasets.load_dataset(name, binarization=binarization)
        assert all(each.likelihood == "bernoulli" for each in bits.fields.values())
        with pytest.raises(ValueError, match=r"likelihood='binomial' .*needs"):
            models.choose_likelihood(bits, "binomial")


@pytest.mark.slow
def test_a_model_for_the_digits_is_binomial_of_sixteen():
    """Oracle: scipy's log-probability of the counts, of a model whose parameters are as drawn."""
    data = datasets.load_digits()
    vae = models.make_vae_for(data, latent_dim=2, hidden=(4,))
    seen = datasets.to_model_examples(data, jax.random.key(0), data.test)
    params = vae.init(jax.random.key(1), datasets.expected_examples(data, data.train))
    p = vae.decode(params, np.zeros(2, np.float32))
    expected = stats.binom(16, np.float64(p.mean)).logpmf(data.test.x[0]).sum()
    np.testing.assert_allclose(p.log_prob(seen.x[0]), expected, rtol=1e-4)
