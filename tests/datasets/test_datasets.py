"""Data sets: what they say of themselves, how batches are drawn, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

from vae_jax import datasets
from vae_jax.datasets import Examples


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def npz(tmp_path):
    """A file of 50 examples with labels."""
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 2)).astype(np.uint8)
    return write_npz(tmp_path / "own.npz", x=x, y=np.arange(50))


def fields_of(data):
    """Return (name, Values) of each field, or of the one array under None."""
    single = isinstance(data.values, datasets.Values)
    return [(None, data.values)] if single else list(data.values.items())


def test_every_row_is_sound(tfds_dir, npz):
    """One conformance test over the table: disjoint splits, true statements about the values."""
    options = {
        "digits": {},
        "digit_halves": {},
        "mnist": {"data_dir": tfds_dir},
        "binarized_mnist": {"data_dir": tfds_dir},
        "npz": {"path": npz},
    }
    assert options.keys() == datasets.DATASETS.keys()
    for name, given in options.items():
        data = datasets.load_dataset(name, **given)
        seen = datasets.to_model_examples(data, jax.random.key(0), data.test)
        for field, values in fields_of(data):
            for part in (data.train, data.validation, data.test):
                x = part.x if field is None else part.x[field]
                assert x.shape[1:] == values.shape and len(x) == datasets.num_examples(part)
                assert part.y is None or len(part.y) == len(x)
                scaled = np.asarray(x[:500], np.float64) / values.maximum
                low, high = values.value_range
                assert low <= scaled.min() and scaled.max() <= high
            assert values.binarization in datasets.BINARIZATIONS
            drawn = seen.x if field is None else seen.x[field]
            bits = set(np.unique(drawn[:20])) <= {0.0, 1.0}
            assert bits == (values.kinds == ("bits",))


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


def test_binarized_mnist_is_static(tfds_dir):
    data = datasets.load_binarized_mnist(data_dir=tfds_dir)
    sizes = [len(part.x) for part in (data.train, data.validation, data.test)]
    assert sizes == [50000, 10000, 10000]
    assert data.binarization == "static"
    assert data.train.y is None


def test_a_damaged_cache_is_read_anew(tfds_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = datasets.load_binarized_mnist(data_dir=tfds_dir)
    (cached,) = (tmp_path / "vae_jax").iterdir()
    cached.write_bytes(cached.read_bytes()[:1000])
    again = datasets.load_binarized_mnist(data_dir=tfds_dir)
    np.testing.assert_array_equal(first.test.x, again.test.x)


def test_digits_are_scikit_learns():
    data = datasets.load_digits()
    images, _ = sklearn.datasets.load_digits(return_X_y=True)
    parts = [part.x.reshape(-1, 64) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [1258, 180, 359]
    rows = lambda array: sorted(map(bytes, array.astype(np.uint8)))  # noqa: E731
    assert rows(np.concatenate(parts)) == rows(images)


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


def test_an_epoch_visits_examples_once_in_a_fresh_order():
    data = datasets.load_digits(binarization="none")
    batches = datasets.make_batches(data, 100)
    assert batches.steps_per_epoch == 12
    visited = []
    for epoch in (0, 1):
        source = batches.begin_epoch(data.train, jax.random.key(0), epoch)
        steps = range(12 * epoch, 12 * (epoch + 1))
        drawn = [batches.batch(source, jax.random.key(step), step) for step in steps]
        xs = np.concatenate([batch.x for batch in drawn]).reshape(1200, -1)
        ys = np.concatenate([batch.y for batch in drawn])
        assert len(np.unique(source.order)) == len(data.train.x)
        lookup = {bytes(x.astype(np.uint8)): y for x, y in zip(data.train.x, data.train.y)}  # noqa: B905
        assert all(lookup[bytes((x * 16).astype(np.uint8))] == y for x, y in zip(xs, ys))  # noqa: B905
        visited.append(np.asarray(source.order))
    assert (visited[0] != visited[1]).mean() > 0.9
    # The remainder that is dropped differs from epoch to epoch.
    assert set(visited[0][1200:]) != set(visited[1][1200:])


def test_static_bits_are_drawn_once_and_dynamic_ones_anew():
    static = datasets.load_digits(binarization="static")
    assert set(np.unique(static.train.x)) == {0, 1}
    again = datasets.load_digits(binarization="static")
    np.testing.assert_array_equal(static.test.x, again.test.x)
    dynamic = datasets.load_digits()
    draws = [
        datasets.to_model_values(dynamic.values, jax.random.key(i), dynamic.test.x) for i in (0, 1)
    ]
    assert not np.array_equal(*draws)


def test_npz_of_own_data(tmp_path, npz):
    data = datasets.load_dataset("npz", path=npz)
    assert data.shape == (3, 2) and data.maximum == 255.0
    assert data.values.kinds == ("real", "unit", "levels") and data.values.num_levels == 256
    assert sorted(np.concatenate([data.train.y, data.validation.y, data.test.y])) == list(range(50))
    real = write_npz(tmp_path / "real.npz", x=np.linspace(-5, 5, 60).reshape(20, 3))
    data = datasets.load_dataset("npz", path=real)
    assert data.train.x.dtype == np.float32 and data.maximum == 1.0 and data.train.y is None
    assert len(data.train.x) == 16
    zeros_and_ones = write_npz(tmp_path / "bits.npz", x=np.eye(10, dtype=np.uint8))
    assert datasets.load_dataset("npz", path=zeros_and_ones).values.kinds == ("bits",)


BAD_FILES = {
    "key": ({"z": np.zeros(3)}, "no key 'x'; its keys: z"),
    "nan": ({"x": np.array([[0.0], [np.nan], [1.0]])}, "1 values that are NaN"),
    "objects": ({"x": np.array([{}, {}, {}])}, "cannot read"),
    "text": ({"x": np.array(["a", "b", "c"])}, "must be numbers"),
    "scalar": ({"x": np.float32(3)}, "must be numbers"),
    "one": ({"x": np.zeros((1, 4))}, "at least 3 examples"),
    "lengths": ({"x": np.zeros((9, 4)), "y": np.zeros(8)}, "9 examples, but 'y' has shape"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_npz_is_refused(tmp_path, case):
    arrays, message = BAD_FILES[case]
    path = write_npz(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_dataset("npz", path=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_unreadable_npz_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot read"):
        datasets.load_dataset("npz", path=str(path))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnits", {}, "did you mean 'mnist'"),
        ("digits", {"path": "x.npz"}, "option of data set 'digits'='path'"),
        ("digits", {"binarization": "dynamical"}, "did you mean 'dynamic'"),
        ("npz", {}, "needs data.path"),
        ("mnist", {"data_dir": "/nowhere"}, "not prepared in '/nowhere'.*download=true"),
    ],
)
def test_bad_choices_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_dataset(name, **options)


def test_binarizing_what_is_no_probability_is_refused(tmp_path):
    path = write_npz(tmp_path / "real.npz", x=np.linspace(-5, 5, 60).reshape(20, 3))
    with pytest.raises(ValueError, match=r"needs values in 0 \.\. 1.*vae.likelihood=gaussian"):
        datasets.load_dataset("npz", path=path, binarization="dynamic")


@pytest.mark.parametrize("batch_size", [0, 1259])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    with pytest.raises(ValueError, match=rf"1 \.\. 1258.*got {batch_size}"):
        datasets.make_batches(datasets.load_digits(), batch_size)


def test_fingerprint_tells_data_apart():
    one, other = datasets.load_digits(), datasets.load_digits(seed=1)
    assert datasets.fingerprint(one) == datasets.fingerprint(datasets.load_digits())
    assert datasets.fingerprint(one) != datasets.fingerprint(other)
    relabelled = one._replace(test=Examples(one.test.x, one.test.y[::-1]))
    assert datasets.fingerprint(one) != datasets.fingerprint(relabelled)


def test_expected_examples_are_the_mean_of_the_bits():
    data = datasets.load_digits()
    assert jnp.allclose(datasets.expected_examples(data, data.test).x, data.test.x / 16)
