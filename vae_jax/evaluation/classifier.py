"""How well a trained classifier names the labels of a data set."""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.examples import map_examples


def accuracy(
    classify: Callable[..., Any], vae: Any, params: Any, examples: Any, batch_size: int = 100
) -> float:
    """Return the share of examples whose most probable class is their label.

    Args:
      classify: that of an objective, of which `params` are params["objective"].
      vae: its first argument.
      params: its second argument.
      examples: x as the model sees them, and labels y, none of which is missing.
      batch_size: examples computed at once.

    Raises:
      ValueError: examples without a label.
    """
    if examples.y is None or np.min(examples.y) < 0:
        raise ValueError("accuracy needs a label 0, 1, ... of each example: leave out the others")
    measured = map_examples(_batched(classify, vae), params, examples, batch_size)
    return float(np.mean(measured))


@functools.lru_cache(maxsize=8)  # a run measures each of its members, several times
def _batched(classify, vae):
    def is_right(params, index, example):
        return jnp.argmax(classify(vae, params, example.x)) == example.y

    return jax.jit(jax.vmap(is_right, (None, 0, 0)))
