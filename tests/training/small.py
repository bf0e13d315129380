"""A small VAE on the digits, made ready to train."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import datasets, models, objectives, training


class Parts(NamedTuple):
    """What a training call is made of."""

    vae: models.VAE
    objective: objectives.Objective
    batches: datasets.Batches


def load_digits():
    """Return the digits, binarized anew for every batch."""
    return datasets.load_digits(binarization="dynamic")


def make_parts(dataset):
    """Return the model, the ELBO and batches of 100."""
    vae = models.make_vae(dataset.shape, latent_dim=4, hidden=(16,))
    return Parts(vae, objectives.make_elbo(), datasets.make_batches(dataset, 100))


def make_optimizer():
    """Return Adam with a warm-up and a cosine of 100 steps."""
    schedule = training.make_schedule("cosine", num_steps=100, warmup_steps=10)
    return training.make_optimizer("adam", schedule, clip_norm=10.0)


def make_state(
    dataset,
    num_members=1,
    ema_decay=0.0,
    learning_rate=1e-2,
    optimizer=None,
    keys=None,
    transform=jax.jit,
):
    """Return the state at step 0, member i with seed i, or with these keys."""
    vae, objective, _ = make_parts(dataset)
    init = functools.partial(
        training.init_members,
        vae=vae,
        objective=objective,
        optimizer=optimizer or make_optimizer(),
        use_ema=ema_decay > 0,
    )
    return transform(init)(
        jax.vmap(jax.random.key)(jnp.arange(num_members)) if keys is None else keys,
        {"learning_rate": learning_rate, **objective.hparams},
        examples=datasets.expected_examples(dataset, dataset.train),
    )


def make_steps(dataset, ema_decay=0.0, optimizer=None, **options):
    """Return train_steps, of any number of members."""
    vae, objective, batches = make_parts(dataset)
    optimizer = optimizer or make_optimizer()
    step = training.make_train_step(vae, objective, optimizer, batches, ema_decay)
    return training.make_train_steps(step, batches, **options)


def make_run(dataset, num_members=1, ema_decay=0.0):
    """Return (state, train_steps)."""
    return make_state(dataset, num_members, ema_decay), make_steps(dataset, ema_decay)


def assert_trees_equal(a, b):
    """Check that all leaves have the same bits, those of keys too."""
    jax.tree.map(np.testing.assert_array_equal, *map(_readable, (a, b)))


def _readable(tree):
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)
