"""Batches for training, and the conversion of stored examples to what the model sees."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key

from vae_jax.datasets.binarization import binarize
from vae_jax.datasets.data import Dataset, Examples, Values, num_examples
from vae_jax.datasets.sprites import RENDERINGS
from vae_jax.distributions import Masked

_MOST_EXPECTED = 5000  # rendered examples that stand for all of a set in `expected_examples`


class Batches(NamedTuple):
    """How training draws its batches: pure functions, called inside the jitted step."""

    steps_per_epoch: int
    begin_epoch: Callable[[Any, Array, Array], Any]
    """begin_epoch(source, key, epoch) -> source as `batch` wants it throughout that epoch."""
    batch: Callable[[Any, Array, Array], Examples]
    """batch(source, key, step) -> the examples of that step."""


class Shuffled(NamedTuple):
    """Examples and the order in which one epoch visits them."""

    examples: Examples
    order: Any


def to_model_values(values: Any, key: Key[Array, ""], x: Any) -> Any:
    """Convert stored values to what the model sees: bits (drawn here if dynamic) or x / maximum.

    Indices of a rendered set become its images first.

    Args:
      values: Values of x, or {field: Values}.
      key: for drawing bits.
      x: stored values of any number of examples.
    """
    if isinstance(values, Mapping):
        keys = dict(zip(values, jax.random.split(key, len(values)), strict=True))
        return {name: to_model_values(values[name], keys[name], x[name]) for name in values}
    if isinstance(x, Masked):
        return Masked(to_model_values(values, key, x.values), jnp.asarray(x.mask, jnp.float32))
    if values.rendering:
        x = RENDERINGS[values.rendering](x)
    if values.binarization == "dynamic":
        return binarize(key, x, values.maximum)
    return jnp.asarray(x, jnp.float32) / values.maximum


def to_model_examples(dataset: Dataset, key: Key[Array, ""], examples: Examples) -> Examples:
    """Convert stored examples to what the model sees; given pixels become y, the others x."""
    x = to_model_values(dataset.values, key, examples.x)
    if dataset.given is None:
        return Examples(x, examples.y)
    rest = jnp.broadcast_to(jnp.asarray(1 - dataset.given), x.shape)
    return Examples(Masked(x, rest), x * dataset.given)


def expected_examples(dataset: Dataset, examples: Examples) -> Examples:
    """Return examples with x / maximum, the mean of what the model sees, as floats.

    Of a rendered set they are the first 5,000 at most, since all would not fit into memory: a split
    is in random order.
    """
    if dataset.is_rendered:
        examples = jax.tree.map(lambda stored: stored[:_MOST_EXPECTED], examples)
    undrawn = jax.tree.map(
        lambda values: values._replace(binarization="none"),
        dataset.values,
        is_leaf=lambda node: isinstance(node, Values),
    )
    return to_model_examples(dataset._replace(values=undrawn), jax.random.key(0), examples)


def make_batches(dataset: Dataset, batch_size: int) -> Batches:
    """Make the batches of a data set: each epoch is a new permutation without its remainder.

    Of a rendered set, each batch is drawn at random by its own key instead.

    Raises:
      ValueError: no data set, a batch size below one or above the number of training examples;
        while training, a source that is not `dataset.train`.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(
            "make_batches needs a data set, such as vae_jax.from_arrays(x), got "
            f"{type(dataset).__name__}"
        )
    count = num_examples(dataset.train)
    if not 1 <= batch_size <= count:
        raise ValueError(
            f"batch_size must lie in 1 .. {count}, the number of training "
            f"examples of {dataset.name}; got {batch_size}"
        )
    steps_per_epoch = count // batch_size

    def begin_epoch(source, key, epoch):
        if not isinstance(source, Examples):
            raise ValueError(
                "the source of training must be vae_jax.Examples(x, y), such as dataset.train, got "
                f"{type(source).__name__}"
            )
        if dataset.is_rendered:
            return Shuffled(source, None)
        # Sorting random words costs half as much as jax.random.permutation. Ties between two words
        # are rare.
        words = jax.random.bits(jax.random.fold_in(key, epoch), (count,))
        return Shuffled(source, jnp.argsort(words, stable=False))

    def batch(source, key, step):
        start = (step % steps_per_epoch) * batch_size
        indices = jax.lax.dynamic_slice(source.order, (start,), (batch_size,))
        examples = jax.tree.map(lambda stored: stored[indices], source.examples)
        return to_model_examples(dataset, key, examples)

    def rendered_batch(source, key, step):
        # Drawn anew in each step: no order of so many examples is sorted or kept.
        key_indices, key_bits = jax.random.split(key)
        indices = jax.random.randint(key_indices, (batch_size,), 0, count)
        examples = jax.tree.map(lambda stored: stored[indices], source.examples)
        return to_model_examples(dataset, key_bits, examples)

    return Batches(steps_per_epoch, begin_epoch, rendered_batch if dataset.is_rendered else batch)
