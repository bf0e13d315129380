"""Bounds on log p(x) for one example, and the objectives that maximise their batch means.

Every bound is a function of the same few terms, takes one example's terms, is in nats, and is
larger when better. log p(x) = ELBO + KL(q(z|x) || p(z|x)), so each is at most log p(x) in
expectation. Training and evaluation call the same functions.
"""

from collections.abc import Callable, Mapping
import inspect
import math
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.distributions import Relaxed, has_closed_form_kl, kl_divergence
from vae_jax.lookup import look_up


class Terms(NamedTuple):
    """What the bounds of one example are made of, in nats, for samples z_1 .. z_K of q(z|x)."""

    log_likelihood: Float[Array, "samples"]
    """log p(x|z_k)."""
    log_prior: Float[Array, "samples"]
    """log p(z_k)."""
    log_posterior: Float[Array, "samples"]
    """log q(z_k|x)."""
    closed_form_kl: Float[Array, ""] | None
    """KL(q(z|x) || p(z)), or None where the pair has no closed form."""

    @property
    def log_weights(self) -> Float[Array, "samples"]:
        """log w_k = log p(x, z_k) - log q(z_k|x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


def sample_terms(keys: Key[Array, "samples"], vae: Any, params: Any, x: Any, y: Any) -> Terms:
    """Draw one z per key from q(z|x) and return the terms of example x.

    Args:
      keys: one key a sample.
      vae: the functions `encode`, `decode` and `prior` (see `models.VAE`).
      params: what `vae.init` returned.
      x: one example.
      y: its condition, or None.
    """
    q, p = vae.encode(params, x, y), vae.prior(params, y)

    def terms_of_one_sample(key):
        z, log_posterior = q.sample_and_log_prob(key)
        return vae.decode(params, z, y).log_prob(x), p.log_prob(z), log_posterior

    return Terms(*over_samples(terms_of_one_sample, keys), closed_form_rate(q, p))


def over_samples(function: Callable[[Array], Any], keys: Key[Array, "samples"]) -> Any:
    """Return function(key) of each key, along a first axis."""
    if len(keys) > 1:
        return jax.vmap(function)(keys)
    # XLA's CPU backend does not see that an axis of one is none: with it the gradient of a mixture
    # prior takes thirty times as long.
    return jax.tree.map(lambda leaf: leaf[None], function(keys[0]))


def closed_form_rate(q: Any, p: Any) -> Float[Array, ""] | None:
    """Return KL(q || p) in nats where this pair has a closed form, else None."""
    return kl_divergence(q, p) if has_closed_form_kl(q, p) else None


def rate(terms: Terms, sampled_kl: bool = False) -> Float[Array, ""]:
    """Return KL(q(z|x) || p(z)) in nats: closed form, or the mean of log q(z_k|x) - log p(z_k).

    The sampled form, unbiased but possibly negative, serves where asked for or no other exists.
    """
    if sampled_kl or terms.closed_form_kl is None:
        return jnp.mean(terms.log_posterior - terms.log_prior)
    return terms.closed_form_kl


def distortion(terms: Terms) -> Float[Array, ""]:
    """Return the mean of -log p(x|z_k) in nats."""
    return -jnp.mean(terms.log_likelihood)


def elbo(terms: Terms, beta: float | Array = 1.0, sampled_kl: bool = False) -> Float[Array, ""]:
    """Return E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) in nats, larger is better.

    Eq. (7) of Kingma & Welling (2014) with beta = 1, of which Eq. (6), log p(x, z) - log q(z|x), is
    the sampled form; Eq. (4) of Higgins et al. (2017) else. For beta > 1 it stays a lower bound of
    log p(x), a looser one; for beta < 1 it is none.
    """
    return -distortion(terms) - beta * rate(terms, sampled_kl)


def importance_weighted_bound(log_weights: Float[Array, "samples"]) -> Float[Array, ""]:
    """Return log((1/K) sum_k w_k) in nats, larger is better: Eq. (8) of Burda et al. (2016).

    Its expectation rises with K from the ELBO (K = 1) towards log p(x).
    """
    return jax.nn.logsumexp(log_weights) - math.log(log_weights.shape[0])


class Objective(NamedTuple):
    """What is trained: own parameters, a loss to minimise, and the numbers that may be traced."""

    init: Callable[..., Any]
    """init(key, vae, examples) -> params["objective"]; {} where it has none."""
    loss: Callable[..., tuple[Array, dict[str, Array]]]
    """loss(key, vae, params, hparams, batch, step) -> (loss, metrics), batch means in nats.

    params is {"vae": ..., "objective": ...}; loss = -metrics["objective"]; metrics["elbo"] has
    beta = 1."""
    hparams: dict[str, float]
    """Defaults of the traced numbers: the ones that members of one program may differ in."""
    relaxes: bool = False
    """Whether it is for discrete latents, whose samples it relaxes."""


def no_parameters(key: Array, vae: Any, examples: Any) -> dict:
    """Be the `init` of an objective without parameters of its own."""
    return {}


def make_bound_objective(
    bound: Callable[[Terms, Mapping[str, Array], Array], Array],
    num_samples: int,
    sampled_kl: bool,
    hparams: dict[str, float],
) -> Objective:
    """Make the objective that maximises the batch mean of `bound(terms, hparams, step)`."""

    def loss(key, vae, params, hparams, batch, step):
        def metrics_of_one_example(key, x, y):
            terms = sample_terms(jax.random.split(key, num_samples), vae, params["vae"], x, y)
            return {
                "objective": bound(terms, hparams, step),
                "elbo": elbo(terms, sampled_kl=sampled_kl),
                "rate": rate(terms, sampled_kl),
                "distortion": distortion(terms),
            }

        metrics = over_batch(metrics_of_one_example, key, batch)
        return -metrics["objective"], metrics

    return Objective(no_parameters, loss, hparams)


def make_elbo(
    beta: float = 1.0,
    num_samples: int = 1,
    sampled_kl: bool = False,
    beta_warmup_steps: int = 0,
) -> Objective:
    """Make the ELBO objective, which is the beta-VAE's for beta != 1.

    Args:
      beta: weight of the rate (traced).
      num_samples: L, samples of z an example.
      sampled_kl: estimate the rate by the samples instead of in closed form.
      beta_warmup_steps: beta grows linearly from 0 over so many steps; 0 for none.

    Raises:
      ValueError: a negative or infinite beta, no samples, or a negative number of warm-up steps.
    """
    _check_not_negative(beta=beta, beta_warmup_steps=beta_warmup_steps)
    _check_num_samples(num_samples)

    def bound(terms, hparams, step):
        warmup = jnp.minimum(1.0, step / beta_warmup_steps) if beta_warmup_steps else 1.0
        return elbo(terms, warmup * hparams["beta"], sampled_kl)

    return make_bound_objective(bound, num_samples, sampled_kl, {"beta": beta})


def make_iwae(num_samples: int = 5) -> Objective:
    """Make the importance-weighted objective with K = num_samples samples of z an example.

    Raises:
      ValueError: no samples.
    """
    _check_num_samples(num_samples)

    def bound(terms, hparams, step):
        return importance_weighted_bound(terms.log_weights)

    return make_bound_objective(bound, num_samples, sampled_kl=True, hparams={})


class Temperature(NamedTuple):
    """max(minimum, start exp(-decay step)), a function of the global step: Jang et al. (2017).

    A start below the minimum stays.
    """

    minimum: float
    decay: float

    def __call__(self, start: Any, step: Any) -> Any:
        """Return the temperature at `step`."""
        # The start is traced, and members of a sweep may differ in it.
        minimum = jnp.minimum(self.minimum, start)
        return jnp.maximum(minimum, start * jnp.exp(-self.decay * step))


def relaxed_terms(
    key: Key[Array, ""], vae: Any, params: Any, x: Any, y: Any, temperatures: Any, hard: bool
) -> Terms:
    """Return the terms of one example for one relaxed sample z of a discrete q(z|x).

    log_prior and log_posterior are densities of the relaxed sample: Eq. (22) of Maddison et al.
    (2017); closed_form_kl is that of the discrete distributions, whatever the sample.

    Args:
      key: of the sample.
      vae: the functions `encode`, `decode` and `prior`.
      params: what `vae.init` returned.
      x: one example.
      y: its condition, or None.
      temperatures: of the posterior and of the prior.
      hard: give the decoder the nearest discrete value, with the gradient of the relaxed one
        (straight-through).
    """
    q, p = vae.encode(params, x, y), vae.prior(params, y)
    relaxed_q, relaxed_p = Relaxed(q, temperatures[0]), Relaxed(p, temperatures[1])
    value = relaxed_q.sample(key)
    z = relaxed_q.latent(value)
    if hard:
        z = z + jax.lax.stop_gradient(relaxed_q.nearest(value) - z)
    return Terms(
        log_likelihood=vae.decode(params, z, y).log_prob(x),
        log_prior=relaxed_p.log_prob(value),
        log_posterior=relaxed_q.log_prob(value),
        closed_form_kl=closed_form_rate(q, p),
    )


def make_concrete(
    beta: float = 1.0,
    temperature: float = 1.0,
    min_temperature: float = 0.5,
    temperature_decay: float = 0.0,
    prior_temperature: float = 0.5,
    straight_through: bool = False,
    kl: str = "discrete",
    num_samples: int = 1,
) -> Objective:
    """Make the objective of discrete latents: Jang et al. (2017), Maddison et al. (2017).

    Its value is no bound on log p(x) of the discrete model with kl="discrete"; with kl="concrete"
    it is one of the relaxed model's. So `objective` and `relaxed_elbo` (its value at beta = 1) are
    of relaxed samples, while `elbo`, `rate` and `distortion` are of discrete ones, by a sample of
    their own.

    Args:
      beta: weight of the rate (traced).
      temperature: of the posterior's relaxation at step 0 (traced).
      min_temperature: where the temperature stops falling.
      temperature_decay: a step; 0 keeps the temperature.
      prior_temperature: of the prior's relaxation, with kl="concrete" (traced).
      straight_through: give the decoder discrete values, with the gradients of relaxed ones.
      kl: "discrete", in closed form, or "concrete", of the densities of the relaxed samples.
      num_samples: samples of z an example.

    Raises:
      ValueError: a temperature that is not above zero, or another number out of range.
    """
    _check_not_negative(beta=beta, temperature_decay=temperature_decay)
    _check_positive(
        temperature=temperature,
        min_temperature=min_temperature,
        prior_temperature=prior_temperature,
    )
    sampled_kl = look_up({"discrete": False, "concrete": True}, kl, "objective.kl")
    _check_num_samples(num_samples)
    cool = Temperature(min_temperature, temperature_decay)

    def loss(key, vae, params, hparams, batch, step):
        temperatures = cool(hparams["temperature"], step), hparams["prior_temperature"]

        def metrics_of_one_example(key, x, y):
            key_relaxed, key_discrete = jax.random.split(key)
            relaxed = over_samples(
                lambda k: relaxed_terms(
                    k, vae, params["vae"], x, y, temperatures, straight_through
                ),
                jax.random.split(key_relaxed, num_samples),
            )
            mean_kl = jax.tree.map(jnp.mean, relaxed.closed_form_kl)
            relaxed = relaxed._replace(closed_form_kl=mean_kl)
            frozen = jax.lax.stop_gradient(params["vae"])
            keys = jax.random.split(key_discrete, num_samples)
            discrete = sample_terms(keys, vae, frozen, x, y)
            return {
                "objective": elbo(relaxed, hparams["beta"], sampled_kl),
                "relaxed_elbo": elbo(relaxed, sampled_kl=sampled_kl),
                "elbo": elbo(discrete),
                "rate": rate(discrete),
                "distortion": distortion(discrete),
            }

        metrics = over_batch(metrics_of_one_example, key, batch)
        return -metrics["objective"], metrics | {"temperature": temperatures[0]}

    hparams = {"beta": beta, "temperature": temperature, "prior_temperature": prior_temperature}
    return Objective(no_parameters, loss, hparams, relaxes=True)


def over_batch(
    metrics_of_one_example: Callable[..., dict[str, Array]], key: Key[Array, ""], batch: Any
) -> dict[str, Array]:
    """Return the batch means of metrics_of_one_example(key, x, y), with a key for each example."""
    keys = jax.random.split(key, jax.tree.leaves(batch.x)[0].shape[0])
    per_example = jax.vmap(metrics_of_one_example)(keys, batch.x, batch.y)
    return jax.tree.map(jnp.mean, per_example)


def _check_not_negative(**options: float | int) -> None:
    for name, value in options.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"objective.{name} must be >= 0 and finite, got {value}")


def _check_positive(**options: float | int) -> None:
    for name, value in options.items():
        if not 0 < value < math.inf:
            raise ValueError(f"objective.{name} must be above 0 and finite, got {value}")


def _check_num_samples(num_samples: int) -> None:
    if num_samples < 1:
        raise ValueError(f"objective.num_samples must be >= 1, got {num_samples}")


OBJECTIVES = {"concrete": make_concrete, "elbo": make_elbo, "iwae": make_iwae}


def make_objective(name: str, **options: Any) -> Objective:
    """Make the objective of that name in OBJECTIVES with the given options.

    Raises:
      ValueError: an unknown name, an option that this objective does not take, or a bad value.
    """
    make = look_up(OBJECTIVES, name, "objective.name")
    known = inspect.signature(make).parameters
    for option in options:
        look_up(known, option, f"option of objective {name!r}")
    return make(**options)
