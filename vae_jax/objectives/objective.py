"""What an objective is, and how a bound on log p(x) becomes one."""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple, NoReturn

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key

from vae_jax.lookup import check_whole
from vae_jax.objectives.estimators import (
    ESTIMATORS,
    Estimation,
    apply_baseline,
    init_baseline,
)
from vae_jax.objectives.terms import (
    Terms,
    draw_terms,
    in_coordinates_of_every_sample,
    kl,
    make_terms,
    reconstruction,
)


class Objective(NamedTuple):
    """What is trained: own parameters, a loss to minimise, and the numbers that may be traced."""

    init: Callable[..., Any]
    """init(key, vae, examples) -> params["objective"]; {} where it has none."""
    loss: Callable[..., tuple[Array, dict[str, Array]]]
    """loss(key, vae, params, hparams, batch, step) -> (loss, metrics), batch means in nats.

    params is {"vae": ..., "objective": ...}; loss = -metrics["objective"]. The metrics hold
    `objective`, `elbo` (with beta = 1), `kl` and `reconstruction`; elbo = reconstruction - kl."""
    hparams: dict[str, float]
    """Defaults of the traced numbers: the ones that members of one program may differ in."""
    latents: str = "continuous"
    """The latents that it trains: "continuous", "discrete" or "any"."""
    compares_examples: bool = False
    """Whether it compares the examples of a batch with each other, and so needs two or more."""
    classify: Callable[..., Array] | None = None
    """classify(vae, params["objective"], x) -> log q(y|x) of every class, in nats; None where the
    objective trains no classifier. With one, labels may be missing (-1)."""


def no_parameters(key: Array, vae: Any, examples: Any) -> dict:
    """Return no parameters: `init` for objectives that have none."""
    return {}


def make_bound_objective(
    bound: Callable[[Terms, Mapping[str, Array], Array], Array],
    num_samples: int,
    sampled_kl: bool,
    hparams: dict[str, float],
    estimator: str = "pathwise",
    chunk_size: int = 0,
    factors: Callable[[Terms, Mapping[str, Array]], Array] | None = None,
) -> Objective:
    """Make the objective that maximises the batch mean of `bound(terms, hparams, step)`.

    Args:
      bound: a bound on log p(x) of one example in nats, larger is better.
      num_samples: samples of z per example.
      sampled_kl: whether the metrics `elbo` and `kl` use the sampled form of the KL.
      hparams: defaults of the traced numbers.
      estimator: of the gradient, a row of ESTIMATORS.
      chunk_size: samples whose gradient is computed at once; 0: all.
      factors: factors(terms, hparams), of each sample, for the estimator doubly_reparameterized:
        see there.

    Raises:
      ValueError: no samples, or a chunk size that does not divide their number.
    """
    check_num_samples(num_samples, chunk_size)
    row = ESTIMATORS[estimator]
    latents = "continuous" if row.is_pathwise else "any"

    def init(key, vae, examples):
        return {"baseline": init_baseline(key, examples)} if row.learns_baseline else {}

    def loss(key, vae, params, hparams, batch, step):
        check_latents(vae, latents)

        def metrics_of_one_example(key, x, y):
            keys = jax.random.split(key, num_samples)
            estimation = Estimation(
                functools.partial(draw_terms, keys, vae, params["vae"], x, y, chunk_size),
                lambda terms: bound(terms, hparams, step),
                lambda terms: factors(terms, hparams),
                lambda: apply_baseline(params["objective"]["baseline"], x),
            )
            value, terms = row.make(estimation)
            return {"objective": value, **elbo_metrics(terms, sampled_kl)}

        metrics = over_batch(metrics_of_one_example, key, batch)
        return -metrics["objective"], metrics

    return Objective(init, loss, hparams, latents)


def make_batch_objective(
    code: Callable[..., Any],
    penalty: Callable[..., tuple[Array, dict[str, Array]]],
    hparams: dict[str, float],
    init: Callable[[Array, Any], Any] = lambda key, code: {},
    sampled_kl: bool = False,
) -> Objective:
    """Make the objective that maximises E_q[log p(x|z)] - penalty, in nats per example.

    Its penalty is a function of the codes of a whole batch, with one sample of z per example.

    Args:
      code: code(key, draw) -> what the penalty is made of, of the `Draw` of one example. It refuses
        distributions that it is not defined for.
      penalty: penalty(key, codes, kl, own, hparams) -> (number, metrics). `codes` are those of the
        batch, along a leading axis, `kl` the batch mean of KL(q(z|x) || p(z)), and `own` the
        objective's parameters.
      hparams: defaults of the traced numbers.
      init: init(key, code) -> the objective's own parameters, of the shapes of one code.
      sampled_kl: whether the metrics `elbo` and `kl` use the sampled form of the KL.
    """

    def of_one_example(vae, params, key, x, y):
        terms, draw = draw_one(jax.random.split(key, 1)[0], vae, params, x, y)
        return elbo_metrics(terms, sampled_kl), code(jax.random.fold_in(key, 1), draw)

    def init_own(key, vae, examples):
        check_latents(vae, "continuous")
        params = jax.eval_shape(vae.init, key, examples)
        x, y = jax.tree.map(lambda leaf: leaf[0], (examples.x, examples.y))
        one = functools.partial(of_one_example, vae)
        return init(key, jax.eval_shape(one, params, key, x, y)[1])

    def loss(key, vae, params, hparams, batch, step):
        check_latents(vae, "continuous")
        batch_size = jax.tree.leaves(batch.x)[0].shape[0]
        check_batch_size(True, batch_size)
        keys = jax.random.split(key, batch_size)
        one = functools.partial(of_one_example, vae, params["vae"])
        metrics, codes = jax.vmap(one)(keys, batch.x, batch.y)
        metrics = jax.tree.map(jnp.mean, metrics)
        # A number that is no index of an example: no key is used twice.
        key_penalty = jax.random.fold_in(key, batch_size)
        cost, more = penalty(key_penalty, codes, metrics["kl"], params["objective"], hparams)
        objective = metrics["reconstruction"] - cost
        return -objective, {"objective": objective, **metrics, **more}

    return Objective(init_own, loss, hparams, compares_examples=True)


class Draw(NamedTuple):
    """One sample z of an example, q(z|x) and p(z).

    All are in the same coordinates: of gamma, beta and Dirichlet variables logarithms or logits.
    """

    z: Any
    q: Any
    p: Any


def draw_one(key: Key[Array, ""], vae: Any, params: Any, x: Any, y: Any) -> tuple[Terms, Draw]:
    """Return the terms of one sample of z, as `sample_terms` does, and what they are made of."""
    q, p = vae.encode(params, x, y), vae.prior(params, y)
    (drawn_q, drawn_p), latent = in_coordinates_of_every_sample(q, p)
    z, log_posterior = drawn_q.sample_and_log_prob(key)
    log_likelihood = vae.decode(params, latent(z), y).log_prob(x)
    logs = (each[None] for each in (log_likelihood, drawn_p.log_prob(z), log_posterior))
    return make_terms(*logs, q, p, drawn_q), Draw(z, drawn_q, drawn_p)


def refuse_pair(objective: str, needs: str, draw: Draw, remedy: str) -> NoReturn:
    """Refuse distributions that an objective is not defined for.

    Args:
      objective: its name.
      needs: what it needs of q(z|x) and p(z).
      draw: what the model has.
      remedy: what to use instead.

    Raises:
      ValueError: in one line, with the remedy.
    """
    kinds = f"q(z|x) {type(draw.q).__name__} and p(z) {type(draw.p).__name__}"
    raise ValueError(f"the objective {objective} needs {needs}, got {kinds}: use {remedy}")


def elbo_metrics(terms: Terms, sampled_kl: bool = False) -> dict[str, Array]:
    """Return the ELBO (beta = 1) and its two parts, in nats: elbo = reconstruction - kl."""
    parts = {"kl": kl(terms, sampled_kl), "reconstruction": reconstruction(terms)}
    return {"elbo": parts["reconstruction"] - parts["kl"], **parts}


def over_batch(
    metrics_of_one_example: Callable[..., dict[str, Array]], key: Key[Array, ""], batch: Any
) -> dict[str, Array]:
    """Return the batch means of metrics_of_one_example(key, x, y), with a key for each example."""
    keys = jax.random.split(key, jax.tree.leaves(batch.x)[0].shape[0])
    per_example = jax.vmap(metrics_of_one_example)(keys, batch.x, batch.y)
    return jax.tree.map(jnp.mean, per_example)


def check_latents(vae: Any, latents: str) -> None:
    """Refuse a model whose latents an objective cannot train.

    Args:
      vae: tells by `is_discrete` and `latents` what its z is.
      latents: what the objective trains: "continuous", "discrete" or "any".

    Raises:
      ValueError: with the remedy.
    """
    kind = "discrete" if vae.is_discrete else "continuous"
    if latents in (kind, "any"):
        return
    remedy = (
        "use the objective concrete, or estimator=vimco with the objective iwae"
        if vae.is_discrete
        else "use the objective elbo or iwae, or the posterior categorical or bernoulli"
    )
    raise ValueError(f"this objective does not train {kind} latents ({vae.latents}): {remedy}")


def check_batch_size(compares_examples: bool, batch_size: int) -> None:
    """Refuse a batch of one example where examples are compared with each other.

    Raises:
      ValueError: with the remedy.
    """
    if compares_examples and batch_size < 2:
        raise ValueError(
            "this objective compares the examples of a batch with each other: it needs a "
            f"batch_size of 2 or more, got {batch_size}"
        )


def check_num_samples(num_samples: int, chunk_size: int = 0) -> None:
    """Refuse fewer than one sample of z per example, more than a million, or uneven chunks.

    Raises:
      ValueError: with the number given.
    """
    check_whole(1, 1_000_000, num_samples=num_samples)
    check_whole(0, 1_000_000, chunk_size=chunk_size)
    if chunk_size and num_samples % chunk_size:
        raise ValueError(
            f"chunk_size must divide the {num_samples} samples per example, got {chunk_size}"
        )
