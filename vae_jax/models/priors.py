"""Priors p(z) and p(z|y): fixed, learned, or the encoder's own posteriors."""

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
from vae_jax.models.posteriors import LatentOptions, gaussian_posterior
from vae_jax.networks import DenseEncoder, flows


class Prior(NamedTuple):
    """A row of PRIORS, made for some LatentOptions."""

    make: Callable[[Any, Any, Callable], Distribution]
    """make(own parameters, context, encode) -> p(z|y); `context` are the features of y or None,
    encode(x) is q(z|x, y)."""
    init: Callable[[Array, Any, Any], Any] = lambda key, xs, context: {}
    """init(key, training examples as the encoder sees them, a context) -> own parameters."""


class PriorRow(NamedTuple):
    """What a prior is over, and how it is made."""

    values: tuple[str, ...]
    """What z may be, as the row of POSTERIORS says."""
    make: Callable[[LatentOptions], Prior]
    is_conditional: bool = False
    """Whether it needs y."""


def _make_learned_gaussian(options):
    def init(key, xs, context):
        zeros = jnp.zeros(options.latent_dim)
        return {"mean": zeros, "log_scale": zeros}

    return Prior(lambda own, context, encode: Gaussian(own["mean"], own["log_scale"]), init)


def _make_conditional_gaussian(options):
    network = DenseEncoder(
        options.layers._replace(hidden=options.upper_hidden), 2 * options.latent_dim
    )

    def make(own, context, encode):
        return gaussian_posterior(network.apply({"params": own}, context))

    return Prior(make, lambda key, xs, context: network.init(key, context)["params"])


def _make_mixture(options):
    shape = (options.num_components, options.latent_dim)

    def init(key, xs, context):
        return {
            "log_weights": jnp.zeros(shape[0]),
            "mean": jax.random.normal(key, shape),
            "log_scale": jnp.zeros(shape),
        }

    def make(own, context, encode):
        return Mixture(own["log_weights"], Gaussian(own["mean"], own["log_scale"]))

    return Prior(make, init)


def _make_vampprior(options):
    # The mean of the posteriors of pseudo-inputs u_k: Eq. (9) of Tomczak & Welling (2018).
    if options.pseudo_inputs not in ("learned", "data"):
        raise ValueError(
            f"vae.pseudo_inputs={options.pseudo_inputs!r} is unknown; known: learned (from "
            "training examples on), data (these, fixed)"
        )
    count = options.num_components

    def init(key, xs, context):
        num_examples = len(jax.tree.leaves(xs)[0])
        if num_examples < count:
            raise ValueError(f"{count} pseudo-inputs need as many examples, got {num_examples}")
        chosen = jax.random.permutation(key, num_examples)[:count]
        return {"pseudo_inputs": jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=0), xs)}

    def make(own, context, encode):
        us = own["pseudo_inputs"]
        if options.pseudo_inputs == "data":
            us = jax.lax.stop_gradient(us)
        return Mixture(jnp.zeros(count), jax.vmap(encode)(us))

    return Prior(make, init)


def _make_coupling(options):
    flow = flows.make_coupling(options.latent_dim, options.flow_hidden, options.flow_layers)

    def make(own, context, encode):
        return flow.apply(own, standard_normal(options.latent_dim))

    return Prior(make, lambda key, xs, context: flow.init(key))


def _make_two_layers(options):
    lower = DenseEncoder(
        options.layers._replace(hidden=options.upper_hidden), 2 * options.latent_dim
    )
    upper = jnp.zeros(options.upper_dim)

    def make(own, context, encode):
        def lower_given_upper(own, upper):
            return gaussian_posterior(lower.apply({"params": own}, upper))

        return Chain(
            standard_normal(options.upper_dim),
            jax.tree_util.Partial(lower_given_upper, own["lower"]),
            top_down=True,
        )

    return Prior(make, lambda key, xs, context: {"lower": lower.init(key, upper)["params"]})


def _fixed(make):
    """Return a row's `make` of a distribution that the options alone decide."""

    def make_prior(options):
        distribution = make(options)
        return Prior(lambda own, context, encode: distribution)

    return make_prior


def _ones(options):
    return jnp.ones(options.latent_dim)


def _uniform_classes(options):
    return Categorical(jnp.zeros((options.latent_dim, options.num_classes)))


_standard_normal = _fixed(lambda options: standard_normal(options.latent_dim))
_gamma = _fixed(lambda options: Gamma(_ones(options), _ones(options)))
_uniform = _fixed(lambda options: Beta(_ones(options), _ones(options)))
_dirichlet = _fixed(lambda options: Dirichlet(_ones(options)))
_uniform_categorical = _fixed(_uniform_classes)
_uniform_bits = _fixed(lambda options: Bernoulli(jnp.zeros(options.latent_dim)))

PRIORS = {
    "standard_normal": PriorRow(("real",), _standard_normal),
    "learned_gaussian": PriorRow(("real",), _make_learned_gaussian),
    "conditional_gaussian": PriorRow(("real",), _make_conditional_gaussian, is_conditional=True),
    "mixture": PriorRow(("real",), _make_mixture),
    "vampprior": PriorRow(("real", "positive", "unit", "simplex"), _make_vampprior),
    "coupling": PriorRow(("real",), _make_coupling),
    "gamma": PriorRow(("positive",), _gamma),
    "uniform": PriorRow(("unit",), _uniform),
    "dirichlet": PriorRow(("simplex",), _dirichlet),
    "uniform_categorical": PriorRow(("classes",), _uniform_categorical),
    "uniform_bits": PriorRow(("bits",), _uniform_bits),
    "two_layers": PriorRow(("two layers",), _make_two_layers),
}


def check_pair(posterior: str, values: str, prior: str, is_conditional: bool) -> None:
    """Refuse a prior over other values than the posterior's, or one that needs a missing y.

    Args:
      posterior: its name.
      values: what it is over.
      prior: its name.
      is_conditional: whether the model is given y.

    Raises:
      ValueError: with the priors that fit.
    """
    row = PRIORS[prior]
    if row.is_conditional and not is_conditional:
        raise ValueError(f"vae.prior={prior!r} is p(z|y): it needs vae.conditional=True")
    if values in row.values:
        return
    fits = [name for name, each in PRIORS.items() if values in each.values]
    raise ValueError(
        f"vae.prior={prior!r} is over {' or '.join(row.values)} latents, but "
        f"vae.posterior={posterior!r} over {values}: use vae.prior={' or '.join(fits)}"
    )
