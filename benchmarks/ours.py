"""This project's own training step, on made-up images, as the training program runs it."""

import math
from typing import Any

import jax
import numpy as np

from benchmarks.timing import Run
from vae_jax import datasets, models, objectives, optimizers, threefry, training


def made_up_images(shape: tuple[int, ...], count: int = 20_000) -> np.ndarray:
    """Return uint8 images of which a fifth is ink, as in MNIST."""
    count = min(count, 10**8 // math.prod(shape))
    generator = np.random.default_rng(0)
    ink = generator.random((count, *shape)) < 0.2
    return (ink * generator.integers(1, 256, ink.shape)).astype(np.uint8)


def make_run(
    batch_size: int,
    hidden: tuple[int, ...] = (200, 200),
    shape: tuple[int, ...] = (28, 28, 1),
    num_members: int = 1,
    objective: str = "elbo",
    objective_options: dict[str, Any] | None = None,
    **vae_options: Any,
) -> Run:
    """Make run(num_steps) of `num_members` models, binarized dynamically, by Adam."""
    examples = datasets.Examples(made_up_images(shape))
    data = datasets.make_dataset("made up", examples, examples, examples, 255.0, "dynamic")
    vae = models.make_vae(shape, **{"latent_dim": 50, "hidden": hidden} | vae_options)
    bound = objectives.make_objective(objective, **objective_options or {})
    adam, batches = optimizers.make_optimizer("adam"), datasets.make_batches(data, batch_size)
    keys = jax.random.split(threefry.key(0), num_members)
    hparams = {"learning_rate": 1e-3, **bound.hparams}
    means = datasets.expected_examples(data, data.train)
    state = training.init_members(keys, hparams, vae, bound, adam, means)
    step = training.make_train_step(vae, bound, adam, batches)
    train_steps = training.make_train_steps(step, batches, num_members)
    source, done = jax.device_put(data.train), 0

    def run(num_steps):
        nonlocal state, done
        done += num_steps
        state, metrics = train_steps(state, source, done)
        assert np.isfinite(jax.device_get(metrics["elbo"])).all()

    return run
