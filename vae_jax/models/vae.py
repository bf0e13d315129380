"""The VAE as a tuple of pure functions: networks joined with distributions."""

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key

from vae_jax.distributions import Distribution, Masked, Observed, Product, spread
from vae_jax.lookup import look_up, pick
from vae_jax.models.likelihoods import LIKELIHOODS, Likelihood, LikelihoodOptions
from vae_jax.models.posteriors import POSTERIORS, LatentOptions, Posterior, decoder_input
from vae_jax.models.priors import PRIORS, Prior, check_pair
from vae_jax.networks import (
    ACTIVATIONS,
    INITIALIZERS,
    NETWORKS,
    Branches,
    Layers,
    check_conv_shape,
    is_convolutional,
)


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


# {name: (type of the layers' arithmetic, type of parameters and of all densities)}
PRECISIONS = {
    "float32": (jnp.float32, jnp.float32),
    "bfloat16": (jnp.bfloat16, jnp.float32),
    "float64": (jnp.float64, jnp.float64),
}


class Field(NamedTuple):
    """One array of x: its shape and its likelihood."""

    shape: tuple[int, ...]
    likelihood: Likelihood
    options: LikelihoodOptions

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the decoder's outputs: several a value stand side by side."""
        count = self.likelihood.num_outputs(self.options)
        *sides, last = self.shape or (1,)
        return (*sides, last * count)

    def arrange(self, outputs: Array) -> Array:
        """Return the decoder's outputs in the shape of x, with those of one value last."""
        count = self.likelihood.num_outputs(self.options)
        return outputs.reshape(self.shape if count == 1 else (*self.shape, count))

    def init(self, xs: Array) -> dict[str, Any]:
        """Return the first bias and own parameters, such that decoding starts at these examples."""
        bias = self.likelihood.outputs_at(xs, self.options)
        return {"output_bias": bias, "own": self.likelihood.own(self.options)}

    def decode(self, params: Any, outputs: Array) -> Distribution:
        """Return p(x|z) of the decoder's outputs."""
        outputs = self.arrange(outputs) + params["output_bias"]
        return self.likelihood.make(outputs, params["own"], self.options)


def make_vae(
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    *,
    network: str = "mlp",
    hidden: tuple[int, ...] = (200, 200),
    channels: tuple[int, ...] = (),
    activation: str = "tanh",
    initializer: str = "glorot_uniform",
    posterior: str = "gaussian",
    prior: str = "standard_normal",
    latent_dim: int = 50,
    likelihood: str | Mapping[str, str] = "bernoulli",
    likelihood_scale: float = 1.0,
    likelihood_floor: float = 0.01,
    num_levels: int | Mapping[str, int] = 256,
    condition: int | tuple[int, ...] | None = None,
    masked: bool = False,
    precision: str = "float32",
    **latent_options: Any,
) -> VAE:
    """Make a VAE of q(z|x), p(z) and p(x|z) by their names.

    Args:
      shape: of one example, or {field: shape}: each field then has an encoder and a decoder of
        its own, joined in one z.
      network: a row of `networks.NETWORKS`; all fields must be images for a convolutional one.
      hidden: sizes of the encoder's dense layers; the MLP decoder has the same, the convolutional
        one has them mirrored.
      channels: of the convolutional pair, one entry per halving of the image.
      activation: a row of `networks.ACTIVATIONS`; gated layers have none.
      initializer: of all kernels, a row of `networks.INITIALIZERS`.
      posterior: a row of `posteriors.POSTERIORS`.
      prior: a row of `priors.PRIORS`.
      latent_dim: number of latent dimensions, or of discrete latent variables.
      likelihood: a row of `likelihoods.LIKELIHOODS`, or {field: row}.
      likelihood_scale: sigma of the Gaussian likelihood, in units of x: fixed, or the first one.
      likelihood_floor: the least sigma that is learned.
      num_levels: L of discrete values 0, 1 / (L - 1), ..., 1, or {field: L}.
      condition: what y is: None (the model has none), the number of classes of a label, or the
        shape of an array.
      masked: whether x is Masked(values, mask): entries whose mask is 0 are missing.
      precision: a row of PRECISIONS; "bfloat16" is that of the layers alone, "float64" needs
        `jax.config.update("jax_enable_x64", True)` before any array is made.
      **latent_options: further fields of `posteriors.LatentOptions`.

    Raises:
      ValueError: an unknown name, a number out of range, a shape that the network cannot take, a
        prior that is not over the posterior's latents, or float64 without x64.
    """
    pair = look_up(NETWORKS, network, "vae.network")
    layers = Layers(
        tuple(hidden),
        look_up(ACTIVATIONS, activation, "vae.activation"),
        look_up(INITIALIZERS, initializer, "vae.initializer"),
        tuple(channels),
        **pair.options,
    )
    latent = _latent_options(latent_options, latent_dim, layers)
    row = look_up(POSTERIORS, posterior, "vae.posterior")
    prior_row = look_up(PRIORS, prior, "vae.prior")
    check_pair(posterior, row.values, prior, condition is not None)
    q = row.make(latent)
    options = LikelihoodOptions(likelihood_scale, likelihood_floor)
    fields = _make_fields(shape, likelihood, num_levels, options)
    if isinstance(shape, Mapping) and not layers.hidden:
        raise ValueError("vae.hidden must name a layer, whose features join the fields; got ()")
    if is_convolutional(network):
        for field in fields.values():
            check_conv_shape(field.shape, layers.channels)
    parts = Parts(
        encoder=(
            Branches(layers, pair.encoder, tuple(fields), q.num_outputs)
            if isinstance(shape, Mapping)
            else pair.encoder(layers, q.num_outputs)
        ),
        decoders={name: pair.decoder(layers, each.output_shape) for name, each in fields.items()},
        fields=fields,
        posterior=q,
        prior=prior_row.make(latent),
        featurize=_make_featurize(condition),
        context=_zero_features(condition),
    )
    return join_parts(parts, *_look_up_precision(precision), masked)


class Parts(NamedTuple):
    """The modules and rows that make up a VAE."""

    encoder: nn.Module
    decoders: dict[str, nn.Module]
    """One for each field."""
    fields: dict[str, Field]
    """Those of x; where x is one array, that one has no name."""
    posterior: Posterior
    prior: Prior
    featurize: Callable[[Any], Any]
    """featurize(y) -> a flat vector, or None where there is no condition."""
    context: Any
    """The features of some y."""

    @property
    def is_plain(self) -> bool:
        """Whether x is one array."""
        return tuple(self.fields) == (_ONLY,)


_ONLY = ""  # the name of the field where x is one array


def join_parts(parts: Parts, compute: Any, storage: Any, masked: bool) -> VAE:
    """Return the functions of a VAE, whose layers compute in one type and which keeps another."""
    q, p, decoders = parts.posterior, parts.prior, parts.decoders

    def init(key: Key[Array, ""], examples: Any) -> dict:
        key_encoder, key_decoder, key_q, key_p = jax.random.split(key, 4)
        xs, filled = _seen(examples.x), _filled(examples.x)
        by_field = {_ONLY: filled} if parts.is_plain else filled
        x = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), xs)
        z, keys = decoder_input(q.latent), jax.random.split(key_decoder, len(decoders))
        decoder = {
            name: decoders[name].init(k, z, parts.context)["params"]
            for name, k in zip(decoders, keys, strict=True)
        }
        likelihood = {
            name: each.init(jnp.asarray(by_field[name])) for name, each in parts.fields.items()
        }
        params = {
            "encoder": parts.encoder.init(key_encoder, x, parts.context)["params"],
            "decoder": decoder[_ONLY] if parts.is_plain else decoder,
            "likelihood": likelihood[_ONLY] if parts.is_plain else likelihood,
            "posterior": q.init(key_q),
            "prior": p.init(key_p, xs, parts.context),
        }
        return jax.tree.map(lambda leaf: leaf.astype(storage), params)

    def apply(module, params, *inputs):
        params, inputs = jax.tree.map(lambda leaf: jnp.asarray(leaf, compute), (params, inputs))
        return module.apply({"params": params}, *inputs).astype(storage)

    def encode_seen(params, x, y):
        outputs = apply(parts.encoder, params["encoder"], x, parts.featurize(y))
        return q.make(params["posterior"], outputs)

    def encode(params, x, y=None):
        return encode_seen(params, _seen(x), y)

    def decode_field(params, name, z, y):
        decoder, likelihood = params["decoder"], params["likelihood"]
        if not parts.is_plain:
            decoder, likelihood = decoder[name], likelihood[name]
        outputs = apply(decoders[name], decoder, decoder_input(z), parts.featurize(y))
        return parts.fields[name].decode(likelihood, outputs)

    def decode(params, z, y=None):
        if not parts.is_plain:
            return Product({name: decode_field(params, name, z, y) for name in decoders})
        likelihood = decode_field(params, _ONLY, z, y)
        return Observed(likelihood) if masked else likelihood

    def prior(params, y=None):
        features = parts.featurize(y)
        return p.make(params["prior"], features, lambda x: encode_seen(params, x, y))

    return VAE(init, encode, decode, prior)


def _look_up_precision(precision):
    compute, storage = look_up(PRECISIONS, precision, "vae.precision")
    if storage == jnp.float64 and not jax.config.jax_enable_x64:
        raise ValueError("vae.precision='float64' needs jax.config.update('jax_enable_x64', True)")
    return compute, storage


def _seen(x):
    """Return x as the encoder sees it: missing entries are zeros."""
    return jnp.where(spread(x.mask, x.values), x.values, 0) if isinstance(x, Masked) else x


def _filled(xs):
    """Return examples whose missing entries are the means of what was observed there."""
    if not isinstance(xs, Masked):
        return xs
    mask = spread(xs.mask, xs.values)
    count = jnp.maximum(jnp.sum(mask, axis=0), 1)
    mean = jnp.sum(_seen(xs), axis=0) / count
    return jnp.where(mask, xs.values, mean)


def _latent_options(options, latent_dim, layers):
    defaults = LatentOptions(latent_dim, layers)
    for name in options:
        look_up(defaults._asdict(), name, "option of the latents")
    latent = defaults._replace(**options)
    sizes = {
        "latent_dim": (latent_dim,),
        "hidden": layers.hidden,
        "channels": layers.channels,
        "num_classes": (latent.num_classes,),
        "flow_layers": (latent.flow_layers,),
        "flow_hidden": latent.flow_hidden,
        "upper_dim": (latent.upper_dim,),
        "upper_hidden": latent.upper_hidden,
        "num_components": (latent.num_components,),
    }
    for name, size in sizes.items():
        if min(size, default=1) < 1:
            raise ValueError(f"vae.{name} must be >= 1, got {size if len(size) > 1 else size[0]}")
    return latent


def _make_fields(shape, likelihood, num_levels, options):
    for name, value in (("scale", options.scale), ("floor", options.floor)):
        if not 0 < value < math.inf:
            raise ValueError(f"vae.likelihood_{name} must be > 0 and finite, got {value}")
    shapes = shape if isinstance(shape, Mapping) else {_ONLY: shape}
    return {
        name: Field(
            tuple(each),
            look_up(LIKELIHOODS, pick(likelihood, name), "vae.likelihood"),
            options._replace(num_levels=pick(num_levels, name)),
        )
        for name, each in sorted(shapes.items())
    }


def _make_featurize(condition):
    """Return a function of y to a flat vector, or to None where there is no condition."""
    if condition is None:
        return lambda y: None
    if isinstance(condition, int):
        return lambda y: jax.nn.one_hot(y, condition)
    return lambda y: jnp.ravel(y).astype(jnp.float32)


def _zero_features(condition):
    if condition is None:
        return None
    return jnp.zeros(condition if isinstance(condition, int) else math.prod(condition))
