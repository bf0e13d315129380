"""The pictures of a trained member, written as PNG files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support.assembly import Evaluation, Run
from vae_jax import figures, training
from vae_jax.datasets import Examples
from vae_jax.distributions import Masked


class PictureKeys(NamedTuple):
    """One key for each picture that draws something."""

    reconstructions: Any
    samples: Any
    completions: Any
    classes: Any


def draw_members(
    folder: Path,
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    test: Examples,
    measured: list[dict[str, np.ndarray]],
) -> None:
    """Draw every member that did not fail; of several, each in a folder of its name."""
    keys = PictureKeys(*jax.random.split(how_measured.keys.pictures, len(PictureKeys._fields)))
    for i, member in enumerate(run.members):
        if state.failure.step[i] >= 0:
            continue
        params = training.select_member(state, i).evaluation_params["vae"]
        own = folder / member.file_name if len(run.members) > 1 else folder
        caption = f"{run.dataset.protocol}, {member.name}"
        draw_model(own, run, params, keys, test, measured[i]["posterior_mean"], caption)


def draw_model(
    folder: Path,
    run: Run,
    params: Any,
    keys: PictureKeys,
    test: Examples,
    posterior_means: np.ndarray,
    title: str,
) -> None:
    """Draw reconstructions and samples; of a condition, samples for each; and where latents are
    real, a traversal, an interpolation and the latent means.

    Images show the mean of p(x|z), not a draw from it; several fields stand side by side.

    Args:
      folder: where the files go.
      run: the run, of whose model and data this is.
      params: of one member.
      keys: of the pictures.
      test: test examples as the model sees them.
      posterior_means: shape (examples, latent).
      title: what the model and data are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decode, given = make_decode(run, params), run.dataset.given
    # Labels and images are conditions only where the model is given them.
    ys = test.y if run.is_conditional else None
    pictures = {
        "reconstructions": _reconstructions(
            run, params, keys.reconstructions, decode, test, ys, title
        ),
        "samples": _samples(run, params, keys.samples, decode, ys, title),
    }
    if run.is_conditional and given is not None:
        pictures["completions"] = _completions(run, params, keys.completions, decode, test, title)
    elif run.is_conditional and np.ndim(ys) == 1:
        num_classes = run.dataset.condition
        pictures["classes"] = _classes(run, params, keys.classes, decode, num_classes, title)
    if run.vae.latents in ("real", "two layers"):
        pictures["traversal"] = _traversal(decode, ys, posterior_means, title)
        pictures["interpolation"] = _interpolation(decode, test, ys, posterior_means, title)
        pictures["latent_means"] = figures.latent_scatter(
            posterior_means, _labels(test.y), f"posterior means of the test set\n{title}"
        )
    for name, figure in pictures.items():
        figure.savefig(folder / f"{name}.png")


def draw_curves(folder: Path, curves: Any, title: str) -> None:
    """Draw ELBO, KL and reconstruction of training and validation."""
    folder.mkdir(parents=True, exist_ok=True)
    figures.training_curves(curves, title).savefig(folder / "curves.png")


def make_decode(run: Run, params: Any) -> Callable[[Any, Any], np.ndarray]:
    """Make decode(zs, ys) -> images of the means of p(x|z, y), with the given pixels as given."""
    means = jax.jit(jax.vmap(lambda z, y: run.vae.decode(params, z, y).mean))
    given = run.dataset.given

    def decode(zs, ys):
        images = jax.device_get(means(zs, ys))
        if given is not None and ys is not None:
            images = np.where(given, ys, images)
        return images_of(images)

    return decode


def images_of(xs: Any) -> np.ndarray:
    """Return examples as images (examples, height, width, color), missing entries as NaN."""
    if isinstance(xs, Masked):
        xs = np.where(np.asarray(xs.mask) > 0, xs.values, np.nan)
    if isinstance(xs, Mapping):
        return figures.side_by_side([figures.as_images(xs[field]) for field in xs])
    return figures.as_images(xs)


def _labels(ys):
    return ys if ys is not None and np.ndim(ys) == 1 else None


def _take(tree, indices):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[indices], tree)


def _draw(run, params, key, ys, count):
    """Return z from the prior, one for each y, or `count` where there is no y."""
    sample = jax.jit(jax.vmap(lambda key, y: run.vae.prior(params, y).sample(key)))
    return sample(jax.random.split(key, count), ys)


def _whole(run, test):
    """Return test images, with the given pixels where they belong."""
    if run.dataset.given is None:
        return images_of(test.x)
    return images_of(test.x.values)


def _reconstructions(run, params, key, decode, test, ys, title, columns=12, pairs=4):
    count = min(len(jax.tree.leaves(test.x)[0]), columns * pairs) // pairs * pairs
    chosen = np.arange(count)
    some, some_ys = _take(test, chosen), _take(ys, chosen)
    encode = jax.jit(jax.vmap(lambda k, x, y: run.vae.encode(params, x, y).sample(k)))
    zs = encode(jax.random.split(key, count), some.x, some_ys)
    originals, decoded = _whole(run, some), decode(zs, some_ys)
    rows = np.stack(
        [each.reshape(pairs, -1, *originals.shape[1:]) for each in (originals, decoded)]
    )
    rows = rows.swapaxes(0, 1).reshape(2 * pairs, -1, *originals.shape[1:])
    return figures.image_grid(
        rows, f"test examples and their reconstructions\n{title}", ["original", "decoded"] * pairs
    )


def _samples(run, params, key, decode, ys, title, side=10):
    ys = _take(ys, np.resize(np.arange(len(ys)), side * side)) if ys is not None else None
    images = decode(_draw(run, params, key, ys, side * side), ys)
    rows = images.reshape(side, side, *images.shape[1:])
    what = "the prior" if ys is None else "p(z|y), y of test examples"
    return figures.image_grid(rows, f"decoded samples from {what}\n{title}")


def _classes(run, params, key, decode, num_classes, title, columns=12):
    # The same noise in each row: what changes from row to row is the class.
    labels = np.arange(num_classes)
    rows = [
        decode(_draw(run, params, key, np.full(columns, y), columns), np.full(columns, y))
        for y in labels
    ]
    return figures.image_grid(
        np.stack(rows), f"decoded samples given the class\n{title}", [f"y = {y}" for y in labels]
    )


def _completions(run, params, key, decode, test, title, most_rows=10, columns=8):
    some = _take(test, np.arange(min(most_rows, len(test.y))))
    given = images_of(np.where(run.dataset.given > 0, some.y, 0.5))
    rows = [_whole(run, some), given]
    for each in jax.random.split(key, columns):
        rows.append(decode(_draw(run, params, each, some.y, len(some.y)), some.y))
    what = "test example, what is given of it, decoded samples of the rest"
    return figures.image_grid(np.stack(rows, axis=1), f"{what}\n{title}")


def _traversal(decode, ys, means, title, columns=11, most_rows=10):
    # The dimensions that vary most over the data, around its first example's code.
    dimensions = np.argsort(-np.var(means, axis=0))[:most_rows]
    values = np.linspace(-3, 3, columns)
    zs = np.tile(means[0], (len(dimensions), columns, 1))
    for row, dimension in enumerate(dimensions):
        zs[row, :, dimension] = values
    count = len(dimensions) * columns
    images = decode(zs.reshape(count, -1), _take(ys, np.zeros(count, int)))
    rows = images.reshape(len(dimensions), columns, *images.shape[1:])
    return figures.image_grid(
        rows, f"one latent at a time from -3 to 3\n{title}", [f"z[{d}]" for d in dimensions]
    )


def _interpolation(decode, test, ys, means, title, columns=12, most_rows=6):
    num_rows = min(most_rows, len(means) // 2)
    weights = np.linspace(0, 1, columns - 2)[None, :, None]
    starts, ends = means[:num_rows, None], means[num_rows : 2 * num_rows, None]
    zs = (1 - weights) * starts + weights * ends
    images = decode(
        zs.reshape(-1, zs.shape[-1]), _take(ys, np.repeat(np.arange(num_rows), columns - 2))
    )
    images = images.reshape(num_rows, columns - 2, *images.shape[1:])
    originals = images_of(_take(test.x, np.arange(2 * num_rows)))[:, None]
    rows = np.concatenate([originals[:num_rows], images, originals[num_rows:]], axis=1)
    return figures.image_grid(rows, f"from one test example (left) to another (right)\n{title}")
