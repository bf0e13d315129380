"""What the training steps draw from: examples on the device, or chunks streamed from the host."""

from collections.abc import Iterator
import contextlib
import functools
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support.assembly import Run
from vae_jax import datasets, training


class Feed(NamedTuple):
    """A span of steps and what they draw from."""

    start: int
    stop: int
    source: Any
    waiting: dict[str, np.ndarray]
    """{"data_wait_ms": milliseconds per step that the device waited for the source}; {} where the
    examples lie on it."""


def check_streaming(run: Run) -> None:
    """Refuse a stream whose two chunks, the one in use and the next, exceed the budget.

    Raises:
      ValueError: with what they take and what to lower.
    """
    if not run.is_streamed:
        return
    settings, budget = run.config.training, run.config.data.device_bytes
    seeds = len({member.seed for member in run.members})
    per_step = datasets.chunk_bytes(run.dataset, settings.batch_size, 1, seeds)
    num_steps = min(settings.log_every_steps, run.num_steps)
    if 2 * num_steps * per_step > budget:
        most = budget // (2 * per_step)
        remedy = f"training.log_every_steps to {most} or less" if most else "training.batch_size"
        raise ValueError(
            f"config.data.device_bytes={budget} is less than the examples of two times {num_steps} "
            f"steps, {per_step:,} bytes per step: raise it, or lower config.{remedy}"
        )


@contextlib.contextmanager
def feeding(
    run: Run, state: training.TrainState, spans: list[tuple[int, int]]
) -> Iterator[Iterator[Feed]]:
    """Yield an iterator over the Feed of each span of steps.

    Args:
      run: the run.
      state: with the key of every member; on a device of this process.
      spans: (first step, step behind the last) of each call of `train_steps`.
    """
    if not run.is_streamed:
        source = put(run, run.dataset.train)
        yield (Feed(*span, source, {}) for span in spans)
        return
    keys = jax.vmap(lambda key: training.run_keys(key).order)(state.key)
    batch_size = run.config.training.batch_size
    chunks = datasets.stream(run.dataset, batch_size, keys, spans, functools.partial(put, run))
    with contextlib.closing(chunks):
        yield _timed(chunks, spans, len(run.members))


def _timed(chunks, spans, num_members):
    for start, stop in spans:
        began = time.monotonic()
        chunk = jax.block_until_ready(next(chunks))
        milliseconds = 1000 * (time.monotonic() - began) / (stop - start)
        yield Feed(start, stop, chunk, {"data_wait_ms": np.full(num_members, milliseconds)})


def put(run: Run, tree: Any) -> Any:
    """Put arrays, the same in every process, on all devices that compute."""
    sharding = run.placement.copied
    if sharding is None or sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    # Between processes `device_put` compares the arrays, which a thread must not ask of the others.
    def put_leaf(leaf):
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(put_leaf, tree)
