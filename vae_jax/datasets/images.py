"""Images of any size, brought to one size: those of a folder, and drawings."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vae_jax.datasets.cache import cached, identity_of
from vae_jax.datasets.data import Dataset, Examples
from vae_jax.datasets.making import make_dataset, split_examples
from vae_jax.lookup import check_whole

# opencv is imported where it is used: it takes 0.1 s.

_MOST_PIXELS = 4096  # of a side


def load_images(
    *, path: str = "", size: int = 64, grey: bool = False, binarization: str = "none", seed: int = 0
) -> Dataset:
    """A folder of images (PNG, JPEG, ...), resized and cropped to squares.

    The shorter side is scaled to `size`, by averages over areas (bilinear where that enlarges), and
    the middle of the longer one is kept. Transparency is ignored. If the images lie in two or more
    subfolders, these are the labels 0, 1, ... in the order of their names. Names that begin with a
    dot are left out. 10% are for validation and 10% for the test.

    Args:
      path: of the folder.
      size: height and width, in pixels.
      grey: one value per pixel instead of red, green and blue.
      binarization: "none", "static" (drawn once by `seed`) or "dynamic".
      seed: of the split and of the static binarization.

    Raises:
      ValueError: no such folder, a file that is no image, fewer than three images, images beside
        subfolders of images, or an unknown binarization.
    """
    check_whole(1, _MOST_PIXELS, size=size)
    if not path:
        raise ValueError("name='images' needs path=FOLDER, with an image in each file")
    root = Path(path).expanduser()
    files = list_images(root)
    labels = labels_of([file.relative_to(root) for file in files], path)
    identity = (str(root.resolve()), identity_of(root, files), size, grey)
    x = cached("images", identity, lambda: {"x": read_images(files, size, grey)})["x"]
    parts = split_examples(Examples(x, labels), (0.1, 0.1), seed)
    return make_dataset(repr(path), *parts, 255.0, binarization, seed, "discretized_logistic")


def list_images(root: Path) -> list[Path]:
    """Return all files below a folder in the order of their paths, without hidden ones.

    Raises:
      ValueError: no such folder, or no files in it.
    """
    if not root.is_dir():
        raise ValueError(f"path={str(root)!r} is no folder: name one with an image in each file")
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    shown = [name for name in sorted(files) if not any(p[0] == "." for p in name.split("/"))]
    if not shown:
        raise ValueError(f"path={str(root)!r} holds no files: name a folder of images")
    return [files[name] for name in shown]


def labels_of(files: Sequence[Path], name: str) -> np.ndarray | None:
    """Return the number of each file's subfolder, in the order of names; None of fewer than two.

    Raises:
      ValueError: files beside the subfolders; `name` says in the error of which folder.
    """
    folders = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    beside = next((file for file in files if len(file.parts) == 1), None)
    if folders and beside is not None:
        raise ValueError(
            f"{name!r} holds images in subfolders, which are labels, and beside them, such as "
            f"{str(beside)!r}: move these into a subfolder"
        )
    if len(folders) < 2:
        return None
    return np.array([folders.index(file.parts[0]) for file in files], np.int32)


def read_images(files: Sequence[Path], size: int, grey: bool) -> np.ndarray:
    """Return images of shape (files, size, size, 1 or 3), uint8, colors as red, green, blue.

    Raises:
      ValueError: a file that is no image, with its name.
    """
    import cv2

    images = np.empty((len(files), size, size, 1 if grey else 3), np.uint8)

    def read(i):
        images[i] = crop(decode(files[i], grey), size).reshape(images.shape[1:])

    # What opencv logs of damaged files would stand beside the line that refuses them.
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with ThreadPoolExecutor() as threads:  # opencv frees the interpreter
            for _ in threads.map(read, range(len(files))):
                pass
    finally:
        cv2.utils.logging.setLogLevel(level)
    return images


def decode(file: Path, grey: bool) -> np.ndarray:
    """Return the pixels of an image file, uint8.

    Raises:
      ValueError: opencv does not read it as an image.
    """
    import cv2

    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB)
    except (OSError, cv2.error):  # cv2.error: it is empty, or its header lies
        image = None
    if image is None:
        raise ValueError(f"{str(file)!r} is no image that can be read: take it out of the folder")
    return image


def crop(image: np.ndarray, size: int) -> np.ndarray:
    """Return the middle square of an image whose shorter side is scaled to `size` pixels."""
    shorter = min(image.shape[:2])
    height, width = (round(side * size / shorter) for side in image.shape[:2])
    image = resize(image, height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return image[top : top + size, left : left + size]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image of that size, by averages over areas; bilinear where either side grows."""
    import cv2

    grows = height > image.shape[0] or width > image.shape[1]
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    )


def ink_28x28(drawings: np.ndarray) -> np.ndarray:
    """Return how much of each pixel's area is ink, 0 .. 255, of black drawings on white.

    Args:
      drawings: (number, height, width, color), ink 0; white is 1 or 255, as the decoder has it.
    """
    ink = np.where(drawings[..., 0] == 0, np.float32(255), np.float32(0))
    small = np.stack([resize(each, 28, 28) for each in ink])
    return np.rint(small).astype(np.uint8)[..., None]
