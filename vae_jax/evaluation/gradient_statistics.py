"""Signal, noise and bias of gradient estimators, from independent replicates of a gradient.

Replicates come in groups of equal size, of which only means and variances are kept. Estimators
that are compared share the keys of their replicates, so that most of their noise cancels in a
difference. Standard errors are over the replicates: by the jackknife that leaves out one group at
a time, which holds for ratios and slopes too.
"""

from collections.abc import Callable, Mapping, Sequence
import math
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jaxtyping import Float, Int, Key
import numpy as np

from vae_jax.evaluation.estimates import Estimate

LEAST_GROUPS = 3


class GradientMoments(NamedTuple):
    """Mean and variance (ddof = 1) of each derivative over the replicates of each group."""

    means: Float[np.ndarray, "groups parameters"]
    variances: Float[np.ndarray, "groups parameters"]
    group_size: int
    """Replicates in each group, at least 2."""

    def mean(self, kept: Int[np.ndarray, "kept"]) -> Float[np.ndarray, "parameters"]:
        """Return the mean over the replicates of the groups `kept`."""
        return np.mean(self.means[kept], axis=0)

    def variance(self, kept: Int[np.ndarray, "kept"]) -> Float[np.ndarray, "parameters"]:
        """Return the variance of one replicate (ddof = 1), from those of the groups `kept`."""
        within = (self.group_size - 1) * np.sum(self.variances[kept], axis=0)
        between = self.group_size * np.sum((self.means[kept] - self.mean(kept)) ** 2, axis=0)
        return (within + between) / (self.group_size * len(kept) - 1)


def choose_parameters(
    key: Key[Array, ""], params: Mapping[str, Any], blocks: Sequence[str], most: int
) -> dict[str, Int[Array, "parameters"]]:
    """Return, for each block of params, the indices of `most` of its numbers, drawn at random.

    They index the flat vector of the block; a block of fewer numbers is taken whole.
    """
    sizes = {block: ravel_pytree(params[block])[0].size for block in blocks}
    keys = jax.random.split(key, len(blocks))
    return {
        block: jnp.sort(jax.random.permutation(own, size)[:most])
        for own, (block, size) in zip(keys, sizes.items(), strict=True)
    }


def make_group_moments(
    loss: Callable[[Key[Array, ""], Any, Any], Array],
    chosen: Mapping[str, Int[Array, "parameters"]],
    at_once: int = 1,
) -> Callable:
    """Make group_moments(keys, params, batch), jitted: {block: (mean, variance)} over the keys.

    Args:
      loss: loss(key, params, batch), a scalar.
      chosen: what `choose_parameters` returned.
      at_once: replicates computed together; changes the memory used, not the numbers.
    """

    def group_moments(keys, params, batch):
        def replicate(key):
            gradient = jax.grad(loss, argnums=1)(key, params, batch)
            return {block: ravel_pytree(gradient[block])[0][own] for block, own in chosen.items()}

        def moments(replicates):
            return jnp.mean(replicates, axis=0), jnp.var(replicates, axis=0, ddof=1)

        replicates = jax.lax.map(replicate, keys, batch_size=min(at_once, len(keys)))
        return {block: moments(each) for block, each in replicates.items()}

    return jax.jit(group_moments)


def join_groups(groups: Sequence[tuple[Any, Any]], group_size: int) -> GradientMoments:
    """Return the moments of several groups in float64, from the (mean, variance) of each."""
    means, variances = (np.asarray(each, np.float64) for each in zip(*groups, strict=True))
    return GradientMoments(means, variances, group_size)


def signal_to_noise(own: GradientMoments, reference: GradientMoments | None = None) -> Estimate:
    """Return the mean over parameters of |E g| / sqrt(Var g): Rainforth et al. (2018), Section 3.

    Estimated from R replicates of its own, a signal far below its noise reads sqrt(2 / (pi R))
    instead. Where another estimator of the same gradient has less noise, its mean is the better
    signal. Parameters whose derivative is always zero are left out.

    Args:
      own: of the estimator, whose noise this is.
      reference: of the estimator whose mean is the signal; None: the estimator itself.
    """
    signal = own if reference is None else reference
    return _jackknife(lambda kept: _signal_to_noise(own, signal, kept), len(own.means))


def _signal_to_noise(own, signal, kept):
    variance = own.variance(kept)
    if not np.any(variance):
        return math.nan
    varies = variance > 0
    return np.mean(np.abs(signal.mean(kept)[varies]) / np.sqrt(variance[varies]))


def mean_variance(own: GradientMoments) -> Estimate:
    """Return the variance of one replicate, averaged over the parameters."""
    return _jackknife(lambda kept: np.mean(own.variance(kept)), len(own.means))


def relative_squared_bias(own: GradientMoments, reference: GradientMoments) -> Estimate:
    """Return |E g - E r|^2 / |E r|^2 for a reference r of the same replicates' keys.

    The part of both squares that is the noise of finitely many replicates is subtracted, so that an
    estimator without bias is near zero, and below it about as often as above; NaN where nothing of
    the reference is left.
    """

    def ratio(kept):
        bias = _squared_norm(own.means[kept] - reference.means[kept])
        norm = _squared_norm(reference.means[kept])
        return bias / norm if norm > 0 else math.nan

    return _jackknife(ratio, len(own.means))


def _squared_norm(means):
    # |E m|^2 without bias, from independent group means m.
    noise = np.var(means, axis=0, ddof=1) / len(means)
    return np.sum(np.mean(means, axis=0) ** 2 - noise)


def slope_of_signal_to_noise(
    numbers: Sequence[int],
    own: Sequence[GradientMoments],
    references: Sequence[GradientMoments | None],
) -> Estimate:
    """Return the least-squares slope of log signal-to-noise against log K.

    Theorem 1 of Rainforth et al. (2018): 1/2 for the model's parameters and -1/2 for the encoder's,
    as K grows, where the gradient is the pathwise one.

    Args:
      numbers: K of each, two or more.
      own, references: of each K, as of `signal_to_noise`.
    """

    def slope(kept):
        ratios = [
            _signal_to_noise(each, each if reference is None else reference, kept)
            for each, reference in zip(own, references, strict=True)
        ]
        if not np.all(np.isfinite(ratios) & (np.array(ratios) > 0)):
            return math.nan
        return np.polyfit(np.log(numbers), np.log(ratios), 1)[0]

    return _jackknife(slope, len(own[0].means))


def _jackknife(statistic: Callable[[np.ndarray], float], num_groups: int) -> Estimate:
    """Return statistic(all groups), with its standard error over the groups.

    Raises:
      ValueError: too few groups.
    """
    if num_groups < LEAST_GROUPS:
        raise ValueError(f"standard errors need {LEAST_GROUPS} groups or more, got {num_groups}")
    every = np.arange(num_groups)
    without = np.array([statistic(np.delete(every, i)) for i in every])
    error = math.sqrt((num_groups - 1) * np.var(without))
    return Estimate(float(statistic(every)), error, "replicates")
