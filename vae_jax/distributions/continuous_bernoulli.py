"""The continuous Bernoulli distribution of numbers in [0, 1]."""

import dataclasses
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions.base import Factorized


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ContinuousBernoulli(Factorized):
    """Independent numbers in [0, 1]: p(x) = C(lambda) lambda^x (1 - lambda)^(1 - x).

    lambda = sigmoid(logits), which is the mean only at 1/2. With l the logits,
    log p(x) = x l - softplus(l) + log C = (x - 1/2) l - log(sinh(l / 2) / (l / 2)), where
    C = l / tanh(l / 2) and C = 2 at l = 0. Loaiza-Ganem & Cunningham (2019).
    """

    logits: Any

    @property
    def mean(self) -> Float[Array, "*event"]:
        """The mean 1 / (1 - exp(-l)) - 1 / l, which is 1/2 at l = 0."""
        return 0.5 + _derivative(_log_mass)(self.logits)

    @property
    def variance(self) -> Float[Array, "*event"]:
        """The variance 1 / l^2 - 1 / (2 sinh(l / 2))^2, which is 1/12 at l = 0."""
        return _derivative(_derivative(_log_mass))(self.logits)

    @property
    def scale(self) -> Float[Array, "*event"]:
        """The standard deviation."""
        return jnp.sqrt(self.variance)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*event"]:
        """Draw log(1 - u + u exp(l)) / l of uniform u, differentiable in the logits.

        It is the inverse of the distribution function (exp(x l) - 1) / (exp(l) - 1).
        """
        dtype = jnp.result_type(self.logits)
        # At u = 0 the derivative is infinite where exp(l) overflows.
        smallest = jnp.finfo(dtype).epsneg
        uniform = jax.random.uniform(key, jnp.shape(self.logits), dtype, minval=smallest)
        return jnp.clip(_quantile(uniform, self.logits), 0, 1)

    def log_prob_per_dimension(self, value: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """Return (x - 1/2) l - log(sinh(l / 2) / (l / 2)) of each x in [0, 1], in nats."""
        return (value - 0.5) * self.logits - _log_mass(self.logits)


# Taylor coefficients of log(sinh(h) / h) in h^2: 2^(2n) B_2n / (2n (2n)!) of the term n, which is
# (-1)^(n + 1) zeta(2n) / (n pi^(2n)). float32 needs the first six.
_FIRST = (0.0, 1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775, -691 / 3831077250)
_FURTHER = tuple(
    -((-1) ** n) * sum(k ** (-2.0 * n) for k in range(1, 20)) / (n * math.pi ** (2 * n))
    for n in range(7, 17)
)


def _log_mass(logits):
    # log(sinh(h) / h) with h = l / 2, the log of the integral of exp((x - 1/2) l). Its derivatives,
    # which are moments, lose precision near zero in closed form: there a series is used.
    half = jnp.abs(0.5 * logits)
    is_near = half < 0.75
    near, far = jnp.where(is_near, 0.5 * logits, 0.0), jnp.where(is_near, 1.0, half)
    closed = far + jnp.log1p(-jnp.exp(-2 * far)) - jnp.log(2 * far)
    series = _FIRST + _FURTHER if half.dtype == jnp.float64 else _FIRST
    return jnp.where(is_near, jnp.polyval(jnp.array(series[::-1], half.dtype), near**2), closed)


def _quantile(u, logits):
    # log(1 - u + u exp(l)) is the cumulant generating function of a bit with P(1) = u, so that near
    # l = 0, where dividing it by l is 0 / 0, the first cumulants of that bit give the series.
    is_near = jnp.abs(logits) < 0.3
    near, far = jnp.where(is_near, logits, 0.0), jnp.where(is_near, 1.0, logits)
    v, skew = u * (1 - u), 1 - 2 * u
    cumulants = [u, v, v * skew, v * (1 - 6 * v), v * skew * (1 - 12 * v)]
    cumulants.append(v * (1 - 30 * v + 120 * v**2))
    factorials = (1, 2, 6, 24, 120, 720)
    terms = [k / n * near**i for i, (k, n) in enumerate(zip(cumulants, factorials, strict=True))]
    # F^-1(u) at l is 1 - F^-1(1 - u) at -l, so only exp(-|l|) is needed, which never overflows.
    far_end = jnp.where(far > 0, u, 1 - u)
    distance = -jnp.log(far_end + (1 - far_end) * jnp.exp(-jnp.abs(far))) / jnp.abs(far)
    return jnp.where(is_near, sum(terms), jnp.where(far > 0, 1 - distance, distance))


def _derivative(function):
    return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]
