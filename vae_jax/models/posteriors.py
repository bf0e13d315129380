"""Posteriors q(z|x): what the encoder's outputs mean, and the latents that each is over."""

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
from vae_jax.networks import DenseEncoder, Layers, flows

# Posterior scales lie within exp(-10) .. exp(10), softly: sample, density and KL all see the
# bounded number.
LOG_SCALE_BOUND = 10.0


class LatentOptions(NamedTuple):
    """Numbers that the rows of POSTERIORS and PRIORS may use."""

    latent_dim: int
    """Dimensions of z; discrete variables; of two layers, the lower one's."""
    layers: Layers
    """Those of the encoder, for further networks."""
    num_classes: int = 10
    """Classes of each categorical variable."""
    flow_layers: int = 2
    flow_hidden: tuple[int, ...] = (64,)
    upper_dim: int = 5
    """Dimensions of the upper of two layers."""
    upper_hidden: tuple[int, ...] = (50,)
    num_components: int = 50
    """Of a mixture or a VampPrior."""
    pseudo_inputs: str = "learned"
    """Of a VampPrior: "learned" from training examples on, or "data": these, fixed."""


class Posterior(NamedTuple):
    """A row of POSTERIORS, made for some LatentOptions."""

    num_outputs: int
    """Outputs of the encoder."""
    make: Callable[[Any, Array], Distribution]
    """make(own parameters, outputs) -> q(z|x)."""
    latent: Any
    """A z of zeros: its shape."""
    init: Callable[[Array], Any] = lambda key: {}
    """init(key) -> own parameters."""


class PosteriorRow(NamedTuple):
    """What a posterior is over, and how it is made."""

    values: str
    """What z is, which its prior must be over too."""
    make: Callable[[LatentOptions], Posterior]

    @property
    def is_discrete(self) -> bool:
        """Whether samples carry no gradient, so that training needs relaxed ones."""
        return self.values in ("classes", "bits")


def bound(unbounded: Float[Array, "*shape"], limit: float) -> Float[Array, "*shape"]:
    """Return limit tanh(unbounded / limit), in -limit .. limit and near 0 unchanged."""
    return limit * jnp.tanh(unbounded / limit)


def gaussian_posterior(outputs: Float[Array, "twice_latent"]) -> Gaussian:
    """Read the encoder's outputs as (mean, unbounded log sigma) of q(z|x)."""
    mean, unbounded = jnp.split(outputs, 2)
    return Gaussian(mean, bound(unbounded, LOG_SCALE_BOUND))


def full_gaussian_posterior(outputs: Float[Array, "outputs"], latent_dim: int) -> FullGaussian:
    """Read the outputs as mean, unbounded log diagonal and lower triangle of the Cholesky factor.

    The rows below the diagonal are scaled by it: L = (I + strictly lower) diag, so that outputs
    near zero give a diagonal covariance at every scale.
    """
    mean, unbounded, below = jnp.split(outputs, [latent_dim, 2 * latent_dim])
    diagonal = jnp.exp(bound(unbounded, LOG_SCALE_BOUND))
    rows, columns = jnp.tril_indices(latent_dim, -1)
    unit = jnp.eye(latent_dim, dtype=outputs.dtype).at[rows, columns].set(bound(below, 10.0))
    return FullGaussian(mean, unit * diagonal)


def _concentration(unbounded):
    # Between .05 and 1,000: beyond, samples of gamma variables underflow or hide their gradients.
    return 0.05 + 1000 * jax.nn.sigmoid(unbounded - jnp.log(1000.0))


def _make_gaussian(options):
    return Posterior(
        2 * options.latent_dim,
        lambda own, outputs: gaussian_posterior(outputs),
        jnp.zeros(options.latent_dim),
    )


def _make_full_gaussian(options):
    dim = options.latent_dim
    return Posterior(
        2 * dim + dim * (dim - 1) // 2,
        lambda own, outputs: full_gaussian_posterior(outputs, dim),
        jnp.zeros(dim),
    )


def _make_flow(make):
    """Return a row: a Gaussian whose sample goes through a flow that sees the same outputs."""

    def make_posterior(options):
        dim = options.latent_dim
        flow = make(dim, options.flow_hidden, options.flow_layers, context_dim=dim)

        def make_distribution(own, outputs):
            base, context = jnp.split(outputs, [2 * dim])
            return flow.apply(own, gaussian_posterior(base), context)

        return Posterior(3 * dim, make_distribution, jnp.zeros(dim), flow.init)

    return make_posterior


def _make_gamma(options):
    def make(own, outputs):
        concentration, log_rate = jnp.split(outputs, 2)
        return Gamma(_concentration(concentration), jnp.exp(bound(log_rate, 5.0)))

    return Posterior(2 * options.latent_dim, make, jnp.ones(options.latent_dim))


def _make_beta(options):
    def make(own, outputs):
        alpha, beta = jnp.split(outputs, 2)
        return Beta(_concentration(alpha), _concentration(beta))

    return Posterior(2 * options.latent_dim, make, jnp.full(options.latent_dim, 0.5))


def _make_dirichlet(options):
    dim = options.latent_dim
    return Posterior(
        dim, lambda own, outputs: Dirichlet(_concentration(outputs)), jnp.full(dim, 1 / dim)
    )


def _make_categorical(options):
    shape = (options.latent_dim, options.num_classes)
    return Posterior(
        shape[0] * shape[1],
        lambda own, outputs: Categorical(outputs.reshape(shape)),
        jnp.zeros(shape),
    )


def _make_bernoulli(options):
    dim = options.latent_dim
    return Posterior(dim, lambda own, outputs: Bernoulli(outputs), jnp.zeros(dim))


def _make_two_layers(options):
    upper = DenseEncoder(
        options.layers._replace(hidden=options.upper_hidden), 2 * options.upper_dim
    )

    def make(own, outputs):
        def upper_given_lower(own, lower):
            return gaussian_posterior(upper.apply({"params": own}, lower))

        return Chain(
            gaussian_posterior(outputs), jax.tree_util.Partial(upper_given_lower, own["upper"])
        )

    lower = jnp.zeros(options.latent_dim)
    return Posterior(
        2 * options.latent_dim,
        make,
        (lower, jnp.zeros(options.upper_dim)),
        lambda key: {"upper": upper.init(key, lower)["params"]},
    )


POSTERIORS = {
    "gaussian": PosteriorRow("real", _make_gaussian),
    "full_gaussian": PosteriorRow("real", _make_full_gaussian),
    "inverse_autoregressive": PosteriorRow("real", _make_flow(flows.make_inverse_autoregressive)),
    "coupling": PosteriorRow("real", _make_flow(flows.make_coupling)),
    "gamma": PosteriorRow("positive", _make_gamma),
    "beta": PosteriorRow("unit", _make_beta),
    "dirichlet": PosteriorRow("simplex", _make_dirichlet),
    "categorical": PosteriorRow("classes", _make_categorical),
    "bernoulli": PosteriorRow("bits", _make_bernoulli),
    "two_layers": PosteriorRow("two layers", _make_two_layers),
}


def decoder_input(z: Any) -> Float[Array, "inputs"]:
    """Return what the decoder sees of z, flat: of two layers the lower one alone."""
    return jnp.ravel(z[0] if isinstance(z, tuple) else z)
