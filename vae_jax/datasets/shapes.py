"""Small colour images, rendered: a circle, triangle or square on a pale ground."""

from jaxtyping import Float, Int, UInt8
import numpy as np

from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.making import make_dataset, split_examples
from vae_jax.lookup import check_seed, check_whole

_SIDES = (0, 3, 4)  # of the shape of each label; 0: a circle
_NOISE = 4.0  # standard deviation, in levels of 255
_SHADES = 0.35, 0.95  # saturation of the ground, of the shape


def load_shapes(
    *, size: int = 32, grey: bool = False, num_examples: int = 5000, seed: int = 0
) -> Dataset:
    """Colour images of a circle, triangle or square, rendered: nothing is downloaded.

    Hue, size, place and angle of the shape and the hue of the ground are drawn at random; a little
    noise is added, as a camera does. The labels 0, 1, 2 are the shapes. 10% are for validation and
    10% for the test.

    Args:
      size: height and width, in pixels.
      grey: one value per pixel instead of red, green and blue.
      num_examples: of all three parts together.
      seed: of the images and of the split.

    Raises:
      ValueError: a number that is not possible.
    """
    check_seed(seed=seed)
    check_whole(8, 256, size=size)
    check_whole(10, 1_000_000, num_examples=num_examples)
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(_SIDES), size=num_examples).astype(np.int32)
    x = np.empty((num_examples, size, size, 1 if grey else 3), np.uint8)
    for rows in np.array_split(np.arange(num_examples), -(-num_examples // 500)):
        x[rows] = render_shapes(rng, labels[rows], size, grey)
    parts = split_examples(Examples(x, labels), (0.1, 0.1), seed)
    return make_dataset("shapes", *parts, 255.0, "none", seed, "discretized_logistic")


def render_shapes(
    rng: np.random.Generator, labels: Int[np.ndarray, "examples"], size: int, grey: bool
) -> UInt8[np.ndarray, "examples size size colors"]:
    """Return an image of each label, with all else drawn at random."""
    count = len(labels)
    hue, ground, angle = rng.uniform(size=(3, count))
    radius = size * rng.uniform(0.16, 0.3, count)
    place = size * rng.uniform(0.3, 0.7, (2, count))
    steps = np.arange(size) + 0.5
    offsets = steps[:, None] - place[0, :, None, None], steps - place[1, :, None, None]
    inside = coverage(labels, offsets, radius[:, None, None], 2 * np.pi * angle[:, None, None])
    colors = [to_rgb(each, shade) for each, shade in ((ground, _SHADES[0]), (hue, _SHADES[1]))]
    behind, front = (255 * each[:, None, None] for each in colors)
    images = behind + inside[..., None] * (front - behind)
    images = images.mean(axis=-1, keepdims=True) if grey else images
    noisy = images + _NOISE * rng.normal(size=images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def coverage(
    labels: Int[np.ndarray, "examples"],
    offsets: tuple[np.ndarray, np.ndarray],
    radius: Float[np.ndarray, "examples 1 1"],
    angle: Float[np.ndarray, "examples 1 1"],
) -> Float[np.ndarray, "examples size size"]:
    """Return about how much of each pixel a shape covers, from its distance to the outline.

    A regular polygon is where n_i p <= r for all normals n_i of its sides; r is chosen so that all
    shapes have the area of the circle.
    """
    inside = np.empty(np.broadcast_shapes(*(each.shape for each in offsets)))
    for label, sides in enumerate(_SIDES):
        rows = labels == label
        down, right = (each[rows] for each in offsets)
        distance = np.hypot(down, right) - radius[rows]
        if sides:
            inner = radius[rows] * np.sqrt(np.pi / (sides * np.tan(np.pi / sides)))
            normals = [angle[rows] + 2 * np.pi * i / sides for i in range(sides)]
            ahead = [np.cos(each) * right + np.sin(each) * down for each in normals]
            distance = np.max(ahead, axis=0) - inner
        inside[rows] = np.clip(0.5 - distance, 0, 1)
    return inside


def to_rgb(
    hue: Float[np.ndarray, "examples"], saturation: float
) -> Float[np.ndarray, "examples 3"]:
    """Return colors of full brightness, 0 .. 1: hue 0 is red, 1/3 green, 2/3 blue."""
    turns = (hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1
    return 1 - saturation + saturation * np.clip(np.abs(6 * turns - 3) - 1, 0, 1)
