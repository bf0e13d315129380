"""Objectives that penalise the dependence between the dimensions of z, the total correlation.

q(z) = (1/N) sum_n q(z|x_n) is the aggregate posterior of the N training examples.
"""

import math
from typing import NamedTuple

import jax
from jax import Array
from jax.lax import stop_gradient
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import Factorized
from vae_jax.distributions.gamma_beta_dirichlet import LogDirichlet
from vae_jax.lookup import check_not_negative, check_whole, look_up
from vae_jax.networks import DenseEncoder, check_sizes, make_layers
from vae_jax.objectives.objective import Objective, make_batch_objective, refuse_pair

# As a part of the KL: Chen et al. (2018).


class Decomposition(NamedTuple):
    """The three parts of the mean of log q(z|x) - log p(z) over samples, in nats."""

    index_code_mi: Float[Array, ""]
    """I(z; n) = E[log q(z|x) - log q(z)], between z and the index of the example."""
    total_correlation: Float[Array, ""]
    """KL(q(z) || prod_j q(z_j)) = E[log q(z) - sum_j log q(z_j)]."""
    dimension_wise_kl: Float[Array, ""]
    """sum_j KL(q(z_j) || p(z_j)) = E[sum_j log q(z_j) - log p(z)]."""


def density_matrix(
    qs: Factorized, zs: Float[Array, "batch latent"]
) -> Float[Array, "batch batch latent"]:
    """Return log q(z_ij|x_k), in nats, with axes i (sample), k (example) and j (dimension)."""
    return jax.vmap(lambda z: jax.vmap(lambda q: q.log_prob_per_dimension(z))(qs))(zs)


def weighted_log_weights(batch_size: int, dataset_size: int) -> Float[Array, "batch batch"]:
    """Return log(1 / (N B)) everywhere: minibatch-weighted sampling, Chen et al. (2018).

    A biased estimate of q(z): the mutual information reads up to log(N B), log N where z does not
    depend on x, and the total correlation of D independent dimensions about (D - 1) log N.
    """
    return jnp.full((batch_size, batch_size), -math.log(dataset_size * batch_size))


def stratified_log_weights(batch_size: int, dataset_size: int) -> Float[Array, "batch batch"]:
    """Return log(1 / N) on the diagonal and log((N - 1) / (N (B - 1))) off it.

    Minibatch-stratified sampling, Chen et al. (2018): an unbiased estimate of q(z), for the example
    that z was drawn from is always in the batch. The paper gives one of the other examples a weight
    of its own; here all of them share it, which has the same mean and a smaller variance, and is
    exact where the batch is the whole data set.
    """
    others = math.log(dataset_size - 1) - math.log(dataset_size * (batch_size - 1))
    return jnp.where(jnp.eye(batch_size, dtype=bool), -math.log(dataset_size), others)


AGGREGATES = {
    "minibatch_weighted": weighted_log_weights,
    "minibatch_stratified": stratified_log_weights,
}


def decompose(
    log_densities: Float[Array, "batch batch latent"],
    log_prior: Float[Array, "batch"],
    log_weights: Float[Array, "batch batch"],
) -> Decomposition:
    """Split the mean of log q(z_i|x_i) - log p(z_i) into its three parts: Chen et al. (2018).

    q(z_i) = sum_k w_ik prod_j q(z_ij|x_k) and q(z_ij) = sum_k w_ik q(z_ij|x_k).

    Args:
      log_densities: what `density_matrix` returned.
      log_prior: log p(z_i).
      log_weights: log w_ik, a row of AGGREGATES.
    """
    joint = jnp.sum(log_densities, axis=-1)
    log_posterior = jnp.diagonal(joint)
    log_aggregate = jax.nn.logsumexp(joint + log_weights, axis=1)
    marginals = jax.nn.logsumexp(log_densities + log_weights[..., None], axis=1)
    log_product = jnp.sum(marginals, axis=-1)
    return Decomposition(
        jnp.mean(log_posterior - log_aggregate),
        jnp.mean(log_aggregate - log_product),
        jnp.mean(log_product - log_prior),
    )


def make_beta_tcvae(
    *,
    beta: float = 6.0,
    alpha: float = 1.0,
    gamma: float = 1.0,
    aggregate: str = "minibatch_stratified",
    dataset_size: int = 0,
) -> Objective:
    """The beta-TCVAE, whose beta weighs the total correlation alone.

    Formula: E_q[log p(x|z)] - alpha I(z; n) - beta KL(q(z) || prod_j q(z_j)) -
      gamma sum_j KL(q(z_j) || p(z_j))
    Estimates: the ELBO for alpha = beta = gamma = 1; no bound of its own otherwise. The metrics
      `index_code_mi`, `total_correlation` and `dimension_wise_kl` are its three parts; their sum is
      `kl`, which is therefore its sampled form.
    Source: Chen et al. (2018).
    Use: for latent dimensions that are independent of each other, at a smaller cost in
      reconstruction than that of the beta-VAE. It needs independent dimensions in q(z|x) and p(z).

    Args:
      beta: weight of the total correlation (may be swept).
      alpha: weight of the mutual information of z and the example's index (may be swept).
      gamma: weight of the dimension-wise KL (may be swept).
      aggregate: how q(z) is estimated from a batch: "minibatch_stratified", unbiased, or
        "minibatch_weighted", biased by construction.
      dataset_size: N, the number of training examples; a program fills it in where it is 0.

    Raises:
      ValueError: a negative or infinite weight, or an unknown estimate; in `init` and `loss`, a
        q(z|x) or p(z) whose dimensions are not independent, or dataset_size below the batch.
    """
    check_not_negative(beta=beta, alpha=alpha, gamma=gamma)
    check_whole(0, 2**53, dataset_size=dataset_size)
    log_weights_of = look_up(AGGREGATES, aggregate, "aggregate")

    def code(key, draw):
        if not (isinstance(draw.q, Factorized) and isinstance(draw.p, Factorized)):
            refuse_pair(
                "beta_tcvae",
                "independent dimensions, in q(z|x) and in p(z)",
                draw,
                "posterior=gaussian, gamma or beta with a prior that is no mixture and no flow",
            )
        return draw.q, draw.z, draw.p.log_prob(draw.z)

    def penalty(key, codes, kl, own, hparams):
        qs, zs, log_prior = codes
        _check_dataset_size(dataset_size, len(zs))
        log_weights = log_weights_of(len(zs), dataset_size).astype(zs.dtype)
        parts = decompose(density_matrix(qs, zs), log_prior, log_weights)
        weights = (hparams[name] for name in ("alpha", "beta", "gamma"))
        cost = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        return cost, parts._asdict()

    hparams = {"beta": beta, "alpha": alpha, "gamma": gamma}
    return make_batch_objective(code, penalty, hparams, sampled_kl=True)


def _check_dataset_size(dataset_size, batch_size):
    if dataset_size < batch_size:
        given = f"got {dataset_size}, below the batch of {batch_size}" if dataset_size else "got 0"
        raise ValueError(
            "dataset_size must be the number of training examples, such as "
            f"make_objective('beta_tcvae', dataset_size=60_000); {given}"
        )


# By a discriminator: Kim & Mnih (2018).


def permute_dimensions(
    key: Key[Array, ""], zs: Float[Array, "batch latent"]
) -> Float[Array, "batch latent"]:
    """Return each dimension of zs in an order of its own: about samples of prod_j q(z_j)."""
    return jax.random.permutation(key, zs, axis=0, independent=True)


def discriminator_loss(
    joint: Float[Array, "batch"], product: Float[Array, "batch"]
) -> Float[Array, ""]:
    """Return the cross-entropy in nats of telling q(z) from prod_j q(z_j), log 2 by chance.

    Args:
      joint: log D(z) / (1 - D(z)) of samples of q(z), of which D is the probability.
      product: the same of samples of prod_j q(z_j).
    """
    return 0.5 * jnp.mean(jax.nn.softplus(-joint)) + 0.5 * jnp.mean(jax.nn.softplus(product))


def make_factor_vae(
    *, gamma: float = 10.0, discriminator_hidden: tuple[int, ...] = (200, 200)
) -> Objective:
    """FactorVAE: the ELBO less gamma times the total correlation, by a discriminator.

    Formula: E_q[log p(x|z)] - KL(q(z|x) || p(z)) - gamma E_q(z)[log D(z) / (1 - D(z))]
    Estimates: no bound of its own. D(z) is the probability that z comes from q(z) and not from
      prod_j q(z_j), whose samples are the codes of the batch with each dimension permuted. D learns
      beside the model, and neither gets gradients of the other's loss: the discriminator's, which
      the metrics hold, adds nothing to the value of the objective.
    Source: Kim & Mnih (2018).
    Use: for independent latent dimensions with any q(z|x). The discriminator wants a smaller
      learning rate, by the block objective_optimizer of a config (`training.join_optimizers`); the
      paper's is 1e-4, with b1=0.5 and b2=0.9.

    Args:
      gamma: weight of the total correlation (may be swept).
      discriminator_hidden: sizes of the discriminator's dense layers.

    Raises:
      ValueError: a negative or infinite gamma, or sizes that are not possible; in `init` and
        `loss`, a z of two layers or on the simplex.
    """
    check_not_negative(gamma=gamma)
    check_sizes(discriminator_hidden=discriminator_hidden)
    network = DenseEncoder(make_layers(discriminator_hidden, "relu"), 1)

    def logits(own, zs):
        return jax.vmap(lambda z: network.apply({"params": own}, z)[0])(zs)

    def code(key, draw):
        # Entries of a point of the simplex cannot be independent, nor is a chain one array.
        if not isinstance(draw.z, Array) or isinstance(draw.q, LogDirichlet):
            refuse_pair(
                "factor_vae",
                "one vector z whose dimensions may be independent",
                draw,
                "posterior=gaussian, or another one over real, positive or unit latents",
            )
        return draw.z

    def penalty(key, zs, kl, own, hparams):
        total_correlation = jnp.mean(logits(stop_gradient(own), zs))
        fixed = stop_gradient(zs)
        joint, product = logits(own, fixed), logits(own, permute_dimensions(key, fixed))
        loss = discriminator_loss(joint, product)
        metrics = {
            "total_correlation": total_correlation,
            "discriminator_loss": loss,
            "discriminator_accuracy": 0.5 * (jnp.mean(joint > 0) + jnp.mean(product < 0)),
        }
        return kl + hparams["gamma"] * total_correlation + (loss - stop_gradient(loss)), metrics

    def init(key, z):
        return network.init(key, jnp.zeros(z.shape, z.dtype))["params"]

    return make_batch_objective(code, penalty, {"gamma": gamma}, init)


ROWS = {"beta_tcvae": make_beta_tcvae, "factor_vae": make_factor_vae}
