"""Between what a user hands in, in the data's own units, and the examples of a data set."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.datasets.data import Dataset, Examples, Values
from vae_jax.datasets.npz_arrays import check_examples
from vae_jax.distributions import Masked


def examples_from(outline: Dataset, given: Any, y: Any = None, name: str = "x") -> Examples:
    """Return what a user hands in as examples in the form in which a data set stores its own.

    Args:
      outline: the data set, or its outline: no example of it is read.
      given: one array (or nested lists) with examples along the first axis, or {field: array}; NaN
        where a value is missing, or Masked(values, mask).
      y: a label or condition per example, or None.
      name: says in an error whose examples they are.

    Raises:
      ValueError: other fields or shapes than those of the data set, values that cannot be its own,
        missing values where it has none, or what `check_examples` raises.
    """
    x, mask = _with_mask(outline, given, name)
    examples = Examples(*check_examples(x, y, name, mask))
    arrays = examples.x.values if isinstance(examples.x, Masked) else examples.x
    for field, values in outline.fields.items():
        array = arrays if outline.is_plain else arrays[field]
        _check_values(array, values, f"{field!r} of {name}", outline.protocol)
    return examples


def to_user(outline: Dataset, values: Any) -> Any:
    """Return values as the model sees them, such as means of p(x|z), in the data's own units.

    Args:
      outline: the data set, or its outline.
      values: an array with examples along the first axis, or {field: array}; of Masked(values,
        mask) missing entries become NaN.

    Returns:
      A numpy array, x times the stored value that stands for 1, or {field: such an array}.
    """
    if isinstance(values, Masked):
        values = np.where(np.asarray(values.mask) != 0, values.values, np.nan)
    if outline.is_plain:
        return np.asarray(values) * outline.values.maximum
    return {name: np.asarray(values[name]) * each.maximum for name, each in outline.fields.items()}


def _with_mask(outline, given, name):
    # (arrays, mask or None), in the form that `check_examples` takes.
    if outline.is_plain == isinstance(given, Mapping):
        known = "one array" if outline.is_plain else f"fields {', '.join(outline.fields)}"
        got = f"fields {', '.join(given)}" if isinstance(given, Mapping) else "one array"
        raise ValueError(f"{name} must be {known}, as the model was trained on; got {got}")
    if isinstance(given, Mapping):
        if set(given) != set(outline.fields):
            known = ", ".join(outline.fields)
            raise ValueError(f"{name} must have the fields {known}; got {', '.join(given)}")
        return {field: _as_array(given[field], f"{field!r} of {name}") for field in given}, None
    x, mask = given if isinstance(given, Masked) else (given, None)
    x = _as_array(x, name)
    has_missing = x.dtype.kind == "f" and bool(np.isnan(x).any())
    if not isinstance(outline.train.x, Masked):
        if mask is not None or has_missing:
            what = "has a 'mask'" if mask is not None else "has values that are NaN"
            raise ValueError(f"{name} {what}, but the model was trained on whole examples")
        return x, None
    mask = np.ones(x.shape, np.uint8) if mask is None else np.asarray(mask)
    return x, np.where(np.isnan(x), 0, mask) if has_missing else mask


def _as_array(given, name):
    try:
        return np.asarray(jax.device_get(given))
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name} is no array: {' '.join(str(error).split())}") from error


def _check_values(x: np.ndarray, values: Values, name: str, protocol: str) -> None:
    # What no likelihood of these data could take: another shape, or grey values for bits.
    if x.shape[1:] != values.shape:
        raise ValueError(
            f"{name} has examples of shape {x.shape[1:]}, but those of the model have shape "
            f"{values.shape} ({protocol})"
        )
    maximum = values.maximum
    if values.binarization == "dynamic" and not 0 <= x.min() <= x.max() <= maximum:
        what = f"values in 0 .. {maximum:g}"
    elif values.binarization == "static" and not np.all((x == 0) | (x == maximum)):
        what = f"bits, stored as 0 and {maximum:g}"
    else:
        return
    raise ValueError(
        f"{name} has values in {x.min():g} .. {x.max():g}, but the model was trained on {what} "
        f"({protocol})"
    )
