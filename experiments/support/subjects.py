"""A trained member whose pictures are drawn: its functions, its numbers and what to call them."""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support.assembly import Run
from experiments.support.header import describe_objective
from experiments.support.sweeps import Member
from vae_jax import evaluation, figures
from vae_jax.datasets import Examples
from vae_jax.distributions import Masked, kl_per_dimension
from vae_jax.lookup import name_of

_DECODED_AT_ONCE = 32
_OF_DIGITS = ("digits", "digit_halves", "mnist", "binarized_mnist")


class PictureKeys(NamedTuple):
    """One key for each picture that draws something."""

    reconstructions: Any
    samples: Any
    completions: Any
    classes: Any
    prior: Any
    """Of the prior's range in a traversal."""


class PictureFunctions(NamedTuple):
    """Functions of (params, indices, examples), jitted once for all members and pictures."""

    encode: Callable
    """Of (key, x, y): a sample of q(z|x, y)."""
    decode: Callable
    """Of (z, y): the mean of p(x|z, y)."""
    prior: Callable
    """Of (key, y): a sample of p(z|y)."""
    kl: Callable
    """Of (x, y): the KL of each latent dimension in nats; TypeError where q or p does not
    factorize."""


def picture_functions(vae: Any) -> PictureFunctions:
    """Return the functions of a model that pictures are drawn with, made once."""
    return _make_functions(vae.encode, vae.decode, vae.prior)


@functools.lru_cache(maxsize=2)
def _make_functions(encode, decode, prior):
    def kl(params, x, y):
        return kl_per_dimension(encode(params, x, y), prior(params, y))

    functions = PictureFunctions(
        encode=lambda params, key, x, y: encode(params, x, y).sample(key),
        decode=lambda params, z, y: decode(params, z, y).mean,
        prior=lambda params, key, y: prior(params, y).sample(key),
        kl=kl,
    )

    def over_examples(function):
        return evaluation.over_examples(lambda params, _, example: function(params, *example))

    return PictureFunctions(*map(over_examples, functions))


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
    images_of: Callable[[Any], np.ndarray]
    """images_of(xs) -> images (examples, height, width, color); NaN where there is no value."""
    caption: str
    """Data, likelihood, objective and member."""
    legend: str
    """The caption, and what the bars of vectors show."""

    def mean(self, name: str) -> float:
        """Return the mean of a measured number over the test set."""
        return float(np.mean(self.measured[name], dtype=np.float64))


def make_subject(
    run: Run, params: Any, key: Any, test: Examples, measured: Mapping, member: Member
) -> Subject:
    """Join a member's parameters and numbers.

    Args:
      run: the run, of whose model and data this is.
      params: of one member.
      key: of all pictures.
      test: test examples as the model sees them.
      measured: per test example.
      member: which it is.
    """
    shape = run.dataset.shape
    is_image = not isinstance(shape, Mapping) and len(shape) in (2, 3)
    images_of, bars = make_images_of(test.x, run.dataset.columns is not None)
    likelihoods = name_of(run.config.vae.likelihood).replace(",", ", ")
    caption = f"{run.dataset.protocol}; p(x|z) {likelihoods}; "
    caption += f"{describe_objective(run.config.objective, member)}; {member.name}"
    return Subject(
        run=run,
        params=params,
        keys=PictureKeys(*jax.random.split(key, len(PictureKeys._fields))),
        test=test,
        ys=test.y if run.is_conditional else None,
        measured=measured,
        decode=make_decode(run, params, images_of),
        noun="digits" if run.dataset.name in _OF_DIGITS else "images" if is_image else "examples",
        images_of=images_of,
        caption=caption,
        legend="\n".join(filter(None, [caption, bars])),
    )


def make_decode(
    run: Run, params: Any, images_of: Callable[[Any], np.ndarray]
) -> Callable[[Any, Any], np.ndarray]:
    """Make decode(zs, ys) -> images of the means of p(x|z, y), with the given pixels as given."""
    means, given = picture_functions(run.vae).decode, run.dataset.given

    def decode(zs, ys):
        # All pictures in batches of one size, for which it is compiled once.
        images = evaluation.map_examples(means, params, (zs, ys), _DECODED_AT_ONCE)
        if given is not None and ys is not None:
            images = np.where(given, ys, images)
        return images_of(images)

    return decode


def make_images_of(xs: Any, is_table: bool = False) -> tuple[Callable[[Any], np.ndarray], str]:
    """Make images_of(xs) -> images (examples, height, width, color), and say what its bars show.

    Missing entries are NaN. Vectors that are no flat images are drawn as bars, on a scale that
    suits `xs`. Several fields are joined: images one above the other where all are wider than
    high, the first at the bottom, and otherwise side by side.

    Args:
      xs: examples as the model sees them, Masked or by field too.
      is_table: whether the fields are columns of a table, drawn as one vector.
    """

    def by_field(xs):
        fields = {name: _with_nan(each) for name, each in _by_field(xs).items()}
        return {"x": np.concatenate(list(fields.values()), axis=1)} if is_table else fields

    fields = by_field(xs)
    bars = {name: figures.bars_for(each, is_table) for name, each in fields.items()}
    texts = [
        each.text if len(fields) == 1 else f"{name}: {each.text}"
        for name, each in bars.items()
        if each is not None
    ]
    if is_table:
        texts = [f"{text} ({', '.join(_by_field(xs))})" for text in texts]

    def draw(name, xs):
        if bars[name] is not None:
            return figures.as_bars(xs, bars[name])
        images = figures.as_images(xs)
        return _beside_bars(images, fields[name]) if texts else images

    def images_of(xs):
        values = by_field(xs)
        parts = [draw(name, values[name]) for name in fields]
        are_wide = not texts and all(part.shape[2] > part.shape[1] for part in parts)
        join = figures.above_each_other if are_wide else figures.side_by_side
        return join(parts) if len(parts) > 1 else parts[0]

    return images_of, "; ".join(texts)


def _by_field(xs: Any) -> dict[str, np.ndarray]:
    """Return {field: values} in the order of the names; a single array is a field "x"."""
    return dict(sorted(xs.items())) if isinstance(xs, Mapping) else {"x": xs}


def _with_nan(xs: Any) -> np.ndarray:
    """Return an array, or Masked, with NaN for missing entries."""
    if isinstance(xs, Masked):
        xs = np.where(np.asarray(xs.mask) > 0, xs.values, np.nan)
    return np.asarray(xs)


def _beside_bars(images: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return images about as high as bars, on the bars' scale of colors, which is 0 to 1."""
    low, high = min(np.nanmin(test), 0), max(np.nanmax(test), 1)
    factor = max(1, figures.BAR_HEIGHT // images.shape[1])
    return ((images - low) / (high - low)).repeat(factor, axis=1).repeat(factor, axis=2)


def take(tree: Any, indices: np.ndarray) -> Any:
    """Return the examples of these indices."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[indices], tree)


def draw_from_prior(subject: Subject, key: Any, ys: Any, count: int) -> Any:
    """Return z from the prior, one for each y, or `count` where there is no y."""
    sample = picture_functions(subject.run.vae).prior
    return sample(subject.params, np.arange(count), (jax.random.split(key, count), ys))


def whole_images(subject: Subject, test: Examples) -> np.ndarray:
    """Return test images, with the given pixels where they belong."""
    return subject.images_of(test.x if subject.run.dataset.given is None else test.x.values)


def given_pixels(run: Run) -> np.ndarray | None:
    """Return which pixels of an image are given, or None."""
    given = run.dataset.given
    return None if given is None else figures.as_images(given[None])[0, ..., 0]


def likelihood_text(subject: Subject) -> str:
    """Say what -log p(x) of the test set is, in nats and in bits per value of x."""
    nll, pixels = -subject.mean("log_likelihood"), subject.run.bits_dimensions
    value = "value" if subject.noun == "examples" else "pixel"
    what = "-log p(x)" if subject.ys is None else "-log p(x|y)"
    bits = f", {evaluation.bits_per_dim(nll, pixels):.2f} bits per {value}" if pixels else ""
    return f"test {what} = {nll:.1f} nats{bits}"
