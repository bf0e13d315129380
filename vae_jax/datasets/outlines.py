"""The outline of a data set: all of it but its arrays, which is what a trained model needs."""

from collections.abc import Mapping
import math
from typing import Any

import jax
import numpy as np

from vae_jax.datasets.data import Column, Dataset, Examples, Factor, Units, Values, num_examples
from vae_jax.distributions import Masked


def outline_of(dataset: Dataset) -> dict[str, Any]:
    """Return what JSON can hold of a data set, to be kept beside a model: no example is in it."""
    (x, y), given = dataset.train, dataset.given
    return {
        "name": dataset.name,
        "sizes": [num_examples(part) for part in (dataset.train, dataset.validation, dataset.test)],
        "fields": None if dataset.is_plain else list(dataset.values),
        "values": [values._asdict() for values in dataset.fields.values()],
        "mask": _mask_shape(x) if dataset.is_plain else [_mask_shape(x[f]) for f in dataset.values],
        "y": None if y is None else y.shape[1:],
        "labels": dataset.labels,
        "num_labels": dataset.num_labels,
        "factors": dataset.factors,
        "columns": dataset.columns,
        "given": None if given is None else np.packbits(given > 0).tobytes().hex(),
    }


def from_outline(outline: Mapping[str, Any]) -> Dataset:
    """Return the data set of an outline; its arrays are `jax.ShapeDtypeStruct`, without values."""
    fields, given = outline["fields"], outline["given"]
    values = [_values(each) for each in outline["values"]]

    def by_field(each):
        return each[0] if fields is None else dict(zip(fields, each, strict=True))

    def examples(count):
        masks = [outline["mask"]] if fields is None else outline["mask"]
        xs = [_stored(count, *each) for each in zip(values, masks, strict=True)]
        kind = np.float32 if outline["labels"] is None else np.int32
        y = None if outline["y"] is None else jax.ShapeDtypeStruct((count, *outline["y"]), kind)
        return Examples(by_field(xs), y)

    dataset = Dataset(
        outline["name"],
        *(examples(count) for count in outline["sizes"]),
        by_field(values),
        labels=outline["labels"] and tuple(outline["labels"]),
        num_labels=outline.get("num_labels"),
        factors=_factors(outline.get("factors")),
        columns=_columns(outline.get("columns")),
    )
    if given is None:
        return dataset
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(given), np.uint8))
    size = math.prod(dataset.shape)
    return dataset._replace(given=bits[:size].reshape(dataset.shape).astype(np.float32))


def with_images(dataset: Dataset) -> Dataset:
    """Return the outline of a rendered set with its images stored, in the place of their indices.

    Of other sets, return the data set itself.
    """
    if not dataset.is_rendered:
        return dataset
    images = dataset._replace(values=dataset.values._replace(rendering=""))
    return from_outline(outline_of(images))


def _mask_shape(x):
    return x.mask.shape[1:] if isinstance(x, Masked) else None


def _stored(count, values, mask):
    if values.rendering:
        return jax.ShapeDtypeStruct((count,), np.int32)
    x = jax.ShapeDtypeStruct((count, *values.shape), np.float32)
    return x if mask is None else Masked(x, jax.ShapeDtypeStruct((count, *mask), np.float32))


def _factors(entries):
    return entries and tuple(Factor(*each) for each in entries)


def _columns(entries):
    return entries and tuple(
        Column(name, kind, tuple(categories)) for name, kind, categories in entries
    )


def _values(entries):
    lists = {name: tuple(entries[name]) for name in ("shape", "value_range", "classes")}
    units = entries["units"]
    if units is not None:
        location, scale, is_log = units
        lists["units"] = Units(tuple(location), tuple(scale), is_log)
    return Values(**(entries | lists))
