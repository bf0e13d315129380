"""Measuring the members of a run on a set of examples."""

from collections.abc import Callable, Iterable, Iterator
import functools
from typing import Any

import jax
import numpy as np

from experiments.support import console
from experiments.support.assembly import Evaluation, Run, some_examples
from experiments.support.sweeps import Member
from vae_jax import datasets, evaluation, training

_MOST_NAMED = 12  # latent dimensions


def model_examples(run: Run, how: Evaluation, split: str) -> datasets.Examples:
    """Return a split as the model sees it; dynamic bits are drawn once, by the evaluation's key."""
    examples = getattr(run.dataset, split)
    key = jax.random.fold_in(how.keys.binarization, run.dataset._fields.index(split))
    return jax.device_get(datasets.to_model_examples(run.dataset, key, examples))


def model_test_examples(
    run: Run, how: Evaluation, examples: datasets.Examples
) -> datasets.Examples:
    """Return stored examples as the model sees them, in the place of the test set.

    The test examples thus give the numbers of summary.json.
    """
    own = run._replace(dataset=run.dataset._replace(test=examples))
    return model_examples(own, how, "test")


def living_members(run: Run, state: training.TrainState) -> Iterator[tuple[Member, Any]]:
    """Yield each member that did not fail, with the parameters of its model."""
    for i in np.flatnonzero(~has_failed(state)).tolist():
        yield run.members[i], training.select_member(state, i).evaluation_params["vae"]


def make_run_measure(run: Run, how: Evaluation, num_samples: int) -> Callable:
    """Make the function that measures a batch of examples of a run: see `make_measure`."""
    return evaluation.make_measure(run.vae, how.keys, num_samples, how.chunk_size)


def measure_baseline(run: Run, test: datasets.Examples, batch_size: int) -> np.ndarray | None:
    """Return log p(x) of each test example by the best model without latents, in nats.

    None where a likelihood of the run's own has no `marginal`.
    """
    train = datasets.expected_examples(run.dataset, some_examples(run.dataset.train))
    return evaluation.baseline_log_probs(run.vae, train, test, batch_size)


def measure_members(
    run: Run,
    state: training.TrainState,
    measure: Callable,
    examples: datasets.Examples,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[dict[str, np.ndarray]]:
    """Return what `measure` says of every example, one dictionary per member.

    Where the members are divided among devices, each device measures one at a time.
    """
    devices = run.placement.local_devices or [None]

    def measure_each(params, *batch):
        return [measure(each, *batch) for each in params]

    measured, members = [], range(len(run.members))
    for first in members[:: len(devices)]:
        params = [
            jax.device_put(training.select_member(state, member).evaluation_params["vae"], device)
            for member, device in zip(members[first:], devices, strict=False)
        ]
        measured += evaluation.map_examples(measure_each, params, examples, batch_size, progress)
    return measured


def make_validation(run: Run, how: Evaluation) -> Callable:
    """Make validate(state) -> mean ELBO, KL and reconstruction of the validation examples.

    One sample of z per example, with the same noise each time. And the accuracy of the objective's
    classifier, where it trains one.
    """
    measure, accuracies = make_run_measure(run, how, num_samples=1), make_accuracies(run)
    examples = functools.cache(lambda: model_examples(run, how, "validation"))  # not at the start
    is_told = False

    def validate(state):
        nonlocal is_told
        measured = measure_members(run, state, measure, examples(), how.batch_size)
        if not is_told and 2 * int(state.step) >= run.num_steps:
            collapse = describe_collapse(run, has_failed(state), measured)
            is_told = bool(collapse)
            if collapse:
                console.say(collapse)
        numbers = evaluation.mean_bounds(measured)
        numbers |= accuracies(state, examples(), how.batch_size)
        return evaluation.leave_out(has_failed(state), numbers)

    return validate


def describe_collapse(run: Run, failed: np.ndarray, measured: list[dict[str, np.ndarray]]) -> str:
    """Return one line that names the latent dimensions that are dead, or "" where none is.

    Args:
      run: the run.
      failed: whether each member has failed.
      measured: what `measure_members` returned.
    """
    active = [evaluation.is_active(each["posterior_mean"], run.vae.latents) for each in measured]
    dead = {
        name: np.flatnonzero(~each).tolist()
        for name, each, has_failed in zip(run.member_names, active, failed, strict=True)
        if not has_failed and not each.all()
    }
    if not dead:
        return ""
    name, places = max(dead.items(), key=lambda item: len(item[1]))
    listed = ", ".join(map(str, places[:_MOST_NAMED]))
    listed += ", ..." if len(places) > _MOST_NAMED else ""
    of = f" of {name} ({len(dead)} of {len(active)} members have some)" * (len(active) > 1)
    return (
        f"note: {len(places)} of {len(active[0])} latent dimensions{of} are dead, that is, tell "
        f"nothing of x: {listed}; a smaller beta, its warm-up or objective.name=free_bits keep more"
    )


def make_accuracies(run: Run) -> Callable[..., dict[str, list[float]]]:
    """Make accuracies(state, examples, batch_size) -> {"accuracy": one of q(y|x) per member}.

    It returns {} where the objective trains no classifier.
    """
    if run.objective.classify is None:
        return lambda state, examples, batch_size: {}
    accuracy = evaluation.make_accuracy(run.objective.classify, run.vae)

    def accuracies(state, examples, batch_size):
        params = [
            training.select_member(state, member).evaluation_params["objective"]
            for member in range(len(run.members))
        ]
        return {"accuracy": [accuracy(each, examples, batch_size) for each in params]}

    return accuracies


def has_failed(state: training.TrainState) -> np.ndarray:
    """Tell for each member whether it failed: its numbers are then of an unfinished run."""
    return jax.device_get(state.failure.step) >= 0
