"""Likelihoods p(x|z): what the decoder's outputs mean, and which values each is a density of.

A row's `make(num_levels, **options)` gets the number L of levels 0, 1 / (L - 1), ..., 1 of discrete
data, or the numbers of classes of one-hot vectors; likelihoods of other data ignore it.
"""

from collections.abc import Callable, Sequence
import functools
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Gaussian,
    Levels,
    NegativeBinomial,
    OneHot,
    Poisson,
)
from vae_jax.distributions.gaussians import TrackedGaussian
from vae_jax.fast.reductions import mean_over_examples
from vae_jax.lookup import check_positive, look_up, name_of
from vae_jax.models import marginals

_LOG_TOTALS = (-7.0, 12.0)  # beyond them, float32 loses the log-probabilities of counts


class Likelihood(NamedTuple):
    """What a row of LIKELIHOODS makes: decoder outputs and own parameters -> p(x|z)."""

    make: Callable[[Array, Any], Distribution]
    """make(outputs, own) -> distribution of one example; `outputs` has the shape of x, with a last
    axis more where there are several outputs per value."""
    outputs_at: Callable[[Array], Array]
    """outputs_at(xs): outputs fitted to the marginal of xs; the initial bias."""
    own: Callable[..., dict[str, Array]] = lambda shape=(): {}
    """own(shape) -> first values of its own parameters, for x of that shape."""
    num_outputs: int = 1
    """Number of decoder outputs per value of x."""
    encoder_input: Callable[[Array], Array] = lambda x: x
    """encoder_input(x): what the encoder gets of x, in the shape of x."""
    marginal: Callable[[Array, Array], Distribution] | None = None
    """marginal(xs, weights) -> the best p(x) of a decoder that ignores z: see `marginals`."""


class LikelihoodRow(NamedTuple):
    """What values a likelihood is a density of, and the function that makes it."""

    values: str
    """What x must be, a key of VALUES."""
    make: Callable[..., Likelihood]

    @property
    def is_discrete(self) -> bool:
        """Whether log p(x|z) is a log-probability, so that bits per dimension have a meaning."""
        return self.values in ("bits", "levels", "counts", "one_hot")


# What x must be, and what to do where it is not.
VALUES = {
    "bits": "bits: draw them by binarization=dynamic (or static)",
    "unit": "values in 0 .. 1",
    "real": "real numbers: keep grey values by binarization=none",
    "levels": "integers 0 .. maximum, such as uint8 images, with binarization=none",
    "counts": "integers >= 0 that are not rescaled: binarization=none and maximum=1",
    "one_hot": "one-hot vectors, as columns of categories are: data.name=table",
}


def make_bernoulli(num_levels: int) -> Likelihood:
    """Bits: the decoder gives the logit of each."""
    return Likelihood(
        lambda outputs, own: Bernoulli(outputs), _logit_of_mean, marginal=marginals.bernoulli
    )


def make_binomial(num_levels: int) -> Likelihood:
    """Integers 0 .. maximum: successes in that many trials; the decoder gives the logit of each."""
    return Likelihood(
        lambda outputs, own: Binomial(outputs, num_levels - 1),
        _logit_of_mean,
        marginal=functools.partial(marginals.binomial, num_trials=num_levels - 1),
    )


def make_continuous_bernoulli(num_levels: int) -> Likelihood:
    """Values in 0 .. 1: a normalized density lambda^x (1 - lambda)^(1 - x) on that interval."""
    return Likelihood(
        lambda outputs, own: ContinuousBernoulli(outputs),
        lambda xs: marginals.continuous_bernoulli_logits(mean_over_examples(xs)),
        marginal=marginals.continuous_bernoulli,
    )


def make_gaussian(num_levels: int, *, likelihood_scale: float = 1.0) -> Likelihood:
    """Real numbers: a Gaussian with a fixed sigma.

    Args:
      likelihood_scale: sigma, in units of x as the model sees it.
    """
    check_positive(likelihood_scale=likelihood_scale)
    log_scale = math.log(likelihood_scale)
    return Likelihood(
        lambda outputs, own: Gaussian(outputs, log_scale),
        mean_over_examples,
        marginal=functools.partial(marginals.gaussian, log_scale=log_scale),
    )


def make_squared_error(num_levels: int) -> Likelihood:
    """Real numbers: a Gaussian with sigma^2 = 1/2, the squared error of tutorials as a density."""
    return make_gaussian(num_levels, likelihood_scale=math.sqrt(0.5))


def make_gaussian_learned_scale(
    num_levels: int, *, likelihood_scale: float = 1.0, likelihood_floor: float = 0.01
) -> Likelihood:
    """Real numbers: a Gaussian with one sigma for all values, learned by gradients.

    Args:
      likelihood_scale: the initial sigma, in units of x as the model sees it.
      likelihood_floor: the smallest sigma; without it constant values have an unbounded density.
    """
    start = _unbounded_scale(likelihood_scale, likelihood_floor)
    return Likelihood(
        lambda outputs, own: Gaussian(outputs, _log_scales(own["scale"], likelihood_floor)),
        mean_over_examples,
        lambda shape=(): {"scale": jnp.float32(start)},
        marginal=functools.partial(marginals.gaussian_of_shared_scale, floor=likelihood_floor),
    )


def make_gaussian_scale_per_column(
    num_levels: int, *, likelihood_scale: float = 1.0, likelihood_floor: float = 0.01
) -> Likelihood:
    """Real numbers: a Gaussian with a sigma for each value, the same for every z, learned.

    Args:
      likelihood_scale: the initial sigma, in units of x as the model sees it.
      likelihood_floor: the smallest sigma; without it constant values have an unbounded density.
    """
    start = _unbounded_scale(likelihood_scale, likelihood_floor)
    return make_gaussian_learned_scale(
        num_levels, likelihood_scale=likelihood_scale, likelihood_floor=likelihood_floor
    )._replace(
        own=lambda shape=(): {"scale": jnp.full(shape, start, jnp.float32)},
        marginal=functools.partial(marginals.gaussian_of_own_scales, floor=likelihood_floor),
    )


def make_gaussian_optimal_scale(
    num_levels: int, *, likelihood_scale: float = 1.0, likelihood_floor: float = 0.01
) -> Likelihood:
    """Real numbers: a Gaussian with one sigma for all values, the root mean squared training error.

    Section 4 of Rybkin et al. (2021). `training.optimizers.set_optimal_scales` sets sigma.

    Args:
      likelihood_scale: the initial sigma, in units of x as the model sees it.
      likelihood_floor: the smallest sigma; without it constant values have an unbounded density.
    """
    check_positive(likelihood_scale=likelihood_scale, likelihood_floor=likelihood_floor)

    def make(outputs, own):
        log_scale = jnp.maximum(own["optimal_log_scale"], math.log(likelihood_floor))
        # Whatever these parameters are, they add 0, and only their gradients matter.
        error, count = (own[name] - jax.lax.stop_gradient(own[name]) for name in ("error", "count"))
        return TrackedGaussian(outputs, log_scale, error, count)

    def own(shape=()):
        zero = jnp.float32(0)
        start = jnp.log(jnp.float32(likelihood_scale))
        return {"optimal_log_scale": start, "error": zero, "count": zero}

    shared = functools.partial(marginals.gaussian_of_shared_scale, floor=likelihood_floor)
    return Likelihood(make, mean_over_examples, own, marginal=shared)


def make_gaussian_scale_per_value(
    num_levels: int, *, likelihood_scale: float = 1.0, likelihood_floor: float = 0.01
) -> Likelihood:
    """Real numbers: a Gaussian whose sigma(z) for each value comes from the decoder.

    Args:
      likelihood_scale: the initial sigma, in units of x as the model sees it.
      likelihood_floor: the smallest sigma; without it constant values have an unbounded density.
    """
    start = _unbounded_scale(likelihood_scale, likelihood_floor)
    return Likelihood(
        lambda outputs, own: Gaussian(
            outputs[..., 0], _log_scales(outputs[..., 1], likelihood_floor)
        ),
        functools.partial(_means_and_scale, start),
        num_outputs=2,
        marginal=functools.partial(marginals.gaussian_of_own_scales, floor=likelihood_floor),
    )


def make_discretized_logistic(
    num_levels: int, *, likelihood_scale: float = 0.1, likelihood_floor: float = 1e-4
) -> Likelihood:
    """Integers 0 .. maximum: bins of a logistic variable, with location and scale per value.

    Args:
      likelihood_scale: the initial scale of the logistic variable, in units of x / maximum.
      likelihood_floor: the smallest scale of the logistic variable.
    """
    start = _unbounded_scale(likelihood_scale, likelihood_floor)

    def make(outputs, own):
        log_scale = _log_scales(outputs[..., 1], likelihood_floor)
        return DiscretizedLogistic(outputs[..., 0], log_scale, num_levels)

    return Likelihood(
        make,
        functools.partial(_means_and_scale, start),
        num_outputs=2,
        marginal=functools.partial(
            marginals.discretized_logistic, num_levels=num_levels, floor=likelihood_floor
        ),
    )


def make_categorical(num_levels: int) -> Likelihood:
    """Integers 0 .. maximum: the decoder gives a logit for each of them."""

    def outputs_at(xs):
        scaled, levels = xs * (num_levels - 1), jnp.arange(num_levels)
        count = jax.lax.map(lambda level: jnp.sum(jnp.abs(scaled - level) < 0.1, axis=0), levels)
        return jnp.moveaxis(jnp.log((count + 1) / (len(xs) + num_levels)), 0, -1)

    return Likelihood(
        lambda outputs, own: Levels(outputs),
        outputs_at,
        num_outputs=num_levels,
        marginal=functools.partial(marginals.levels, num_levels=num_levels),
    )


def make_one_hot(num_levels: int | tuple[int, ...]) -> Likelihood:
    """One-hot vectors of categories: the decoder gives a logit for each class.

    x is one such vector, or several of num_levels classes, one after the other.
    """

    def make(outputs, own):
        sizes = num_levels if isinstance(num_levels, tuple) else outputs.shape
        return OneHot(outputs, sizes)

    def outputs_at(xs):
        # As if each class had been seen once more.
        return jnp.log(len(xs) * mean_over_examples(xs) + 1)

    marginal = functools.partial(marginals.one_hot, sizes=num_levels)
    return Likelihood(make, outputs_at, marginal=marginal)


def make_poisson(num_levels: int) -> Likelihood:
    """Counts 0, 1, 2, ...: the decoder gives the logarithm of each rate."""
    return Likelihood(
        lambda outputs, own: Poisson(outputs),
        _log_of_mean,
        encoder_input=jnp.arcsinh,
        marginal=marginals.poisson,
    )


def make_negative_binomial(num_levels: int, *, likelihood_total: float = 1.0) -> Likelihood:
    """Counts of variance m + m^2 / r: the decoder gives log m, and r of each value is learned.

    Args:
      likelihood_total: the initial r; the larger, the nearer to a Poisson distribution.
    """
    check_positive(likelihood_total=likelihood_total)
    start = math.log(likelihood_total)

    def make(outputs, own):
        return NegativeBinomial(outputs, jnp.clip(own["log_total"], *_LOG_TOTALS))

    def own(shape=()):
        return {"log_total": jnp.full(shape, start, jnp.float32)}

    marginal = functools.partial(marginals.negative_binomial, log_totals=_LOG_TOTALS)
    return Likelihood(make, _log_of_mean, own, encoder_input=jnp.arcsinh, marginal=marginal)


LIKELIHOODS = {
    "bernoulli": LikelihoodRow("bits", make_bernoulli),
    "binomial": LikelihoodRow("levels", make_binomial),
    "continuous_bernoulli": LikelihoodRow("unit", make_continuous_bernoulli),
    "gaussian": LikelihoodRow("real", make_gaussian),
    "squared_error": LikelihoodRow("real", make_squared_error),
    "gaussian_learned_scale": LikelihoodRow("real", make_gaussian_learned_scale),
    "gaussian_optimal_scale": LikelihoodRow("real", make_gaussian_optimal_scale),
    "gaussian_scale_per_column": LikelihoodRow("real", make_gaussian_scale_per_column),
    "gaussian_scale_per_value": LikelihoodRow("real", make_gaussian_scale_per_value),
    "discretized_logistic": LikelihoodRow("levels", make_discretized_logistic),
    "categorical": LikelihoodRow("levels", make_categorical),
    "one_hot": LikelihoodRow("one_hot", make_one_hot),
    "poisson": LikelihoodRow("counts", make_poisson),
    "negative_binomial": LikelihoodRow("counts", make_negative_binomial),
}


def check_likelihood(likelihood: Any, kinds: Sequence[str], what: str) -> None:
    """Refuse a likelihood that is not a density of the data's values.

    Args:
      likelihood: a row of LIKELIHOODS, or "" where the data have none of their own.
      kinds: what the values are, keys of VALUES.
      what: the data and their values, as the message says them.

    Raises:
      ValueError: an unknown likelihood, or one that does not fit, with the remedies.
    """
    fits = " or ".join(name for name, row in LIKELIHOODS.items() if row.values in kinds)
    if not likelihood:
        raise ValueError(f"{what} has no likelihood of its own: choose likelihood={fits}")
    row = look_up(LIKELIHOODS, likelihood, "likelihood")
    if row.values not in kinds:
        raise ValueError(
            f"likelihood={name_of(likelihood)!r} does not fit {what}: it needs "
            f"{VALUES[row.values]}; or use likelihood={fits}"
        )


def _logit_of_mean(xs: Float[Array, "examples *shape"]) -> Float[Array, "*shape"]:
    # Pixels that never change would need an infinite logit; the bounds are those of the code
    # published with Burda et al. (2016).
    mean = jnp.clip(mean_over_examples(xs), 0.001, 0.999)
    return jnp.log(mean) - jnp.log1p(-mean)


def _log_of_mean(xs):
    return jnp.log(mean_over_examples(xs) + 0.01)


def _log_scales(outputs, floor):
    # sigma = floor + softplus(output) is above the floor for every output.
    return jnp.log(floor + jax.nn.softplus(outputs))


def _unbounded_scale(scale, floor):
    # The inverse of `_log_scales`; an initial scale at the floor or below becomes one just above.
    check_positive(likelihood_scale=scale, likelihood_floor=floor)
    above = max(scale - floor, 0.1 * floor)
    return math.log(math.expm1(above)) if above < 20 else above


def _means_and_scale(unbounded_scale, xs):
    means = mean_over_examples(xs)
    return jnp.stack([means, jnp.full_like(means, unbounded_scale)], axis=-1)
