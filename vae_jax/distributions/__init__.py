"""Densities, divergences and the reparameterization of one example, in nats.

Parameters and values carry event axes only; `jax.vmap` adds batch axes. `log_prob` sums over the
event axes and includes every constant.
"""

from vae_jax.distributions.base import LOG_2PI, Distribution, Factorized
from vae_jax.distributions.composed import Chain, Flow, Product
from vae_jax.distributions.concrete import BinaryConcrete, Concrete
from vae_jax.distributions.continuous_bernoulli import ContinuousBernoulli
from vae_jax.distributions.discrete import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    OneHot,
    Poisson,
)
from vae_jax.distributions.entropies import entropy, has_closed_form_entropy
from vae_jax.distributions.exponential_families import (
    EXPONENTIAL_FAMILIES,
    ExponentialFamily,
    bregman_kl,
)
from vae_jax.distributions.gamma_beta_dirichlet import Beta, Dirichlet, Gamma
from vae_jax.distributions.gaussians import FullGaussian, Gaussian, reparameterize, standard_normal
from vae_jax.distributions.kl import (
    KL,
    KL_PER_DIMENSION,
    has_closed_form_kl,
    kl_divergence,
    kl_factorizes,
    kl_per_dimension,
)
from vae_jax.distributions.missing import Masked, Observed, spread
from vae_jax.distributions.mixtures import Mixture
from vae_jax.distributions.quantized import Binomial, DiscretizedLogistic, Levels
from vae_jax.distributions.units import InUnits

__all__ = [
    "EXPONENTIAL_FAMILIES",
    "KL",
    "KL_PER_DIMENSION",
    "LOG_2PI",
    "Bernoulli",
    "Beta",
    "BinaryConcrete",
    "Binomial",
    "Categorical",
    "Chain",
    "Concrete",
    "ContinuousBernoulli",
    "Dirichlet",
    "DiscretizedLogistic",
    "Distribution",
    "ExponentialFamily",
    "Factorized",
    "Flow",
    "FullGaussian",
    "Gamma",
    "Gaussian",
    "InUnits",
    "Levels",
    "Masked",
    "Mixture",
    "NegativeBinomial",
    "Observed",
    "OneHot",
    "Poisson",
    "Product",
    "bregman_kl",
    "entropy",
    "has_closed_form_entropy",
    "has_closed_form_kl",
    "kl_divergence",
    "kl_factorizes",
    "kl_per_dimension",
    "reparameterize",
    "spread",
    "standard_normal",
]
