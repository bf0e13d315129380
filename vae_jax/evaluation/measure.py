"""The bounds of a trained model for one example, by many samples of z.

The noise of sample k of example i is keyed by i and k, so that no number changes with the chunk,
the batch or the run.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Int, Key

from vae_jax.evaluation.examples import over_examples
from vae_jax.evaluation.keys import EvaluationKeys, sample_keys
from vae_jax.evaluation.latents import posterior_means
from vae_jax.objectives.elbo import elbo
from vae_jax.objectives.importance import importance_weighted_bound
from vae_jax.objectives.terms import Terms, closed_form_kl, kl, reconstruction, sample_terms


def draw_in_chunks(
    draw: Callable[[Key[Array, "chunk"]], Any],
    key: Key[Array, ""],
    example: Int[Array, ""],
    num_samples: int,
    chunk_size: int,
) -> Any:
    """Return draw(keys) of exactly `num_samples` keys, computed `chunk_size` at a time.

    Args:
      draw: function of keys, one per sample, that returns a pytree of arrays with a leading axis
        over them.
      key: of all samples of all examples.
      example: index of the example in its data set.
      num_samples: K.
      chunk_size: samples computed at once; changes the memory used, not the result.
    """

    def draw_chunk(first):
        return draw(sample_keys(key, example, first, chunk_size))

    chunks = jax.lax.map(draw_chunk, jnp.arange(0, num_samples, chunk_size))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_samples], chunks)


def terms_of_example(
    key: Key[Array, ""],
    vae: Any,
    params: Any,
    index: Int[Array, ""],
    example: Any,
    num_samples: int,
    chunk_size: int,
) -> Terms:
    """Return the terms of one example for K samples of z: three numbers per sample.

    Args:
      key: of all samples of all examples.
      vae: the functions `encode`, `decode` and `prior`.
      params: what `vae.init` returned.
      index: of the example in its data set.
      example: (x, y).
      num_samples: K.
      chunk_size: samples decoded at once.
    """
    x, y = example

    def draw(keys):
        return Terms(*sample_terms(keys, vae, params, x, y)[:3], None)

    terms = draw_in_chunks(draw, key, index, num_samples, min(chunk_size, num_samples))
    closed = closed_form_kl(vae.encode(params, x, y), vae.prior(params, y))
    return terms._replace(closed_form_kl=closed)


def make_measure(vae: Any, keys: EvaluationKeys, num_samples: int, chunk_size: int) -> Callable:
    """Make measure(params, indices, examples), jitted, of a batch of examples.

    It returns, per example in nats: `log_likelihood`, the importance-weighted bound of
    `num_samples` samples, which is a lower bound of log p(x) in expectation (reported as log p(x)
    at 5,000 samples); `elbo` (beta = 1), `kl` and `reconstruction`; and the posterior mean.

    Args:
      vae: the functions `encode`, `decode` and `prior`.
      keys: of the evaluation.
      num_samples: samples of z per example.
      chunk_size: samples decoded at once; changes the memory used, not the numbers.
    """

    def measure(params, index, example):
        terms = terms_of_example(keys.samples, vae, params, index, example, num_samples, chunk_size)
        return {
            "log_likelihood": importance_weighted_bound(terms.log_weights),
            "elbo": elbo(terms),
            "kl": kl(terms),
            "reconstruction": reconstruction(terms),
            **posterior_means(keys.posterior_means, vae.encode(params, *example)),
        }

    return over_examples(measure)
