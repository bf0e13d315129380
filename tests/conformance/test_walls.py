"""One throwaway row of each kind to come trains through the ordinary update, unchanged.

What is here is no part of the package: it shows that fields, layers, objectives with their own
parameters, rendered data and traced hyper-parameters need no wall moved.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax import objectives, training
from vae_jax.datasets import Batches, Examples
from vae_jax.distributions import Distribution, Gaussian, standard_normal
from vae_jax.models import VAE, make_vae

NUM_EXAMPLES, BATCH_SIZE, NUM_STEPS = 40, 8, 10


def adam(hparams):
    return optax.adam(hparams["learning_rate"])


def slices(make_batch):
    """Batches of consecutive rows of the source, made by make_batch(rows, key)."""

    def batch(source, key, step):
        start = (step % (NUM_EXAMPLES // BATCH_SIZE)) * BATCH_SIZE
        cut = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=8)
        return make_batch(jax.tree.map(cut, source), key)

    return Batches(NUM_EXAMPLES // BATCH_SIZE, lambda source, key, epoch: source, batch)


def train_ten_steps(vae, objective, source, batches, optimizer=adam):
    """Return (first params, state after ten steps, objective of the first and last step)."""
    hparams = {"learning_rate": 1e-2, **objective.hparams}
    keys = jax.random.split(jax.random.key(1), 1)
    state = training.init_members(
        keys, hparams, vae=vae, objective=objective, optimizer=optimizer, examples=source
    )
    first = jax.device_get(state.params)
    train_step = training.make_train_step(vae, objective, optimizer, batches)
    train_steps = training.make_train_steps(train_step, batches)
    values = []
    for stop in range(1, NUM_STEPS + 1):
        state, metrics = train_steps(state, source, stop)
        values.append(metrics["objective"])
    assert int(state.step) == NUM_STEPS
    assert np.isfinite(values).all()
    return first, jax.device_get(state.params), np.asarray(values)


def bits(seed, *shape):
    return np.random.default_rng(seed).integers(0, 2, (NUM_EXAMPLES, *shape)).astype(np.float32)


def moved(before, after):
    """Tell for every leaf whether training changed it."""
    return [
        not np.array_equal(a, b)
        for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class Fields(Distribution):
    """p(x|z) of named fields that are independent given z."""

    fields: dict[str, Distribution]

    def log_prob(self, value):
        return sum(self.fields[name].log_prob(value[name]) for name in self.fields)


@pytest.mark.slow  # configs/halves.py is such a model
def test_x_of_two_fields():
    image, vector = (
        make_vae((4, 4), latent_dim=2),
        make_vae((3,), latent_dim=2, likelihood="gaussian"),
    )
    pair = {"image": image, "vector": vector}

    def init(key, examples):
        return {name: part.init(key, Examples(examples.x[name])) for name, part in pair.items()}

    def encode(params, x, y=None):
        qs = [part.encode(params[name], x[name]) for name, part in pair.items()]
        return Gaussian(
            *(sum(leaves) / 2 for leaves in zip(*map(jax.tree.leaves, qs), strict=True))
        )

    def decode(params, z, y=None):
        return Fields({name: part.decode(params[name], z) for name, part in pair.items()})

    vae = VAE(init, encode, decode, lambda params, y=None: standard_normal(2))
    source = Examples({"image": bits(0, 4, 4), "vector": bits(1, 3) - 0.5})
    before, after, _ = train_ten_steps(
        vae, objectives.make_elbo(), source, slices(lambda rows, key: rows)
    )
    assert all(moved(before, after))


@dataclasses.dataclass(frozen=True)
class TwoLayers(Distribution):
    """q(z1|x) q(z2|z1), whose second factor is a network of z1."""

    first: Gaussian
    second: Any

    def sample_and_log_prob(self, key):
        key_first, key_second = jax.random.split(key)
        z1, log_q1 = self.first.sample_and_log_prob(key_first)
        z2, log_q2 = self.second(z1).sample_and_log_prob(key_second)
        return (z1, z2), log_q1 + log_q2


@dataclasses.dataclass(frozen=True)
class TwoLayerPrior(Distribution):
    """p(z2) p(z1|z2)."""

    second: Gaussian
    first: Any

    def log_prob(self, value):
        z1, z2 = value
        return self.second.log_prob(z2) + self.first(z2).log_prob(z1)


@pytest.mark.slow  # configs/two_layers.py is such a model
@pytest.mark.parametrize("name", ["elbo", "iwae"])
def test_z_of_two_layers(name):
    bottom = make_vae((5,), latent_dim=3)
    top = make_vae((3,), latent_dim=2, likelihood="gaussian")

    def init(key, examples):
        return {
            "bottom": bottom.init(key, examples),
            "top": top.init(key, Examples(jnp.zeros((1, 3)))),
        }

    vae = VAE(
        init,
        lambda params, x, y=None: TwoLayers(
            bottom.encode(params["bottom"], x), lambda z1: top.encode(params["top"], z1)
        ),
        lambda params, z, y=None: bottom.decode(params["bottom"], z[0]),
        lambda params, y=None: TwoLayerPrior(
            standard_normal(2), lambda z2: top.decode(params["top"], z2)
        ),
    )
    objective = objectives.make_objective(name, num_samples=3)
    before, after, _ = train_ten_steps(
        vae, objective, Examples(bits(0, 5)), slices(lambda rows, key: rows)
    )
    assert all(moved(before, after))


@pytest.mark.slow
def test_objective_with_own_parameters_and_a_second_optimizer():
    """A learned constant per pixel rides along, trained by SGD; the VAE's optimizer is Adam."""
    plain = objectives.make_elbo()

    def loss(key, vae, params, hparams, batch, step):
        value, metrics = plain.loss(key, vae, params, hparams, batch, step)
        baseline = jnp.mean((jax.lax.stop_gradient(batch.x) - params["objective"]["mean"]) ** 2)
        return value + baseline, metrics

    objective = objectives.Objective(
        lambda key, vae, examples: {"mean": jnp.zeros(examples.x.shape[1:])}, loss, plain.hparams
    )

    def optimizer(hparams):
        by_block = {"vae": adam(hparams), "objective": optax.sgd(0.5)}
        return optax.multi_transform(by_block, {"vae": "vae", "objective": "objective"})

    source = Examples(bits(0, 6))
    vae = make_vae((6,), latent_dim=2)
    before, after, _ = train_ten_steps(
        vae, objective, source, slices(lambda rows, key: rows), optimizer
    )
    assert all(moved(before, after))
    # One SGD step of size 0.5 on the mean square over 8 x 6 entries moves the mean 1/6 of the way:
    # after 5 batches of an epoch, twice, it has left zero for the data's mean by a known amount.
    expected = np.zeros(6)
    for step in range(NUM_STEPS):
        start = step % 5 * 8
        expected += 0.5 * 2 / 6 * (source.x[start : start + 8].mean(0) - expected)
    np.testing.assert_allclose(after["objective"]["mean"][0], expected, rtol=1e-5)


@pytest.mark.slow
def test_batch_rendered_from_the_steps_key():
    """No arrays at all: each batch is drawn, and two steps never see the same one."""

    def render(source, key, step):
        heights = jax.random.uniform(key, (BATCH_SIZE, 1, 1))
        columns = (jnp.arange(5)[:, None] / 5 < heights) * jnp.ones((1, 1, 4))
        return Examples(columns)

    batches = Batches(1000, lambda source, key, epoch: source, render)
    source = Examples(np.zeros((1, 5, 4), np.float32))  # what the initial bias sees
    before, after, values = train_ten_steps(
        make_vae((5, 4), latent_dim=2), objectives.make_elbo(), source, batches
    )
    assert all(moved(before, after))
    assert len(np.unique(values)) == NUM_STEPS


@pytest.mark.slow
def test_traced_hyperparameters_differ_between_members():
    """Members that share a key but not beta equal the two runs made with each beta alone."""
    vae, source = make_vae((6,), latent_dim=2), Examples(bits(0, 6))
    batches = slices(lambda rows, key: rows)
    objective = objectives.make_elbo()
    own = {"vae": vae, "objective": objective, "optimizer": adam, "examples": source}
    train_step = training.make_train_step(vae, objective, adam, batches)

    def train(betas, rates):
        keys = jnp.stack([jax.random.key(3)] * len(betas))
        hparams = {"beta": jnp.array(betas), "learning_rate": jnp.array(rates)}
        state = training.init_members(keys, hparams, **own)
        steps = training.make_train_steps(train_step, batches)
        return steps(state, source, NUM_STEPS)[0].params

    together = train([1.0, 4.0], [1e-2, 3e-3])
    for member, (beta, rate) in enumerate([(1.0, 1e-2), (4.0, 3e-3)]):
        alone = train([beta], [rate])
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[member], b[0], rtol=1e-4, atol=1e-5)
    # A mutant that reads one member's beta for both would make the members equal.
    assert all(not np.allclose(leaf[0], leaf[1]) for leaf in jax.tree.leaves(together))
