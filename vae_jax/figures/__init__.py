"""Pictures from arrays. Every function returns a matplotlib Figure; nothing is shown or saved.

A title's first line says what is seen and is set in bold; the lines after it give the numbers.
"""

from vae_jax.figures.charts import MARKERS, PALETTE, latent_scatter, training_curves
from vae_jax.figures.images import (
    Grid,
    above_each_other,
    as_images,
    image_grid,
    image_grids,
    side_by_side,
)

__all__ = [
    "MARKERS",
    "PALETTE",
    "Grid",
    "above_each_other",
    "as_images",
    "image_grid",
    "image_grids",
    "latent_scatter",
    "side_by_side",
    "training_curves",
]
