"""Data sets: arrays, and the description of their values.

Arrays keep the type of their source (such as uint8); they are converted inside the jitted step.
"""

from collections.abc import Mapping, Sequence
import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.datasets.binarization import BINARIZATIONS, binarize
from vae_jax.distributions import Masked
from vae_jax.lookup import look_up, pick

_BINARIZATION = 0x62697473  # "bits", so that binarization and split of one seed share no key


class Examples(NamedTuple):
    """Examples x and, where there is one, a condition or label y: pytrees with a leading axis."""

    x: Any
    y: Any = None


class Values(NamedTuple):
    """What the stored numbers of one array are, and how the model sees them."""

    shape: tuple[int, ...]
    """Of one example."""
    maximum: float
    """The stored value that stands for 1: the model sees x / maximum."""
    value_range: tuple[float, float]
    """Least and largest value of x / maximum, in all examples."""
    binarization: str
    """"dynamic": bits drawn anew for every batch with P(1) = x / maximum; "static": the stored
    values are bits, drawn once; "none": values as they are."""
    is_integer: bool
    """Whether all stored values are integers."""
    likelihood: str = ""
    """The row of `models.LIKELIHOODS` that suits them, or "" where they do not tell."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the values are, as keys of `models.VALUES`."""
        if self.binarization != "none":
            return ("bits",)
        low, high = self.value_range
        kinds = {
            "real": True,
            "unit": low >= 0 and high <= 1,
            "levels": self.is_integer and self.maximum > 1 and low >= 0 and high <= 1,
            "counts": self.is_integer and self.maximum == 1 and low >= 0,
        }
        return tuple(kind for kind, holds in kinds.items() if holds)

    @property
    def protocol(self) -> str:
        """How the values are used: their binarization, or what they are without one."""
        if self.binarization != "none":
            return f"binarization {self.binarization}"
        return f"{self.num_levels} levels" if "levels" in self.kinds else "values as they are"

    @property
    def num_levels(self) -> int:
        """The number of values 0, 1 / maximum, ..., 1."""
        return int(self.maximum) + 1


class Dataset(NamedTuple):
    """Training, validation and test examples, with the protocol that their numbers depend on.

    x is an array, Masked(values, mask) or a dictionary of arrays (fields).
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    values: Any
    """Values of x, or {field: Values}."""
    given: Any = None
    """Which pixels are y instead of x, as 0. and 1. in the shape of x; None: y is as stored."""

    @property
    def fields(self) -> dict[str, Values]:
        """The Values of each field; a single array is a field named "x"."""
        return {"x": self.values} if isinstance(self.values, Values) else self.values

    @property
    def is_plain(self) -> bool:
        """Whether x is one array."""
        return isinstance(self.values, Values)

    @property
    def shape(self) -> Any:
        """Shape of one example, or {field: shape}."""
        return self.by_field("shape")

    @property
    def maximum(self) -> Any:
        """The stored value that stands for 1, or {field: value}."""
        return self.by_field("maximum")

    @property
    def binarization(self) -> Any:
        """How bits are drawn, or {field: how}."""
        return self.by_field("binarization")

    @property
    def is_masked(self) -> bool:
        """Whether some entries of x are missing, or given as y."""
        return self.given is not None or isinstance(self.train.x, Masked)

    @property
    def condition(self) -> int | tuple[int, ...] | None:
        """What y is: None, the number of classes of a label, or the shape of an array."""
        if self.given is not None:
            return self.shape
        y = self.train.y
        if y is None:
            return None
        if y.ndim > 1 or y.dtype.kind not in "ui":
            return tuple(y.shape[1:])
        return 1 + max(int(part.y.max()) for part in (self.train, self.validation, self.test))

    @property
    def protocol(self) -> str:
        """What a reported number depends on: data set, binarization, and which part is given."""
        if self.is_plain:
            how = self.values.protocol
        else:
            how = ", ".join(f"{field}: {each.protocol}" for field, each in self.fields.items())
        part = "" if self.given is None else f", {self.given.mean():.0%} of the image given"
        return f"{self.name}, {how}{part}"

    def by_field(self, name: str) -> Any:
        """Return one entry of Values, or {field: entry} where there are fields."""
        if isinstance(self.values, Values):
            return getattr(self.values, name)
        return {field: getattr(values, name) for field, values in self.values.items()}


def num_examples(examples: Examples) -> int:
    """Return how many examples there are."""
    return len(jax.tree.leaves(examples.x)[0])


def fingerprint(dataset: Dataset) -> str:
    """Return a short hash of every array of the data set, to be kept beside its numbers."""
    digest = hashlib.blake2b(digest_size=8)
    for leaf in jax.tree.leaves((dataset.train, dataset.validation, dataset.test)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()


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
      ValueError: an unknown binarization, or values that cannot be probabilities of bits.
    """
    parts = (train, validation, test)
    for option, value in {"maximum": maximum, "binarization": binarization}.items():
        _check_by_field(option, value, train.x)
    if not isinstance(train.x, Mapping):
        xs, values = describe(
            [part.x for part in parts], name, maximum, binarization, seed, likelihood
        )
    else:
        described = {
            field: describe(
                [part.x[field] for part in parts],
                f"{name}, field {field}",
                pick(maximum, field),
                pick(binarization, field),
                seed + i,
                likelihood,
            )
            for i, field in enumerate(train.x)
        }
        values = {field: each[1] for field, each in described.items()}
        xs = [{field: each[0][i] for field, each in described.items()} for i in range(3)]
    parts = [part._replace(x=x) for part, x in zip(parts, xs, strict=True)]
    return Dataset(name, *parts, values)


def describe(
    xs: Sequence[Any], name: str, maximum: float, binarization: str, seed: int, likelihood: str = ""
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
        arrays, maximum = _draw_bits(arrays, maximum, seed), 1.0
        xs = [
            Masked(bits, x.mask) if isinstance(x, Masked) else bits
            for bits, x in zip(arrays, xs, strict=True)
        ]
    is_integer = all(x.dtype.kind in "bui" or np.all(x == np.round(x)) for x in arrays)
    likelihood = likelihood if binarization == "none" else "bernoulli"
    shape = arrays[0].shape[1:]
    return xs, Values(shape, maximum, (low, high), binarization, is_integer, likelihood)


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


def _draw_bits(arrays, maximum, seed):
    key = jax.random.fold_in(jax.random.key(seed), _BINARIZATION)
    return [
        np.asarray(binarize(k, x, maximum)).astype(np.uint8)
        for k, x in zip(jax.random.split(key, len(arrays)), arrays, strict=True)
    ]


def quadrants(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Return which pixels are given, as 0. and 1.: the lower left, upper left, upper right quarter.

    Section 5.2 of Sohn et al. (2015) gives one, two or three of them and predicts the rest.

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
      ValueError: too few examples for one in each part.
    """
    count = num_examples(examples)
    num_validation, num_test = (max(1, round(f * count)) for f in fractions)
    if count < 3:
        raise ValueError(
            f"need at least 3 examples to split into train, validation and test, got {count}"
        )
    order = np.asarray(jax.random.permutation(jax.random.key(seed), count))
    parts = np.split(order, [num_test, num_test + num_validation])

    def select(indices):
        return jax.tree.map(lambda leaf: leaf[indices], examples)

    test, validation, train = map(select, parts)
    return [train, validation, test]
