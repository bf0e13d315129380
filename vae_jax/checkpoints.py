"""Checkpoints of a run: arrays in orbax's format, and a digest of them; nothing is pickled.

And files that are written in one move.
"""

from collections.abc import Iterator, Mapping
import contextlib
import gc
import hashlib
import os
from pathlib import Path
import shutil
import sys
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file atomically; nothing remains after an exception.

    Raises:
      OSError: it cannot be written, which is known before anything is computed.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to be written")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
        state=ocp.args.StandardSave(copied), digest=ocp.args.JsonSave({"by_name": digest(copied)})
    )
    with _write_errors(checkpoints.directory):
        checkpoints.save(step, args=items)


def restore_newest(folder: str | Path, state_like: Any = None) -> tuple[Any | None, list[int]]:
    """Return the newest state that is whole, or None, and the steps of newer, damaged ones.

    A checkpoint is whole if it can be read and its arrays have the digest that they had when they
    were saved.

    Args:
      folder: what was given to `open_checkpoints`; it need not exist.
      state_like: a state of the same structure, shapes and types; None: the state is returned as
        nested dictionaries and lists of numpy arrays, those of keys being their words.
    """
    import orbax.checkpoint as ocp

    items = ocp.args.Composite(state=ocp.args.StandardRestore(), digest=ocp.args.JsonRestore())
    steps = sorted((int(p.name) for p in Path(folder).glob("*") if p.name.isdigit()), reverse=True)
    for count, step in enumerate(steps):
        # A reader for each step: orbax fails in many ways on a damaged folder, and what one failure
        # leaves behind must not affect the next step.
        with contextlib.suppress(Exception), open_checkpoints(folder, keep=len(steps)) as reader:
            restored = reader.restore(step, args=items)
            state = restored.state if state_like is None else _fit(restored.state, state_like)
            if restored.digest["by_name"] == digest(restored.state):
                return state, steps[:count]
        _collect_silently()
    return None, steps


def _fit(read, state_like):
    words = arrange(named_leaves(read), jax.eval_shape(_key_words, state_like))
    return jax.tree.map(_as_key_if_one, state_like, words)


def named_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves of a pytree by their place in it, such as "vae/decoder/Dense_0/bias"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def arrange(named: Mapping[str, Any], tree_like: Any) -> Any:
    """Return what `named_leaves` returned in its structure again, that of `tree_like`.

    Raises:
      ValueError: names that are missing or unknown, or an array of another shape or type.
    """
    likes = named_leaves(tree_like)
    if named.keys() != likes.keys():
        differ = ", ".join(sorted(named.keys() ^ likes.keys()))
        raise ValueError(f"arrays that are not on both sides: {differ}")
    for name, like in likes.items():
        if (named[name].shape, named[name].dtype) != (like.shape, like.dtype):
            raise ValueError(
                f"{name} has shape {named[name].shape} and type {named[name].dtype}, not "
                f"{like.shape} and {like.dtype}"
            )
    return jax.tree_util.tree_map_with_path(lambda path, _: named[_name(path)], tree_like)


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


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
    """Return a hash of every array of a pytree, with its name (`named_leaves`), type and shape."""
    hashed = hashlib.blake2b(digest_size=16)
    for name, leaf in sorted(named_leaves(_key_words(state)).items()):
        array = np.ascontiguousarray(leaf)
        hashed.update(f"{name}{array.dtype}{array.shape}".encode())
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
