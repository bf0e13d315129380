"""Scores from the mutual information of codes, in bins, and factors: in nats."""

from typing import Any

from jax import Array
from jaxtyping import Float, Int, Key
import numpy as np

from vae_jax.evaluation.disentanglement.examples import check, check_counts, draw, to_bins
from vae_jax.evaluation.disentanglement.fitted import (
    Codes,
    Counts,
    Factors,
    Fitted,
    generator,
)

Matrix = Float[np.ndarray, "codes factors"]


def entropy(probabilities: np.ndarray, axis: int | None = None) -> Any:
    """Return -sum p log p in nats, with 0 log 0 = 0; the p are divided by their sum."""
    p = probabilities / np.sum(probabilities, axis=axis, keepdims=True)
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=axis)


def mutual_information(
    a: Int[np.ndarray, "examples left"], b: Int[np.ndarray, "examples right"], counts: Counts
) -> Float[np.ndarray, "left right"]:
    """Return I(a_i; b_j) = H(a_i) + H(b_j) - H(a_i, b_j) of each pair of columns, in nats.

    The plug-in estimate from counts; of independent columns of m and n values it is about
    (m - 1)(n - 1) / (2 N) instead of 0.

    Args:
      a: integers from 0.
      b: integers from 0.
      counts: how often each example is counted.
    """
    sizes = np.max(b, axis=0) + 1
    information = np.zeros((a.shape[1], b.shape[1]))
    for i, left in enumerate(a.T):
        for j, right in enumerate(b.T):
            pairs = left * sizes[j] + right
            joint = np.bincount(pairs, counts, minlength=(left.max() + 1) * sizes[j])
            joint = joint.reshape(-1, sizes[j])
            marginals = entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0))
            information[i, j] = max(marginals - entropy(joint), 0.0)
    return information


def entropies(factors: Factors, counts: Counts) -> Float[np.ndarray, "factors"]:
    """Return the entropy of each factor over the counted examples, in nats."""
    return np.array([entropy(np.bincount(column, counts)) for column in factors.T])


def shares(codes: Codes, factors: Factors, num_bins: int = 20) -> Matrix:
    """Return I(code; factor) / H(factor): the share of each factor that each code tells, 0 to 1.

    Raises:
      ValueError: what `check` raises.
    """
    codes, factors = check(codes, factors)
    ones = np.ones(len(codes), np.int64)
    information = mutual_information(to_bins(codes, num_bins), factors, ones)
    return information / entropies(factors, ones)


def gaps(matrix: Matrix) -> Float[np.ndarray, "factors"]:
    """Return the greatest less the second greatest entry of each column."""
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2]


def make_mig(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_examples: int = 10_000,
    num_bins: int = 20,
) -> Fitted:
    """Mutual information gap.

    MIG = mean over factors k of (I(code_1; v_k) - I(code_2; v_k)) / H(v_k), of the two codes that
    tell most of factor k; from 0 to 1, where 1 means that one code alone tells each factor. Section
    4 of Chen et al. (2018), with codes (posterior means) in bins as in Locatello et al. (2019).

    Args:
      num_examples: examples drawn.
      num_bins: bins of equal width per code.
    """
    check_counts(2, 1, codes, factors)
    [(codes, factors)] = draw(generator(key), codes, factors, num_examples)
    bins = to_bins(codes, num_bins)

    def scores(counts):
        information = mutual_information(bins, factors, counts)
        return {"mig": float(np.mean(gaps(information) / entropies(factors, counts)))}

    return Fitted(scores, num_examples, "examples", {})


def modularity_of(information: Matrix) -> float:
    """Return the mean over codes of 1 - sum_{k != best} I_k^2 / (I_best^2 (factors - 1)).

    A code that tells nothing of any factor counts as 0. Eq. (2), Ridgeway & Mozer (2018).
    """
    squares = np.square(information)
    best = np.max(squares, axis=1)
    others = np.sum(squares, axis=1) - best
    spread = others / (np.where(best > 0, best, 1.0) * (squares.shape[1] - 1))
    return float(np.mean(np.where(best > 0, 1 - spread, 0.0)))


def make_modularity(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_examples: int = 10_000,
    num_bins: int = 20,
) -> Fitted:
    """Modularity: whether each code tells of one factor only.

    From 0 to 1, see `modularity_of`; Ridgeway & Mozer (2018), as in Locatello et al. (2019). It
    does not ask that one code tells the whole of a factor, and is near 1 for most models.

    Args:
      num_examples: examples drawn.
      num_bins: bins of equal width per code.
    """
    check_counts(1, 2, codes, factors)
    [(codes, factors)] = draw(generator(key), codes, factors, num_examples)
    bins = to_bins(codes, num_bins)

    def scores(counts):
        return {"modularity": modularity_of(mutual_information(bins, factors, counts))}

    return Fitted(scores, num_examples, "examples", {})
