"""Which devices hold what: members or the batch are divided among them, all else is copied."""

from collections.abc import Sequence
import functools
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

from vae_jax.datasets import Batches
from vae_jax.training.state import TrainState


class Placement(NamedTuple):
    """Shardings for `jax.device_put` and `jax.jit`; None leaves arrays where they are."""

    num_devices: int
    divided: str
    """What is divided among the devices: "members", "batch" or, on one device, ""."""
    state: TrainState | None = None
    """The sharding of each field of a state."""
    copied: NamedSharding | None = None
    """Of the data and the metrics."""
    batch: NamedSharding | None = None
    """Of the examples of one step; None where members are divided."""

    def put(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, on the devices."""
        if self.num_devices == 1:
            return state
        wrap = functools.partial(_wrap_key, jax.random.key_impl(state.key))
        return jax.jit(wrap, out_shardings=self.state)(jax.device_get(_unwrap_key(state)))

    def collect(self, state: TrainState) -> TrainState:
        """Return the whole state on the first device of this process."""
        if self.num_devices == 1:
            return state
        whole = jax.jit(_unwrap_key, out_shardings=self.copied)(state)
        local = jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)
        return _wrap_key(jax.random.key_impl(state.key), local)


# Between processes jax moves arrays, but no keys.
def _unwrap_key(state):
    return state._replace(key=jax.random.key_data(state.key))


def _wrap_key(implementation, state):
    return state._replace(key=jax.random.wrap_key_data(state.key, impl=implementation))


def plan_placement(devices: Sequence[Any], num_members: int, batch_size: int) -> Placement:
    """Divide the members among the devices, or else the examples of a batch.

    Uses the largest number of devices that divides one of the two; with several processes, all
    devices must be used.

    Args:
      devices: the ones there are, in all processes.
      num_members: runs trained together.
      batch_size: examples of a step.

    Raises:
      ValueError: several processes whose devices cannot all be used.
    """
    counts = range(len(devices), 0, -1)
    count = next(n for n in counts if num_members % n == 0 or batch_size % n == 0)
    if count < len(devices) and jax.process_count() > 1:
        raise ValueError(
            f"neither batch_size={batch_size} nor the number of members, {num_members}, "
            f"divides by the {len(devices)} devices of {jax.process_count()} processes"
        )
    if count == 1:
        return Placement(1, "")
    mesh = Mesh(np.array(devices[:count]), ("devices",), axis_types=(AxisType.Auto,))
    copied = NamedSharding(mesh, PartitionSpec())
    divided = NamedSharding(mesh, PartitionSpec("devices"))
    if num_members % count:
        state = TrainState(*[copied] * len(TrainState._fields))
        return Placement(count, "batch", state, copied, divided)
    state = TrainState(*[divided] * len(TrainState._fields))
    state = state._replace(step=copied, failure=copied)
    return Placement(count, "members", state, copied)


def divide_batches(batches: Batches, placement: Placement) -> Batches:
    """Return `batches` whose examples are divided among the devices, where that is the plan."""
    if placement.batch is None:
        return batches

    def batch(source, key, step):
        examples = batches.batch(source, key, step)
        return jax.lax.with_sharding_constraint(examples, placement.batch)

    return batches._replace(batch=batch)
