"""From arrays to a data set: its values described, bits drawn, examples split or given in part."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax import Array
from jaxtyping import Key
import numpy as np

from vae_jax.datasets.binarization import BINARIZATIONS, binarize
from vae_jax.datasets.data import Dataset, Examples, Values, num_examples
from vae_jax.distributions import Masked
from vae_jax.lookup import check_seed, look_up, pick

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
) -> Dataset:
    """Make a data set of arrays, checking that its binarization is possible.

    "static" draws the bits of grey values here, once. Values that are all 0 or 1 are bits already;
    their binarization is "static" whatever was asked for.

    Args:
      name: what the header and the errors call it.
      train, validation, test: the examples; x may be Masked, or a dictionary of fields.
      maximum: the stored value that stands for 1, or {field: value}.
      binarization: a row of BINARIZATIONS, or {field: row}.
      seed: of the static binarization.
      likelihood: the row of `models.LIKELIHOODS` that suits the values where no bits are drawn.

    Raises:
      ValueError: an unknown binarization, values that cannot be probabilities of bits, or a seed
        outside of 0 .. 2^32 - 1.
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
    parts = [part._replace(x=x) for part, x in zip(parts, xs, strict=True)]
    return Dataset(name, *parts, values, _labels([part.y for part in parts]))


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
    low, high = (float(each / maximum) for each in _range(arrays))
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
