"""The outline of a data set: all of it but its arrays, which is what a trained model needs."""

from collections.abc import Mapping
import math
from typing import Any

import jax
import numpy as np

from vae_jax.datasets.data import Dataset, Examples, Factor, Values, num_examples
from vae_jax.distributions import Masked


def outline_of(dataset: Dataset) -> dict[str, Any]:
    """Return what JSON can hold of a data set, to be kept beside a model: no example is in it."""
    (x, y), given = dataset.train, dataset.given
    return {
        "name": dataset.name,
        "sizes": [num_examples(part) for part in (dataset.train, dataset.validation, dataset.test)],
        "fields": None if dataset.is_plain else list(dataset.values),
        "values": [values._asdict() for values in dataset.fields.values()],
        "mask": x.mask.shape[1:] if isinstance(x, Masked) else None,
        "y": None if y is None else y.shape[1:],
        "labels": dataset.labels,
        "num_labels": dataset.num_labels,
        "factors": dataset.factors,
        "given": None if given is None else np.packbits(given > 0).tobytes().hex(),
    }


def from_outline(outline: Mapping[str, Any]) -> Dataset:
    """Return the data set of an outline; its arrays are `jax.ShapeDtypeStruct`, without values."""
    fields, given = outline["fields"], outline["given"]
    values = [_values(each) for each in outline["values"]]

    def by_field(each):
        return each[0] if fields is None else dict(zip(fields, each, strict=True))

    def array(count, name, kind=np.float32):
        shape = outline[name]
        return None if shape is None else jax.ShapeDtypeStruct((count, *shape), kind)

    def examples(count):
        xs = [_stored(count, each) for each in values]
        x, mask = by_field(xs), array(count, "mask")
        y = array(count, "y", np.float32 if outline["labels"] is None else np.int32)
        return Examples(x if mask is None else Masked(x, mask), y)

    dataset = Dataset(
        outline["name"],
        *(examples(count) for count in outline["sizes"]),
        by_field(values),
        labels=outline["labels"] and tuple(outline["labels"]),
        num_labels=outline.get("num_labels"),
        factors=_factors(outline.get("factors")),
    )
    if given is None:
        return dataset
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(given), np.uint8))
    size = math.prod(dataset.shape)
    return dataset._replace(given=bits[:size].reshape(dataset.shape).astype(np.float32))


def _stored(count, values):
    if values.rendering:
        return jax.ShapeDtypeStruct((count,), np.int32)
    return jax.ShapeDtypeStruct((count, *values.shape), np.float32)


def _factors(entries):
    return entries and tuple(Factor(*each) for each in entries)


def _values(entries):
    lists = {name: tuple(entries[name]) for name in ("shape", "value_range")}
    return Values(**(entries | lists))
