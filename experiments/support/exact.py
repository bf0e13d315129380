"""Numbers of a trained run, or of the data drawn here, whose true values are known exactly."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import estimators
from experiments.support import console, gradients, measurement
from experiments.support.loading import load_run
from vae_jax import training
from vae_jax.datasets import ppca, sprites, tfds_arrays


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


def slope_of_signal_to_noise(workdir: Path, estimator: str, block: str) -> dict[str, float]:
    """Return the slope of log signal-to-noise against log K of each member's gradients.

    K = 64, 256 and 1,024; 20 test examples; 100 gradients each.

    Args:
      workdir: of the run.
      estimator: of the importance-weighted bound.
      block: "encoder" or "decoder".
    """
    run, how_measured, state = load_run(workdir)
    test = measurement.model_examples(run, how_measured, "test")
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[:20], test)._replace(y=None)
    names, _ = gradients.choose_estimators(run.vae, [estimator])
    slopes = {}
    for index, member in enumerate(run.members):
        params = training.select_member(state, index).params["vae"]
        track = console.track(f"K and estimators of {member.name}", 100 * 20)
        moments = estimators.measure(run, params, batch, names, (64, 256, 1024), 100, track)
        summary = gradients.summarize(moments, names)
        slopes[member.name] = summary[estimator][block]["slope"]["mean"]
    return slopes


def share_of_equal_sprites(data_dir: str) -> dict[str, float]:
    """Return which share of the images of dSprites in `data_dir` are rendered bit for bit.

    The key says how many images there are.
    """
    names = [factor.name for factor in sprites.FACTORS]
    features = {"x": "image"} | {name: f"label_{name}" for name in names}
    stored = tfds_arrays.read_tfds("dsprites", "2.0.0", data_dir, False, features, ("train",))
    labels = [stored["train"][name] for name in names]
    sizes = [factor.size for factor in sprites.FACTORS]
    indices = np.ravel_multi_index(labels, sizes).astype(np.int32)
    images = stored["train"]["x"]
    parts = np.array_split(np.arange(len(images)), max(1, len(images) // 2000))
    equal = [np.all(sprites.render_sprites(indices[i]) == images[i], axis=(1, 2, 3)) for i in parts]
    return {f"{len(images):,} images": float(np.concatenate(equal).mean())}
