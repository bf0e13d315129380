"""Examples as images, in grids with titles and labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.figures.pages import LETTER, LINE, make_figure, wrap_title, write_title

_GAP, _BREAK, _PANEL_GAP = 3, 10, 34  # pixels between images, groups of images and grids
_MISSING = 0.88  # grey of what has no value
_GIVEN = np.array([0.0, 0.45, 0.70])  # the tint of marked pixels
_FADE = 0.75  # how far faded rows go towards white


class Grid(NamedTuple):
    """Images in rows and columns, and what is written beside them."""

    rows: np.ndarray
    """Shape (rows, columns, *shape of an example); NaN has no value."""
    title: str
    row_labels: Sequence[str] = ()
    """One for each row, or none."""
    column_labels: Sequence[str] = ()
    """One for each column, or none."""
    faded: Sequence[bool] = ()
    """For each row, whether it is drawn pale; or none."""
    marked: Any = None
    """Which pixels are tinted: 0 or 1, broadcast to (rows, columns, height, width)."""
    row_breaks: Sequence[int] = ()
    """Rows with a wider gap above them."""
    column_breaks: Sequence[int] = ()
    """Columns with a wider gap on their left."""


def as_images(xs: np.ndarray) -> np.ndarray:
    """Return examples as images (examples, height, width, 1 or 3); vectors become square-ish.

    A flat vector is laid out row by row in the least square that holds it, padded with NaN. The
    opacity of RGBA, a fourth color, is not shown.
    """
    xs = np.asarray(xs, np.float32)
    if xs.ndim == 4 and xs.shape[-1] in (1, 3, 4):
        return xs[..., :3]
    if xs.ndim == 3:
        return xs[..., None]
    flat = xs.reshape(len(xs), -1)
    width = int(np.ceil(np.sqrt(flat.shape[1])))
    height = -(-flat.shape[1] // width)
    padding = ((0, 0), (0, width * height - flat.shape[1]))
    padded = np.pad(flat, padding, constant_values=np.nan)
    return padded.reshape(len(xs), height, width, 1)


def side_by_side(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join images (examples, height, width, color) from left to right, a column of NaN between.

    Lower ones are filled up with NaN below, grey ones repeated where another has colors.
    """
    height = max(part.shape[1] for part in parts)
    color = max(part.shape[3] for part in parts)
    padded = [
        np.pad(
            np.broadcast_to(part, (*part.shape[:3], color)),
            ((0, 0), (0, height - part.shape[1]), (0, 1), (0, 0)),
            constant_values=np.nan,
        )
        for part in parts
    ]
    return np.concatenate(padded, axis=2)[:, :, :-1]


def above_each_other(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join images (examples, height, width, color) upwards, the first at the bottom.

    A row of NaN lies between; narrower ones are filled up with NaN on the right.
    """
    turned = [part.swapaxes(1, 2) for part in reversed(parts)]
    return side_by_side(turned).swapaxes(1, 2)


def image_grid(
    rows: np.ndarray,
    title: str,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    **fields: Any,
) -> Any:
    """Draw one grid of examples: see `Grid` for the arguments, `image_grids` for the rest."""
    return image_grids([Grid(rows, title, row_labels, column_labels, **fields)])


def image_grids(grids: Sequence[Grid], width: int = 900) -> Any:
    """Draw grids of examples side by side, each in one grey scale, pixels enlarged and not blurred.

    Args:
      grids: from left to right.
      width: of the figure in pixels, about; images are at most 64 pixels wide.

    Raises:
      ValueError: labels, faded rows or marked pixels that do not fit the rows and columns.
    """
    margins = [LETTER * max(map(len, grid.row_labels), default=0) + 8 for grid in grids]
    columns = sum(np.shape(grid.rows)[1] for grid in grids)
    room = width - sum(margins) - _PANEL_GAP * (len(grids) + 1)
    tiled = [_tile(grid, min(room / columns - _GAP, 64)) for grid in grids]
    least = 560 if len(grids) == 1 else 330  # for the title
    panels = [max(m + t.width, least) for m, t in zip(margins, tiled, strict=True)]
    titles = [wrap_title(grid.title, panel) for grid, panel in zip(grids, panels, strict=True)]
    header = LINE * (1 + max(map(len, titles)) + any(len(grid.column_labels) for grid in grids))
    total = sum(panels) + _PANEL_GAP * (len(grids) + 1)
    height = header + max(each.height for each in tiled) + _PANEL_GAP / 2
    figure, left = make_figure(total, height), _PANEL_GAP
    for grid, tiles, margin, panel, lines in zip(
        grids, tiled, margins, panels, titles, strict=True
    ):
        write_title(figure, lines, left / total)
        box = (left + margin, height - header - tiles.height, tiles.width, tiles.height)
        axes = figure.add_axes(np.divide(box, (total, height, total, height)))
        _draw_tiles(axes, grid, tiles)
        left += panel + _PANEL_GAP
    return figure


class _Tiles(NamedTuple):
    canvas: np.ndarray  # (height, width, 3), enlarged
    row_centers: np.ndarray
    column_centers: np.ndarray
    width: int | float  # on the page, in pixels; the canvas of large images is shrunk
    height: int | float


def _tile(grid: Grid, side: int | float) -> _Tiles:
    colors = _to_colors(grid)
    num_rows, num_columns, height, width = colors.shape[:4]
    scale = max(1, int(side / width))
    colors = colors.repeat(scale, axis=2).repeat(scale, axis=3)
    height, width = height * scale, width * scale
    tops = _offsets(num_rows, height, grid.row_breaks)
    lefts = _offsets(num_columns, width, grid.column_breaks)
    canvas = np.ones((tops[-1] + height, lefts[-1] + width, 3))
    for row, column in np.ndindex(num_rows, num_columns):
        top, left = tops[row], lefts[column]
        canvas[top : top + height, left : left + width] = colors[row, column]
    shrink = min(1, side / width)
    return _Tiles(
        canvas,
        tops + height / 2 - 0.5,
        lefts + width / 2 - 0.5,
        canvas.shape[1] * shrink,
        canvas.shape[0] * shrink,
    )


def _offsets(count: int, size: int, breaks: Sequence[int]) -> np.ndarray:
    steps = np.full(count, size + _GAP)
    steps[0] = 0
    steps[list(breaks)] += _BREAK - _GAP
    return np.cumsum(steps)


def _to_colors(grid: Grid) -> np.ndarray:
    """Return colors from 0 to 1, shape (rows, columns, height, width, 3).

    The darkest value is black and the lightest white, with 0 and 1 always among them.
    """
    rows = np.asarray(grid.rows)
    _check(grid, rows.shape)
    images = as_images(rows.reshape(-1, *rows.shape[2:]))
    images = images.reshape(*rows.shape[:2], *images.shape[1:])
    low, high = np.nanmin(images, initial=0.0), np.nanmax(images, initial=1.0)
    colors = np.broadcast_to((images - low) / (high - low), (*images.shape[:4], 3))
    colors = np.where(np.isnan(colors), _MISSING, colors)
    if grid.marked is not None:
        marked = _fit(grid.marked, colors.shape[:4])[..., None]
        colors = np.where(marked > 0, 0.6 * colors + 0.4 * _GIVEN, colors)
    if len(grid.faded):
        faded = np.reshape(grid.faded, (-1, 1, 1, 1, 1))
        colors = np.where(faded, _FADE + (1 - _FADE) * colors, colors)
    return colors


def _check(grid: Grid, shape: tuple[int, ...]) -> None:
    if len(shape) < 3:
        raise ValueError(f"rows must have shape (rows, columns, *example), got {shape}")
    for name, count in (("row_labels", shape[0]), ("column_labels", shape[1]), ("faded", shape[0])):
        given = getattr(grid, name)
        if len(given) not in (0, count):
            raise ValueError(f"{name} must be {count} or none, got {len(given)}")


def _fit(marked: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(marked, shape)
    except ValueError:
        raise ValueError(
            f"marked must fit (rows, columns, height, width) = {shape}, got {np.shape(marked)}"
        ) from None


def _draw_tiles(axes: Any, grid: Grid, tiles: _Tiles) -> None:
    axes.imshow(tiles.canvas, aspect="auto")
    axes.xaxis.tick_top()
    axes.set_xticks(tiles.column_centers if len(grid.column_labels) else [], grid.column_labels)
    axes.set_yticks(tiles.row_centers if len(grid.row_labels) else [], grid.row_labels)
    axes.tick_params(length=0, labelsize=9.5)
    for label, faded in zip(axes.get_yticklabels(), grid.faded, strict=False):
        label.set_color("0.6" if faded else "0")
    for spine in axes.spines.values():
        spine.set_visible(False)
