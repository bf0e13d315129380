"""Several processes that train one run together, and the cores of this one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
import contextlib
import ctypes
import os
from pathlib import Path
import re
import signal
import sys
import tempfile
import threading
import time
from typing import Any, TextIO

import jax
from jax.experimental import multihost_utils
import numpy as np

from experiments import FAILURE, end_at_once
from experiments.support import console
from vae_jax.training import Placement

_START_SECONDS = 300  # for all processes to come
_SILENT_SECONDS = 30  # after which a process counts as lost
_CORES_OF_CONTAINER = Path("/sys/fs/cgroup/cpu.max")


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
    given = {} if coordinator == "auto" else _checked(coordinator, num_processes, process_index)
    say_who_is_lost()
    jax.config.update("jax_enable_preemption_service", False)  # it would keep SIGTERM for itself
    given |= {
        "initialization_timeout": _START_SECONDS,
        "heartbeat_timeout_seconds": _SILENT_SECONDS,
    }
    try:
        # Not in this thread, which would hear no Ctrl-C within the C++ that waits for the others.
        with ThreadPoolExecutor(1) as other_thread:
            other_thread.submit(jax.distributed.initialize, **given).result()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        if coordinator == "auto":
            reason += (
                "; auto knows Slurm, Open MPI, Kubernetes and TPU pods, give HOST:PORT elsewhere"
            )
        raise ValueError(f"config.distributed: coordinator={coordinator!r}: {reason}") from error


def _checked(coordinator, num_processes, process_index):
    # What jax is given of a run whose processes are numbered by hand.
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            "config.distributed: coordinator must be HOST:PORT of process 0, or auto, got "
            f"{coordinator!r}"
        )
    if not 0 <= process_index < num_processes:
        raise ValueError(
            "config.distributed: process_index must lie in 0 .. num_processes - 1, got "
            f"{process_index} of {num_processes}"
        )
    console.say(
        f"process {process_index} of {num_processes} waits for the others at {coordinator}, "
        f"{_START_SECONDS} s at most"
    )
    return {
        "coordinator_address": coordinator,
        "num_processes": num_processes,
        "process_id": process_index,
    }


def say_who_is_lost() -> None:
    """End this process with one line where the runtime of jax would abort for the loss of another.

    The runtime writes some 30 lines to the standard error before that, and calls no Python: its
    `missed_heartbeat_callback` is given a C++ status for which there is no Python type. So a thread
    reads what is written there and passes on all else.
    """
    errors = os.fdopen(os.dup(2), "w", buffering=1)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = errors  # what Python writes does not go through the pipe
    # abort() then calls sleep(6), 6 being the signal's number: time for the thread to read.
    libc = ctypes.CDLL(None)
    libc.signal(int(signal.SIGABRT), libc.sleep)
    native = os.fdopen(reading, errors="replace")
    threading.Thread(target=_relay, args=(native, errors), daemon=True).start()


def _relay(native: Iterable[str], errors: TextIO) -> None:
    # Pass on what is no report of jax's coordination service; end the process at the end of one.
    report = ""
    for line in native:
        if report or re.match(r"[EF]\d{4} .*(coordination_service|distributed service)", line):
            report += line
        else:
            errors.write(line)
        if report and "stack trace" in line:
            end_at_once(describe_loss(report), FAILURE)
    errors.write(report)


def describe_loss(report: str) -> str:
    """Return one line on what the coordination service reported before it aborted."""
    if "RegisterTask" in report:
        return (
            f"config.distributed: not all processes came within {_START_SECONDS} s: start each one "
            "with its own process_index and the same coordinator and num_processes"
        )
    found = re.search(r"stopped sending heartbeats\):\n(.*)", report)
    lost = found[1].strip() if found else "0"  # the only one that every process talks to
    return (
        f"process {lost} was lost (an error that it shows itself, a kill, or {_SILENT_SECONDS} s "
        "without an answer): start every process again, with the same --workdir, to go on from the "
        "newest checkpoint"
    )


def num_cores() -> int:
    """Return how many cores this process may use, which can be fewer than the machine has."""
    cores = len(os.sched_getaffinity(0))
    quota, period = "max", "1"
    if _CORES_OF_CONTAINER.exists():  # microseconds of processor time, or "max", per period
        quota, period = _CORES_OF_CONTAINER.read_text().split()
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def make_cores_devices() -> None:
    """Make each core a device of jax, before jax starts: a core trains a member by itself faster
    than it trains a share of each.

    A number of devices that the user set stands (XLA_FLAGS or JAX_NUM_CPU_DEVICES), and so does the
    one device of each of several processes.
    """
    if not jax.distributed.is_initialized() and not _is_number_set():
        jax.config.update("jax_num_cpu_devices", num_cores())


def _is_number_set():
    flag = "--xla_force_host_platform_device_count"
    return flag in os.environ.get("XLA_FLAGS", "") or "JAX_NUM_CPU_DEVICES" in os.environ


def choose_devices(num_members: int, data_bytes: int, most_bytes: int) -> list[Any]:
    """Return the devices that a run is divided among, if it can be: all, but of a CPU's cores only
    as many as there are members, and as copies of the data in its memory take most_bytes.

    Args:
      num_members: runs trained together.
      data_bytes: of the training examples.
      most_bytes: of all copies of them.
    """
    devices = jax.devices()
    if devices[0].platform != "cpu" or _is_number_set() or jax.process_count() > 1:
        return devices
    return devices[: max(1, min(num_members, most_bytes // max(1, data_bytes)))]


def members_at_once(placement: Placement) -> int | None:
    """Return how many members a device trains together, the groups one after the other; None: all.

    A CPU's cache does not hold many models: there, one for every two cores keeps all cores busy.
    An accelerator trains all at once.
    """
    if jax.devices()[0].platform != "cpu":
        return None
    num_devices = placement.num_devices if placement.divided == "members" else 1
    return max(1, num_cores() // (2 * num_devices))


@contextlib.contextmanager
def only_first_writes(workdir: Path) -> Iterator[Path]:
    """Yield the folder that this process writes to: `workdir` in the first process; a temporary one
    in all others, which print nothing either."""
    if jax.process_index() == 0:
        with _waits_for_report():
            yield workdir
        return
    with (
        _waits_for_report(),
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as silence,
        contextlib.redirect_stdout(silence),
    ):
        yield Path(folder) / workdir.name


@contextlib.contextmanager
def _waits_for_report():
    # A lost process first shows as a failed exchange; who it was is known some seconds later.
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        is_exchange = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if jax.process_count() > 1 and is_exchange:
            time.sleep(2 * _SILENT_SECONDS)
        raise


def any_says(mine: bool) -> bool:
    """Tell whether any process says so: all come to the same answer."""
    return mine if jax.process_count() == 1 else bool(multihost_utils.process_allgather(mine).any())


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
