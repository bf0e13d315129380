"""Prepared TFDS data: the cache of what was decoded, and what is refused."""

import json
from pathlib import Path
import shutil

import numpy as np
import pytest

from vae_jax import datasets
from vae_jax.datasets import tfds_arrays


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder that looks prepared, a cache of its own, and a list of what is decoded."""
    folder, decoded = tmp_path / "data" / "some" / "1.0.0", []
    folder.mkdir(parents=True)
    write_info(folder)
    (folder / "some-train.array_record-00000-of-00001").write_bytes(b"records")

    def decode(name, version, root, features, splits, convert):
        decoded.append(name)
        return {f"{split}/{key}": np.arange(10_000) for split in splits for key in features}

    monkeypatch.setattr(tfds_arrays, "_decode", decode)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path, folder, decoded


def write_info(folder, name="some", shards=1):
    """Write what TFDS says of a data set: its name, and the shards of its one split."""
    splits = [{"name": "train", "shardLengths": ["9"] * shards}]
    (folder / "dataset_info.json").write_text(json.dumps({"name": name, "splits": splits}))


def read(folder, splits=("train",), convert=None):
    features = {"x": "image"}
    return tfds_arrays.read_tfds("some", "1.0.0", str(folder), False, features, splits, convert)


def test_what_was_decoded_is_kept(prepared):
    """Decoded once; again where the prepared files changed."""
    folder, records, decoded = prepared
    first, again = read(folder / "data"), read(folder / "data")
    np.testing.assert_array_equal(first["train"]["x"], again["train"]["x"])
    assert len(decoded) == 1
    (records / "some-test.array_record-00000-of-00001").write_bytes(b"more")
    read(folder / "data")
    assert len(decoded) == 2


def test_another_conversion_is_another_cache(prepared):
    """Mutant: the cache holds what another row made of the same images."""
    folder, _, decoded = prepared
    read(folder / "data")
    read(folder / "data", convert=np.negative)
    assert len(decoded) == 2


def test_an_unknown_split_is_refused(prepared):
    """Mutant: 0 of the 0 files of that split are there."""
    folder, _, decoded = prepared
    with pytest.raises(ValueError, match="has no split 'small1'; known: train"):
        read(folder / "data", ("train", "small1"))
    assert not decoded


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


def test_another_data_set_inside_and_missing_files_are_refused(prepared):
    """Mutants: KeyError: 'label' of the other data set; half of the examples taken for all."""
    folder, records, decoded = prepared
    write_info(records, name="other")
    with pytest.raises(
        ValueError, match=r"holds the data set 'other', not 'some': prepare it anew"
    ):
        read(folder / "data")
    write_info(records, shards=2)
    with pytest.raises(ValueError, match="holds 1 of the 2 files of the split 'train' of some"):
        read(folder / "data")
    (records / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset_info\.json' is damaged"):
        read(folder / "data")
    assert not decoded


def test_what_the_readers_raise_is_one_line(prepared, monkeypatch):
    """Damaged records make array_record and the decoder of images raise errors of many kinds."""
    folder, _, _ = prepared

    def decode(*arguments):
        raise RuntimeError("several\nlines")

    monkeypatch.setattr(tfds_arrays, "_decode", decode)
    with pytest.raises(
        ValueError, match=r"^cannot read some in .*RuntimeError: several lines; prep"
    ):
        read(folder / "data")


@pytest.mark.slow
def test_real_records_that_are_damaged_are_refused(tfds_dir, tmp_path, monkeypatch):
    """MNIST with half of its test records, and with bytes of a record overwritten."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = Path(tfds_dir) / "mnist" / "3.0.1"
    for damage in (lambda whole: whole[: len(whole) // 2], lambda whole: b"x" * len(whole)):
        shutil.copytree(source, tmp_path / "mnist" / "3.0.1", dirs_exist_ok=True)
        (records,) = (tmp_path / "mnist" / "3.0.1").glob("mnist-test.array_record*")
        records.write_bytes(damage(records.read_bytes()))
        with pytest.raises(ValueError, match=r"^cannot read mnist in ") as caught:
            datasets.load_mnist(data_dir=str(tmp_path))
        assert "\n" not in str(caught.value)
