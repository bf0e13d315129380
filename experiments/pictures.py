"""The pictures of a trained member, written as PNG files."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from vae_jax import figures


def draw_model(
    folder: Path,
    vae: Any,
    params: Any,
    key: Any,
    test: Any,
    posterior_means: np.ndarray,
    title: str,
) -> None:
    """Draw reconstructions, samples, a traversal, an interpolation and the latent means.

    Images show the mean of p(x|z), not a draw from it.

    Args:
      folder: where the files go.
      vae: the model.
      params: its parameters.
      key: for samples from the prior.
      test: test examples as the model sees them.
      posterior_means: shape (examples, latent).
      title: what the model and data are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decode = jax.jit(jax.vmap(lambda z: vae.decode(params, z).mean))
    pictures = {
        "reconstructions": _reconstructions(decode, test.x, posterior_means, title),
        "samples": _samples(decode, vae.prior(params), key, title),
        "traversal": _traversal(decode, posterior_means, title),
        "interpolation": _interpolation(decode, test.x, posterior_means, title),
        "latent_means": figures.latent_scatter(
            posterior_means, test.y, f"posterior means of the test set\n{title}"
        ),
    }
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png")


def draw_curves(folder: Path, curves: Any, title: str) -> None:
    """Draw ELBO, rate and distortion of training and validation."""
    folder.mkdir(parents=True, exist_ok=True)
    figures.training_curves(curves, title).savefig(folder / "curves.png")


def _reconstructions(decode, xs, means, title, columns=12, pairs=4):
    count = min(len(xs), columns * pairs) // pairs * pairs
    originals = np.asarray(xs[:count]).reshape(pairs, -1, *xs.shape[1:])
    decoded = np.asarray(decode(means[:count])).reshape(originals.shape)
    rows = np.stack([originals, decoded], axis=1).reshape(2 * pairs, *originals.shape[1:])
    return figures.image_grid(
        rows, f"test examples and their reconstructions\n{title}", ["original", "decoded"] * pairs
    )


def _samples(decode, prior, key, title, side=10):
    zs = jax.jit(jax.vmap(prior.sample))(jax.random.split(key, side * side))
    decoded = np.asarray(decode(zs))
    rows = decoded.reshape(side, side, *decoded.shape[1:])
    return figures.image_grid(rows, f"decoded samples from the prior\n{title}")


def _traversal(decode, means, title, columns=11, most_rows=10):
    # The dimensions that vary most over the data, around its first example's code.
    dimensions = np.argsort(-np.var(means, axis=0))[:most_rows]
    values = np.linspace(-3, 3, columns)
    zs = np.tile(means[0], (len(dimensions), columns, 1))
    for row, dimension in enumerate(dimensions):
        zs[row, :, dimension] = values
    decoded = np.asarray(decode(zs.reshape(-1, zs.shape[-1])))
    rows = decoded.reshape(len(dimensions), columns, *decoded.shape[1:])
    return figures.image_grid(
        rows, f"one latent at a time from -3 to 3\n{title}", [f"z[{d}]" for d in dimensions]
    )


def _interpolation(decode, xs, means, title, columns=12, most_rows=6):
    num_rows = min(most_rows, len(xs) // 2)
    weights = np.linspace(0, 1, columns - 2)[None, :, None]
    starts, ends = means[:num_rows, None], means[num_rows : 2 * num_rows, None]
    zs = (1 - weights) * starts + weights * ends
    decoded = np.asarray(decode(zs.reshape(-1, zs.shape[-1])))
    decoded = decoded.reshape(num_rows, columns - 2, *decoded.shape[1:])
    xs = np.asarray(xs[: 2 * num_rows])[:, None]
    rows = np.concatenate([xs[:num_rows], decoded, xs[num_rows:]], axis=1)
    return figures.image_grid(rows, f"from one test example (left) to another (right)\n{title}")
