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
from vae_jax.lookup import check_options, look_up, pick, take_options
from vae_jax.models.likelihoods import LIKELIHOODS, Likelihood
from vae_jax.models.posteriors import DISCRETE_LATENTS, POSTERIORS, Posterior, decoder_input
from vae_jax.models.priors import PRIORS, Prior, check_pair
from vae_jax.networks import NETWORKS, Branches, check_sizes


class VAE(NamedTuple):
    """Pure functions of one example (no batch axis); what they return are distributions.

    x, y and z may be pytrees. y is the condition; None in an unconditional model.
    """

    init: Callable[[Array, Any], Any]
    """init(key, examples) -> params; `examples.x` has a leading axis over examples."""
    encode: Callable[..., Distribution]
    """encode(params, x, y=None) -> q(z | x, y)."""
    decode: Callable[..., Distribution]
    """decode(params, z, y=None) -> p(x | z, y)."""
    prior: Callable[..., Distribution]
    """prior(params, y=None) -> p(z | y)."""
    latents: str = "real"
    """What z is, as the posterior's row says: "real", "simplex", "classes", ..."""

    @property
    def is_discrete(self) -> bool:
        """Whether samples of z carry no gradient, so that training needs relaxed ones."""
        return self.latents in DISCRETE_LATENTS


_ONLY = ""  # the name of the field where x is one array

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

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the decoder's outputs: outputs for one value are concatenated on the last
        axis."""
        *sides, last = self.shape or (1,)
        return (*sides, last * self.likelihood.num_outputs)

    def arrange(self, outputs: Array) -> Array:
        """Return the outputs in the shape of x, those for one value along a last axis."""
        count = self.likelihood.num_outputs
        return outputs.reshape(self.shape if count == 1 else (*self.shape, count))

    def init(self, xs: Array) -> dict[str, Any]:
        """Return biases fitted to the marginal of xs, and the likelihood's own parameters."""
        return {"output_bias": self.likelihood.outputs_at(xs), "own": self.likelihood.own()}

    def decode(self, params: Any, outputs: Array) -> Distribution:
        """Return p(x|z) of the decoder's outputs."""
        outputs = self.arrange(outputs) + params["output_bias"]
        return self.likelihood.make(outputs, params["own"])


# {argument of make_vae: the table that it names a row of}
TABLES = {
    "network": NETWORKS,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "likelihood": LIKELIHOODS,
}


def make_vae(
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    *,
    network: str = "mlp",
    posterior: str = "gaussian",
    prior: str = "standard_normal",
    likelihood: str | Mapping[str, str] = "bernoulli",
    latent_dim: int = 50,
    num_levels: int | Mapping[str, int] = 256,
    condition: int | tuple[int, ...] | None = None,
    masked: bool = False,
    precision: str = "float32",
    **options: Any,
) -> VAE:
    """Make a VAE from the names of q(z|x), p(z) and p(x|z).

    Args:
      shape: of one example, or {field: shape}: each field then has an encoder and a decoder of
        its own, joined in one z.
      network: a row of NETWORKS; all fields must be images for a convolutional one.
      posterior: a row of POSTERIORS.
      prior: a row of PRIORS.
      likelihood: a row of LIKELIHOODS, or {field: row}.
      latent_dim: number of latent dimensions, or of discrete latent variables.
      num_levels: L of discrete values 0, 1 / (L - 1), ..., 1, or {field: L}.
      condition: what y is: None (the model has none), the number of classes of a label, or the
        shape of an array.
      masked: whether x is Masked(values, mask): entries whose mask is 0 are missing.
      precision: a row of PRECISIONS; "bfloat16" applies to the layers only, "float64" needs
        `jax.config.update("jax_enable_x64", True)` before any array is made.
      **options: options of these rows, such as `hidden`, `flow_layers` or `likelihood_scale`.

    Raises:
      ValueError: an unknown name, an option that no chosen row takes, a number out of range, a
        shape that the network cannot take, a prior that is not over the posterior's latents, or
        float64 without x64.
    """
    rows = _look_up_rows(shape, network, posterior, prior, likelihood, options)
    check_sizes(latent_dim=latent_dim)
    pair = rows["network"](**take_options(rows["network"], options))
    check_pair(posterior, rows["posterior"].values, prior, condition is not None)
    q, p = (
        rows[name].make(latent_dim, pair.layers, **take_options(rows[name], options))
        for name in ("posterior", "prior")
    )
    fields = {
        name: Field(
            tuple(each),
            rows["likelihood"][name].make(
                pick(num_levels, name), **take_options(rows["likelihood"][name], options)
            ),
        )
        for name, each in _by_field(shape).items()
    }
    for field in fields.values():
        pair.check_shape(field.shape)
    parts = Parts(
        encoder=_make_encoder(pair, fields, q.num_outputs),
        decoders={name: pair.decoder(each.output_shape) for name, each in fields.items()},
        fields=fields,
        posterior=q,
        prior=p,
        latents=rows["posterior"].values,
        condition=condition,
    )
    return join_parts(parts, *_look_up_precision(precision), masked)


def _look_up_rows(shape, network, posterior, prior, likelihood, options):
    """Return {argument: row} ({field: row} for `likelihood`); refuse options that none takes."""
    fields = {name: pick(likelihood, name) for name in _by_field(shape)}
    chosen = [("network", network), ("posterior", posterior), ("prior", prior)]
    rows = {argument: look_up(TABLES[argument], name, argument) for argument, name in chosen}
    rows["likelihood"] = {
        field: look_up(LIKELIHOODS, name, "likelihood") for field, name in fields.items()
    }
    likelihoods = [("likelihood", name) for name in dict.fromkeys(fields.values())]
    check_options(options, chosen + likelihoods, TABLES)
    return rows


def _by_field(shape):
    """Return {field: shape}; a single array is a field without a name."""
    return dict(sorted(shape.items())) if isinstance(shape, Mapping) else {_ONLY: shape}


def _make_encoder(pair, fields, num_outputs):
    if tuple(fields) == (_ONLY,):
        return pair.encoder(num_outputs)
    if not pair.layers.hidden:
        raise ValueError("hidden must name a layer, whose features join the fields; got ()")
    return Branches(pair.layers, pair.encoder, tuple(fields), num_outputs)


class Parts(NamedTuple):
    """The modules and rows that make up a VAE."""

    encoder: nn.Module
    decoders: dict[str, nn.Module]
    """One for each field."""
    fields: dict[str, Field]
    """Those of x; where x is one array, that one has no name."""
    posterior: Posterior
    prior: Prior
    latents: str
    """What z is."""
    condition: int | tuple[int, ...] | None
    """What y is: None, the number of classes of a label, or the shape of an array."""

    @property
    def is_plain(self) -> bool:
        """Whether x is one array."""
        return tuple(self.fields) == (_ONLY,)

    @property
    def context(self) -> Any:
        """The features of some y, or None where there is no condition."""
        if self.condition is None:
            return None
        size = self.condition if isinstance(self.condition, int) else math.prod(self.condition)
        return jnp.zeros(size)

    def featurize(self, y: Any) -> Any:
        """Return y as a flat vector (one-hot of a label), or None where there is no condition.

        Raises:
          ValueError: y is missing, or is not of one example.
        """
        if self.condition is None:
            return None
        shape = () if isinstance(self.condition, int) else self.condition
        if y is None:
            raise ValueError(f"this model is conditional: it needs y, of shape {shape}")
        _check_one(y, shape, "y")
        if isinstance(self.condition, int):
            return jax.nn.one_hot(y, self.condition)
        return jnp.ravel(y).astype(jnp.float32)

    def check_x(self, x: Any) -> None:
        """Refuse what is not one example.

        Raises:
          ValueError: other fields, or an array of another shape.
        """
        x = x.values if isinstance(x, Masked) else x
        if not self.is_plain and (not isinstance(x, Mapping) or set(x) != set(self.fields)):
            given = ", ".join(x) if isinstance(x, Mapping) else f"shape {jnp.shape(x)}"
            raise ValueError(f"x must have the fields {', '.join(self.fields)}; got {given}")
        for name, field in self.fields.items():
            _check_one(x if self.is_plain else x[name], field.shape, f"x {name}".rstrip())

    def check_z(self, z: Any) -> None:
        """Refuse what is not one z.

        Raises:
          ValueError: another number of layers, or an array of another shape.
        """
        expected = self.posterior.latent
        if isinstance(expected, tuple) and (not isinstance(z, tuple) or len(z) != len(expected)):
            raise ValueError(f"z must be a tuple of {len(expected)} layers, got {type(z).__name__}")
        for each, like in zip(jax.tree.leaves(z), jax.tree.leaves(expected), strict=True):
            _check_one(each, like.shape, "z")


def _check_one(array, shape, what):
    if jnp.shape(array) != tuple(shape):
        raise ValueError(
            f"{what} must be one example of shape {tuple(shape)}, got {jnp.shape(array)}: lift the "
            "function to a batch by jax.vmap"
        )


def join_parts(parts: Parts, compute: Any, storage: Any, masked: bool) -> VAE:
    """Return the functions of a VAE whose layers compute in one type and whose parameters and
    densities have another."""
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
        parts.check_x(x)
        return encode_seen(params, _seen(x), y)

    def decode_field(params, name, z, y):
        decoder, likelihood = params["decoder"], params["likelihood"]
        if not parts.is_plain:
            decoder, likelihood = decoder[name], likelihood[name]
        outputs = apply(decoders[name], decoder, decoder_input(z), parts.featurize(y))
        return parts.fields[name].decode(likelihood, outputs)

    def decode(params, z, y=None):
        parts.check_z(z)
        if not parts.is_plain:
            return Product({name: decode_field(params, name, z, y) for name in decoders})
        likelihood = decode_field(params, _ONLY, z, y)
        return Observed(likelihood) if masked else likelihood

    def prior(params, y=None):
        features = parts.featurize(y)
        return p.make(params["prior"], features, lambda x: encode_seen(params, x, y))

    return VAE(init, encode, decode, prior, parts.latents)


def _look_up_precision(precision):
    compute, storage = look_up(PRECISIONS, precision, "precision")
    if storage == jnp.float64 and not jax.config.jax_enable_x64:
        raise ValueError("precision='float64' needs jax.config.update('jax_enable_x64', True)")
    return compute, storage


def _seen(x):
    """Return x as the encoder sees it, with zeros for missing entries."""
    return jnp.where(spread(x.mask, x.values), x.values, 0) if isinstance(x, Masked) else x


def _filled(xs):
    """Return examples with each missing entry replaced by the mean of its observed values."""
    if not isinstance(xs, Masked):
        return xs
    mask = spread(xs.mask, xs.values)
    count = jnp.maximum(jnp.sum(mask, axis=0), 1)
    mean = jnp.sum(_seen(xs), axis=0) / count
    return jnp.where(mask, xs.values, mean)
