"""This project's own training step, on made-up images, as the training program runs it."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import products
from benchmarks.images import made_up_images
from benchmarks.timing import Run
from experiments.support.processes import choose_devices, members_at_once
from vae_jax import datasets, models, objectives, training
from vae_jax.fast import threefry


def made_up_data(shape: tuple[int, ...], num_classes: int | None = None) -> datasets.Dataset:
    """Return made-up images, binarized dynamically, of which some labels are missing."""
    images = made_up_images(shape)
    labels = None if num_classes is None else np.arange(len(images)) % (num_classes + 1) - 1
    examples = datasets.Examples(images, labels)
    return datasets.make_dataset("made up", examples, examples, examples, 255.0, "dynamic")


def make_run(
    batch_size: int,
    hidden: tuple[int, ...] = (200, 200),
    shape: tuple[int, ...] = (28, 28, 1),
    num_members: int = 1,
    objective: str = "elbo",
    objective_options: dict[str, Any] | None = None,
    data: datasets.Dataset | None = None,
    **vae_options: Any,
) -> Run:
    """Make run(num_steps) of `num_members` models by Adam, of made-up images or `data`.

    It uses the devices that the training program would use.
    """
    if data is None:
        data = made_up_data(shape, vae_options.get("condition"))
    vae = models.make_vae(shape, **{"latent_dim": 50, "hidden": hidden} | vae_options)
    bound = objectives.make_objective(objective, **objective_options or {})
    adam, batches = training.make_optimizer("adam"), datasets.make_batches(data, batch_size)
    devices = choose_devices(num_members, datasets.num_bytes(data.train), 2**31)
    placed = training.plan_placement(devices, num_members, batch_size)
    batches = training.divide_batches(batches, placed)
    step = training.make_train_step(vae, bound, adam, batches)
    train_steps = training.make_train_steps(
        step, batches, placed, members_at_once=members_at_once(placed)
    )

    hparams = {"learning_rate": 1e-3, **bound.hparams}
    some = jax.tree.map(lambda leaf: leaf[:100], data.train)
    some = datasets.expected_examples(data, some)
    init = functools.partial(training.init_members, hparams=hparams, vae=vae, objective=bound)
    init = jax.jit(functools.partial(init, optimizer=adam, examples=some))
    state = placed.put(init(jax.random.split(threefry.key(0), num_members)))
    source, done = jax.device_put(data.train, placed.copied), 0

    def run(num_steps):
        nonlocal state, done
        done += num_steps
        state, metrics = train_steps(state, source, done)
        assert np.isfinite(jax.device_get(metrics["elbo"])).all()

    return run


class Step(NamedTuple):
    """The size of a training step of a 784-hidden-hidden-50 model."""

    batch: int = 20
    hidden: int = 200
    samples: int = 1
    """Samples of z per example."""
    models: int = 1
    devices: int = 1

    @property
    def layers(self) -> products.Layers:
        """The layers of one model."""
        return products.layers_of_vae(self.batch, self.hidden, self.samples)

    @property
    def work(self) -> int:
        """Multiply-adds of the forward pass; the backward pass has twice as many."""
        return self.models * sum(rows * inputs * outputs for rows, inputs, outputs in self.layers)

    @functools.lru_cache(maxsize=16)  # noqa: B019 (sizes are few, and compiling each takes seconds)
    def make_run(self) -> Run:
        """Make run(num_steps) on the devices of this process, which should be `devices`."""
        return make_run(
            self.batch,
            (self.hidden, self.hidden),
            num_members=self.models,
            objective_options={"num_samples": self.samples},
        )
