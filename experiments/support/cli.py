"""Starting a program: errors in one line, the device, and a stop that loses nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import difflib
import functools
import logging as std_logging
import runpy
import sys
from typing import Any, NoReturn

from absl import app, flags, logging
import jax

from experiments import FAILURE, STOPPED, USER_ERROR, end_at_once
from experiments.support.console import Output
from experiments.support.processes import make_cores_devices
from vae_jax.datasets.cache import cache_dir
from vae_jax.progress import deferred_stop

__all__ = ["deferred_stop"]


def fail(message: object, exit_code: int = USER_ERROR) -> NoReturn:
    """End the program with one line.

    One of several processes ends without waiting for the others, which wait for it.
    """
    text = " ".join(str(message).split())
    if jax.distributed.is_initialized():
        end_at_once(text, exit_code)
    _print_error(text)
    sys.exit(exit_code)


def stop(message: str) -> NoReturn:
    """End the program with one line after all processes agreed to stop; the first one says it."""
    if jax.process_index() == 0:
        _print_error(message)
    sys.exit(STOPPED)


def _print_error(text):
    with contextlib.suppress(OSError):
        print(f"error: {text}", file=sys.stderr)


def parse_flags(argv: Sequence[str], takes_arguments: bool = False) -> list[str]:
    """Parse absl flags; what is wrong with them becomes one line and exit code 2."""
    try:
        rest = flags.FLAGS(list(argv))
    except flags.Error as error:
        fail(error)
    except Exception as error:  # a config file may raise anything, and so may ml_collections
        fail(describe_flag_error(error, argv))
    if len(rest) > 1 and not takes_arguments:
        fail(f"unexpected argument {rest[1]!r}: fields are set as --config.block.field=value")
    return rest


def describe_flag_error(error: Exception, argv: Sequence[str]) -> str:
    """Return one line on what ml_collections or a config file raised."""
    if isinstance(error, (AttributeError, KeyError)):
        (path,) = [a.removeprefix("--config=") for a in argv if a.startswith("--config=")][-1:]
        known = known_fields(runpy.run_path(path).get("get_config", dict)())
        for argument in argv:
            field = argument.removeprefix("--config.").partition("=")[0]
            if known and argument.startswith("--config.") and field not in known:
                near = difflib.get_close_matches(field, known, n=1, cutoff=0.4)
                hint = f"did you mean config.{near[0]}? " if near else ""
                return f"--config.{field} is unknown: {hint}configs/default.py lists all fields"
    return f"{type(error).__name__}: {(str(error).strip() or repr(error)).splitlines()[-1]}"


def known_fields(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the names of all fields of a config, with their blocks."""
    names = []
    for name, value in config.items():
        is_block = isinstance(value, Mapping) or hasattr(value, "items")
        names += known_fields(value, f"{prefix}{name}.") if is_block else [f"{prefix}{name}"]
    return names


def run_program(
    main: Callable[..., None], required: Sequence[str], takes_arguments: bool = False
) -> None:
    """Run main() with parsed flags, of which those named must be given.

    With `takes_arguments`, what stands on the command line beside flags is handed to main.
    """
    for flag in required:
        flags.mark_flag_as_required(flag)
    # orbax logs every detail at INFO, and logs as an error what it also raises.
    logging.set_verbosity(logging.FATAL)
    std_logging.getLogger("asyncio").setLevel(std_logging.CRITICAL)
    sys.unraisablehook = _without_closed_loops
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    sys.stdout = Output(sys.stdout.detach(), encoding, errors, line_buffering=True)
    parse = functools.partial(parse_flags, takes_arguments=takes_arguments)
    app.run(lambda argv: main(*argv[1:]), flags_parser=parse)


def _without_closed_loops(unraisable):
    # After a failed write (a full disk, say), threads of orbax's storage return to an asyncio loop
    # that has ended; each would print a traceback beside the one line that says what happened.
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn a refused value or file into one line and exit code 2; a diverged run, or one for which
    the memory is too small, into 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        fail(error)
    except FloatingPointError as error:
        fail(error, FAILURE)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = (str(error).strip().splitlines() or ["no memory"])[0]
        fail(f"{reason}: lower the sizes of batches, samples, layers or members", FAILURE)


def choose_device(device: str) -> None:
    """Let jax compute on "cpu", "gpu" or "tpu", or on the best there is ("auto").

    Raises:
      ValueError: an unknown name, or no such device here.
    """
    known = ("auto", "cpu", "gpu", "tpu")
    if device not in known:
        raise ValueError(f"device={device!r} is unknown; known: {', '.join(known)}")
    make_cores_devices()
    if device == "auto":
        return
    try:
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(device, device))
        jax.devices()
    except (AssertionError, RuntimeError):  # jax asserts that it was built for CUDA
        raise ValueError(
            f"device={device!r} is not available here; auto takes what is there"
        ) from None


def keep_compiled(folder: str) -> None:
    """Keep compiled programs in `folder`, so that the next start need not compile them.

    "" stands for $JAX_COMPILATION_CACHE_DIR or else a folder of the user's cache, "off" for none.
    """
    if folder == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    default = jax.config.jax_compilation_cache_dir or str(cache_dir() / "compiled")
    jax.config.update("jax_compilation_cache_dir", folder or default)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def set_matmul_precision(matmul_precision: str) -> None:
    """Set the precision of float32 products on accelerators.

    Raises:
      ValueError: an unknown precision.
    """
    known = ("default", "high", "highest")
    if matmul_precision not in known:
        raise ValueError(
            f"matmul_precision={matmul_precision!r} is unknown; known: {', '.join(known)}"
        )
    jax.config.update("jax_default_matmul_precision", matmul_precision)


def define_machine_flags() -> None:
    """Define the flags of a program that uses a trained run: its device and compiled programs."""
    flags.DEFINE_string("device", "auto", "auto, cpu, gpu or tpu")
    flags.DEFINE_string("compilation_cache", "", "folder of compiled programs, or off")
    if "config" not in flags.FLAGS:
        flags.DEFINE_string("config", None, "the run's config, where it defines rows of its own")


def given_config() -> Any:
    """Return the config that --config names, which defines rows of its own; None without it.

    Raises:
      ValueError: a file that cannot be read, or that defines no config.
    """
    path = flags.FLAGS.config
    if path is None or not isinstance(path, str):
        return path
    try:
        return runpy.run_path(path)["get_config"]()
    except Exception as error:  # a config file may raise anything
        raise ValueError(f"--config={path}: {type(error).__name__}: {error}") from error


def use_machine_flags() -> None:
    """Apply the flags of `define_machine_flags`.

    Raises:
      ValueError: a device that is unknown or not here.
    """
    choose_device(flags.FLAGS.device)
    keep_compiled(flags.FLAGS.compilation_cache)
