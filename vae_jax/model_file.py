"""The file of a trained model: arrays in safetensors, all else as JSON in its header; no code.

The header's metadata are {"format": "vae_jax", "layout": "1", "model": JSON}. The JSON holds `vae`
(what `make_vae` is called with), `outline` (of the data set), `objective` (what `make_objective` is
called with, where it trained a classifier; else null), `sizes` (of batches), `metadata` (config,
versions, measured numbers, ...) and `digest` (a hash of all arrays). The arrays are named by their
place in the parameters: "vae/decoder/Dense_0/kernel".
"""

from collections.abc import Mapping
import importlib.metadata
import json
from pathlib import Path
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.checkpoints import arrange, digest, named_leaves, output_file, restore_newest
from vae_jax.datasets import expected_examples, from_outline, outline_of, with_images
from vae_jax.fast import threefry
from vae_jax.lookup import by_field, own_rows
from vae_jax.model import Model
from vae_jax.models import TABLES, make_vae, make_vae_for
from vae_jax.objectives import make_objective

_LAYOUT = 1
# Of config.json and the checkpoints. Layout 1 had the options of all rows in each block, and layout
# 2 had no outline of the data, and layout 3 no gradient estimators; before layout 6 the outline had
# one mask for all fields, no units and no columns.
RUN_LAYOUT = 6
_PACKAGES = ("vae_jax", "jax", "jaxlib", "flax", "optax", "numpy")
_SIZES = ("batch_size", "chunk_size")


def load_model(path: str | Path, member: int = 0) -> Model:
    """Return the trained model of a file that `save_model` wrote, or of the folder of a run.

    A run with early stopping gives its best checkpoint, one with averaged weights the averages: as
    its evaluation uses them.

    Args:
      path: of the file, or of the folder.
      member: of the folder of a run of several: which one.

    Raises:
      ValueError: no model there, a damaged one, one that a newer version wrote, or a member that
        there is not.
    """
    path = Path(path)
    return _load_run(path, member) if path.is_dir() else _load_file(path)


def save_model(model: Model, path: str | Path, overwrite: bool = False) -> None:
    """Write a model to a file that `load_model` reads, in one move: there is never half a file.

    Args:
      model: of `load_model`, or `Model(vae, params, dataset)` of a VAE that `make_vae` made.
      path: of the file.
      overwrite: whether a file that is there is replaced.

    Raises:
      ValueError: the file is there, or the model was not made by `make_vae`.
      OSError: it cannot be written.
    """
    import safetensors.numpy

    path = Path(path)
    check_output(path, overwrite)
    params = {"vae": model.params, "objective": model.objective_params or {}}
    named = named_leaves(params)
    named = {name: np.array(leaf, order="C") for name, leaf in named.items()}
    text = json.dumps(describe(model) | {"digest": digest(named)})
    header = {"format": "vae_jax", "layout": str(_LAYOUT), "model": text}
    with output_file(path) as file:
        file.write(safetensors.numpy.save(named, header))


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there, unless it is to be replaced.

    Raises:
      ValueError: with the remedy.
    """
    if path.exists() and not path.is_dir() and not overwrite:
        raise ValueError(f"{path} exists: name another file, or say overwrite (--overwrite)")


def describe(model: Model) -> dict[str, Any]:
    """Return what JSON can hold of a model: all but its parameters.

    Raises:
      ValueError: the model was not made by `make_vae`.
    """
    if model.vae.arguments is None:
        raise ValueError("a model file holds a VAE that make_vae or make_vae_for made")
    _refuse_own_rows("the model", {name: model.vae.arguments[name] for name in TABLES})
    return {
        "vae": model.vae.arguments,
        "outline": outline_of(model.dataset),
        "objective": model.objective,
        "sizes": {name: getattr(model, name) for name in _SIZES},
        "metadata": model.metadata,
    }


def _refuse_own_rows(what, rows):
    if own := own_rows(rows):
        raise ValueError(
            f"{what} has a row of its own, {', '.join(own)}, which is code that no file holds: a "
            "row of a table of vae_jax can be kept and loaded"
        )


def _load_file(path):
    description, named = _read_file(path)
    dataset, objective = from_outline(description["outline"]), description["objective"]
    arguments = description["vae"]
    if arguments["units"] is not None:
        arguments |= {"units": dataset.by_field("units")}
    vae = make_vae(**arguments)
    params = _arrange(named, vae, dataset, objective, path)
    return Model(
        vae=vae,
        params=params["vae"],
        dataset=dataset,
        metadata=description["metadata"],
        objective=objective,
        objective_params=params["objective"],
        **description["sizes"],
    )


def _arrange(named, vae, dataset, objective, path):
    """Return {"vae": parameters, "objective": those of its classifier, or {}} of arrays by name."""

    def init(key, train):
        examples = expected_examples(dataset, train)
        own = objective and make_objective(**objective).init(key, vae, examples)
        return {"vae": vae.init(key, examples), "objective": own or {}}

    like = jax.eval_shape(init, threefry.key(0), dataset.train)
    try:
        return jax.tree.map(jnp.asarray, arrange(named, like))
    except ValueError as error:
        raise ValueError(f"{path} holds other parameters than its model has: {error}") from error


def _read_file(path):
    """Return the JSON of a model file, with tuples for lists, and its arrays by name."""
    import safetensors

    if not path.exists():
        raise ValueError(f"there is no model file or run at {str(path)!r}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no model file, or was cut short: {reason}") from error
    if header.get("format") != "vae_jax":
        raise ValueError(f"{path} is a file of arrays, but no model file of vae_jax")
    if header["layout"] != str(_LAYOUT):
        raise ValueError(
            f"{path} was written by a newer version of vae_jax (layout {header['layout']}, this "
            f"one reads {_LAYOUT}): update vae_jax"
        )
    description = _with_tuples(json.loads(header["model"]))
    if description["digest"] != digest(named):
        raise ValueError(f"{path} is damaged: its arrays are not those that were written")
    return description, named


def _load_run(workdir, member):
    content = read_content(workdir)
    config, names = content["config"], content["members"]
    if not 0 <= member < len(names):
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
        raise ValueError(f"member={member} is none of {workdir}, whose members are {known}")
    state, notes = newest_state(workdir, config["training"]["patience"])
    for note in notes:
        warnings.warn(note, stacklevel=3)
    params, failed_at = state["ema"] or state["params"], state["failure"]["step"][member]
    if failed_at >= 0:
        raise ValueError(f"member={member} of {workdir} failed at step {failed_at}")
    rows = {f"vae.{name}": config["vae"][name] for name in TABLES}
    _refuse_own_rows(
        f"the run in {workdir}", rows | {"objective.name": config["objective"]["name"]}
    )
    dataset = with_images(from_outline(content["outline"]))
    block = config["vae"] | {"likelihood": by_field(config["vae"]["likelihood"])}
    vae = make_vae_for(dataset, **block)
    has_classifier = make_objective(**config["objective"]).classify is not None
    objective = config["objective"] if has_classifier else None
    named = named_leaves({"vae": params["vae"]})
    if has_classifier:
        named |= named_leaves({"objective": params["objective"]})
    params = _arrange(
        {name: leaf[member] for name, leaf in named.items()}, vae, dataset, objective, workdir
    )
    return Model(
        vae=vae,
        params=params["vae"],
        dataset=dataset,
        metadata=_describe_run(workdir, content, member),
        objective=objective,
        objective_params=params["objective"],
        **{name: config["evaluation"][name] for name in _SIZES},
    )


def _describe_run(workdir, content, member):
    """Return the metadata of a member: config, versions, its name, the measured numbers."""
    summary = workdir / "summary.json"
    numbers = json.loads(summary.read_text()) if summary.exists() else {}
    numbers = {
        name: value["members"][member] if isinstance(value, Mapping) else value
        for name, value in numbers.items()
    }
    about = {name: content[name] for name in ("versions", "data")}
    about |= {"member": content["members"][member], "numbers": numbers}
    return {"config": _without_folders(content["config"])} | about


def _without_folders(config):
    """Return the config with the last part of each path: folders stay private where files go."""
    data = config["data"]
    paths = {name: Path(data[name]).name for name in ("data_dir", "path") if data.get(name)}
    return config | {"data": data | paths, "compilation_cache": ""}


def newest_state(workdir: Path, patience: int, state_like: Any = None) -> tuple[Any, list[str]]:
    """Return the state that a run is measured by, and lines on what is damaged.

    With early stopping each member at its best; where that is lost, as it was at the end.

    Args:
      workdir: the folder of the run.
      patience: that of its config; 0: no early stopping.
      state_like: as of `checkpoints.restore_newest`.

    Raises:
      ValueError: no checkpoint is whole.
    """
    notes = []
    for name in ("best", "checkpoints") if patience else ("checkpoints",):
        state, damaged = restore_newest(workdir / name, state_like)
        if damaged:
            notes.append(f"{workdir / name}: {damaged} damaged")
        if state is not None:
            return state, notes
        if name == "best":
            notes.append(f"{workdir / name} holds no checkpoint that is whole: the newest is used")
    raise ValueError(
        f"--workdir={workdir} holds no checkpoint that is whole: train it, with this --workdir"
    )


def read_content(workdir: Path) -> dict[str, Any]:
    """Return all that config.json of the run in `workdir` holds.

    Raises:
      ValueError: it holds no run, its config.json is damaged, or an earlier version wrote it.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise ValueError(f"--workdir={workdir} holds no run: there is no config.json in it")
    try:
        content = json.loads(path.read_text())
        content["config"] = _with_tuples(dict(content["config"]))
        layout = content.get("layout", 1)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is damaged: it holds no config") from None
    if layout != RUN_LAYOUT:
        raise ValueError(
            f"{path} was written by another version of vae_jax (layout {layout}, this one reads "
            f"{RUN_LAYOUT}): its metrics and summary can be read, its checkpoints cannot; train "
            "again"
        )
    return content


def _with_tuples(value):
    # JSON knows no tuples, which is what sizes are.
    if isinstance(value, dict):
        return {name: _with_tuples(each) for name, each in value.items()}
    return tuple(value) if isinstance(value, list) else value


def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}
