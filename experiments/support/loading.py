"""Trained runs: building a folder's run again, with the parameters of its newest checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from experiments.support import console, run_folder
from experiments.support.assembly import Evaluation, Run, build_evaluation, build_run
from experiments.support.options import with_rows
from vae_jax import datasets, training
from vae_jax.model_file import newest_state


def load_run(
    workdir: str | Path, with_data: bool = True, given: Mapping[str, Any] | None = None
) -> tuple[Run, Evaluation, training.TrainState]:
    """Build the run of a folder again and restore its newest checkpoint.

    Args:
      workdir: the folder.
      with_data: whether the data set is loaded; if not, run.dataset is its outline, whose arrays
        have shapes but no values.
      given: the config that defines the run's rows of its own, where it has some.

    Raises:
      ValueError: the folder holds no run, or one without a checkpoint, or its data have changed.
    """
    workdir = Path(workdir)
    config = with_rows(run_folder.read_config(workdir), given)
    if with_data:
        run = build_run(config)
        run_folder.check_data(workdir, datasets.fingerprint(run.dataset))
    else:
        run = build_run(config, run_folder.read_outline(workdir))
    state_like = jax.eval_shape(run.init, run.dataset.train)
    state, notes = newest_state(workdir, config.training.patience, state_like)
    for note in notes:
        console.say(note)
    return run, build_evaluation(config), state


def load_member(
    workdir: str | Path,
    member: int = 0,
    with_data: bool = False,
    given: Mapping[str, Any] | None = None,
) -> tuple[Run, Evaluation, Any]:
    """Return a trained run, how it is measured, and the parameters of one of its members.

    The model is run.vae: functions of these parameters and of one example, such as
    `run.vae.encode(params, x).mean`. The data that it was trained on are not read, unless
    `with_data` asks for them; `given` is the config that defines rows of the run's own.

    Raises:
      ValueError: the folder holds no trained run, or this member is none of it or failed.
    """
    run, how_measured, params = load_member_params(workdir, member, with_data, given)
    return run, how_measured, params["vae"]


def load_member_params(
    workdir: str | Path,
    member: int = 0,
    with_data: bool = False,
    given: Mapping[str, Any] | None = None,
) -> tuple[Run, Evaluation, Any]:
    """Return what `load_member` does, with the parameters {"vae": ..., "objective": ...}.

    The latter are those of `run.objective`, such as of the classifier q(y|x) of semi_supervised:
    `run.objective.classify(run.vae, params["objective"], x)` is log q(y|x) of each class.

    Raises:
      ValueError: what `load_member` raises.
    """
    run, how_measured, state = load_run(workdir, with_data, given)
    if not 0 <= member < len(run.members):
        known = ", ".join(f"{i} ({each.name})" for i, each in enumerate(run.members))
        raise ValueError(f"--member={member} is none of {workdir}, whose members are {known}")
    selected = training.select_member(state, member)
    if selected.failure.step >= 0:
        raise ValueError(f"--member={member} of {workdir} failed at step {selected.failure.step}")
    return run, how_measured, selected.evaluation_params
