"""Reading a whole prepared TFDS data set as arrays, without TensorFlow."""

from collections.abc import Callable, Sequence
import importlib.util
import json
import os
from pathlib import Path

import numpy as np

from vae_jax.datasets.cache import cached, identity_of

_CHUNK = 1000  # records decoded per call
_ANEW = "prepare it anew elsewhere by data_dir=... download=true"


def read_tfds(
    name: str,
    version: str,
    data_dir: str,
    download: bool,
    features: dict[str, str],
    splits: Sequence[str] = ("train", "test"),
    convert: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Return {split: {key: array}} of a data set that TFDS prepared in the format array_record.

    The decoded arrays are kept (`cached`).

    Args:
      name: TFDS's name of the data set.
      version: its version.
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: download and prepare what is missing (this alone needs TensorFlow).
      features: {key: name of the feature in TFDS}.
      splits: which are read.
      convert: of the images under "x", some at a time, to what is kept of them.

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
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    form = None if convert is None else convert.__name__
    identity = (str(folder.resolve()), identity_of(folder, files), features, tuple(splits), form)

    def decode():
        try:
            return _decode(name, version, root, features, splits, convert)
        except Exception as error:  # TFDS, array_record and decoders raise their own
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(f"cannot read {name} in {str(folder)!r}: {reason}; {_ANEW}") from error

    return _unflatten(cached(f"{name}-{version}", identity, decode))


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
        if split not in shards:
            known = ", ".join(shards)
            raise ValueError(f"{name} in {str(folder)!r} has no split {split!r}; known: {known}")
        found = len(list(folder.glob(f"*-{split}.array_record*")))
        if found < max(1, shards[split]):
            raise ValueError(
                f"{str(folder)!r} holds {found} of the {shards[split]} files of the split "
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


def _decode(name, version, root, features, splits, convert):
    import tensorflow_datasets as tfds  # takes 0.3 s, and is not needed where the cache is

    sources = tfds.data_source(f"{name}:{version}", data_dir=root, download=False)
    return {
        f"{split}/{key}": column
        for split in splits
        for key, column in _columns(sources[split], features, convert).items()
    }


def _columns(source, features, convert):
    chunks = []
    for start in range(0, len(source), _CHUNK):
        records = source.__getitems__(list(range(start, min(start + _CHUNK, len(source)))))
        chunk = {key: np.stack([each[name] for each in records]) for key, name in features.items()}
        chunks.append(chunk if convert is None else chunk | {"x": convert(chunk["x"])})
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in features}


def _unflatten(arrays):
    splits = {}
    for name, array in arrays.items():
        split, key = name.split("/")
        splits.setdefault(split, {})[key] = array
    return splits
