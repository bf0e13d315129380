"""Mixtures, flows, fields, layers and missing entries against scipy, numpyro and closed forms."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from linear_gaussian import assert_mean_is
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from vae_jax.distributions import (
    Bernoulli,
    Chain,
    Factorized,
    Flow,
    Gaussian,
    Masked,
    Mixture,
    Observed,
    Product,
    standard_normal,
)

KEY = jax.random.key(0)
NUM_SAMPLES = 20_000

LOG_WEIGHTS = np.array([0.5, -1.0, 1.2], np.float32)  # not normalized
MEANS = np.array([[2.0, -1.0], [0.0, 0.5], [-3.0, 4.0]], np.float32)
LOG_SCALES = np.array([[-0.5, 0.2], [0.1, -1.0], [0.0, 0.3]], np.float32)
WEIGHTS = special.softmax(np.float64(LOG_WEIGHTS))
Z = np.array([0.7, -0.4], np.float32)


def gaussians(means=MEANS, log_scales=LOG_SCALES):
    return Gaussian(jnp.asarray(means), jnp.asarray(log_scales))


def assert_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, atol=1e-6), a, b)


def draw(distribution, num_samples=NUM_SAMPLES):
    """Return independent samples, stacked."""
    return jax.jit(jax.vmap(distribution.sample))(jax.random.split(KEY, num_samples))


def mixture_log_prob(z, log_weights, means, log_scales):
    """Return scipy's log-density of a mixture of Gaussians in float64."""
    z, means, log_scales = map(np.float64, (z, means, log_scales))
    log_probs = stats.norm.logpdf(z, means, np.exp(log_scales)).sum(-1)
    return special.logsumexp(special.log_softmax(np.float64(log_weights)) + log_probs)


# Mixture.


def test_mixture_of_gaussians_is_scipys_and_numpyros():
    """Mutants: unnormalized weights, a mean of log-densities, a density without log(2 pi)."""
    value = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians()).log_prob(jnp.asarray(Z))
    assert value.shape == ()
    np.testing.assert_allclose(value, mixture_log_prob(Z, LOG_WEIGHTS, MEANS, LOG_SCALES), 1e-5)
    components = numpyro.Normal(MEANS, np.exp(LOG_SCALES)).to_event(1)
    oracle = numpyro.MixtureSameFamily(numpyro.Categorical(logits=LOG_WEIGHTS), components)
    np.testing.assert_allclose(value, oracle.log_prob(Z), 1e-5)


def test_mixture_of_bernoullis_is_numpyros():
    """Mutant: bits weighted as if they were drawn from different components."""
    logits, bits = jnp.asarray(MEANS), jnp.array([1.0, 0.0])
    value = Mixture(jnp.asarray(LOG_WEIGHTS), Bernoulli(logits)).log_prob(bits)
    components = numpyro.BernoulliLogits(logits).to_event(1)
    oracle = numpyro.MixtureSameFamily(numpyro.Categorical(logits=LOG_WEIGHTS), components)
    np.testing.assert_allclose(value, oracle.log_prob(bits), 1e-5)


def test_mixture_density_at_a_log_variance_of_minus_four():
    """Oracle: 2 - .0175 e^4 / 2 - log(2 pi) / 2 = .603 a dimension, of equal components.

    Mutant: the bracket -(log sigma^2 + (z - mean)^2) / (2 sigma^2), which gives 108 for it.
    """
    mixture = Mixture(jnp.zeros(7), gaussians(np.zeros((7, 5)), np.full((7, 5), -2.0)))
    value = mixture.log_prob(jnp.full(5, np.sqrt(0.0175)))
    np.testing.assert_allclose(value, 5 * 0.6033, 1e-3)


@pytest.mark.parametrize(
    "mean_shape, scale_shape", [((3, 2), (3,)), ((3,), (3, 2)), ((3,), (3, 1)), ((3, 1), (3, 2))]
)
def test_fields_of_gaussian_components_broadcast_within_a_component(mean_shape, scale_shape):
    """Mutants: log sigma counted once instead of once a dimension, components taken for events."""
    rng = np.random.default_rng(0)
    means, log_scales = rng.normal(size=mean_shape), rng.normal(size=scale_shape)
    value = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians(means, log_scales)).log_prob(jnp.asarray(Z))
    full = [np.broadcast_to(a.reshape(3, -1), (3, 2)) for a in (means, log_scales)]
    np.testing.assert_allclose(value, mixture_log_prob(Z, LOG_WEIGHTS, *full), 1e-5)


def plain_mixture_log_prob(z, log_weights, means, log_scales):
    """The same density with no derivative of its own."""
    log_probs = jax.vmap(lambda mean, log_scale: Gaussian(mean, log_scale).log_prob(z))
    return jax.nn.logsumexp(jax.nn.log_softmax(log_weights) + log_probs(means, log_scales))


def fast_mixture_log_prob(z, log_weights, means, log_scales):
    return Mixture(log_weights, Gaussian(means, log_scales)).log_prob(z)


def narrow_mixture(log_scale, num_dimensions=50):
    """Return (zs, log_weights, means, log_scales): five draws near means of size 3."""
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(20, num_dimensions))
    log_scales = log_scale + 0.1 * rng.normal(size=means.shape)
    zs = means[:5] + np.exp(log_scales[:5]) * rng.normal(size=(5, num_dimensions))
    return tuple(np.float32(a) for a in (zs, rng.normal(size=20), means, log_scales))


@pytest.mark.parametrize("log_scale", [-6.0, -4.0, 0.0])
def test_mixture_keeps_its_digits_at_small_scales(log_scale):
    """Oracle: scipy in float64; D = 50, means of size 3, values of about 150 nats at exp(-4).

    Mutant: the expanded square, (z^2 - 2 z m + m^2) / sigma^2, which is .2 nats off there.
    """
    zs, *parameters = narrow_mixture(log_scale)
    values = jax.vmap(fast_mixture_log_prob, (0, None, None, None))(zs, *parameters)
    np.testing.assert_allclose(values, [mixture_log_prob(z, *parameters) for z in zs], atol=5e-4)


@pytest.mark.parametrize("log_scale", [-6.0, -4.0, 0.0])
def test_mixture_gradients_are_those_of_the_plain_form(log_scale):
    """Oracle: automatic differentiation of the plain form, by a batch's gradient and tangent.

    Mutants: a term of the hand-written derivative dropped; its square expanded, which is off by a
    tenth at exp(-6).
    """
    arguments, rng = narrow_mixture(log_scale), np.random.default_rng(1)
    tangents = tuple(np.float32(rng.normal(size=a.shape)) for a in arguments)

    @jax.jit
    def derivatives(*arguments):
        def both(log_prob):
            batch = jax.vmap(log_prob, (0, None, None, None))
            gradients = jax.vjp(batch, *arguments)[1](jnp.arange(1.0, 6.0))
            return gradients, jax.jvp(batch, arguments, tangents)[1]

        return both(fast_mixture_log_prob), both(plain_mixture_log_prob)

    fast, plain = derivatives(*arguments)
    for a, b in zip(*map(jax.tree.leaves, (fast, plain)), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-4 * np.abs(b).max())


def test_mixture_samples_choose_components_by_weight():
    """Estimator: each component's share, and its noise's mean and variance; four standard errors.

    Mutants: the first components, equal shares, one key for the choice and the noise.
    """
    means = np.array([[0.0], [100.0], [200.0]])
    zs = np.asarray(draw(Mixture(jnp.asarray(LOG_WEIGHTS), gaussians(means, 0 * means))))
    chosen = np.rint(zs / 100).astype(int).ravel()
    assert_mean_is(np.eye(3)[chosen], WEIGHTS)
    for k in range(3):
        noise = zs[chosen == k] - means[k]
        assert_mean_is(noise, 0)
        assert_mean_is(noise**2, 1)


def test_mixture_moments_are_those_of_its_samples():
    """Estimators: the means of z and of z z'. Mutants: weights not normalized, scales exchanged."""
    mixture = Mixture(jnp.asarray(LOG_WEIGHTS), gaussians())
    zs = np.asarray(draw(mixture))
    assert_mean_is(zs, mixture.mean)
    np.testing.assert_allclose(mixture.mean, WEIGHTS @ MEANS, 1e-5)
    outer = np.einsum("kd,ke->kde", MEANS, MEANS) + np.einsum(
        "kd,de->kde", np.exp(2 * LOG_SCALES), np.eye(2)
    )
    assert_mean_is(np.einsum("nd,ne->nde", zs, zs), np.tensordot(WEIGHTS, outer, 1))


def test_mixture_of_products_has_a_mean_for_each_field():
    fields = {"a": gaussians(), "b": Bernoulli(jnp.asarray(MEANS))}
    mean = Mixture(jnp.asarray(LOG_WEIGHTS), Product(fields)).mean
    np.testing.assert_allclose(mean["a"], WEIGHTS @ MEANS, 1e-5)
    np.testing.assert_allclose(mean["b"], WEIGHTS @ special.expit(MEANS), 1e-5)


@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize("family", [gaussians, lambda: Bernoulli(jnp.asarray(MEANS))])
def test_mixture_refuses_weights_of_another_number(num_weights, family):
    """Mutant: one weight that broadcasts, so that the density integrates to three."""
    with pytest.raises(ValueError, match="sizes"):
        Mixture(jnp.zeros(num_weights), family()).log_prob(jnp.asarray(Z))


# Flow.

MATRIX = np.array([[1.5, 0.4], [-0.3, 0.8]], np.float32)
SHIFT = np.array([0.3, -1.0], np.float32)


def affine(z, matrix, shift):
    return matrix @ z + shift, jnp.linalg.slogdet(matrix)[1]


def affine_inverse(value, matrix, shift):
    return jnp.linalg.solve(matrix, value - shift), -jnp.linalg.slogdet(matrix)[1]


def affine_flow(inverse=affine_inverse):
    parameters = {"matrix": jnp.asarray(MATRIX), "shift": jnp.asarray(SHIFT)}
    bind = functools.partial(jax.tree_util.Partial, **parameters)
    return Flow(standard_normal(2), bind(affine), bind(inverse))


def test_affine_flow_of_a_gaussian_is_scipys():
    """Mutants: the log-determinant's sign turned in either method, or left out."""
    oracle = stats.multivariate_normal(SHIFT, MATRIX @ MATRIX.T)
    flow = affine_flow()
    np.testing.assert_allclose(flow.log_prob(jnp.asarray(Z)), oracle.logpdf(Z), 1e-5)
    value, log_prob = flow.sample_and_log_prob(KEY)
    np.testing.assert_allclose(log_prob, oracle.logpdf(value), 1e-5)
    np.testing.assert_array_equal(value, flow.sample(KEY))


def test_flow_samples_without_its_inverse():
    """Mutant: the base class's sample_and_log_prob, which costs the inverse."""

    def refuse(value, matrix, shift):
        raise AssertionError("the inverse was asked for")

    affine_flow(refuse).sample_and_log_prob(KEY)


def test_flow_has_no_mean():
    assert not hasattr(affine_flow(), "mean")


# Product.


def product():
    # Names out of order: jax's pytrees are in order.
    bits = Bernoulli(jnp.array([-1.0, 2.0]))
    return Product({"b": bits, "a": gaussians(MEANS[0], LOG_SCALES[0])})


def test_product_log_prob_is_the_sum_of_scipys():
    """Mutants: a field left out, a mean over fields."""
    value = product().log_prob({"a": jnp.asarray(Z), "b": jnp.array([1.0, 0.0])})
    expected = stats.norm.logpdf(Z, MEANS[0], np.exp(LOG_SCALES[0])).sum()
    expected += stats.bernoulli.logpmf([1, 0], special.expit([-1, 2])).sum()
    np.testing.assert_allclose(value, expected, 1e-5)


def test_product_samples_its_fields_independently():
    """Estimator: the mean of the product of two fields; four standard errors. Mutant: one key."""
    values = draw(Product({"a": standard_normal(1), "b": standard_normal(1)}))
    assert_mean_is(values["a"] * values["b"], 0)


def test_product_means_are_those_of_its_fields():
    mean = product().mean
    np.testing.assert_allclose(mean["a"], MEANS[0])
    np.testing.assert_allclose(mean["b"], special.expit([-1, 2]), 1e-5)


@pytest.mark.parametrize("given", [("a",), ("a", "b", "c"), ("b", "A"), ()])
def test_product_names_given_and_known_fields(given):
    """Mutants: a KeyError, an unknown field ignored."""
    with pytest.raises(ValueError) as error:
        product().log_prob(dict.fromkeys(given, jnp.zeros(2)))
    before, _, known = str(error.value).partition("known")
    assert "\n" not in before + known and all(repr(name) in before for name in given)
    assert "'a', 'b'" in known


# Chain.

WIDE = np.array([[1.0, -0.5], [0.3, 2.0], [0.7, 0.1]], np.float32)


def linear(weights, value):
    return Gaussian(weights @ value + 0.3, jnp.full(len(weights), -0.4))


def chain(top_down):
    first = gaussians(MEANS[0], LOG_SCALES[0])
    return Chain(first, jax.tree_util.Partial(linear, jnp.asarray(WIDE)), top_down=top_down)


def chain_moments(top_down):
    """Return the exact mean and covariance of the joint Gaussian over concatenated (z1, z2)."""
    covariance = np.diag(np.exp(2 * np.float64(LOG_SCALES[0])))
    cross = WIDE @ covariance
    blocks = [[covariance, cross.T], [cross, cross @ WIDE.T + np.exp(-0.8) * np.eye(3)]]
    mean = np.concatenate([MEANS[0], WIDE @ MEANS[0] + 0.3])
    order = np.roll(np.arange(5), 3 if top_down else 0)
    return mean[order], np.block(blocks)[np.ix_(order, order)]


both_ways = pytest.mark.parametrize("top_down", [False, True])


@both_ways
def test_chain_density_is_that_of_the_joint_gaussian(top_down):
    """Mutants: layers exchanged, the second factor left out, the second one given its own value."""
    value, log_prob = chain(top_down).sample_and_log_prob(KEY)
    assert [len(layer) for layer in value] == ([3, 2] if top_down else [2, 3])
    expected = stats.multivariate_normal(*chain_moments(top_down)).logpdf(np.concatenate(value))
    np.testing.assert_allclose(log_prob, expected, 1e-5)
    np.testing.assert_allclose(chain(top_down).log_prob(value), expected, 1e-5)
    jax.tree.map(np.testing.assert_array_equal, value, chain(top_down).sample(KEY))


@both_ways
def test_chain_samples_have_the_moments_of_the_joint_gaussian(top_down):
    """Estimators: the means of z and of (z - mean)(z - mean)'. Mutant: one key for both layers."""
    mean, covariance = chain_moments(top_down)
    deviations = np.concatenate(draw(chain(top_down)), axis=1) - mean
    assert_mean_is(deviations, 0)
    assert_mean_is(np.einsum("nd,ne->nde", deviations, deviations), covariance)


def test_chain_differentiates_the_second_layer_by_the_first_sample():
    """Oracle: z2 = W z1 + noise, so dz2/dmean1 = W. Mutant: a stopped gradient between layers."""

    def upper(mean):
        second = jax.tree_util.Partial(linear, jnp.asarray(WIDE))
        return Chain(Gaussian(mean, jnp.zeros(2)), second).sample(KEY)[1]

    np.testing.assert_allclose(jax.jacobian(upper)(jnp.asarray(MEANS[0])), WIDE, 1e-5)


# Observed.


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
    """Oracle: log_softmax of the two observed rows. Mutant: a mask of the entries' own shape."""
    base = Observed(OneHot(jnp.asarray(MEANS)))
    mask = jnp.array([True, False, True])
    value = Masked(jnp.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]]), mask)
    expected = special.log_softmax(MEANS, axis=-1)
    np.testing.assert_allclose(base.log_prob(value), expected[0, 0] + expected[2, 1], 1e-5)
    assert base.sample(KEY).mask.shape == (3,)


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


# Transformations.

EXAMPLES = {
    "mixture": Mixture(jnp.asarray(LOG_WEIGHTS), gaussians()),
    "mixture of bernoullis": Mixture(jnp.asarray(LOG_WEIGHTS), Bernoulli(jnp.asarray(MEANS))),
    "flow": affine_flow(),
    "product": product(),
    "chain": chain(False),
    "chain, top down": chain(True),
    "observed": Observed(BASES["gaussian"]),
}
every_example = pytest.mark.parametrize("name", EXAMPLES)


def everything(distribution, key):
    value, log_prob = distribution.sample_and_log_prob(key)
    return value, log_prob, distribution.sample(key), distribution.log_prob(value)


@every_example
def test_jit_changes_nothing_and_vmap_is_a_loop(name):
    """Mutants: keys in the order of a dict's names; a sum over every axis, a batch's too."""
    first = EXAMPLES[name]
    members = (first, jax.tree.map(lambda leaf: 0.7 * leaf, first))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    looped = [everything(member, KEY) for member in members]
    mapped = jax.jit(jax.vmap(everything, in_axes=(0, None)))(stacked, KEY)
    assert_close(mapped, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped))


@every_example
def test_gradients_of_every_parameter_are_finite_and_not_zero(name):
    """Mutant: parameters that a Partial hides from the pytree."""
    distribution = EXAMPLES[name]
    value = distribution.sample(KEY)

    def total(distribution):
        leaves = jax.tree.leaves(distribution.sample_and_log_prob(KEY))
        return distribution.log_prob(value) + sum(jnp.sum(leaf) for leaf in leaves)

    gradients = jax.jit(jax.grad(total))(distribution)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)
