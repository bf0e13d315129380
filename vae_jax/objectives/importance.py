"""Importance-weighted bounds on log p(x)."""

import math

import jax
from jax import Array
from jaxtyping import Float

from vae_jax.objectives.objective import Objective, check_num_samples, make_bound_objective


def importance_weighted_bound(log_weights: Float[Array, "samples"]) -> Float[Array, ""]:
    """Return log((1/K) sum_k w_k) in nats, larger is better: Eq. (8) of Burda et al. (2016).

    Its expectation rises with K from the ELBO (K = 1) towards log p(x).
    """
    return jax.nn.logsumexp(log_weights) - math.log(log_weights.shape[0])


def make_iwae(*, num_samples: int = 5) -> Objective:
    """The importance-weighted bound of K samples, which is tighter than the ELBO.

    Args:
      num_samples: K, samples of z per example.

    Raises:
      ValueError: no samples.
    """
    check_num_samples(num_samples)

    def bound(terms, hparams, step):
        return importance_weighted_bound(terms.log_weights)

    return make_bound_objective(bound, num_samples, sampled_kl=True, hparams={})


ROWS = {"iwae": make_iwae}
