"""Several processes that train one run together, and the cores of this one."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import tempfile
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from vae_jax.training import Placement


def connect(coordinator: str, num_processes: int, process_index: int) -> None:
    """Join the other processes; to be called before jax knows its devices.

    Args:
      coordinator: HOST:PORT of process 0; "auto" where Slurm, Open MPI, Kubernetes or a TPU pod
        tells it and the two numbers; "" for one process.
      num_processes: of the run.
      process_index: of this one, from 0.

    Raises:
      ValueError: numbers that do not fit, or no answer from the others.
    """
    if not coordinator:
        return
    given = {}
    if coordinator != "auto":
        if not 0 <= process_index < num_processes:
            raise ValueError(
                "config.distributed: process_index must lie in 0 .. num_processes - 1, got "
                f"{process_index} of {num_processes}"
            )
        given = {
            "coordinator_address": coordinator,
            "num_processes": num_processes,
            "process_id": process_index,
        }
    try:
        jax.distributed.initialize(**given)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"config.distributed: coordinator={coordinator!r}: {reason}") from error


def members_at_once(placement: Placement) -> int | None:
    """Return how many members to train together, the groups one after the other; None: all.

    A CPU's cache does not hold many models: there, one for every two cores keeps all cores busy.
    An accelerator trains all at once, and so do devices among which the members are divided.
    """
    if jax.devices()[0].platform != "cpu" or placement.divided == "members":
        return None
    return max(1, len(os.sched_getaffinity(0)) // 2)


@contextlib.contextmanager
def only_first_writes(workdir: Path) -> Iterator[Path]:
    """Yield the folder that this process writes to: `workdir` in the first process; a temporary one
    in all others, which print nothing either."""
    if jax.process_index() == 0:
        yield workdir
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as silence,
        contextlib.redirect_stdout(silence),
    ):
        yield Path(folder) / workdir.name


def agree(value: Any) -> Any:
    """Return the first process's `value`, a pytree of arrays or numbers of fixed shapes."""
    return value if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(value)


def agree_on_restored(best: Any, state: Any, elbos: list[np.ndarray]) -> tuple[Any, Any, list]:
    """Return what the first process restored; each process keeps its own keys, which never change.

    Args:
      best: a state, or None.
      state: a state.
      elbos: one array (members,) per evaluation.
    """
    if jax.process_count() == 1:
        return best, state, elbos
    has_best, count = agree(np.array([best is not None, len(elbos)]))
    key = state.key
    best = best if best is not None else state
    best, state = agree((best._replace(key=()), state._replace(key=())))
    mine = np.stack(elbos) if elbos else np.zeros((count, *key.shape))
    return best._replace(key=key) if has_best else None, state._replace(key=key), list(agree(mine))
