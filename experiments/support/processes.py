"""Several processes that train one run together: starting them, agreeing, and who writes."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import tempfile
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np


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
                "distributed.process_index must lie in 0 .. distributed.num_processes - 1, got "
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
        raise ValueError(f"distributed.coordinator={coordinator!r}: {reason}") from error


@contextlib.contextmanager
def only_first_writes(workdir: Path) -> Iterator[Path]:
    """Yield the folder that this process writes to: `workdir`, or a passing one in all but the
    first process, which are silent too."""
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
    """Return what the first process restored; keys never change and are every process's own.

    Args:
      best: a state, or None.
      state: a state.
      elbos: one array (members,) an evaluation.
    """
    if jax.process_count() == 1:
        return best, state, elbos
    has_best, count = agree(np.array([best is not None, len(elbos)]))
    key = state.key
    best = best if best is not None else state
    best, state = agree((best._replace(key=()), state._replace(key=())))
    mine = np.stack(elbos) if elbos else np.zeros((count, *key.shape))
    return best._replace(key=key) if has_best else None, state._replace(key=key), list(agree(mine))
