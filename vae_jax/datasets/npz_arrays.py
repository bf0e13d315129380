"""Users' own arrays: reading them from an npz, and refusing what no model can use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
import zipfile

import numpy as np

from vae_jax.distributions import Masked


def read_npz(path: str, fields: Sequence[str] = ()) -> tuple[Any, Any, Any]:
    """Return (x, y, mask) of an npz: the arrays under these keys, None where y or mask is not.

    With `fields`, x is a dictionary of the arrays under these keys.

    Raises:
      ValueError: no such file, not an npz, damaged, no such key, or no array under it.
    """
    try:
        with _open_npz(path) as arrays:
            keys = {*(fields or ("x",)), "y", "mask"}
            columns = {key: arrays[key] for key in arrays.files if key in keys}
            known = ", ".join(sorted(arrays.files)) or "none"
    except OSError as error:
        raise ValueError(f"cannot read {path!r} as an npz: {error}") from error
    # numpy and zipfile raise ten kinds of errors for files that are encrypted, damaged or lie.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"cannot read {path!r} as an npz of numbers: {reason}; np.savez(path, x=...) writes one"
        ) from error
    for key in fields or ("x",):
        if key not in columns:
            raise ValueError(f"{path!r} has no key {key!r}; its keys: {known}")
    for key, array in columns.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key!r} of {path!r} is no array: write it by np.savez")
    x = {key: columns[key] for key in fields} if fields else columns["x"]
    return x, columns.get("y"), columns.get("mask")


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
    remedy: str = ": a key 'mask' (1 observed, 0 missing) leaves missing values out",
) -> np.ndarray:
    """Return an array of examples: uint8 stays as it is, other numbers become float32.

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
        x = x if x.dtype == np.uint8 else x.astype(np.float32)
    num_bad = x.size - np.count_nonzero(np.isfinite(x))
    if num_bad:
        raise ValueError(f"{what} of {name} has {num_bad} values that are NaN or infinite{remedy}")
    return x


def check_examples(x: Any, y: np.ndarray | None, name: str, mask: np.ndarray | None = None) -> Any:
    """Return (x, y) with x checked by `check_array`; x is Masked where there is a mask.

    Missing entries may hold anything, even NaN: they become 0.

    Raises:
      ValueError: x is not an array of finite numbers, fields or y differ in length, or the mask
        has another shape than x or other values than 0 and 1.
    """
    y, mask = (None if each is None else np.asarray(each) for each in (y, mask))
    if isinstance(x, Mapping):
        if not x:
            raise ValueError(f"{name} has no fields")
        if mask is not None:
            raise ValueError(f"{name} has a 'mask', which data of several fields cannot have")
        fields = {field: check_array(np.asarray(x[field]), name, repr(field)) for field in x}
        lengths = {field: len(each) for field, each in fields.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the fields of {name} differ in length: {lengths}")
        checked = fields
    else:
        x = np.asarray(x)
        if mask is not None:
            x = np.where(_check_mask(mask, x.shape, name), x, np.zeros((), x.dtype))
        checked = check_array(x, name)
        lengths = {"x": len(checked)}
    count = next(iter(lengths.values()))
    if y is not None:
        y = _check_condition(y, count, name)
    return (checked if mask is None else Masked(checked, mask.astype(np.uint8))), y


def _check_condition(y, count, name):
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


def _check_mask(mask, shape, name):
    if mask.shape != shape or not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"'mask' of {name} must have the shape of 'x', {shape}, and values 0 (missing) and 1; "
            f"got shape {mask.shape} of type {mask.dtype}"
        )
    return mask == 1
