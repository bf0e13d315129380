"""Users' own arrays: reading them from an npz, and refusing what no model can use."""

from collections.abc import Mapping, Sequence
import numbers
from pathlib import Path
from typing import Any, NamedTuple
import zipfile

import jax
import numpy as np

from vae_jax.datasets.making import SPLITS
from vae_jax.distributions import Masked


class Arrays(NamedTuple):
    """What a file of arrays holds, as `from_arrays` takes it."""

    x: Any
    """An array, or {field: array}."""
    y: Any = None
    mask: Any = None
    """An array, or {field: mask} of those fields that have one."""
    split: Any = None
    """The part that each example belongs to, one of SPLITS; None: the file does not say."""


def read_npz(path: str, fields: Sequence[str] = ()) -> Arrays:
    """Return the arrays of an npz under the keys x, y and mask; None where y or mask is not.

    With `fields`, x is a dictionary of the arrays under these keys, and their masks stand under
    mask_FIELD. Each key may be there in three parts instead: x_train, x_validation and x_test. A
    file of `scipy.sparse.save_npz` is x.

    Raises:
      ValueError: no such file, not an npz, damaged, no such key, or no array under it.
    """
    names = fields or ("x",)
    masks = {f"mask_{field}": field for field in fields} or {"mask": "x"}
    wanted = {*names, "y", *masks}
    try:
        with _open_npz(path) as file:
            if {"indptr", "shape", "format", "data"} <= set(file.files):
                return Arrays(_read_sparse(path))
            parted = [f"{key}_{part}" for key in wanted for part in SPLITS]
            has_parts = f"{names[0]}_train" in file.files and names[0] not in file.files
            keys = set(parted if has_parts else wanted)
            columns = {key: file[key] for key in file.files if key in keys}
            known = ", ".join(sorted(file.files)) or "none"
    except OSError as error:
        raise ValueError(f"cannot read {path!r} as an npz: {error}") from error
    # numpy and zipfile raise ten kinds of errors for files that are encrypted, damaged or lie.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"cannot read {path!r} as an npz of numbers: {reason}; np.savez(path, x=...) writes one"
        ) from error
    for key, array in columns.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key!r} of {path!r} is no array: write it by np.savez")
    split = None
    if has_parts:
        columns, split = _join_parts(
            columns, wanted, names, f"{path!r} has no key %r; its keys: {known}"
        )
    for key in names:
        if key not in columns:
            raise ValueError(f"{path!r} has no key {key!r}; its keys: {known}")
    masks = {field: columns[key] for key, field in masks.items() if key in columns}
    mask = (masks or None) if fields else masks.get("x")
    x = {key: columns[key] for key in fields} if fields else columns["x"]
    return Arrays(x, columns.get("y"), mask, split)


def _join_parts(columns, wanted, names, message):
    # Each key's three parts one after the other, and which part each example belongs to.
    joined, lengths = {}, {}
    for key in wanted:
        parts = [f"{key}_{part}" for part in SPLITS]
        if key not in names and not any(part in columns for part in parts):
            continue
        for part in parts:
            if part not in columns:
                raise ValueError(message % part)
        try:
            joined[key] = np.concatenate([columns[part] for part in parts])
        except ValueError as error:
            raise ValueError(f"{', '.join(parts)} do not go together: {error}") from None
        lengths[key] = [len(columns[part]) for part in parts]
    if any(length != lengths[names[0]] for length in lengths.values()):
        raise ValueError(f"the parts {', '.join(SPLITS)} differ in length: {lengths}")
    return joined, np.repeat(SPLITS, lengths[names[0]])


def _read_sparse(path):
    import scipy.sparse  # takes 0.1 s: imported where it is used

    return scipy.sparse.load_npz(path)


def _open_npz(path):
    # What is no regular file might wait for ever, and what is no zip numpy takes for a pickle.
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip of arrays")
    return np.load(path, allow_pickle=False)


def check_array(
    x: np.ndarray,
    name: str,
    what: str = "'x'",
    remedy: str = ": NaN stands for a missing value, and a key 'mask' (1 observed, 0 missing) too",
    precision: Any = np.float32,
) -> np.ndarray:
    """Return an array of examples: uint8 stays as it is, other numbers become `precision`.

    Raises:
      ValueError: not an array of finite numbers; `name` and `what` say in the error which one,
        `remedy` what to do about values that are not finite.
    """
    if x.ndim == 0 or x.size == 0 or x.dtype.kind not in "buif":
        raise ValueError(
            f"{what} of {name} must be numbers with examples along the first axis, got shape "
            f"{x.shape} of type {x.dtype}"
        )
    with np.errstate(over="ignore"):  # what overflows a float32 is refused as infinite below
        x = x if x.dtype == np.uint8 else x.astype(precision)
    num_bad = x.size - np.count_nonzero(np.isfinite(x))
    if num_bad:
        raise ValueError(f"{what} of {name} has {num_bad} values that are NaN or infinite{remedy}")
    return x


def as_array(given: Any, what: str) -> np.ndarray:
    """Return an array, nested lists, a table of numbers or a sparse matrix as a numpy array.

    None is NaN, a missing value. The values of a sparse matrix, which are counts, become floats.

    Raises:
      ValueError: lists of different lengths, or text in a table; `what` says in the error whose.
    """
    try:
        if hasattr(given, "toarray"):  # scipy.sparse
            return given.toarray().astype(np.float32)
        if hasattr(given, "columns"):  # a DataFrame
            return given.to_numpy(dtype=np.float64, na_value=np.nan)
        array = np.asarray(jax.device_get(given))
        is_number = array.dtype == object and all(
            each is None or isinstance(each, numbers.Real) for each in array.flat
        )
        return array.astype(np.float64) if is_number else array
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is no array: {' '.join(str(error).split())}") from error


def check_examples(
    x: Any, y: Any, name: str, mask: Any = None, precision: Any = np.float32
) -> tuple[Any, Any]:
    """Return (x, y) with x checked by `check_array`; an array with missing entries is Masked.

    Entries are missing where the mask is 0 or they are NaN. What stands in them becomes 0.

    Args:
      x: an array (or what `as_array` makes one of), or {field: array}.
      y: a label or condition per example, or None.
      name: says in an error whose they are.
      mask: 1 observed and 0 missing, in the shape of x, or {field: mask} of some fields, or None.
      precision: the type of x where it is not uint8.

    Raises:
      ValueError: x is not an array of finite numbers, fields or y differ in length, or a mask has
        another shape than x, other values than 0 and 1 or no field of its own.
    """
    is_plain = not isinstance(x, Mapping)
    arrays, masks = ({"x": x}, {"x": mask}) if is_plain else (x, {} if mask is None else mask)
    if not arrays:
        raise ValueError(f"{name} has no fields")
    if not isinstance(masks, Mapping) or not set(masks) <= set(arrays):
        raise ValueError(f"the masks of {name} must be by field, of {', '.join(arrays)}")
    checked = {
        field: _observed(array, masks.get(field), name, repr(field), precision)
        for field, array in arrays.items()
    }
    lengths = {field: len(jax.tree.leaves(each)[0]) for field, each in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the fields of {name} differ in length: {lengths}")
    if y is not None:
        y = check_condition(y, next(iter(lengths.values())), name)
    return (checked["x"] if is_plain else checked), y


def _observed(x, mask, name, what, precision):
    # The array, or Masked where some entries are missing.
    x = as_array(x, f"{what} of {name}")
    if mask is not None:
        mask = _check_mask(as_array(mask, f"'mask' of {name}"), x.shape, name, what)
    is_missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros((), bool)
    if is_missing.any():
        mask = ~is_missing if mask is None else mask & ~is_missing
    if mask is None:
        return check_array(x, name, what, precision=precision)
    values = check_array(np.where(mask, x, np.zeros((), x.dtype)), name, what, precision=precision)
    return Masked(values, mask.astype(np.uint8))


def check_condition(y: Any, count: int, name: str) -> np.ndarray:
    """Return y, a label or an array per example.

    Raises:
      ValueError: another number of examples, or no finite numbers; `name` says in the error whose.
    """
    y = as_array(y, f"'y' of {name}")
    if y.ndim == 0 or y.size == 0 or len(y) != count or y.dtype.kind not in "buif":
        raise ValueError(
            f"'x' of {name} has {count} examples, but 'y' has shape {y.shape} and type {y.dtype}"
        )
    if y.dtype.kind == "b":
        return y.astype(np.uint8)
    if y.dtype.kind == "f":
        return check_array(y, name, "'y'", "")
    least, most = int(y.min()), int(y.max())
    if not -(2**31) <= least <= most < 2**31:  # jax would keep their lower 32 bits
        raise ValueError(
            f"'y' of {name} must be integers of 32 bits (labels 0, 1, ...), got {least} .. {most}"
        )
    return y


def _check_mask(mask, shape, name, what):
    if mask.shape != shape or not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"'mask' of {name} must have the shape of {what}, {shape}, and values 0 (missing) and "
            f"1; got shape {mask.shape} of type {mask.dtype}"
        )
    return mask == 1
