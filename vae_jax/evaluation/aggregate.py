"""The aggregate posterior q(z) = (1/N) sum_n q(z|x_n) of N examples: what the KL is spent on.

The mean of KL(q(z|x_n) || p(z)) is I(z; n) + KL(q(z) || p(z)), the information that z carries about
which of the examples it came from, and the divergence of the aggregate posterior from the prior:
Hoffman & Johnson (2016).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key
import numpy as np

from vae_jax.objectives.terms import in_coordinates_of_every_sample


class CodeDensities(NamedTuple):
    """Log-densities, in nats, of one sample z_n ~ q(z|x_n) of each example."""

    log_posterior: Float[np.ndarray, "examples"]
    """log q(z_n|x_n)."""
    log_aggregate: Float[np.ndarray, "examples"]
    """log q(z_n), the mean of q(z_n|x_m) over all examples m, n itself among them."""
    log_prior: Float[np.ndarray, "examples"]
    """log p(z_n)."""

    @property
    def index_code_mi(self) -> Float[np.ndarray, "examples"]:
        """Summands whose mean over examples estimates I(z; n); the mean is at most log N."""
        return self.log_posterior - self.log_aggregate

    @property
    def marginal_kl(self) -> Float[np.ndarray, "examples"]:
        """Summands whose mean over examples estimates KL(q(z) || p(z))."""
        return self.log_aggregate - self.log_prior


def code_densities(
    key: Key[Array, ""],
    vae: Any,
    params: Any,
    examples: Any,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> CodeDensities:
    """Draw one code per example and return its log-densities: N^2 of them are computed.

    Where the prior depends on a condition y, log p(z_n) is log p(z_n|y_n).

    Args:
      key: of the codes; folded with the index of the example.
      vae: the functions `encode` and `prior`.
      params: what `vae.init` returned.
      examples: (x, y), arrays with a leading axis.
      batch_size: examples m whose densities at all codes are computed at once.
      progress: wraps the range of batches, e.g. a progress bar.
    """

    def densities_of(params, example):
        x, y = example
        return in_coordinates_of_every_sample(vae.encode(params, x, y), vae.prior(params, y))[0]

    def draw(params, index, example):
        q, p = densities_of(params, example)
        z, log_posterior = q.sample_and_log_prob(jax.random.fold_in(key, index))
        return z, log_posterior, p.log_prob(z)

    @jax.jit
    def add_densities(log_sum, params, zs, batch):
        def at_all_codes(example):
            return jax.vmap(densities_of(params, example)[0].log_prob)(zs)

        log_densities = jax.vmap(at_all_codes)(batch)
        return jnp.logaddexp(log_sum, jax.nn.logsumexp(log_densities, axis=0))

    count = len(jax.tree.leaves(examples)[0])
    over_all = jax.jit(jax.vmap(draw, in_axes=(None, 0, 0)))
    zs, log_posterior, log_prior = over_all(params, jnp.arange(count), examples)
    log_sum = jnp.full(count, -jnp.inf)
    for start in progress(range(0, count, batch_size)):
        batch = jax.tree.map(lambda leaf, a=start: leaf[a : a + batch_size], examples)
        log_sum = add_densities(log_sum, params, zs, batch)
    arrays = (log_posterior, log_sum - np.log(count), log_prior)
    return CodeDensities(*(np.asarray(each, np.float64) for each in arrays))
