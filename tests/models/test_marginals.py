"""The best p(x) without latents, against maximum likelihood by numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from vae_jax.datasets import Units
from vae_jax.distributions import Masked
from vae_jax.evaluation import describe_gains, summarize
from vae_jax.models import LIKELIHOODS, Field, Likelihood, LikelihoodRow, make_vae

LEVELS, ROWS = 16, 200  # levels of discrete values, examples


def logs_of_frequencies(train, x, num_levels):
    counts = np.array([(train == level).sum() + 1 for level in range(num_levels)])
    return np.log(counts / counts.sum())[x.astype(int)]


def of_gaussian(sigma_of):
    def log_probs(train, x):
        return scipy.stats.norm.logpdf(x, train.mean(), sigma_of(train))

    return log_probs


def minimized(loss, start):
    options = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 2000}
    return scipy.optimize.minimize(loss, start, method="Nelder-Mead", options=options).x


def of_negative_binomial(train, x):
    mean = train.mean()

    def log_probs(x, log_total):
        total = np.exp(log_total)
        return scipy.stats.nbinom.logpmf(x, total, total / (total + mean))

    (best,) = minimized(lambda free: -log_probs(train, free[0]).mean(), [0.0])
    return log_probs(x, best)


def of_discretized_logistic(train, x):
    def log_probs(x, location, log_scale):
        ends = np.concatenate([[-np.inf], (np.arange(LEVELS - 1) + 0.5) / (LEVELS - 1), [np.inf]])
        below = scipy.special.expit((ends - location) / np.exp(log_scale))
        return np.log(np.diff(below))[np.round(x * (LEVELS - 1)).astype(int)]

    best = minimized(lambda free: -log_probs(train, *free).mean(), [train.mean(), -1.5])
    return log_probs(x, *best)


def of_continuous_bernoulli(train, x):
    def log_probs(x, logit):
        constant = np.log(logit / (2 * np.tanh(logit / 2)))
        return x * logit - np.logaddexp(0, logit) + constant + np.log(2)

    (best,) = minimized(lambda free: -log_probs(train, free[0]).mean(), [0.5])
    return log_probs(x, best)


# {likelihood: log p of each test value, of one column's training and test values}
ORACLES = {
    "bernoulli": lambda train, x: scipy.stats.bernoulli.logpmf(x, train.mean()),
    "binomial": lambda train, x: scipy.stats.binom.logpmf(
        np.round(x * (LEVELS - 1)), LEVELS - 1, train.mean()
    ),
    "continuous_bernoulli": of_continuous_bernoulli,
    "gaussian": of_gaussian(lambda train: 1.0),
    "squared_error": of_gaussian(lambda train: np.sqrt(0.5)),
    "gaussian_scale_per_column": of_gaussian(np.std),
    "gaussian_scale_per_value": of_gaussian(np.std),
    "discretized_logistic": of_discretized_logistic,
    "categorical": lambda train, x: logs_of_frequencies(
        np.round(train * (LEVELS - 1)), np.round(x * (LEVELS - 1)), LEVELS
    ),
    "poisson": lambda train, x: scipy.stats.poisson.logpmf(x, train.mean()),
    "negative_binomial": of_negative_binomial,
}


def draw(likelihood, columns=3):
    """Return values of each column, with a location of its own, and which are observed."""
    rng = np.random.default_rng(1)
    centre = np.linspace(0.3, 0.7, columns)
    noise = rng.normal(size=(ROWS, columns)) * np.linspace(0.1, 0.2, columns)
    values = {
        "bits": lambda: rng.uniform(size=noise.shape) < centre,
        "unit": lambda: np.clip(centre + noise, 0.01, 0.99),
        "real": lambda: 5 * centre + 3 * noise,
        "levels": lambda: np.round(np.clip(centre + noise, 0, 1) * (LEVELS - 1)) / (LEVELS - 1),
        "counts": lambda: rng.negative_binomial(2, 1 - centre, size=noise.shape),
    }[LIKELIHOODS[likelihood].values]()
    return np.float64(values), rng.uniform(size=noise.shape) < 0.8


def fit_and_measure(likelihood, train, test, **field):
    row = LIKELIHOODS[likelihood]
    made = Field(test.shape[1:], row.values, row.make(LEVELS), **field)

    def log_probs(train, test):
        return jax.vmap(made.marginal(train).log_prob)(test)

    return np.asarray(jax.jit(log_probs)(train, jnp.float32(test)))


@pytest.mark.parametrize("likelihood", ORACLES)
def test_marginals_are_the_most_likely(likelihood):
    """Missing training values are left out, whatever is stored there.

    Mutants: means over missing values too, a variance for a sigma, one mean for all columns, the
    moments of the logistic variable or of r for their maximum of likelihood.
    """
    values, mask = draw(likelihood)
    train, test = values[:150], values[150:]
    masked = Masked(jnp.float32(np.where(mask[:150], train, 0.0)), jnp.asarray(mask[:150]))
    got = fit_and_measure(likelihood, masked, test)
    columns = zip(train.T, mask[:150].T, test.T, strict=True)
    expected = sum(ORACLES[likelihood](each[seen], x) for each, seen, x in columns)
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=5e-3)


def test_one_sigma_of_all_values_is_the_root_mean_squared_deviation():
    """Mutants: a sigma of each column; deviations from the mean of all columns."""
    values, _ = draw("gaussian_learned_scale")
    train, test = values[:150], values[150:]
    sigma = np.sqrt(np.mean((train - train.mean(0)) ** 2))
    expected = scipy.stats.norm.logpdf(test, train.mean(0), sigma).sum(1)
    for likelihood in ("gaussian_learned_scale", "gaussian_optimal_scale"):
        got = fit_and_measure(likelihood, jnp.float32(train), test)
        np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_classes_of_one_hot_vectors_have_their_frequencies():
    """As if each had been seen once more. Mutant: frequencies over all columns together."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(2, size=ROWS), rng.choice(3, p=[0.7, 0.2, 0.1], size=ROWS)
    x = np.concatenate([np.eye(2)[first], np.eye(3)[second]], axis=1)
    row = LIKELIHOODS["one_hot"]
    field = Field((5,), row.values, row.make((2, 3)))
    p = field.marginal(jnp.float32(x[:150]))
    got = jax.jit(jax.vmap(p.log_prob))(jnp.float32(x[150:]))
    expected = logs_of_frequencies(first[:150], first[150:], 2)
    expected = expected + logs_of_frequencies(second[:150], second[150:], 3)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_density_is_that_of_the_data_in_their_units():
    """Of standardized logarithms a log-normal, and missing test values add nothing.

    Mutants: the log-density of the standardized values; a missing value counted as its mean.
    """
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal([1.0, -2.0], [0.5, 2.0], size=(ROWS, 2)))
    logs = np.log(x)
    units = Units(tuple(logs.mean(0)), tuple(logs.std(0)), is_log=True)
    u = (logs - logs.mean(0)) / logs.std(0)
    row = LIKELIHOODS["gaussian_scale_per_column"]
    field = Field((2,), row.values, row.make(0), masked=True, units=units)
    mask = np.ones((ROWS, 2), bool)
    mask[0, 1] = False
    p = field.marginal(Masked(jnp.float32(u), jnp.ones((ROWS, 2))))
    got = jax.jit(jax.vmap(p.log_prob))(Masked(jnp.float32(u), jnp.asarray(mask)))
    expected = scipy.stats.lognorm.logpdf(x, logs.std(0), scale=np.exp(logs.mean(0)))
    np.testing.assert_allclose(got, np.where(mask, expected, 0).sum(1), rtol=1e-4, atol=1e-4)


def test_pixels_that_never_change_have_a_finite_baseline():
    """Mutant: a probability of zero, which a single test pixel turns into -inf."""
    train, test = np.zeros((100, 2)), np.array([[0.0, 1.0]])
    got = fit_and_measure("bernoulli", jnp.float32(train), test)
    np.testing.assert_allclose(got, np.log(1 - 0.005) + np.log(0.005), rtol=1e-5)


def test_a_row_of_ones_own_may_have_none():
    """Mutant: a model that cannot be made, or a baseline of another likelihood."""

    def make_plain(num_levels) -> Likelihood:
        """As Bernoulli, without a marginal."""
        return LIKELIHOODS["bernoulli"].make(num_levels)._replace(marginal=None)

    vae = make_vae((3,), latent_dim=1, hidden=(2,), likelihood=LikelihoodRow("bits", make_plain))
    assert vae.marginal is None


def test_gain_and_collapse_are_told():
    """Mutants: the gain with its sign turned, the ELBO's gain, a collapse of a used latent."""
    zeros = {"log_likelihood": np.full(4, -9.0), "elbo": np.full(4, -9.5)}
    zeros |= {"reconstruction": np.full(4, -9.5), "posterior_mean": np.zeros((4, 2))}
    measured = [zeros | {"kl": np.full(4, kl)} for kl in (1e-4, 3.0)]
    summary = summarize(measured, baseline=np.full(4, -12.0))
    assert summary["baseline_nll"] == [12, 12] and summary["gain"] == [3, 3]
    gain, collapse = describe_gains(summary, ["seed=0", "seed=1"], True)
    assert "gain 3.00 nats" in gain and "without them and y" in gain and "12.00" in gain
    assert collapse.startswith("posterior collapse of seed=0:")
    assert not describe_gains({"kl": [3.0]}, ["seed=0"], False)
