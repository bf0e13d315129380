"""Measure a trained run: python -m experiments.evaluate --workdir=DIR [--num_samples=5000]"""

from pathlib import Path
import time
from typing import Any

from absl import flags
import jax
import ml_collections

from experiments.support import cli, console, measurement, plots, run_folder
from experiments.support.assembly import Evaluation, Run, build_evaluation, build_run
from vae_jax import checkpoints, datasets, training


def measure_and_report(
    run: Run, how: Evaluation, state: training.TrainState, workdir: Path, file: str, more: dict
) -> dict[str, Any]:
    """Measure every test example, print the table, write it to `file` and draw the pictures."""
    started = time.monotonic()
    test = measurement.model_examples(run, how, "test")
    measure = measurement.make_measure(run.vae, how, how.num_samples)
    track = console.track(
        f"test examples, {how.num_samples} importance samples each", how.batch_size
    )
    measured = measurement.measure_members(run, state, measure, test, how.batch_size, track)
    summary = measurement.leave_out_failed(measurement.summarize(run, measured), state)
    numbers = {name: run_folder.describe(each, run.points) for name, each in summary.items()}
    numbers |= more | {"evaluation_seconds": time.monotonic() - started}
    context = {
        "protocol": run.dataset.protocol,
        "step": int(state.step),
        "test_examples": datasets.num_examples(test),
        "importance_samples": how.num_samples,
        "members": run.member_names,
    }
    run_folder.write_json(workdir / file, context | numbers)
    title = context["protocol"]
    for i, member in enumerate(run.members):
        if state.failure.step[i] >= 0:
            continue
        params = training.select_member(state, i).evaluation_params["vae"]
        folder, means = workdir / "figures", measured[i]["posterior_mean"]
        if len(run.members) > 1:
            folder = folder / member.file_name
        caption = f"{title}, {member.name}"
        plots.draw_model(folder, run, params, how.key, test, means, caption)
    console.print_summary(title, numbers, context["members"])
    return numbers


def load_run(workdir: str | Path) -> tuple[Run, Evaluation, training.TrainState]:
    """Build the run of a folder again and restore its newest checkpoint.

    Raises:
      ValueError: the folder holds no run, or one without a checkpoint.
    """
    workdir = Path(workdir)
    config = ml_collections.ConfigDict(
        # JSON knows no tuples, which is what sizes are.
        jax.tree.map(
            lambda value: tuple(value) if isinstance(value, list) else value,
            run_folder.read_config(workdir),
            is_leaf=lambda value: isinstance(value, list),
        )
    )
    run = build_run(config)
    folder = workdir / ("best" if config.training.patience else "checkpoints")
    state, damaged = checkpoints.restore_newest(folder, jax.eval_shape(run.init))
    if damaged:
        console.say(f"{folder}: {damaged} damaged")
    if state is None:
        raise ValueError(f"--workdir={workdir} holds no checkpoint that is whole")
    return run, build_evaluation(config), state


def load_member(workdir: str | Path, member: int = 0) -> tuple[Run, Evaluation, Any]:
    """Return a trained run, how it is measured, and the parameters of one of its members.

    The model is run.vae: functions of these parameters and of one example, such as
    `run.vae.encode(params, x).mean`.

    Raises:
      ValueError: the folder holds no trained run, or this member is none of it or failed.
    """
    run, how, state = load_run(workdir)
    if not 0 <= member < len(run.members):
        known = ", ".join(f"{i} ({each.name})" for i, each in enumerate(run.members))
        raise ValueError(f"--member={member} is none of {workdir}, whose members are {known}")
    selected = training.select_member(state, member)
    if selected.failure.step >= 0:
        raise ValueError(f"--member={member} of {workdir} failed at step {selected.failure.step}")
    return run, how, selected.evaluation_params["vae"]


def main() -> None:
    """Parse what the command line says and measure that run."""
    with cli.user_errors():
        cli.use_machine_flags()
        workdir = Path(flags.FLAGS.workdir)
        run, how, state = load_run(workdir)
        if flags.FLAGS.num_samples is not None:
            how = how._replace(num_samples=flags.FLAGS.num_samples)
        measure_and_report(run, how, state, workdir, "evaluation.json", {})


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_integer("num_samples", None, "importance samples an example", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir",))
