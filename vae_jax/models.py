"""The VAE as a tuple of pure functions: networks joined with distributions."""

from collections.abc import Callable
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import Bernoulli, Distribution, Gaussian, standard_normal
from vae_jax.networks import ACTIVATIONS, NETWORKS, check_conv_shape
from vae_jax.tables import look_up

# Posterior scales lie within exp(-10) .. exp(10), softly: sample, density and KL all see the
# bounded number.
LOG_SCALE_BOUND = 10.0


class VAE(NamedTuple):
    """Pure functions of one example (no batch axis); what they return are distributions.

    x, y and z may be pytrees. y, a condition, is None where there is none.
    """

    init: Callable[[Array, Any], Any]
    """init(key, examples) -> params; `examples.x` has a leading axis over examples."""
    encode: Callable[..., Distribution]
    """encode(params, x, y=None) -> q(z | x, y)."""
    decode: Callable[..., Distribution]
    """decode(params, z, y=None) -> p(x | z, y)."""
    prior: Callable[..., Distribution]
    """prior(params, y=None) -> p(z | y)."""


class Likelihood(NamedTuple):
    """A row of LIKELIHOODS: decoder outputs -> p(x|z), and its inverse on means."""

    make: Callable[..., Distribution]
    """make(outputs, scale) -> distribution of one example."""
    outputs_for_mean: Callable[[Array], Array]
    """The decoder outputs at which the distribution's mean is the given one."""


def _logit(mean: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # Pixels that never change would ask for an infinite logit; the clip is that of the code
    # published with Burda et al. (2016).
    mean = jnp.clip(mean, 0.001, 0.999)
    return jnp.log(mean) - jnp.log1p(-mean)


def _mean_over_examples(xs):
    # XLA's CPU backend takes a second and a gigabyte for MNIST's mean as a reduction, and a
    # twentieth of either as a product.
    weights = jnp.full(len(xs), 1 / len(xs), jnp.result_type(xs, float))
    return jnp.tensordot(weights, xs, axes=1, precision="highest")


# {name: (type of the layers' arithmetic, type of parameters and of all densities)}
PRECISIONS = {
    "float32": (jnp.float32, jnp.float32),
    "bfloat16": (jnp.bfloat16, jnp.float32),
    "float64": (jnp.float64, jnp.float64),
}

LIKELIHOODS = {
    "bernoulli": Likelihood(lambda outputs, scale: Bernoulli(outputs), _logit),
    "gaussian": Likelihood(
        lambda outputs, scale: Gaussian(outputs, jnp.full_like(outputs, math.log(scale))),
        lambda mean: mean,
    ),
}


def gaussian_posterior(outputs: Float[Array, "twice_latent"]) -> Gaussian:
    """Read the encoder's outputs as (mean, unbounded log sigma) of q(z|x)."""
    mean, unbounded = jnp.split(outputs, 2)
    return Gaussian(mean, LOG_SCALE_BOUND * jnp.tanh(unbounded / LOG_SCALE_BOUND))


def make_vae(
    shape: tuple[int, ...],
    *,
    latent_dim: int = 50,
    network: str = "mlp",
    hidden: tuple[int, ...] = (200, 200),
    channels: tuple[int, ...] = (),
    activation: str = "tanh",
    likelihood: str = "bernoulli",
    likelihood_scale: float = 1.0,
    precision: str = "float32",
) -> VAE:
    """Make a VAE with q(z|x) = N(mean(x), diag sigma(x)^2) and the prior N(0, I).

    Args:
      shape: shape of one example.
      latent_dim: number of latent dimensions.
      network: a row of `networks.NETWORKS`.
      hidden: sizes of the encoder's dense layers; the MLP decoder has the same, the convolutional
        one has them mirrored.
      channels: of the convolutional pair, one entry per halving of the image.
      activation: a row of `networks.ACTIVATIONS`.
      likelihood: a row of LIKELIHOODS.
      likelihood_scale: sigma of the Gaussian likelihood, in units of x.
      precision: a row of PRECISIONS; "bfloat16" is that of the layers alone, "float64" needs
        `jax.config.update("jax_enable_x64", True)` before any array is made.

    Raises:
      ValueError: an unknown name, a size below one, a scale not above zero, a shape that the
        network cannot take, or float64 without x64.
    """
    pair = look_up(NETWORKS, network, "vae.network")
    family = look_up(LIKELIHOODS, likelihood, "vae.likelihood")
    compute, storage = look_up(PRECISIONS, precision, "vae.precision")
    if storage == jnp.float64 and not jax.config.jax_enable_x64:
        raise ValueError("vae.precision='float64' needs jax.config.update('jax_enable_x64', True)")
    hidden, channels = tuple(hidden), tuple(channels)
    if min((latent_dim, *hidden, *channels)) < 1:
        raise ValueError(
            f"vae.latent_dim, vae.hidden and vae.channels must be >= 1, "
            f"got {latent_dim}, {hidden} and {channels}"
        )
    if not 0 < likelihood_scale < math.inf:
        raise ValueError(f"vae.likelihood_scale must be > 0 and finite, got {likelihood_scale}")
    if network == "conv":
        check_conv_shape(shape, channels)
    layers = {
        "hidden": hidden,
        "channels": channels,
        "activation": look_up(ACTIVATIONS, activation, "vae.activation"),
    }
    encoder = pair.encoder(num_outputs=2 * latent_dim, **layers)
    decoder = pair.decoder(shape=shape, **layers)

    def init(key: Key[Array, ""], examples: Any) -> dict:
        key_encoder, key_decoder = jax.random.split(key)
        params = {
            "encoder": encoder.init(key_encoder, jnp.zeros(shape))["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros(latent_dim))["params"],
            "output_bias": family.outputs_for_mean(_mean_over_examples(examples.x)),
        }
        return jax.tree.map(lambda leaf: leaf.astype(storage), params)

    def apply(module, params, inputs):
        params, inputs = jax.tree.map(lambda leaf: leaf.astype(compute), (params, inputs))
        return module.apply({"params": params}, inputs).astype(storage)

    def encode(params, x, y=None):
        return gaussian_posterior(apply(encoder, params["encoder"], x))

    def decode(params, z, y=None):
        outputs = apply(decoder, params["decoder"], z) + params["output_bias"]
        return family.make(outputs, likelihood_scale)

    def prior(params, y=None):
        return standard_normal(latent_dim)

    return VAE(init, encode, decode, prior)
