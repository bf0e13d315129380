"""What a page shows beside the decoder: codes, test images, the order and the range of latents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support import console, files, run_folder
from experiments.support.assembly import load_dataset
from vae_jax import datasets, evaluation, figures
from vae_jax.datasets import Dataset, Examples
from vae_jax.distributions import Masked
from vae_jax.fast import threefry
from vae_jax.model import Model
from vae_jax.models import check_fits

_MOST_CODES, _MOST_IMAGES, _DRAWS = 1000, 48, 500
_MOST_BYTES = 2_000_000  # of codes, and of images
# What latents are ordered by, as the page says it.
_KL = {
    "name": "KL",
    "unit": "nats",
    "text": "Most informative first: the KL is how much it tells about an example, on average.",
}
_VARIANCE = {
    "name": "variance",
    "unit": "",
    "text": "By the variance of the mean over examples, as the KL has no closed form.",
}


class Shown(NamedTuple):
    """Examples whose codes are drawn, and what their pictures are."""

    dataset: Dataset
    """The data set, or its outline, in whose form they are stored."""
    examples: Examples
    pictures: Examples
    """The same ones, as they are drawn: of draws from the model, the means of p(x|z)."""
    origin: str
    """Where they are from."""


def find_examples(model: Model, workdir: str, source: str | None) -> Shown:
    """Return the examples of a file, or the test set of a run, or else draws from the model.

    Raises:
      ValueError: a file that cannot be read, or examples that the model cannot be given.
    """
    if source is not None:
        given = files.read_given(model.dataset, source)
        examples = datasets.examples_from(model.dataset, given.x, given.y, source)
        check_fits(model.vae, model.dataset, examples, source)
        return _some(Shown(model.dataset, examples, examples, f"examples of {Path(source).name}"))
    if Path(workdir).is_dir():
        try:
            # The metadata of a model name no folders, which are where the data is.
            dataset = load_dataset(**run_folder.read_config(Path(workdir)).data)
            run_folder.check_data(Path(workdir), datasets.fingerprint(dataset))
            return _some(Shown(dataset, dataset.test, dataset.test, "test examples"))
        except (ValueError, OSError) as error:
            console.say(f"the page shows draws from the model, as its data cannot be read: {error}")
    return _drawn(model)


def _drawn(model: Model) -> Shown:
    condition = model.vae.condition
    y = None if condition is None else np.arange(_MOST_CODES) % condition
    draws, means = (
        datasets.examples_from(model.dataset, model.sample(_MOST_CODES, y, means=is_mean), y)
        for is_mean in (False, True)
    )
    return Shown(model.dataset, draws, means, "draws from the model")


def _some(shown: Shown) -> Shown:
    # An even choice, as some sets are sorted by class.
    count = datasets.num_examples(shown.examples)
    chosen = np.random.default_rng(0).permutation(count)[:_MOST_CODES]
    examples = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], shown.examples)
    return shown._replace(examples=examples, pictures=examples)


def make_content(model: Model, shown: Shown) -> dict[str, Any]:
    """Return the numbers and arrays that the page draws, by name: see latent_space.js.

    Latents are ordered by KL(q(z_j|x) || p(z_j)), averaged over the examples; where that has no
    closed form, by the variance of the posterior means.
    """
    key_bits, key_means, key_draws = jax.random.split(threefry.key(0), 3)
    seen = datasets.to_model_examples(shown.dataset, key_bits, shown.examples)
    measured = _measure(model, seen, key_means)
    codes, kl = measured["posterior_mean"], measured.get("kl_per_dimension")
    amounts = np.var(codes, axis=0) if kl is None else np.mean(kl, axis=0, dtype=np.float64)
    draws, draw_labels, origins = _prior_draws(model, key_draws)
    low, high = _ranges(model.vae.latents, np.concatenate([codes, draws]))
    active = evaluation.is_active(codes, model.vae.latents)
    count = min(len(codes), max(2, _MOST_BYTES // (4 * codes.shape[1])))
    images, picture = _pictures(shown)
    return {
        "latents": [
            {
                "index": int(d),
                "amount": float(amounts[d]),
                "isDead": not active[d],
                "low": float(low[d]),
                "high": float(high[d]),
            }
            for d in np.argsort(-amounts, kind="stable")
        ],
        "amount": _VARIANCE if kl is None else _KL,
        "numClasses": model.vae.condition or 0,
        "numLabels": (shown.dataset.labels or (0, 0))[1] + 1,
        "codes": codes[:count],
        "labels": _labels(shown)[:count],
        "draws": draws,
        "drawLabels": draw_labels,
        "origins": origins,
        "images": images[:count],
        "picture": picture,
        "examples": shown.origin,
    }


def _measure(model: Model, seen: Examples, key: Any) -> Mapping[str, np.ndarray]:
    # The mean of q(z|x) of each example, and where there is one, its KL per dimension.
    vae = model.vae

    def measure(params_and_key, index, example):
        params, key = params_and_key
        x, y = example
        y = y if vae.condition is not None else None
        q = vae.encode(params, x, y)
        means = {"posterior_mean": evaluation.posterior_means(key, q)["posterior_mean"]}
        return means | evaluation.kl_of_each_dimension(q, vae.prior(params, y))

    given = model.params, key
    batched = evaluation.over_examples(measure)
    return evaluation.map_examples(batched, given, jax.device_get(seen), model.batch_size)


def _prior_draws(model: Model, key: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws of p(z|y) of each class in turn, their classes, and the mean of each p(z|y)."""
    vae = model.vae
    num_classes = vae.condition or 1

    def draw(params_and_key, index, y):
        params, key = params_and_key
        p = vae.prior(params, y if vae.condition is not None else None)
        return p.sample(jax.random.fold_in(key, index))

    def mean(params_and_key, index, y):
        params, key = params_and_key
        p = vae.prior(params, y if vae.condition is not None else None)
        return evaluation.posterior_means(key, p)["posterior_mean"]

    given, labels = (model.params, key), np.arange(_DRAWS, dtype=np.int32) % num_classes
    draws = evaluation.map_examples(evaluation.over_examples(draw), given, labels, _DRAWS)
    classes = np.arange(num_classes, dtype=np.int32)
    origins = evaluation.map_examples(evaluation.over_examples(mean), given, classes, 100)
    return draws, labels, origins


def _ranges(latents: str, zs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of each slider, which hold all of these codes."""
    low, high = zs.min(axis=0), zs.max(axis=0)
    if latents == "unit":
        return np.zeros_like(low), np.ones_like(high)
    if latents == "positive":
        return np.zeros_like(low), np.ceil(high)
    return np.minimum(np.floor(2 * low) / 2, -3), np.maximum(np.ceil(2 * high) / 2, 3)


def _labels(shown: Shown) -> np.ndarray:
    """Return the class of each example; [] where there are none."""
    y = shown.examples.y
    has_labels = shown.dataset.labels is not None and y is not None
    return np.asarray(y if has_labels else [], np.int32)


def _pictures(shown: Shown) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the first examples as bytes from 0 to 255, and how values are drawn.

    Byte 0 is the value `low`, 255 is `high`: numbers of an image, one per column of a vector.
    """
    x = datasets.expected_examples(shown.dataset, shown.pictures).x
    if isinstance(x, Masked):
        x = np.where(np.asarray(x.mask) > 0, x.values, np.nan)
    x = np.asarray(x, np.float32)
    bars = figures.bars_for(x)
    if bars is None:
        picture = _image_of(x)
    else:
        low, high = bars.low.tolist(), bars.high.tolist()
        kind = {"kind": "bars", "start": bars.start, "text": bars.text}
        picture = kind | {"low": low, "high": high}
    low, high = (np.asarray(picture[name]) for name in ("low", "high"))
    x = x[: max(2, min(_MOST_IMAGES, _MOST_BYTES // x[0].size))]
    heights = np.nan_to_num(np.clip((x - low) / (high - low), 0, 1), nan=0.0)
    return np.round(255 * heights).astype(np.uint8).reshape(len(x), -1), picture


def _image_of(x):
    *sides, colors = figures.as_images(x[:1])[0].shape
    stored = x.shape[-1] if x.ndim == 4 and colors > 1 else 1
    low, high = float(min(np.nanmin(x), 0)), float(max(np.nanmax(x), 1))
    size = {"height": sides[0], "width": sides[1], "colors": colors, "channels": stored}
    return {"kind": "image", "low": low, "high": high} | size
