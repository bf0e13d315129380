"""Likelihoods p(x|z): what the decoder's outputs mean, and which values each is a density of."""

from collections.abc import Callable, Sequence
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Gaussian,
    Levels,
    Poisson,
)
from vae_jax.lookup import look_up


class LikelihoodOptions(NamedTuple):
    """Numbers that the rows of LIKELIHOODS may use."""

    scale: float = 1.0
    """sigma of a Gaussian, in units of x: fixed, or where a learned one starts."""
    floor: float = 0.01
    """The least sigma that is learned: without it the density of a constant pixel has no bound."""
    num_levels: int = 256
    """L: discrete values x are 0, 1 / (L - 1), ..., 1."""


class Likelihood(NamedTuple):
    """A row of LIKELIHOODS: decoder outputs and own parameters -> p(x|z)."""

    values: str
    """What x must be, a key of VALUES."""
    make: Callable[[Array, Any, LikelihoodOptions], Distribution]
    """make(outputs, own, options) -> distribution of one example; `outputs` has the shape of x,
    with a last axis more where there are several a value."""
    outputs_at: Callable[[Array, LikelihoodOptions], Array]
    """outputs_at(xs, options): the outputs that suit all examples alike, where decoding starts."""
    own: Callable[[LikelihoodOptions], dict[str, Array]] = lambda options: {}
    """own(options) -> first values of its own parameters."""
    num_outputs: Callable[[LikelihoodOptions], int] = lambda options: 1
    """Outputs a value."""

    @property
    def is_discrete(self) -> bool:
        """Whether log p(x|z) is a log-probability, so that bits per dimension have a meaning."""
        return self.values in ("bits", "levels", "counts")


# What x must be, and what to do where it is not.
VALUES = {
    "bits": "bits: draw them by data.binarization=dynamic (or static)",
    "unit": "values in 0 .. 1",
    "real": "real numbers: keep grey values by data.binarization=none",
    "levels": "integers 0 .. data.maximum, as uint8 images are, with data.binarization=none",
    "counts": "integers >= 0 that nothing divides: data.binarization=none and data.maximum=1",
}


def _mean(xs: Float[Array, "examples *shape"]) -> Float[Array, "*shape"]:
    # XLA's CPU backend takes a second and a gigabyte for MNIST's mean as a reduction, and a
    # twentieth of either as a product.
    weights = jnp.full(len(xs), 1 / len(xs), jnp.result_type(xs, float))
    return jnp.tensordot(weights, xs, axes=1, precision="highest")


def _bernoulli_outputs(xs, options):
    # Pixels that never change would ask for an infinite logit; the clip is that of the code
    # published with Burda et al. (2016).
    mean = jnp.clip(_mean(xs), 0.001, 0.999)
    return jnp.log(mean) - jnp.log1p(-mean)


def _continuous_bernoulli_outputs(xs, options):
    # The mean has no inverse in closed form; it grows with the logit, so that halving finds it.
    target = jnp.clip(_mean(xs), 0.01, 0.99)

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        below = ContinuousBernoulli(middle).mean < target
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    start = (jnp.full_like(target, -128.0), jnp.full_like(target, 128.0))
    return jax.lax.fori_loop(0, 30, halve, start)[0]


def _log_scales(outputs, options):
    # sigma = floor + softplus: one output a value, above the floor whatever the network says.
    return jnp.log(options.floor + jax.nn.softplus(outputs))


def _unbounded_scale(options):
    # The inverse of `_log_scales`; a start at the floor or below it is one just above.
    above = max(options.scale - options.floor, 0.1 * options.floor)
    return math.log(math.expm1(above)) if above < 20 else above


def _with_scale(means, options):
    return jnp.stack([means, jnp.full_like(means, _unbounded_scale(options))], axis=-1)


def _learned_scale(outputs, own, options):
    return Gaussian(outputs, _log_scales(own["scale"], options))


def _gaussian_outputs(xs, options):
    return _mean(xs)


def _scale_of_outputs(options):
    return {"scale": jnp.float32(_unbounded_scale(options))}


def _optimal_scale(outputs, own, options):
    # The gradient is per value, which `optimizers.set_optimal_scales` asks for.
    log_scale = own["optimal_log_scale"]
    scaled = log_scale / outputs.size
    floored = jnp.maximum(log_scale, math.log(options.floor))
    return Gaussian(outputs, scaled + jax.lax.stop_gradient(floored - scaled))


def _logistic(outputs, own, options):
    return DiscretizedLogistic(
        outputs[..., 0], _log_scales(outputs[..., 1], options), options.num_levels
    )


def _level_frequencies(xs, options):
    scaled, levels = xs * (options.num_levels - 1), jnp.arange(options.num_levels)
    count = jax.lax.map(lambda level: jnp.sum(jnp.abs(scaled - level) < 0.1, axis=0), levels)
    return jnp.moveaxis(jnp.log((count + 1) / (len(xs) + options.num_levels)), 0, -1)


def _two(options):
    return 2


LIKELIHOODS = {
    "bernoulli": Likelihood(
        "bits", lambda outputs, own, options: Bernoulli(outputs), _bernoulli_outputs
    ),
    "continuous_bernoulli": Likelihood(
        "unit",
        lambda outputs, own, options: ContinuousBernoulli(outputs),
        _continuous_bernoulli_outputs,
    ),
    "gaussian": Likelihood(
        "real",
        lambda outputs, own, options: Gaussian(outputs, jnp.log(options.scale)),
        _gaussian_outputs,
    ),
    # The squared error of the tutorials, sum (x - mean)^2, and what makes it a density.
    "squared_error": Likelihood(
        "real",
        lambda outputs, own, options: Gaussian(outputs, jnp.log(math.sqrt(0.5))),
        _gaussian_outputs,
    ),
    "gaussian_learned_scale": Likelihood(
        "real", _learned_scale, _gaussian_outputs, _scale_of_outputs
    ),
    "gaussian_optimal_scale": Likelihood(
        "real",
        _optimal_scale,
        _gaussian_outputs,
        lambda options: {"optimal_log_scale": jnp.log(jnp.float32(options.scale))},
    ),
    "gaussian_scale_per_value": Likelihood(
        "real",
        lambda outputs, own, options: Gaussian(
            outputs[..., 0], _log_scales(outputs[..., 1], options)
        ),
        lambda xs, options: _with_scale(_mean(xs), options),
        num_outputs=_two,
    ),
    "discretized_logistic": Likelihood(
        "levels",
        _logistic,
        lambda xs, options: _with_scale(_mean(xs), options),
        num_outputs=_two,
    ),
    "categorical": Likelihood(
        "levels",
        lambda outputs, own, options: Levels(outputs),
        _level_frequencies,
        num_outputs=lambda options: options.num_levels,
    ),
    "poisson": Likelihood(
        "counts",
        lambda outputs, own, options: Poisson(outputs),
        lambda xs, options: jnp.log(_mean(xs) + 0.01),
    ),
}


def check_likelihood(likelihood: str, kinds: Sequence[str], what: str) -> None:
    """Refuse a likelihood that is no density of the data's values.

    Args:
      likelihood: a row of LIKELIHOODS.
      kinds: what the values are, keys of VALUES.
      what: the data and their values, as the message says them.

    Raises:
      ValueError: an unknown likelihood, or one that does not fit, with the remedies.
    """
    row = look_up(LIKELIHOODS, likelihood, "vae.likelihood")
    if row.values in kinds:
        return
    fits = [name for name, each in LIKELIHOODS.items() if each.values in kinds]
    raise ValueError(
        f"vae.likelihood={likelihood!r} does not fit {what}: it needs {VALUES[row.values]}; or use "
        f"vae.likelihood={' or '.join(fits)}"
    )
