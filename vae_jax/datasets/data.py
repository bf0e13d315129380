"""Data sets: arrays, and the description of their values.

Arrays keep the type of their source (such as uint8); they are converted inside the jitted step.
"""

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.distributions import Masked


class Examples(NamedTuple):
    """Examples x and, where there is one, a condition or label y: pytrees with a leading axis."""

    x: Any
    y: Any = None


class Factor(NamedTuple):
    """One factor of variation: it takes the values of index 0 .. size - 1."""

    name: str
    size: int


class Units(NamedTuple):
    """Where values stand that are stored standardized: u = (x - location) / scale.

    Numbers of each value, in C order. Log-densities are those of x: see `distributions.InUnits`.
    """

    location: tuple[float, ...]
    scale: tuple[float, ...]
    is_log: bool = False
    """Whether it is log x that is standardized."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str
    """A key of `columns.KINDS`, which is the field that it stands in; "drop": it is left out."""
    categories: tuple[Any, ...] = ()
    """The values that it takes, where they are no numbers."""


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
    rendering: str = ""
    """The row of `RENDERINGS` that makes the image of a stored index; "": images are stored."""
    units: Units | None = None
    """Where the values stand, if they are stored standardized."""
    kind: str = ""
    """The one of `kinds` where it is said, not seen from the values."""
    classes: tuple[int, ...] = ()
    """Of one-hot vectors that follow each other, the number of classes of each."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the values are, as keys of `models.VALUES`."""
        if self.kind:
            return (self.kind,)
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
        if self.units is not None:
            return "logarithms, standardized" if self.units.is_log else "standardized"
        if self.kind:
            return self.kind.replace("_", "-")
        if self.binarization != "none":
            return f"binarization {self.binarization}"
        return f"{self.num_levels} levels" if "levels" in self.kinds else "values as they are"

    @property
    def num_levels(self) -> int | tuple[int, ...]:
        """The number of values 0, 1 / maximum, ..., 1, or of classes of each one-hot vector."""
        return self.classes or int(self.maximum) + 1


class Dataset(NamedTuple):
    """Training, validation and test examples, with the protocol that their numbers depend on.

    x is an array, Masked(values, mask) or a dictionary of these (fields).
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    values: Any
    """Values of x, or {field: Values}."""
    labels: tuple[int, int] | None = None
    """Lowest and highest label, where y is one integer per example."""
    num_labels: int | None = None
    """How many training examples have a label, where y of the others is -1; None: all that do."""
    given: Any = None
    """Which pixels are y instead of x, as 0. and 1. in the shape of x; None: y is as stored."""
    factors: tuple[Factor, ...] | None = None
    """The factors of variation, where they are known: see `factors_of`."""
    columns: tuple[Column, ...] | None = None
    """The columns of a table, in its order; those of one kind make up a field, in this order."""

    @property
    def fields(self) -> dict[str, Values]:
        """The Values of each field; a single array is a field named "x"."""
        return {"x": self.values} if self.is_plain else self.values

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
    def is_rendered(self) -> bool:
        """Whether a stored x is an index, of which the image is rendered."""
        return self.is_plain and bool(self.values.rendering)

    @property
    def is_masked(self) -> bool:
        """Whether some entries of x are missing, or given as y."""
        masked = self.masked
        return masked if self.is_plain else any(masked.values())

    @property
    def masked(self) -> Any:
        """Whether some entries of x are missing, or given as y; {field: whether} of fields."""
        x = self.train.x
        if self.is_plain:
            return self.given is not None or isinstance(x, Masked)
        return {field: isinstance(x[field], Masked) for field in self.values}

    @property
    def condition(self) -> int | tuple[int, ...] | None:
        """What y is: None, the number of classes of a label, or the shape of an array."""
        if self.given is not None:
            return self.shape
        if self.labels is not None:
            return 1 + self.labels[1]
        return None if self.train.y is None else tuple(self.train.y.shape[1:])

    @property
    def protocol(self) -> str:
        """What a reported number depends on: data set, binarization, which part is given, and the
        number of labels where some are missing."""
        if self.columns is not None:
            num_columns = sum(column.kind != "drop" for column in self.columns)
            how = f"a table of {num_columns} columns"
        elif self.is_plain:
            how = self.values.protocol
        else:
            how = ", ".join(f"{field}: {each.protocol}" for field, each in self.fields.items())
        part = "" if self.given is None else f", {self.given.mean():.0%} of the image given"
        labels = "" if self.num_labels is None else f", {self.num_labels:,} training labels"
        return f"{self.name}, {how}{part}{labels}"

    def by_field(self, name: str) -> Any:
        """Return one entry of Values, or {field: entry} where there are fields."""
        if self.is_plain:
            return getattr(self.values, name)
        return {field: getattr(values, name) for field, values in self.values.items()}


def num_examples(examples: Examples) -> int:
    """Return how many examples there are."""
    return len(jax.tree.leaves(examples.x)[0])


def factors_of(dataset: Dataset, examples: Examples) -> np.ndarray:
    """Return the index of each factor's value, of stored examples: int32, (examples, factors).

    Of a rendered set, a stored x is the index of an image in the grid of all factors, of which the
    last one varies fastest; of other sets, the factors are the columns of y.

    Raises:
      ValueError: a data set without factors.
    """
    if dataset.factors is None:
        raise ValueError(f"{dataset.name} has no factors of variation: sprites and dsprites have")
    if not dataset.is_rendered:
        return np.asarray(examples.y, np.int32)
    sizes = [factor.size for factor in dataset.factors]
    return np.stack(np.unravel_index(np.asarray(examples.x), sizes), axis=-1).astype(np.int32)


def fingerprint(dataset: Dataset) -> str:
    """Return a short hash of every array of the data set, to be kept beside its numbers."""
    digest = hashlib.blake2b(digest_size=8)
    for leaf in jax.tree.leaves((dataset.train, dataset.validation, dataset.test)):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
