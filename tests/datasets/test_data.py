"""What data say of themselves."""

import numpy as np
import pytest

from vae_jax import datasets
from vae_jax.datasets import Examples


def test_fingerprint_tells_data_apart():
    one, other = datasets.load_digits(), datasets.load_digits(seed=1)
    assert datasets.fingerprint(one) == datasets.fingerprint(datasets.load_digits())
    assert datasets.fingerprint(one) != datasets.fingerprint(other)
    relabelled = one._replace(test=Examples(one.test.x, one.test.y[::-1]))
    assert datasets.fingerprint(one) != datasets.fingerprint(relabelled)


COUNTS = np.random.default_rng(0).poisson(3.0, (60, 4))


HALF = COUNTS + 0.5


def test_options_by_field_are_those_of_the_fields():
    """A TypeError of an unhashable dictionary, and a KeyError, before."""
    part = Examples({"a": np.ones((4, 2), np.float32), "b": np.ones((4, 3), np.float32)})
    whole = Examples(np.ones((4, 2), np.float32))
    with pytest.raises(ValueError, match="binarization names the fields image, but x is one array"):
        datasets.make_dataset("one", whole, whole, whole, 1.0, {"image": "dynamic"})
    with pytest.raises(ValueError, match="binarization must name the fields a, b; got a"):
        datasets.make_dataset("two", part, part, part, 1.0, {"a": "dynamic"})


def test_quadrants_are_those_of_sohn():
    """One given: the lower left; two: the left half; three: all but the lower right."""
    for count, given in ((1, [[0, 0], [1, 0]]), (2, [[1, 0], [1, 0]]), (3, [[1, 1], [1, 0]])):
        np.testing.assert_array_equal(
            datasets.quadrants((4, 6, 1), count)[..., 0], np.kron(given, np.ones((2, 3)))
        )


def test_poisson_of_counts_and_levels_of_classes():
    """What values are decides which likelihoods there are."""
    data = datasets.from_arrays(COUNTS)
    assert data.values.kinds == ("real", "counts")
    assert datasets.from_arrays(COUNTS, maximum=20.0).values.kinds == ("real", "unit", "levels")
    assert datasets.from_arrays(HALF).values.kinds == ("real",)


def test_ranges_and_bits_are_judged_by_all_examples():
    """A grey test row beside training bits is no bit, and a test value may exceed the others."""
    bits = np.zeros((4, 3), np.float32)
    grey, large = np.full((4, 3), 0.5, np.float32), np.full((4, 3), 1.7, np.float32)
    made = datasets.make_dataset("made", *map(Examples, (bits, bits, grey)), 1.0, "none")
    assert (made.values.binarization, made.values.value_range) == ("none", (0.0, 0.5))
    made = datasets.make_dataset("made", *map(Examples, (bits, large, bits)), 1.0, "none")
    np.testing.assert_allclose(made.values.value_range, (0, 1.7), rtol=1e-6)
    assert "unit" not in made.values.kinds
