"""Objectives that match the aggregate posterior q(z) to the prior p(z)."""

from jax import Array
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jaxtyping import Float

from vae_jax.distributions import FullGaussian, Gaussian
from vae_jax.lookup import check_finite, check_not_negative, check_positive, look_up
from vae_jax.objectives.objective import Objective, make_batch_objective, refuse_pair

# By their samples: Zhao et al. (2019).


def rbf(squared_distance: Array, scale: float | Array) -> Array:
    """Return exp(-d^2 / scale)."""
    return jnp.exp(-squared_distance / scale)


def inverse_multiquadratic(squared_distance: Array, scale: float | Array) -> Array:
    """Return scale / (scale + d^2)."""
    return scale / (scale + squared_distance)


KERNELS = {"inverse_multiquadratic": inverse_multiquadratic, "rbf": rbf}


def squared_mmd(
    a: Float[Array, "m latent"],
    b: Float[Array, "n latent"],
    kernel: str = "inverse_multiquadratic",
    scale: float | Array = 1.0,
) -> Float[Array, ""]:
    """Return the unbiased estimate of the squared maximum mean discrepancy, which may be negative.

    E k(a, a') + E k(b, b') - 2 E k(a, b), with the means over pairs of two different samples: Eq.
    (3) of Gretton et al. (2012). Its mean is 0 where both come from the same distribution.

    Args:
      a: samples of the one distribution, two or more.
      b: samples of the other one.
      kernel: a row of KERNELS.
      scale: of squared distances per dimension: the kernel's own is 2 latent scale, which is the
        mean squared distance of two samples of N(0, I) where scale is 1.
    """
    function = look_up(KERNELS, kernel, "kernel")

    def kernel_matrix(a, b):
        squares = jnp.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return function(squares, 2 * a.shape[-1] * scale)

    def mean_over_pairs(a):
        others = 1 - jnp.eye(len(a), dtype=a.dtype)
        return jnp.sum(others * kernel_matrix(a, a)) / (len(a) * (len(a) - 1))

    return mean_over_pairs(a) + mean_over_pairs(b) - 2 * jnp.mean(kernel_matrix(a, b))


def make_info_vae(
    *,
    alpha: float = 0.0,
    lambda_mmd: float = 100.0,
    kernel: str = "inverse_multiquadratic",
    kernel_scale: float = 1.0,
) -> Objective:
    """InfoVAE: the KL of each example is weighted apart from the distance of q(z) from p(z).

    Formula: E_q[log p(x|z)] - (1 - alpha) KL(q(z|x) || p(z)) -
      (alpha + lambda - 1) MMD^2(q(z), p(z))
    Estimates: the ELBO for alpha = 0 and lambda = 1; no bound of its own otherwise. `mmd` in the
      metrics is the unbiased estimate of the squared maximum mean discrepancy, of one sample of
      q(z|x) and one of p(z) per example of the batch; it may be negative.
    Source: Zhao et al. (2019).
    Use: where the decoder ignores z, or q(z) differs from p(z); alpha = 1 is the MMD-VAE, which
      does not limit what z tells of x.

    Args:
      alpha: weight of the mutual information of x and z, at most 1 (may be swept).
      lambda_mmd: lambda, so that the MMD weighs alpha + lambda - 1 (may be swept).
      kernel: of the MMD, "inverse_multiquadratic" or "rbf".
      kernel_scale: its width, of squared distances per dimension; 1 fits N(0, I) (may be swept).

    Raises:
      ValueError: an unknown kernel, alpha above 1, a width that is not above zero, or a negative
        weight of the MMD.
    """
    check_positive(kernel_scale=kernel_scale)
    check_finite(alpha=alpha, lambda_mmd=lambda_mmd)
    if alpha > 1:
        raise ValueError(f"alpha must be at most 1, got {alpha}")
    check_not_negative(**{"alpha + lambda_mmd - 1": alpha + lambda_mmd - 1})
    look_up(KERNELS, kernel, "kernel")

    def code(key, draw):
        return ravel_pytree(draw.z)[0], ravel_pytree(draw.p.sample(key))[0]

    def penalty(key, codes, kl, own, hparams):
        mmd = squared_mmd(*codes, kernel, hparams["kernel_scale"])
        weight = hparams["alpha"] + hparams["lambda_mmd"] - 1
        return (1 - hparams["alpha"]) * kl + weight * mmd, {"mmd": mmd}

    hparams = {"alpha": alpha, "lambda_mmd": lambda_mmd, "kernel_scale": kernel_scale}
    return make_batch_objective(code, penalty, hparams)


# By their covariances: Kumar et al. (2018).


def covariance(means: Float[Array, "batch latent"]) -> Float[Array, "latent latent"]:
    """Return the unbiased covariance of the dimensions over the batch."""
    centred = means - jnp.mean(means, axis=0)
    return centred.T @ centred / (len(means) - 1)


def covariance_penalties(
    covariance: Float[Array, "latent latent"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return sum_i (C_ii - 1)^2 and sum_{i != j} C_ij^2, both 0 for a covariance of I."""
    on_diagonal = jnp.diagonal(covariance)
    off_diagonal = covariance - jnp.diag(on_diagonal)
    return jnp.sum((on_diagonal - 1) ** 2), jnp.sum(off_diagonal**2)


def make_dip_vae(
    *, kind: str = "ii", lambda_diagonal: float = 10.0, lambda_off_diagonal: float = 10.0
) -> Objective:
    """DIP-VAE: the ELBO less the distance of the covariance of q(z) from the identity.

    Formula: E_q[log p(x|z)] - KL(q(z|x) || p(z)) - lambda_diagonal sum_i (C_ii - 1)^2 -
      lambda_off_diagonal sum_{i != j} C_ij^2
    Estimates: no bound of its own. C is the covariance over the batch of the means of q(z|x) in
      DIP-VAE-I; DIP-VAE-II adds the mean of their covariances, which makes it that of q(z). The
      metrics hold the two sums.
    Source: Kumar et al. (2018).
    Use: for uncorrelated latent dimensions of Gaussians, without a discriminator or densities.

    Args:
      kind: "i", the covariance of the means of q(z|x), or "ii", that of q(z).
      lambda_diagonal: weight of the diagonal (may be swept).
      lambda_off_diagonal: weight of the entries off the diagonal (may be swept).

    Raises:
      ValueError: another kind, a negative or infinite weight; in `init` and `loss`, a q(z|x) or
        p(z) that is no Gaussian.
    """
    add_posteriors = look_up({"i": False, "ii": True}, kind, "kind")
    check_not_negative(lambda_diagonal=lambda_diagonal, lambda_off_diagonal=lambda_off_diagonal)

    def code(key, draw):
        if not (isinstance(draw.q, Gaussian | FullGaussian) and isinstance(draw.p, Gaussian)):
            refuse_pair(
                "dip_vae",
                "a Gaussian q(z|x) and p(z)",
                draw,
                "posterior=gaussian or full_gaussian with prior=standard_normal",
            )
        mean = jnp.broadcast_to(draw.q.mean, draw.z.shape)
        return mean, _covariance_of(draw.q, mean.shape)

    def penalty(key, codes, kl, own, hparams):
        means, covariances = codes
        total = covariance(means) + add_posteriors * jnp.mean(covariances, axis=0)
        on_diagonal, off_diagonal = covariance_penalties(total)
        cost = hparams["lambda_diagonal"] * on_diagonal
        cost += hparams["lambda_off_diagonal"] * off_diagonal
        metrics = {"covariance_diagonal": on_diagonal, "covariance_off_diagonal": off_diagonal}
        return kl + cost, metrics

    weights = {"lambda_diagonal": lambda_diagonal, "lambda_off_diagonal": lambda_off_diagonal}
    return make_batch_objective(code, penalty, weights)


def _covariance_of(q, shape):
    if isinstance(q, FullGaussian):
        return q.covariance
    return jnp.diag(jnp.broadcast_to(q.variance, shape))


ROWS = {"info_vae": make_info_vae, "dip_vae": make_dip_vae}
