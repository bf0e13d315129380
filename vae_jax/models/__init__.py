"""Models: q(z|x), p(z) and p(x|z), chosen by name and joined to a tuple of pure functions."""

from vae_jax.models.fits import check_condition, check_fits, far_from_training
from vae_jax.models.likelihoods import (
    LIKELIHOODS,
    VALUES,
    Likelihood,
    LikelihoodRow,
    check_likelihood,
)
from vae_jax.models.make import (
    PRECISIONS,
    TABLES,
    choose_condition,
    choose_likelihood,
    count_bits_dimensions,
    make_vae,
    make_vae_for,
)
from vae_jax.models.parts import Field, Parts
from vae_jax.models.posteriors import POSTERIORS, Posterior, PosteriorRow
from vae_jax.models.priors import PRIORS, Prior, PriorRow, check_pair
from vae_jax.models.vae import VAE, join_parts

__all__ = [
    "LIKELIHOODS",
    "POSTERIORS",
    "PRECISIONS",
    "PRIORS",
    "TABLES",
    "VAE",
    "VALUES",
    "Field",
    "Likelihood",
    "LikelihoodRow",
    "Parts",
    "Posterior",
    "PosteriorRow",
    "Prior",
    "PriorRow",
    "check_condition",
    "check_fits",
    "check_likelihood",
    "check_pair",
    "choose_condition",
    "choose_likelihood",
    "count_bits_dimensions",
    "far_from_training",
    "join_parts",
    "make_vae",
    "make_vae_for",
]
