"""The data of the small runs, and one compiled training call that several tests use."""

import pytest

from tests.training import small


@pytest.fixture(scope="session")
def dataset():
    """The digits, binarized anew for every batch."""
    return small.load_digits()


@pytest.fixture(scope="session")
def averaging_steps(dataset):
    """train_steps of runs that carry a moving average of their parameters."""
    return small.make_steps(dataset, ema_decay=0.9)
