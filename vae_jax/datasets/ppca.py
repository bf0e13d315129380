"""Probabilistic PCA: data drawn from a known linear-Gaussian model, and its maximum likelihood.

z ~ N(0, I) and x|z ~ N(W z + mean, sigma^2 I), so that x ~ N(mean, W W^T + sigma^2 I): Section 3 of
Tipping & Bishop (1999). A VAE whose decoder is linear and whose likelihood is a Gaussian with one
learned sigma is this model: the best that it can reach on its training data is known.
"""

from typing import NamedTuple

from jaxtyping import Float
import numpy as np


class LinearGaussian(NamedTuple):
    """Parameters of the model."""

    weights: Float[np.ndarray, "features latent"]
    """W."""
    mean: Float[np.ndarray, "features"]
    noise: float
    """sigma, the standard deviation of x given z."""


def draw_model(features: int, latent_dim: int, noise: float, seed: int) -> LinearGaussian:
    """Return a model whose W has orthogonal columns, sqrt(features / latents) 1 .. 1/2 long.

    Without noise, a feature then has a variance of about 0.6. The lengths differ, so that each
    latent can be told from the others.
    """
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(features, latent_dim)))[0]
    lengths = np.sqrt(features / latent_dim) * np.linspace(1, 0.5, latent_dim)
    return LinearGaussian(directions * lengths, random.normal(size=features), noise)


def draw_examples(
    model: LinearGaussian, count: int, seed: int
) -> tuple[Float[np.ndarray, "examples features"], Float[np.ndarray, "examples latent"]]:
    """Return x and the z that it was drawn from, of `count` examples."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(count, model.weights.shape[1]))
    noise = model.noise * random.normal(size=(count, len(model.mean)))
    return z @ model.weights.T + model.mean + noise, z


def log_likelihood(
    model: LinearGaussian, x: Float[np.ndarray, "examples features"]
) -> Float[np.ndarray, "examples"]:
    """Return log p(x) of each example in nats: the density of N(mean, W W^T + sigma^2 I)."""
    covariance = model.weights @ model.weights.T + model.noise**2 * np.eye(len(model.mean))
    factor = np.linalg.cholesky(covariance)
    standardized = np.linalg.solve(factor, (np.asarray(x, np.float64) - model.mean).T)
    log_volume = np.sum(np.log(np.diagonal(factor))) + 0.5 * len(factor) * np.log(2 * np.pi)
    return -0.5 * np.sum(standardized**2, axis=0) - log_volume


def maximum_likelihood(
    x: Float[np.ndarray, "examples features"], latent_dim: int
) -> tuple[LinearGaussian, float]:
    """Return the model of the largest likelihood, and its mean log p(x) over the examples in nats.

    With the eigenvalues l_1 >= l_2 >= ... of the covariance of the data (divided by N) and their
    eigenvectors U: sigma^2 is the mean of those after the first q, and
    W = U_q (L_q - sigma^2 I)^(1/2), up to a rotation of z; Section 3.2 of Tipping & Bishop (1999).
    No linear VAE with one sigma is better on these data, and its ELBO can reach the same value,
    since this W makes p(z|x) a diagonal Gaussian.

    Args:
      x: the examples.
      latent_dim: q, below the number of features.

    Raises:
      ValueError: as many latents as features, or more, which leave nothing to the noise.
    """
    x = np.asarray(x, np.float64)
    features = x.shape[1]
    if not 0 < latent_dim < features:
        raise ValueError(f"latent_dim must lie in 1 .. {features - 1}, got {latent_dim}")
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = values[latent_dim:].mean()
    weights = vectors[:, :latent_dim] * np.sqrt(values[:latent_dim] - variance)
    log_volume = np.sum(np.log(values[:latent_dim])) + (features - latent_dim) * np.log(variance)
    best = -0.5 * (features * np.log(2 * np.pi) + log_volume + features)
    return LinearGaussian(weights, mean, float(np.sqrt(variance))), float(best)
