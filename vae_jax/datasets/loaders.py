"""The DATASETS table: one function for each data set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.images import load_images
from vae_jax.datasets.labels import (
    check_missing_labels,
    keep_labels,
    split_labelled,
    with_missing_labels,
)
from vae_jax.datasets.making import make_dataset, quadrants, split_as_said, split_examples
from vae_jax.datasets.npz_arrays import check_examples, read_npz
from vae_jax.datasets.ppca import draw_examples, draw_model
from vae_jax.datasets.shapes import load_shapes
from vae_jax.datasets.sprites import load_dsprites, load_sprites
from vae_jax.datasets.table import TABLES, columns_of, make_table, read_table
from vae_jax.datasets.tfds_sets import (
    load_binarized_mnist,
    load_fashion_mnist,
    load_mnist,
    load_omniglot,
)
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
    standardize: bool = False,
) -> Dataset:
    """One's own arrays in an npz: key x (examples first, any shape), optionally y and mask.

    NaN is a missing value, as is a 0 in mask. With `fields`, each has a mask_FIELD. 10% are for
    validation and 10% for the test, of labels of which some are missing, of the examples that have
    one; or else the keys are x_train, x_validation and x_test. A file of scipy.sparse is read too.

    Args:
      path: of the file.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic".
      seed: of the split and of the static binarization.
      maximum: stored value that stands for 1; 0: 255 of uint8, else 1.
      fields: keys of the arrays that make up x, each with its own branch; (): the key x.
      missing_labels: whether -1 in y stands for a missing label, for the objective semi_supervised.
      standardize: whether the model sees real numbers with mean 0 and standard deviation 1 over the
        training examples; its log-densities are those of the numbers in the file.

    Raises:
      ValueError: no such file, not an npz, a missing key, lengths that differ, values that are not
        finite numbers, a mask of another shape, an unknown binarization, or missing_labels where y
        is no label.
    """
    if not path:
        raise ValueError("name='npz' needs path=FILE.npz, with the examples under key 'x'")
    if path.endswith(TABLES):
        raise ValueError(f"{path!r} is a table: use data.name=table")
    x, y, mask, split = read_npz(path, fields)
    return from_arrays(
        x,
        y,
        repr(path),
        binarization,
        seed,
        mask=mask,
        maximum=maximum,
        missing_labels=missing_labels,
        standardize=standardize,
        split=split,
    )


def from_arrays(
    x: Any,
    y: Any = None,
    name: str = "array",
    binarization: Any = "none",
    seed: int = 0,
    *,
    mask: Any = None,
    maximum: float = 0.0,
    missing_labels: bool = False,
    standardize: bool = False,
    split: Any = None,
    columns: str | Mapping[str, str] = "",
) -> Dataset:
    """Make a data set of one's own arrays, split 80 / 10 / 10 at random by `seed`.

    Args:
      x: numbers with examples along the first axis (an array, nested lists, a sparse matrix), where
        NaN is a missing value, or {field: such numbers}; uint8 is read as x / 255, others as they
        are. Of a DataFrame, which is a table, only y, name, seed, split and columns are read.
      y: one label or condition per example, or None.
      name: what the header and the errors call it.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic", or {field: one of them}.
      seed: of the split.
      mask: 1 where x was observed and 0 where it is missing, in the shape of x, or {field: mask},
        or None.
      maximum: the stored value that stands for 1; 0: 255 of uint8, else 1.
      missing_labels: whether y = -1 stands for a missing label: validation and test are then 10%
        each of the examples that have one, and all others are for training.
      standardize: whether the model sees real numbers with mean 0 and standard deviation 1 over the
        training examples; its log-densities are those of x all the same.
      split: "train", "validation" or "test" for each example, in the place of `seed`; or None.
      columns: kinds of the columns of a DataFrame: see `load_table`.

    Raises:
      ValueError: x is not an array of finite numbers, y has another length, the mask does not
        fit, the binarization is impossible, the maximum is negative, or labels are said to be
        missing where y is no label.
    """
    check_not_negative(maximum=maximum)
    if hasattr(x, "columns"):
        return make_table(columns_of(x), name, columns, seed, y, split)
    precision = np.float64 if standardize else np.float32
    x, y = check_examples(x, y, name, mask, precision)

    def maximum_of(array):
        return maximum or (255.0 if array.dtype == np.uint8 and array.max() > 1 else 1.0)

    fields = x if isinstance(x, Mapping) else {"x": x}
    maxima = {
        field: maximum_of(each.values if isinstance(each, Masked) else each)
        for field, each in fields.items()
    }
    maxima = maxima if isinstance(x, Mapping) else maxima["x"]
    fractions = (0.1, 0.1)
    if missing_labels:
        y = check_missing_labels(y, name)
    if split is not None:
        parts = split_as_said(Examples(x, y), split, name)
    elif missing_labels:
        parts = split_labelled(Examples(x, y), fractions, seed)
    else:
        parts = split_examples(Examples(x, y), fractions, seed)
    likelihood = "discretized_logistic" if _are_images(x) and maxima == 255 else ""
    dataset = make_dataset(name, *parts, maxima, binarization, seed, likelihood, standardize)
    return with_missing_labels(dataset) if missing_labels else dataset


def _are_images(x):
    # Of 8 bits, grey or in colors.
    return getattr(x, "dtype", None) == np.uint8 and x.ndim == 4 and x.shape[-1] in (1, 3, 4)


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


def load_table(*, path: str = "", columns: str = "", seed: int = 0) -> Dataset:
    """A table with named columns of mixed kinds: CSV, parquet, or one that scikit-learn ships.

    The columns of one kind are a field with its own likelihood; missing cells are masks. 10% of the
    rows are for validation and 10% for the test, or a column `split` says train, validation or
    test. Needs pandas.

    Args:
      path: of the file, or sklearn://NAME (breast_cancer, diabetes, iris, wine).
      columns: kinds of columns (real, positive, bit, count, category; drop leaves one out), as
        "age=real,city=category"; those not named are inferred.
      seed: of the split.

    Raises:
      ValueError: no pandas, no such file, columns that no model can use, or an unknown kind.
    """
    if not path:
        raise ValueError("name='table' needs path=FILE.csv (or .parquet, or sklearn://wine)")
    return make_table(columns_of(read_table(path)), repr(path), columns, seed)


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
    "shapes": load_shapes,
    "sprites": load_sprites,
    "table": load_table,
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
