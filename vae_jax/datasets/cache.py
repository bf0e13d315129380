"""Decoded arrays, kept on disk so that the second reading takes a tenth of a second."""

from collections.abc import Callable
import hashlib
import os
from pathlib import Path
import tempfile
from typing import Any
import zipfile

import numpy as np


def cache_dir() -> Path:
    """Return the folder in which decoded arrays are kept: $XDG_CACHE_HOME/vae_jax or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae_jax"


def cached(
    name: str, identity: Any, decode: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return what `decode` returns, from `cache_dir()` if it was kept there before.

    Args:
      name: begins the file's name.
      identity: what the arrays depend on; of another one they are decoded anew.
      decode: returns {key: array}.
    """
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=8).hexdigest()
    path = cache_dir() / f"{name}-{digest}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # not there yet, or damaged
        pass
    decoded = decode()
    _keep(path, decoded)
    return decoded


def identity_of(root: Path, files: list[Path]) -> list[tuple[str, int, int]]:
    """Return path within `root`, size and time of change of files, which tell their contents."""
    stats = [(path.relative_to(root).as_posix(), path.stat()) for path in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _keep(path, arrays):
    # Written under another name and then renamed, so that no other process sees half a file. If the
    # folder cannot be written, the next run only takes some seconds longer.
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, **arrays)
        temporary.replace(path)
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
