"""A whole training as a user of another library writes it: python -m benchmarks.whole_runs

    --name=flax --images=IMAGES.npz --output=RESULT.json [--epochs=20 --beta=1 --seed=0]

The file has uint8 images `train` and `test`. All train 784-200-200-50 by Adam on bits that are
drawn anew for each batch, and measure the ELBO of the test images by one sample of z each, of bits
that are drawn once. How batches are fed, and how much is compiled at once, follows the public
examples of the libraries.
"""

from collections.abc import Callable
import json
import tempfile
from typing import NamedTuple

from absl import app, flags
import numpy as np

from benchmarks import peers


class Work(NamedTuple):
    """What is to be done, the same for all."""

    train: np.ndarray
    """uint8, shape (examples, 784), as is `test`."""
    test: np.ndarray
    epochs: int
    batch_size: int
    hidden: int
    beta: float
    """Weight of the KL in the training."""
    seed: int


def pytorch(work: Work) -> float:
    """Return the test ELBO, in nats per example, of a plain loop over a DataLoader."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    train, test = (torch.from_numpy(each) for each in (work.train, work.test))
    encoder, decoder = peers.torch_networks(work.hidden, work.seed)
    loss = peers.torch_loss(encoder, decoder)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    for _ in range(work.epochs):
        for (grey,) in DataLoader(TensorDataset(train), work.batch_size, shuffle=True):
            adam.zero_grad()
            loss(torch.bernoulli(grey / 255), work.beta).backward()
            adam.step()
    with torch.no_grad():
        batches = torch.bernoulli(test / 255).split(100)
        return -float(np.mean([loss(bits).item() for bits in batches]))


def pythae(work: Work) -> float:
    """Return the test ELBO, in nats per example, after pythae's TrainingPipeline."""
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    import torch

    class Bits(BaseDataset):
        def __getitem__(self, index):
            return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])

    model = peers.pythae_vae(work.hidden)
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=work.epochs,
            per_device_train_batch_size=work.batch_size,
            learning_rate=1e-3,
            no_cuda=True,
        )
        grey = torch.from_numpy(work.train) / 255
        TrainingPipeline(model, settings)(Bits(grey, torch.ones(len(grey))))
    model.eval()
    with torch.no_grad():
        batches = torch.bernoulli(torch.from_numpy(work.test) / 255).split(100)
        return -float(np.mean([model({"data": bits}).loss.item() for bits in batches]))


def flax(work: Work) -> float:
    """Return the test ELBO, in nats per example: a compiled step, fed from the host."""
    import jax
    import jax.numpy as jnp
    import optax

    init, loss = peers.flax_loss(work.hidden)
    adam, generator = optax.adam(1e-3), np.random.default_rng(work.seed)

    def draw(key, grey):
        return jax.random.bernoulli(key, grey / 255).astype(jnp.float32)

    @jax.jit
    def step(params, adam_state, grey, key):
        key_bits, key_z = jax.random.split(key)
        gradient = jax.grad(loss)(params, draw(key_bits, grey), key_z)
        updates, adam_state = adam.update(gradient, adam_state)
        return optax.apply_updates(params, updates), adam_state

    key, key_bits, key_z = jax.random.split(jax.random.key(work.seed), 3)
    params = init(key)
    adam_state = adam.init(params)
    for _ in range(work.epochs):
        order = generator.permutation(len(work.train))
        for start in range(0, len(order) - work.batch_size + 1, work.batch_size):
            key, key_step = jax.random.split(key)
            grey = work.train[order[start : start + work.batch_size]]
            params, adam_state = step(params, adam_state, grey, key_step)
    return -float(jax.jit(loss)(params, draw(key_bits, work.test), key_z))


def numpyro(work: Work) -> float:
    """Return the test ELBO, in nats per example: an epoch is one compiled loop."""
    import jax
    import jax.numpy as jnp

    svi = peers.make_numpyro_svi(work.batch_size, work.hidden)
    train = jnp.asarray(work.train)

    def draw(key, grey):
        return jax.random.bernoulli(key, grey / 255).astype(jnp.float32)

    @jax.jit
    def epoch(state, key):
        order = jax.random.permutation(key, len(train))

        def step(i, state):
            chosen = jax.lax.dynamic_slice(order, (i * work.batch_size,), (work.batch_size,))
            return svi.update(state, draw(jax.random.fold_in(key, i), train[chosen]))[0]

        return jax.lax.fori_loop(0, len(train) // work.batch_size, step, state)

    @jax.jit
    def measure(state, key):
        bits = draw(key, work.test).reshape(-1, 100, 784)
        return jnp.sum(jax.lax.map(lambda batch: svi.evaluate(state, batch), bits))

    key, key_bits = jax.random.split(jax.random.key(work.seed))
    state = svi.init(key, draw(key, train[: work.batch_size]))
    for i in range(work.epochs):
        state = epoch(state, jax.random.fold_in(key, i))
        jax.block_until_ready(state)
    return -float(measure(state, key_bits)) / len(work.test)


PROGRAMS: dict[str, Callable[[Work], float]] = {
    "PyTorch, DataLoader": pytorch,
    "pythae, pipeline": pythae,
    "flax example": flax,
    "numpyro example": numpyro,
}


def main(argv: list[str]) -> None:
    """Do the work of the flags and write {"elbo": nats per test example}."""
    given = flags.FLAGS
    with np.load(given.images) as images:
        arrays = {name: images[name].reshape(-1, 784) for name in ("train", "test")}
    numbers = {name: given[name].value for name in Work._fields if name not in arrays}
    elbo = PROGRAMS[given.name](Work(**arrays, **numbers))
    with open(given.output, "w") as file:
        json.dump({"elbo": elbo}, file)


if __name__ == "__main__":
    flags.DEFINE_enum("name", None, list(PROGRAMS), "whose training")
    flags.DEFINE_string("images", None, "npz with uint8 images `train` and `test`")
    flags.DEFINE_string("output", None, "file for the result")
    flags.DEFINE_integer("epochs", 20, "passes over the training images")
    flags.DEFINE_integer("batch_size", 128, "examples per step")
    flags.DEFINE_integer("hidden", 200, "width of both layers")
    flags.DEFINE_float("beta", 1.0, "weight of the KL in the training (PyTorch only)")
    flags.DEFINE_integer("seed", 0, "of the initial weights and of all draws")
    flags.mark_flags_as_required(["name", "images", "output"])
    app.run(main)
