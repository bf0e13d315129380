"""Latents of a trained model: posterior means and active units."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np


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


def active_units(
    posterior_means: Float[np.ndarray, "examples latent *classes"], threshold: float = 0.01
) -> int:
    """Count the latent dimensions whose posterior mean varies over examples by > threshold.

    The variances of the entries of a one-hot variable are added: it is one unit.

    A_u = Cov_x(E_{q(z|x)}[z_u]) > 0.01, Section 5.2 of Burda et al. (2016).
    """
    variances = np.var(np.asarray(posterior_means, np.float64), axis=0)
    return int(np.sum(variances.reshape(len(variances), -1).sum(axis=-1) > threshold))
