"""Measuring a trained model: every example once, noise that does not depend on how it is computed.

The noise of sample k of example i comes from fold_in(fold_in(key, i), k), so that no number changes
with the chunk, the batch or the run. Functions come in as values; nothing here knows a model.
"""

from collections.abc import Callable, Iterable
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Int, Key
import numpy as np


class Estimate(NamedTuple):
    """A mean and its standard error; `over` says over what: "examples" or "seeds"."""

    mean: float
    standard_error: float
    over: str


def estimate(values: np.ndarray, over: str) -> Estimate:
    """Return the mean of independent values and its standard error (NaN for a single value)."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error), over)


def sample_keys(
    key: Key[Array, ""], example: Int[Array, ""], first: Int[Array, ""], num_samples: int
) -> Key[Array, "num_samples"]:
    """Return the keys of samples first .. first + num_samples - 1 of one example."""
    key = jax.random.fold_in(key, example)
    return jax.vmap(lambda k: jax.random.fold_in(key, k))(first + jnp.arange(num_samples))


def importance_sampling(
    sample: Callable[[Key[Array, "samples"]], tuple[Float[Array, "samples"], Any]],
    key: Key[Array, ""],
    example: Int[Array, ""],
    num_samples: int,
    chunk_size: int,
) -> tuple[Float[Array, ""], Any]:
    """Return log((1/K) sum_k w_k) in nats, and the means of further terms, over K samples.

    The first is the importance-weighted bound, Eq. (8) of Burda et al. (2016): a lower bound of
    log p(x) in expectation, reported as log p(x) at K = 5,000. Samples come in chunks, so that
    memory does not grow with K; surplus samples of the last chunk weigh nothing, so that exactly K
    count, whatever the chunk.

    Args:
      sample: function of keys, one a sample, that returns (log w_k, a pytree of further terms).
      key: the evaluation's key.
      example: index of the example in its data set.
      num_samples: K.
      chunk_size: samples computed at once.
    """

    def add_chunk(sums, first):
        log_sum, term_sums = sums
        log_weights, terms = sample(sample_keys(key, example, first, chunk_size))
        counts = first + jnp.arange(chunk_size) < num_samples
        log_sum = jnp.logaddexp(log_sum, jax.nn.logsumexp(log_weights, where=counts))
        chunk_sums = jax.tree.map(lambda term: jnp.sum(term, where=counts), terms)
        return (log_sum, jax.tree.map(jnp.add, term_sums, chunk_sums)), None

    starts = jnp.arange(0, num_samples, chunk_size)
    like = jax.eval_shape(sample, sample_keys(key, example, starts[0], chunk_size))
    zeros = jax.tree.map(lambda term: jnp.zeros((), term.dtype), like[1])
    start = (jnp.full((), -jnp.inf, like[0].dtype), zeros)
    (log_sum, term_sums), _ = jax.lax.scan(add_chunk, start, starts)
    means = jax.tree.map(lambda total: total / num_samples, term_sums)
    return log_sum - math.log(num_samples), means


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
      batched: what `over_examples` gave.
      params: its first argument.
      examples: a pytree of arrays with the same leading axis.
      batch_size: examples computed at once.
      progress: wraps the range of batches, e.g. a progress bar.
    """
    num_examples = len(jax.tree.leaves(examples)[0])
    results = []
    for start in progress(range(0, num_examples, batch_size)):
        indices = np.minimum(np.arange(start, start + batch_size), num_examples - 1)
        batch = jax.tree.map(lambda leaf, indices=indices: leaf[indices], examples)
        results.append(jax.device_get(batched(params, indices, batch)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:num_examples], *results)


def active_units(
    posterior_means: Float[np.ndarray, "examples latent"], threshold: float = 0.01
) -> int:
    """Count the latent dimensions whose posterior mean varies over examples by > threshold.

    A_u = Cov_x(E_{q(z|x)}[z_u]) > 0.01, Section 5.1 of Burda et al. (2016).
    """
    return int(np.sum(np.var(np.asarray(posterior_means, np.float64), axis=0) > threshold))


def best_evaluations(
    elbos: Float[np.ndarray, "evaluations members"],
) -> tuple[Int[np.ndarray, "members"], Int[np.ndarray, "members"]]:
    """Return the index of each member's best validation ELBO and how many have come since.

    NaN, of a member that failed, is never the best; of equal ones the first is.
    """
    best = np.argmax(np.where(np.isnan(elbos), -np.inf, elbos), axis=0)
    return best, len(elbos) - 1 - best


def bits_per_dim(nats: float, num_dimensions: int) -> float:
    """Convert a negative log-likelihood of one example from nats to bits per dimension."""
    return nats / (num_dimensions * math.log(2))
