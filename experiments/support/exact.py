"""Numbers of a trained run, or of the data drawn here, whose true values are known exactly."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.support.loading import load_run
from vae_jax import evaluation, models, training
from vae_jax.datasets import Examples, ppca, sprites
from vae_jax.distributions import Gaussian
from vae_jax.objectives import make_objective


def below_maximum_likelihood(workdir: Path) -> dict[str, float]:
    """Return how far each member's mean log p(x) of the training set is below its maximum, in nats.

    Of a run whose decoder is linear with one sigma: probabilistic PCA, Tipping & Bishop (1999).
    """
    run, _, state = load_run(workdir)
    x = np.float64(run.dataset.train.x)
    _, best = ppca.maximum_likelihood(x, run.config.vae.latent_dim)
    gaps = {}
    for index, member in enumerate(run.members):
        params = training.select_member(state, index).params["vae"]
        model = _linear_model(run.vae, params, run.config.vae.latent_dim)
        gaps[member.name] = float(best - ppca.log_likelihood(model, x).mean())
    return gaps


def _linear_model(vae, params, latent_dim):
    points = [jnp.zeros(latent_dim), *jnp.eye(latent_dim)]
    mean, *columns = (np.float64(vae.decode(params, z).mean) for z in points)
    scale = np.exp(np.float64(vae.decode(params, points[0]).log_scale))
    return ppca.LinearGaussian(np.stack(columns, axis=1) - mean[:, None], mean, float(scale))


# The experiment of Rainforth et al. (2018), Section 4: z ~ N(mu, I), x|z ~ N(z, I), q = N(A x + b,
# (2/3) I). Parameters are N(0, .01^2) off the optimum mu = mean of x, A = I/2, b = mu/2.
_DIMENSIONS = 20


def make_toy(seed: int = 0) -> tuple[models.VAE, Any, Examples]:
    """Return the model, its parameters and a batch of one of the 1,024 examples."""
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=_DIMENSIONS) + np.sqrt(2) * rng.normal(size=(1024, _DIMENSIONS))
    mu = xs.mean(axis=0)

    def near(optimum):
        return jnp.asarray(optimum + 0.01 * rng.normal(size=optimum.shape), jnp.float32)

    encoder = {"weights": near(np.eye(_DIMENSIONS) / 2), "bias": near(mu / 2)}
    params = {"encoder": encoder, "decoder": {"mean": near(mu)}}

    def encode(params, x, y=None):
        mean = params["encoder"]["weights"] @ x + params["encoder"]["bias"]
        return Gaussian(mean, jnp.full(_DIMENSIONS, 0.5 * np.log(2 / 3)))

    def decode(params, z, y=None):
        return Gaussian(z, jnp.zeros(_DIMENSIONS))

    def prior(params, y=None):
        return Gaussian(params["decoder"]["mean"], jnp.zeros(_DIMENSIONS))

    vae = models.VAE(lambda key, examples: params, encode, decode, prior)
    return vae, params, Examples(jnp.asarray(xs[:1], jnp.float32))


def toy_moments(
    estimator: str, num_samples: int, group_size: int, seed: int = 0
) -> dict[str, evaluation.GradientMoments]:
    """Return {"encoder": moments of b's derivatives, "decoder": of mu's}, of ten groups."""
    vae, params, batch = make_toy(seed)
    objective = make_objective("iwae", num_samples=num_samples, estimator=estimator)

    def loss(key, params, batch):
        return objective.loss(key, vae, {"vae": params, "objective": {}}, {}, batch, 0)[0]

    every = jnp.arange(_DIMENSIONS)
    chosen = {"encoder": every, "decoder": every}  # the encoder's leaves: bias, weights
    at_once = max(1, 4096 // num_samples)
    group_moments = evaluation.make_group_moments(loss, chosen, at_once)
    keys = jax.random.split(jax.random.key(num_samples), (10, group_size))
    groups = [jax.device_get(group_moments(each, params, batch)) for each in keys]
    return {
        block: evaluation.join_groups([group[block] for group in groups], group_size)
        for block in chosen
    }


def slope_of_signal_to_noise(estimator: str, block: str) -> dict[str, float]:
    """Return the slope of log signal-to-noise against log K, K = 64 and 512, of three toys.

    The signal is the mean of the doubly reparameterized gradient; 400 gradients each.

    Args:
      estimator: of the importance-weighted bound.
      block: "encoder" or "decoder".
    """
    numbers, slopes = (64, 512), {}
    for seed in range(3):
        own, signals = (
            [toy_moments(name, number, 40, seed)[block] for number in numbers]
            for name in (estimator, "doubly_reparameterized")
        )
        slope = evaluation.slope_of_signal_to_noise(numbers, own, signals)
        slopes[f"seed={seed}"] = slope.mean
    return slopes


def share_of_equal_sprites(data_dir: str) -> dict[str, float]:
    """Return which share of the images of dSprites in `data_dir` are rendered bit for bit.

    The key says how many images there are.
    """
    images, labels = sprites.read_dsprites(data_dir, download=False)
    sizes = [factor.size for factor in sprites.FACTORS]
    indices = np.ravel_multi_index(list(labels.values()), sizes).astype(np.int32)
    parts = np.array_split(np.arange(len(images)), max(1, len(images) // 2000))
    equal = [np.all(sprites.render_sprites(indices[i]) == images[i], axis=(1, 2, 3)) for i in parts]
    return {f"{len(images):,} images": float(np.concatenate(equal).mean())}
