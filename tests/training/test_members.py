"""Runs that train together equal the runs alone."""

import inspect
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.training import small
from vae_jax import training


@pytest.fixture(scope="module")
def alone(dataset):
    """The leaves of the parameters of four seeds after 20 steps, each trained on its own."""
    train_steps = small.make_steps(dataset)
    together, trained = small.make_state(dataset, num_members=4), []
    for member in range(4):
        state = jax.tree.map(lambda leaf, m=member: leaf[m : m + 1], together._replace(step=()))
        state, _ = train_steps(state._replace(step=jnp.int32(0)), dataset.train, 20)
        trained.append(jax.tree.leaves(jax.device_get(state.params)))
    return trained


@pytest.mark.parametrize(
    "at_once", [*[pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4, None)], 3]
)
def test_member_equals_the_run_alone(dataset, alone, at_once):
    """Over 20 steps, each of four seeds in one program and on its own, to float tolerance; groups
    of three leave a remainder of one. Mutants: members in another order, the remainder left out."""
    train_steps = small.make_steps(dataset, members_at_once=at_once)
    together = small.make_state(dataset, num_members=4)
    together, metrics = train_steps(together, dataset.train, 20)
    assert metrics["elbo"].shape == (4,)
    assert together.step == 20
    leaves = jax.tree.leaves(together.params)
    assert not np.allclose(leaves[0][0], leaves[0][1])
    for member, own in enumerate(alone):
        for a, b in zip(leaves, own, strict=True):
            np.testing.assert_allclose(a[member], b[0], rtol=1e-4, atol=1e-5)


def test_members_are_selected_and_merged(dataset):
    """Mutants: the wrong member, `new` and `old` exchanged, arrays shared with what is donated."""
    old = small.make_state(dataset, num_members=2)
    new = old._replace(step=old.step + 7, params=jax.tree.map(lambda p: p + 1, old.params))
    merged = training.merge_members(np.array([True, False]), new, old)
    assert merged.step == 7
    for member, kept in enumerate((new, old)):
        small.assert_trees_equal(
            training.select_member(merged, member).params,
            training.select_member(kept, member).params,
        )
    for leaf, other in zip(*map(jax.tree.leaves, (merged, new)), strict=True):
        assert leaf is not other


def test_one_key_in_place_of_an_array_of_keys_is_refused():
    """Past the tests' type checker, which no user has. Mutant: an error of jax.vmap's axes."""
    init_members = inspect.unwrap(training.init_members)
    with pytest.raises(ValueError, match=r"one key per member, such as jax.random.split\(key, 1\)"):
        init_members(jax.random.key(0), {})


def test_hparams_of_the_caller_outlive_the_state():
    """Training consumes its state: here the arrays are deleted by hand. Mutant: the state holds the
    caller's own array, which then cannot be read after training."""
    betas = jnp.array([1.0, 4.0], jnp.float32)
    part = SimpleNamespace(init=lambda *arguments: {})
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    optimizer = lambda hparams: optax.identity()  # noqa: E731
    state = training.init_members(keys, {"beta": betas}, part, part, optimizer, None)
    state.hparams["beta"].delete()
    np.testing.assert_array_equal(betas, [1, 4])
