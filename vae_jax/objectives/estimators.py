"""How the terms of one example are made from samples of q(z|x).

An estimator decides which gradients flow through the samples; it never changes the value of a
bound.
"""

from typing import Any

from jax import Array
from jaxtyping import Key

from vae_jax.fast.mapping import map_leading
from vae_jax.objectives.terms import Terms, closed_form_kl


def sample_terms(keys: Key[Array, "samples"], vae: Any, params: Any, x: Any, y: Any) -> Terms:
    """Draw one z per key from q(z|x) and return the terms of example x.

    Gradients flow through the samples (pathwise, or reparameterization, gradients): Section 2.4 of
    Kingma & Welling (2014).

    Args:
      keys: one key per sample.
      vae: the functions `encode`, `decode` and `prior` (see `models.VAE`).
      params: what `vae.init` returned.
      x: one example.
      y: its condition, or None.
    """
    q, p = vae.encode(params, x, y), vae.prior(params, y)

    def terms_of_one_sample(key):
        z, log_posterior = q.sample_and_log_prob(key)
        return vae.decode(params, z, y).log_prob(x), p.log_prob(z), log_posterior

    return Terms(*map_leading(terms_of_one_sample, keys), closed_form_kl(q, p))
