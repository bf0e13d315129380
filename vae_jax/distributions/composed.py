"""Distributions made of distributions: flows, independent fields, two stochastic layers."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
from jax import Array
from jaxtyping import Float, Key

from vae_jax.distributions.base import Distribution


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flow(Distribution):
    """The distribution of f(z), z ~ base, for an invertible f.

    log p(value) = log base(z) - log|det df/dz|, Eq. (5) of Rezende & Mohamed (2015). The two
    functions are `jax.tree_util.Partial`s, so that their parameters are leaves of the pytree:
    `forward(z)` -> (f(z), log|det df/dz|), `inverse(value)` -> (z, log|det dz/dvalue|), in nats.
    """

    base: Any
    forward: Any
    inverse: Any

    def sample(self, key: Key[Array, ""]) -> Any:
        """Draw f(z), differentiable in the parameters of f and of the base."""
        return self.forward(self.base.sample(key))[0]

    def log_prob(self, value: Any) -> Float[Array, ""]:
        """Return the log-density of `value` in nats, by the inverse of f."""
        z, log_det = self.inverse(value)
        return self.base.log_prob(z) + log_det

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Any, Float[Array, ""]]:
        """Draw one value and return it with its log-density in nats, without the inverse."""
        z, log_prob = self.base.sample_and_log_prob(key)
        value, log_det = self.forward(z)
        return value, log_prob - log_det


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Product(Distribution):
    """Independent fields, each with its own distribution; a value is a dictionary of the fields.

    Raises:
      ValueError: from `log_prob`, for a value that lacks a field or has an unknown one.
    """

    fields: Any

    @property
    def mean(self) -> dict[str, Any]:
        """The mean of each field."""
        return {name: field.mean for name, field in self.fields.items()}

    def sample(self, key: Key[Array, ""]) -> dict[str, Any]:
        """Draw every field with a key of its own."""
        # jax sorts the names of a dict; sorted here too, a draw is the same under jit.
        names = sorted(self.fields)
        keys = jax.random.split(key, len(names))
        return {name: self.fields[name].sample(key) for name, key in zip(names, keys, strict=True)}

    def log_prob(self, value: Mapping[str, Any]) -> Float[Array, ""]:
        """Return the sum of the fields' log-densities in nats."""
        if set(value) != set(self.fields):
            given, known = (", ".join(map(repr, sorted(names))) for names in (value, self.fields))
            raise ValueError(f"the value has the fields {given or 'none'}; known: {known}")
        return sum(self.fields[name].log_prob(value[name]) for name in sorted(self.fields))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Chain(Distribution):
    """Two stochastic layers; a value is always (z1, z2), the lower layer and then the upper one.

    Bottom-up, as a posterior is, z1 ~ first and z2 ~ second(z1): q(z1|x) q(z2|z1). Top-down, as a
    prior is, z2 ~ first and z1 ~ second(z2): p(z2) p(z1|z2). `second` is a `jax.tree_util.Partial`
    from a value of the first distribution to the second one, so that its parameters are leaves of
    the pytree. Section 2 of Burda et al. (2016), with L = 2.
    """

    first: Any
    second: Any
    top_down: bool = dataclasses.field(default=False, metadata={"static": True})

    def sample(self, key: Key[Array, ""]) -> tuple[Any, Any]:
        """Draw (z1, z2)."""
        key_first, key_second = jax.random.split(key)
        drawn_first = self.first.sample(key_first)
        return self._ordered(drawn_first, self.second(drawn_first).sample(key_second))

    def log_prob(self, value: tuple[Any, Any]) -> Float[Array, ""]:
        """Return the log-density of (z1, z2) in nats."""
        drawn_first, drawn_second = self._ordered(*value)
        return self.first.log_prob(drawn_first) + self.second(drawn_first).log_prob(drawn_second)

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[tuple[Any, Any], Float[Array, ""]]:
        """Draw (z1, z2) and return it with its log-density in nats."""
        key_first, key_second = jax.random.split(key)
        drawn_first, log_first = self.first.sample_and_log_prob(key_first)
        drawn_second, log_second = self.second(drawn_first).sample_and_log_prob(key_second)
        return self._ordered(drawn_first, drawn_second), log_first + log_second

    def _ordered(self, a, b):
        # Between the order of drawing and (lower, upper).
        return (b, a) if self.top_down else (a, b)
