"""Users' own arrays: reading them from an npz, and refusing what no model can use."""

from collections.abc import Mapping, Sequence
from typing import Any
import zipfile
import zlib

import numpy as np

from vae_jax.distributions import Masked


def read_npz(path: str, fields: Sequence[str] = ()) -> tuple[Any, Any, Any]:
    """Return (x, y, mask) of an npz: the arrays under these keys, None where y or mask is not.

    With `fields`, x is a dictionary of the arrays under these keys.

    Raises:
      ValueError: no such file, not an npz, or no such key.
    """
    unreadable = (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            columns = {key: arrays[key] for key in arrays.files}
    except unreadable as error:
        raise ValueError(f"cannot read {path!r} as an npz: {error}") from error
    for key in fields or ("x",):
        if key not in columns:
            raise ValueError(
                f"{path!r} has no key {key!r}; its keys: {', '.join(sorted(columns)) or 'none'}"
            )
    x = {key: columns[key] for key in fields} if fields else columns["x"]
    return x, columns.get("y"), columns.get("mask")


def check_array(x: np.ndarray, name: str, what: str = "'x'") -> np.ndarray:
    """Return an array of examples: uint8 stays as it is, other numbers become float32.

    Raises:
      ValueError: not an array of finite numbers; `name` and `what` say in the error which one.
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
        raise ValueError(
            f"{what} of {name} has {num_bad} values that are NaN or infinite: a key 'mask' (1 "
            "observed, 0 missing) leaves missing values out"
        )
    return x


def check_examples(x: Any, y: np.ndarray | None, name: str, mask: np.ndarray | None = None) -> Any:
    """Return (x, y) with x checked by `check_array`; x is Masked where there is a mask.

    Missing entries may hold anything, even NaN: they become 0.

    Raises:
      ValueError: x is not an array of finite numbers, fields or y differ in length, or the mask
        has another shape than x or other values than 0 and 1.
    """
    if isinstance(x, Mapping):
        if mask is not None:
            raise ValueError(f"{name} has a 'mask', which data of several fields cannot have")
        fields = {field: check_array(x[field], name, repr(field)) for field in x}
        lengths = {field: len(each) for field, each in fields.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the fields of {name} differ in length: {lengths}")
        checked = fields
    else:
        if mask is not None:
            x = np.where(_check_mask(mask, x.shape, name), x, np.zeros((), x.dtype))
        checked = check_array(x, name)
        lengths = {"x": len(checked)}
    count = next(iter(lengths.values()))
    if y is not None and (y.ndim == 0 or len(y) != count or y.dtype.kind not in "buif"):
        raise ValueError(
            f"'x' of {name} has {count} examples, but 'y' has shape {y.shape} and type {y.dtype}"
        )
    return (checked if mask is None else Masked(checked, mask.astype(np.uint8))), y


def _check_mask(mask, shape, name):
    if mask.shape != shape or not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"'mask' of {name} must have the shape of 'x', {shape}, and values 0 (missing) and 1; "
            f"got shape {mask.shape} of type {mask.dtype}"
        )
    return mask == 1
