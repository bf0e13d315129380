"""Training examples that stay on the host: gathered for some steps at a time, while others train.

The batches are those of `make_batches`, in the same order, so that a run ends with the same bits
whether its examples are streamed or not, and goes on from any step.
"""

from collections.abc import Callable, Iterator, Sequence
import functools
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key
import numpy as np

from vae_jax.datasets.batches import Batches, epoch_words, make_batches, to_model_examples
from vae_jax.datasets.data import Dataset, Examples, num_examples


class Chunk(NamedTuple):
    """The stored examples of some steps in a row, for each key that an order is drawn from."""

    examples: Examples
    """In the order of keys, of each key of steps; steps behind the last one hold anything."""
    keys: Any
    """Words of the keys, (keys, words)."""
    first: Any
    """The first of the steps."""


class Row(NamedTuple):
    """A chunk, and which of its keys is that of the run."""

    chunk: Chunk
    row: Any


def num_bytes(examples: Examples) -> int:
    """Return how much memory the stored examples take."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(examples))


def make_streamed_batches(dataset: Dataset, batch_size: int) -> Batches:
    """Make the batches of `make_batches` for a source that is a Chunk, which holds their steps.

    Raises:
      ValueError: what `make_batches` raises; while training, a source that is not a Chunk.
    """
    batches = make_batches(dataset, batch_size)

    def begin_epoch(source, key, epoch):
        if not isinstance(source, Chunk):
            raise ValueError(
                "the source of training must be a Chunk, as `stream` yields them, got "
                f"{type(source).__name__}"
            )
        return Row(source, jnp.argmax(jnp.all(source.keys == jax.random.key_data(key), axis=-1)))

    def batch(source, key, step):
        # A gather as of examples on the device: a slice would be fused to another program, whose
        # numbers differ in the last bit.
        keys, length = len(source.chunk.keys), num_examples(source.chunk.examples)
        start = source.row * (length // keys) + (step - source.chunk.first) * batch_size
        indices = start + jnp.arange(batch_size, dtype=jnp.int32)
        examples = jax.tree.map(lambda stored: stored[indices], source.chunk.examples)
        return to_model_examples(dataset, key, examples)

    return batches._replace(begin_epoch=begin_epoch, batch=batch)


def chunk_bytes(dataset: Dataset, batch_size: int, num_steps: int, num_keys: int) -> int:
    """Return how much memory a Chunk of so many steps and keys takes, without its keys."""
    per_example = num_bytes(dataset.train) / num_examples(dataset.train)
    return math.ceil(per_example * batch_size * num_steps * num_keys)


def stream(
    dataset: Dataset,
    batch_size: int,
    keys: Key[Array, "keys"],
    spans: Sequence[tuple[int, int]],
    put: Callable[[Any], Any] = jax.device_put,
) -> Iterator[Chunk]:
    """Yield the Chunk of each span, of which the next one is made while the caller computes.

    Args:
      dataset: its training examples are drawn.
      batch_size: examples of a step.
      keys: of the orders, `run_keys(state.key).order` of each run.
      spans: (first step, step behind the last) of each chunk.
      put: brings a tree of arrays to the devices.
    """
    import grain  # takes a second: imported where it is used

    length = max((stop - start for start, stop in spans), default=0)
    gather = make_gather(dataset, batch_size, keys, length)
    chunks = grain.MapDataset.source(spans).map(lambda span: put(gather(*span)))
    # One at a time, and one ahead of what the caller has: there are two chunks on the devices.
    iterator = iter(
        chunks.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
    )
    try:
        yield from iterator
    finally:
        iterator.close()


def make_gather(
    dataset: Dataset, batch_size: int, keys: Key[Array, "keys"], length: int
) -> Callable[[int, int], Chunk]:
    """Make gather(start, stop) -> the Chunk of these steps, as numpy arrays of `length` steps.

    All have one length, so that the training step is compiled once.
    """
    words = np.unique(np.asarray(jax.random.key_data(keys)), axis=0)
    steps_per_epoch = num_examples(dataset.train) // batch_size
    count, implementation = num_examples(dataset.train), jax.random.key_impl(keys)
    order = functools.lru_cache(2)(make_orders(words, implementation, count))

    def indices_of(step):
        epoch, step = divmod(step, steps_per_epoch)
        return order(epoch)[:, step * batch_size : (step + 1) * batch_size]

    def gather(start, stop):
        indices = np.stack([indices_of(step) for step in range(start, stop)], axis=1)

        def take(leaf):
            taken = np.empty((len(words), length, batch_size, *leaf.shape[1:]), leaf.dtype)
            for row, of_row in enumerate(indices):
                out = taken[row, : stop - start]
                np.take(leaf, of_row, axis=0, out=out, mode="clip")  # "raise" would copy it
            return taken.reshape(-1, *leaf.shape[1:])

        examples = jax.tree.map(take, jax.tree.map(np.asarray, dataset.train))
        return Chunk(examples, words, np.int32(start))

    return gather


def make_orders(words: np.ndarray, implementation: Any, count: int) -> Callable[[int], np.ndarray]:
    """Make orders(epoch) -> the order of each key in that epoch, (keys, count), of `make_batches`.

    Args:
      words: of the keys, (keys, words).
      implementation: of the keys, `jax.random.key_impl(key)`.
      count: number of examples.
    """

    @jax.jit
    def draw(epoch):
        wrapped = jax.random.wrap_key_data(jnp.asarray(words), impl=implementation)
        return jax.vmap(lambda key: epoch_words(key, epoch, count))(wrapped)

    def orders(epoch):
        return np.argsort(np.asarray(draw(epoch)), axis=-1, kind="stable").astype(np.int32)

    return orders
