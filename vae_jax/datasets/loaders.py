"""The DATASETS table: one function for each data set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.images import ink_28x28, load_images
from vae_jax.datasets.labels import (
    check_missing_labels,
    keep_labels,
    split_labelled,
    with_missing_labels,
)
from vae_jax.datasets.making import make_dataset, quadrants, split_examples, split_in_two
from vae_jax.datasets.npz_arrays import check_examples, read_npz
from vae_jax.datasets.ppca import draw_examples, draw_model
from vae_jax.datasets.sprites import load_dsprites, load_sprites
from vae_jax.datasets.tfds_arrays import read_tfds
from vae_jax.distributions import Masked
from vae_jax.lookup import (
    check_not_negative,
    check_options,
    check_positive,
    check_seed,
    check_whole,
    look_up,
)


def load_digits(*, binarization: str = "none", seed: int = 0) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8x8, with labels; nothing is downloaded.

    A pixel is a count: how many of the 16 dots of a 4x4 block are ink. 10% are for validation, 20%
    for the test.

    Args:
      binarization: "none", "dynamic" or "static" (drawn once by `seed`).
      seed: of the split and of the static binarization.
    """
    import sklearn.datasets  # takes 0.6 s: imported where it is used

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    parts = split_examples(Examples(x, labels.astype(np.int32)), (0.1, 0.2), seed)
    return make_dataset("digits", *parts, 16.0, binarization, seed, "binomial")


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


def load_digit_halves(*, binarization: str = "none", seed: int = 0) -> Dataset:
    """The digits as two fields, the upper and the lower half, 4x8 each.

    Args:
      binarization: "none", "dynamic" or "static" (drawn once by `seed`).
      seed: of the split and of the static binarization.
    """
    digits = load_digits(binarization="none", seed=seed)
    parts = (
        Examples({"lower": part.x[:, 4:], "upper": part.x[:, :4]}, part.y)
        for part in (digits.train, digits.validation, digits.test)
    )
    return make_dataset("digit_halves", *parts, 16.0, binarization, seed, "binomial")


def load_npz(
    *,
    path: str = "",
    binarization: str = "none",
    seed: int = 0,
    maximum: float = 0.0,
    fields: tuple[str, ...] = (),
    missing_labels: bool = False,
) -> Dataset:
    """One's own arrays in an npz: key x (examples first, any shape), optionally y and mask.

    10% are for validation and 10% for the test; of labels of which some are missing, of the
    examples that have one.

    Args:
      path: of the file.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic".
      seed: of the split and of the static binarization.
      maximum: stored value that stands for 1; 0: 255 of uint8, else 1.
      fields: keys of the arrays that make up x, each with its own branch; (): the key x.
      missing_labels: whether -1 in y stands for a missing label, for the objective semi_supervised.

    Raises:
      ValueError: no such file, not an npz, a missing key, lengths that differ, values that are not
        finite numbers, a mask of another shape, an unknown binarization, or missing_labels where y
        is no label.
    """
    if not path:
        raise ValueError("name='npz' needs path=FILE.npz, with the examples under key 'x'")
    x, y, mask = read_npz(path, fields)
    return from_arrays(
        x,
        y,
        repr(path),
        binarization,
        seed,
        mask=mask,
        maximum=maximum,
        missing_labels=missing_labels,
    )


def from_arrays(
    x: Any,
    y: np.ndarray | None = None,
    name: str = "array",
    binarization: Any = "none",
    seed: int = 0,
    *,
    mask: np.ndarray | None = None,
    maximum: float = 0.0,
    missing_labels: bool = False,
) -> Dataset:
    """Make a data set of one's own arrays, split 80 / 10 / 10 at random by `seed`.

    Args:
      x: numbers with examples along the first axis, or {field: such an array}; uint8 is read as
        x / 255, others as they are.
      y: one label or condition per example, or None.
      name: what the header and the errors call it.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic", or {field: one of them}.
      seed: of the split.
      mask: 1 where x was observed and 0 where it is missing, in the shape of x, or None.
      maximum: the stored value that stands for 1; 0: 255 of uint8, else 1.
      missing_labels: whether y = -1 stands for a missing label: validation and test are then 10%
        each of the examples that have one, and all others are for training.

    Raises:
      ValueError: x is not an array of finite numbers, y has another length, the mask does not
        fit, the binarization is impossible, the maximum is negative, or labels are said to be
        missing where y is no label.
    """
    check_not_negative(maximum=maximum)
    x, y = check_examples(x, y, name, mask)

    def maximum_of(array):
        return maximum or (255.0 if array.dtype == np.uint8 and array.max() > 1 else 1.0)

    if isinstance(x, Mapping):
        maxima = {field: maximum_of(each) for field, each in x.items()}
    else:
        maxima = maximum_of(x.values if isinstance(x, Masked) else x)
    fractions = (0.1, 0.1)
    if not missing_labels:
        parts = split_examples(Examples(x, y), fractions, seed)
        return make_dataset(name, *parts, maxima, binarization, seed)
    parts = split_labelled(Examples(x, check_missing_labels(y, name)), fractions, seed)
    return with_missing_labels(make_dataset(name, *parts, maxima, binarization, seed))


def load_ppca(
    *,
    features: int = 20,
    true_latents: int = 5,
    noise: float = 0.5,
    num_examples: int = 5000,
    seed: int = 0,
) -> Dataset:
    """Draws from a known linear-Gaussian model: its maximum likelihood is known in closed form.

    10% are for validation and 10% for the test. `ppca.maximum_likelihood` tells the best that a
    linear VAE can reach on the training examples.

    Args:
      features: values of x per example.
      true_latents: dimensions of the z that the data are drawn from, fewer than the features.
      noise: standard deviation of x given z, of which a feature has about 0.8 without noise.
      num_examples: of all three parts together.
      seed: of the model, the draws and the split.

    Raises:
      ValueError: a number that is not possible.
    """
    check_seed(seed=seed)
    check_positive(noise=noise)
    check_whole(2, 10_000, features=features)
    check_whole(1, features - 1, true_latents=true_latents)
    check_whole(10, 10_000_000, num_examples=num_examples)
    model_seed, draw_seed = map(int, np.random.SeedSequence(seed).generate_state(2))
    model = draw_model(features, true_latents, noise, model_seed)
    x, _ = draw_examples(model, num_examples, draw_seed)
    parts = split_examples(Examples(x.astype(np.float32)), (0.1, 0.1), seed)
    return make_dataset("ppca", *parts, 1.0, "none", likelihood="gaussian_learned_scale")


DATASETS = {
    "binarized_mnist": load_binarized_mnist,
    "digit_halves": load_digit_halves,
    "digits": load_digits,
    "dsprites": load_dsprites,
    "fashion_mnist": load_fashion_mnist,
    "images": load_images,
    "mnist": load_mnist,
    "npz": load_npz,
    "omniglot": load_omniglot,
    "ppca": load_ppca,
    "sprites": load_sprites,
}


def load_dataset(
    name: str, given_quadrants: int = 0, num_labels: int = 0, **options: Any
) -> Dataset:
    """Load the data set of that name in DATASETS.

    Args:
      name: a row of DATASETS.
      given_quadrants: 1, 2 or 3 quarters of the image are y, the rest x; 0: y is as stored.
      num_labels: training labels that are kept, balanced over the classes and drawn by the option
        `seed`; the others become -1, missing; 0: all are kept.
      **options: of the loader.

    Raises:
      ValueError: an unknown name, an option that this data set does not take, or what the loader
        raises.
    """
    load = look_up(DATASETS, name, "name")
    check_options(options, [("name", name)], {"name": DATASETS})
    dataset = load(**options)
    if given_quadrants:
        dataset = dataset._replace(given=quadrants(dataset.shape, given_quadrants))
    if num_labels:
        dataset = keep_labels(dataset, num_labels, options.get("seed", 0))
    return dataset
