"""Examples in and results out: tables as CSV or parquet, arrays as npz, as the extension says."""

from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
import numpy as np

from experiments.support import console
from vae_jax import datasets, model_file
from vae_jax.checkpoints import output_file
from vae_jax.datasets.table import import_pandas

_WRITTEN = (".csv", ".parquet", ".npz")
TABLES = (".csv", ".parquet")


class Given(NamedTuple):
    """Examples of a file, as a `vae_jax.Model` takes them; NaN where a value is missing."""

    x: Any
    y: Any
    index: Any
    """Of the rows of a table; None of arrays."""


def read_given(outline: datasets.Dataset, source: str) -> Given:
    """Return the examples of a table, or of an npz under key x and y, or a key for each field.

    Raises:
      ValueError: a file that cannot be read.
    """
    if not source.endswith(".npz"):
        table = datasets.read_table(source)
        return Given(table, None, table.index)
    fields = () if outline.is_plain else tuple(outline.values)
    x, y, mask, _ = datasets.read_npz(source, fields)
    masks = mask if fields else {"x": mask}
    x = {
        name: values
        if (masks or {}).get(name) is None
        else _with_holes(values, masks[name], f"the mask of {name!r} in --input={source}")
        for name, values in (x if fields else {"x": x}).items()
    }
    return Given(x if fields else x["x"], y, None)


def _with_holes(values, mask, what):
    mask = np.asarray(mask)
    fits = mask.shape == np.shape(values)[: mask.ndim]
    if not mask.ndim or not fits or not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"{what} must have the shape of the values, {np.shape(values)}, and values 0 (missing) "
            f"and 1; got shape {mask.shape} of type {mask.dtype}"
        )
    mask = mask != 0
    mask = mask.reshape(mask.shape + (1,) * (np.ndim(values) - mask.ndim))
    return np.where(mask, values, np.nan)


def define_flags(workdir: str = "folder of the run, or a model file") -> None:
    """Define the flags of a program that reads examples from a file and writes one.

    Args:
      workdir: what that flag names.
    """
    flags.DEFINE_string("workdir", None, workdir)
    flags.DEFINE_string("input", None, "CSV, parquet or npz with the examples")
    flags.DEFINE_string("output", None, "CSV, parquet or npz to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_boolean("overwrite", False, "replace an output that is there")


def check_output(path: str, overwrite: bool) -> None:
    """Refuse an output that is there or cannot be written, or whose extension says no format.

    Raises:
      ValueError: with what is possible.
    """
    if Path(path).is_dir():
        raise ValueError(f"--output={path} is a folder: name a file in it")
    if not path.endswith(_WRITTEN):
        raise ValueError(f"--output={path} must end in {', '.join(_WRITTEN)}")
    if path.endswith(TABLES):
        import_pandas()
    model_file.check_output(Path(path), overwrite)
    folder = Path(path).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"--output={path}: {folder} is no folder that can be written")


def how_to_read(path: str) -> str:
    """Return the line of Python that opens a file that `write_result` wrote."""
    kind = Path(path).suffix.removeprefix(".")
    return f'numpy.load("{path}")' if kind == "npz" else f'pandas.read_{kind}("{path}")'


def held_by(path: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays that a file of this name holds: a table none of images, which is said."""
    if not path.endswith(TABLES):
        return dict(arrays)
    left_out = [name for name, each in arrays.items() if np.ndim(each) > 2]
    if left_out:
        console.say(f"left out, since only an npz holds more than a vector: {', '.join(left_out)}")
    return {name: each for name, each in arrays.items() if name not in left_out}


def write_result(path: str, columns: Mapping[str, Any], index: Any = None) -> None:
    """Write results: one array per example in each column, or of an npz arrays of any shape.

    Args:
      path: .csv, .parquet or .npz.
      columns: by name.
      index: of the rows; None: they are numbered.

    Raises:
      ValueError: a column that a table cannot hold.
      OSError: the output cannot be written.
    """
    if path.endswith(".npz"):
        with output_file(Path(path)) as file:
            np.savez(file, **{name: np.asarray(each) for name, each in columns.items()})
        return
    pandas = import_pandas()
    wide = {}
    for name, each in columns.items():
        if np.ndim(each) > 2:
            raise ValueError(
                f"--output={path}: {name!r} is an array of shape {np.shape(each)[1:]} per example, "
                "which no table holds: write an npz"
            )
        wide |= {name: each} if np.ndim(each) == 1 else _columns_of_array(name, each)
    table = pandas.DataFrame(wide, index=index)
    with output_file(Path(path)) as file:
        if path.endswith(".parquet"):
            table.to_parquet(file)
        else:
            table.to_csv(file, index=not isinstance(table.index, pandas.RangeIndex))


def _columns_of_array(name, array):
    return {f"{name}{i}": np.asarray(array)[:, i] for i in range(np.shape(array)[1])}
