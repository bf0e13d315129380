"""What a VAE is made of: the fields of x, their decoders, the encoder, posterior and prior."""

from collections.abc import Mapping
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np

from vae_jax.distributions import Distribution, InUnits, Masked, Observed, spread
from vae_jax.models.likelihoods import Likelihood
from vae_jax.models.posteriors import Posterior, decoder_input
from vae_jax.models.priors import Prior

ONLY = ""  # the name of the field where x is one array


class Field(NamedTuple):
    """One array of x: its shape and its likelihood."""

    shape: tuple[int, ...]
    values: str
    """What the model sees there, a key of `likelihoods.VALUES`."""
    likelihood: Likelihood
    masked: bool = False
    """Whether x is Masked(values, mask) there."""
    units: Any = None
    """`datasets.Units`, where log p(x|z) is that of values which the model sees standardized."""

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
        """Return biases fitted to the marginal of xs, and the likelihood's own parameters.

        Raises:
          ValueError: the means of xs lie outside of what the likelihood is a density of.
        """
        if not isinstance(xs, jax.core.Tracer):
            values = np.asarray(xs)
            self.check_range(float(values.min()), float(values.max()))
        return {
            "output_bias": self.likelihood.outputs_at(xs),
            "own": self.likelihood.own(self.shape),
        }

    def check_range(self, low: float, high: float) -> None:
        """Refuse examples that the likelihood is not a density of.

        Raises:
          ValueError: with their range.
        """
        ends = {"real": (-math.inf, math.inf), "counts": (0, math.inf)}.get(self.values, (0, 1))
        if not ends[0] <= low <= high <= ends[1]:
            raise ValueError(
                f"examples in {low:g} .. {high:g} do not fit the likelihood, which is of values in "
                f"{ends[0]:g} .. {ends[1]:g}: choose another one, or rescale them"
            )

    def check_masked(self, x: Any, what: str) -> None:
        """Refuse a mask that the model does not know, or none where it does.

        Raises:
          ValueError: with the remedy.
        """
        if isinstance(x, Masked) and not self.masked:
            raise ValueError(f"{what} is Masked: make the model by masked=True")
        if self.masked and not isinstance(x, Masked):
            raise ValueError(f"this model of masked=True needs {what} as Masked(values, mask)")

    def check(self, x: Any, what: str) -> None:
        """Refuse what is not one example, or is stored as integers that stand for other numbers.

        Raises:
          ValueError: with the shape or the type, or a mask where the model knows none.
        """
        self.check_masked(x, what)
        x = x.values if isinstance(x, Masked) else x
        _check_one(x, self.shape, what)
        dtype = jnp.result_type(x)
        if jnp.issubdtype(dtype, jnp.integer) and self.values != "counts":
            raise ValueError(
                f"{what} has type {dtype}, but the model sees floats (bits, or values divided by "
                "their maximum): convert stored values by vae_jax.to_model_examples"
            )

    def decode(self, params: Any, outputs: Array) -> Distribution:
        """Return p(x|z) of the decoder's outputs."""
        outputs = self.arrange(outputs) + params["output_bias"]
        return self.in_units(self.likelihood.make(outputs, params["own"]), outputs.dtype)

    def marginal(self, xs: Any) -> Distribution:
        """Return the best p(x) of a decoder that ignores z, of the observed values of xs."""
        if isinstance(xs, Masked):
            mask = spread(jnp.asarray(xs.mask), xs.values)
            values, weights = jnp.where(mask, xs.values, 0), mask.astype(jnp.float32)
        else:
            values, weights = xs, jnp.ones(xs.shape, jnp.float32)
        return self.in_units(self.likelihood.marginal(values, weights), jnp.float32)

    def in_units(self, likelihood: Distribution, dtype: Any) -> Distribution:
        """Return a likelihood of values as the model sees them as that of x and its mask."""
        if self.units is not None:
            ends = (self.units.location, self.units.scale)
            ends = (jnp.asarray(each, dtype).reshape(self.shape) for each in ends)
            likelihood = InUnits(likelihood, *ends, self.units.is_log)
        return Observed(likelihood) if self.masked else likelihood


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
    compute: Any
    """Type of the layers' arithmetic."""
    storage: Any
    """Type of the parameters and of all densities."""

    @property
    def is_plain(self) -> bool:
        """Whether x is one array."""
        return tuple(self.fields) == (ONLY,)

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
          ValueError: y is missing, is not of one example, or is no label of the model's. Under a
            transformation, where values are not known, the features of the latter are NaN.
        """
        if self.condition is None:
            return None
        shape = () if isinstance(self.condition, int) else self.condition
        if y is None:
            raise ValueError(f"this model is conditional: it needs y, of shape {shape}")
        _check_one(y, shape, "y")
        if isinstance(self.condition, int):
            return _one_hot(y, self.condition)
        return jnp.ravel(y).astype(jnp.float32)

    def check_x(self, x: Any) -> None:
        """Refuse what is not one example.

        Raises:
          ValueError: other fields, an array of another shape or of stored integers, or a mask
            that the model does not know, or none where it does.
        """
        for name, each in self.by_field(x).items():
            self.fields[name].check(each, f"x {name}".rstrip())

    def by_field(self, x: Any) -> Mapping[str, Any]:
        """Return the fields of x.

        Raises:
          ValueError: other fields than those of the model.
        """
        if self.is_plain:
            return {ONLY: x}
        if not isinstance(x, Mapping) or set(x) != set(self.fields):
            if isinstance(x, Mapping):
                given = ", ".join(x)
            else:
                given = "Masked" if isinstance(x, Masked) else f"shape {jnp.shape(x)}"
            raise ValueError(f"x must have the fields {', '.join(self.fields)}; got {given}")
        return x

    def check_z(self, z: Any) -> None:
        """Refuse what is not one z, or its lower layer.

        Raises:
          ValueError: another number of layers, or an array of another shape, or no array.
        """
        if isinstance(z, list):
            _check_one(z, (), "z")
        expected = self.posterior.latent
        if isinstance(expected, tuple) and not isinstance(z, tuple):
            expected = expected[0]  # p(x|z) is given the lower layer, which is enough
        elif isinstance(expected, tuple) and len(z) != len(expected):
            raise ValueError(f"z must have {len(expected)} layers, got {len(z)}")
        for each, like in zip(jax.tree.leaves(z), jax.tree.leaves(expected), strict=True):
            _check_one(each, like.shape, "z")

    def init(self, key: Key[Array, ""], examples: Any) -> dict:
        """Return first parameters; initial biases are set from the examples.

        Raises:
          ValueError: no examples, or values that the likelihood is not a density of.
        """
        if not hasattr(examples, "x"):
            raise ValueError(
                "init needs examples, whose arrays have a leading axis over examples: wrap those "
                f"by vae_jax.Examples(x, y), got {type(examples).__name__}"
            )
        for name, each in self.by_field(examples.x).items():
            self.fields[name].check_masked(each, f"x {name}".rstrip())
        key_encoder, key_decoder, key_q, key_p = jax.random.split(key, 4)
        xs, filled = seen(examples.x), self.by_field(filled_up(examples.x))
        x = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), xs)
        decoder = self.init_decoders(key_decoder)
        likelihood = {
            name: each.init(jnp.asarray(filled[name])) for name, each in self.fields.items()
        }
        params = {
            "encoder": self.encoder.init(key_encoder, x, self.context)["params"],
            "decoder": decoder[ONLY] if self.is_plain else decoder,
            "likelihood": likelihood[ONLY] if self.is_plain else likelihood,
            "posterior": self.posterior.init(key_q),
            "prior": self.prior.init(key_p, xs, self.context),
        }
        return jax.tree.map(lambda leaf: leaf.astype(self.storage), params)

    def init_decoders(self, key: Key[Array, ""]) -> dict[str, Any]:
        """Return the first parameters of each field's decoder."""
        z, keys = decoder_input(self.posterior.latent), jax.random.split(key, len(self.decoders))
        return {
            name: self.decoders[name].init(k, z, self.context)["params"]
            for name, k in zip(self.decoders, keys, strict=True)
        }

    def apply(self, module: nn.Module, params: Any, *inputs: Any) -> Array:
        """Return a module's outputs, computed in the type `compute`."""
        params, inputs = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, self.compute), (params, inputs)
        )
        return module.apply({"params": params}, *inputs).astype(self.storage)

    def encode(self, params: Any, x: Any, y: Any) -> Distribution:
        """Return q(z|x,y) of an example as the encoder sees it (see `seen`)."""
        inputs = {
            name: self.fields[name].likelihood.encoder_input(each)
            for name, each in self.by_field(x).items()
        }
        inputs = inputs[ONLY] if self.is_plain else inputs
        outputs = self.apply(self.encoder, params["encoder"], inputs, self.featurize(y))
        return self.posterior.make(params["posterior"], outputs)

    def decode(self, params: Any, name: str, z: Any, y: Any) -> Distribution:
        """Return p(x|z,y) of one field."""
        decoder, likelihood = params["decoder"], params["likelihood"]
        if not self.is_plain:
            decoder, likelihood = decoder[name], likelihood[name]
        outputs = self.apply(self.decoders[name], decoder, decoder_input(z), self.featurize(y))
        return self.fields[name].decode(likelihood, outputs)


def _one_hot(y, num_classes):
    if isinstance(y, jax.core.Tracer):
        is_label = (y >= 0) & (y < num_classes)
        return jnp.where(is_label, jax.nn.one_hot(y, num_classes), jnp.nan)
    if not 0 <= np.asarray(y) < num_classes:
        raise ValueError(
            f"y must be a label 0 .. {num_classes - 1}, got {y}: only the objective "
            "semi_supervised takes missing labels (-1)"
        )
    return jax.nn.one_hot(y, num_classes)


def _check_one(array, shape, what):
    if isinstance(array, str | list | tuple):
        raise ValueError(
            f"{what} must be an array, got {type(array).__name__}: convert it by jax.numpy.asarray"
        )
    if jnp.shape(array) != tuple(shape):
        raise ValueError(
            f"{what} must be one example of shape {tuple(shape)}, got {jnp.shape(array)}: lift the "
            "function to a batch by jax.vmap"
        )


def seen(x: Any) -> Any:
    """Return x as the encoder sees it, with zeros for missing entries."""
    return _map_masked(lambda x: jnp.where(spread(x.mask, x.values), x.values, 0), x)


def seen_vector(x: Any) -> Float[Array, "inputs"]:
    """Return x as the encoder sees it, all of its fields as one vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(seen(x))])


def filled_up(xs: Any) -> Any:
    """Return examples with each missing entry replaced by the mean of its observed values."""

    def fill(xs):
        mask = spread(xs.mask, xs.values)
        count = jnp.maximum(jnp.sum(mask, axis=0), 1)
        mean = jnp.sum(seen(xs), axis=0) / count
        return jnp.where(mask, xs.values, mean)

    return _map_masked(fill, xs)


def _map_masked(function, x):
    # Of the arrays of x, those that have a mask are replaced by function(Masked).
    def is_masked(node):
        return isinstance(node, Masked)

    return jax.tree.map(lambda x: function(x) if is_masked(x) else x, x, is_leaf=is_masked)
