"""Labels of which some are missing: which are kept, how such data are split and what is refused."""

import numpy as np
import pytest

from tests.datasets.files import write_npz
from vae_jax import datasets
from vae_jax.datasets import from_arrays, keep_labels

X = np.random.default_rng(0).random((200, 3)).astype(np.float32)
Y = np.random.default_rng(1).choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
WHOLE = from_arrays(X, Y, name="own")


@pytest.mark.parametrize("num_labels", [4, 13, 20])
def test_labels_are_kept_evenly(num_labels):
    """Oracle: numpy's counts. Mutants: labels kept at random (the first class would have most), a
    kept label that is another example's, a validation or test label removed."""
    few = keep_labels(WHOLE, num_labels)
    kept = few.train.y >= 0
    counts = np.bincount(few.train.y[kept], minlength=4)
    assert counts.sum() == few.num_labels == num_labels and np.ptp(counts) <= 1
    np.testing.assert_array_equal(few.train.y[kept], WHOLE.train.y[kept])
    assert set(few.train.y[~kept]) == {-1}
    assert few.train.x is WHOLE.train.x
    assert few.validation is WHOLE.validation and few.test is WHOLE.test
    assert few.labels == WHOLE.labels == (0, 3) and few.condition == 4
    assert few.protocol.endswith(f", {num_labels} training labels")


def test_a_small_class_keeps_all_that_it_has():
    few = keep_labels(WHOLE, 100)
    whole, kept = (np.bincount(y[y >= 0]) for y in (WHOLE.train.y, few.train.y))
    assert kept[3] == whole[3] < 25 < kept[0] and kept.sum() == 100


def test_the_seed_chooses_the_labels():
    """Mutant: the first examples of each class, whatever the seed."""
    one, again, other = (keep_labels(WHOLE, 20, seed).train.y for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)
    prints = {datasets.fingerprint(keep_labels(WHOLE, 20, seed)) for seed in (0, 0, 1)}
    assert len(prints | {datasets.fingerprint(WHOLE)}) == 3


def test_the_option_is_that_of_every_set_with_labels():
    few = datasets.load_dataset("digits", num_labels=100, seed=3)
    whole = datasets.load_dataset("digits", seed=3)
    np.testing.assert_array_equal(np.bincount(few.train.y + 1), [1158] + [10] * 10)
    np.testing.assert_array_equal(few.train.y, keep_labels(whole, 100, seed=3).train.y)
    assert few.num_labels == 100 and whole.num_labels is None


def test_missing_labels_of_own_data(tmp_path):
    """Validation and test have a label each; no example is lost. Mutants: -1 as a class of its own,
    examples without a label in the test set."""
    y = np.where(np.arange(200) % 2, Y, -1)
    path = write_npz(tmp_path / "own.npz", x=X, y=y)
    data = datasets.load_dataset("npz", path=path, missing_labels=True)
    sizes = [len(part.y) for part in (data.train, data.validation, data.test)]
    assert sizes == [180, 10, 10]
    assert data.num_labels == np.sum(data.train.y >= 0) == 80
    assert data.labels == (0, 3) and data.condition == 4
    assert min(data.validation.y.min(), data.test.y.min()) >= 0
    label_of = {x.tobytes(): label for x, label in zip(X, y, strict=True)}
    seen = [(x.tobytes(), label) for part in (data.train, data.validation, data.test)
            for x, label in zip(part.x, part.y, strict=True)]  # fmt: skip
    assert len(seen) == len(label_of) == 200 and dict(seen) == label_of
    fewer = keep_labels(data, 10)
    assert np.sum(fewer.train.y >= 0) == 10
    assert np.all(data.train.y[fewer.train.y >= 0] >= 0)


def test_minus_one_is_a_label_unless_it_is_said_to_be_missing():
    """As before: the model is what refuses it, with the remedy."""
    data = from_arrays(X, Y - 1)
    assert data.labels == (-1, 2) and data.num_labels is None
    from vae_jax import models

    with pytest.raises(ValueError, match=r"must be labels 0, 1, \.\.\., got -1: .*missing_labels"):
        models.make_vae_for(data, likelihood="gaussian", conditional=True)


REFUSED = {
    "fewer than classes": (lambda: keep_labels(WHOLE, 3), "num_labels must be >= 4, got 3"),
    "more than there are": (lambda: keep_labels(WHOLE, 161), "num_labels must be at most 160"),
    "no labels": (lambda: keep_labels(from_arrays(X), 8), "array has no labels 0, 1, ..."),
    "negative labels": (lambda: keep_labels(from_arrays(X, Y - 1), 8), "has no labels 0, 1, ..."),
    "values": (lambda: keep_labels(from_arrays(X, X), 8), "has no labels 0, 1, ..."),
    "quadrants": (
        lambda: datasets.load_dataset("digits", given_quadrants=1, num_labels=100),
        "digits has parts of the image as y",
    ),
    "seed": (lambda: keep_labels(WHOLE, 8, seed=-1), "seed must be >= 0, got -1"),
    "missing: no y": (lambda: from_arrays(X, missing_labels=True), "missing; got none"),
    "missing: floats": (
        lambda: from_arrays(X, Y - 1.0, missing_labels=True),
        "got shape (200,) of type float32 in -1.0 .. 2.0",
    ),
    "missing: -2": (lambda: from_arrays(X, Y - 2, missing_labels=True), "in -2 .. 1"),
    "missing: all": (lambda: from_arrays(X, 0 * Y - 1, missing_labels=True), "in -1 .. -1"),
    "missing: nearly all": (
        lambda: from_arrays(X, (np.arange(200) < 2) - 1, missing_labels=True),
        "at least 3 examples with a label",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_labels_to_keep_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)
