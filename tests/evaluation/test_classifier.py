"""The share of examples that a classifier labels right."""

import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.datasets import Examples
from vae_jax.evaluation import make_accuracy


def classify(vae, params, x):
    """Return scores whose largest is of the class nearest to x / scale."""
    return -jnp.abs(jnp.arange(3) - x / params)


def test_accuracy_counts_every_example_once():
    """Oracle: numpy. Mutants: the padding of the last batch counted, a mean over batches."""
    x = np.float32([0, 2, 4, 0, 2, 4, 0])
    y = np.array([0, 1, 2, 1, 2, 2, 1])
    for batch_size in (2, 3, 7, 100):
        share = make_accuracy(classify, None)(jnp.float32(2), Examples(x, y), batch_size)
        assert share == pytest.approx(4 / 7, rel=1e-12)


@pytest.mark.parametrize("y", [None, np.array([0, -1])])
def test_examples_without_a_label_are_refused(y):
    """Mutant: a missing label that counts as a mistake."""
    with pytest.raises(ValueError, match=r"needs a label 0, 1, \.\.\. of each example"):
        make_accuracy(classify, None)(jnp.float32(2), Examples(np.zeros(2), y))
