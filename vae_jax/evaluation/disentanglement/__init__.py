"""How disentangled codes are: scores against known factors of variation.

Every metric is a pure function of (key, codes, factors), with codes of shape (examples, codes) and
factors the index of each factor's value, (examples, factors).
"""

from vae_jax.evaluation.disentanglement.examples import check, choose_factors, to_bins
from vae_jax.evaluation.disentanglement.fitted import Fitted, bootstrap, generator
from vae_jax.evaluation.disentanglement.information import modularity_of, mutual_information, shares
from vae_jax.evaluation.disentanglement.interventions import irs_of
from vae_jax.evaluation.disentanglement.metrics import METRICS, PROTOCOLS, measure
from vae_jax.evaluation.disentanglement.predictors import completeness_of, disentanglement_of
from vae_jax.evaluation.disentanglement.unsupervised import (
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
)

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "Fitted",
    "bootstrap",
    "check",
    "choose_factors",
    "completeness_of",
    "disentanglement_of",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "generator",
    "irs_of",
    "measure",
    "modularity_of",
    "mutual_information",
    "shares",
    "to_bins",
]
