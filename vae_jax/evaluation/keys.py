"""The keys of an evaluation, one for each purpose.

No key serves two purposes, and none is both split and folded: `split(key)[i]` and
`fold_in(key, i)` are the same key.
"""

from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Int, Key

_PURPOSE = 0x6576616C  # "eval", so that an evaluation and a run of the same seed share no key


class EvaluationKeys(NamedTuple):
    """One key for each purpose that an evaluation draws for."""

    binarization: Any
    """For bits drawn from grey values; folded with the index of the split."""
    samples: Any
    """For samples of z; folded with the index of the example, then with that of the sample."""
    posterior_means: Any
    """For the means of posteriors that have no mean in closed form."""
    pictures: Any
    """For pictures; split into one key for each."""
    codes: Any
    """For samples that stand for an example whose posterior has no mean; folded with its index."""
    aggregate: Any
    """For one sample of z per example, of the aggregate posterior; folded with its index."""
    annealing: Any
    """For annealed chains on examples; folded with the index of the example."""
    simulation: Any
    """For data drawn from the model, and the annealed chains on them; folded with an index."""
    tightness: Any
    """For the search of the best posterior, and its bound; folded with the index of the example."""
    imputation: Any
    """For draws of missing entries; folded with the index of the example, then of the draw."""


def evaluation_keys(key: Key[Array, ""]) -> EvaluationKeys:
    """Split the key of an evaluation by purpose.

    The keys differ from those of a training run from the same key (`training.run_keys`).
    """
    key = jax.random.fold_in(key, _PURPOSE)
    return EvaluationKeys(*jax.random.split(key, len(EvaluationKeys._fields)))


def sample_keys(
    key: Key[Array, ""], example: Int[Array, ""], first: Int[Array, ""], num_samples: int
) -> Key[Array, "num_samples"]:
    """Return the keys of samples first .. first + num_samples - 1 of one example."""
    key = jax.random.fold_in(key, example)
    return jax.vmap(lambda k: jax.random.fold_in(key, k))(first + jnp.arange(num_samples))
