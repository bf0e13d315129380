"""The best p(x) without latents: what a decoder that ignores z can reach, fitted to examples.

Each function takes xs, examples along the first axis, and weights of the same shape: 1 where a
value is observed, 0 where it is missing. It returns the distribution of one example whose values
are independent and whose parameters maximize the likelihood of the observed values. Where the
maximum lies at an infinite parameter (a pixel that is never on), it is that of half a count more.
"""

import math
from typing import Any

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
from vae_jax.fast.reductions import mean_over_examples

_STEPS, _RATE = 100, 0.1  # of the fit of the discretized logistic
_MOST_COUNTS = 2**20  # values that the negative binomial is fitted to, or 1,000 examples
_HALVINGS = 40  # of an interval of 19 in log r

Values = Float[Array, "examples *shape"]


def observed_mean(xs: Values, weights: Values) -> Float[Array, "*shape"]:
    """Return the mean of the observed values; 0 where there are none."""
    share = mean_over_examples(weights)
    return mean_over_examples(weights * xs) / jnp.where(share > 0, share, 1)


def counts_of(weights: Values) -> Float[Array, "*shape"]:
    """Return how many examples have each value, 1 at least."""
    return jnp.maximum(len(weights) * mean_over_examples(weights), 1)


def inner_mean(xs: Values, weights: Values) -> Float[Array, "*shape"]:
    """Return the mean of values in 0 .. 1, half a count away from both ends at least."""
    margin = 0.5 / counts_of(weights)
    return jnp.clip(observed_mean(xs, weights), margin, 1 - margin)


def logits_of(mean: Array) -> Array:
    """Return log(p / (1 - p))."""
    return jnp.log(mean) - jnp.log1p(-mean)


def bernoulli(xs: Values, weights: Values) -> Distribution:
    """Return bits with P(1) = the mean."""
    return Bernoulli(logits_of(inner_mean(xs, weights)))


def binomial(xs: Values, weights: Values, num_trials: int) -> Distribution:
    """Return counts k / n of n trials, with P(success) = the mean of k / n."""
    return Binomial(logits_of(inner_mean(xs, weights)), num_trials)


def continuous_bernoulli(xs: Values, weights: Values) -> Distribution:
    """Return the continuous Bernoulli distribution of the same mean, which is the most likely."""
    return ContinuousBernoulli(continuous_bernoulli_logits(observed_mean(xs, weights)))


def continuous_bernoulli_logits(mean: Array) -> Array:
    """Return the logit of each mean, which lies in .01 .. .99 or is moved there."""
    # The mean grows with the logit but has no inverse in closed form: bisection.
    target = jnp.clip(mean, 0.01, 0.99)

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        below = ContinuousBernoulli(middle).mean < target
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    start = (jnp.full_like(target, -128.0), jnp.full_like(target, 128.0))
    return jax.lax.fori_loop(0, 30, halve, start)[0]


def gaussian(xs: Values, weights: Values, log_scale: float) -> Distribution:
    """Return Gaussians of the means, whose sigma is given."""
    return Gaussian(observed_mean(xs, weights), log_scale)


def gaussian_of_shared_scale(xs: Values, weights: Values, floor: float) -> Distribution:
    """Return Gaussians of the means; sigma^2 is the mean squared deviation of all values."""
    mean = observed_mean(xs, weights)
    square = jnp.sum(mean_over_examples(weights * (xs - mean) ** 2))
    scale = jnp.sqrt(square / jnp.sum(mean_over_examples(weights)))
    return Gaussian(mean, jnp.log(jnp.maximum(scale, floor)))


def gaussian_of_own_scales(xs: Values, weights: Values, floor: float) -> Distribution:
    """Return Gaussians of the means and standard deviations of each value."""
    mean = observed_mean(xs, weights)
    scale = jnp.sqrt(observed_mean((xs - mean) ** 2, weights))
    return Gaussian(mean, jnp.log(jnp.maximum(scale, floor)))


def levels(xs: Values, weights: Values, num_levels: int) -> Distribution:
    """Return the frequencies of the levels, as if each had been seen once more."""
    counts = histogram(xs, weights, num_levels) + 1
    return Levels(jnp.log(counts / jnp.sum(counts, axis=-1, keepdims=True)))


def histogram(xs: Values, weights: Values, num_levels: int) -> Float[Array, "*shape levels"]:
    """Return how often each value takes each of the levels 0, 1 / (L - 1), ..., 1."""
    shape = xs.shape[1:]
    level = jnp.clip(jnp.round(xs * (num_levels - 1)), 0, num_levels - 1).astype(jnp.int32)
    place = num_levels * jnp.arange(math.prod(shape)).reshape(shape) + level
    counts = jnp.zeros(math.prod(shape) * num_levels).at[place.ravel()].add(weights.ravel())
    return counts.reshape(*shape, num_levels)


def one_hot(xs: Values, weights: Values, sizes: Any) -> Distribution:
    """Return the frequencies of the classes, as if each had been seen once more."""
    sizes = sizes if isinstance(sizes, tuple) else xs.shape[1:]
    return OneHot(jnp.log(len(xs) * mean_over_examples(weights * xs) + 1), sizes)


def poisson(xs: Values, weights: Values) -> Distribution:
    """Return counts whose rates are the means."""
    return Poisson(log_of_counts(xs, weights))


def log_of_counts(xs: Values, weights: Values) -> Float[Array, "*shape"]:
    """Return the logarithm of the mean of counts, of which there is a half at least."""
    return jnp.log(jnp.maximum(observed_mean(xs, weights), 0.5 / counts_of(weights)))


def negative_binomial(xs: Values, weights: Values, log_totals: tuple[float, float]) -> Distribution:
    """Return counts of the same means, which are the most likely ones for every r; log r by a
    golden-section search, of some of the examples where there are very many values."""
    log_mean = log_of_counts(xs, weights)
    stride = max(1, len(xs) // max(_MOST_COUNTS // max(log_mean.size, 1), 1000))
    some, weight = xs[::stride], weights[::stride]

    def loss(log_total):
        p = NegativeBinomial(log_mean, log_total)
        return -mean_over_examples(weight * jax.vmap(p.log_prob_per_dimension)(some))

    golden = (math.sqrt(5) - 1) / 2

    def narrow(_, ends):
        low, high = ends
        left, right = high - golden * (high - low), low + golden * (high - low)
        is_left = loss(left) < loss(right)
        return jnp.where(is_left, low, left), jnp.where(is_left, right, high)

    start = tuple(jnp.full_like(log_mean, end) for end in log_totals)
    low, high = jax.lax.fori_loop(0, _HALVINGS, narrow, start)
    return NegativeBinomial(log_mean, (low + high) / 2)


def discretized_logistic(
    xs: Values, weights: Values, num_levels: int, floor: float
) -> Distribution:
    """Return the logistic variables whose bins are the most likely, by Adam from their moments."""
    import optax

    counts = histogram(xs, weights, num_levels)
    shares = counts / jnp.maximum(jnp.sum(counts, axis=-1, keepdims=True), 1)
    values = jnp.linspace(0.0, 1.0, num_levels)
    mean = shares @ values
    deviation = jnp.sqrt(jnp.sum(shares * (values - mean[..., None]) ** 2, axis=-1))
    start = jnp.maximum(deviation * math.sqrt(3) / math.pi, floor)

    def make(shift, stretch):
        log_scale = jnp.maximum(jnp.log(start) + stretch, math.log(floor))
        return mean + start * shift, log_scale

    def loss(moved):
        ends = (each[..., None] for each in make(*moved))
        p = DiscretizedLogistic(*ends, num_levels)
        return -jnp.sum(shares * p.log_prob_per_dimension(jnp.broadcast_to(values, shares.shape)))

    adam = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))

    def update(carry, _):
        moved, state = carry
        updates, state = adam.update(jax.grad(loss)(moved), state)
        return (optax.apply_updates(moved, updates), state), None

    zeros = (jnp.zeros_like(mean), jnp.zeros_like(mean))
    (moved, _), _ = jax.lax.scan(update, (zeros, adam.init(zeros)), length=_STEPS)
    return DiscretizedLogistic(*make(*moved), num_levels)
