"""Between what a user hands in, in the data's own units, and the examples of a data set."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.datasets.data import Dataset, Examples, Values
from vae_jax.datasets.making import observed_values
from vae_jax.datasets.npz_arrays import as_array, check_condition, check_examples
from vae_jax.datasets.table import fields_from_table, table_from_fields
from vae_jax.distributions import Masked


def examples_from(
    outline: Dataset, given: Any, y: Any = None, name: str = "x", mask: Any = None
) -> Examples:
    """Return what a user hands in as examples in the form in which a data set stores its own.

    Args:
      outline: the data set, or its outline: no example of it is read.
      given: numbers with examples along the first axis (an array, nested lists, a sparse matrix),
        or {field: such numbers}; NaN where a value is missing, or Masked(values, mask). Of a table:
        a DataFrame, or {column: cells}.
      y: a label or condition per example, or None.
      name: says in an error whose examples they are.
      mask: as `from_arrays` takes it, or None.

    Raises:
      ValueError: other fields, columns or shapes than those of the data set, values that cannot be
        its own, missing values where it has none, or what `check_examples` raises.
    """
    if outline.columns is not None:
        x = fields_from_table(outline, given, name)
        count = len(next(iter(x.values())).mask)
        y = None if y is None else check_condition(y, count, name)
        return Examples(_in_stored_units(outline, x), y)
    x, mask = _by_field(outline, given, mask, name)
    is_standardized = any(values.units for values in outline.fields.values())
    x, y = check_examples(x, y, name, mask, np.float64 if is_standardized else np.float32)
    for field, values in outline.fields.items():
        x[field] = _with_mask_of(x[field], outline, field, f"{field!r} of {name}")
        _check_values(x[field], values, f"{field!r} of {name}", outline.protocol)
    x = _in_stored_units(outline, x)
    return Examples(x["x"] if outline.is_plain else x, y)


def to_user(outline: Dataset, values: Any) -> Any:
    """Return values as the model sees them, such as means of p(x|z), in the data's own units.

    The mean of a standardized logarithm becomes the median of x.

    Args:
      outline: the data set, or its outline.
      values: an array with examples along the first axis, or {field: array}; of Masked(values,
        mask) missing entries become NaN.

    Returns:
      A numpy array, or {field: such an array}; of a table a DataFrame (without pandas {column:
      cells}), in which bits are probabilities and a category is the most probable one.
    """
    x = unstandardize(outline, values)
    if outline.columns is not None:
        return table_from_fields(outline, x)
    if outline.is_plain:
        return x * outline.values.maximum
    return {name: x[name] * each.maximum for name, each in outline.fields.items()}


def unstandardize(outline: Dataset, values: Any) -> Any:
    """Return values as the model sees them, with those that are standardized in their own units.

    Missing entries of Masked(values, mask) become NaN.
    """
    by_field = {"x": values} if outline.is_plain else values
    x = {name: _to_units(each, by_field[name]) for name, each in outline.fields.items()}
    return x["x"] if outline.is_plain else x


def _to_units(description, values):
    if isinstance(values, Masked):
        values = np.where(np.asarray(values.mask) != 0, values.values, np.nan)
    units = description.units
    if units is None:
        return np.asarray(values)
    location, scale = _ends(description)
    x = location + scale * np.asarray(values, np.float64)
    return np.exp(x) if units.is_log else x


def _ends(description):
    units = description.units
    return (np.reshape(each, description.shape) for each in (units.location, units.scale))


def _in_stored_units(outline, x):
    stored = {name: _standardized(values, x[name]) for name, values in outline.fields.items()}
    for name, each in stored.items():
        if not np.isfinite(jax.tree.leaves(each)[0]).all():
            raise ValueError(f"{name!r} has values far beyond those the model was trained on")
    return stored


def _standardized(description, x):
    if isinstance(x, Masked):
        return Masked(np.where(x.mask, _standardized(description, x.values), 0), x.mask)
    if description.units is None:
        return x if x.dtype == np.uint8 else x.astype(np.float32)
    location, scale = _ends(description)
    with np.errstate(divide="ignore", over="ignore"):  # missing values are 0
        x = np.log(x) if description.units.is_log else x
        return ((x - location) / scale).astype(np.float32)


def _by_field(outline, given, mask, name):
    # ({field: numbers}, {field: mask}), in the form that `check_examples` takes.
    if outline.is_plain == isinstance(given, Mapping):
        known = "one array" if outline.is_plain else f"fields {', '.join(outline.fields)}"
        got = f"fields {', '.join(given)}" if isinstance(given, Mapping) else "one array"
        raise ValueError(f"{name} must be {known}, as the model was trained on; got {got}")
    if outline.is_plain:
        given, mask = {"x": given}, {"x": mask}
    elif set(given) != set(outline.fields):
        known = ", ".join(outline.fields)
        raise ValueError(f"{name} must have the fields {known}; got {', '.join(given)}")
    masks = {} if mask is None else {key: each for key, each in mask.items() if each is not None}
    arrays = {}
    for field, each in given.items():
        if isinstance(each, Masked):
            each, masks[field] = each
        arrays[field] = as_array(each, name if outline.is_plain else f"{field!r} of {name}")
    return arrays, masks


def _with_mask_of(x, outline, field, name):
    # Masked where the data set is, and not where it is not.
    stored = outline.train.x if outline.is_plain else outline.train.x[field]
    if isinstance(stored, Masked) == isinstance(x, Masked):
        return x
    if isinstance(x, Masked):
        raise ValueError(f"{name} has missing values, but the model was trained on whole examples")
    return Masked(x, np.ones(x.shape, np.uint8))


def _check_values(x: Any, values: Values, name: str, protocol: str) -> None:
    # What no likelihood of these data could take: another shape, or grey values for bits.
    shape, x = jax.tree.leaves(x)[0].shape[1:], observed_values(x)
    if shape != values.shape:
        raise ValueError(
            f"{name} has examples of shape {shape}, but those of the model have shape "
            f"{values.shape} ({protocol})"
        )
    maximum = values.maximum
    if not x.size:
        return
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
