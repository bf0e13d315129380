"""Codes of examples that are drawn from the whole of a data set with factors."""

from typing import Any

import jax
import numpy as np

from experiments.support import console
from experiments.support.assembly import Evaluation, Run
from vae_jax import datasets, evaluation
from vae_jax.evaluation import disentanglement


def draw_examples(
    dataset: datasets.Dataset, key: Any, size: int
) -> tuple[datasets.Examples, np.ndarray]:
    """Return stored examples, drawn from all three parts without replacement, and their factors.

    Raises:
      ValueError: a data set without factors, or with fewer examples than are drawn.
    """
    datasets.factors_of(dataset, jax.tree.map(lambda leaf: leaf[:1], dataset.test))
    parts = (dataset.train, dataset.validation, dataset.test)
    counts = [datasets.num_examples(part) for part in parts]
    if sum(counts) < size:
        raise ValueError(
            f"the scores take {size:,} examples, {dataset.name} has {sum(counts):,}: use "
            f"vae_jax.evaluation.disentanglement.measure with smaller numbers"
        )
    rng = disentanglement.generator(key)
    chosen = np.sort(rng.choice(sum(counts), size, replace=False))
    starts = np.cumsum(counts) - counts
    taken = [
        jax.tree.map(lambda leaf, rows=chosen[(chosen >= a) & (chosen < a + n)] - a: leaf[rows], p)
        for p, a, n in zip(parts, starts, counts, strict=True)
    ]
    examples = jax.tree.map(lambda *leaves: np.concatenate(leaves), *taken)
    return examples, datasets.factors_of(dataset, examples)


def encode(
    run: Run, how: Evaluation, params: Any, examples: datasets.Examples, name: str
) -> np.ndarray:
    """Return the posterior mean of every example; of two layers, that of the lower one.

    Raises:
      ValueError: latents that are not a vector of numbers.
    """

    def mean(params, index, example):
        q = run.vae.encode(params, *example)
        return evaluation.posterior_means(how.keys.posterior_means, q)["posterior_mean"]

    batched = evaluation.over_examples(mean)
    track = console.track(f"examples encoded ({name})", how.batch_size)
    codes = evaluation.map_examples(batched, params, examples, how.batch_size, track)
    if codes.ndim != 2:
        raise ValueError(
            f"disentanglement is that of a vector of numbers; the latents of this model are "
            f"{run.vae.latents}, of shape {codes.shape[1:]}"
        )
    return codes
