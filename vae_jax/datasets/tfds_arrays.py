"""Reading a whole prepared TFDS data set as arrays, without TensorFlow."""

from collections.abc import Sequence
import hashlib
import importlib.util
import json
import os
from pathlib import Path
import tempfile
import zipfile

import numpy as np

_CHUNK = 1000  # records decoded per call
_ANEW = "prepare it anew elsewhere by data_dir=... download=true"


def cache_dir() -> Path:
    """Return the folder in which decoded arrays are kept: $XDG_CACHE_HOME/vae_jax or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae_jax"


def read_tfds(
    name: str,
    version: str,
    data_dir: str,
    download: bool,
    features: dict[str, str],
    splits: Sequence[str] = ("train", "test"),
) -> dict[str, dict[str, np.ndarray]]:
    """Return {split: {key: array}} of a data set that TFDS prepared in the format array_record.

    The decoded arrays are kept in `cache_dir()`, so that the second reading takes a tenth of a
    second.

    Args:
      name: TFDS's name of the data set.
      version: its version.
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: download and prepare what is missing (this alone needs TensorFlow).
      features: {key: name of the feature in TFDS}.
      splits: which must be there.

    Raises:
      ValueError: the data are not there, are incomplete or damaged or those of another data set,
        or lie there in another format.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    folder = root / name / version
    if not (folder / "dataset_info.json").exists():
        if not download:
            raise ValueError(
                f"{name} {version} is not prepared in {str(root)!r}: give its folder by "
                "data_dir, or let it be downloaded by download=true"
            )
        _prepare(name, version, root)
    if not list(folder.glob("*.array_record*")):
        raise ValueError(
            f"{str(folder)!r} does not hold array_record files, which is the format read without "
            f"TensorFlow: {_ANEW}"
        )
    _check_prepared(folder, name, splits)
    identity = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    key = hashlib.blake2b(repr((str(folder.resolve()), identity)).encode(), digest_size=8)
    cached = cache_dir() / f"{name}-{version}-{key.hexdigest()}.npz"
    try:
        with cached.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _unflatten(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # not there yet, or damaged
        pass
    try:
        decoded = _decode(name, version, root, features)
    except Exception as error:  # TFDS, array_record and decoders raise their own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"cannot read {name} in {str(folder)!r}: {reason}; {_ANEW}") from error
    _keep(cached, decoded)
    return decoded


def _check_prepared(folder, name, splits):
    # dataset_info.json says which data set this is, and how many shards each of its splits has.
    path = folder / "dataset_info.json"
    try:
        info = json.loads(path.read_text())
        prepared = info["name"]
        shards = {split["name"]: len(split["shardLengths"]) for split in info["splits"]}
    except (KeyError, OSError, TypeError, ValueError):
        raise ValueError(f"{str(path)!r} is damaged: {_ANEW}") from None
    if prepared != name:
        raise ValueError(f"{str(folder)!r} holds the data set {prepared!r}, not {name!r}: {_ANEW}")
    for split in splits:
        found = len(list(folder.glob(f"*-{split}.array_record*")))
        if found < max(1, shards.get(split, 0)):
            raise ValueError(
                f"{str(folder)!r} holds {found} of the {shards.get(split, 0)} files of the split "
                f"{split!r} of {name}: {_ANEW}"
            )


def _prepare(name: str, version: str, root: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"downloading {name} needs TensorFlow: pip install 'vae_jax[prepare]', once"
        )
    import tensorflow_datasets as tfds

    # Given a data_dir, TFDS writes tfrecord unless both calls are told otherwise.
    record = "array_record"
    builder = tfds.builder(f"{name}:{version}", data_dir=root, file_format=record)
    builder.download_and_prepare(file_format=record)


def _decode(name, version, root, features):
    import tensorflow_datasets as tfds  # takes 0.3 s, and is not needed where the cache is

    sources = tfds.data_source(f"{name}:{version}", data_dir=root, download=False)

    def read(source):
        columns = {key: [] for key in features}
        for start in range(0, len(source), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(source)))
            for record in source.__getitems__(list(indices)):
                for key, feature in features.items():
                    columns[key].append(record[feature])
        return {key: np.stack(column) for key, column in columns.items()}

    return {split: read(source) for split, source in sources.items()}


def _keep(path, splits):
    # Written under another name and then renamed, so that no other process sees half a file. If the
    # folder cannot be written, the next run only takes some seconds longer.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, **{f"{s}/{k}": a for s, cols in splits.items() for k, a in cols.items()})
        os.replace(file.name, path)
    except OSError:
        pass


def _unflatten(arrays):
    splits = {}
    for name in arrays.files:
        split, key = name.split("/")
        splits.setdefault(split, {})[key] = arrays[name]
    return splits
