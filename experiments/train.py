"""Train a VAE: python -m experiments.train --config=configs/beta.py [--workdir=DIR]

Any field of the config is set as --config.block.field=value. A workdir that holds a checkpoint is
resumed; --extend lets a larger training.num_epochs go on from the end of a run.
"""

import contextlib
from pathlib import Path
import time
from typing import Any, NamedTuple

from absl import flags
import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_flags

from experiments import stop_at_once
from experiments.evaluate import measure_and_report
from experiments.support import cli, console, header, processes, run_folder, tensorboard
from experiments.support.assembly import Evaluation, Run, build_evaluation, build_run
from experiments.support.feeding import check_streaming, feeding
from experiments.support.measurement import make_validation
from experiments.support.memory import check_evaluation_memory, check_training_memory
from experiments.support.options import resolve
from experiments.support.plots import draw_curves, figure_folders
from experiments.support.progress import (
    check_members,
    chunks,
    is_due,
    is_exhausted,
    keep_best,
    log,
    resume,
    warn_of_scale,
)
from vae_jax import checkpoints, datasets, training

# Fields that TensorBoard's table of runs does without: what, where and how it is computed.
_NOT_SHOWN = (
    *("compilation_cache", "data.", "debug_nans", "device", "distributed.", "evaluation."),
    *("num_seeds", "sweep", "training.log_", "training.eval_", "training.checkpoint_"),
    *("training.profile_",),
)


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: Path, extend: bool) -> None:
    """Train what the config says, resuming what `workdir` holds, then measure and draw it."""
    started = time.monotonic()
    run_folder.check_places(workdir)
    config = run_folder.keep_warmup(workdir, config)
    run, how_measured = build_run(config), build_evaluation(config)
    run_folder.check_figures(workdir / "figures", figure_folders(run))
    run_folder.check_config(workdir, run.config.to_dict(), extend)
    fingerprint = datasets.fingerprint(run.dataset)
    run_folder.check_data(workdir, fingerprint)
    check_streaming(run)
    check_training_memory(run)
    check_evaluation_memory(run, how_measured, datasets.num_examples(run.dataset.test))
    with run_folder.lock(workdir):
        with console.say_if_slow(f"compiling the initial state of {len(run.members):,} members"):
            state = run.init(run.dataset.train)
        write_and_print_header(run, state, workdir, fingerprint)
        clock = Clock(started, run_folder.read_seconds(workdir))
        state = train(state, run, how_measured, workdir, clock)
        curves = run_folder.read_curves(workdir / "metrics.jsonl")
        draw_curves(workdir / "figures", curves, run)
        seconds = {} if clock.before is None else {"training_seconds": clock.read()}
        rows = measure_and_report(run, how_measured, state, workdir, "summary.json", seconds)
        tensorboard.append_pictures(workdir, int(state.step))
        tensorboard.write_hparams(workdir, sessions(run, rows), int(state.step))
        end = "npz" if run.dataset.columns is None else "csv"
        console.say_written(
            [workdir / name for name in ("summary.json", "results.csv", "figures/")],
            then=f"python -m experiments.encode --workdir={workdir} --input=x.{end} "
            f"--output=z.{end}",
        )


class Clock(NamedTuple):
    """How long a run trains, over all processes that went on with it."""

    started: float
    """When this process began."""
    before: float | None
    """Seconds before that; None: unknown."""

    def read(self) -> float | None:
        """Return the seconds until now."""
        return None if self.before is None else self.before + time.monotonic() - self.started


def train(
    state: training.TrainState, run: Run, how_measured: Evaluation, workdir: Path, clock: Clock
) -> training.TrainState:
    """Train from the newest checkpoint, or `state`, to the end; return the state to be measured."""
    settings = run.config.training
    state, best, elbos = resume(state, run, workdir)
    first = int(state.step)
    validate = make_validation(run, how_measured)
    is_over = first == run.num_steps or is_exhausted(elbos, settings.patience)
    spans = [] if is_over else list(chunks(first, run))
    interrupted = False
    if settings.profile_steps and not is_over:
        profile(run, state, first + settings.profile_steps, workdir / "profile")
    with (
        feeding(run, state, spans) as feeds,
        checkpoints.open_checkpoints(workdir / "checkpoints") as saved,
        console.progress_bar(run.num_steps, first, settings.batch_size) as show,
        cli.deferred_stop() as stop_requested,
    ):
        state = run.placement.put(state)
        for start, stop, source, waiting in feeds:
            state, metrics = run.train_steps(state, source, stop)
            metrics = jax.device_get(metrics)
            log(workdir, stop, "train", metrics | waiting, run)
            whole = run.placement.collect(state)
            check_members(run, whole, sorted(metrics), start)
            if start == 0:
                warn_of_scale(run, metrics)
            if is_due(stop, run, settings.eval_every_epochs):
                bounds = validate(whole)
                log(workdir, stop, "validation", bounds, run)
                elbos.append(bounds["elbo"])
                if settings.patience:
                    best = keep_best(workdir / "best", best, whole, elbos)
            is_over = stop == run.num_steps or is_exhausted(elbos, settings.patience)
            interrupted = processes.any_says(stop_requested())
            if is_over or interrupted or is_due(stop, run, settings.checkpoint_every_epochs):
                checkpoints.save(saved, stop, whole)
                run_folder.write_seconds(workdir, clock.read())
            show(stop, console.progress_text(metrics | waiting))
            if is_over or interrupted:
                break
    if interrupted and not is_over:
        step = int(state.step)
        cli.stop(f"stopped at step {step}; the same command with --workdir={workdir} goes on")
    return best if settings.patience else run.placement.collect(state)


def profile(run: Run, state: training.TrainState, stop: int, folder: Path) -> None:
    """Trace the steps up to `stop` for the profiler, of a copy: the run itself is unchanged."""
    with feeding(run, state, [(int(state.step), stop)]) as feeds:
        source = next(feeds).source
    for trace in (contextlib.nullcontext(), jax.profiler.trace(folder)):  # the first one compiles
        with trace:
            copied = run.placement.put(jax.tree.map(jnp.copy, state))
            jax.block_until_ready(run.train_steps(copied, source, stop))
    console.say(f"{folder}: a trace of {stop - int(state.step)} steps")


def sessions(
    run: Run, rows: list[dict[str, Any]]
) -> dict[str, tuple[dict[str, Any], dict[str, float]]]:
    """Return {member: (its fields of the config, its numbers)} of the rows of results.csv."""
    config = run_folder.flatten(run.config.to_dict())
    shown = {name: value for name, value in config.items() if not name.startswith(_NOT_SHOWN)}
    return {
        member.file_name: (
            shown | member.point | {"seed": member.seed},
            {name: row[name] for name in row.keys() - {"member", "seed", *member.point}},
        )
        for member, row in zip(run.members, rows, strict=True)
    }


def write_and_print_header(
    run: Run, state: training.TrainState, workdir: Path, fingerprint: str
) -> None:
    """Write config.json and print what is about to run."""
    run_folder.write_config(
        workdir,
        run.config.to_dict(),
        console.device_line(),
        run.dataset,
        fingerprint,
        run.member_names,
    )
    console.print_header(header.describe_run(run, state, workdir))
    for note in header.warnings_of(run):
        console.say(note)


def main() -> None:
    """Parse what the command line says and run it."""
    flag = flags.FLAGS["config"]
    name = Path(config_flags.get_config_filename(flag)).stem
    default = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    workdir = Path(flags.FLAGS.workdir or default)
    stop_at_once(f"stopped; the same command with --workdir={workdir} goes on")
    with cli.user_errors():
        config, notes = resolve(flags.FLAGS.config, config_flags.get_override_values(flag))
        processes.connect(**config.distributed)
        cli.choose_device(config.device)
        cli.keep_compiled(config.compilation_cache)
        cli.set_matmul_precision(config.matmul_precision)
        with processes.only_first_writes(workdir) as folder:
            for note in notes:
                console.say(note)
            train_and_evaluate(config, folder, flags.FLAGS.extend)


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "what to train, e.g. configs/beta.py")
    flags.DEFINE_string("workdir", None, "folder of the run (default: a new one in runs/)")
    flags.DEFINE_boolean("extend", False, "let a larger training.num_epochs lengthen a run")
    cli.run_program(main, required=("config",))
