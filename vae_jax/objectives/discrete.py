"""Objectives for discrete latents, whose samples are relaxed so that they carry gradients."""

from typing import Any

import jax
from jax import Array
from jaxtyping import Key

from vae_jax.fast.mapping import map_leading
from vae_jax.lookup import check_not_negative, check_positive, look_up
from vae_jax.objectives.bounds import elbo
from vae_jax.objectives.objective import (
    Objective,
    check_latents,
    check_num_samples,
    elbo_metrics,
    no_parameters,
    over_batch,
)
from vae_jax.objectives.schedules import Temperature
from vae_jax.objectives.terms import Terms, closed_form_kl, sample_terms


def relaxed_terms(
    keys: Key[Array, "samples"],
    vae: Any,
    params: Any,
    x: Any,
    y: Any,
    temperatures: tuple[Any, Any],
    hard: bool,
) -> Terms:
    """Return the terms of one example for relaxed samples of a discrete q(z|x).

    log_prior and log_posterior are densities of the relaxed samples, Eqs. (25) and (27) of Maddison
    et al. (2017); closed_form_kl is that of the discrete distributions, whatever the samples.

    Args:
      keys: one key per sample.
      vae: the functions `encode`, `decode` and `prior`.
      params: what `vae.init` returned.
      x: one example.
      y: its condition, or None.
      temperatures: of the posterior and of the prior.
      hard: give the decoder the nearest discrete value, with the gradient of the relaxed one
        (straight-through).
    """
    q, p = vae.encode(params, x, y), vae.prior(params, y)
    relaxed_q, relaxed_p = q.relaxed(temperatures[0]), p.relaxed(temperatures[1])

    def terms_of_one_sample(key):
        value = relaxed_q.sample(key)
        z = relaxed_q.latent(value)
        if hard:
            z = z + jax.lax.stop_gradient(relaxed_q.nearest(value) - z)
        log_likelihood = vae.decode(params, z, y).log_prob(x)
        return log_likelihood, relaxed_p.log_prob(value), relaxed_q.log_prob(value)

    return Terms(*map_leading(terms_of_one_sample, keys), closed_form_kl(q, p))


def make_concrete(
    *,
    beta: float = 1.0,
    temperature: float = 1.0,
    min_temperature: float = 0.5,
    temperature_decay: float = 0.0,
    prior_temperature: float = 0.5,
    straight_through: bool = False,
    kl: str = "discrete",
    num_samples: int = 1,
) -> Objective:
    """The relaxed ELBO of discrete latents: Gumbel-Softmax or Concrete samples.

    Formula: E_relaxed q[log p(x|z)] - beta KL(q(z|x) || p(z))
    Estimates: with kl="discrete" no bound on log p(x) of the discrete model, with kl="concrete" a
      bound of the relaxed model. `objective` and `relaxed_elbo` (its value at beta = 1) are of
      relaxed samples, `elbo`, `kl` and `reconstruction` of discrete samples, drawn separately.
    Source: Jang et al. (2017); Maddison et al. (2017).
    Use: for categories or bits as latents, with gradients of little noise and some bias; the
      estimators vimco and leave_one_out of other objectives are without bias.

    Args:
      beta: weight of the KL (may be swept).
      temperature: of the posterior's relaxation at step 0 (may be swept).
      min_temperature: where the temperature stops falling.
      temperature_decay: rate per step, temperature exp(-decay step); 0: constant.
      prior_temperature: of the prior's relaxation, with kl="concrete" (may be swept).
      straight_through: give the decoder discrete values, with the gradients of relaxed ones.
      kl: "discrete": in closed form; "concrete": from the densities of the relaxed samples.
      num_samples: samples of z per example.

    Raises:
      ValueError: a temperature that is not above zero, or another number out of range.
    """
    check_not_negative(beta=beta, temperature_decay=temperature_decay)
    temperatures = {
        "temperature": temperature,
        "min_temperature": min_temperature,
        "prior_temperature": prior_temperature,
    }
    check_positive(**temperatures)
    sampled_kl = look_up({"discrete": False, "concrete": True}, kl, "kl")
    check_num_samples(num_samples)
    cool = Temperature(min_temperature, temperature_decay)

    def loss(key, vae, params, hparams, batch, step):
        check_latents(vae, "discrete")
        temperatures = cool(hparams["temperature"], step), hparams["prior_temperature"]
        frozen = jax.lax.stop_gradient(params["vae"])

        def metrics_of_one_example(key, x, y):
            keys_relaxed, keys_discrete = (
                jax.random.split(each, num_samples) for each in jax.random.split(key)
            )
            relaxed = relaxed_terms(
                keys_relaxed, vae, params["vae"], x, y, temperatures, straight_through
            )
            return {
                "objective": elbo(relaxed, hparams["beta"], sampled_kl),
                "relaxed_elbo": elbo(relaxed, sampled_kl=sampled_kl),
                **elbo_metrics(sample_terms(keys_discrete, vae, frozen, x, y)),
            }

        metrics = over_batch(metrics_of_one_example, key, batch)
        return -metrics["objective"], metrics | {"temperature": temperatures[0]}

    hparams = {"beta": beta, "temperature": temperature, "prior_temperature": prior_temperature}
    return Objective(no_parameters, loss, hparams, latents="discrete")


ROWS = {"concrete": make_concrete}
