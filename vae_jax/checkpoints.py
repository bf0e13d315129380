"""Checkpoints of a run: arrays in orbax's format, and a digest of them; nothing is pickled."""

from collections.abc import Iterator
import contextlib
import gc
import hashlib
from pathlib import Path
import shutil
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@contextlib.contextmanager
def open_checkpoints(folder: str | Path, keep: int = 3) -> Iterator[Any]:
    """Open a folder of checkpoints, of which the newest `keep` stay.

    All that was saved is on the disk when the context closes.

    Raises:
      OSError: a checkpoint could not be written.
    """
    import orbax.checkpoint as ocp  # takes 1 s: imported where it is used

    # Each of several processes has its own folder: orbax must not wait for the others.
    index = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"process{index}"
    )
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        multiprocessing_options=alone,
        enable_async_checkpointing=jax.process_count() == 1,
    )
    names = ("state", "digest")
    with _write_errors(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        manager = ocp.CheckpointManager(Path(folder).absolute(), options=options, item_names=names)
    try:
        yield manager
    finally:
        with _write_errors(folder):
            manager.close()


def save(checkpoints: Any, step: int, state: Any) -> None:
    """Save `state` (a pytree of arrays) as the checkpoint of `step`, written in the background.

    Raises:
      OSError: this checkpoint, or the one before, could not be written.
    """
    import orbax.checkpoint as ocp

    # A copy, since the next update overwrites these buffers while they are being written; of numpy,
    # which restores on any number of devices.
    copied = jax.tree.map(lambda leaf: np.array(leaf, copy=True), _key_words(state))
    items = ocp.args.Composite(
        state=ocp.args.StandardSave(copied), digest=ocp.args.JsonSave({"blake2b": digest(copied)})
    )
    with _write_errors(checkpoints.directory):
        checkpoints.save(step, args=items)


def restore_newest(folder: str | Path, state_like: Any) -> tuple[Any | None, list[int]]:
    """Return the newest state that is whole, or None, and the steps of newer, damaged ones.

    A checkpoint is whole if it can be read and its arrays have the digest that they had when they
    were saved.

    Args:
      folder: what was given to `open_checkpoints`; it need not exist.
      state_like: a state of the same structure, shapes and types.
    """
    import orbax.checkpoint as ocp

    target = jax.eval_shape(_key_words, state_like)
    items = ocp.args.Composite(
        state=ocp.args.StandardRestore(target), digest=ocp.args.JsonRestore()
    )
    steps = sorted((int(p.name) for p in Path(folder).glob("*") if p.name.isdigit()), reverse=True)
    for count, step in enumerate(steps):
        # A reader for each step: orbax fails in many ways on a damaged folder, and what one failure
        # leaves behind must not affect the next step.
        with contextlib.suppress(Exception), open_checkpoints(folder, keep=len(steps)) as reader:
            restored = reader.restore(step, args=items)
            fits = jax.eval_shape(lambda s: s, restored.state) == target
            if fits and restored.digest["blake2b"] == digest(restored.state):
                return jax.tree.map(_as_key_if_one, state_like, restored.state), steps[:count]
        _collect_silently()
    return None, steps


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_words(state):
    # A key's words are an array like any other, whatever generator it belongs to.
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _as_key_if_one(like, array):
    if not _is_key(like):
        return jnp.asarray(array)
    generators = []  # jax tells the generator of a traced key, but not of a ShapeDtypeStruct
    jax.eval_shape(lambda key: generators.append(jax.random.key_impl(key)), like)
    return jax.random.wrap_key_data(array, impl=generators[0])


def _collect_silently():
    # A failed read leaves coroutines of orbax behind, each of which would print a traceback when it
    # is garbage-collected.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    gc.collect()
    sys.unraisablehook = hook


def discard(folder: str | Path, steps: list[int]) -> None:
    """Delete checkpoints, so that these steps can be saved again."""
    for path in (Path(folder) / str(step) for step in steps):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def digest(state: Any) -> str:
    """Return a hash of every array of a pytree, with its place, type and shape."""
    hashed = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(_key_words(state)):
        array = np.ascontiguousarray(leaf)
        hashed.update(f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}".encode())
        hashed.update(array)
    return hashed.hexdigest()


@contextlib.contextmanager
def _write_errors(folder):
    # orbax and its storage raise many types of errors when a disk is full or a folder is read-only.
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise OSError(f"cannot write a checkpoint in {str(folder)!r}: {reason}") from error
