"""Two unbiased estimators of grad E_{z~q}[f(z)], side by side, to check one by the other.

Gradients are with respect to the parameters of a Gaussian q and have its structure: the field
`mean` holds the derivatives in mean (unit of f per unit of z), `log_scale` those in log sigma (unit
of f).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import Gaussian, reparameterize

Function = Callable[[Float[Array, "*event"]], Float[Array, ""]]


class Estimate(NamedTuple):
    """A Monte Carlo estimate of each derivative."""

    mean: Gaussian
    """The mean over the samples."""
    standard_error: Gaussian
    """The standard error of that mean over the samples, sqrt(variance / num_samples)."""
    variance: Gaussian
    """The variance of a single sample's derivative."""


class Comparison(NamedTuple):
    """Both estimates of grad E_{z~q}[f(z)], from independent samples."""

    pathwise: Estimate
    score_function: Estimate
    variance_ratio: Gaussian
    """Variance of the score function's derivative / of the pathwise one; above 1 where the pathwise
    one is better, infinite where that has no spread."""


def pathwise_gradient(key: Key[Array, ""], function: Function, q: Gaussian) -> Gaussian:
    """Return grad f(mean + sigma * eps) for one eps ~ N(0, I), differentiating through the sample.

    Eq. (5), Kingma & Welling (2014), differentiated. Unbiased for differentiable f.

    Raises:
      TypeError: function(z) is not a scalar.
    """
    return jax.grad(lambda q: function(reparameterize(key, q)))(q)


def score_function_gradient(key: Key[Array, ""], function: Function, q: Gaussian) -> Gaussian:
    """Return f(z) grad log q(z) for one z ~ q held constant: REINFORCE, without a baseline.

    Section 2.2, Kingma & Welling (2014). Unbiased whether or not f is differentiable.
    """
    z = reparameterize(key, q)
    score = jax.grad(lambda q: q.log_prob(z))(q)
    return jax.tree.map(lambda derivative: function(z) * derivative, score)


def compare_gradient_estimators(
    key: Key[Array, ""], function: Function, q: Gaussian, num_samples: int
) -> Comparison:
    """Estimate grad E_{z~q}[f(z)] with `num_samples` pathwise and as many score-function samples.

    Args:
      key: split into one key for each sample of each estimator.
      function: f(z), a scalar for one z of q's event shape; differentiable.
      q: its mean and log_scale are floats of the event shape.
      num_samples: samples of each estimator, at least 2.

    Raises:
      ValueError: fewer than 2 samples, which have no variance.
      TypeError: function(z) is not a scalar.
    """
    if num_samples < 2:
        raise ValueError(f"num_samples must be >= 2, got {num_samples}")
    pathwise_keys, score_keys = jax.random.split(key, (2, num_samples))
    pathwise = _estimate(lambda key: pathwise_gradient(key, function, q), pathwise_keys)
    score = _estimate(lambda key: score_function_gradient(key, function, q), score_keys)
    ratio = jax.tree.map(jnp.divide, score.variance, pathwise.variance)
    return Comparison(pathwise, score, ratio)


def _estimate(gradient_of_one_sample: Callable, keys: Key[Array, "samples"]) -> Estimate:
    gradients = jax.vmap(gradient_of_one_sample)(keys)
    mean = jax.tree.map(lambda g: jnp.mean(g, axis=0), gradients)
    variance = jax.tree.map(lambda g: jnp.var(g, axis=0, ddof=1), gradients)
    standard_error = jax.tree.map(lambda v: jnp.sqrt(v / keys.shape[0]), variance)
    return Estimate(mean, standard_error, variance)
