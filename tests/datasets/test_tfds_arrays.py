"""Prepared TFDS data: the cache of what was decoded, and what is refused."""

import numpy as np
import pytest

from vae_jax.datasets import tfds_arrays


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder that looks prepared, a cache of its own, and a list of what is decoded."""
    folder, decoded = tmp_path / "data" / "some" / "1.0.0", []
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "some-train.array_record-00000-of-00001").write_bytes(b"records")

    def decode(name, version, root, features):
        decoded.append(name)
        return {"train": {key: np.arange(10_000) for key in features}}

    monkeypatch.setattr(tfds_arrays, "_decode", decode)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path, folder, decoded


def read(folder):
    return tfds_arrays.read_tfds("some", "1.0.0", str(folder), False, {"x": "image"})


def test_what_was_decoded_is_kept(prepared):
    """Decoded once; again where the prepared files changed."""
    folder, records, decoded = prepared
    first, again = read(folder / "data"), read(folder / "data")
    np.testing.assert_array_equal(first["train"]["x"], again["train"]["x"])
    assert len(decoded) == 1
    (records / "some-test.array_record-00000-of-00001").write_bytes(b"more")
    read(folder / "data")
    assert len(decoded) == 2


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_damaged_cache_is_read_anew(prepared, content):
    """Empty, foreign, or cut in half. Mutant: what half a file holds is taken."""
    folder, _, decoded = prepared
    first = read(folder / "data")
    (cached,) = (folder / "cache" / "vae_jax").iterdir()
    cached.write_bytes(cached.read_bytes()[:1000] if content is None else content)
    np.testing.assert_array_equal(first["train"]["x"], read(folder / "data")["train"]["x"])
    assert len(decoded) == 2


def test_another_format_is_refused(prepared):
    """Mutant: an array_record reader that fails with a traceback of its own."""
    folder, records, _ = prepared
    (records / "some-train.array_record-00000-of-00001").rename(records / "some.tfrecord")
    with pytest.raises(ValueError, match="does not hold array_record files"):
        read(folder / "data")
