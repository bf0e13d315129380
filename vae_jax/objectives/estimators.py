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
    drawn_q, drawn_p, latent = _in_coordinates_of_every_sample(q, p)

    def terms_of_one_sample(key):
        value, log_posterior = drawn_q.sample_and_log_prob(key)
        log_likelihood = vae.decode(params, latent(value), y).log_prob(x)
        return log_likelihood, drawn_p.log_prob(value), log_posterior

    return Terms(*map_leading(terms_of_one_sample, keys), closed_form_kl(q, p))


def _in_coordinates_of_every_sample(q, p):
    # The ratio of the densities is the same in all coordinates, but floats near the ends of the
    # support are not: log q - log p of samples of Beta(.05, .05) would be off by nats.
    unbounded = q.unbounded(), p.unbounded()
    if None in unbounded:
        return q, p, lambda value: value
    return *unbounded, unbounded[0].latent
