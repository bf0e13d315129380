"""The folder of a run: config.json, metrics.jsonl, summary.json, and a lock."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import csv
import fcntl
import io
import json
import math
import os
from pathlib import Path
from typing import Any
import zlib

import ml_collections
import numpy as np

from experiments.support import processes
from experiments.support.options import with_names
from vae_jax import datasets, evaluation
from vae_jax.checkpoints import output_file
from vae_jax.model_file import RUN_LAYOUT, read_content, versions

# Fields that say how and where a run computes, but not what: a resumed run may change them.
_FREE_FIELDS = (
    "compilation_cache",
    "data.device_bytes",
    "debug_nans",
    "device",
    "distributed.",
    "training.profile_steps",
)
# What earlier versions called a metric: (its name now, the sign to multiply it by).
_FORMER_NAMES = {"rate": ("kl", 1), "distortion": ("reconstruction", -1)}
_FILES = (
    *("config.json", "estimators.json", "evaluation.csv", "evaluation.json", "lock"),
    "metrics.jsonl",
    *("disentanglement.json", "latents.json", "likelihood.json", "results.csv", "seconds.json"),
    "summary.json",
)
_FOLDERS = ("best", "checkpoints", "figures", "profile", "tensorboard")


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Lock `workdir` for this process until the context closes or the process ends.

    Raises:
      ValueError: another process has it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                f"--workdir={workdir} is in use by process {file.read().strip()}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_locked(workdir: Path) -> bool:
    """Tell whether a process has `workdir`."""
    try:
        with (workdir / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def check_places(workdir: Path) -> None:
    """Refuse a folder where a run could not write all that it is going to.

    Raises:
      ValueError: a file where a folder belongs, or a folder where a file does.
    """
    for name in _FOLDERS:
        if (workdir / name).exists() and not (workdir / name).is_dir():
            raise ValueError(f"{workdir / name} is a file where a run keeps a folder: move it away")
    for name in _FILES:
        if (workdir / name).is_dir():
            raise ValueError(f"{workdir / name} is a folder where a run keeps a file: move it away")


def check_figures(folder: Path, members: Sequence[str]) -> None:
    """Refuse a folder of pictures where those of a run could not be written.

    Args:
      folder: need not exist.
      members: what the members' own folders are called; none where there is one member.

    Raises:
      ValueError: a file where a folder belongs, a folder where a picture does, or one that may not
        be written.
    """
    for place in (folder, *[folder / name for name in members]):
        if place.exists() and not place.is_dir():
            raise ValueError(f"{place} is a file where a run keeps a folder: move it away")
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            raise ValueError(f"{place} cannot be written: change its permissions, or move it away")
        for picture in place.glob("*.png"):
            if picture.is_dir():
                raise ValueError(f"{picture} is a folder where a picture belongs: move it away")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one move, so that no reader ever sees half of it."""
    with output_file(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def write_seconds(workdir: Path, seconds: float | None) -> None:
    """Keep how long training has taken up to the checkpoint that is saved now; None: unknown."""
    write_json(workdir / "seconds.json", {"training_seconds": seconds})


def read_seconds(workdir: Path) -> float | None:
    """Return how long training took up to the newest checkpoint: 0 without one; None: unknown."""
    if not (workdir / "checkpoints").exists():
        return 0.0
    try:
        return json.loads((workdir / "seconds.json").read_text())["training_seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns as CSV, in one move."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with output_file(path) as file:
        file.write(text.getvalue().encode())


def read_config(workdir: Path) -> ml_collections.ConfigDict:
    """Return the resolved config of the run in `workdir`.

    Raises:
      ValueError: it holds no run, its config.json is damaged, or an earlier version wrote it.
    """
    return ml_collections.ConfigDict(read_content(workdir)["config"])


def read_outline(workdir: Path) -> datasets.Dataset:
    """Return the data set that the run in `workdir` was trained on, without its arrays.

    Raises:
      ValueError: what `read_config` raises.
    """
    try:
        return datasets.from_outline(read_content(workdir)["outline"])
    except (KeyError, TypeError):
        raise ValueError(f"{workdir / 'config.json'} is damaged: it holds no outline") from None


def check_data(workdir: Path, fingerprint: str) -> None:
    """Refuse data other than those that the run in `workdir` was trained on.

    Raises:
      ValueError: with both fingerprints.
    """
    if not (workdir / "config.json").exists():
        return
    trained_on = read_content(workdir).get("data")
    if trained_on != fingerprint:
        raise ValueError(
            f"--workdir={workdir} was trained on data with the fingerprint {trained_on}, but those "
            f"that its config names have {fingerprint} now: bring the former back, or train in "
            "another folder"
        )


def keep_warmup(workdir: Path, config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Return the config; an unset warm-up of the learning rate is that of the run in `workdir`.

    Its default is a part of the number of steps, which would be another one in a longer run.
    """
    config = ml_collections.ConfigDict(config.to_dict())
    if config.optimizer.warmup_steps is not None:
        return config
    exists = (workdir / "config.json").exists()
    # Of several processes only the first one has the folder.
    steps = read_config(workdir).optimizer.warmup_steps if exists else -1
    known = processes.agree(np.array(steps))
    config.optimizer.warmup_steps = int(known) if known >= 0 else None
    return config


def check_config(workdir: Path, config: Mapping[str, Any], extend: bool) -> None:
    """Refuse a folder that holds a run of another config; `extend` lets num_epochs grow.

    Raises:
      ValueError: with the fields that differ.
    """
    if not (workdir / "config.json").exists():
        return
    old, new = (flatten(each) for each in (read_content(workdir)["config"], with_names(config)))
    changed = [
        field
        for field in sorted(old | new)
        if old.get(field) != new.get(field) and not field.startswith(_FREE_FIELDS)
    ]
    longer = ["training.num_epochs"]
    if changed == longer and new[longer[0]] > old[longer[0]]:
        if extend:
            return
        changed_by = " (--extend lengthens the run)"
    else:
        changed_by = ""
    if changed:
        lines = (f"{field} was {old.get(field)!r}, is {new.get(field)!r}" for field in changed)
        raise ValueError(
            f"--workdir={workdir} holds a run of another config: {'; '.join(lines)}{changed_by}"
        )


def write_config(
    workdir: Path,
    config: Mapping[str, Any],
    device: str,
    dataset: datasets.Dataset,
    fingerprint: str,
    members: Sequence[str],
) -> None:
    """Write config.json: the resolved config, versions, device, what the data were, members."""
    content = {
        "layout": RUN_LAYOUT,
        "config": with_names(config),
        "versions": versions(),
        "device": device,
    }
    data = {"data": fingerprint, "outline": datasets.outline_of(dataset)}
    write_json(workdir / "config.json", content | data | {"members": members})


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"block.field": value} of a config."""
    flat = {}
    for name, value in tree.items():
        is_block = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{name}.") if is_block else {f"{prefix}{name}": value}
    return flat


def describe(values: Sequence[float], points: Mapping[str, Sequence[int]]) -> Any:
    """Return the number of one member, or those of several with the mean of each sweep point.

    Args:
      values: one per member; NaN for a member that failed, which means leave out.
      points: {name of a point of the sweep: indices of its members, which differ in the seed}.
    """
    values = [float(value) if math.isfinite(value) else None for value in values]
    if len(values) == 1:
        return values[0]
    described = {"members": values, "points": {}}
    for name, indices in points.items():
        finite = [values[i] for i in indices if values[i] is not None]
        point = evaluation.estimate(np.array(finite), "seeds") if finite else (None, None, "seeds")
        described["points"][name] = {
            "mean": point[0],
            "standard_error": point[1] if len(finite) > 1 else None,
            "over": point[2],
            "num_seeds": len(finite),
        }
    return described


def append_metrics(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line to metrics.jsonl; it holds no times, so that a rerun writes the same."""
    with path.open("ab") as file:
        file.write(_with_check(line))


def _with_check(line: Mapping[str, Any]) -> bytes:
    # A line of metrics.jsonl, whose last field is the CRC-32 of what stands before it.
    text = json.dumps(line)[:-1].encode()
    return text + b', "check": "%08x"}\n' % zlib.crc32(text)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl that are whole, that is, agree with their check.

    Earlier versions wrote none: of a file without any, all lines are returned that can be read.
    """
    content = path.read_bytes() if path.exists() else b""
    has_checks = b'"check"' in content
    read = (_read_line(line, has_checks) for line in content.splitlines(keepends=True))
    return [line for line in read if line is not None]


def _read_line(raw: bytes, has_check: bool) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
        line.pop("check", None)
        return line if not has_check or raw == _with_check(line) else None
    except (AttributeError, ValueError):
        return None


def cut_metrics(path: Path, step: int) -> set[tuple[int, str]]:
    """Remove the lines after `step`, which a resumed run writes again, and those that are damaged.

    Returns:
      (step, split) of each line that is left.
    """
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    if path.exists():
        with output_file(path) as file:
            file.write(b"".join(map(_with_check, kept)))
    return {(line["step"], line["split"]) for line in kept}


def read_curves(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return {split: {"step": (points,), name: (points, members)}} of a metrics.jsonl.

    What a failed member has no number for is NaN; lines that are damaged are left out. Folders of
    earlier versions are read too.
    """
    curves: dict[str, dict[str, list]] = {}
    for line in read_metrics(path):
        curve = curves.setdefault(line.pop("split"), {})
        for name, value in line.items():
            value = value["members"] if isinstance(value, dict) else value
            name, sign = _FORMER_NAMES.get(name, (name, 1))
            curve.setdefault(name, []).append(sign * np.atleast_1d(np.array(value, float)))
    return {
        split: {name: np.stack(values) for name, values in curve.items()}
        for split, curve in curves.items()
    }
