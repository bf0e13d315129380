"""How well a trained classifier names the labels of a data set."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation.examples import map_examples, over_examples


def make_accuracy(classify: Callable[..., Any], vae: Any) -> Callable[..., float]:
    """Make accuracy(params, examples, batch_size) -> the share of examples that are labelled right.

    An example is if its most probable class is its label. `params` are the parameters of the
    classifier, params["objective"]; `examples` have x as the model sees it and a label y each;
    `batch_size` of them are computed at once. It raises ValueError where a label is missing.

    Args:
      classify: that of an objective: classify(vae, params, x).
      vae: its first argument.
    """

    def is_right(params, index, example):
        return jnp.argmax(classify(vae, params, example.x)) == example.y

    batched = over_examples(is_right)

    def accuracy(params, examples, batch_size=100):
        if examples.y is None or np.min(examples.y) < 0:
            raise ValueError(
                "the accuracy needs a label 0, 1, ... of each example: leave out the others"
            )
        return float(np.mean(map_examples(batched, params, examples, batch_size)))

    return accuracy
