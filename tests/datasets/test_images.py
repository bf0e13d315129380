"""Images of any size brought to one size, and folders of them."""

import cv2
import numpy as np
import pytest

from tests.datasets.files import png_of
from vae_jax import datasets
from vae_jax.datasets import images


def area_weights(large, small):
    """Return [small, large]: the share of each large pixel in a small one, as exact overlaps."""
    edges = np.arange(small + 1) * large / small
    left = np.maximum(edges[:-1, None], np.arange(large))
    right = np.minimum(edges[1:, None], np.arange(large) + 1)
    return np.maximum(right - left, 0) * small / large


@pytest.mark.parametrize("white", [1, 255])
def test_ink_is_the_share_of_the_area(white):
    """Oracle: exact overlaps of the pixels, in float64. Mutants: every fourth pixel taken, paper
    as ink, one of the two decoders' whites."""
    paper = np.random.default_rng(0).integers(0, 2, (3, 105, 105, 1)).astype(np.uint8)
    weights = area_weights(105, 28)
    expected = weights @ (1.0 - paper[..., 0]) @ weights.T
    small = images.ink_28x28(np.repeat(white * paper, 3, axis=-1))
    assert small.shape == (3, 28, 28, 1) and small.dtype == np.uint8
    np.testing.assert_allclose(small[..., 0] / 255, expected, atol=0.51 / 255)


def test_the_middle_of_the_longer_side_is_kept():
    """Oracle: overlaps of the middle square's pixels. Mutants: the left square, a squeezed image,
    height and width changed."""
    wide = np.random.default_rng(0).integers(0, 256, (40, 100, 3)).astype(np.uint8)
    weights = area_weights(40, 16)
    expected = np.einsum("ih,hwc,jw->ijc", weights, wide[:, 30:70].astype(float), weights)
    np.testing.assert_allclose(images.crop(wide, 16), expected, atol=1.01)
    high = images.crop(wide.swapaxes(0, 1), 16)
    np.testing.assert_allclose(high, expected.swapaxes(0, 1), atol=1.01)
    assert images.crop(wide[:5, :7], 16).shape == (16, 16, 3)


def write_images(folder, names):
    """Write an image of its own color (red = its number) and size under each name."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.full((8 + i, 12, 3), (i, 100, 200), np.uint8)
        (folder / name).write_bytes(png_of(image))


def reds(data):
    parts = (data.train, data.validation, data.test)
    return [int(x[0, 0, 0]) for part in parts for x in part.x], parts


def test_a_folder_of_images(tmp_path):
    """Each image once, in its colors, the same from the cache, which follows the files. Mutants:
    blue for red; the cache of another size or of files that changed."""
    write_images(tmp_path, [f"{i}.png" for i in range(12)])
    (tmp_path / ".DS_Store").write_bytes(b"no image")
    for size in (8, 4, 8):
        data = datasets.load_images(path=str(tmp_path), size=size)
        found, parts = reds(data)
        assert sorted(found) == list(range(12)) and data.labels is None
        assert data.shape == (size, size, 3) and data.maximum == 255
        assert all(np.all(part.x[..., 1:] == (100, 200)) for part in parts)
    (tmp_path / "11.png").unlink()
    assert len(reds(datasets.load_images(path=str(tmp_path), size=8))[0]) == 11


def test_subfolders_are_labels_and_grey_is_one_value(tmp_path):
    """Mutants: labels in the order of files on the disk; each file a label of its own."""
    write_images(tmp_path, [f"{'zab'[i % 3]}/{i // 6}/{i}.png" for i in range(12)])
    data = datasets.load_images(path=str(tmp_path), size=8)
    found, parts = reds(data)
    labels = np.concatenate([part.y for part in parts])
    np.testing.assert_array_equal(labels, [(2, 0, 1)[red % 3] for red in found])
    assert data.labels == (0, 2)
    grey = datasets.load_images(path=str(tmp_path), size=8, grey=True)
    luma = 0.299 * np.asarray(found) + 0.587 * 100 + 0.114 * 200
    values = np.concatenate(
        [part.x[:, 0, 0, 0] for part in (grey.train, grey.validation, grey.test)]
    )
    np.testing.assert_allclose(values, luma, atol=1)
    assert datasets.load_images(path=str(tmp_path / "z"), size=8).labels == (0, 1)


@pytest.mark.parametrize("content", [b"", b"text", cv2.imencode(".png", np.zeros((9, 9)))[1][:40]])
def test_what_is_no_image_is_refused_by_its_name(tmp_path, capfd, content):
    """Empty, a text, cut off. Mutants: a cv2.error; opencv's own lines beside the refusal."""
    write_images(tmp_path, [f"{i}.png" for i in range(4)])
    (tmp_path / "notes.png").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"^'.*notes\.png' is no image that can be read: take"):
        datasets.load_images(path=str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_folders_without_a_meaning_are_refused(tmp_path):
    """Mutant: images beside the subfolders get a label of their own."""
    with pytest.raises(ValueError, match="holds no files"):
        datasets.load_images(path=str(tmp_path))
    write_images(tmp_path, ["0.png", "a/1.png", "b/2.png"])
    with pytest.raises(ValueError, match=r"and beside them, such as '0\.png': move these"):
        datasets.load_images(path=str(tmp_path))
    with pytest.raises(ValueError, match="at least 3 examples"):
        datasets.load_images(path=str(tmp_path / "a"))
