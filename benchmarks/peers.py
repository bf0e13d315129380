"""What a user would pick instead, doing the same work: 784-hidden-hidden-50, tanh, binarization in
the step, closed-form KL, one sample, Adam."""

from collections.abc import Callable
import itertools
from typing import Any

from benchmarks.images import made_up_images
from benchmarks.timing import Run


def torch_networks(hidden: int, seed: int = 0) -> tuple[Any, Any]:
    """Return encoder and decoder in PyTorch, whose seed is set."""
    import torch

    torch.manual_seed(seed)
    return torch_mlp(784, hidden, 100), torch_mlp(50, hidden, 784)


def torch_mlp(inputs: int, hidden: int, outputs: int) -> Any:
    """Return a network of two hidden layers in PyTorch."""
    from torch import nn

    layers = nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def torch_loss(encoder: Any, decoder: Any) -> Callable[..., Any]:
    """Return loss(x, beta=1) of a batch of bits: -ELBO in nats per example, with beta times KL."""
    import torch
    from torch.nn import functional

    def loss(x, beta=1.0):
        mean, log_scale = encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(log_scale) * torch.randn_like(mean)
        error = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * torch.sum(mean**2 + torch.exp(2 * log_scale) - 2 * log_scale - 1)
        return (error + beta * kl) / len(x)

    return loss


def _torch_work(encoder, decoder, shape, batch_size):
    import torch

    data = torch.from_numpy(made_up_images(shape))

    def batches():
        while True:
            order = torch.randperm(len(data))
            for start in range(0, len(order) - batch_size + 1, batch_size):
                grey = data[order[start : start + batch_size]].float() / 255
                yield torch.bernoulli(grey)

    parameters = [*encoder.parameters(), *decoder.parameters()]
    return torch_loss(encoder, decoder), batches(), parameters


def _torch_run(loss, batches, optimizer) -> Run:
    def run(num_steps):
        for _ in range(num_steps):
            optimizer.zero_grad()
            loss(next(batches)).backward()
            optimizer.step()

    return run


def eager_torch(batch_size: int, hidden: int) -> Run:
    """Make run(num_steps) of PyTorch as it comes."""
    import torch

    loss, batches, parameters = _torch_work(*torch_networks(hidden), (784,), batch_size)
    return _torch_run(loss, batches, torch.optim.Adam(parameters, 1e-3))


def eager_torch_conv(batch_size: int) -> Run:
    """Make run(num_steps) of PyTorch on 64x64 images: channels 32-32-64-64, one layer of 256."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    channels = (1, 32, 32, 64, 64)
    halve = [(nn.Conv2d(a, b, 4, 2, 1), nn.ReLU()) for a, b in itertools.pairwise(channels)]
    double = [
        (nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU())
        for a, b in itertools.pairwise(channels[::-1])
    ]
    encoder = nn.Sequential(
        *itertools.chain(*halve), nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 20)
    )
    decoder = nn.Sequential(
        *(nn.Linear(10, 256), nn.ReLU(), nn.Linear(256, 1024), nn.ReLU()),
        *(nn.Unflatten(1, (64, 4, 4)), *itertools.chain(*double)),
    )[:-1]

    loss, batches, parameters = _torch_work(encoder, decoder, (1, 64, 64), batch_size)
    return _torch_run(loss, batches, torch.optim.Adam(parameters, 1e-3))


def compiled_torch(batch_size: int, hidden: int) -> Run:
    """Make run(num_steps) of torch.compile with a fused Adam."""
    import torch

    loss, batches, parameters = _torch_work(*torch_networks(hidden), (784,), batch_size)
    adam = torch.optim.Adam(parameters, 1e-3, fused=True)
    return _torch_run(torch.compile(loss), batches, adam)


def make_numpyro_svi(batch_size: int, hidden: int) -> Any:
    """Return numpyro's SVI of batches of bits."""
    from jax.example_libraries import stax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, TraceMeanField_ELBO

    trunk = (stax.Dense(hidden), stax.Tanh, stax.Dense(hidden), stax.Tanh)
    encoder, decoder = stax.serial(*trunk, stax.Dense(100)), stax.serial(*trunk, stax.Dense(784))

    def model(x):
        decode = numpyro.module("decoder", decoder, (batch_size, 50))
        with numpyro.plate("batch", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(50), 1).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x):
        encode = numpyro.module("encoder", encoder, (batch_size, 784))
        mean, log_scale = jnp.split(encode(x), 2, axis=-1)
        with numpyro.plate("batch", len(x)):
            numpyro.sample("z", dist.Normal(mean, jnp.exp(log_scale)).to_event(1))

    return SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())


def numpyro_svi(batch_size: int, hidden: int) -> Run:
    """Make run(num_steps) of numpyro's SVI, with many updates in one compiled loop."""
    import jax
    import jax.numpy as jnp

    svi = make_numpyro_svi(batch_size, hidden)
    data = jnp.asarray(made_up_images((784,)))
    steps_per_epoch = len(data) // batch_size

    @jax.jit
    def loop(state, key, num_steps):
        order = jax.random.permutation(key, len(data))

        def step(i, state):
            start = i % steps_per_epoch * batch_size
            grey = data[jax.lax.dynamic_slice(order, (start,), (batch_size,))] / 255
            bits = jax.random.bernoulli(jax.random.fold_in(key, i), grey).astype(jnp.float32)
            return svi.update(state, bits)[0]

        return jax.lax.fori_loop(0, num_steps, step, state)

    state = jax.jit(svi.init)(jax.random.key(0), data[:batch_size] / 255)
    done = 0

    def run(num_steps):
        nonlocal state, done
        done += 1
        state = jax.block_until_ready(loop(state, jax.random.key(done), num_steps))

    return run


def flax_loss(hidden: int) -> tuple[Callable, Callable]:
    """Return init(key) -> params and loss(params, bits, key) -> -ELBO in nats per example."""
    from flax import linen as nn
    import jax
    import jax.numpy as jnp
    import optax

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, key):
            for _ in range(2):
                x = nn.tanh(nn.Dense(hidden)(x))
            mean, log_scale = jnp.split(nn.Dense(100)(x), 2, axis=-1)
            x = mean + jnp.exp(log_scale) * jax.random.normal(key, mean.shape)
            for _ in range(2):
                x = nn.tanh(nn.Dense(hidden)(x))
            return nn.Dense(784)(x), mean, log_scale

    model = Model()

    def loss(params, bits, key):
        logits, mean, log_scale = model.apply(params, bits, key)
        error = optax.sigmoid_binary_cross_entropy(logits, bits).sum()
        kl = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_scale) - 2 * log_scale - 1)
        return (error + kl) / len(bits)

    return jax.jit(lambda key: model.init(key, jnp.zeros((1, 784)), key)), loss


def flax_example(batch_size: int, hidden: int) -> Run:
    """Make run(num_steps) in the style of flax's own VAE example: a jitted step, a Python loop."""
    import jax
    import jax.numpy as jnp
    import optax

    data = jnp.asarray(made_up_images((784,)))
    init, loss = flax_loss(hidden)
    adam = optax.adam(1e-3)
    params = init(jax.random.key(0))
    state = (params, adam.init(params))

    @jax.jit
    def step(state, indices, key):
        params, adam_state = state
        key_bits, key_z = jax.random.split(key)
        bits = jax.random.bernoulli(key_bits, data[indices] / 255).astype(jnp.float32)
        updates, adam_state = adam.update(jax.grad(loss)(params, bits, key_z), adam_state)
        return optax.apply_updates(params, updates), adam_state

    key, order, done = jax.random.key(0), None, 0
    steps_per_epoch = len(data) // batch_size

    def run(num_steps):
        nonlocal state, order, done
        for _ in range(num_steps):
            epoch, i = divmod(done, steps_per_epoch)
            if order is None or i == 0:
                order = jax.random.permutation(jax.random.fold_in(key, epoch), len(data))
            indices = order[i * batch_size : (i + 1) * batch_size]
            state = step(state, indices, jax.random.fold_in(key, done))
            done += 1
        jax.block_until_ready(state)

    return run


def pythae_vae(hidden: int) -> Any:
    """Return pythae's VAE, with a Bernoulli likelihood."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    import torch

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = torch_mlp(784, hidden, 100)

        def forward(self, x):
            mean, log_variance = self.layers(x).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = torch_mlp(50, hidden, 784)

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    config = VAEConfig(input_dim=(784,), latent_dim=50, reconstruction_loss="bce")
    return VAE(config, Encoder(), Decoder())


def pythae_trainer(batch_size: int, hidden: int) -> Run:
    """Make run(num_steps) of pythae's own trainer: an epoch of so many batches, bits drawn once."""
    import tempfile

    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    import torch

    model = pythae_vae(hidden)
    bits = torch.bernoulli(torch.from_numpy(made_up_images((784,))).float() / 255)
    trainers = {}

    def run(num_steps):
        if num_steps not in trainers:
            count = num_steps * batch_size
            rows = bits.repeat(-(-count // len(bits)), 1)[:count]
            options = BaseTrainerConfig(
                output_dir=tempfile.mkdtemp(),
                per_device_train_batch_size=batch_size,
                learning_rate=1e-3,
                no_cuda=True,
            )
            trainer = BaseTrainer(model, BaseDataset(rows, torch.ones(count)), None, options)
            trainer.prepare_training()
            trainers[num_steps] = trainer
        trainers[num_steps].train_step(1)

    return run


PEERS = {
    "PyTorch, eager": eager_torch,
    "torch.compile, fused Adam": compiled_torch,
    "numpyro SVI, scanned": numpyro_svi,
    "flax example, jitted step": flax_example,
    "pythae's trainer": pythae_trainer,
}
