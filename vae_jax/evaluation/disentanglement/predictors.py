"""Scores from predictors of the factors, fitted to codes: DCI, SAP, explicitness."""

from jax import Array
from jaxtyping import Float, Int, Key
import numpy as np

from vae_jax.evaluation.disentanglement.examples import check_counts, draw
from vae_jax.evaluation.disentanglement.fitted import (
    Codes,
    Counts,
    Factors,
    Fitted,
    generator,
    seed_of,
)
from vae_jax.evaluation.disentanglement.information import Matrix, entropy, gaps

_OVER = "held-out examples"


def disentanglement_of(importances: Matrix) -> float:
    """Return the mean over codes of 1 - H(importances of the code) / log(number of factors).

    Weighted by the importance of the code; Section 2 of Eastwood & Williams (2018).
    """
    return _concentration(importances)


def completeness_of(importances: Matrix) -> float:
    """Return the mean over factors of 1 - H(importances for the factor) / log(number of codes).

    Weighted by the importances for the factor; Section 2 of Eastwood & Williams (2018).
    """
    return _concentration(importances.T)


def _concentration(rows):
    totals = np.sum(rows, axis=1)
    rows, totals = rows[totals > 0], totals[totals > 0]
    if not len(rows):
        return 0.0
    return float(np.average(1 - entropy(rows, axis=1) / np.log(rows.shape[1]), weights=totals))


def make_dci(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    num_stages: int = 100,
) -> Fitted:
    """Disentanglement, completeness and informativeness of gradient-boosted trees.

    One classifier per factor; see `disentanglement_of` and `completeness_of` for what is made of
    the importances of the codes, both from 0 to 1; informativeness is the accuracy on held-out
    examples, the mean over factors. Eastwood & Williams (2018), with the trees of Locatello et al.
    (2019): depth 3, learning rate 0.1. Importances belong to the fit and have no bootstrap error.

    Args:
      num_train: examples that the trees are fitted to.
      num_test: examples held out.
      num_stages: of the boosting, a tree per value of the factor each.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    check_counts(2, 2, codes, factors)
    rng = generator(key)
    (codes, train), (test_codes, test) = draw(rng, codes, factors, num_train, num_test)
    importances, is_right = [], []
    for values, test_values in zip(train.T, test.T, strict=True):
        trees = GradientBoostingClassifier(n_estimators=num_stages, random_state=seed_of(rng))
        trees.fit(codes, values)
        importances.append(trees.feature_importances_)
        is_right.append(trees.predict(test_codes) == test_values)
    accuracies, importances = np.mean(is_right, axis=0), np.stack(importances, axis=1)

    def scores(counts):
        return {"dci_informativeness": float(np.average(accuracies, weights=counts))}

    of_fit = {
        "dci_disentanglement": disentanglement_of(importances),
        "dci_completeness": completeness_of(importances),
    }
    return Fitted(scores, num_test, _OVER, of_fit)


def make_sap(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    penalty: float = 0.01,
) -> Fitted:
    """SAP, separated attribute predictability.

    The mean over factors of the held-out accuracy of the linear support vector classifier of the
    best code less that of the second best, each of one code alone; from 0 to 1. Section 3 of Kumar
    et al. (2018), factors as classes of equal weight, as in Locatello et al. (2019).

    Args:
      num_train: examples that the classifiers are fitted to.
      num_test: examples held out.
      penalty: C of the classifiers, the weight of the data against the squared norm.
    """
    from sklearn.svm import LinearSVC

    check_counts(2, 1, codes, factors)
    rng = generator(key)
    (codes, train), (test_codes, test) = draw(rng, codes, factors, num_train, num_test)
    is_right = np.zeros((num_test, codes.shape[1], train.shape[1]))
    for i, j in np.ndindex(is_right.shape[1:]):
        classifier = LinearSVC(
            C=penalty, class_weight="balanced", dual=False, random_state=seed_of(rng)
        )
        classifier.fit(codes[:, [i]], train[:, j])
        is_right[:, i, j] = classifier.predict(test_codes[:, [i]]) == test[:, j]

    def scores(counts):
        accuracies = np.average(is_right, axis=0, weights=counts)
        return {"sap": float(np.mean(gaps(accuracies)))}

    return Fitted(scores, num_test, _OVER, {})


def make_explicitness(
    key: Key[Array, ""],
    codes: Codes,
    factors: Factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
) -> Fitted:
    """Explicitness: whether a linear classifier reads each factor from all codes.

    The area under the receiver operating characteristic on held-out examples, each value of a
    factor against its others, averaged over values and then over factors: from 0.5, by chance, to
    1. Logistic regression of codes of variance 1, penalty C = 1. Ridgeway & Mozer (2018), as in
    Locatello et al. (2019).

    Args:
      num_train: examples that the classifiers are fitted to.
      num_test: examples held out.
    """
    from sklearn.linear_model import LogisticRegression

    rng = generator(key)
    (codes, train), (test_codes, test) = draw(rng, codes, factors, num_train, num_test)
    mean, scale = np.mean(codes, axis=0), np.std(codes, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    curves = []
    for values, test_values in zip(train.T, test.T, strict=True):
        classifier = LogisticRegression(max_iter=5000, random_state=seed_of(rng))
        classifier.fit((codes - mean) / scale, values)
        certainties = classifier.predict_proba((test_codes - mean) / scale)
        curves.append(_RankedValues(certainties, test_values))

    def scores(counts):
        return {"explicitness": float(np.mean([each.mean_area(counts) for each in curves]))}

    return Fitted(scores, num_test, _OVER, {})


class _RankedValues:
    """Held-out examples ranked by how probable each value of a factor is said to be.

    They are sorted once: a resample counts them again in the same order.
    """

    def __init__(
        self,
        certainties: Float[np.ndarray, "examples values"],
        truth: Int[np.ndarray, "examples"],
    ):
        self.order = np.argsort(certainties, axis=0)
        ranked = np.take_along_axis(certainties, self.order, axis=0)
        self.is_value = truth[self.order] == np.arange(certainties.shape[1])
        is_new = np.diff(ranked, axis=0, prepend=-1.0) > 0
        self.ties = np.cumsum(is_new, axis=0) - 1  # rank of each group of equal certainty

    def mean_area(self, counts: Counts) -> float:
        """Return the mean over values of P(certainty of one that has it > of one that has not).

        Equal certainties count half. Values that no counted example has are left out.
        """
        areas = []
        for order, is_value, ties in zip(self.order.T, self.is_value.T, self.ties.T, strict=True):
            counted = counts[order]
            having = np.bincount(ties, counted * is_value)
            others = np.bincount(ties, counted * ~is_value)
            if having.any() and others.any():
                below = np.cumsum(others) - others / 2
                areas.append(having @ below / (having.sum() * others.sum()))
        return float(np.mean(areas))
