"""Measuring the members of a run on a set of examples."""

from collections.abc import Callable, Iterable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.support.assembly import Evaluation, Run
from vae_jax import datasets, evaluation, objectives, training


def model_examples(run: Run, how: Evaluation, split: str) -> datasets.Examples:
    """Return a split as the model sees it; dynamic bits are drawn once, by the evaluation's key."""
    examples = getattr(run.dataset, split)
    key = jax.random.fold_in(how.key, run.dataset._fields.index(split))
    return jax.device_get(datasets.to_model_examples(run.dataset, key, examples))


def make_measure(vae: Any, how: Evaluation, num_samples: int) -> Callable:
    """Make the batched function that measures examples by `num_samples` samples of z each.

    It returns, per example in nats: log p(x) by importance samples, the ELBO (beta = 1) with its
    rate and distortion, and the posterior mean.
    """

    def measure(params, index, example):
        x, y = example

        def sample(keys):
            terms = objectives.sample_terms(keys, vae, params, x, y)
            return terms.log_weights, (terms.log_likelihood, terms.log_weights)

        log_likelihood, (reconstruction, sampled_elbo) = evaluation.importance_sampling(
            sample, how.key, index, num_samples, min(how.chunk_size, num_samples)
        )
        q = vae.encode(params, x, y)
        rate = objectives.closed_form_rate(q, vae.prior(params, y))
        if rate is None:  # E[log q - log p] = E[log p(x|z)] - E[log w]
            rate = reconstruction - sampled_elbo
        return {
            "log_likelihood": log_likelihood,
            "elbo": reconstruction - rate,
            "rate": rate,
            "distortion": -reconstruction,
            **posterior_means(q, how.key),
        }

    return evaluation.over_examples(measure)


def posterior_means(q: Any, key: Any, num_samples: int = 100) -> dict[str, jax.Array]:
    """Return E_q[z] of one example, flat; of two layers under a name each, the upper one's last.

    Where there is no closed form, it is the mean of `num_samples` samples, whose noise is the same
    for every example: where q does not vary over examples, neither does this, so that no unit
    seems active by noise.
    """
    if hasattr(q, "mean"):
        mean = q.mean
    else:
        samples = jax.vmap(q.sample)(jax.random.split(key, num_samples))
        mean = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), samples)
    if not isinstance(mean, tuple):
        return {"posterior_mean": jnp.ravel(mean)}
    return {"posterior_mean": mean[0], "posterior_mean_upper": mean[1]}


def measure_members(
    run: Run,
    state: training.TrainState,
    measure: Callable,
    examples: datasets.Examples,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[dict[str, np.ndarray]]:
    """Return what `measure` says of every example, one dictionary a member."""
    params = [
        training.select_member(state, member).evaluation_params["vae"]
        for member in range(len(run.members))
    ]
    return [
        evaluation.map_examples(measure, each, examples, batch_size, progress) for each in params
    ]


def make_validation(run: Run, how: Evaluation) -> Callable:
    """Make validate(state) -> mean ELBO, rate and distortion of the validation examples.

    One sample of z an example, the same noise each time.
    """
    measure = make_measure(run.vae, how, num_samples=1)
    examples = functools.cache(lambda: model_examples(run, how, "validation"))  # not at the start

    def validate(state):
        measured = measure_members(run, state, measure, examples(), how.batch_size)
        return leave_out_failed(mean_bounds(measured), state)

    return validate


def leave_out_failed(
    numbers: dict[str, list[float]], state: training.TrainState
) -> dict[str, list[float]]:
    """Return numbers with NaN for the members that failed: theirs are of an unfinished run."""
    failed = jax.device_get(state.failure.step) >= 0
    return {name: list(np.where(failed, np.nan, values)) for name, values in numbers.items()}


def mean_bounds(measured: list[dict[str, np.ndarray]]) -> dict[str, list[float]]:
    """Return the mean over examples of ELBO, rate and distortion, one number a member, in nats."""
    names = ("elbo", "rate", "distortion")
    return {
        name: [float(np.mean(each[name], dtype=np.float64)) for each in measured] for name in names
    }


def summarize(run: Run, measured: list[dict[str, np.ndarray]]) -> dict[str, list[float]]:
    """Return the numbers of the final table, one a member: nats unless the name says otherwise."""
    likelihoods = [evaluation.estimate(each["log_likelihood"], "examples") for each in measured]
    summary = mean_bounds(measured) | {
        "nll": [-each.mean for each in likelihoods],
        "nll_standard_error_over_examples": [each.standard_error for each in likelihoods],
    }
    if run.bits_dimensions:
        summary["bits_per_dim"] = [
            evaluation.bits_per_dim(-each.mean, run.bits_dimensions) for each in likelihoods
        ]
    for layer in ("", "_upper"):
        if f"posterior_mean{layer}" in measured[0]:
            summary[f"active_units{layer}"] = [
                evaluation.active_units(each[f"posterior_mean{layer}"]) for each in measured
            ]
    return summary
