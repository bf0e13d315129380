"""Rows of a table as bars, one for each column."""

import math
from typing import NamedTuple

import numpy as np

ABOVE, BELOW = (0.0, 0.45, 0.70), (0.84, 0.37, 0.0)  # blue and orange: readers tell them apart
BAR_HEIGHT = 48  # pixels of an example
_WIDTH = 48  # about
_MOST_COLUMNS = 200
_BACKGROUND, _LINE = 0.95, 0.35  # greys


class Bars(NamedTuple):
    """How vectors are drawn as bars: the values of each column at the lower and upper edge."""

    low: np.ndarray
    high: np.ndarray
    start: float
    """Where bars start, as a fraction of the height from below."""
    text: str
    """What the bars show, for a caption."""


def bars_for(xs: np.ndarray, is_table: bool = False) -> Bars | None:
    """Choose how examples like these are drawn as bars; None: they are images.

    Vectors of up to 200 numbers are drawn as bars, but for flat images: a square number of them
    from 8x8 on. Where all values lie in 0 .. 1, so does the scale; otherwise bars go up and down
    from each column's mean, by up to three of its standard deviations.

    Args:
      xs: examples, NaN where they have no value.
      is_table: whether they are rows of a table, and no flat images whatever their number.
    """
    num_columns = xs.shape[-1]
    is_flat_image = (
        not is_table and num_columns >= 64 and math.isqrt(num_columns) ** 2 == num_columns
    )
    if xs.ndim != 2 or num_columns > _MOST_COLUMNS or is_flat_image:
        return None
    columns = f"bars: columns 0 to {num_columns - 1}"
    if not np.any((xs < 0) | (xs > 1)):
        low, high = np.zeros(num_columns), np.ones(num_columns)
        return Bars(low, high, 0.0, f"{columns}, from 0 to 1")
    known = np.ma.masked_invalid(xs)
    mean, reach = known.mean(axis=0).filled(0.0), 3 * known.std(axis=0).filled(0.0)
    reach = np.where(reach > 0, reach, 1.0)
    text = f"{columns}, up or down from a column's mean, by 3 standard deviations at most"
    return Bars(mean - reach, mean + reach, 0.5, text)


def as_bars(xs: np.ndarray, bars: Bars) -> np.ndarray:
    """Return vectors as images (examples, height, width, 3).

    Bars upwards are blue, downwards orange; values beyond an edge end there. A column without a
    value (NaN) is NaN.
    """
    heights = (np.clip(xs, bars.low, bars.high) - bars.low) / (bars.high - bars.low)
    pitch = max(1, round(_WIDTH / heights.shape[1]))
    height = max(BAR_HEIGHT, int(0.8 * heights.shape[1]))
    levels = 1 - (np.arange(height)[:, None] + 0.5) / height  # of the rows of pixels
    is_above = (levels >= bars.start) & (levels < heights[:, None])
    is_below = (levels < bars.start) & (levels >= heights[:, None])
    images = np.full((*is_above.shape, 3), _BACKGROUND)
    images[is_above], images[is_below] = ABOVE, BELOW
    images = images.repeat(pitch, axis=2)
    if pitch > 2:
        images[:, :, ::pitch] = _BACKGROUND  # a gap between bars
    images[:, min(int(height * (1 - bars.start)), height - 1)] = _LINE
    is_missing = np.isnan(heights).repeat(pitch, axis=1)
    images = np.where(is_missing[:, None, :, None], np.nan, images)
    return np.pad(images, ((0, 0), (0, 0), (2, 3), (0, 0)), constant_values=_BACKGROUND)
