"""Labels of which some are missing: -1 in the training examples."""

from typing import Any

import jax
import numpy as np

from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.making import split_examples
from vae_jax.lookup import check_seed, check_whole

MISSING = -1
_LABELS = 0x6C626C73  # "lbls", so that the choice of labels and the split of one seed share no key


def keep_labels(dataset: Dataset, num_labels: int, seed: int = 0) -> Dataset:
    """Return the data set with so many training labels; the other training examples get -1.

    As many of each class as possible, drawn at random by `seed`: the numbers differ by one at
    most where each class has enough. Labels of validation and test stay.

    Args:
      dataset: with one label per example.
      num_labels: training labels that are kept.
      seed: of the choice.

    Raises:
      ValueError: the data have no labels, or the number is below that of the classes or above that
        of the training labels.
    """
    check_seed(seed=seed)
    if dataset.labels is None or dataset.labels[0] < 0 or dataset.given is not None:
        what = "no labels 0, 1, ..." if dataset.given is None else "parts of the image as y"
        raise ValueError(f"num_labels={num_labels} needs labels, but {dataset.name} has {what}")
    y = np.asarray(dataset.train.y, np.int32)
    rank = np.full(len(y), -1)  # of an example among those of its class
    order = _shuffled(np.flatnonzero(y >= 0), seed)
    classes = np.unique(y[order])
    check_whole(len(classes), len(order), num_labels=num_labels)
    for label in classes:
        own = order[y[order] == label]
        rank[own] = np.arange(len(own))
    kept = order[np.argsort(rank[order], kind="stable")[:num_labels]]
    labels = np.full_like(y, MISSING)
    labels[kept] = y[kept]
    return dataset._replace(train=Examples(dataset.train.x, labels), num_labels=num_labels)


def _shuffled(indices, seed):
    key = jax.random.fold_in(jax.random.key(seed), _LABELS)
    return indices[np.asarray(jax.random.permutation(key, len(indices)))]


def check_missing_labels(y: Any, name: str) -> np.ndarray:
    """Return labels of which some are missing as int32.

    Raises:
      ValueError: not one integer per example, 0, 1, ... or -1; `name` says in the error whose.
    """
    if y is None or y.ndim != 1 or y.dtype.kind not in "ui" or y.min() < MISSING or y.max() < 0:
        given = "none" if y is None else f"shape {y.shape} of type {y.dtype}"
        if y is not None and y.size and y.dtype.kind in "uif":
            given += f" in {y.min()} .. {y.max()}"
        raise ValueError(
            f"missing_labels needs 'y' of {name} to be labels 0, 1, ..., and {MISSING} where one "
            f"is missing; got {given}"
        )
    return y.astype(np.int32)


def split_labelled(examples: Examples, fractions: tuple[float, float], seed: int) -> list[Examples]:
    """Split the examples with a label at random; those without one are for training.

    Args:
      examples: all of them; y is -1 where a label is missing.
      fractions: of validation and test, among the examples with a label.
      seed: of the permutation.

    Raises:
      ValueError: too few examples with a label, or a seed outside of 0 .. 2^32 - 1.
    """
    has_label = examples.y >= 0
    labelled, others = (
        jax.tree.map(lambda leaf, rows=rows: leaf[rows], examples)
        for rows in (has_label, ~has_label)
    )
    if np.sum(has_label) < 3:
        raise ValueError(
            "need at least 3 examples with a label, for train, validation and test, got "
            f"{np.sum(has_label)}"
        )
    train, validation, test = split_examples(labelled, fractions, seed)
    train = jax.tree.map(lambda *parts: np.concatenate(parts), train, others)
    return [train, validation, test]


def with_missing_labels(dataset: Dataset) -> Dataset:
    """Return the data set with -1 in the training labels counted as missing, not as a class."""
    ys = [part.y[part.y >= 0] for part in (dataset.train, dataset.validation, dataset.test)]
    lowest = min(int(y.min()) for y in ys)
    return dataset._replace(labels=(lowest, dataset.labels[1]), num_labels=len(ys[0]))
