"""The contract of every distribution: samples, moments, jit, vmap and sums over the event."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.families import (
    EXAMPLES,
    KEY,
    MEAN,
    every_quick_type,
    every_type,
    every_type_but,
    project_key,
    samples_of,
)
from tests.support.linear_gaussian import assert_mean_is
from vae_jax import distributions
from vae_jax.distributions import (
    Bernoulli,
    Distribution,
    FullGaussian,
    Gaussian,
    Masked,
    Mixture,
    Observed,
)

# Those that are made of other distributions, and the relaxations: they have tests of their own.
ELSEWHERE = {"BinaryConcrete", "Chain", "Concrete", "Flow", "Mixture", "Observed", "Product"}


def test_every_distribution_has_examples():
    """Mutant: a distribution of the package that no test below runs."""
    types = {name: getattr(distributions, name) for name in distributions.__all__}
    names = {
        name
        for name, each in types.items()
        if isinstance(each, type) and issubclass(each, Distribution)
    } - {"Distribution", "Factorized"}
    assert names == {family.__name__ for family in EXAMPLES} | ELSEWHERE


@every_quick_type
def test_moments_are_those_of_the_samples(family):
    """Estimators: means of z and of (z - mean)^2 over N = 20,000 draws; four standard errors.

    The keys are of the programs' kind. Mutants: noise scaled by sigma^2, logits taken for
    probabilities, a softplus for the sigmoid of pixels, a rate for a scale.
    """
    q = EXAMPLES[family][0]
    samples = samples_of(q, key=project_key())
    assert_mean_is(samples, q.mean)
    assert_mean_is((samples - q.mean) ** 2, q.variance)


@every_quick_type
def test_sample_and_log_prob_is_the_two_calls(family):
    """Mutant: the log-density of another draw."""
    q = EXAMPLES[family][0]
    value, log_prob = q.sample_and_log_prob(KEY)
    np.testing.assert_array_equal(value, q.sample(KEY))
    np.testing.assert_array_equal(log_prob, q.log_prob(value))


def test_base_class_asks_for_both_methods():
    for call in (lambda d: d.sample(KEY), lambda d: d.log_prob(MEAN)):
        with pytest.raises(NotImplementedError):
            call(Distribution())


# Transformations.


def methods(family):
    """Return the methods of a distribution of this type, as functions of it."""
    value = EXAMPLES[family][1].sample(KEY)
    return {
        "sample": lambda q: q.sample(KEY),
        "log_prob": lambda q: q.log_prob(value),
        "sample_and_log_prob": lambda q: q.sample_and_log_prob(KEY),
    }


def own_functions(family):
    """Return what only some distributions have, as functions of them."""
    value = EXAMPLES[family][1].sample(KEY)
    functions = {"mean": lambda q: q.mean}
    if hasattr(family, "variance"):
        functions["variance"] = lambda q: q.variance
    if hasattr(family, "log_prob_per_dimension"):
        functions["log_prob_per_dimension"] = lambda q: q.log_prob_per_dimension(value)
    if hasattr(family, "relaxed"):
        functions["relaxed sample"] = lambda q: q.relaxed(0.5).sample(KEY)
        functions["relaxed log_prob"] = lambda q: q.relaxed(0.5).log_prob(value - 1.5)
    return functions


def all_of(family):
    """Return one function of a distribution of this type that gives every function's value."""
    functions = methods(family) | own_functions(family)
    return lambda q: {name: function(q) for name, function in functions.items()}


def assert_all_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, atol=1e-6), a, b)


@pytest.mark.slow
@every_type
def test_jit_and_vmap_change_nothing(family):
    """Oracle: a loop over the members without jit. Mutant: a sum over the batch's axis too."""
    members, function = EXAMPLES[family], all_of(family)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(function, members))
    assert_all_close(jax.jit(jax.vmap(function))(stacked), looped)


@every_type_but(FullGaussian)
def test_log_prob_is_the_sum_of_one_number_a_variable(family):
    """Mutant: a mean over the variables, or a sum over the classes' axis too."""
    q = EXAMPLES[family][0]
    value = q.sample(KEY)
    per_dimension = q.log_prob_per_dimension(value)
    assert per_dimension.shape == (3,)
    np.testing.assert_allclose(q.log_prob(value), np.sum(per_dimension), 1e-5)


def test_a_value_of_another_shape_is_refused():
    """Broadcast, the density of 784 bits at a (784, 1) value counted each of them 784 times."""
    for p in (Bernoulli(jnp.zeros(784)), Gaussian(jnp.zeros(784), jnp.zeros(784))):
        for shape in ((784, 1), (5, 784), (), (1,)):
            with pytest.raises(ValueError, match=r"has shape \(784,\), got .*jax.vmap"):
                p.log_prob(jnp.zeros(shape))
        assert p.log_prob(jnp.zeros(784)).shape == ()


def with_relatives(q):
    """Return a distribution and those that are made of it."""
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), q)
    relaxed = [q.relaxed(0.5)] if hasattr(q, "relaxed") else []
    unbounded = [] if q.unbounded() is None else [q.unbounded()]
    return [q, Mixture(jnp.zeros(2), stacked), *relaxed, *unbounded]


@pytest.mark.slow
@every_type
def test_no_distribution_broadcasts_a_value(family):
    """Oracle: its own samples are taken, of several or of one number none. Mutants: a density
    summed over what broadcasting makes of a value, an error that does not say the shapes."""
    for q in with_relatives(EXAMPLES[family][0]):
        value = q.sample(KEY)
        assert np.shape(q.log_prob(value)) == ()
        others = [value[:1], value[None], jnp.broadcast_to(value, (5, *value.shape))]
        # jaxtyping, in tests alone, refuses another rank for a FullGaussian.
        for other in others[:1] if family is FullGaussian else others:
            with pytest.raises(ValueError, match="of this distribution has shape"):
                q.log_prob(other)


def test_masked_values_are_not_broadcast():
    q = Observed(Gaussian(jnp.zeros((3, 1)), jnp.zeros((3, 1))))
    with pytest.raises(ValueError, match=r"has shape \(3, 1\), got \(3,\)"):
        q.log_prob(Masked(jnp.zeros(3), jnp.ones(3)))
