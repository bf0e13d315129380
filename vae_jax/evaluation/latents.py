"""Latents of a trained model: posterior means and active units."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Bool, Float, Key
import numpy as np

from vae_jax.distributions import FullGaussian, Gaussian, kl_factorizes, kl_per_dimension


def posterior_means(key: Key[Array, ""], q: Any, num_samples: int = 100) -> dict[str, Array]:
    """Return E_q[z] of one example; each of two stochastic layers has its own name.

    Where q has no mean in closed form, it is estimated by `num_samples` samples, with the same
    noise for every example: a q that does not depend on x then gives equal means, and no unit looks
    active because of noise.

    Args:
      key: of the samples.
      q: the posterior of one example.
      num_samples: drawn where q has no mean.
    """
    if hasattr(q, "mean"):
        mean = q.mean
    else:
        samples = jax.vmap(q.sample)(jax.random.split(key, num_samples))
        mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), samples)
    if not isinstance(mean, tuple):
        return {"posterior_mean": mean}
    return {"posterior_mean": mean[0], "posterior_mean_upper": mean[1]}


def posterior_deviations(key: Key[Array, ""], q: Any, num_samples: int = 100) -> Any:
    """Return the standard deviation of each dimension of q(z|x) of one example, a pytree like z.

    Where q has none in closed form, it is that of `num_samples` samples.

    Args:
      key: of the samples.
      q: the posterior of one example.
      num_samples: drawn where q has no variance.
    """
    if hasattr(q, "variance"):
        return jnp.sqrt(q.variance)
    samples = jax.vmap(q.sample)(jax.random.split(key, num_samples))
    return jax.tree.map(lambda leaf: jnp.std(leaf, axis=0), samples)


def typical_code(key: Key[Array, ""], q: Any) -> Any:
    """Return a z that stands for q(z|x): the mean of a Gaussian, else a sample.

    Only a Gaussian's mean is a typical code: the mean of one-hot vectors is not a value of z.
    """
    return q.mean if isinstance(q, Gaussian | FullGaussian) else q.sample(key)


def kl_of_each_dimension(q: Any, p: Any) -> dict[str, Float[Array, "latent"]]:
    """Return {"kl_per_dimension": KL(q(z_j|x) || p(z_j)) of each j, in nats} of one example.

    {} where the pair does not factorize. A variable of several classes is one dimension.

    Args:
      q: q(z|x).
      p: p(z).
    """
    return {"kl_per_dimension": kl_per_dimension(q, p)} if kl_factorizes(q, p) else {}


def is_active(
    posterior_means: Float[np.ndarray, "examples latent *classes"],
    latents: str = "real",
    threshold: float = 0.01,
) -> Bool[np.ndarray, "latent"]:
    """Tell of each latent dimension whether its posterior mean varies over examples.

    Cov_x(E_{q(z|x)}[z_u]) > 0.01, Section 5.2 of Burda et al. (2016). Their prior is N(0, I): the
    threshold is a fraction of the variance of a standard prior over such latents, which is 1 of
    real and of positive ones (Gamma(1, 1)), 1/12 of numbers in (0, 1), 1/4 of bits, and
    (K - 1) / (K^2 (K + 1)) of each entry of a point of the simplex, all uniform. The variances of
    the K entries of a one-hot variable are added, to 1 - 1/K: it is one unit.

    Args:
      posterior_means: of examples.
      latents: what z is, as `models.VAE` says.
      threshold: fraction of the standard prior's variance.
    """
    variances = np.var(np.asarray(posterior_means, np.float64), axis=0)
    by_unit = variances.reshape(len(variances), -1).sum(axis=-1)
    return by_unit > threshold * _standard_variance(latents, variances.shape)


def active_units(
    posterior_means: Float[np.ndarray, "examples latent *classes"],
    latents: str = "real",
    threshold: float = 0.01,
) -> int:
    """Count the latent dimensions of which `is_active` is true."""
    return int(np.sum(is_active(posterior_means, latents, threshold)))


def _standard_variance(latents, shape):
    size = shape[-1]
    variances = {
        "unit": 1 / 12,
        "bits": 1 / 4,
        "simplex": (size - 1) / (size**2 * (size + 1)),
        "classes": 1 - 1 / size,
    }
    return variances.get(latents, 1.0)
