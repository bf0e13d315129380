"""Missing entries of an example given the observed ones, and what each adds to log p(x)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key

from vae_jax.distributions import Masked, Product
from vae_jax.evaluation.examples import over_examples
from vae_jax.evaluation.keys import sample_keys
from vae_jax.evaluation.measure import draw_in_chunks
from vae_jax.objectives.terms import in_coordinates_of_every_sample


def make_impute(vae: Any, num_samples: int, chunk_size: int) -> Callable:
    """Make impute((params, keys), indices, examples), jitted: E[x | x_observed] of every entry.

    sum_k w_k E[x | z_k] / sum_k w_k with z_k from q(z|x_observed) and
    w_k = p(x_observed | z_k) p(z_k) / q(z_k | x_observed): self-normalized importance sampling,
    Section 3.3 of Mattei & Frellsen (2019), "MIWAE". Its bias falls as 1 / num_samples. In the
    units of the model, as a pytree like x; that of an observed entry is what the model predicts.

    Args:
      vae: the functions `encode`, `decode` and `prior`; x is Masked(values, mask).
      num_samples: K, samples of z per example.
      chunk_size: samples decoded at once: only so many take memory.
    """

    def impute(params_and_keys, index, example):
        def mean(likelihood):
            return likelihood.mean

        return average_over_posterior(
            vae, params_and_keys, index, example, num_samples, chunk_size, mean
        )[1]

    return over_examples(impute)


def make_score(vae: Any, num_samples: int, chunk_size: int) -> Callable:
    """Make score((params, keys), indices, examples), jitted: log p(x) and what it is made of.

    It returns, per example in nats: `log_likelihood`, the importance-weighted bound of K samples;
    its `standard_error` over samples, by the delta method, sqrt((K sum_k w_k^2 / (sum_k w_k)^2 -
    1) / K); and `contributions`, a pytree like x: E[log p(x_i|z)] of each entry i over p(z|x), by
    self-normalized importance sampling. Of independent entries, log p(x) is their sum less
    KL(p(z|x) || p(z)). It is {} where the likelihood has no entries that are independent.

    Args:
      vae: the functions `encode`, `decode` and `prior`.
      num_samples: K, samples of z per example.
      chunk_size: samples decoded at once: only so many take memory.
    """

    def score(params_and_keys, index, example):
        def per_entry(likelihood):
            return log_prob_per_entry(likelihood, example.x)

        weights, contributions = average_over_posterior(
            vae, params_and_keys, index, example, num_samples, chunk_size, per_entry
        )
        relative = num_samples * weights.squares / weights.total**2 - 1
        return {
            "log_likelihood": weights.largest + jnp.log(weights.total / num_samples),
            "standard_error": jnp.sqrt(jnp.maximum(relative, 0) / num_samples),
            "contributions": contributions,
        }

    return over_examples(score)


def log_prob_per_entry(likelihood: Any, x: Any) -> Any:
    """Return log p(x_i|z) of each entry, by field where there are fields; {} where none has it."""
    if isinstance(likelihood, Product):
        return {name: log_prob_per_entry(each, x[name]) for name, each in likelihood.fields.items()}
    if not hasattr(getattr(likelihood, "base", likelihood), "log_prob_per_dimension"):
        return {}
    return likelihood.log_prob_per_dimension(x)


class Weights(NamedTuple):
    """The importance weights of K samples, divided by exp(largest)."""

    largest: Any
    total: Any
    squares: Any
    """The sum of their squares."""


def average_over_posterior(
    vae: Any,
    params_and_keys: Any,
    index: Any,
    example: Any,
    num_samples: int,
    chunk_size: int,
    function: Callable[[Any], Any],
) -> tuple[Weights, Any]:
    """Return the importance weights of one example, and the average of function(p(x|z)) over p(z|x)
    that they give: sum_k w_k f_k / sum_k w_k.

    Args:
      vae: the functions `encode`, `decode` and `prior`.
      params_and_keys: of the model, and of the evaluation.
      index: of the example in its data set.
      example: (x, y).
      num_samples: K.
      chunk_size: samples decoded at once: only so many take memory.
      function: of the likelihood; returns a pytree of arrays.
    """
    params, keys = params_and_keys
    weigh, chunk_size = _make_weigh(vae, params, example), min(chunk_size, num_samples)

    def weigh_one(key):
        log_weight, likelihood = weigh(key)
        return log_weight, function(likelihood)

    def add_chunk(carry, first):
        (largest, total, squares), weighted = carry
        of_chunk = sample_keys(keys.samples, index, first, chunk_size)
        log_weights, values = jax.vmap(weigh_one)(of_chunk)
        is_one = first + jnp.arange(chunk_size) < num_samples
        log_weights = jnp.where(is_one, log_weights, -jnp.inf)
        now = jnp.maximum(largest, jnp.max(log_weights))
        kept, weights = jnp.exp(largest - now), jnp.exp(log_weights - now)
        weighted = jax.tree.map(
            lambda sums, each: kept * sums + jnp.tensordot(weights, each, 1), weighted, values
        )
        sums = kept * total + jnp.sum(weights), kept**2 * squares + jnp.sum(weights**2)
        return (Weights(now, *sums), weighted), None

    like = jax.eval_shape(weigh_one, keys.samples)[1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    lowest = jnp.full(
        (), jnp.finfo(jnp.result_type(float)).min
    )  # not -inf: its differences are NaN
    carry = Weights(lowest, jnp.zeros(()), jnp.zeros(())), zeros
    starts = jnp.arange(0, num_samples, chunk_size)
    (weights, weighted), _ = jax.lax.scan(add_chunk, carry, starts)
    return weights, jax.tree.map(lambda leaf: leaf / weights.total, weighted)


def make_imputed_draws(vae: Any, num_draws: int, num_samples: int, chunk_size: int) -> Callable:
    """Make draw((params, keys), indices, examples), jitted: `num_draws` draws of x | x_observed.

    By sampling importance resampling: one of K samples z_k of q(z|x_observed), chosen with the
    probability w_k / sum_j w_j (see `make_impute`), then x of p(x|z_k). In the units of the model,
    as a pytree like x with a leading axis over draws.

    Args:
      vae: the functions `encode`, `decode` and `prior`; x is Masked(values, mask).
      num_draws: draws per example.
      num_samples: K, samples of z per example that are drawn from.
      chunk_size: samples decoded at once; changes the memory used, not the draws.
    """

    def draw(params_and_keys, index, example):
        params, keys = params_and_keys
        weigh = _make_weigh(vae, params, example)

        def log_weights_of(sample_keys):
            return jax.vmap(lambda key: weigh(key)[0])(sample_keys)

        size = min(chunk_size, num_samples)
        log_weights = draw_in_chunks(log_weights_of, keys.samples, index, num_samples, size)

        def draw_one(key):
            key_choice, key_x = jax.random.split(key)
            chosen = jax.random.categorical(key_choice, log_weights)
            _, p = weigh(sample_keys(keys.samples, index, chosen, 1)[0])
            return values_of(p.sample(key_x))

        return jax.lax.map(draw_one, sample_keys(keys.imputation, index, jnp.int32(0), num_draws))

    return over_examples(draw)


def _make_weigh(vae: Any, params: Any, example: Any) -> Callable[[Key[Array, ""]], Any]:
    # weigh(key) -> (log w of one z, p(x|z)).
    x, y = example
    q, p = vae.encode(params, x, y), vae.prior(params, y)
    (q, p), latent = in_coordinates_of_every_sample(q, p)

    def weigh(key):
        value, log_q = q.sample_and_log_prob(key)
        likelihood = vae.decode(params, latent(value), y)
        return likelihood.log_prob(x) + p.log_prob(value) - log_q, likelihood

    return weigh


def values_of(x: Any) -> Any:
    """Return x with the values alone in the place of each Masked(values, mask)."""
    return jax.tree.map(
        lambda node: node.values if isinstance(node, Masked) else node,
        x,
        is_leaf=lambda node: isinstance(node, Masked),
    )
