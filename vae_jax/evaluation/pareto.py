"""How heavy the tail of importance weights is: the shape of a generalized Pareto distribution.

Written here, as no installed package has it: numpy in float64.
"""

import math

from jaxtyping import Float
import numpy as np

_FEWEST_SAMPLES = 25  # of which the tail is five
_PRIOR_SAMPLES, _PRIOR_SHAPE = 10, 0.5


def pareto_k(log_weights: Float[np.ndarray, "examples samples"]) -> Float[np.ndarray, "examples"]:
    """Return the Pareto k-hat of each example's weights: Section 2 of Vehtari et al. (2024).

    The shape of a generalized Pareto distribution fitted to the min(S / 5, 3 sqrt(S)) largest of S
    weights. The weights have moments up to the order 1 / k: a variance below 1/2, a mean below 1.
    Above `largest_reliable_k(S)` an importance-sampling estimate is not to be trusted. Like theirs,
    the estimate is drawn towards 1/2 as by ten weights more.

    Weights that are equal (to the rounding of a float32) have no tail, and every moment: 0. Fewer
    than 25 samples have too small a tail: NaN.
    """
    num_samples = log_weights.shape[-1]
    if num_samples < _FEWEST_SAMPLES:
        return np.full(len(log_weights), np.nan)
    length = min(num_samples // 5, math.ceil(3 * math.sqrt(num_samples)))
    ordered = np.sort(np.asarray(log_weights, np.float64), axis=-1)[:, -length - 1 :]
    largest = ordered[:, -1:]
    weights = np.exp(ordered - np.where(np.isfinite(largest), largest, 0))
    excess = weights[:, 1:] - weights[:, :1]
    rounding = 8 * np.finfo(np.float32).eps * np.maximum(1, np.abs(largest[:, 0]))
    is_constant = (excess[:, -1] <= rounding) | np.isneginf(largest[:, 0])  # or all are zero
    excess[is_constant] = 1.0  # fitted to anything that is possible, and not used
    shape, _ = fit_generalized_pareto(excess)
    shape = (length * shape + _PRIOR_SAMPLES * _PRIOR_SHAPE) / (length + _PRIOR_SAMPLES)
    return np.where(is_constant, 0.0, shape)


def largest_reliable_k(num_samples: int) -> float:
    """Return min(1 - 1 / log10(S), 0.7), Vehtari et al. (2024): beyond it S samples are too few."""
    return min(1 - 1 / math.log10(num_samples), 0.7)


def fit_generalized_pareto(
    excess: Float[np.ndarray, "examples tail"],
) -> tuple[Float[np.ndarray, "examples"], Float[np.ndarray, "examples"]]:
    """Return shape k and scale sigma of P(X > x) = (1 + k x / sigma)^(-1 / k), per row.

    Zhang & Stephens (2009): with theta = -k / sigma, of which k(theta) = mean log(1 - theta x)
    maximizes the likelihood, the posterior mean of theta over a grid of quantiles of their prior.
    Their k has the other sign.

    Args:
      excess: sorted in each row, x >= 0, the last one above 0.
    """
    count = excess.shape[-1]
    num_points = 30 + math.isqrt(count)
    quantiles = 1 - np.sqrt(num_points / (np.arange(1, num_points + 1) - 0.5))
    quartile = np.maximum(excess[:, int(count / 4 + 0.5) - 1, None], np.finfo(np.float64).tiny)
    theta = 1 / excess[:, -1:] + quantiles / (3 * quartile)
    theta = np.where(theta == 0, np.finfo(np.float64).tiny, theta)  # the exponential distribution
    shapes = _shape_at(theta, excess)
    log_likelihood = count * (np.log(-theta / shapes) - shapes - 1)
    weights = np.exp(log_likelihood - np.max(log_likelihood, axis=-1, keepdims=True))
    mean = np.sum(weights * theta, axis=-1, keepdims=True) / np.sum(weights, axis=-1, keepdims=True)
    shape = _shape_at(mean, excess)[:, 0]
    return shape, -shape / mean[:, 0]


def _shape_at(theta, excess):
    return np.mean(np.log1p(-theta[:, :, None] * excess[:, None, :]), axis=-1)
