"""Densities, divergences and the reparameterization of one example, in nats.

Parameters and values carry event axes only; `jax.vmap` adds batch axes. `log_prob` sums over the
event axes and includes every constant.
"""

from vae_jax.distributions.base import LOG_2PI, Distribution, Factorized
from vae_jax.distributions.composed import Chain, Flow, Masked, Observed, Product
from vae_jax.distributions.discrete import Bernoulli
from vae_jax.distributions.divergences import (
    KL_PER_DIMENSION,
    has_closed_form_kl,
    kl_divergence,
    kl_per_dimension,
)
from vae_jax.distributions.gaussians import Gaussian, reparameterize, standard_normal
from vae_jax.distributions.mixtures import Mixture

__all__ = [
    "KL_PER_DIMENSION",
    "LOG_2PI",
    "Bernoulli",
    "Chain",
    "Distribution",
    "Factorized",
    "Flow",
    "Gaussian",
    "Masked",
    "Mixture",
    "Observed",
    "Product",
    "has_closed_form_kl",
    "kl_divergence",
    "kl_per_dimension",
    "reparameterize",
    "standard_normal",
]
