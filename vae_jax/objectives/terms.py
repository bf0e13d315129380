"""What every bound of one example is made of: its terms, and the two parts of the ELBO."""

from typing import Any, NamedTuple

from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions import (
    entropy,
    has_closed_form_entropy,
    has_closed_form_kl,
    kl_divergence,
    kl_factorizes,
    kl_per_dimension,
)


class Terms(NamedTuple):
    """What the bounds of one example are made of, in nats, for samples z_1 .. z_K of q(z|x)."""

    log_likelihood: Float[Array, "samples"]
    """log p(x|z_k)."""
    log_prior: Float[Array, "samples"]
    """log p(z_k); of gamma, beta and Dirichlet variables the density of z's logarithm or logit."""
    log_posterior: Float[Array, "samples"]
    """log q(z_k|x), a density of the same coordinates."""
    closed_form_kl: Float[Array, ""] | None
    """KL(q(z|x) || p(z)), or None where the pair has no closed form."""
    entropy: Float[Array, ""] | None = None
    """H[q(z|x)] in the coordinates of log_posterior, or None where it has no closed form."""
    kl_of_each_dimension: Float[Array, "*event"] | None = None
    """Summands of closed_form_kl where the pair factorizes, else None."""

    @property
    def log_weights(self) -> Float[Array, "samples"]:
        """log w_k = log p(x, z_k) - log q(z_k|x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


def make_terms(
    log_likelihood: Array, log_prior: Array, log_posterior: Array, q: Any, p: Any, density: Any
) -> Terms:
    """Return the terms of samples of q(z|x), with what has a closed form of q and p.

    Args:
      log_likelihood, log_prior, log_posterior: of the samples, in nats.
      q: q(z|x).
      p: p(z).
      density: q(z|x) in the coordinates of log_posterior.
    """
    return Terms(
        log_likelihood,
        log_prior,
        log_posterior,
        closed_form_kl(q, p),
        entropy(density) if has_closed_form_entropy(density) else None,
        kl_per_dimension(q, p) if kl_factorizes(q, p) else None,
    )


def closed_form_kl(q: Any, p: Any) -> Float[Array, ""] | None:
    """Return KL(q || p) in nats where this pair has a closed form, else None."""
    return kl_divergence(q, p) if has_closed_form_kl(q, p) else None


def kl(terms: Terms, sampled: bool = False) -> Float[Array, ""]:
    """Return KL(q(z|x) || p(z)) in nats: closed form, or the mean of log q(z_k|x) - log p(z_k).

    The sampled form is unbiased but may be negative. It is used where `sampled` asks for it or
    where the pair of distributions has no closed form.
    """
    if sampled or terms.closed_form_kl is None:
        return jnp.mean(terms.log_posterior - terms.log_prior)
    return terms.closed_form_kl


def reconstruction(terms: Terms) -> Float[Array, ""]:
    """Return E_q[log p(x|z)] in nats, larger is better: the mean of log p(x|z_k)."""
    return jnp.mean(terms.log_likelihood)
