"""dSprites (Matthey et al., 2017): rendered from their factors, or as TFDS has them.

737,280 images, 64x64, of a square, an ellipse or a heart, in six sizes, 40 orientations and 32 x 32
positions. An image is a filled polygon, of which the vertices are snapped to 1/256 pixel; 99.98% of
the images come out bit-equal, the others but for one pixel.
"""

from collections.abc import Callable
import functools

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Int, UInt8
import numpy as np

from vae_jax.datasets.data import Dataset, Examples, Factor, Values
from vae_jax.datasets.making import make_dataset, split_examples
from vae_jax.datasets.tfds_arrays import read_tfds
from vae_jax.fast.polygons import SUBPIXELS, edges_of_rows, fill
from vae_jax.lookup import check_whole

FACTORS = (
    Factor("shape", 3),
    Factor("scale", 6),
    Factor("orientation", 40),
    Factor("x_position", 32),
    Factor("y_position", 32),
)
NUM_SPRITES = 737_280
_SIZE, _POSITIONS = 64, 32
_STEPS = _POSITIONS - 1
_REACH = _SIZE // 2 * SUBPIXELS  # how far the centre moves, from a quarter of the image on
_RADIUS = 9.6  # pixels, of the largest scale


def outlines() -> np.ndarray:
    """Return the vertices of each shape, scale and orientation: float64, (720, 150, 2).

    They are (x, y) in pixels from the centre, y downwards. A shape of fewer than 150 vertices
    repeats its last one. The ellipse has semi-axes r 1.33 and r / 1.33, with r = 9.6; the heart is
    u = r sin^3 t, w = -1.44 - (r / 14.5) (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t).
    """
    r = _RADIUS
    square = r * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    t = 2 * np.pi * np.arange(100) / 100
    ellipse = np.stack([1.33 * r * np.cos(t), r / 1.33 * np.sin(t)], axis=-1)
    t = 2 * np.pi * np.arange(150) / 150
    waves = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    heart = np.stack([r * np.sin(t) ** 3, -1.44 - r / 14.5 * waves], axis=-1)
    shapes = [
        np.pad(each, [(0, 150 - len(each)), (0, 0)], mode="edge")
        for each in (square, ellipse, heart)
    ]
    u, w = np.moveaxis(np.stack(shapes), -1, 0)[:, :, None, None]
    scale = np.linspace(0.5, 1, 6)[:, None, None]
    angle = np.linspace(0, 2 * np.pi, 40)[:, None]  # the last one repeats the first
    x = scale * (np.cos(angle) * u + np.sin(angle) * w)
    y = scale * (np.cos(angle) * w - np.sin(angle) * u)
    return np.stack([x, y], axis=-1).reshape(-1, 150, 2)


@functools.cache
def _tables():
    """Return the outlines as integers, and the edges that cross each row: (720, 32, 64, 4).

    At position k of 0 .. 31 the centre lies at 16 + 32 k / 31 pixels, and a vertex p pixels from it
    is snapped to floor(256 (16 + 32 k / 31 + p) + 1/2) = floor((8192 k + q) / 31), where
    q = floor(31 (256 (16 + p) + 1/2)): the integers q are all that the 32 positions need.
    """
    q = np.floor(_STEPS * (SUBPIXELS * (_SIZE / 4 + outlines()) + 0.5)).astype(np.int32)
    ys = (_REACH * np.arange(_POSITIONS)[:, None] + q[:, None, :, 1]) // _STEPS
    edges = edges_of_rows(ys.reshape(-1, ys.shape[-1]), _SIZE)
    return q, edges.reshape(len(q), _POSITIONS, _SIZE, -1)


def render_sprite(
    index: Int[Array, ""], fill: Callable[[Array, Array], Array] = fill
) -> UInt8[Array, "64 64 1"]:
    """Return an image of dSprites, as 0 and 1.

    Args:
      index: of the image in dSprites' order, the grid of FACTORS of which the last varies fastest.
      fill: of a polygon, `fast.polygons.fill` or `plain_fill`.
    """
    q, edges = _tables()
    outline, x, y = index // _POSITIONS**2, index // _POSITIONS % _POSITIONS, index % _POSITIONS
    vertices = (_REACH * jnp.stack([x, y]) + jnp.asarray(q)[outline]) // _STEPS
    return fill(vertices, jnp.asarray(edges)[outline, y]).astype(jnp.uint8)[..., None]


@functools.partial(jax.jit, inline=True)
def render_sprites(indices: Int[Array, "examples"]) -> UInt8[Array, "examples 64 64 1"]:
    """Return the images of these indices: see `render_sprite`."""
    return jax.vmap(render_sprite)(indices)


# How stored indices become stored images; `Values.rendering` names the row.
RENDERINGS: dict[str, Callable[[Array], Array]] = {"sprites": render_sprites}


def load_sprites(
    *, num_train: int = 0, num_validation: int = 1000, num_test: int = 2000, seed: int = 0
) -> Dataset:
    """dSprites, 737,280 images of 64x64 bits with five factors, rendered inside the training step.

    An example is stored as its index in dSprites' order; nothing is downloaded. Training draws its
    images at random, with replacement: an epoch is as many draws as there are training images.

    Args:
      num_train: images that training draws from; 0: all that are not held out.
      num_validation: images held out for validation, drawn at random.
      num_test: images held out for the test, drawn at random.
      seed: of the split.

    Raises:
      ValueError: no image is left for one of the three parts.
    """
    indices = np.arange(NUM_SPRITES, dtype=np.int32)
    train, *held_out = _split(Examples(indices), num_validation, num_test, seed)
    check_whole(0, len(train.x), num_train=num_train)
    train = Examples(train.x[: num_train or None])
    shape = (_SIZE, _SIZE, 1)
    values = Values(shape, 1.0, (0.0, 1.0), "static", True, "bernoulli", rendering="sprites")
    return Dataset("sprites", train, *held_out, values, factors=FACTORS)


def load_dsprites(
    *,
    data_dir: str = "",
    download: bool = False,
    num_validation: int = 1000,
    num_test: int = 2000,
    seed: int = 0,
) -> Dataset:
    """dSprites through TFDS, complete or a part of it, with the index of each factor's value as y.

    Which values a factor takes is read from what is there. sprites has the same images without a
    download.

    Args:
      data_dir: TFDS's folder; "" for TFDS's own default.
      download: fetch and prepare the data if they are not in `data_dir`.
      num_validation: images held out for validation, drawn at random.
      num_test: images held out for the test, drawn at random.
      seed: of the split.

    Raises:
      ValueError: the data are not there, or no image is left for one of the three parts.
    """
    images, labels = read_dsprites(data_dir, download)
    found = [np.unique(each, return_inverse=True) for each in labels.values()]
    y = np.stack([indices for _, indices in found], axis=-1).astype(np.int32)
    parts = _split(Examples(images, y), num_validation, num_test, seed)
    dataset = make_dataset("dsprites", *parts, 1.0, "none")
    factors = tuple(Factor(name, len(each)) for name, (each, _) in zip(labels, found, strict=True))
    return dataset._replace(factors=factors)


def read_dsprites(data_dir: str, download: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the images of dSprites, (examples, 64, 64, 1), and {factor: its index in the grid}.

    Raises:
      ValueError: the data are not there.
    """
    names = [factor.name for factor in FACTORS]
    features = {"x": "image"} | {name: f"label_{name}" for name in names}
    columns = read_tfds("dsprites", "2.0.0", data_dir, download, features, ("train",))["train"]
    return columns["x"], {name: columns[name] for name in names}


def _split(examples, num_validation, num_test, seed):
    count = len(examples.x)
    check_whole(1, count - 2, num_validation=num_validation)
    check_whole(1, count - 1 - num_validation, num_test=num_test)
    return split_examples(examples, (num_validation / count, num_test / count), seed)
