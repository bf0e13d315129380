"""What the K log-weights of each example tell: bounds at several K, and how far to trust them.

Everything here is numpy in float64, of log-weights log w_k = log p(x, z_k) - log q(z_k|x) of
samples z_k of q(z|x), in nats. An array of log-weights has the shape (examples, samples).
"""

from collections.abc import Callable, Sequence
import math
from typing import Any, NamedTuple

from jaxtyping import Float
import numpy as np

from vae_jax.evaluation.examples import over_examples
from vae_jax.evaluation.keys import EvaluationKeys
from vae_jax.evaluation.measure import terms_of_example
from vae_jax.evaluation.pareto import pareto_k
from vae_jax.objectives.elbo import elbo

LogWeights = Float[np.ndarray, "examples samples"]


class Spread(NamedTuple):
    """One number per example, and the variance that it has over the draws of z."""

    value: Float[np.ndarray, "examples"]
    variance: Float[np.ndarray, "examples"]
    """Of `value` for this x; NaN where it cannot be told from so few samples."""


def make_log_weights(vae: Any, keys: EvaluationKeys, num_samples: int, chunk_size: int) -> Callable:
    """Make log_weights(params, indices, examples), jitted: {"log_weights": (examples, K), "elbo"}.

    The samples are those of `make_measure` with the same keys: the bound of all K log-weights is
    its log-likelihood. `elbo` is E_q[log p(x|z)] - KL(q(z|x) || p(z)) by the same samples. Both in
    nats.

    Args:
      vae: the functions `encode`, `decode` and `prior`.
      keys: of the evaluation.
      num_samples: K, samples of z per example.
      chunk_size: samples decoded at once; changes the memory used, not the numbers.
    """

    def log_weights(params, index, example):
        terms = terms_of_example(keys.samples, vae, params, index, example, num_samples, chunk_size)
        return {"log_weights": terms.log_weights, "elbo": elbo(terms)}

    return over_examples(log_weights)


def diagnose(log_weights: LogWeights, sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Return all that this module tells of log-weights, per example.

    `bound`, `bound_variance`, `jackknife` and `jackknife_variance` have a column for each of
    `sizes`; `effective_sample_size` and `pareto_k` are of all samples.

    Args:
      log_weights: of K samples per example.
      sizes: the numbers of samples, at most K, to tell the bound and the jackknife of.
    """
    log_weights = np.asarray(log_weights, np.float64)
    bounds = [over_groups(importance_weighted_bounds, log_weights, size) for size in sizes]
    corrected = [over_groups(jackknife, log_weights, size) for size in sizes]
    return {
        "bound": np.stack([each.value for each in bounds], axis=1),
        "bound_variance": np.stack([each.variance for each in bounds], axis=1),
        "jackknife": np.stack([each.value for each in corrected], axis=1),
        "jackknife_variance": np.stack([each.variance for each in corrected], axis=1),
        "effective_sample_size": effective_sample_size(log_weights),
        "pareto_k": pareto_k(log_weights),
    }


def importance_weighted_bounds(log_weights: LogWeights) -> Float[np.ndarray, "examples"]:
    """Return log((1/K) sum_k w_k) in nats: Eq. (8) of Burda et al. (2016).

    A lower bound of log p(x) in expectation.
    """
    return _log_sum_exp(log_weights) - math.log(log_weights.shape[-1])


def jackknife(log_weights: LogWeights) -> Float[np.ndarray, "examples"]:
    """Return the jackknife estimate of log p(x) in nats, without the bias in 1 / K of the bound.

    K L_K - (K - 1) mean_k L_{K-1}^(without k), where L is the bound: first order, Section 4 of
    Nowozin (2018). With s_k = w_k / sum_j w_j it is
    L_K - (K - 1) mean_k [log(1 - s_k) - log(1 - 1/K)], which is computed here without differences
    of large numbers. An estimate and not a bound: its bias falls as 1 / K^2 and may have both
    signs. It is infinite where only one weight is above zero, and NaN where none is
    or K = 1.
    """
    num_samples = log_weights.shape[-1]
    if num_samples < 2:
        return np.full(len(log_weights), np.nan)
    ordered = np.sort(log_weights, axis=-1)
    total = _log_sum_exp(ordered)
    # 1 - s of the largest weight is the sum of the others: a difference would lose its digits. No
    # other share is above one half.
    with np.errstate(divide="ignore", invalid="ignore"):  # where weights are zero
        without_largest = _log_sum_exp(ordered[:, :-1]) - total
        others = np.log1p(-np.exp(ordered[:, :-1] - total[:, None]))
    mean = (np.sum(others, axis=-1) + without_largest) / num_samples
    bound = total - math.log(num_samples)
    return bound - (num_samples - 1) * (mean - math.log1p(-1 / num_samples))


def over_groups(
    function: Callable[[LogWeights], np.ndarray], log_weights: LogWeights, size: int
) -> Spread:
    """Return the mean of function(log-weights) over disjoint groups of `size` samples, per example.

    The groups follow each other, and a remainder is left out. All samples that are there thus
    serve a small size too, of which a single group would be noisier. The variance is that over the
    groups; of a single group, it is that of log((1/K) sum_k w_k) by the delta method, which the
    jackknife shares to first order.

    Args:
      function: of log-weights (rows, size), one number for each row.
      log_weights: of all samples.
      size: samples per group.

    Raises:
      ValueError: more samples than there are.
    """
    num_examples, num_samples = log_weights.shape
    if not 1 <= size <= num_samples:
        raise ValueError(f"size must lie in 1 .. {num_samples}, the samples drawn; got {size}")
    count = num_samples // size
    groups = log_weights[:, : count * size].reshape(num_examples * count, size)
    values = function(groups).reshape(num_examples, count)
    if count == 1:
        return Spread(values[:, 0], variance_of_bound(log_weights[:, :size]))
    return Spread(np.mean(values, axis=1), np.var(values, axis=1, ddof=1) / count)


def variance_of_bound(log_weights: LogWeights) -> Float[np.ndarray, "examples"]:
    """Return the variance of log((1/K) sum_k w_k) over the draws of z, by the delta method.

    (Var w / (E w)^2) / K, with the sample variance (ddof = 1). It holds where the weights have a
    variance and K is large: not where `pareto_k` is above 0.5. NaN for K = 1.
    """
    num_samples = log_weights.shape[-1]
    if num_samples < 2:
        return np.full(len(log_weights), np.nan)
    ratio = num_samples / effective_sample_size(log_weights)
    return np.maximum(ratio - 1, 0) / (num_samples - 1)


def effective_sample_size(log_weights: LogWeights) -> Float[np.ndarray, "examples"]:
    """Return (sum_k w_k)^2 / sum_k w_k^2: from 1, one weight has it all, to K, all are equal."""
    with np.errstate(invalid="ignore"):  # where all weights are zero
        return np.exp(2 * _log_sum_exp(log_weights) - _log_sum_exp(2 * log_weights))


def mean_over_examples(spread: Spread) -> dict[str, float]:
    """Return the mean over examples with two standard errors, each of which says over what.

    `standard_error_over_examples` is the spread of the numbers over examples: how far the mean of
    other examples of the same source may lie; the noise of the draws of z is a part of it.
    `standard_error_over_samples` is that noise alone: how far a repetition on these examples may
    lie.
    """
    count = len(spread.value)
    over_examples = np.std(spread.value, ddof=1) / math.sqrt(count) if count > 1 else math.nan
    return {
        "mean": float(np.mean(spread.value)),
        "standard_error_over_examples": float(over_examples),
        "standard_error_over_samples": float(math.sqrt(np.sum(spread.variance)) / count),
    }


def _log_sum_exp(values):
    largest = np.max(values, axis=-1)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.sum(np.exp(values - shift[..., None]), axis=-1))
