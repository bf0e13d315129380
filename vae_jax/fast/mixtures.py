"""Densities of one value under many Gaussians, for mixtures."""

import functools
import math

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float

LOG_2PI = math.log(2 * math.pi)


def plain_gaussian_log_probs(
    z: Float[Array, "dims"],
    means: Float[Array, "components dims"],
    log_scales: Float[Array, "components dims"],
) -> Float[Array, "components"]:
    """Return log N(z; means[k], exp(log_scales[k])^2) of every k, in nats.

    The square is not expanded into matrix products: in float32 that is a quarter of a nat off at
    means of 3 and scales of exp(-4) in 50 dimensions.
    """
    standardized = (z - means) * jnp.exp(-log_scales)
    return -0.5 * jnp.sum(standardized**2, axis=-1) - jnp.sum(log_scales + 0.5 * LOG_2PI, axis=-1)


@jax.custom_jvp
def gaussian_log_probs(
    z: Float[Array, "dims"],
    means: Float[Array, "components dims"],
    log_scales: Float[Array, "components dims"],
) -> Float[Array, "components"]:
    """Return what `plain_gaussian_log_probs` returns, with a derivative of matrix products.

    A derivative is linear in z - mean and loses few digits when it is expanded. Over a batch of z
    its terms are then matrix products: a gradient takes a tenth of the plain form's time (100
    values of z, 500 components, 50 dimensions, two CPU cores). The derivative by the log-scales is
    quadratic, and stays as it is.
    """
    return plain_gaussian_log_probs(z, means, log_scales)


@gaussian_log_probs.defjvp
def _gaussian_log_probs_jvp(primals, tangents):
    (z, means, log_scales), (z_dot, means_dot, log_scales_dot) = primals, tangents
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    standardized = (z - means) * jnp.exp(-log_scales)
    precisions = jnp.exp(-2 * log_scales)
    by_z = product(precisions * means, z_dot) - product(precisions, z * z_dot)
    by_means = product(precisions * means_dot, z) - jnp.sum(precisions * means * means_dot, axis=-1)
    by_scales = jnp.sum(standardized**2 * log_scales_dot, axis=-1) - jnp.sum(
        log_scales_dot, axis=-1
    )
    return gaussian_log_probs(z, means, log_scales), by_z + by_means + by_scales
