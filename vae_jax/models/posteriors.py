"""Posteriors q(z|x): what the encoder's outputs mean, and the latents that each is over.

A row's `make(latent_dim, layers, **options)` gets the number of latents and the encoder's layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Chain,
    Dirichlet,
    Distribution,
    FullGaussian,
    Gamma,
    Gaussian,
)
from vae_jax.lookup import check_whole
from vae_jax.networks import DenseEncoder, Layers, check_sizes, flows

# Posterior scales lie within exp(-10) .. exp(10), by a smooth bound. Sample, density and KL all use
# the bounded scale.
LOG_SCALE_BOUND = 10.0

# Kinds of z whose samples carry no gradient, so that training needs relaxed ones.
DISCRETE_LATENTS = ("classes", "bits")


class Posterior(NamedTuple):
    """What a row of POSTERIORS makes: how the encoder's outputs become q(z|x)."""

    num_outputs: int
    """Number of outputs of the encoder."""
    make: Callable[[Any, Array], Distribution]
    """make(own parameters, outputs) -> q(z|x)."""
    latent: Any
    """An example of z, which tells its shape."""
    init: Callable[[Array], Any] = lambda key: {}
    """init(key) -> own parameters."""


class PosteriorRow(NamedTuple):
    """What a posterior is over, and the function that makes it."""

    values: str
    """What z is, which its prior must be over too."""
    make: Callable[..., Posterior]


def bound(unbounded: Float[Array, "*shape"], limit: float) -> Float[Array, "*shape"]:
    """Return limit tanh(unbounded / limit): in -limit .. limit, and nearly unchanged around 0."""
    return limit * jnp.tanh(unbounded / limit)


def read_gaussian(outputs: Float[Array, "twice_latent"]) -> Gaussian:
    """Read a network's outputs as (mean, unbounded log sigma) of a diagonal Gaussian."""
    mean, unbounded = jnp.split(outputs, 2)
    return Gaussian(mean, bound(unbounded, LOG_SCALE_BOUND))


def read_full_gaussian(outputs: Float[Array, "outputs"], latent_dim: int) -> FullGaussian:
    """Read the outputs as mean, unbounded log diagonal and lower triangle of the Cholesky factor.

    The entries below the diagonal are scaled by it: L = (I + strictly lower) diag, so that outputs
    near zero give a diagonal covariance at every scale.
    """
    mean, unbounded, below = jnp.split(outputs, [latent_dim, 2 * latent_dim])
    diagonal = jnp.exp(bound(unbounded, LOG_SCALE_BOUND))
    rows, columns = jnp.tril_indices(latent_dim, -1)
    unit = jnp.eye(latent_dim, dtype=outputs.dtype).at[rows, columns].set(bound(below, 10.0))
    return FullGaussian(mean, unit * diagonal)


class GaussianNetwork(NamedTuple):
    """A network whose outputs are mean and scales of a diagonal Gaussian."""

    init: Callable[[Array, Any], Any]
    """init(key, inputs) -> params."""
    apply: Callable[[Any, Any], Gaussian]
    """apply(params, inputs) -> the Gaussian."""


def make_gaussian_network(
    layers: Layers, hidden: tuple[int, ...], num_dimensions: int
) -> GaussianNetwork:
    """Make a network of dense layers like `layers`, of these sizes, that gives a Gaussian."""
    network = DenseEncoder(layers._replace(hidden=tuple(hidden)), 2 * num_dimensions)
    return GaussianNetwork(
        lambda key, inputs: network.init(key, inputs)["params"],
        lambda params, inputs: read_gaussian(network.apply({"params": params}, inputs)),
    )


def _concentration(unbounded):
    # Between .05 and 1,000: outside, gamma samples underflow or their gradients lose precision.
    return 0.05 + 1000 * jax.nn.sigmoid(unbounded - jnp.log(1000.0))


def make_gaussian(latent_dim: int, layers: Layers) -> Posterior:
    """Gaussian with diagonal covariance."""
    return Posterior(
        2 * latent_dim, lambda own, outputs: read_gaussian(outputs), jnp.zeros(latent_dim)
    )


def make_full_gaussian(latent_dim: int, layers: Layers) -> Posterior:
    """Gaussian with full covariance, given by its Cholesky factor."""
    check_whole(1, 10_000, **{"latent_dim of a full covariance": latent_dim})
    return Posterior(
        2 * latent_dim + latent_dim * (latent_dim - 1) // 2,
        lambda own, outputs: read_full_gaussian(outputs, latent_dim),
        jnp.zeros(latent_dim),
    )


def make_inverse_autoregressive(
    latent_dim: int, layers: Layers, *, flow_layers: int = 2, flow_hidden: tuple[int, ...] = (64,)
) -> Posterior:
    """Gaussian mapped by an inverse autoregressive flow.

    Args:
      flow_layers: number of layers of the flow.
      flow_hidden: sizes of the dense layers in each layer of the flow.
    """
    return _make_flow(flows.make_inverse_autoregressive, latent_dim, flow_layers, flow_hidden)


def make_coupling(
    latent_dim: int, layers: Layers, *, flow_layers: int = 2, flow_hidden: tuple[int, ...] = (64,)
) -> Posterior:
    """Gaussian mapped by affine coupling layers.

    Args:
      flow_layers: number of layers of the flow.
      flow_hidden: sizes of the dense layers in each layer of the flow.
    """
    return _make_flow(flows.make_coupling, latent_dim, flow_layers, flow_hidden)


def _make_flow(make_flow, latent_dim, flow_layers, flow_hidden):
    # The flow that maps the Gaussian's sample is conditioned on further outputs of the encoder.
    check_sizes(flow_layers=flow_layers, flow_hidden=flow_hidden)
    flow = make_flow(latent_dim, flow_hidden, flow_layers, context_dim=latent_dim)

    def make(own, outputs):
        base, context = jnp.split(outputs, [2 * latent_dim])
        return flow.apply(own, read_gaussian(base), context)

    return Posterior(3 * latent_dim, make, jnp.zeros(latent_dim), flow.init)


def make_gamma(latent_dim: int, layers: Layers) -> Posterior:
    """Gamma distributions of positive latents."""

    def make(own, outputs):
        concentration, log_rate = jnp.split(outputs, 2)
        return Gamma(_concentration(concentration), jnp.exp(bound(log_rate, 5.0)))

    return Posterior(2 * latent_dim, make, jnp.ones(latent_dim))


def make_beta(latent_dim: int, layers: Layers) -> Posterior:
    """Beta distributions of latents in (0, 1)."""

    def make(own, outputs):
        alpha, beta = jnp.split(outputs, 2)
        return Beta(_concentration(alpha), _concentration(beta))

    return Posterior(2 * latent_dim, make, jnp.full(latent_dim, 0.5))


def make_dirichlet(latent_dim: int, layers: Layers) -> Posterior:
    """Dirichlet distribution of a point of the simplex."""
    return Posterior(
        latent_dim,
        lambda own, outputs: Dirichlet(_concentration(outputs)),
        jnp.full(latent_dim, 1 / latent_dim),
    )


def make_categorical(latent_dim: int, layers: Layers, *, num_classes: int = 10) -> Posterior:
    """Discrete variables with several classes (one-hot); needs the objective concrete.

    Args:
      num_classes: classes of each discrete variable.
    """
    check_sizes(num_classes=num_classes, **{"latent_dim * num_classes": latent_dim * num_classes})
    shape = (latent_dim, num_classes)
    return Posterior(
        latent_dim * num_classes,
        lambda own, outputs: Categorical(outputs.reshape(shape)),
        jnp.zeros(shape),
    )


def make_bernoulli(latent_dim: int, layers: Layers) -> Posterior:
    """Bits; needs the objective concrete."""
    return Posterior(latent_dim, lambda own, outputs: Bernoulli(outputs), jnp.zeros(latent_dim))


def make_two_layers(
    latent_dim: int,
    layers: Layers,
    *,
    upper_dim: int = 5,
    upper_hidden: tuple[int, ...] = (50,),
) -> Posterior:
    """Two stochastic layers of Gaussians, q(z1|x) q(z2|z1), as in Burda et al. (2016).

    Args:
      upper_dim: dimensions of the upper layer z2; the lower one, z1, has latent_dim.
      upper_hidden: sizes of the dense layers between z1 and z2.
    """
    check_sizes(upper_dim=upper_dim, upper_hidden=upper_hidden)
    upper = make_gaussian_network(layers, upper_hidden, upper_dim)
    lower = jnp.zeros(latent_dim)

    def make(own, outputs):
        return Chain(read_gaussian(outputs), jax.tree_util.Partial(upper.apply, own["upper"]))

    def init(key):
        return {"upper": upper.init(key, lower)}

    return Posterior(2 * latent_dim, make, (lower, jnp.zeros(upper_dim)), init)


POSTERIORS = {
    "gaussian": PosteriorRow("real", make_gaussian),
    "full_gaussian": PosteriorRow("real", make_full_gaussian),
    "inverse_autoregressive": PosteriorRow("real", make_inverse_autoregressive),
    "coupling": PosteriorRow("real", make_coupling),
    "gamma": PosteriorRow("positive", make_gamma),
    "beta": PosteriorRow("unit", make_beta),
    "dirichlet": PosteriorRow("simplex", make_dirichlet),
    "categorical": PosteriorRow("classes", make_categorical),
    "bernoulli": PosteriorRow("bits", make_bernoulli),
    "two_layers": PosteriorRow("two layers", make_two_layers),
}


def decoder_input(z: Any) -> Float[Array, "inputs"]:
    """Return what the decoder sees of z, flattened: with two layers only the lower one."""
    return jnp.ravel(z[0] if isinstance(z, tuple) else z)
