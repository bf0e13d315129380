"""Applying a function to every example of a data set exactly once."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np


def over_examples(function: Callable[[Any, Any, Any], Any]) -> Callable:
    """Lift function(params, index, example) to a batch of indices and examples, jitted."""
    return jax.jit(jax.vmap(function, in_axes=(None, 0, 0)))


def map_examples(
    batched: Callable[[Any, Any, Any], Any],
    params: Any,
    examples: Any,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Any:
    """Return batched(params, indices, examples) of every example once, as numpy arrays.

    The last batch is filled up with repetitions of the last example, whose results are cut off.

    Args:
      batched: a function returned by `over_examples`.
      params: its first argument.
      examples: a pytree of arrays with the same leading axis.
      batch_size: examples computed at once.
      progress: wraps the range of batches, e.g. a progress bar.
    """
    num_examples = len(jax.tree.leaves(examples)[0])
    batch_size = min(batch_size, num_examples)
    results = []
    for start in progress(range(0, num_examples, batch_size)):
        indices = np.minimum(np.arange(start, start + batch_size), num_examples - 1)
        batch = jax.tree.map(lambda leaf, indices=indices: leaf[indices], examples)
        results.append(jax.device_get(batched(params, indices, batch)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:num_examples], *results)
