"""One's own arrays in an npz."""

import os
import struct
import zipfile

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
    "infinite": ({"x": np.array([[0.0], [np.inf], [1.0]])}, "1 values that are NaN or infinite"),
    "all missing": ({"x": np.full((9, 2), np.nan)}, "all values of .* are missing"),
    "parts": ({"x_train": np.zeros((9, 2)), "x_test": np.zeros((9, 2))}, "no key 'x_validation'"),
    "parts of y": (
        {f"x_{part}": np.eye(9) for part in datasets.SPLITS}
        | {f"y_{part}": np.arange(8) for part in datasets.SPLITS},
        "the parts train, validation, test differ in length",
    ),
    "shapes of parts": (
        {f"x_{part}": np.zeros((9, i + 1)) for i, part in enumerate(datasets.SPLITS)},
        "x_train, x_validation, x_test do not go together",
    ),
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


def set_bytes(content, signature, offset, value):
    """Return zip content with a byte of each header of that kind set."""
    parts = content.split(signature)
    cut = offset - len(signature)
    changed = [part[:cut] + bytes([value]) + part[cut + 1 :] for part in parts[1:]]
    return signature.join([parts[0], *changed])


def test_zips_that_cannot_be_read_are_refused(tmp_path):
    """Encrypted, compressed by an unknown method, and damaged within the compressed values: zipfile
    raises RuntimeError, NotImplementedError, BadZipFile, ..., which were tracebacks."""
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((60, 4)))
    whole = path.read_bytes()
    local, central = b"PK\x03\x04", b"PK\x01\x02"
    damages = {
        "is encrypted": set_bytes(set_bytes(whole, local, 6, 1), central, 8, 1),
        "compression method": set_bytes(set_bytes(whole, local, 8, 99), central, 10, 99),
        "decompressing|CRC": whole[:100] + bytes(100) + whole[200:],
        "no zip": whole[:1000],
    }
    for message, content in damages.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^cannot read .* as an npz of .*({message})") as why:
            datasets.read_npz(str(path))
        assert "\n" not in str(why.value) and "np.savez(path, x=...) writes one" in str(why.value)


@pytest.mark.parametrize("shape", [(10**12, 4), (10**30,), (-5, 4), (9, 9), "(("])
def test_a_header_that_lies_is_refused(tmp_path, shape):
    """More values than there are, or than any memory holds; or no header at all."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as file:
        file.writestr("x.npy", array)
    with pytest.raises(ValueError, match=r"^cannot read .* as an npz of numbers: ") as caught:
        datasets.read_npz(str(tmp_path / "own.npz"))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_of_arrays_is_refused(tmp_path):
    """A fifo waits for ever for its first byte; a zip may hold anything; a CSV is no pickle."""
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "table.npz").write_text("1,2\n3,4\n")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as file:
        file.writestr("x", "no array")
    messages = {"fifo": "no regular file", "table": "no zip of arrays", "text": "'x' of .* is no a"}
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message):
            datasets.read_npz(str(tmp_path / f"{name}.npz"))


def test_only_the_keys_that_are_used_are_read(tmp_path):
    path = write_npz(tmp_path / "own.npz", x=np.zeros((9, 2)), other=np.array([{}]))
    assert datasets.read_npz(path)[0].shape == (9, 2)


X = np.zeros((60, 4))
LABELS = {
    "beyond 32 bits": (np.arange(60) * 10**9, "'y' of .* must be integers of 32 bits"),
    "uint64": (np.full(60, 2**63, np.uint64), "'y' of .* must be integers of 32 bits"),
    "nan": (np.full(60, np.nan), "'y' of .* has 60 values that are NaN or infinite$"),
    "beyond float32": (np.full(60, 1e300), "'y' of .* has 60 values that are NaN or infinite$"),
    "none": (np.zeros((60, 0), int), "but 'y' has shape"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_no_model_can_be_given_are_refused(case):
    y, message = LABELS[case]
    with pytest.raises(ValueError, match=message):
        datasets.from_arrays(X, y)


def test_labels_of_any_type_are_what_they_say():
    """bool are two classes; uint64 that fit are classes; floats are values, not classes."""
    assert datasets.from_arrays(X, np.arange(60) % 2 == 0).condition == 2
    assert datasets.from_arrays(X, (np.arange(60) % 3).astype(np.uint64)).condition == 3
    floats = datasets.from_arrays(X, np.linspace(0, 1, 60))
    assert floats.condition == () and floats.train.y.dtype == np.float32


def test_more_classes_than_a_model_can_have_are_refused():
    data = datasets.from_arrays(X, np.arange(60) * 10**7)
    with pytest.raises(ValueError, match="below 1,000,000, got 590000000: number the classes fr"):
        models.make_vae_for(data, likelihood="bernoulli", conditional=True)
