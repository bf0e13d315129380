"""Members: runs that train together in one program, such as seeds or values of beta."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key

from vae_jax.fast.mapping import map_leading
from vae_jax.training.state import TrainState, init_state


def member_axes() -> TrainState:
    """Return which axis of each field of a TrainState is the member axis (None: it has none)."""
    return TrainState(None, *[0] * (len(TrainState._fields) - 1))


def over_members(function: Callable, at_once: int | None = None) -> Callable:
    """Lift function(state, *rest) -> (state, metrics) of one run to all members of a state.

    The function returned takes `count` too: members from that one on are left as they are, and
    their metrics are zeros; None: there are none.

    Args:
      function: of a state without a member axis.
      at_once: how many members are computed together, the groups one after the other; None: all.
    """

    def lifted(state, *rest, count=None):
        step, *others = state

        def train_member(others):
            return function(TrainState(step, *others), *rest)

        def train_if_counted(place_and_others):
            place, others = place_and_others
            _, metrics = jax.eval_shape(train_member, others)
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)
            leave = lambda others: (TrainState(step, *others), zeros)  # noqa: E731
            return jax.lax.cond(place < count, train_member, leave, others)

        if count is None:
            trained = map_leading(train_member, tuple(others), at_once)
        else:
            places = jnp.arange(len(jax.tree.leaves(others)[0]))
            trained = map_leading(train_if_counted, (places, tuple(others)), at_once)
        (steps, *others), metrics = trained
        return TrainState(steps[0], *others), metrics

    return lifted


def init_members(
    keys: Key[Array, "members"], hparams: Mapping[str, Any], *shared: Any, **options: Any
) -> TrainState:
    """Initialise as many runs as there are keys: `init_state` mapped over keys and hparams.

    Args:
      keys: the key of each member's run.
      hparams: numbers, the same for all members, or arrays with one number per member.
      *shared, **options: the further arguments of `init_state`, which members share.

    Raises:
      ValueError: one key instead of an array of keys.
    """
    if jnp.ndim(keys) != 1:
        raise ValueError(
            "keys must be an array with one key per member, such as jax.random.split(key, 1); got "
            f"shape {jnp.shape(keys)}"
        )
    hparams = {
        name: jnp.broadcast_to(jnp.array(value, jnp.float32), keys.shape)
        for name, value in hparams.items()
    }

    def init_one(key, hparams):
        return init_state(key, hparams, *shared, **options)

    state = jax.vmap(init_one, out_axes=member_axes())(keys, hparams)
    # Training consumes its state, which must not take the caller's keys and hparams with it.
    return state._replace(key=jnp.copy(state.key))


def merge_members(chosen: Any, new: TrainState, old: TrainState) -> TrainState:
    """Return `new` with the fields of those members that are not `chosen` taken from `old`.

    All arrays are copies: `new` may be donated afterwards.
    """

    def merge(a, b):
        return jnp.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    step, *others = new
    return TrainState(jnp.copy(step), *jax.tree.map(merge, tuple(others), tuple(old[1:])))


def select_member(state: TrainState, member: int) -> TrainState:
    """Return one run's state, without the member axis."""
    step, *others = state
    return TrainState(step, *jax.tree.map(lambda leaf: leaf[member], others))
