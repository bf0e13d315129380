"""Objectives made of the evidence lower bound: log p(x) = ELBO + KL(q(z|x) || p(z|x))."""

import jax.numpy as jnp

from vae_jax.lookup import check_not_negative, check_whole, look_up
from vae_jax.objectives.bounds import elbo, elbo_by_entropy
from vae_jax.objectives.estimators import check_estimator
from vae_jax.objectives.objective import Objective, make_bound_objective
from vae_jax.objectives.schedules import LinearWarmup
from vae_jax.objectives.terms import kl, reconstruction

_SAMPLED_FORMS = {"closed_form_kl": False, "log_weights": True, "entropy": True}


def make_elbo(
    *,
    beta: float = 1.0,
    num_samples: int = 1,
    form: str = "",
    estimator: str = "pathwise",
    beta_warmup_steps: int = 0,
    beta_cycle_steps: int = 0,
    chunk_size: int = 0,
) -> Objective:
    """The ELBO; with beta other than 1 the objective of the beta-VAE.

    Formula: E_q[log p(x|z)] - beta KL(q(z|x) || p(z))
    Estimates: a lower bound of log p(x) for beta >= 1; the gap at beta = 1 is KL(q || p(z|x)).
    Source: Kingma & Welling (2014); Rezende et al. (2014); beta: Higgins et al. (2017).
    Use: first of all; beta > 1 for codes that share less information, or against overfitting.

    Args:
      beta: weight of the KL (may be swept): 1 is the ELBO, larger the beta-VAE.
      num_samples: L, samples of z per example.
      form: "closed_form_kl", E log p(x|z) - KL, with the KL by samples where it has no closed form;
        "log_weights", E[log p(x, z) - log q(z|x)]; "entropy", E log p(x, z) + H[q]; "": the first
        with the pathwise estimator, else the second.
      estimator: of the gradient, a row of ESTIMATORS.
      beta_warmup_steps: beta grows linearly from 0 over so many steps; 0: no warm-up.
      beta_cycle_steps: this warm-up begins anew every so many steps (cyclic annealing, Fu et al.,
        2019); 0: never.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: a negative or infinite beta, no samples, a warm-up that is negative or longer than
        its cycle, an unknown form, or an estimator or chunk size that does not fit.
    """
    check_not_negative(beta=beta)
    warmup = _make_beta_warmup(beta_warmup_steps, beta_cycle_steps)
    fitting = ("pathwise", "sticking_the_landing", "score_function", "leave_one_out")
    check_estimator(estimator, fitting, num_samples)
    form = _choose_form(form, estimator)
    is_sampled = look_up(_SAMPLED_FORMS, form, "form")

    def bound(terms, hparams, step):
        weight = warmup(step) * hparams["beta"]
        if form == "entropy":
            if terms.entropy is None:
                raise ValueError(
                    "form='entropy' needs an entropy of q(z|x) in closed form, which flows and two "
                    "layers lack: use form=log_weights"
                )
            return elbo_by_entropy(terms, weight)
        return elbo(terms, weight, is_sampled)

    return make_bound_objective(
        bound, num_samples, is_sampled, {"beta": beta}, estimator=estimator, chunk_size=chunk_size
    )


def make_free_bits(
    *,
    free_bits: float = 0.1,
    beta: float = 1.0,
    num_samples: int = 1,
    chunk_size: int = 0,
) -> Objective:
    """The ELBO with a KL per dimension that costs the same below a threshold: free bits.

    Formula: E_q[log p(x|z)] - beta sum_j max(free_bits, KL_j)
    Estimates: no bound of its own; the metrics hold the true KL and ELBO.
    Source: Kingma et al. (2016), who take the maximum of a minibatch mean, not per example.
    Use: where latent dimensions collapse to the prior although the decoder could use them.

    Args:
      free_bits: nats of KL per dimension of z up to which it is free (may be swept).
      beta: weight of the KL (may be swept).
      num_samples: samples of z per example.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: a negative number, or no samples; by the loss, a pair of posterior and prior that
        has no KL per dimension in closed form.
    """
    check_not_negative(free_bits=free_bits, beta=beta)

    def bound(terms, hparams, step):
        if terms.kl_of_each_dimension is None:
            raise ValueError(
                "the objective free_bits needs a KL per dimension in closed form: use a diagonal "
                "posterior with a prior of its kind, such as posterior=gaussian with "
                "prior=standard_normal"
            )
        floored = jnp.maximum(hparams["free_bits"], terms.kl_of_each_dimension)
        return reconstruction(terms) - hparams["beta"] * jnp.sum(floored)

    hparams = {"free_bits": free_bits, "beta": beta}
    return make_bound_objective(bound, num_samples, False, hparams, chunk_size=chunk_size)


def make_capacity(
    *,
    capacity: float = 10.0,
    gamma: float = 30.0,
    capacity_steps: int = 1000,
    num_samples: int = 1,
    chunk_size: int = 0,
) -> Objective:
    """The reconstruction less gamma times the distance of the KL from a growing capacity.

    Formula: E_q[log p(x|z)] - gamma |KL(q(z|x) || p(z)) - C(t)|, C(t) = C min(1, t / steps)
    Estimates: no bound of its own; the metrics hold the true KL and ELBO.
    Source: Burgess et al. (2018), per example.
    Use: to fix how much information a code carries, and to let it grow during training.

    Args:
      capacity: C in nats that the KL is held to in the end (may be swept).
      gamma: weight of the distance (may be swept).
      capacity_steps: C grows linearly from 0 over so many steps; 0: it is constant.
      num_samples: samples of z per example.
      chunk_size: samples whose gradient is computed at once, to save memory; 0: all.

    Raises:
      ValueError: a negative number, or no samples.
    """
    check_not_negative(capacity=capacity, gamma=gamma)
    check_whole(0, 10**15, capacity_steps=capacity_steps)
    growth = LinearWarmup(capacity_steps)

    def bound(terms, hparams, step):
        distance = jnp.abs(kl(terms) - growth(step) * hparams["capacity"])
        return reconstruction(terms) - hparams["gamma"] * distance

    hparams = {"capacity": capacity, "gamma": gamma}
    return make_bound_objective(bound, num_samples, False, hparams, chunk_size=chunk_size)


def _make_beta_warmup(warmup_steps, cycle_steps):
    check_whole(0, 10**15, beta_warmup_steps=warmup_steps, beta_cycle_steps=cycle_steps)
    if cycle_steps and not warmup_steps:
        raise ValueError(
            f"beta_cycle_steps={cycle_steps} repeats a warm-up: set beta_warmup_steps above 0"
        )
    if 0 < cycle_steps <= warmup_steps:
        raise ValueError(
            f"beta_cycle_steps must be above beta_warmup_steps={warmup_steps}, got {cycle_steps}"
        )
    return LinearWarmup(warmup_steps, cycle_steps)


def _choose_form(form, estimator):
    if not form:
        return "closed_form_kl" if estimator == "pathwise" else "log_weights"
    if form != "log_weights" and estimator != "pathwise":
        raise ValueError(
            f"estimator={estimator!r} needs form='log_weights', got form={form!r}, whose KL or "
            "entropy in closed form is no function of the samples"
        )
    return form


ROWS = {"elbo": make_elbo, "free_bits": make_free_bits, "capacity": make_capacity}
