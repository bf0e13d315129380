"""Scores from examples that share the value of one factor: BetaVAE, FactorVAE, IRS."""

from collections.abc import Callable

from jax import Array
from jaxtyping import Float, Int, Key
import numpy as np

from vae_jax.evaluation.disentanglement.examples import check_counts, draw, find_groups, to_bins
from vae_jax.evaluation.disentanglement.fitted import (
    Codes,
    Factors,
    Fitted,
    generator,
    seed_of,
)

_VOTES = "held-out votes"


def draw_votes(
    rng: np.random.Generator,
    factors: Factors,
    num_votes: int,
    describe: Callable[[int, np.ndarray], np.ndarray],
) -> tuple[np.ndarray, Int[np.ndarray, "votes"]]:
    """Return what `describe` says of each vote, and the factor that each vote holds.

    The factor of each vote is drawn uniformly; describe(factor, number of votes) is called once for
    each factor that was drawn.
    """
    labels = np.sort(rng.integers(factors.shape[1], size=num_votes))
    drawn, sizes = np.unique(labels, return_counts=True)
    parts = [describe(int(k), int(size)) for k, size in zip(drawn, sizes, strict=True)]
    return np.concatenate(parts), labels


def partners(
    rng: np.random.Generator,
    factor: Int[np.ndarray, "examples"],
    values: Int[np.ndarray, "votes batch"],
) -> Int[np.ndarray, "votes batch"]:
    """Return for each value the index of a random example whose factor has this value."""
    order, starts, lengths = find_groups(factor)
    return order[starts[values] + rng.integers(lengths[values])]


def mean_differences(
    rng: np.random.Generator, codes: Codes, factors: Factors, num_votes: int, batch_size: int
) -> tuple[Float[np.ndarray, "votes codes"], Int[np.ndarray, "votes"]]:
    """Return mean |code - code'| of pairs that share the value of one factor, and that factor."""

    def describe(k, size):
        firsts = rng.integers(len(codes), size=(size, batch_size))
        seconds = partners(rng, factors[:, k], factors[firsts, k])
        return np.mean(np.abs(codes[firsts] - codes[seconds]), axis=1)

    return draw_votes(rng, factors, num_votes, describe)


def make_beta_vae(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_votes: int = 10_000,
    num_test_votes: int = 5_000,
    batch_size: int = 64,
) -> Fitted:
    """BetaVAE score: accuracy of a linear classifier that tells which factor was held.

    Its input is the mean over a batch of pairs of |code - code'|, where both examples of a pair
    share the value of one factor. Logistic regression with scikit-learn's penalty C = 1. From
    1 / (number of factors), by chance, to 1. Higgins et al. (2017), as in Locatello et al. (2019),
    but for pairs that are drawn from `num_train` and `num_test` encoded examples.

    Args:
      num_train: examples that the votes of the fit are drawn from.
      num_test: examples that the held-out votes are drawn from.
      num_votes: batches that the classifier is fitted to.
      num_test_votes: batches that it is judged by.
      batch_size: pairs per batch.
    """
    from sklearn.linear_model import LogisticRegression

    check_counts(1, 2, codes, factors)
    rng = generator(key)
    train, test = draw(rng, codes, factors, num_train, num_test)
    inputs, labels = mean_differences(rng, *train, num_votes, batch_size)
    classifier = LogisticRegression(max_iter=5000, random_state=seed_of(rng)).fit(inputs, labels)
    inputs, labels = mean_differences(rng, *test, num_test_votes, batch_size)
    is_right = classifier.predict(inputs) == labels

    def scores(counts):
        return {"beta_vae": float(np.average(is_right, weights=counts))}

    return Fitted(scores, num_test_votes, _VOTES, {})


def least_varying_codes(
    rng: np.random.Generator, codes: Codes, factors: Factors, num_votes: int, batch_size: int
) -> tuple[Int[np.ndarray, "votes"], Int[np.ndarray, "votes"]]:
    """Return the code of least variance in batches that share one factor's value, and the factor.

    `codes` have been divided by their standard deviations over all examples.
    """

    def describe(k, size):
        values = factors[rng.integers(len(codes), size=size), k]
        batch = partners(rng, factors[:, k], np.repeat(values[:, None], batch_size, axis=1))
        return np.argmin(np.var(codes[batch], axis=1, ddof=1), axis=1)

    return draw_votes(rng, factors, num_votes, describe)


def make_factor_vae(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_votes: int = 10_000,
    num_test_votes: int = 5_000,
    batch_size: int = 64,
    least_deviation: float = 0.05,
) -> Fitted:
    """FactorVAE score: accuracy of the majority vote that tells which factor was held.

    A vote is the code that varies least, relative to its variance over all examples, in a batch
    that shares the value of one factor; each code names the factor that it stood for most often.
    From about 1 / (number of factors) to 1. Section 5 of Kim & Mnih (2018), as in Locatello et al.
    (2019), but for batches that are drawn from `num_train` and `num_test` encoded examples.

    Args:
      num_train: examples of the fit: of the variances and of the batches that vote.
      num_test: examples that the held-out batches are drawn from.
      num_votes: batches that vote.
      num_test_votes: batches that the vote is judged by.
      batch_size: examples per batch.
      least_deviation: codes of a smaller standard deviation are left out as collapsed; if all
        are, the score is 0.
    """
    check_counts(1, 2, codes, factors)
    rng = generator(key)
    (codes, train), (test_codes, test) = draw(rng, codes, factors, num_train, num_test)
    scales = np.std(codes, axis=0, ddof=1)
    kept = scales > least_deviation
    if not kept.any():
        return Fitted(lambda counts: {"factor_vae": 0.0}, num_test_votes, _VOTES, {})
    codes, test_codes = (each[:, kept] / scales[kept] for each in (codes, test_codes))
    voted, labels = least_varying_codes(rng, codes, train, num_votes, batch_size)
    votes = np.zeros((codes.shape[1], train.shape[1]), np.int64)
    np.add.at(votes, (voted, labels), 1)
    voted, labels = least_varying_codes(rng, test_codes, test, num_test_votes, batch_size)
    is_right = np.argmax(votes, axis=1)[voted] == labels

    def scores(counts):
        return {"factor_vae": float(np.average(is_right, weights=counts))}

    return Fitted(scores, num_test_votes, _VOTES, {})


def make_irs(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_examples: int = 10_000,
    num_bins: int = 20,
    quantile: float = 0.99,
) -> Fitted:
    """Interventional robustness score: how little other factors move a code.

    The score of a code c and a factor v is 1 - mean over values of v of
    quantile(|c - E[c|v]| given v) / max |c - E c|. Of each code the greatest one counts; the mean
    over codes is weighted by max |c - E c|. From 0 to 1. Suter et al. (2019), with the quantile and
    the bins of Locatello et al. (2019); constant codes are left out.

    Args:
      num_examples: examples drawn.
      num_bins: bins that the values of a factor of more values are joined to.
      quantile: of the deviations given a value; 1: the greatest, as in the paper.
    """
    [(codes, factors)] = draw(generator(key), codes, factors, num_examples)
    factors = to_bins(factors, num_bins)

    def scores(counts):
        rows = np.repeat(np.arange(num_examples), counts)
        return {"irs": irs_of(codes[rows], factors[rows], quantile)}

    return Fitted(scores, num_examples, "examples", {})


def irs_of(codes: Codes, factors: Factors, quantile: float) -> float:
    """Return the interventional robustness score of these examples: see `make_irs`."""
    greatest = np.max(np.abs(codes - codes.mean(axis=0)), axis=0)
    codes, greatest = codes[:, greatest > 0], greatest[greatest > 0]
    deviations = [_deviations(codes, column, quantile) for column in factors.T]
    robustness = np.max(1 - np.array(deviations) / greatest, axis=0)
    return float(np.average(robustness, weights=greatest))


def _deviations(codes, factor, quantile):
    # For each code, the mean over values of the factor of a quantile of |code - mean of the value|.
    order, starts, lengths = find_groups(factor)
    groups = [codes[order[a : a + n]] for a, n in zip(starts, lengths, strict=True) if n]
    return np.mean(
        [np.quantile(np.abs(each - each.mean(axis=0)), quantile, axis=0) for each in groups], axis=0
    )
