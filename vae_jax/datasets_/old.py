"""Data sets: arrays that say what they are, and how training draws its batches from them.

Arrays stay as their source has them (uint8 where it does); a batch is made inside the jitted step.
"""

from collections.abc import Callable
import functools
import hashlib
import inspect
import math
from typing import Any, NamedTuple
import zipfile
import zlib

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np

from vae_jax.tables import look_up
from vae_jax.tfds_arrays import read_tfds

BINARIZATIONS = ("none", "static", "dynamic")


class Examples(NamedTuple):
    """x and, where there is one, y, each a pytree of arrays with a leading axis over examples."""

    x: Any
    y: Any = None


class Dataset(NamedTuple):
    """Three sets of examples and what must be said beside every number measured on them."""

    name: str
    train: Examples
    validation: Examples
    test: Examples
    maximum: float
    """The stored value that stands for 1: a batch holds x / maximum."""
    value_range: tuple[float, float]
    """Least and largest value of x / maximum in the training examples."""
    binarization: str
    """"dynamic": bits drawn anew for every batch with P(1) = x / maximum; "static": the stored
    values are bits, drawn once; "none": values as they are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.train.x.shape[1:]

    @property
    def likelihoods(self) -> tuple[str, ...]:
        """The likelihoods that are densities of these values: bits or real numbers."""
        return ("bernoulli",) if self.binarization in ("static", "dynamic") else ("gaussian",)

    @property
    def protocol(self) -> str:
        """What to write beside a number: name and binarization."""
        return f"{self.name}, binarization {self.binarization}"


class Batches(NamedTuple):
    """How a training loop draws its batches; pure functions, called inside the jitted step."""

    steps_per_epoch: int
    begin_epoch: Callable[[Any, Array, Array], Any]
    """begin_epoch(source, key, epoch) -> source as `batch` wants it throughout that epoch."""
    batch: Callable[[Any, Array, Array], Examples]
    """batch(source, key, step) -> the examples of that step."""


class Shuffled(NamedTuple):
    """Examples and the order in which one epoch visits them."""

    examples: Examples
    order: Any


@functools.partial(jax.jit, static_argnames="maximum", inline=True)
def binarize(key: Key[Array, ""], x: Any, maximum: float) -> Float[Array, "*shape"]:
    """Draw bits with P(1) = x / maximum, as floats.

    It compares 16 random bits with the value scaled to 0 .. 65536, which is exact at both ends and
    to 1 / 65536 between them. Two halves of a 32-bit word serve two values, which takes less than
    half the time of drawing a float, or 16 bits, for each.
    """
    num_values = math.prod(x.shape)
    words = jax.random.bits(key, (-(-num_values // 2),))
    halves = jnp.concatenate([words & 0xFFFF, words >> 16])[:num_values].reshape(x.shape)
    return (halves < x * np.float32(65536 / maximum)).astype(jnp.float32)


def to_model_values(dataset: Dataset, key: Key[Array, ""], x: Any) -> Float[Array, "*shape"]:
    """Turn stored values into what the model sees: bits, drawn now if dynamic, or real numbers."""
    if dataset.binarization == "dynamic":
        return binarize(key, x, dataset.maximum)
    return jnp.asarray(x, jnp.float32) / dataset.maximum


def expected_examples(dataset: Dataset, examples: Examples) -> Examples:
    """Return examples with x / maximum, the mean of what the model sees, as floats."""
    return examples._replace(x=jnp.asarray(examples.x, jnp.float32) / dataset.maximum)


def make_batches(dataset: Dataset, batch_size: int) -> Batches:
    """Make the batches of an epoch: a fresh permutation each time, its remainder dropped.

    Raises:
      ValueError: a batch size below one or above the number of training examples.
    """
    num_examples = len(dataset.train.x)
    if not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"training.batch_size must lie in 1 .. {num_examples}, the number of training "
            f"examples of {dataset.name}; got {batch_size}"
        )
    steps_per_epoch = num_examples // batch_size

    def begin_epoch(source, key, epoch):
        # Sorting random words costs half as much as jax.random.permutation; the odd tie between
        # two words is broken by chance too.
        words = jax.random.bits(jax.random.fold_in(key, epoch), (num_examples,))
        return Shuffled(source, jnp.argsort(words, stable=False))

    def batch(source, key, step):
        start = (step % steps_per_epoch) * batch_size
        indices = jax.lax.dynamic_slice(source.order, (start,), (batch_size,))
        x, y = jax.tree.map(lambda stored: stored[indices], source.examples)
        return Examples(to_model_values(dataset, key, x), y)

    return Batches(steps_per_epoch, begin_epoch, batch)


def check_likelihood(dataset: Dataset, likelihood: str) -> None:
    """Refuse a likelihood that is no density of the data's values.

    Raises:
      ValueError: with the remedies.
    """
    if likelihood in dataset.likelihoods:
        return
    low, high = dataset.value_range
    remedy = (
        "draw bits by data.binarization=dynamic (or static), or use vae.likelihood=gaussian"
        if dataset.binarization == "none"
        else "use vae.likelihood=bernoulli, or keep grey values by data.binarization=none"
    )
    raise ValueError(
        f"vae.likelihood={likelihood!r} does not fit {dataset.protocol} (values {low:g} .. "
        f"{high:g}): {remedy}"
    )


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
    maximum: float,
    binarization: str,
    seed: int = 0,
) -> Dataset:
    """Make a data set of arrays, checking that its binarization is possible.

    "static" draws the bits of grey values here, once; values that are all 0 or 1 are bits already,
    and so "static" whatever was asked for.

    Raises:
      ValueError: an unknown binarization, or values that are no probabilities of bits.
    """
    look_up(dict.fromkeys(BINARIZATIONS), binarization, "data.binarization")
    low, high = train.x.min() / maximum, train.x.max() / maximum
    if binarization != "none" and not 0 <= low <= high <= 1:
        raise ValueError(
            f"data.binarization={binarization!r} needs values in 0 .. 1 (or uint8), but the values "
            f"of {name} lie in {low:g} .. {high:g}: use data.binarization=none and "
            "vae.likelihood=gaussian"
        )
    if np.all((train.x == 0) | (train.x == maximum)):
        binarization = "static"
    elif binarization == "static":
        keys = jax.random.split(jax.random.key(seed), 3)
        train, validation, test = (
            Examples(np.asarray(binarize(key, examples.x, maximum)).astype(np.uint8), examples.y)
            for key, examples in zip(keys, (train, validation, test), strict=True)
        )
        maximum = 1.0
    value_range = (float(low), float(high))
    return Dataset(name, train, validation, test, maximum, value_range, binarization)


def split_examples(examples: Examples, fractions: tuple[float, float], seed: int) -> list[Examples]:
    """Split examples at random into train, validation and test.

    Args:
      examples: all of them.
      fractions: of validation and test.
      seed: of the permutation.

    Raises:
      ValueError: too few examples for one in each part.
    """
    num_examples = len(examples.x)
    num_validation, num_test = (max(1, round(f * num_examples)) for f in fractions)
    if num_examples < 3:
        raise ValueError(
            f"need at least 3 examples to split into train, validation and test, got {num_examples}"
        )
    order = np.asarray(jax.random.permutation(jax.random.key(seed), num_examples))
    parts = np.split(order, [num_test, num_test + num_validation])

    def select(indices):
        return jax.tree.map(lambda leaf: leaf[indices], examples)

    test, validation, train = map(select, parts)
    return [train, validation, test]


def load_digits(*, binarization: str = "dynamic", seed: int = 0) -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels, with labels.

    They come with scikit-learn, so that nothing is downloaded; 10% are for validation, 20% for the
    test, split by `seed`.
    """
    import sklearn.datasets  # 0.6 s: only those who ask for it pay

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    parts = split_examples(Examples(x, labels.astype(np.int32)), (0.1, 0.2), seed)
    return make_dataset("digits", *parts, 16.0, binarization, seed)


def load_mnist(
    *, binarization: str = "dynamic", data_dir: str = "", download: bool = False, seed: int = 0
) -> Dataset:
    """Load MNIST through TFDS: 59,600 training, 400 validation and 10,000 test images with labels.

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
    features = {"x": "image", "y": "label"}
    splits = read_tfds("mnist", "3.0.1", data_dir, download, features)
    whole, test = (
        Examples(columns["x"], columns["y"].astype(np.int32))
        for columns in (splits["train"], splits["test"])
    )
    train, validation = (
        Examples(whole.x[part], whole.y[part]) for part in (slice(-400), slice(-400, None))
    )
    return make_dataset("mnist", train, validation, test, 255.0, binarization, seed)


def load_binarized_mnist(*, data_dir: str = "", download: bool = False) -> Dataset:
    """Load MNIST as binarized once by Larochelle: 50,000 / 10,000 / 10,000 images, no labels.

    Numbers on it are about two nats from those under dynamic binarization: never compare the two.

    Args:
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.

    Raises:
      ValueError: the data are not there.
    """
    splits = read_tfds("binarized_mnist", "1.0.0", data_dir, download, {"x": "image"})
    parts = (Examples(splits[split]["x"]) for split in ("train", "validation", "test"))
    return make_dataset("binarized_mnist", *parts, 1.0, "none")


def read_npz(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the arrays under the keys `x` and, where there is one, `y` of an npz.

    Raises:
      ValueError: no such file, not an npz, or no key `x`.
    """
    unreadable = (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            columns = {key: arrays[key] for key in arrays.files}
    except unreadable as error:
        raise ValueError(f"cannot read {path!r} as an npz: {error}") from error
    if "x" not in columns:
        raise ValueError(
            f"{path!r} has no key 'x'; its keys: {', '.join(sorted(columns)) or 'none'}"
        )
    return columns["x"], columns.get("y")


def load_npz(*, path: str = "", binarization: str = "none", seed: int = 0) -> Dataset:
    """Load one's own array: key `x` (examples first, any shape) and, where there is one, `y`.

    uint8 values are read as x / 255, others as they are; 10% are for validation and 10% for the
    test, split by `seed`.

    Raises:
      ValueError: no such file, not an npz, no key `x`, lengths that differ, values that are not
        finite numbers, or an unknown binarization.
    """
    if not path:
        raise ValueError(
            "data.name='npz' needs data.path=FILE.npz, with the examples under key 'x'"
        )
    x, y = read_npz(path)
    return from_arrays(x, y, repr(path), binarization, seed)


def check_examples(x: np.ndarray, y: np.ndarray | None, name: str) -> Examples:
    """Return examples of one's own array: uint8 stays as it is, other numbers become float32.

    Raises:
      ValueError: x is no array of finite numbers, or y is not as long; `name` says whose they are.
    """
    if x.ndim == 0 or x.size == 0 or x.dtype.kind not in "buif":
        raise ValueError(
            f"'x' of {name} must be numbers with examples along the first axis, got shape "
            f"{x.shape} of type {x.dtype}"
        )
    with np.errstate(over="ignore"):  # what a float32 cannot hold is refused as infinite
        x = x if x.dtype == np.uint8 else x.astype(np.float32)
    num_bad = x.size - np.count_nonzero(np.isfinite(x))
    if num_bad:
        raise ValueError(f"'x' of {name} has {num_bad} values that are NaN or infinite")
    if y is not None and (y.ndim == 0 or len(y) != len(x) or y.dtype.kind not in "buif"):
        raise ValueError(
            f"'x' of {name} has {len(x)} examples, but 'y' has shape {y.shape} and type {y.dtype}"
        )
    return Examples(x, y)


def from_arrays(
    x: np.ndarray,
    y: np.ndarray | None = None,
    name: str = "array",
    binarization: str = "none",
    seed: int = 0,
) -> Dataset:
    """Make a data set of one's own array, split 80 / 10 / 10 at random by `seed`.

    Args:
      x: numbers with examples along the first axis; uint8 is read as x / 255, others as they are.
      y: one label or condition an example, or None.
      name: what the header and the errors call it.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic".
      seed: of the split.

    Raises:
      ValueError: x is no array of finite numbers, y is not as long, or an impossible binarization.
    """
    examples = check_examples(x, y, name)
    maximum = 255.0 if x.dtype == np.uint8 and x.max() > 1 else 1.0
    parts = split_examples(examples, (0.1, 0.1), seed)
    return make_dataset(name, *parts, maximum, binarization, seed)


DATASETS = {
    "binarized_mnist": load_binarized_mnist,
    "digits": load_digits,
    "mnist": load_mnist,
    "npz": load_npz,
}


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load the data set of that name in DATASETS.

    Options that this data set does not take are left out when they are empty, so that one set of
    options serves all.

    Raises:
      ValueError: an unknown name, an option that this data set does not take, or what the loader
        raises.
    """
    load = look_up(DATASETS, name, "data.name")
    given = {key: value for key, value in options.items() if value not in ("", False)}
    known = inspect.signature(load).parameters
    for option in given:
        look_up(known, option, f"option of data set {name!r}")
    return load(**given)
