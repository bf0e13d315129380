"""Data sets through TFDS."""

import numpy as np

from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.images import ink_28x28
from vae_jax.datasets.making import make_dataset, split_in_two
from vae_jax.datasets.tfds_arrays import read_tfds


def load_mnist(
    *, binarization: str = "dynamic", data_dir: str = "", download: bool = False, seed: int = 0
) -> Dataset:
    """MNIST through TFDS: 59,600 training, 400 validation, 10,000 test images, with labels.

    The validation images are the last ones of the training split; 59,600 is the number that the
    code of Burda et al. (2016) trains on.

    Args:
      binarization: "dynamic", "static" (drawn once by `seed`) or "none".
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.
      seed: of the static binarization.

    Raises:
      ValueError: the data are not there, or an unknown binarization.
    """
    parts = _read_labelled("mnist", "3.0.1", data_dir, download, 400)
    return make_dataset("mnist", *parts, 255.0, binarization, seed)


def load_fashion_mnist(
    *, binarization: str = "dynamic", data_dir: str = "", download: bool = False, seed: int = 0
) -> Dataset:
    """Fashion-MNIST through TFDS: 55,000 / 5,000 / 10,000 images of clothes, with labels.

    The validation images are the last ones of the training split.

    Args:
      binarization: "dynamic", "static" (drawn once by `seed`) or "none".
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.
      seed: of the static binarization.

    Raises:
      ValueError: the data are not there, or an unknown binarization.
    """
    parts = _read_labelled("fashion_mnist", "3.0.1", data_dir, download, 5000)
    return make_dataset("fashion_mnist", *parts, 255.0, binarization, seed)


def _read_labelled(name, version, data_dir, download, num_validation):
    # The last ones of the training split are for validation.
    splits = read_tfds(name, version, data_dir, download, {"x": "image", "y": "label"})
    whole, test = (_labelled(splits[split]) for split in ("train", "test"))
    train, validation = (
        Examples(whole.x[part], whole.y[part])
        for part in (slice(-num_validation), slice(-num_validation, None))
    )
    return train, validation, test


def _labelled(columns):
    return Examples(columns["x"], columns["y"].astype(np.int32))


def load_omniglot(
    *,
    split: str = "train",
    test_split: str = "test",
    binarization: str = "dynamic",
    data_dir: str = "",
    download: bool = False,
    seed: int = 0,
) -> Dataset:
    """Omniglot through TFDS: characters of 50 alphabets, grey, ink = 1, with labels.

    The drawings of 105x105 pixels become 28x28, each pixel the share of its area that is ink. Ten
    percent of the training split, drawn by `seed`, are for validation; the alphabets of TFDS's test
    split are none of its training split. It is not the file of 24,345 + 8,070 images that Burda et
    al. (2016) and others use: their numbers are of another split and another resize.

    Args:
      split: TFDS's split for training and validation: train (19,280 images), small1 or small2.
      test_split: TFDS's split for the test: test (13,180), or another of these.
      binarization: "dynamic", "static" (drawn once by `seed`) or "none".
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.
      seed: of the validation images and of the static binarization.

    Raises:
      ValueError: the data are not there, an unknown split, the same one twice, or an unknown
        binarization.
    """
    if split == test_split:
        raise ValueError(f"split and test_split must differ, got {split!r} twice")
    names, features = (split, test_split), {"x": "image", "y": "label"}
    splits = read_tfds("omniglot", "3.0.0", data_dir, download, features, names, ink_28x28)
    whole, test = (_labelled(splits[name]) for name in names)
    train, validation = split_in_two(whole, 0.1, seed)
    name = f"omniglot ({split}, {test_split})"
    return make_dataset(name, train, validation, test, 255.0, binarization, seed)


def load_binarized_mnist(*, data_dir: str = "", download: bool = False) -> Dataset:
    """MNIST as binarized once by Larochelle: 50,000 / 10,000 / 10,000 images, no labels.

    Numbers on it are about two nats from those under dynamic binarization: never compare the two.

    Args:
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.

    Raises:
      ValueError: the data are not there.
    """
    names = ("train", "validation", "test")
    splits = read_tfds("binarized_mnist", "1.0.0", data_dir, download, {"x": "image"}, names)
    parts = (Examples(splits[name]["x"]) for name in names)
    return make_dataset("binarized_mnist", *parts, 1.0, "none")
