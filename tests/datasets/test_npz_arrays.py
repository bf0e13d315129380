"""One's own arrays in an npz."""

import numpy as np
import pytest

from tests.datasets.files import write_npz
from vae_jax import datasets, models


@pytest.fixture
def npz(tmp_path):
    """A file of 50 examples with labels."""
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 2)).astype(np.uint8)
    return write_npz(tmp_path / "own.npz", x=x, y=np.arange(50))


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


def test_binarizing_what_is_no_probability_is_refused(tmp_path):
    path = write_npz(tmp_path / "real.npz", x=np.linspace(-5, 5, 60).reshape(20, 3))
    with pytest.raises(ValueError, match=r"needs values in 0 \.\. 1.*likelihood=gaussian"):
        datasets.load_dataset("npz", path=path, binarization="dynamic")


def test_real_numbers_without_a_likelihood_are_refused_with_those_that_fit(tmp_path):
    """No likelihood is guessed for real numbers: every one that is a density of them is named."""
    path = write_npz(tmp_path / "real.npz", x=np.linspace(-5, 5, 60).reshape(20, 3))
    data = datasets.load_dataset("npz", path=path)
    assert data.values.likelihood == ""
    with pytest.raises(ValueError) as caught:
        models.make_vae_for(data)
    message = str(caught.value)
    fits = [name for name, row in models.LIKELIHOODS.items() if row.values == "real"]
    others = [name for name, row in models.LIKELIHOODS.items() if row.values != "real"]
    assert len(fits) >= 5 and all(name in message for name in fits)
    assert not any(f" {name}" in message for name in others), message
    assert "\n" not in message
    assert models.make_vae_for(data, likelihood="gaussian", latent_dim=2, hidden=(3,))
