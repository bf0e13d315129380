"""Composed distributions under jit, vmap and grad."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.distributions.test_composed import affine_flow, chain, product
from tests.distributions.test_missing import BASES
from tests.distributions.test_mixtures import LOG_WEIGHTS
from tests.support.composed import KEY, MEANS, assert_close, gaussians
from vae_jax.distributions import Bernoulli, Mixture, Observed

EXAMPLES = {
    "flow": affine_flow(),
    "product": product(),
    "chain": chain(False),
    "chain, top down": chain(True),
    "observed": Observed(BASES["gaussian"]),
    "mixture": Mixture(jnp.asarray(LOG_WEIGHTS), gaussians()),
    "mixture of bernoullis": Mixture(jnp.asarray(LOG_WEIGHTS), Bernoulli(jnp.asarray(MEANS))),
}
every_example = pytest.mark.parametrize("name", EXAMPLES)


def everything(distribution, key):
    """Return what every method of a distribution gives at one key."""
    value, log_prob = distribution.sample_and_log_prob(key)
    return value, log_prob, distribution.sample(key), distribution.log_prob(value)


@pytest.mark.slow
@every_example
def test_jit_changes_nothing_and_vmap_is_a_loop(name):
    """Mutants: keys in the order of a dict's names; a sum over every axis, a batch's too."""
    first = EXAMPLES[name]
    members = (first, jax.tree.map(lambda leaf: 0.7 * leaf, first))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    looped = [everything(member, KEY) for member in members]
    mapped = jax.jit(jax.vmap(everything, in_axes=(0, None)))(stacked, KEY)
    assert_close(mapped, jax.tree.map(lambda *leaves: jnp.stack(leaves), *looped))


@pytest.mark.slow
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
