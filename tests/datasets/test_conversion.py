"""What users hand in, as stored examples, and values in their units again."""

import json

import jax
import numpy as np
import pytest

from vae_jax import datasets
from vae_jax.distributions import Masked

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 4)).astype(np.uint8)
REAL = RNG.normal(size=(40, 3)).astype(np.float32)
MASK = RNG.integers(0, 2, REAL.shape).astype(np.uint8)


def outline_of(data):
    """Return the outline, as a folder keeps it."""
    return datasets.from_outline(json.loads(json.dumps(datasets.outline_of(data))))


DATA = {
    "grey": datasets.from_arrays(GREY),
    "real": datasets.from_arrays(REAL),
    "masked": datasets.from_arrays(REAL, mask=MASK),
    "fields": datasets.from_arrays({"a": GREY, "b": REAL}),
}


@pytest.mark.parametrize("name", DATA)
def test_own_examples_become_themselves_and_come_back(name):
    """Examples handed in are stored as those of the data set, and what the model sees of them is
    returned as it was given. Mutants: a maximum that is left out, or applied twice."""
    data = DATA[name]
    missing = np.where(MASK == 1, REAL, np.nan)
    given = {"grey": GREY, "real": REAL, "masked": missing, "fields": {"a": GREY, "b": REAL}}[name]
    examples = datasets.examples_from(outline_of(data), given)
    parts = (data.train, data.validation, data.test)
    stored = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    for own, other in zip(jax.tree.leaves(examples.x), jax.tree.leaves(stored.x), strict=True):
        np.testing.assert_array_equal(np.sort(own, axis=0), np.sort(other, axis=0))
    seen = datasets.to_model_examples(data, jax.random.key(0), examples).x
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-6), datasets.to_user(data, seen), given
    )


def test_missing_values_are_a_mask_or_nan():
    """Oracle: the mask itself. Mutant: a mask that NaN replaces."""
    some = REAL.copy()
    some[0, 0] = np.nan
    x = datasets.examples_from(DATA["masked"], Masked(some, MASK)).x
    expected = MASK.copy()
    expected[0, 0] = 0
    np.testing.assert_array_equal(x.mask, expected)
    assert datasets.examples_from(DATA["masked"], REAL.tolist()).x.mask.all()


BAD = {
    "whole examples": ("real", np.full((2, 3), np.nan), "whole examples"),
    "a mask": (
        "real",
        Masked(REAL, MASK),
        "has missing values, but the model was trained",
    ),
    "shape": ("real", REAL[:, :2], r"'x' of x has examples of shape \(2,\).*shape \(3,\)"),
    "field": ("fields", {"a": GREY}, "must have the fields a, b; got a"),
    "no fields": ("fields", GREY, "must be fields a, b, .*; got one array"),
    "fields": ("grey", {"a": GREY}, "must be one array, .*; got fields a"),
    "ragged": ("real", [[1.0, 2.0], [3.0]], "is no array"),
    "text": ("real", [["a", "b", "c"]], "must be numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case):
    name, given, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        datasets.examples_from(outline_of(DATA[name]), given)
    assert "\n" not in str(caught.value)


def test_grey_values_for_a_model_of_bits_are_refused():
    bits = datasets.from_arrays(np.eye(10, dtype=np.uint8))
    with pytest.raises(ValueError, match="trained on bits, stored as 0 and 1"):
        datasets.examples_from(bits, np.full((2, 10), 0.5))
