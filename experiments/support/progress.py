"""Where a run stands: resuming it, what is due when, its best evaluations, members that failed."""

from collections.abc import Iterator
import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support import console, processes, run_folder, tensorboard
from experiments.support.assembly import Run
from vae_jax import checkpoints, evaluation, training

# Per value: a Gaussian 4.5 standard deviations off, far from what training begins at.
_MOST_NATS = 10


class Progress(NamedTuple):
    """A run at some step, as its checkpoints hold it."""

    state: training.TrainState
    """All members, on the first device of this process."""
    best: training.TrainState | None
    """Each member at its best validation ELBO; None without early stopping, or before the first."""
    elbos: list[np.ndarray]
    """Validation ELBOs (members,) of all evaluations so far."""


def resume(state: training.TrainState, run: Run, workdir: Path) -> Progress:
    """Return where the run in `workdir` stands, the same in all processes; `state` if it is new.

    Metrics written after the newest checkpoint are cut off: the run is going to write them again.

    Raises:
      ValueError: there are checkpoints, but none is whole.
    """
    patience = run.config.training.patience
    restored = restore(workdir / "checkpoints", state)
    if restored is None and run_folder.read_metrics(workdir / "metrics.jsonl"):
        console.say(f"{workdir / 'checkpoints'} holds no checkpoint: training starts at step 0")
    state = restored or state
    tell_lost_metrics(workdir / "metrics.jsonl", run, int(state.step))
    tensorboard.start(workdir, run.member_names)
    curves = run_folder.read_curves(workdir / "metrics.jsonl")
    elbos = list(curves.get("validation", {}).get("elbo", []))
    best = restore_best(workdir / "best", state, run) if patience else None
    best, state, elbos = processes.agree_on_restored(best, state, elbos)
    return Progress(state, best, elbos)


def restore(folder: Path, state: training.TrainState) -> training.TrainState | None:
    """Return the newest whole checkpoint of `folder`, or None where there are none.

    Raises:
      ValueError: there are checkpoints, but none is whole.
    """
    restored, damaged = checkpoints.restore_newest(folder, state)
    if damaged and restored is None:
        raise ValueError(
            f"no checkpoint left in {folder}: those of steps {damaged} are damaged; bring them "
            "back from a copy, or train in another folder"
        )
    if damaged:
        console.say(f"{folder}: {damaged} damaged, going on from step {int(restored.step)}")
        checkpoints.discard(folder, damaged)
    return restored


def restore_best(folder: Path, state: training.TrainState, run: Run) -> training.TrainState | None:
    """Return the checkpoint in `folder`; where it is lost, the members as they are in `state`.

    None before the first evaluation.
    """
    best, damaged = checkpoints.restore_newest(folder, state)
    checkpoints.discard(folder, damaged)
    step = int(state.step)
    first = run.config.training.eval_every_epochs * run.steps_per_epoch
    if best is not None or step < min(first, run.num_steps):
        return best
    console.say(
        f"{folder} holds no checkpoint that is whole: the members as of step {step} stand for "
        "their best from here on"
    )
    save_best(folder, step, state)
    return state


def due_metrics(run: Run, step: int) -> set[tuple[int, str]]:
    """Return (step, split) of the lines of metrics.jsonl that a run has written by `step`."""
    stops = itertools.takewhile(lambda stop: stop <= step, (stop for _, stop in chunks(0, run)))
    every = run.config.training.eval_every_epochs
    return {
        (stop, split)
        for stop in stops
        for split in ("train", "validation")
        if split == "train" or is_due(stop, run, every)
    }


def tell_lost_metrics(metrics: Path, run: Run, step: int) -> None:
    """Cut off what stands behind `step`, and say which lines before it are damaged or missing."""
    due = due_metrics(run, step)
    lost = sorted(due - run_folder.cut_metrics(metrics, step))
    if not lost:
        return
    line = f"{metrics}: {len(lost)} of {len(due)} lines up to step {step} are damaged or missing, "
    line += f"the first is {lost[0][1]} at step {lost[0][0]}; curves are drawn without them"
    if run.config.training.patience and any(split == "validation" for _, split in lost):
        line += (
            "; early stopping goes by the evaluations that are left: it may stop later, and keep a "
            "state as the best that is worse than one whose line is lost"
        )
    console.say(line)


def chunks(step: int, run: Run) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the steps between two moments at which something is due.

    They depend on the step alone, so that a resumed run computes the same chunks.
    """
    settings = run.config.training
    periods = (
        settings.log_every_steps,
        settings.eval_every_epochs * run.steps_per_epoch,
        settings.checkpoint_every_epochs * run.steps_per_epoch,
    )
    while step < run.num_steps:
        stop = min(run.num_steps, *((step // period + 1) * period for period in periods))
        yield step, stop
        step = stop


def is_due(step: int, run: Run, every_epochs: int) -> bool:
    """Tell whether `step` ends a period of so many epochs, or the run."""
    return step % (every_epochs * run.steps_per_epoch) == 0 or step == run.num_steps


def is_exhausted(elbos: list[np.ndarray], patience: int) -> bool:
    """Tell whether no member had a better validation ELBO in the last `patience` evaluations."""
    if not patience or not elbos:
        return False
    return bool((evaluation.best_evaluations(np.stack(elbos))[1] >= patience).all())


def keep_best(
    folder: Path,
    best: training.TrainState | None,
    state: training.TrainState,
    elbos: list[np.ndarray],
) -> training.TrainState:
    """Return `best` with those members replaced whose newest validation ELBO is their best.

    Args:
      folder: where it is saved.
      best: None before the first evaluation.
      state: the members as they are now.
      elbos: of all evaluations, shape (members,) each.
    """
    waited = evaluation.best_evaluations(np.stack(elbos))[1]
    if waited.all():
        return best
    best = training.merge_members(waited == 0, state, state if best is None else best)
    save_best(folder, int(state.step), best)
    return best


def save_best(folder: Path, step: int, best: training.TrainState) -> None:
    """Save the members at their best as the only checkpoint of `folder`."""
    with checkpoints.open_checkpoints(folder, keep=1) as saved:
        checkpoints.save(saved, step, best)


def log(workdir: Path, step: int, split: str, metrics: dict[str, Any], run: Run) -> None:
    """Append metrics of all members to metrics.jsonl and to what TensorBoard reads."""
    described = {name: run_folder.describe(each, run.points) for name, each in metrics.items()}
    line = {"step": step, "split": split} | described
    run_folder.append_metrics(workdir / "metrics.jsonl", line)
    tensorboard.append_metrics(workdir, line, run.member_names)


def check_members(run: Run, state: training.TrainState, metrics: list[str], start: int) -> None:
    """Say which members failed since step `start`.

    Args:
      run: the run.
      state: after the chunk of steps.
      metrics: their sorted names, which a failure's index refers to.
      start: first step of the chunk.

    Raises:
      FloatingPointError: none is left.
    """
    failed = jax.device_get(state.failure)
    lines = []
    for member, step, term in zip(run.members, failed.step, failed.term, strict=True):
        if step >= start:
            what = [*metrics, "a parameter"][term]
            lines.append(f"{member.name}: {what} became NaN or infinite at step {step}")
    if (failed.step >= 0).all():
        remedy = "lower optimizer.learning_rate or set optimizer.clip_norm; the checkpoints before"
        remedy += " it stand"
        if not failed.step.any() and (failed.term < len(metrics)).all():
            remedy = "at the initial parameters: it is not the learning rate, but the options of "
            remedy += "config.objective and config.vae, or the scale of the data"
        raise FloatingPointError(f"{'; '.join(lines)}: {remedy}")
    for line in lines:
        console.say(f"{line}; it is frozen as at step {start}, the others go on")


def warn_of_scale(run: Run, metrics: dict[str, Any]) -> None:
    """Say that the data are far from the likelihood's scale, where the first steps show it.

    Args:
      run: the run.
      metrics: means over the first steps, of all members.
    """
    num_values = sum(math.prod(values.shape) for values in run.dataset.fields.values())
    per_value = np.nanmin(metrics["reconstruction"]) / num_values
    if per_value < -_MOST_NATS:
        console.say(
            f"warning: E log p(x|z) of the first steps is {per_value:.3g} nats per value of x: the "
            "data are far from the scale of the likelihood; divide them by their standard "
            "deviation (or data.maximum), or use a larger vae.likelihood_scale or "
            "vae.likelihood=gaussian_learned_scale"
        )
