"""What every bound of one example is made of: its terms, by samples of q(z|x)."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.lax import stop_gradient
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import (
    Distribution,
    entropy,
    has_closed_form_entropy,
    has_closed_form_kl,
    kl_divergence,
    kl_factorizes,
    kl_per_dimension,
)
from vae_jax.fast.mapping import map_leading


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
    of_each = kl_per_dimension(q, p) if kl_factorizes(q, p) else None
    return Terms(
        log_likelihood,
        log_prior,
        log_posterior,
        closed_form_kl(q, p) if of_each is None else jnp.sum(of_each),
        entropy(density) if has_closed_form_entropy(density) else None,
        of_each,
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


def sample_terms(
    keys: Key[Array, "samples"], vae: Any, params: Any, x: Any, y: Any, chunk_size: int = 0
) -> Terms:
    """Draw one z per key from q(z|x) and return the terms of example x.

    Gradients flow through the samples (pathwise, or reparameterization, gradients): Section 2.4 of
    Kingma & Welling (2014).

    Args:
      keys: one key per sample.
      vae: the functions `encode`, `decode` and `prior` (see `models.VAE`).
      params: what `vae.init` returned.
      x: one example.
      y: its condition, or None.
      chunk_size: samples computed at once, and once more for their gradient, so that only so many
        take memory; 0: all.
    """
    return draw_terms(keys, vae, params, x, y, chunk_size)[0]


def draw_terms(
    keys: Key[Array, "samples"],
    vae: Any,
    params: Any,
    x: Any,
    y: Any,
    chunk_size: int = 0,
    stop: Collection[str] = (),
    linked: bool = False,
) -> tuple[Terms, Float[Array, "samples"]]:
    """Return `sample_terms` with some gradients stopped, and a link to each sample.

    Args:
      keys, vae, params, x, y, chunk_size: as of `sample_terms`.
      stop: what gets no gradient: "model", the parameters of p(x|z) and p(z); "density", those of
        q(z|x) in log q(z|x), though its z may carry gradients to them; "samples", what comes
        through z.
      linked: let `scale_samples` say by what the gradient through each sample is scaled.
    """
    stopped = stop_gradient(params)
    of_model = stopped if "model" in stop else params
    q, p = vae.encode(params, x, y), vae.prior(of_model, y)
    density = vae.encode(stopped, x, y) if "density" in stop else q
    drawn, latent = in_coordinates_of_every_sample(q, p, density)

    def terms_of_one_sample(key):
        if not stop and not linked:
            # A flow knows the density of its own draw without an inverse.
            (value, log_posterior), link = drawn[0].sample_and_log_prob(key), jnp.zeros(())
        else:
            value, link = _pass(drawn[0].sample(key), stop, linked)
            log_posterior = drawn[2].log_prob(value)
        log_likelihood = vae.decode(of_model, latent(value), y).log_prob(x)
        return (log_likelihood, drawn[1].log_prob(value), log_posterior), link

    terms, links = _map_samples(terms_of_one_sample, keys, chunk_size)
    return make_terms(*terms, q, p, drawn[0]), links


def in_coordinates_of_every_sample(
    *distributions: Distribution,
) -> tuple[tuple[Distribution, ...], Callable[[Any], Any]]:
    """Return distributions of z in coordinates in which floats hold every sample, and a map to z.

    The ratio of densities is the same in all coordinates, but floats near the ends of a support are
    not: log q - log p of samples of Beta(.05, .05) would be off by nats.
    """
    unbounded = tuple(each.unbounded() for each in distributions)
    if None in unbounded:
        return distributions, lambda value: value
    return unbounded, unbounded[0].latent


def _map_samples(function, keys, chunk_size):
    if not chunk_size:
        return map_leading(function, keys)
    return jax.lax.map(jax.checkpoint(function), keys, batch_size=chunk_size)


def _pass(value, stop, linked):
    if "samples" in stop:
        return stop_gradient(value), jnp.zeros(())
    return _link(value) if linked else (value, jnp.zeros(()))


# A number of the forward pass that scales the gradient of an earlier one: `_link` makes a sample
# and a link, which is 0; `scale_samples` later says by what the sample's gradient is scaled, and
# sends it back in the place of the link's gradient. One backward pass is enough.


@jax.custom_vjp
def _link(value):
    # A function of the value: `vmap` adds up what is sent back to a link that is a constant, so
    # that every sample would get the sum of all factors.
    first = jnp.ravel(jax.tree.leaves(value)[0])[0]
    return value, jnp.minimum(jnp.abs(first), 0)


def _link_forward(value):
    return _link(value), None


def _link_backward(_, gradients):
    gradient, factor = gradients
    return (jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, gradient),)


_link.defvjp(_link_forward, _link_backward)


@jax.custom_vjp
def _send_back(values, links, factors):
    return values


def _send_back_forward(values, links, factors):
    return values, factors


def _send_back_backward(factors, gradient):
    return gradient, factors, jnp.zeros_like(factors)


_send_back.defvjp(_send_back_forward, _send_back_backward)


def scale_samples(
    terms: Terms, links: Float[Array, "samples"], factors: Float[Array, "samples"]
) -> Terms:
    """Return the terms, with the gradient through each sample scaled by its factor.

    Args:
      terms, links: what `draw_terms` returned with `linked`.
      factors: one number per sample, which gets no gradient.
    """
    factors = stop_gradient(factors).astype(links.dtype)
    log_likelihood = _send_back(terms.log_likelihood, links, factors)
    return terms._replace(log_likelihood=log_likelihood)
