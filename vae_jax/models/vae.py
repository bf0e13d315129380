"""The VAE as a tuple of pure functions: networks joined with distributions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax import Array

from vae_jax.distributions import Distribution, Product
from vae_jax.models.parts import ONLY, Parts, seen
from vae_jax.models.posteriors import DISCRETE_LATENTS


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
    condition: int | tuple[int, ...] | None = None
    """What y is: None, the number of classes of a label, or the shape of an array."""
    arguments: Mapping[str, Any] | None = None
    """What `make_vae` makes it of, options that were left to their defaults included; None where
    it was made by other means."""

    marginal: Callable[[Any], Distribution] | None = None
    """marginal(xs) -> the best p(x) of a decoder that ignores z and y, fitted to examples as the
    model sees them; None where a likelihood is a row of one's own that has none."""

    @property
    def is_discrete(self) -> bool:
        """Whether samples of z carry no gradient, so that training needs relaxed ones."""
        return self.latents in DISCRETE_LATENTS


def join_parts(parts: Parts) -> VAE:
    """Return the functions of a VAE."""

    def encode(params, x, y=None):
        parts.check_x(x)
        return parts.encode(params, seen(x), y)

    def decode(params, z, y=None):
        parts.check_z(z)
        if not parts.is_plain:
            return Product({name: parts.decode(params, name, z, y) for name in parts.fields})
        return parts.decode(params, ONLY, z, y)

    def prior(params, y=None):
        features = parts.featurize(y)
        return parts.prior.make(params["prior"], features, lambda x: parts.encode(params, x, y))

    def marginal(xs):
        fitted = {
            name: parts.fields[name].marginal(each) for name, each in parts.by_field(xs).items()
        }
        return fitted[ONLY] if parts.is_plain else Product(fitted)

    has_marginal = all(each.likelihood.marginal is not None for each in parts.fields.values())
    vae = VAE(parts.init, encode, decode, prior, parts.latents, parts.condition)
    return vae._replace(marginal=marginal if has_marginal else None)
