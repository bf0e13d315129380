"""Which examples a trained model can be given: those like the ones that it was trained on."""

from collections.abc import Iterator
from typing import Any

from jaxtyping import Shaped
import numpy as np

from vae_jax.distributions import Masked
from vae_jax.lookup import look_up, pick
from vae_jax.models.likelihoods import LIKELIHOODS
from vae_jax.models.vae import VAE


def check_fits(
    vae: VAE, dataset: Any, examples: Any, name: str, may_be_missing: bool = False
) -> None:
    """Refuse examples of another shape or in other units than the model's, or without its y.

    Of a table, `datasets.examples_from` has checked the columns.

    Args:
      vae: the model.
      dataset: the `datasets.Dataset` that it was trained on, or its outline.
      examples: `datasets.Examples` as that data set stores them.
      name: says in an error whose they are.
      may_be_missing: whether y, or some of it (-1), may be missing.

    Raises:
      ValueError: with what was given and what is expected.
    """
    for field, values in dataset.fields.items() if dataset.columns is None else ():
        likelihood = pick(vae.arguments["likelihood"], field)
        kind = look_up(LIKELIHOODS, likelihood, "likelihood").values
        array = _array_of(dataset, examples.x, field)
        check_array_fits(array, values, kind, f"{field!r} of {name}", dataset.protocol)
    if vae.condition is not None and dataset.given is None:
        check_condition(examples.y, vae.condition, name, may_be_missing)


def _array_of(dataset, x, field):
    # Its stored values; a missing one is the least of the training.
    x = x if dataset.is_plain else x[field]
    if not isinstance(x, Masked):
        return x
    values = dataset.fields[field]
    return np.where(np.asarray(x.mask) != 0, x.values, values.maximum * values.value_range[0])


def check_condition(
    y: Shaped[np.ndarray, "examples *shape"] | None,
    condition: Any,
    name: str,
    may_be_missing: bool = False,
) -> None:
    """Refuse a y that is missing (None, or the label -1), out of range or of another shape.

    Args:
      y: labels or conditions.
      condition: what y is, as `VAE` says.
      name: says in an error whose it is.
      may_be_missing: whether it may be.

    Raises:
      ValueError: with what is expected.
    """
    if y is None:
        if may_be_missing:
            return
        raise ValueError(f"{name} has no 'y', which the model is given")
    if isinstance(condition, int):
        least = -1 if may_be_missing else 0
        if y.ndim != 1 or y.dtype.kind not in "ui" or y.min() < least or y.max() >= condition:
            missing = " (or -1, missing)" if may_be_missing else ""
            raise ValueError(
                f"'y' of {name} must be integers 0 .. {condition - 1}{missing}, one per example; "
                f"got shape {y.shape} of type {y.dtype} in {y.min()} .. {y.max()}"
            )
    elif y.shape[1:] != tuple(condition):
        raise ValueError(f"'y' of {name} has shape {y.shape[1:]} per example, not {condition}")


def check_array_fits(
    x: Shaped[np.ndarray, "examples *shape"], values: Any, kind: str, name: str, protocol: str
) -> None:
    """Refuse an array of another shape, or in other units, than that of the training data.

    Args:
      x: the array.
      values: those of the training data.
      kind: what the likelihood is a density of, a key of `models.VALUES`.
      name: says whose array it is.
      protocol: that of the training data.

    Raises:
      ValueError: with what was given and what is expected.
    """
    if x.shape[1:] != tuple(values.shape):
        raise ValueError(
            f"{name} has examples of shape {x.shape[1:]}, but those of the model have shape "
            f"{values.shape} ({protocol})"
        )
    low, high, maximum = x.min(), x.max(), values.maximum
    is_within, is_integer = 0 <= low <= high <= maximum, bool(np.all(x == np.round(x)))
    kind = "unit" if values.binarization == "dynamic" else kind
    fits, units = {
        "bits": (np.all((x == 0) | (x == maximum)), f"bits, stored as 0 and {maximum:g}"),
        "unit": (is_within, f"values in 0 .. {maximum:g}"),
        "levels": (is_within and is_integer, f"integers 0 .. {maximum:g}"),
        "counts": (low >= 0 and is_integer, "integers >= 0"),
        "real": (True, f"values in units of which {maximum:g} stands for 1"),
    }[kind]
    # Values in 0 .. 1, where the model divides by 255: nobody has so dark images, but many divide.
    if not fits or 0 < high <= 1 < maximum:
        raise ValueError(
            f"{name} has values in {low:g} .. {high:g}, but the model was trained on {units} "
            f"({protocol})"
        )


def far_from_training(dataset: Any, examples: Any, name: str) -> Iterator[str]:
    """Yield a line on each array whose values lie far outside of those of the training data.

    Args:
      dataset: the `datasets.Dataset` of the training, or its outline.
      examples: `datasets.Examples` as that data set stores them.
      name: says whose they are.
    """
    for field, values in dataset.fields.items() if dataset.columns is None else ():
        x = _array_of(dataset, examples.x, field)
        low, high = (values.maximum * end for end in values.value_range)
        margin, units = 2 * (high - low), " (standardized)" if values.units else ""
        if x.min() < low - margin or x.max() > high + margin:
            yield (
                f"{field!r} of {name} has values in {x.min():g} .. {x.max():g}{units}, but the "
                f"model was trained on {low:g} .. {high:g}, which codes and bounds hold for: scale "
                "them as the training data"
            )
