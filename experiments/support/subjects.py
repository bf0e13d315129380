"""A trained member whose pictures are drawn: its functions, its numbers and what to call them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support.assembly import Run
from vae_jax import evaluation
from vae_jax.datasets import Examples
from vae_jax.distributions import Masked
from vae_jax.figures import above_each_other, as_images, side_by_side

_OF_DIGITS = ("digits", "digit_halves", "mnist", "binarized_mnist")


class PictureKeys(NamedTuple):
    """One key for each picture that draws something."""

    reconstructions: Any
    samples: Any
    completions: Any
    classes: Any
    prior: Any
    """Of the prior's range in a traversal."""


class Subject(NamedTuple):
    """A trained member and what was measured of it on the test set."""

    run: Run
    params: Any
    keys: PictureKeys
    test: Examples
    """As the model sees them."""
    ys: Any
    """Conditions of the test examples; None where the model is not given them."""
    measured: Mapping[str, np.ndarray]
    """What `evaluation.make_measure` gives of every test example."""
    decode: Callable[[Any, Any], np.ndarray]
    """decode(zs, ys) -> images of the means of p(x|z, y)."""
    noun: str
    """What an example is called."""
    caption: str
    """Data, likelihood and member."""

    def mean(self, name: str) -> float:
        """Return the mean of a measured number over the test set."""
        return float(np.mean(self.measured[name], dtype=np.float64))


def make_subject(
    run: Run, params: Any, key: Any, test: Examples, measured: Mapping, name: str
) -> Subject:
    """Join a member's parameters and numbers.

    Args:
      run: the run, of whose model and data this is.
      params: of one member.
      key: of all pictures.
      test: test examples as the model sees them.
      measured: per test example.
      name: of the member.
    """
    shape = run.dataset.shape
    is_image = not isinstance(shape, Mapping) and len(shape) in (2, 3)
    return Subject(
        run=run,
        params=params,
        keys=PictureKeys(*jax.random.split(key, len(PictureKeys._fields))),
        test=test,
        ys=test.y if run.is_conditional else None,
        measured=measured,
        decode=make_decode(run, params),
        noun="digits" if run.dataset.name in _OF_DIGITS else "images" if is_image else "examples",
        caption=f"{run.dataset.protocol}; p(x|z) {run.config.vae.likelihood}; {name}",
    )


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
    """Return examples as images (examples, height, width, color), missing entries as NaN.

    Several fields are joined: one above the other where all are wider than high, the first at the
    bottom, and otherwise side by side.
    """
    if isinstance(xs, Masked):
        xs = np.where(np.asarray(xs.mask) > 0, xs.values, np.nan)
    if isinstance(xs, Mapping):
        parts = [as_images(xs[field]) for field in xs]
        are_wide = all(part.shape[2] > part.shape[1] for part in parts)
        return above_each_other(parts) if are_wide else side_by_side(parts)
    return as_images(xs)


def take(tree: Any, indices: np.ndarray) -> Any:
    """Return the examples of these indices."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[indices], tree)


def draw_from_prior(subject: Subject, key: Any, ys: Any, count: int) -> Any:
    """Return z from the prior, one for each y, or `count` where there is no y."""
    run, params = subject.run, subject.params
    sample = jax.jit(jax.vmap(lambda key, y: run.vae.prior(params, y).sample(key)))
    return sample(jax.random.split(key, count), ys)


def whole_images(run: Run, test: Examples) -> np.ndarray:
    """Return test images, with the given pixels where they belong."""
    return images_of(test.x if run.dataset.given is None else test.x.values)


def given_pixels(run: Run) -> np.ndarray | None:
    """Return which pixels of an image are given, or None."""
    return None if run.dataset.given is None else as_images(run.dataset.given[None])[0, ..., 0]


def likelihood_text(subject: Subject) -> str:
    """Say what -log p(x) of the test set is, in nats and in bits per value of x."""
    nll, pixels = -subject.mean("log_likelihood"), subject.run.bits_dimensions
    what = "-log p(x)" if subject.ys is None else "-log p(x|y)"
    bits = f", {evaluation.bits_per_dim(nll, pixels):.2f} bits per pixel" if pixels else ""
    return f"test {what} = {nll:.1f} nats{bits}"
