"""From arrays to a data set: its values described, bits drawn, examples split or given in part."""

from collections.abc import Mapping, Sequence
from typing import Any
import warnings

import jax
from jax import Array
from jaxtyping import Key
import numpy as np

from vae_jax.datasets.binarization import BINARIZATIONS, binarize
from vae_jax.datasets.data import Dataset, Examples, Units, Values, num_examples
from vae_jax.distributions import Masked
from vae_jax.lookup import check_seed, look_up, pick

SPLITS = ("train", "validation", "test")
_BINARIZATION = 0x62697473  # "bits", so that binarization and split of one seed share no key


def make_dataset(
    name: str,
    train: Examples,
    validation: Examples,
    test: Examples,
    maximum: Any,
    binarization: Any,
    seed: int = 0,
    likelihood: str = "",
    standardized: bool = False,
) -> Dataset:
    """Make a data set of arrays, checking that its binarization is possible.

    "static" draws the bits of grey values here, once. Values that are all 0 or 1 are bits already;
    their binarization is "static" whatever was asked for.

    Args:
      name: what the header and the errors call it.
      train, validation, test: the examples; x may be Masked, or a dictionary of fields which may.
      maximum: the stored value that stands for 1, or {field: value}.
      binarization: a row of BINARIZATIONS, or {field: row}.
      seed: of the static binarization.
      likelihood: the row of `models.LIKELIHOODS` that suits the values where no bits are drawn.
      standardized: whether real numbers are stored standardized by the training examples.

    Raises:
      ValueError: an unknown binarization, values that cannot be probabilities of bits, a seed
        outside of 0 .. 2^32 - 1, or nothing to standardize.
    """
    check_seed(seed=seed)
    parts = (train, validation, test)
    for option, value in {"maximum": maximum, "binarization": binarization}.items():
        _check_by_field(option, value, train.x)
    key = jax.random.fold_in(jax.random.key(seed), _BINARIZATION)
    if not isinstance(train.x, Mapping):
        xs, values = describe(
            [part.x for part in parts], name, maximum, binarization, key, likelihood
        )
    else:
        described = {
            field: describe(
                [part.x[field] for part in parts],
                f"{name}, field {field}",
                pick(maximum, field),
                pick(binarization, field),
                jax.random.fold_in(key, i),
                likelihood,
            )
            for i, field in enumerate(train.x)
        }
        values = {field: each[1] for field, each in described.items()}
        xs = [{field: each[0][i] for field, each in described.items()} for i in range(3)]
    if standardized:
        xs, values = standardize_real(xs, values, name)
    parts = [part._replace(x=x) for part, x in zip(parts, xs, strict=True)]
    return Dataset(name, *parts, values, _labels([part.y for part in parts]))


def standardize_real(xs: Sequence[Any], values: Any, name: str) -> tuple[Sequence[Any], Any]:
    """Return the three parts and their Values with the real numbers standardized.

    Integers are left as they are where other fields are no integers.

    Raises:
      ValueError: there are none: all values are bits or levels; `name` says in the error whose.
    """
    fields = {"x": values} if isinstance(values, Values) else dict(values)
    by_field = [{"x": x} for x in xs] if isinstance(values, Values) else [dict(x) for x in xs]
    grey = [f for f in fields if fields[f].binarization == "none" and fields[f].maximum == 1]
    real = [field for field in grey if not fields[field].is_integer] or grey
    if not real:
        raise ValueError(
            f"standardize=true is for real numbers, but the values of {name} are bits or levels"
        )
    for field in real:
        parts, units, ends = standardize([x[field] for x in by_field])
        for x, part in zip(by_field, parts, strict=True):
            x[field] = part
        fields[field] = fields[field]._replace(
            units=units, kind="real", value_range=ends, is_integer=False
        )
    by_field = [jax.tree.map(_as_float32, x) for x in by_field]
    if isinstance(values, Values):
        return [x["x"] for x in by_field], fields["x"]
    return by_field, fields


def _as_float32(array):
    return array.astype(np.float32) if array.dtype == np.float64 else array


def standardize(
    xs: Sequence[Any], is_log: bool = False
) -> tuple[list[Any], Units, tuple[float, float]]:
    """Return the parts of one array standardized, what undoes it, and the range of their values.

    Each value has mean 0 and standard deviation 1 over the training examples that have it; the
    scale of one that is constant there, or never observed, is 1.

    Args:
      xs: the three parts, float64, or Masked.
      is_log: whether the logarithms are standardized; all observed values are above 0.
    """
    arrays = [_with_nan(x) for x in xs]
    if is_log:
        arrays = [np.log(array) for array in arrays]
    with warnings.catch_warnings(action="ignore"):  # of values that are never observed
        location, scale = np.nanmean(arrays[0], axis=0), np.nanstd(arrays[0], axis=0)
    # Rounding leaves constant values a tiny spread.
    is_constant = ~(scale > 1e-12 * np.abs(location))
    location, scale = np.nan_to_num(location), np.where(is_constant, 1.0, scale)
    arrays = [((array - location) / scale).astype(np.float32) for array in arrays]
    ends = min(np.nanmin(each) for each in arrays), max(np.nanmax(each) for each in arrays)
    parts = [
        Masked(np.nan_to_num(array), x.mask) if isinstance(x, Masked) else array
        for array, x in zip(arrays, xs, strict=True)
    ]
    units = Units(*(tuple(each.ravel().tolist()) for each in (location, scale)), is_log)
    return parts, units, (float(ends[0]), float(ends[1]))


def _with_nan(x):
    return np.where(x.mask > 0, x.values, np.nan) if isinstance(x, Masked) else x


def describe(
    xs: Sequence[Any],
    name: str,
    maximum: float,
    binarization: str,
    key: Key[Array, ""],
    likelihood: str = "",
) -> tuple[Sequence[Any], Values]:
    """Return the three parts of one array, binarized if that is static, and its Values.

    Raises:
      ValueError: as `make_dataset`.
    """
    look_up(dict.fromkeys(BINARIZATIONS), binarization, "binarization")
    arrays = [x.values if isinstance(x, Masked) else x for x in xs]
    observed = [each for each in map(observed_values, xs) if each.size]
    if not observed:
        raise ValueError(f"all values of {name} are missing")
    low, high = (float(each / maximum) for each in _range(observed))
    if binarization != "none" and not 0 <= low <= high <= 1:
        raise ValueError(
            f"binarization={binarization!r} needs values in 0 .. 1 (or uint8), but the values "
            f"of {name} lie in {low:g} .. {high:g}: use binarization=none and "
            "likelihood=gaussian"
        )
    if all(np.all((array == 0) | (array == maximum)) for array in arrays):
        binarization = "static"
    elif binarization == "static":
        arrays, maximum = _draw_bits(arrays, maximum, key), 1.0
        xs = [
            Masked(bits, x.mask) if isinstance(x, Masked) else bits
            for bits, x in zip(arrays, xs, strict=True)
        ]
    is_integer = all(x.dtype.kind in "bui" or np.all(x == np.round(x)) for x in arrays)
    likelihood = likelihood if binarization == "none" else "bernoulli"
    shape = arrays[0].shape[1:]
    return xs, Values(shape, maximum, (low, high), binarization, is_integer, likelihood)


def _labels(ys):
    # Lowest and highest label, or None where y is none.
    if ys[0] is None or ys[0].ndim > 1 or ys[0].dtype.kind not in "ui":
        return None
    return min(int(y.min()) for y in ys), max(int(y.max()) for y in ys)


def _check_by_field(option, value, x):
    # One entry for each field, where x has fields.
    if not isinstance(value, Mapping):
        return
    if not isinstance(x, Mapping):
        raise ValueError(f"{option} names the fields {', '.join(value)}, but x is one array")
    if set(value) != set(x):
        raise ValueError(f"{option} must name the fields {', '.join(x)}; got {', '.join(value)}")


def observed_values(x: Any) -> np.ndarray:
    """Return the values of an array, or those of Masked that are observed, as a vector."""
    return x.values[np.asarray(x.mask) > 0] if isinstance(x, Masked) else np.ravel(x)


def _range(arrays):
    return min(array.min() for array in arrays), max(array.max() for array in arrays)


def _draw_bits(arrays, maximum, key):
    return [
        np.asarray(binarize(k, x, maximum)).astype(np.uint8)
        for k, x in zip(jax.random.split(key, len(arrays)), arrays, strict=True)
    ]


def quadrants(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return which pixels are given, as 0. and 1.: the lower left, upper left, upper right quarter.

    Section 5.1 of Sohn et al. (2015) gives one, two or three of them and predicts the rest.

    Args:
      shape: (height, width, color).
      count: how many quarters.

    Raises:
      ValueError: not an image, or a count that is not 1, 2 or 3.
    """
    if not isinstance(shape, tuple) or len(shape) != 3 or not 1 <= count <= 3:
        raise ValueError(
            f"given_quadrants must be 1, 2 or 3 (or 0), of images (height, width, color); got "
            f"{count} of examples of shape {shape}"
        )
    given = np.zeros(shape, np.float32)
    row, column = shape[0] // 2, shape[1] // 2
    corners = [np.s_[row:, :column], np.s_[:row, :column], np.s_[:row, column:]]
    for corner in corners[:count]:
        given[corner] = 1
    return given


def split_examples(examples: Examples, fractions: tuple[float, float], seed: int) -> list[Examples]:
    """Split examples at random into train, validation and test.

    Args:
      examples: all of them.
      fractions: of validation and test.
      seed: of the permutation.

    Raises:
      ValueError: too few examples for one in each part, or a seed outside of 0 .. 2^32 - 1.
    """
    check_seed(seed=seed)
    count = num_examples(examples)
    num_validation, num_test = (max(1, round(f * count)) for f in fractions)
    if count < 3:
        raise ValueError(
            f"need at least 3 examples to split into train, validation and test, got {count}"
        )
    test, validation, train = _permuted_parts(examples, (num_test, num_validation), seed)
    return [train, validation, test]


def split_as_said(examples: Examples, split: Any, name: str) -> list[Examples]:
    """Split examples into train, validation and test as `split` says of each.

    Raises:
      ValueError: not one of these three words per example, or a part without any; `name` says in
        the error whose.
    """
    split = np.asarray(split)
    if split.shape != (num_examples(examples),) or set(split.tolist()) != set(SPLITS):
        got = ", ".join(sorted(map(str, set(split.ravel().tolist())))[:5])
        raise ValueError(
            f"the split of {name} must say {', '.join(SPLITS)} of its {num_examples(examples)} "
            f"examples, each at least once; got {len(split)} of {got}"
        )
    return [jax.tree.map(lambda leaf, rows=split == part: leaf[rows], examples) for part in SPLITS]


def split_in_two(examples: Examples, fraction: float, seed: int) -> list[Examples]:
    """Split examples at random; return [the others, this fraction of them].

    Args:
      examples: all of them.
      fraction: of the second part.
      seed: of the permutation.

    Raises:
      ValueError: fewer than two examples, or a seed outside of 0 .. 2^32 - 1.
    """
    check_seed(seed=seed)
    count = num_examples(examples)
    if count < 2:
        raise ValueError(f"need at least 2 examples to split into two parts, got {count}")
    second, first = _permuted_parts(examples, (max(1, round(fraction * count)),), seed)
    return [first, second]


def _permuted_parts(examples, sizes, seed):
    # Disjoint random parts of these sizes, and what is left.
    order = np.asarray(jax.random.permutation(jax.random.key(seed), num_examples(examples)))
    return [
        jax.tree.map(lambda leaf, indices=indices: leaf[indices], examples)
        for indices in np.split(order, np.cumsum(sizes))
    ]
