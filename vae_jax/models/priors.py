"""Priors p(z) and p(z|y): fixed, learned, or mixtures of the encoder's own posteriors.

A row's `make(latent_dim, layers, **options)` gets the number of latents and the encoder's layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp

from vae_jax.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Chain,
    Dirichlet,
    Distribution,
    Gamma,
    Gaussian,
    Mixture,
    standard_normal,
)
from vae_jax.lookup import look_up, name_of
from vae_jax.models.posteriors import make_gaussian_network
from vae_jax.networks import Layers, check_sizes, flows


class Prior(NamedTuple):
    """What a row of PRIORS makes."""

    make: Callable[[Any, Any, Callable], Distribution]
    """make(own parameters, context, encode) -> p(z|y); `context` are the features of y or None,
    encode(x) is q(z|x, y)."""
    init: Callable[[Array, Any, Any], Any] = lambda key, xs, context: {}
    """init(key, training examples as the encoder sees them, a context) -> own parameters."""


class PriorRow(NamedTuple):
    """What a prior is over, and the function that makes it."""

    values: tuple[str, ...]
    """What z may be, as the row of POSTERIORS says."""
    make: Callable[..., Prior]
    is_conditional: bool = False
    """Whether it needs y."""


def make_standard_normal(latent_dim: int, layers: Layers) -> Prior:
    """N(0, I)."""
    return _fixed(standard_normal(latent_dim))


def make_learned_gaussian(latent_dim: int, layers: Layers) -> Prior:
    """One Gaussian whose mean and scales are learned."""

    def init(key, xs, context):
        return {"mean": jnp.zeros(latent_dim), "log_scale": jnp.zeros(latent_dim)}

    return Prior(lambda own, context, encode: Gaussian(own["mean"], own["log_scale"]), init)


def make_conditional_gaussian(
    latent_dim: int, layers: Layers, *, upper_hidden: tuple[int, ...] = (50,)
) -> Prior:
    """p(z|y), a Gaussian whose mean and scales are a network of y.

    Args:
      upper_hidden: sizes of the dense layers from y to p(z|y).
    """
    check_sizes(upper_hidden=upper_hidden)
    network = make_gaussian_network(layers, upper_hidden, latent_dim)

    def make(own, context, encode):
        return network.apply(own, context)

    return Prior(make, lambda key, xs, context: network.init(key, context))


def make_mixture(latent_dim: int, layers: Layers, *, num_components: int = 50) -> Prior:
    """Mixture of learned Gaussians.

    Args:
      num_components: number of Gaussians.
    """
    check_sizes(num_components=num_components)
    shape = (num_components, latent_dim)

    def init(key, xs, context):
        return {
            "log_weights": jnp.zeros(num_components),
            "mean": jax.random.normal(key, shape),
            "log_scale": jnp.zeros(shape),
        }

    def make(own, context, encode):
        return Mixture(own["log_weights"], Gaussian(own["mean"], own["log_scale"]))

    return Prior(make, init)


def make_vampprior(
    latent_dim: int, layers: Layers, *, num_components: int = 50, pseudo_inputs: str = "learned"
) -> Prior:
    """VampPrior: the mean of the posteriors of pseudo-inputs u_k.

    Eq. (9) of Tomczak & Welling (2018).

    Args:
      num_components: number of pseudo-inputs, at most the number of training examples.
      pseudo_inputs: "learned", starting from training examples, or "data", fixed at them.
    """
    check_sizes(num_components=num_components)
    is_learned = look_up({"learned": True, "data": False}, pseudo_inputs, "pseudo_inputs")

    def init(key, xs, context):
        num_examples = len(jax.tree.leaves(xs)[0])
        if num_examples < num_components:
            raise ValueError(
                f"num_components={num_components} pseudo-inputs are more than the {num_examples} "
                "training examples that they start from"
            )
        chosen = jax.random.permutation(key, num_examples)[:num_components]
        return {"pseudo_inputs": jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=0), xs)}

    def make(own, context, encode):
        us = own["pseudo_inputs"]
        us = us if is_learned else jax.lax.stop_gradient(us)
        return Mixture(jnp.zeros(num_components), jax.vmap(encode)(us))

    return Prior(make, init)


def make_coupling(
    latent_dim: int, layers: Layers, *, flow_layers: int = 2, flow_hidden: tuple[int, ...] = (64,)
) -> Prior:
    """N(0, I) mapped by learned affine coupling layers.

    Args:
      flow_layers: number of layers of the flow.
      flow_hidden: sizes of the dense layers in each layer of the flow.
    """
    check_sizes(flow_layers=flow_layers, flow_hidden=flow_hidden)
    flow = flows.make_coupling(latent_dim, flow_hidden, flow_layers)

    def make(own, context, encode):
        return flow.apply(own, standard_normal(latent_dim))

    return Prior(make, lambda key, xs, context: flow.init(key))


def make_gamma(latent_dim: int, layers: Layers) -> Prior:
    """Gamma(1, 1) of each positive latent."""
    return _fixed(Gamma(jnp.ones(latent_dim), jnp.ones(latent_dim)))


def make_uniform(latent_dim: int, layers: Layers) -> Prior:
    """The uniform distribution on (0, 1) of each latent."""
    return _fixed(Beta(jnp.ones(latent_dim), jnp.ones(latent_dim)))


def make_dirichlet(latent_dim: int, layers: Layers) -> Prior:
    """The uniform distribution on the simplex, Dirichlet(1, ..., 1)."""
    return _fixed(Dirichlet(jnp.ones(latent_dim)))


def make_uniform_categorical(latent_dim: int, layers: Layers, *, num_classes: int = 10) -> Prior:
    """The uniform distribution over the classes of each discrete variable.

    Args:
      num_classes: classes of each discrete variable.
    """
    return _fixed(Categorical(jnp.zeros((latent_dim, num_classes))))


def make_uniform_bits(latent_dim: int, layers: Layers) -> Prior:
    """Independent bits with probability 1/2."""
    return _fixed(Bernoulli(jnp.zeros(latent_dim)))


def make_two_layers(
    latent_dim: int,
    layers: Layers,
    *,
    upper_dim: int = 5,
    upper_hidden: tuple[int, ...] = (50,),
) -> Prior:
    """Two stochastic layers of Gaussians, p(z2) p(z1|z2), with p(z2) = N(0, I).

    Args:
      upper_dim: dimensions of the upper layer z2; the lower one, z1, has latent_dim.
      upper_hidden: sizes of the dense layers between z2 and z1.
    """
    check_sizes(upper_dim=upper_dim, upper_hidden=upper_hidden)
    lower = make_gaussian_network(layers, upper_hidden, latent_dim)
    upper = jnp.zeros(upper_dim)

    def make(own, context, encode):
        second = jax.tree_util.Partial(lower.apply, own["lower"])
        return Chain(standard_normal(upper_dim), second, top_down=True)

    return Prior(make, lambda key, xs, context: {"lower": lower.init(key, upper)})


def _fixed(distribution):
    return Prior(lambda own, context, encode: distribution)


PRIORS = {
    "standard_normal": PriorRow(("real",), make_standard_normal),
    "learned_gaussian": PriorRow(("real",), make_learned_gaussian),
    "conditional_gaussian": PriorRow(("real",), make_conditional_gaussian, is_conditional=True),
    "mixture": PriorRow(("real",), make_mixture),
    "vampprior": PriorRow(("real", "positive", "unit", "simplex"), make_vampprior),
    "coupling": PriorRow(("real",), make_coupling),
    "gamma": PriorRow(("positive",), make_gamma),
    "uniform": PriorRow(("unit",), make_uniform),
    "dirichlet": PriorRow(("simplex",), make_dirichlet),
    "uniform_categorical": PriorRow(("classes",), make_uniform_categorical),
    "uniform_bits": PriorRow(("bits",), make_uniform_bits),
    "two_layers": PriorRow(("two layers",), make_two_layers),
}


def check_pair(posterior: Any, values: str, prior: Any, is_conditional: bool) -> None:
    """Refuse a prior over other values than the posterior's, or one that needs a missing y.

    Args:
      posterior: name of the posterior.
      values: what it is over.
      prior: name of the prior.
      is_conditional: whether the model is given y.

    Raises:
      ValueError: with the priors that fit.
    """
    row = look_up(PRIORS, prior, "prior")
    if row.is_conditional and not is_conditional:
        raise ValueError(
            f"prior={name_of(prior)!r} is p(z|y): it needs a model of conditional=True"
        )
    if values in row.values:
        return
    fits = [name for name, each in PRIORS.items() if values in each.values]
    raise ValueError(
        f"prior={name_of(prior)!r} is over {' or '.join(row.values)} latents, but "
        f"posterior={name_of(posterior)!r} over {values}: use prior={' or '.join(fits)}"
    )
