"""Which examples a trained model can be given, and what is said of the others."""

import numpy as np
import pytest

from vae_jax import datasets, models

LABELS = np.where(np.arange(7) % 2, np.arange(7), -1)


def test_values_far_from_the_training_range_are_told():
    """Mutant: 0 .. 255 encoded by a model of standardised values, without a word."""
    x = np.linspace(-3, 3, 60, dtype=np.float32).reshape(30, 2)
    data = datasets.from_arrays(x)
    near, far = (datasets.Examples(np.array([[low, high]])) for low, high in ((-9, 9), (0, 255)))
    assert not list(models.far_from_training(data, near, "FILE"))
    (line,) = models.far_from_training(data, far, "FILE")
    assert line.startswith(
        "'x' of FILE has values in 0 .. 255, but the model was trained on -3 .. 3"
    )


def test_labels_that_do_not_fit_are_refused():
    models.check_condition(LABELS, 10, "x.npz", may_be_missing=True)
    for bad, may_be_missing in ((LABELS, False), (LABELS - 1, True), (LABELS + 9, True)):
        with pytest.raises(ValueError, match=r"must be integers 0 \.\. 9"):
            models.check_condition(bad, 10, "x.npz", may_be_missing)
    models.check_condition(None, 10, "x.npz", may_be_missing=True)
    with pytest.raises(ValueError, match=r"x\.npz has no 'y', which the model is given"):
        models.check_condition(None, 10, "x.npz")
    with pytest.raises(ValueError, match=r"shape \(3,\) per example, not \(2,\)"):
        models.check_condition(np.zeros((4, 3)), (2,), "x.npz")
