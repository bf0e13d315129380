"""Which devices hold what: members or the batch are divided among them, all else is copied."""

from collections.abc import Callable, Sequence
import functools
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
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
    """Of the data."""
    batch: NamedSharding | None = None
    """Of the examples of one step; None where members are divided."""
    counts: tuple[int, ...] = ()
    """How many members each device trains; () where they are not divided.

    All devices have as many places as the first; on the others the last one may stay empty, which
    is filled with a copy of a member that nobody trains or reads."""

    @property
    def has_empty_places(self) -> bool:
        """Whether some devices have a member less than others."""
        return len(set(self.counts)) > 1

    @property
    def local_devices(self) -> list[Any]:
        """This process's devices among which members are divided; [] where they are not."""
        if self.divided != "members":
            return []
        return [d for d in self.copied.mesh.devices.flat if d.process_index == jax.process_index()]

    def put(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, on the devices."""
        if self.num_devices == 1:
            return state
        wrap = functools.partial(_wrap_key, jax.random.key_impl(state.key))
        state = jax.device_get(_unwrap_key(state))
        if self.has_empty_places:
            state = _take_members(state, _members_at_places(self.counts))
        return jax.jit(wrap, out_shardings=self.state)(state)

    def collect(self, state: TrainState) -> TrainState:
        """Return the whole state on the first device of this process."""
        if self.num_devices == 1:
            return state
        keys = jax.random.key_impl(state.key)
        state = self._on_one_device(jax.jit(_unwrap_key)(state))
        if self.has_empty_places:
            state = _take_members(state, _places_of_members(self.counts))
        return _wrap_key(keys, state)

    def collect_metrics(self, metrics: dict[str, Array]) -> dict[str, Array]:
        """Return the metrics of all members, which lie on their devices, on the first of them."""
        if self.divided != "members":
            return metrics
        places = _places_of_members(self.counts)
        return jax.tree.map(lambda leaf: leaf[places], self._on_one_device(metrics))

    def _on_one_device(self, tree):
        # Copies wait for nobody. A collective operation in the compiled program would make a device
        # that is done wait for the others, and XLA ends a process that waits for a minute.
        if self.copied.is_fully_addressable:
            return jax.device_put(tree, self.copied.mesh.devices.flat[0])
        tree = jax.jit(lambda each: each, out_shardings=self.copied)(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def _members_at_places(counts):
    # The member at each place of each device, an empty one's being that of the place before it.
    places, ends = np.arange(max(counts)), np.cumsum(counts)
    return np.concatenate(
        [np.minimum(end - n + places, end - 1) for n, end in zip(counts, ends, strict=True)]
    )


def _places_of_members(counts):
    return np.flatnonzero(np.arange(max(counts)) < np.array(counts)[:, None])


def _take_members(state, indices):
    step, *others = state
    return TrainState(step, *jax.tree.map(lambda leaf: leaf[indices], others))


ONE_DEVICE = Placement(1, "")


# Between processes jax moves arrays, but no keys.
def _unwrap_key(state):
    return state._replace(key=jax.random.key_data(state.key))


def _wrap_key(implementation, state):
    return state._replace(key=jax.random.wrap_key_data(state.key, impl=implementation))


def plan_placement(devices: Sequence[Any], num_members: int, batch_size: int) -> Placement:
    """Divide the members among the devices, or else the examples of a batch.

    Uses the largest number of devices that is not above the number of members or that divides the
    batch; with several processes, all devices must be used. Members that cannot be divided evenly
    are divided so that no device has more than one more than another.

    Args:
      devices: the ones there are, in all processes.
      num_members: runs trained together.
      batch_size: examples of a step.

    Raises:
      ValueError: several processes whose devices cannot all be used.
    """
    counts = range(len(devices), 0, -1)
    count = next(n for n in counts if num_members >= n or batch_size % n == 0)
    if count < len(devices) and jax.process_count() > 1:
        raise ValueError(
            f"the number of members, {num_members}, is below that of the {len(devices)} devices of "
            f"{jax.process_count()} processes, and batch_size={batch_size} does not divide by it"
        )
    if count == 1:
        return ONE_DEVICE
    mesh = Mesh(np.array(devices[:count]), ("devices",), axis_types=(AxisType.Auto,))
    copied = NamedSharding(mesh, PartitionSpec())
    divided = NamedSharding(mesh, PartitionSpec("devices"))
    if num_members < count:
        state = TrainState(*[copied] * len(TrainState._fields))
        return Placement(count, "batch", state, copied, divided)
    state = TrainState(*[divided] * len(TrainState._fields))._replace(step=copied)
    each, more = divmod(num_members, count)
    counts = (each + 1,) * more + (each,) * (count - more)
    return Placement(count, "members", state, copied, counts=counts)


def over_devices(function: Callable, placement: Placement) -> Callable:
    """Lift function(state, *rest, count) -> (state, metrics) of one device's members to those of
    all places, on devices that never wait for each other; members that are not divided leave it as
    it is.

    Args:
      function: what `over_members` returned.
      placement: where the state that is given to it lies.
    """
    if placement.divided != "members":
        return function
    counts = placement.counts

    def on_one_device(state, *rest):
        own = jnp.array(counts)[jax.lax.axis_index("devices")]
        return function(state, *rest, count=own if placement.has_empty_places else None)

    def on_all_devices(state, *rest):
        specs = TrainState(*[each.spec for each in placement.state])
        return jax.shard_map(
            on_one_device,
            mesh=placement.copied.mesh,
            in_specs=(specs, *[PartitionSpec()] * len(rest)),
            out_specs=(specs, PartitionSpec("devices")),
            check_vma=False,
        )(state, *rest)

    return on_all_devices


def divide_batches(batches: Batches, placement: Placement) -> Batches:
    """Return `batches` whose examples are divided among the devices, where that is the plan."""
    if placement.batch is None:
        return batches

    def batch(source, key, step):
        examples = batches.batch(source, key, step)
        return jax.lax.with_sharding_constraint(examples, placement.batch)

    return batches._replace(batch=batch)
