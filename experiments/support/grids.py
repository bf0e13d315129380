"""What the pictures of a trained member show, as grids of images with titles and labels."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.support.subjects import (
    Subject,
    draw_from_prior,
    given_pixels,
    likelihood_text,
    picture_functions,
    take,
    whole_images,
)
from vae_jax import datasets, evaluation
from vae_jax.distributions import Gaussian
from vae_jax.figures import Grid

_BLUE = " (blue: given)"


def reconstructions(subject: Subject, columns: int = 12, pairs: int = 5) -> Grid:
    """Show test examples and, below each, the mean of p(x|z) at one sample z of q(z|x)."""
    run = subject.run
    num_examples = datasets.num_examples(subject.test)
    pairs = min(pairs, num_examples)
    count = min(num_examples, columns * pairs) // pairs * pairs
    some, ys = (take(tree, np.arange(count)) for tree in (subject.test, subject.ys))
    keys = jax.random.split(subject.keys.reconstructions, count)
    sample = picture_functions(run.vae).encode
    zs = sample(subject.params, np.arange(count), (keys, some.x, ys))
    both = np.stack([whole_images(subject, some), subject.decode(zs, ys)])
    is_given = run.dataset.given is not None
    rows = both.reshape(2, pairs, -1, *both.shape[2:]).swapaxes(0, 1)
    return Grid(
        rows.reshape(2 * pairs, -1, *both.shape[2:]),
        f"Test {subject.noun} and their reconstructions{_BLUE * is_given}\n"
        f"reconstruction {subject.mean('reconstruction'):.1f}, KL {subject.mean('kl'):.1f}, "
        f"ELBO {subject.mean('elbo'):.1f} nats\n"
        f"{subject.legend}",
        ["original", "decoded"] * pairs,
        row_breaks=range(2, 2 * pairs, 2),
        marked=given_pixels(run),
    )


def samples(subject: Subject, rows: int = 10, columns: int = 12) -> Grid:
    """Show the means of p(x|z) of samples z from the prior."""
    ys, count = subject.ys, rows * columns
    if ys is not None:
        ys = take(ys, np.resize(np.arange(len(ys)), count))
    images = subject.decode(draw_from_prior(subject, subject.keys.samples, ys, count), ys)
    prior = "the prior p(z)" if ys is None else "p(z|y)"
    return Grid(
        images.reshape(rows, columns, *images.shape[1:]),
        f"New {subject.noun}: z from {prior}\n{likelihood_text(subject)}\n{subject.legend}",
        marked=given_pixels(subject.run),
    )


def classes(subject: Subject, columns: int = 12) -> Grid:
    """Show samples given each class, with the same noise in each row: the class alone changes."""
    num_classes = subject.run.dataset.condition
    rows = [
        subject.decode(draw_from_prior(subject, subject.keys.classes, ys, columns), ys)
        for ys in np.repeat(np.arange(num_classes)[:, None], columns, axis=1)
    ]
    return Grid(
        np.stack(rows),
        f"New {subject.noun} of a given class y, the same noise down each column\n"
        f"{likelihood_text(subject)}\n{subject.legend}",
        [f"y = {y}" for y in range(num_classes)],
    )


def completions(subject: Subject, most_rows: int = 10, columns: int = 9) -> Grid:
    """Show test examples, what is given of them (tinted), and samples of the rest."""
    run = subject.run
    some = take(subject.test, np.arange(min(most_rows, len(subject.test.y))))
    given = subject.images_of(np.where(run.dataset.given > 0, some.y, np.nan))
    rows = [whole_images(subject, some), given]
    for key in jax.random.split(subject.keys.completions, columns):
        rows.append(subject.decode(draw_from_prior(subject, key, some.y, len(some.y)), some.y))
    marked = np.array([False] + [True] * (columns + 1))[:, None, None] * given_pixels(run)
    return Grid(
        np.stack(rows, axis=1),
        f"Given the blue part of a test {subject.noun[:-1]}, the rest is drawn\n"
        f"{likelihood_text(subject)}\n{subject.legend}",
        column_labels=["original", "given", *(f"draw {i + 1}" for i in range(columns))],
        marked=marked,
        column_breaks=(1, 2),
    )


def traversal(subject: Subject, columns: int = 11, most_rows: int = 10) -> Grid:
    """Show one latent at a time over 3 standard deviations of the prior to both sides.

    Rows are ordered by KL; those whose posterior mean hardly varies (`is_active`) are pale.
    """
    means = subject.measured["posterior_mean"]
    amounts, form = latent_use(subject)
    active = evaluation.is_active(means, subject.run.vae.latents)
    rows = [
        (d, form.format(amounts[d]) if active[d] else "unused", not active[d])
        for d in np.argsort(-amounts)[:most_rows]
    ]
    title = f"Each row varies one latent of a typical test {subject.noun[:-1]}\n"
    title += f"{active.sum()} of {means.shape[1]} latents are used, "
    title += f"KL = {subject.mean('kl'):.1f} nats in all"
    title += "; var: of posterior means" if "var" in form else ""
    return vary_latents(subject, rows, title, columns)


def vary_latents(
    subject: Subject, rows: Sequence[tuple[int, str, bool]], title: str, columns: int = 11
) -> Grid:
    """Show one latent at a time over 3 standard deviations of the prior to both sides.

    The others stay at the posterior mean of the test example that is nearest to the mean of all.

    Args:
      subject: a trained member.
      rows: (latent, words beside it, whether the row is pale) of each row.
      title: its first lines.
      columns: values of each latent.
    """
    means = subject.measured["posterior_mean"]
    dimensions, words, faded = zip(*rows, strict=True)
    typical = np.argmin(np.sum((means - means.mean(axis=0)) ** 2, axis=1))
    y = take(subject.ys, np.array([typical]))
    center, scale, unit = _prior_range(subject, y)
    steps = np.linspace(-3, 3, columns)
    zs = _vary(means[typical], dimensions, center + steps[:, None] * scale)
    images = subject.decode(zs.reshape(-1, zs.shape[-1]), take(y, np.zeros(zs[..., 0].size, int)))
    return Grid(
        images.reshape(*zs.shape[:2], *images.shape[1:]),
        f"{title}\nz from -3 to 3{unit}, the others fixed\n{subject.legend}",
        [f"z{d}  {word}" for d, word in zip(dimensions, words, strict=True)],
        [f"{step:.1f}{unit}" for step in steps],
        faded,
        given_pixels(subject.run),
    )


def _vary(code, dimensions, values):
    """Return codes (rows, columns, latent): `code`, in each row with one dimension replaced by its
    values, of shape (columns, latent)."""
    zs = np.tile(code, (len(dimensions), len(values), 1))
    for row, dimension in enumerate(dimensions):
        zs[row, :, dimension] = values[:, dimension]
    return zs


def latent_use(subject: Subject) -> tuple[np.ndarray, str]:
    """Return how much each latent is used, and how that is written.

    It is the mean over the test set of the KL of each dimension, in nats; where q and p do not
    factorize, the variance of the posterior mean over the test set.
    """
    kl_of_examples = picture_functions(subject.run.vae).kl
    indices = np.arange(datasets.num_examples(subject.test))
    try:
        kl = kl_of_examples(subject.params, indices, (subject.test.x, subject.ys))
    except TypeError:
        return np.var(subject.measured["posterior_mean"], axis=0), "var {:.1f}"
    return np.mean(kl, axis=0), "{:.1f} nats"


def interpolation(subject: Subject, columns: int = 12, most_rows: int = 6) -> Grid:
    """Show the line between the posterior means of two test examples, and both of these."""
    means = subject.measured["posterior_mean"]
    starts, ends = _endpoints(subject, most_rows)
    weights = np.linspace(0, 1, columns - 2)
    zs = means[starts, None] + weights[None, :, None] * (means[ends] - means[starts])[:, None]
    ys = take(subject.ys, np.repeat(starts, columns - 2))
    images = subject.decode(zs.reshape(-1, zs.shape[-1]), ys)
    images = images.reshape(len(starts), columns - 2, *images.shape[1:])
    first, last = (whole_images(subject, take(subject.test, i))[:, None] for i in (starts, ends))
    given = ""
    if subject.ys is not None:
        given = "; y is the class of both" if np.ndim(subject.ys) == 1 else "; y is the left one's"
    return Grid(
        np.concatenate([first, images, last], axis=1),
        f"From one test {subject.noun[:-1]} to another, along the line between their codes\n"
        f"{likelihood_text(subject)}{given}\n{subject.legend}",
        column_labels=["original", *(f"{w:.0%}" for w in weights), "original"],
        column_breaks=(1, columns - 1),
    )


def overview(grids: Mapping[str, Grid]) -> list[Grid]:
    """Return reconstructions, samples and what else tells most, cut to fit side by side."""
    chosen = [("reconstructions", 7), ("samples", 6)]
    last = [name for name in ("completions", "classes", "traversal") if name in grids]
    chosen += [(name, 11) for name in last[:1]]
    cut = []
    for name, columns in chosen:
        grid = grids[name]
        headline, numbers, caption = grid.title.split("\n", 2)
        title = "\n".join([headline, numbers, *([] if cut else [caption])])
        labels = grid.column_labels[:columns]
        cut.append(grid._replace(rows=grid.rows[:, :columns], title=title, column_labels=labels))
    return cut


def _prior_range(subject, y):
    """Return mean and standard deviation of p(z) or p(z|y), and what to call the latter."""
    y = jax.tree.map(lambda leaf: leaf[0], y)
    p = subject.run.vae.prior(subject.params, y)
    if isinstance(p, Gaussian):
        center, scale = jnp.broadcast_arrays(p.mean, p.scale)
    else:
        zs = jax.vmap(p.sample)(jax.random.split(subject.keys.prior, 1000))
        zs = zs[0] if isinstance(zs, tuple) else zs
        center, scale = jnp.mean(zs, axis=0), jnp.std(zs, axis=0)
    center, scale = (np.asarray(each).ravel() for each in (center, scale))
    is_standard = np.allclose(center, 0) and np.allclose(scale, 1)
    return center, scale, "" if is_standard else " sd"


def _endpoints(subject, most_rows):
    """Return indices of the first and the last example of each row: of two labels where a label
    is known, of one label where the model is given it."""
    labels, count = subject.test.y, len(subject.measured["posterior_mean"])
    if labels is None or np.ndim(labels) != 1 or labels.dtype.kind not in "ui":
        num_rows = min(most_rows, count // 2)
        return np.arange(num_rows), np.arange(num_rows, 2 * num_rows)
    found = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if subject.ys is not None:
        found = [each for each in found if len(each) > 1][:most_rows]
        return np.array([each[0] for each in found]), np.array([each[1] for each in found])
    first = np.array([each[0] for each in found])
    return np.resize(first[0::2], len(first) // 2), first[1::2]
