"""Normalizing flows of one vector: networks that turn a distribution into a `Flow`.

Each layer maps z_i to z_i exp(s_i) + t_i, where t_i and s_i are a network of other dimensions and
of the context; the order of the dimensions changes from layer to layer. The log-scales s are
bounded smoothly. A new flow is close to the identity: the last layer of each network starts near
zero, but not at zero, so that the layers before it have gradients too.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import Distribution, Flow
from vae_jax.lookup import check_whole, look_up
from vae_jax.networks.dense import Dense
from vae_jax.networks.layers import ACTIVATIONS, LARGEST_SIZE, Layers

# A layer's scales lie within exp(-3) .. exp(3).
LOG_SCALE_BOUND = 3.0

_dense_init = nn.initializers.glorot_uniform()
_near_zero_init = nn.initializers.variance_scaling(1e-4, "fan_avg", "uniform")


class FlowNetwork(NamedTuple):
    """Pure functions of one vector, with an optional context: features of an example, say."""

    init: Callable[[Array], Any]
    """init(key) -> params, whose leaves have a leading axis over layers."""
    apply: Callable[..., Flow]
    """apply(params, base, context=None) -> the distribution of the mapped draws of `base`.

    The params are leaves of the Flow: a vmap that returns Flows copies them for each one, and one
    that returns samples or densities does not."""


class CouplingNetwork(nn.Module):
    """Kept dimensions and context -> hidden layers -> (t, unbounded s) of the other dimensions."""

    num_outputs: int
    hidden: tuple[int, ...]
    activation: Callable

    @nn.compact
    def __call__(
        self, kept: Float[Array, "kept"], context: Float[Array, "context"]
    ) -> Float[Array, "num_outputs"]:
        layers = Layers(self.hidden, self.activation)
        features = Dense(layers, self.hidden)(jnp.concatenate([kept, context]))
        return nn.Dense(self.num_outputs, kernel_init=_near_zero_init)(features)


class MaskedDense(nn.Module):
    """A dense layer that joins an input to an output only if its degree is not the larger one.

    A unit's degree is the number of leading dimensions of z that it may depend on.
    """

    input_degrees: tuple[int, ...]
    output_degrees: tuple[int, ...]
    kernel_init: Callable = _dense_init

    @nn.compact
    def __call__(self, x: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        shape = (len(self.input_degrees), len(self.output_degrees))
        mask = jnp.asarray(self.input_degrees)[:, None] <= jnp.asarray(self.output_degrees)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape[1:])
        return x @ jnp.where(mask, kernel, 0) + bias


class AutoregressiveNetwork(nn.Module):
    """z and context -> masked layers -> (t, unbounded s), where t_i and s_i see z_1 .. z_{i-1}.

    MADE, Germain et al. (2015). Hidden units have degrees 0 .. D - 1, evenly: those of degree 0
    bring the context, which has degree 0 itself, to the first dimension.
    """

    num_dimensions: int
    hidden: tuple[int, ...]
    activation: Callable

    @nn.compact
    def __call__(
        self, z: Float[Array, "dimensions"], context: Float[Array, "context"]
    ) -> Float[Array, "twice_dimensions"]:
        features = jnp.concatenate([z, context])
        degrees = (*range(1, self.num_dimensions + 1), *(0,) * len(context))
        for size in self.hidden:
            hidden_degrees = tuple(i * self.num_dimensions // size for i in range(size))
            features = self.activation(MaskedDense(degrees, hidden_degrees)(features))
            degrees = hidden_degrees
        output_degrees = 2 * tuple(range(self.num_dimensions))
        return MaskedDense(degrees, output_degrees, _near_zero_init)(features)


def make_coupling(
    num_dimensions: int,
    hidden: tuple[int, ...],
    num_layers: int,
    context_dim: int = 0,
    activation: str = "tanh",
) -> FlowNetwork:
    """Make a flow of affine couplings: half of the dimensions is kept and maps the other half.

    Section 3.2 of Dinh et al. (2017). Both directions cost one pass. The half that is kept moves on
    by its length from layer to layer, so that some layer maps each dimension of an odd number, too.

    Args:
      num_dimensions: of the vector, at least two.
      hidden: sizes of the hidden layers of each layer's network.
      num_layers: number of couplings; two map every dimension.
      context_dim: length of the context, 0 for none.
      activation: a row of `networks.ACTIVATIONS`.

    Raises:
      ValueError: a size below the least one, an unknown activation; by `apply`, a context of
        another length.
    """
    _check_sizes(num_dimensions, hidden, num_layers, context_dim, least_dimensions=2)
    num_kept = num_dimensions // 2
    num_mapped = num_dimensions - num_kept
    network = CouplingNetwork(2 * num_mapped, *_hidden_layers(hidden, activation))

    def affine(params, z, context):
        mapped = _shift_and_log_scale(network.apply(params, z[:num_kept], context))
        return tuple(jnp.pad(part, (num_kept, 0)) for part in mapped)

    def invert(params, value, context):
        shift, log_scale = affine(params, value, context)
        return (value - shift) * jnp.exp(-log_scale), -jnp.sum(log_scale)

    def reorder(z, times):
        return jnp.roll(z, -times * num_kept)

    init = _make_init(network, num_layers, num_kept, context_dim)
    return FlowNetwork(init, _make_apply(affine, invert, reorder, num_layers, context_dim))


def make_inverse_autoregressive(
    num_dimensions: int,
    hidden: tuple[int, ...],
    num_layers: int,
    context_dim: int = 0,
    activation: str = "tanh",
) -> FlowNetwork:
    """Make an inverse autoregressive flow: every dimension is mapped by those before it.

    Eq. (10) of Kingma et al. (2016), z_t = mu_t + sigma_t z_{t-1}, with sigma_t = exp(s) instead of
    their gates, so that a layer can widen as well as narrow. To draw and to know a draw's density
    costs one pass, the density of another value one pass per dimension. With the two functions
    exchanged, `Flow(base, flow.inverse, flow.forward)`, it is the other way round.

    Args and Raises: as for `make_coupling`; one dimension is enough.
    """
    _check_sizes(num_dimensions, hidden, num_layers, context_dim, least_dimensions=1)
    network = AutoregressiveNetwork(num_dimensions, *_hidden_layers(hidden, activation))

    def affine(params, z, context):
        return _shift_and_log_scale(network.apply(params, z, context))

    def invert(params, value, context):
        def solve_next(i, z):
            shift, log_scale = affine(params, z, context)
            return z.at[i].set((value[i] - shift[i]) * jnp.exp(-log_scale[i]))

        z = jax.lax.fori_loop(0, num_dimensions, solve_next, jnp.zeros_like(value))
        return z, -jnp.sum(affine(params, z, context)[1])

    def reorder(z, times):
        return z[::-1] if times % 2 else z

    init = _make_init(network, num_layers, num_dimensions, context_dim)
    return FlowNetwork(init, _make_apply(affine, invert, reorder, num_layers, context_dim))


def _shift_and_log_scale(outputs):
    shift, unbounded = jnp.split(outputs, 2)
    return shift, LOG_SCALE_BOUND * jnp.tanh(unbounded / LOG_SCALE_BOUND)


def _make_init(network, num_layers, num_inputs, context_dim):
    def init(key: Key[Array, ""]) -> Any:
        def init_layer(key):
            return network.init(key, jnp.zeros(num_inputs), jnp.zeros(context_dim))

        return jax.vmap(init_layer)(jax.random.split(key, num_layers))

    return init


def _make_apply(affine, invert, reorder, num_layers, context_dim):
    # Of one layer: affine(params, z, context) -> (t, s), and invert(params, value, context) ->
    # (z, log|det dz/dvalue|). reorder(z, times) is what lies between layers, so many times.

    def forward(z, params, context):
        def step(z, layer):
            shift, log_scale = affine(layer, z, context)
            return reorder(z * jnp.exp(log_scale) + shift, 1), jnp.sum(log_scale)

        value, log_dets = jax.lax.scan(step, z, params)
        return reorder(value, -num_layers), jnp.sum(log_dets)

    def inverse(value, params, context):
        def step(value, layer):
            return invert(layer, reorder(value, -1), context)

        z, log_dets = jax.lax.scan(step, reorder(value, num_layers), params, reverse=True)
        return z, jnp.sum(log_dets)

    def apply(params: Any, base: Distribution, context: Array | None = None) -> Flow:
        # No wider a type than the others have, where jax makes float64 by default.
        context = jnp.zeros(0, jnp.float32) if context is None else context
        if context.shape != (context_dim,):
            raise ValueError(f"the context's shape is {context.shape}, expected ({context_dim},)")
        bind = functools.partial(jax.tree_util.Partial, params=params, context=context)
        return Flow(base, bind(forward), bind(inverse))

    return apply


def _hidden_layers(hidden, activation):
    return tuple(hidden), look_up(ACTIVATIONS, activation, "activation")


def _check_sizes(num_dimensions, hidden, num_layers, context_dim, least_dimensions):
    given = {
        "num_dimensions": (num_dimensions, least_dimensions),
        "hidden": (hidden, 1),
        "num_layers": (num_layers, 1),
        "context_dim": (context_dim, 0),
    }
    for name, (value, least) in given.items():
        check_whole(least, LARGEST_SIZE, **{f"{name} of a flow": value})
