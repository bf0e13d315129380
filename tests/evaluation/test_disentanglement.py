"""Disentanglement metrics on toy codes whose scores are known.

GRID holds every combination of three factors equally often, so that what enters a score as a
probability is an exact frequency.
"""

import collections
import itertools
import math

import jax
import numpy as np
import pytest
from scipy import linalg, stats

from vae_jax.evaluation import disentanglement
from vae_jax.evaluation.disentanglement import METRICS, PROTOCOLS, Fitted, bootstrap, measure
from vae_jax.evaluation.disentanglement.predictors import _RankedValues
from vae_jax.lookup import option_meanings, options_of, summary_of

KEY = jax.random.key(0)
SIZES = (4, 4, 3)
GRID = np.tile(list(itertools.product(*map(range, SIZES))), (25, 1))  # 1,200 examples
IDENTITY = np.float64(GRID)
V0, V1, V2 = IDENTITY.T
ROTATED = np.stack([V0 + V1, V0 - V1, V2], axis=1)
DUPLICATED = np.concatenate([IDENTITY, IDENTITY], axis=1)
SHARED = np.stack([V0 + V1, V2], axis=1)  # one code carries two factors
ALL = {"num_examples": len(GRID)}
SPLIT = {"num_train": 700, "num_test": 500}
VOTES = SPLIT | {"num_votes": 600, "num_test_votes": 1000}
SMALL = {
    "beta_vae": VOTES,
    "factor_vae": VOTES,
    "mig": ALL,
    "dci": SPLIT | {"num_stages": 3},
    "sap": SPLIT,
    "modularity": ALL,
    "explicitness": SPLIT,
    "irs": ALL | {"quantile": 1.0},
    "unsupervised": ALL,
}


def score(metric, codes, factors=GRID, key=KEY, num_resamples=0, name=None, **options):
    """Return the score of that name, by default the metric's."""
    measured = measure(metric, key, codes, factors, num_resamples, **SMALL[metric] | options)
    estimate = measured[name or metric]
    return estimate if num_resamples else estimate.mean


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def entropy_by_counting(*columns):
    counts = collections.Counter(zip(*columns, strict=True)).values()
    return -sum(n / len(columns[0]) * math.log(n / len(columns[0])) for n in counts)


def information_by_counting(codes, factors):
    """I(code; factor) of integer codes, from the frequencies of values and of pairs."""
    columns = [tuple(each) for each in np.int64(codes).T], [tuple(each) for each in factors.T]
    return np.array(
        [
            [
                entropy_by_counting(a) + entropy_by_counting(b) - entropy_by_counting(a, b)
                for b in columns[1]
            ]
            for a in columns[0]
        ]
    )


def mig_by_counting(codes):
    information = np.sort(information_by_counting(codes, GRID), axis=0)
    return np.mean((information[-1] - information[-2]) / np.log(SIZES))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (IDENTITY, 1.0),
        (100 - 7 * IDENTITY[:, [2, 0, 1]], 1.0),  # permuted, turned round and in other units
        (DUPLICATED, 0.0),
        (ROTATED, mig_by_counting(ROTATED)),
        (SHARED, mig_by_counting(SHARED)),
    ],
    ids=["identity", "permuted", "duplicated", "rotated", "two factors in one code"],
)
def test_mig_of_toy_codes(codes, expected):
    """Oracle: enumeration. Mutants: a reshape for a transpose, the entropy of the code for that of
    the factor, the gap of the two best factors of a code."""
    np.testing.assert_allclose(score("mig", codes), expected, atol=1e-12)


def test_mig_of_codes_with_gaussian_noise():
    """Oracle: I(v; bin of v + 0.7 e) from Gaussian distribution functions between the bins' edges,
    within four bootstrap errors; the bias of the estimate cancels in the gap. 20,000 examples.

    Mutants: bits for nats, 10 bins, an error that is not divided by sqrt(N).
    """
    rng = np.random.default_rng(1)
    factors = rng.integers(5, size=(20_000, 2))
    codes = factors + 0.7 * rng.normal(size=factors.shape)

    def information(code):
        edges = np.linspace(code.min(), code.max(), 21)
        edges[[0, -1]] = -np.inf, np.inf
        p = np.diff(stats.norm(np.arange(5)[:, None], 0.7).cdf(edges), axis=1)
        p_code = p.mean(axis=0)
        return np.sum(p / 5 * np.log(np.where(p > 0, p / p_code, 1.0)))

    expected = np.mean([information(code) for code in codes.T]) / np.log(5)
    got = score("mig", codes, factors, num_resamples=50, num_examples=20_000)
    assert abs(got.mean - expected) < 4 * got.standard_error < 0.02


@pytest.mark.parametrize("metric", ["mig", "modularity", "sap"])
def test_codes_of_noise_tell_nothing(metric):
    """Oracle: 2 N I of independent columns is chi-squared; modularity of equal columns is 0.

    Mutant: codes and factors paired wrongly would still pass; a score of 1 - x would not.
    """
    codes = noise(2, len(GRID), 3)
    most = stats.chi2(19 * 3).ppf(1 - 1e-5) / (2 * len(GRID)) / np.log(3)
    assert 0 <= score(metric, codes) < {"mig": most, "modularity": 0.9, "sap": 0.1}[metric]


def test_modularity_of_toy_codes():
    """Oracle: 1 of codes of one factor each; by Eq. (2) of the paper from counted information.

    Mutants: information that is not squared, a division by the number of factors.
    """
    np.testing.assert_allclose(score("modularity", DUPLICATED), 1.0, atol=1e-12)
    mixed = np.stack([2 * V0 + V1 // 2, V2], axis=1)  # all of v0, a half of v1
    squares = information_by_counting(mixed, GRID) ** 2
    expected = np.mean([1 - (row.sum() - row.max()) / (row.max() * 2) for row in squares])
    np.testing.assert_allclose(score("modularity", mixed), expected, atol=1e-12)
    np.testing.assert_allclose(
        disentanglement.modularity_of(np.array([[0.0, 0.0], [0.0, 2.0]])), 0.5
    )


@pytest.mark.parametrize("metric", ["beta_vae", "factor_vae"])
def test_the_held_factor_is_told_from_codes_of_one_factor_each(metric):
    """Mutants: the code that varies most; no division by the variance over all examples."""
    scales = np.array([1.0, 0.1, 10.0]) if metric == "factor_vae" else 1.0
    codes = IDENTITY[:, [2, 0, 1]] + 0.2 * noise(9, len(GRID), 3)
    assert score(metric, codes * scales) == 1.0


@pytest.mark.parametrize("metric", ["beta_vae", "factor_vae"])
def test_the_held_factor_is_guessed_from_noise(metric):
    """Oracle: chance, 1/3, within four standard errors over 8 independent sets of noise.

    Mutant: the majority is judged by the votes that it comes from.
    """
    keys, num_codes = jax.random.split(KEY, 8), {"beta_vae": 4, "factor_vae": 12}[metric]
    small = {"num_votes": 300, "num_test_votes": 300, "batch_size": 8}
    drawn = [
        score(metric, noise(i, len(GRID), num_codes), key=k, **small) for i, k in enumerate(keys)
    ]
    assert abs(np.mean(drawn) - 1 / 3) < 4 * np.std(drawn, ddof=1) / np.sqrt(len(drawn))


def test_factor_vae_of_one_code_with_two_factors():
    """Oracle: both factors vote for the same code, which can name one of them: 2/3 of the votes
    are right, within four binomial errors. Mutant: judged by each factor's own majority."""
    got = score("factor_vae", SHARED, batch_size=200, num_resamples=30)
    error = math.sqrt(2 / 9 / 1000)
    assert abs(got.mean - 2 / 3) < 4 * error
    assert abs(got.standard_error / error - 1) < 4 / math.sqrt(2 * 29)  # of 30 resamples


def test_factor_vae_leaves_out_collapsed_codes():
    """A code of almost no variance, relative to which a batch may vary least by chance.

    Mutant: its variance compared, 1e-8 against 0.05, but not left out of the division.
    """
    constant = np.concatenate([IDENTITY, np.zeros((len(GRID), 1)), 1e-4 * V0[:, None]], axis=1)
    assert score("factor_vae", constant) == 1.0
    assert score("factor_vae", IDENTITY, least_deviation=50.0) == 0.0


def test_irs_of_toy_codes():
    """Oracle by hand: v0 + v1 of 4 values each deviates by 1.5 given one of them, by 3 in all: 0.5;
    10 v2 scores 1 and deviates by 10 in all. Mutants: codes of equal weight, the mean over factors.
    """
    assert score("irs", IDENTITY) == 1.0
    codes = np.stack([V0 + V1, 10 * V2, np.full_like(V0, 4.0)], axis=1)
    np.testing.assert_allclose(score("irs", codes), (3 * 0.5 + 10 * 1) / 13)
    low = score("irs", codes, quantile=0.5)
    assert low > score("irs", codes)


def test_dci_of_known_importances():
    """Oracle: two codes that share one factor are disentangled, 1, and the factor's completeness
    is 1 - log 2 / log(number of codes). Mutants: the axes exchanged, logarithms of another base,
    a code of no importance that counts as much as others.
    """
    importances = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(disentanglement.disentanglement_of(importances), 1.0)
    complete = disentanglement.completeness_of(importances)
    np.testing.assert_allclose(complete, (1 - math.log(2) / math.log(4) + 1) / 2)
    mixed = np.array([[0.5, 0.5], [0.5, 0.0], [0.0, 0.5]])
    np.testing.assert_allclose(disentanglement.disentanglement_of(mixed), 0.5)
    assert disentanglement.disentanglement_of(np.zeros((3, 2))) == 0.0


def test_dci_of_a_factor_in_two_codes():
    """v0 in two bits, v1 as it is: trees need both bits about equally (H is flat there), so that
    completeness is (1 - log 2 / log 3 + 1) / 2. Mutant: importances of other codes' trees."""
    codes, factors = np.stack([V0 // 2, V0 % 2, V1], axis=1), GRID[:, :2]
    named = measure("dci", KEY, codes, factors, 10, **SMALL["dci"])
    np.testing.assert_allclose(named["dci_disentanglement"].mean, 1.0, atol=0.01)
    expected = (1 - math.log(2) / math.log(3) + 1) / 2
    np.testing.assert_allclose(named["dci_completeness"].mean, expected, atol=0.02)
    assert named["dci_informativeness"].mean == 1.0
    assert math.isnan(named["dci_completeness"].standard_error)
    assert named["dci_completeness"].over == "fits"


def signs_with_noise(scale):
    factors = np.random.default_rng(3).integers(2, size=(6_000, 2))
    return 2 * factors - 1 + scale * noise(4, 6_000, 2), factors


def test_sap_of_codes_with_gaussian_noise():
    """Oracle: a sign with noise s is told from its code with probability Phi(1 / s), from the other
    with 1/2. Mutant: the best accuracy without the second best."""
    codes, factors = signs_with_noise(0.8)
    sizes = {"num_train": 3_000, "num_test": 3_000}
    got = score("sap", codes, factors, num_resamples=40, **sizes)
    assert abs(got.mean - (stats.norm.cdf(1 / 0.8) - 0.5)) < 4 * got.standard_error < 0.1


def test_explicitness_of_codes_with_gaussian_noise():
    """Oracle: the area under the curve of two Gaussians at -1 and 1 is Phi(sqrt(2) / s)."""
    codes, factors = signs_with_noise(1.5)
    sizes = {"num_train": 3_000, "num_test": 3_000}
    got = score("explicitness", codes, factors, num_resamples=40, **sizes)
    assert abs(got.mean - stats.norm.cdf(math.sqrt(2) / 1.5)) < 4 * got.standard_error < 0.1


def test_area_under_the_curve_of_counted_examples():
    """Oracle: scikit-learn on repeated rows, with ties. Mutants: ties that count whole or not at
    all, counts that are read in another order."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(5)
    certainties, truth = rng.integers(6, size=(80, 3)) / 5, rng.integers(3, size=80)
    counts = np.bincount(rng.integers(80, size=80), minlength=80)
    rows = np.repeat(np.arange(80), counts)
    expected = [roc_auc_score(truth[rows] == v, certainties[rows, v]) for v in range(3)]
    got = _RankedValues(certainties, truth).mean_area(counts)
    np.testing.assert_allclose(got, np.mean(expected))


def test_unsupervised_scores_of_a_gaussian():
    """Oracles: -log(1 - rho^2) / 2 for a pair; 2-Wasserstein distance with scipy's matrix root.

    Mutants: the total correlation without its half; a root that is taken entry by entry.
    """
    pair = np.array([[4.0, 1.2], [1.2, 1.0]])  # rho = 0.6
    total = disentanglement.gaussian_total_correlation(pair)
    np.testing.assert_allclose(total, -math.log(1 - 0.6**2) / 2)
    factor = noise(6, 4, 4)
    covariance = factor @ factor.T
    diagonal = np.diag(np.diag(covariance))
    half = linalg.sqrtm(diagonal)
    expected = np.trace(covariance + diagonal - 2 * linalg.sqrtm(half @ covariance @ half))
    got = disentanglement.gaussian_wasserstein_correlation(covariance)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert disentanglement.gaussian_total_correlation(np.ones((2, 2))) == math.inf


def test_unsupervised_scores_of_toy_codes():
    """Codes of the grid's factors are independent: 0. Of v0 twice and v1, one of the three pairs
    has information log 4. Mutants: pairs of a code with itself, division by other pairs."""
    named = measure("unsupervised", KEY, IDENTITY, GRID, 0, **ALL)
    np.testing.assert_allclose([each.mean for each in named.values()], 0, atol=1e-9)
    codes = np.stack([V0, V0 + 0 * V1, V1, np.ones_like(V0)], axis=1)  # the constant is left out
    named = measure("unsupervised", KEY, codes, GRID, 0, **ALL)
    np.testing.assert_allclose(named["mutual_information_of_codes"].mean, math.log(4) / 3)
    normalized = named["gaussian_wasserstein_correlation_normalized"].mean
    variances = np.array([2, 0, 1]) * np.var(V0)  # of N(0, C) with two equal codes, by eigenvalues
    expected = 2 * (3 - math.sqrt(2) - 1) * np.var(V0)
    np.testing.assert_allclose(normalized, expected / variances.sum(), atol=1e-6)


def test_bootstrap_of_a_mean():
    """Oracle: sd / sqrt(n), within four errors of 200 resamples. Mutants: fewer units per resample,
    the error divided by the square root of the number of resamples."""
    values = noise(7, 400)
    fitted = Fitted(
        lambda counts: {"m": np.average(values, weights=counts)}, 400, "examples", {"f": 2.0}
    )
    got = bootstrap(KEY, fitted)
    assert got["m"].mean == np.mean(values) and got["f"][::2] == (2.0, "fits")
    ratio = got["m"].standard_error / (np.std(values) / 20)
    assert abs(ratio - 1) < 4 / math.sqrt(2 * 199)
    with pytest.raises(ValueError, match="0 or at least 2, got 1"):
        bootstrap(KEY, fitted, 1)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_depends_on_its_key_alone(metric):
    """Duplicated codes, where trees break ties at random. Mutants: an estimator without a seed, a
    use of numpy's global generator."""
    codes = DUPLICATED + 0.3 * np.tile(noise(8, len(GRID), 3), 2)
    options = SMALL[metric] | ({"num_votes": 50} if "num_votes" in SMALL[metric] else {})
    runs = []
    for seed in (1, 2):
        np.random.seed(seed)
        before = np.random.get_state()[1].copy()
        runs.append(measure(metric, KEY, codes, GRID, 2, **options))
        np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_equal(*runs)
    assert all(each.over for each in runs[0].values())


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_says_what_it_is(metric):
    """Mutants: an option without a meaning, a protocol's option that the row lacks."""
    row = METRICS[metric]
    assert len(summary_of(row)) > 2 and set(option_meanings(row)) == set(options_of(row))
    assert all(isinstance(default, int | float) for default in options_of(row).values())
    for protocol in PROTOCOLS.values():
        assert set(protocol) <= set(METRICS)
        assert set(protocol.get(metric, {})) <= set(options_of(row))


BROKEN = np.where(np.arange(len(GRID))[:, None] == 7, np.nan, IDENTITY)
RARE = np.where(np.arange(len(GRID))[:, None] == 7, 9, GRID)


@pytest.mark.parametrize(
    ("metric", "codes", "factors", "options", "message"),
    [
        ("mig", BROKEN, GRID, {}, r"codes must be finite: 1 of 1200 examples .* example 7$"),
        ("dci", 0 * IDENTITY, GRID, {}, r"all 3 codes are constant: the encoder ignores x"),
        ("sap", IDENTITY, GRID * [1, 0, 1], {}, r"factor 1 has fewer than two values: leave it"),
        ("irs", IDENTITY, RARE, {}, r"too few examples: value 4 of factor 0 has 1 of 1200"),
        ("mig", IDENTITY, GRID, {"num_examples": 1201}, r"too few .* takes 1201, got 1200; give"),
        ("sap", IDENTITY, GRID, {"num_test": 501}, r"takes 700 \+ 501, got 1200"),
        ("mig", IDENTITY[:, :1], GRID, {}, r"compares codes: it needs at least 2, got 1"),
        ("modularity", IDENTITY, GRID[:, :1], {}, r"compares factors: it needs at least 2, got 1"),
        ("mig", IDENTITY[:-1], GRID, {}, r"of the same examples, got \(1199, 3\) and \(1200, 3\)"),
        ("mig", IDENTITY, GRID, {"num_bin": 3}, r"did you mean 'num_bins'"),
        ("mgi", IDENTITY, GRID, {}, r"metric='mgi' is unknown \(did you mean 'mig'\?\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric, codes, factors, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        measure(metric, KEY, codes, factors, 0, **SMALL.get(metric, {}) | options)
    assert "\n" not in str(caught.value)


def test_factors_that_enter_are_named():
    """Mutants: the color of dSprites, which has one value, kept; an unknown name ignored."""
    sizes = {"color": 1, "shape": 3, "scale": 6, "x": 32}
    columns, left_out = disentanglement.choose_factors(sizes, ["shape"])
    assert columns == [2, 3]
    assert left_out == {"color": "one value only", "shape": "as asked for"}
    with pytest.raises(ValueError, match=r"leave_out='Shape' is no factor; known: color, shape"):
        disentanglement.choose_factors(sizes, ["Shape"])
    with pytest.raises(ValueError, match=r"at least two factors .* got 1 \(left out: color"):
        disentanglement.choose_factors(sizes, ["shape", "scale"])
