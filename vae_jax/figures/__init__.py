"""Pictures from arrays. Every function returns a matplotlib Figure; nothing is shown or saved.

A title's first line says what is seen and is set in bold; the lines after it give the numbers.
"""

from vae_jax.figures.bars import BAR_HEIGHT, Bars, as_bars, bars_for
from vae_jax.figures.charts import (
    MARKERS,
    PALETTE,
    latent_scatter,
    signal_to_noise_curves,
    training_curves,
)
from vae_jax.figures.images import (
    Grid,
    above_each_other,
    as_images,
    image_grid,
    image_grids,
    side_by_side,
)
from vae_jax.figures.latents import kl_bars, rate_distortion
from vae_jax.figures.likelihoods import likelihood_curves

__all__ = [
    "BAR_HEIGHT",
    "MARKERS",
    "PALETTE",
    "Bars",
    "Grid",
    "above_each_other",
    "as_bars",
    "as_images",
    "bars_for",
    "image_grid",
    "image_grids",
    "kl_bars",
    "latent_scatter",
    "likelihood_curves",
    "rate_distortion",
    "side_by_side",
    "signal_to_noise_curves",
    "training_curves",
]
