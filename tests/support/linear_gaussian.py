"""An exactly solvable VAE (probabilistic PCA), and how a sample mean is held to a known number.

z ~ N(0, I) and x|z ~ N(W z + b, s^2 I), so that x ~ N(b, W W' + s^2 I) and z|x is Gaussian too:
Tipping & Bishop (1999), Section 3. Every number here is numpy or scipy in float64 and shares no
code with vae_jax, but for `make_vae` and `FullGaussian`, which hand the model to it.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from vae_jax.distributions import Distribution, Gaussian, standard_normal
from vae_jax.models import VAE


class LinearGaussian(NamedTuple):
    """The model's parameters: W [features, latents], b [features] and the number s."""

    weights: np.ndarray
    bias: np.ndarray
    noise_scale: float

    def sample(self, seed: int, num_examples: int) -> np.ndarray:
        """Draw x from p(x) [examples, features]."""
        rng = np.random.default_rng(seed)
        zs = rng.normal(size=(num_examples, self.weights.shape[1]))
        noise = rng.normal(size=(num_examples, self.weights.shape[0]))
        return zs @ self.weights.T + self.bias + self.noise_scale * noise

    def log_marginal(self, x: np.ndarray) -> float:
        """Return log p(x) in nats."""
        covariance = self.weights @ self.weights.T + self.noise_scale**2 * np.eye(len(self.bias))
        return stats.multivariate_normal(self.bias, covariance).logpdf(x)

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the covariance of p(z|x)."""
        precision = self.weights.T @ self.weights / self.noise_scale**2 + np.eye(self.num_latents)
        covariance = np.linalg.inv(precision)
        return covariance @ self.weights.T @ (x - self.bias) / self.noise_scale**2, covariance

    def elbo(self, x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
        """Return E_q[log p(x|z)] - KL(q || p(z)) for q = N(mean, covariance), in nats."""
        residual = x - self.weights @ mean - self.bias
        spread = np.trace(self.weights @ covariance @ self.weights.T)
        variance = self.noise_scale**2
        log_likelihood = -0.5 * (residual @ residual + spread) / variance
        log_likelihood -= 0.5 * len(x) * np.log(2 * np.pi * variance)
        return log_likelihood - gaussian_kl(mean, covariance, 0 * mean, np.eye(len(mean)))

    @property
    def num_latents(self) -> int:
        """The number of latent dimensions."""
        return self.weights.shape[1]


def gaussian_kl(
    mean_q: np.ndarray, covariance_q: np.ndarray, mean_p: np.ndarray, covariance_p: np.ndarray
) -> float:
    """Return KL(N(mean_q, covariance_q) || N(mean_p, covariance_p)) in nats."""
    precision, shift = np.linalg.inv(covariance_p), mean_p - mean_q
    trace = np.trace(precision @ covariance_q) + shift @ precision @ shift - len(shift)
    return 0.5 * (trace + np.linalg.slogdet(covariance_p)[1] - np.linalg.slogdet(covariance_q)[1])


def make_model(num_features: int = 5, orthogonal: bool = True, seed: int = 0) -> LinearGaussian:
    """Make a model of two latents; orthogonal columns of W make its posterior diagonal."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(num_features, 2))
    if orthogonal:
        weights = np.linalg.qr(weights)[0] * [1.5, 0.7]
    return LinearGaussian(weights, rng.normal(size=num_features), 0.6)


def make_vae(model: LinearGaussian) -> VAE:
    """Return the model as a VAE whose `init` gives the exact posterior, if that is diagonal.

    q(z|x) = N(gain x + offset, diag(exp(log_scale))^2): a test moves it away by its parameters.
    """
    _, covariance = model.posterior(model.bias)
    gain = covariance @ model.weights.T / model.noise_scale**2

    def init(key: Any, examples: Any) -> dict:
        params = {
            "weights": model.weights,
            "bias": model.bias,
            "gain": gain,
            "offset": -gain @ model.bias,
            "log_scale": 0.5 * np.log(np.diag(covariance)),
        }
        return jax.tree.map(jnp.asarray, params)

    def encode(params, x, y=None):
        return Gaussian(params["gain"] @ x + params["offset"], params["log_scale"])

    def decode(params, z, y=None):
        mean = params["weights"] @ z + params["bias"]
        return Gaussian(mean, jnp.full_like(mean, np.log(model.noise_scale)))

    def prior(params, y=None):
        return standard_normal(model.num_latents)

    return VAE(init, encode, decode, prior)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullGaussian(Distribution):
    """N(mean, covariance) by JAX's own functions; it has no closed-form KL in vae_jax."""

    mean: Any
    covariance: Any

    def sample(self, key):
        """Draw one value."""
        return jax.random.multivariate_normal(key, self.mean, self.covariance)

    def log_prob(self, value):
        """Return the log-density in nats."""
        return jax.scipy.stats.multivariate_normal.logpdf(value, self.mean, self.covariance)


def assert_mean_is(samples: Any, expected: Any) -> None:
    """Check that the mean of independent samples (axis 0) is `expected`.

    Estimator: the sample mean; tolerance: four of its standard errors, std / sqrt(N).
    """
    samples = np.asarray(samples, np.float64)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(np.isfinite(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= 4 * error)
