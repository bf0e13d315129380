"""The outline of a data set: what a trained model needs of it, without any example."""

import json

import jax
import numpy as np
import pytest

from tests.datasets.files import write_npz
from vae_jax import datasets

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (40, 4, 3)).astype(np.uint8)


def npz(folder, kind):
    """Return a table with labels, a mask, an array y, or fields."""
    arrays = {
        "labels": {"x": X, "y": RNG.integers(2, 7, 40)},
        "mask": {"x": X, "mask": RNG.integers(0, 2, X.shape)},
        "array": {"x": X / 255.0, "y": RNG.normal(size=(40, 2))},
        "fields": {"a": X, "b": RNG.normal(size=(40, 5))},
        "masks": {"a": X, "b": RNG.normal(size=(40, 5)), "mask_b": RNG.integers(0, 2, (40, 5))},
        "standardized": {"x": RNG.normal(size=(40, 2, 3))},
    }[kind]
    fields = ("a", "b") if kind in ("fields", "masks") else ()
    path = write_npz(folder / "x.npz", **arrays)
    standardize = kind == "standardized"
    return datasets.load_dataset("npz", path=path, fields=fields, standardize=standardize)


MAKERS = {
    "digits": lambda folder: datasets.load_dataset("digits"),
    "bits": lambda folder: datasets.load_dataset("digits", binarization="dynamic"),
    "halves": lambda folder: datasets.load_dataset("digit_halves"),
    "few labels": lambda folder: datasets.load_dataset("digits", num_labels=100),
    "quadrants": lambda folder: datasets.load_dataset("digits", given_quadrants=3),
    **{kind: lambda folder, kind=kind: npz(folder, kind=kind) for kind in ("labels", "mask")},
    **{kind: lambda folder, kind=kind: npz(folder, kind=kind) for kind in ("array", "fields")},
    **{
        kind: lambda folder, kind=kind: npz(folder, kind=kind) for kind in ("masks", "standardized")
    },
}


@pytest.mark.parametrize("name", MAKERS)
def test_an_outline_says_all_but_the_values(name, tmp_path):
    """Written as JSON and read again. Mutants: a field of one array taken for the array itself, a
    label for an array, a mask that is left out, `given` without its last bits."""
    data = MAKERS[name](tmp_path)
    text = json.dumps(datasets.outline_of(data))
    again = datasets.from_outline(json.loads(text))
    assert len(text) < 1500
    for statement in (
        "name",
        "values",
        "labels",
        "num_labels",
        "condition",
        "masked",
        "is_plain",
        "protocol",
    ):
        assert getattr(again, statement) == getattr(data, statement), statement
    np.testing.assert_array_equal(again.given, data.given)
    shapes = [
        jax.tree.map(lambda leaf: leaf.shape, (each.train, each.validation, each.test))
        for each in (data, again)
    ]
    assert shapes[0] == shapes[1]


def test_labels_are_counted_in_all_parts(tmp_path):
    """Oracle: numpy on the whole array."""
    y = np.array([3] * 39 + [8])
    for seed in range(3):
        path = write_npz(tmp_path / "x.npz", x=X, y=y)
        assert datasets.load_dataset("npz", path=path, seed=seed).labels == (3, 8)
