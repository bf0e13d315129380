"""Scores of the codes alone, which need no factors: how dependent the codes are on each other."""

import math

from jax import Array
from jaxtyping import Float, Key
import numpy as np

from vae_jax.evaluation.disentanglement.examples import check_counts, draw, to_bins, varying
from vae_jax.evaluation.disentanglement.fitted import Codes, Factors, Fitted, generator
from vae_jax.evaluation.disentanglement.information import mutual_information

Covariance = Float[np.ndarray, "codes codes"]


def gaussian_total_correlation(covariance: Covariance) -> float:
    """Return KL(N(0, C) || N(0, diag C)) = (sum_i log C_ii - log det C) / 2, in nats.

    Infinite where codes are linearly dependent.
    """
    scales = np.sqrt(np.diag(covariance))
    eigenvalues = np.linalg.eigvalsh(covariance / scales[:, None] / scales)  # of the correlations
    if eigenvalues[0] <= len(scales) * np.finfo(np.float64).eps:
        return math.inf
    return float(-np.sum(np.log(eigenvalues)) / 2)


def gaussian_wasserstein_correlation(covariance: Covariance) -> float:
    """Return the squared 2-Wasserstein distance of N(0, C) and N(0, D), D = diag C.

    It is 2 tr C - 2 tr (D^(1/2) C D^(1/2))^(1/2), in squared units of the codes.
    """
    scales = np.sqrt(np.diag(covariance))
    eigenvalues = np.linalg.eigvalsh(scales[:, None] * covariance * scales)
    root = np.sum(np.sqrt(np.maximum(eigenvalues, 0.0)))
    return float(max(2 * np.trace(covariance) - 2 * root, 0.0))


def make_unsupervised(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_examples: int = 10_000,
    num_bins: int = 20,
) -> Fitted:
    """Dependence of the codes on each other: smaller is more independent.

    Total correlation and squared 2-Wasserstein distance from independence of a Gaussian of the
    codes' covariance, the latter also divided by its trace, and the mean mutual information of two
    different codes in bins, in nats; as in Locatello et al. (2019). Constant codes are left out;
    the factors are not used.

    Args:
      num_examples: examples drawn.
      num_bins: bins of equal width per code.
    """
    [(codes, _)] = draw(generator(key), codes, factors, num_examples)
    codes = codes[:, varying(codes)]
    check_counts(2, 0, codes, factors)
    bins = to_bins(codes, num_bins)
    others = ~np.eye(codes.shape[1], dtype=bool)

    def scores(counts):
        covariance = np.cov(codes, rowvar=False, fweights=counts)
        wasserstein = gaussian_wasserstein_correlation(covariance)
        information = mutual_information(bins, bins, counts)
        return {
            "gaussian_total_correlation": gaussian_total_correlation(covariance),
            "gaussian_wasserstein_correlation": wasserstein,
            "gaussian_wasserstein_correlation_normalized": wasserstein
            / float(np.trace(covariance)),
            "mutual_information_of_codes": float(np.mean(information[others])),
        }

    return Fitted(scores, num_examples, "examples", {})
