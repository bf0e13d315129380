"""A model for a data set, with the shape, number of levels and condition of its data."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np

from vae_jax.lookup import pick
from vae_jax.models.likelihoods import LIKELIHOODS, check_likelihood
from vae_jax.models.vae import VAE, make_vae


def make_vae_for(
    dataset: Any,
    *,
    likelihood: str | Mapping[str, str] = "",
    conditional: bool = False,
    **options: Any,
) -> VAE:
    """Make a VAE that fits a data set.

    Args:
      dataset: a `datasets.Dataset`.
      likelihood: a row of LIKELIHOODS, or {field: row}; "" for the data set's own.
      conditional: whether the model is given y: p(x|z,y), q(z|x,y), p(z|y).
      **options: further arguments of `make_vae`.

    Raises:
      ValueError: a likelihood that is not a density of the data, a condition that they do not have,
      or
        what `make_vae` raises.
    """
    return make_vae(
        dataset.shape,
        likelihood=choose_likelihood(dataset, likelihood),
        num_levels=dataset.by_field("num_levels"),
        condition=choose_condition(dataset) if conditional else None,
        masked=dataset.is_masked,
        **options,
    )


def choose_likelihood(
    dataset: Any, likelihood: str | Mapping[str, str] = ""
) -> str | dict[str, str]:
    """Return the likelihood of each field of the data: the given one, or else its own.

    Raises:
      ValueError: other fields than those of the data, or a likelihood that is not a density of
      their
        values.
    """
    if isinstance(likelihood, Mapping) and set(likelihood) != set(dataset.fields):
        raise ValueError(
            f"likelihood must name the fields of the data, {', '.join(dataset.fields)}; got "
            f"{', '.join(likelihood)}"
        )
    names = {}
    for field, values in dataset.fields.items():
        names[field] = pick(likelihood, field) or values.likelihood
        low, high = values.value_range
        what = f"{dataset.protocol} ({field}: values {low:g} .. {high:g})"
        check_likelihood(names[field], values.kinds, what)
    return names["x"] if dataset.is_plain else names


def choose_condition(dataset: Any) -> int | tuple[int, ...]:
    """Return what y is: the number of classes of a label, or the shape of an array.

    Raises:
      ValueError: the data have no y, or labels below zero.
    """
    condition = dataset.condition
    if condition is None:
        raise ValueError(
            f"conditional=True needs y, which {dataset.name} has not: give labels under key 'y', "
            "or parts of the image by given_quadrants=1"
        )
    if isinstance(condition, int):
        lowest = min(part.y.min() for part in (dataset.train, dataset.validation, dataset.test))
        if lowest < 0:
            raise ValueError(f"'y' of {dataset.name} must be labels 0, 1, ..., got {lowest}")
    return condition


def count_bits_dimensions(dataset: Any, likelihood: str | Mapping[str, str]) -> int:
    """Return the number of values of x, or 0 where log p(x|z) is not a log-probability of all."""
    chosen = [LIKELIHOODS[pick(likelihood, field)] for field in dataset.fields]
    if not all(row.is_discrete for row in chosen):
        return 0
    if dataset.given is not None:
        return int(np.sum(dataset.given == 0))
    if dataset.is_masked:
        return 0
    return sum(math.prod(values.shape) for values in dataset.fields.values())
