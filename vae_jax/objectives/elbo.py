"""The evidence lower bound: log p(x) = ELBO + KL(q(z|x) || p(z|x))."""

from jax import Array
from jaxtyping import Float

from vae_jax.lookup import check_not_negative
from vae_jax.objectives.objective import (
    Objective,
    check_num_samples,
    make_bound_objective,
)
from vae_jax.objectives.schedules import LinearWarmup
from vae_jax.objectives.terms import Terms, kl, reconstruction


def elbo(terms: Terms, beta: float | Array = 1.0, sampled_kl: bool = False) -> Float[Array, ""]:
    """Return E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) in nats, larger is better.

    With beta = 1: Eq. (7) of Kingma & Welling (2014), of which Eq. (6), log p(x, z) - log q(z|x),
    is the sampled form. Else: Eq. (4) of Higgins et al. (2017). For beta > 1 it remains a lower
    bound of log p(x), a looser one; for beta < 1 it is none.
    """
    return reconstruction(terms) - beta * kl(terms, sampled_kl)


def make_elbo(
    *,
    beta: float = 1.0,
    num_samples: int = 1,
    sampled_kl: bool = False,
    beta_warmup_steps: int = 0,
) -> Objective:
    """The ELBO; with beta other than 1 the objective of the beta-VAE.

    Args:
      beta: weight of the KL (may be swept): 1 is the ELBO, larger the beta-VAE.
      num_samples: L, samples of z per example.
      sampled_kl: estimate the KL by the samples instead of in closed form.
      beta_warmup_steps: beta grows linearly from 0 over so many steps; 0: no warm-up.

    Raises:
      ValueError: a negative or infinite beta, no samples, or a negative number of warm-up steps.
    """
    check_not_negative(beta=beta, beta_warmup_steps=beta_warmup_steps)
    check_num_samples(num_samples)
    warmup = LinearWarmup(beta_warmup_steps)

    def bound(terms, hparams, step):
        return elbo(terms, warmup(step) * hparams["beta"], sampled_kl)

    return make_bound_objective(bound, num_samples, sampled_kl, {"beta": beta})


ROWS = {"elbo": make_elbo}
