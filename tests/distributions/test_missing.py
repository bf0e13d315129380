"""Distributions of values of which some are missing, against scipy and the bases themselves."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests.support.composed import (
    KEY,
    LOG_SCALES,
    MEANS,
    assert_close,
    gaussians,
)
from vae_jax.distributions import Bernoulli, Categorical, Factorized, Gaussian, Masked, Observed


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnitGamma(Factorized):
    """x > 0 with density x^(a - 1) exp(-x) / Gamma(a): at 0 its derivative by a is -inf."""

    concentration: Any

    @property
    def mean(self):
        return self.concentration

    def log_prob_per_dimension(self, value):
        a = self.concentration
        return (a - 1) * jnp.log(value) - value - jax.scipy.special.gammaln(a)


BASES = {
    "gaussian": gaussians(MEANS, LOG_SCALES),
    "one scale": Gaussian(jnp.asarray(MEANS), jnp.array(0.3)),
    "bernoulli": Bernoulli(jnp.asarray(MEANS)),
    "positive": UnitGamma(jnp.exp(jnp.asarray(MEANS))),
}
NUMBERS = np.float32([[0.3, -1.2], [0.8, 2.1], [-0.5, 0.1]])
VALUES = {
    "gaussian": NUMBERS,
    "one scale": NUMBERS,
    "bernoulli": np.float32(NUMBERS > 0.2),
    "positive": np.exp(NUMBERS),
}
MASK = np.array([[1, 0], [0, 0], [1, 1]], bool)
every_base = pytest.mark.parametrize("name", BASES)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def observed_log_prob(base, values, mask):
    return Observed(base).log_prob(Masked(values, mask))


@every_base
def test_observed_under_a_full_mask_is_its_base(name):
    """Mutant: a mean over observed entries."""
    value, _ = observed_log_prob(BASES[name], VALUES[name], np.ones((3, 2)))
    np.testing.assert_allclose(value, BASES[name].log_prob(jnp.asarray(VALUES[name])), 1e-5)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_observed_sums_scipys_density_over_observed_entries(dtype):
    """Mutants: the mask turned over, a missing entry's density of its stand-in counted."""
    value, _ = observed_log_prob(BASES["gaussian"], VALUES["gaussian"], MASK.astype(dtype))
    expected = stats.norm.logpdf(VALUES["gaussian"], MEANS, np.exp(LOG_SCALES))[MASK].sum()
    np.testing.assert_allclose(value, expected, 1e-5)


@every_base
@pytest.mark.parametrize("missing", [np.nan, np.inf, -1.0, 1e30])
def test_what_stands_in_missing_entries_changes_nothing(name, missing):
    """Oracle: the density and gradients of the observed entries alone, as a product of its terms.

    Mutants: one `where`, after the density; a stand-in outside the support; mask times density.
    """
    values = np.where(MASK, VALUES[name], np.float32(missing))
    value, (by_base, by_values) = observed_log_prob(BASES[name], values, MASK)

    def alone(base, values):
        return jnp.sum(base.log_prob_per_dimension(values)[MASK])

    expected, gradients = jax.value_and_grad(alone, argnums=(0, 1))(BASES[name], VALUES[name])
    np.testing.assert_allclose(value, expected, 1e-5)
    assert_close((by_base, by_values), gradients)


def test_a_mask_of_fewer_axes_holds_for_those_that_follow():
    """Oracle: rows 0 and 2 of a square array. Mutant: a mask aligned with the last axis."""
    base, values = (
        gaussians(np.zeros((3, 3)), np.zeros((3, 3))),
        np.random.default_rng(0).normal(size=(3, 3)),
    )
    value, _ = observed_log_prob(base, jnp.asarray(values), np.array([1, 0, 1]))
    np.testing.assert_allclose(value, stats.norm.logpdf(values[[0, 2]]).sum(), 1e-5)
    value, _ = observed_log_prob(base, jnp.asarray(values), np.array(0))
    assert value == 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHot(Factorized):
    """One-hot vectors over the last axis: a value has one axis more than its log-densities."""

    logits: Any

    @property
    def mean(self):
        return jax.nn.softmax(self.logits)

    def sample(self, key):
        return jax.nn.one_hot(jax.random.categorical(key, self.logits), self.logits.shape[-1])

    def log_prob_per_dimension(self, value):
        return jnp.sum(value * jax.nn.log_softmax(self.logits), axis=-1)


def test_observed_one_hot_vectors_are_masked_as_wholes():
    """Oracle: log_softmax of the two observed rows. A mask of the entries observes the vectors of
    which it observes all. Mutants: the mask of the first entry, an axis that does not fit."""
    base = Observed(OneHot(jnp.asarray(MEANS)))
    mask = jnp.array([True, False, True])
    value = Masked(jnp.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]]), mask)
    expected = special.log_softmax(MEANS, axis=-1)
    np.testing.assert_allclose(base.log_prob(value), expected[0, 0] + expected[2, 1], 1e-5)
    assert base.sample(KEY).mask.shape == (3,)
    for mask in ([[1, 1], [0, 0], [1, 1]], [[1, 1], [1, 0], [1, 1]]):
        whole = base.log_prob(Masked(value.values, jnp.array(mask)))
        np.testing.assert_allclose(whole, expected[0, 0] + expected[2, 1], 1e-5)


def test_a_categorical_likelihood_takes_a_mask_of_all_axes():
    """Oracle: two of three fair variables of four classes, 2 log(1/4)."""
    mask = jnp.ones((3, 4)).at[1].set(0)
    value = Observed(Categorical(jnp.zeros((3, 4)))).log_prob(Masked(jnp.eye(4)[:3], mask))
    np.testing.assert_allclose(value, -2 * np.log(4), 1e-6)


def test_a_mask_of_another_shape_is_refused():
    for shape in ((2,), (3, 2, 1), (4, 2)):
        with pytest.raises(ValueError):
            Observed(BASES["gaussian"]).log_prob(Masked(jnp.zeros((3, 2)), jnp.ones(shape)))


def test_observed_samples_are_whole_and_moments_those_of_the_base():
    observed, base = Observed(BASES["gaussian"]), BASES["gaussian"]
    sample = observed.sample(KEY)
    np.testing.assert_array_equal(sample.values, base.sample(KEY))
    assert sample.mask.shape == (3, 2) and sample.mask.all()
    np.testing.assert_array_equal(observed.mean, base.mean)
    np.testing.assert_array_equal(observed.variance, base.variance)
