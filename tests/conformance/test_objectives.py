"""Every row of the table of objectives, at its own defaults, keeps the contract of an objective.

The tests run over OBJECTIVES itself: a new row is tested without being named here. Its model is of
the latents that it takes; where it trains a classifier, some labels are missing.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.quick import quick
from tests.support.rows import KEY, make_model
from vae_jax.datasets import Examples
from vae_jax.lookup import take_options
from vae_jax.objectives import OBJECTIVES, make_objective

MODELS = {"continuous": ("gaussian", "standard_normal"), "discrete": ("bernoulli", "uniform_bits")}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


class Case(NamedTuple):
    """An objective on three small batches, and what it gave."""

    objective: object
    loss: object
    """loss(params, batch) -> (loss, metrics), not jitted."""
    params: dict
    pairs: Examples
    """Examples (a, b), (c, b) and (a, a): [batches, examples, ...]."""
    results: tuple
    """((loss, metrics), gradients) of the pairs [batches]."""


@functools.cache
def case(name):
    """Return the case of one row; everything is jitted together."""
    # The size of a data set has no default.
    objective = make_objective(name, **take_options(OBJECTIVES[name], {"dataset_size": 60}))
    posterior, prior = MODELS["discrete" if objective.latents == "discrete" else "continuous"]
    vae, params, data = make_model(posterior, prior, "bernoulli", spread=0.6, hidden=(4,))
    pairs = jax.tree.map(lambda leaf: leaf[jnp.array([[1, 2], [4, 2], [1, 1]])], data)
    if objective.classify:
        pairs = pairs._replace(y=jnp.array([[1, -1], [-1, -1], [1, 1]]))
    params = {"vae": params, "objective": objective.init(KEY, vae, data)}

    def loss(params, batch):
        return objective.loss(KEY, vae, params, objective.hparams, batch, 100)

    compute = jax.jit(jax.vmap(jax.value_and_grad(loss, has_aux=True), (None, 0)))
    return Case(objective, loss, params, pairs, compute(params, pairs))


def take(batches, index):
    """Return one of some batches."""
    return jax.tree.map(lambda leaf: leaf[index], batches)


@every_objective
def test_loss_and_metrics_are_finite_scalars(name):
    """Mutants: an objective per example, "elbo" for the loss, a metric that is missing."""
    _, _, _, _, ((losses, metrics), _) = case(name)
    assert all(values.shape == (3,) and np.all(np.isfinite(values)) for values in metrics.values())
    assert {"objective", "elbo", "kl", "reconstruction"} <= set(metrics)
    np.testing.assert_allclose(losses, -metrics["objective"], 1e-6)
    np.testing.assert_allclose(
        metrics["elbo"], metrics["reconstruction"] - metrics["kl"], 1e-4, atol=1e-4
    )


@every_objective
def test_gradient_reaches_encoder_decoder_and_own_parameters(name):
    """And is finite. Mutants: a gradient stopped at the samples, parameters that nothing trains."""
    gradients = case(name).results[1]
    leaves = jax.tree.leaves(gradients)
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    parts = [gradients["vae"]["encoder"], gradients["vae"]["decoder"], gradients["objective"]]
    for part in filter(jax.tree.leaves, parts):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(part)) > 1e-3


@pytest.mark.parametrize(
    "name",
    quick(OBJECTIVES, "elbo", "factor_vae"),
)
def test_jit_changes_nothing(name):
    """Oracle: the loss of one batch without jit. Mutant: a branch on a traced number."""
    _, loss, params, pairs, ((losses, metrics), _) = case(name)
    slow_loss, slow_metrics = loss(params, take(pairs, 0))
    np.testing.assert_allclose(losses[0], slow_loss, 1e-4)
    jax.tree.map(
        lambda fast, slow: np.testing.assert_allclose(fast[0], slow, 1e-3, atol=1e-4),
        metrics,
        slow_metrics,
    )


@every_objective
def test_value_of_a_batch_is_the_mean_of_the_examples(name):
    """Where examples are not compared with each other: of (a, b) and (c, b), less those of a and c
    alone on the same keys, the same is left: b's value. That of a on its second key is another.

    Mutants: a sum over the batch; the first example's key for all; a penalty of the batch's codes.
    """
    objective, loss, params, pairs, ((losses, _), _) = case(name)
    if objective.compares_examples:
        with pytest.raises(ValueError, match="batch_size of 2 or more, got 1"):
            loss(params, jax.tree.map(lambda leaf: leaf[0, :1], pairs))
        return
    # The keys of a shorter batch are the first of those of a longer one.
    assert jax.random.split(KEY, 2)[0] == jax.random.split(KEY, 1)[0]
    first = jax.tree.map(lambda leaf: leaf[:, :1], pairs)
    alone = jax.jit(jax.vmap(lambda batch: loss(params, batch)[0]))(first)
    assert abs(alone[0] - alone[1]) > 1e-2
    rest = 2 * losses - alone
    np.testing.assert_allclose(rest[0], rest[1], 1e-4, atol=1e-4)
    assert abs(rest[2] - alone[2]) > 1e-4
