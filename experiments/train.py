"""Train a VAE: python -m experiments.train --config=configs/beta.py [--workdir=DIR]

Any field of the config is set as --config.block.field=value. A workdir that holds a checkpoint is
resumed; --extend lets a larger training.num_epochs go on from the end of a run.
"""

import contextlib
from pathlib import Path
import time

from absl import flags
import jax
import jax.numpy as jnp
import ml_collections
from ml_collections import config_flags
import numpy as np

from experiments.evaluate import measure_and_report
from experiments.support import cli, console, processes, run_folder, tensorboard
from experiments.support.assembly import Evaluation, Run, build_evaluation, build_run
from experiments.support.measurement import make_validation
from experiments.support.plots import draw_curves
from vae_jax import checkpoints, datasets, evaluation, training


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: Path, extend: bool) -> None:
    """Train what the config says, resuming what `workdir` holds, then measure and draw it."""
    started = time.monotonic()
    run, how = build_run(config), build_evaluation(config)
    run_folder.check_config(workdir, config.to_dict(), extend)
    with run_folder.lock(workdir):
        state = run.init()
        write_and_print_header(workdir, config, run, state)
        state = train(state, run, how, workdir, config.training)
        curves = run_folder.read_curves(workdir / "metrics.jsonl")
        draw_curves(workdir / "figures", curves, run.dataset.protocol)
        seconds = time.monotonic() - started
        measure_and_report(run, how, state, workdir, "summary.json", {"training_seconds": seconds})
        tensorboard.append_pictures(workdir, int(state.step))


def train(
    state: training.TrainState,
    run: Run,
    how: Evaluation,
    workdir: Path,
    every: ml_collections.ConfigDict,
) -> training.TrainState:
    """Train from the newest checkpoint, or `state`, to the end; return the state to be measured."""
    metrics_path = workdir / "metrics.jsonl"
    validate = make_validation(run, how)
    best = restore(workdir / "best", state) if every.patience else None
    state = restore(workdir / "checkpoints", state) or state
    run_folder.cut_metrics(metrics_path, int(state.step))
    tensorboard.start(workdir, run.member_names)
    elbos = list(run_folder.read_curves(metrics_path).get("validation", {}).get("elbo", []))
    best, state, elbos = processes.agree_on_restored(best, state, elbos)
    step, state, stopping = int(state.step), run.placement.put(state), False
    source = jax.device_put(run.dataset.train, run.placement.copied)
    is_over = step == run.num_steps or is_exhausted(elbos, every.patience)
    if every.profile_steps and not is_over:
        profile(run, state, source, step + every.profile_steps, workdir / "profile")
    with (
        checkpoints.open_checkpoints(workdir / "checkpoints") as saved,
        console.progress_bar(run.num_steps, step, every.batch_size) as progress,
        cli.deferred_stop() as stop,
    ):
        while not is_over and not stopping:
            begun, step = step, next_boundary(step, run, every)
            state, metrics = run.train_steps(state, source, step)
            metrics = jax.device_get(metrics)
            log(metrics_path, step, "train", metrics, run)
            check_members(run, state, sorted(metrics), begun)
            stopping, whole = bool(processes.agree(stop())), run.placement.collect(state)
            if is_due(step, run, every.eval_every_epochs):
                bounds = validate(whole)
                log(metrics_path, step, "validation", bounds, run)
                elbos.append(np.array(bounds["elbo"]))
                best = keep_best(workdir / "best", best, whole, elbos) if every.patience else None
            is_over = step == run.num_steps or is_exhausted(elbos, every.patience)
            if is_over or stopping or is_due(step, run, every.checkpoint_every_epochs):
                checkpoints.save(saved, step, whole)
            progress(step, console.progress_text(metrics))
    if not is_over:
        cli.fail(f"stopped at step {step}; the same command with --workdir={workdir} goes on", 130)
    return best if every.patience else run.placement.collect(state)


def restore(folder: Path, state: training.TrainState) -> training.TrainState | None:
    """Return the newest whole checkpoint of `folder`, or None where there are none.

    Raises:
      ValueError: there are checkpoints, but none is whole.
    """
    restored, damaged = checkpoints.restore_newest(folder, state)
    if damaged and restored is None:
        raise ValueError(f"no checkpoint left in {folder}: those of steps {damaged} are damaged")
    if damaged:
        console.say(f"{folder}: {damaged} damaged, going on from step {int(restored.step)}")
        checkpoints.discard(folder, damaged)
    return restored


def profile(run: Run, state: training.TrainState, source, stop: int, folder: Path) -> None:
    """Trace the steps up to `stop` for the profiler, of a copy: the run itself is unchanged."""
    for trace in (contextlib.nullcontext(), jax.profiler.trace(folder)):  # the first one compiles
        with trace:
            copied = jax.tree.map(jnp.copy, state)
            jax.block_until_ready(run.train_steps(copied, source, stop))
    console.say(f"{folder}: a trace of {stop - int(state.step)} steps")


def check_members(run: Run, state: training.TrainState, terms: list[str], begun: int) -> None:
    """Say which members failed since step `begun`.

    Raises:
      FloatingPointError: none is left.
    """
    failed = jax.device_get(state.failure)
    lines = []
    for member, step, term in zip(run.members, failed.step, failed.term, strict=True):
        if step >= begun:
            what = [*terms, "a parameter"][term]
            lines.append(f"{member.name}: {what} became NaN or infinite at step {step}")
    if (failed.step >= 0).all():
        raise FloatingPointError(
            f"{'; '.join(lines)}: lower optimizer.learning_rate or set optimizer.clip_norm; the "
            "checkpoints before it stand"
        )
    for line in lines:
        console.say(f"{line}; it is frozen as at step {begun}, the others go on")


def log(path: Path, step: int, split: str, metrics, run: Run) -> None:
    """Append metrics of all members to metrics.jsonl and to what TensorBoard reads."""
    described = {name: run_folder.describe(each, run.points) for name, each in metrics.items()}
    line = {"step": step, "split": split} | described
    run_folder.append_metrics(path, line)
    tensorboard.append_metrics(path.parent, line, run.member_names)


def keep_best(folder: Path, best, state, elbos: list[np.ndarray]) -> training.TrainState:
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
    with checkpoints.open_checkpoints(folder, keep=1) as saved:
        checkpoints.save(saved, int(state.step), best)
    return best


def is_exhausted(elbos: list[np.ndarray], patience: int) -> bool:
    """Tell whether no member had a better validation ELBO in the last `patience` evaluations."""
    if not patience or not elbos:
        return False
    return bool((evaluation.best_evaluations(np.stack(elbos))[1] >= patience).all())


def next_boundary(step: int, run: Run, every: ml_collections.ConfigDict) -> int:
    """Return the next step at which something is due; it depends on the step alone, so that a
    resumed run computes the same chunks."""
    periods = (
        every.log_every_steps,
        every.eval_every_epochs * run.steps_per_epoch,
        every.checkpoint_every_epochs * run.steps_per_epoch,
    )
    return min(run.num_steps, *((step // period + 1) * period for period in periods))


def is_due(step: int, run: Run, every_epochs: int) -> bool:
    """Tell whether `step` ends a period of so many epochs, or the run."""
    return step % (every_epochs * run.steps_per_epoch) == 0 or step == run.num_steps


def write_and_print_header(workdir: Path, config, run: Run, state: training.TrainState) -> None:
    """Write config.json and print what is about to run."""
    data, objective = run.dataset, config.objective
    device = console.device_line()
    names = run.member_names
    run_folder.write_config(workdir, config.to_dict(), device, datasets.fingerprint(data), names)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // len(names)
    parts = (data.train, data.validation, data.test)
    sizes = ", ".join(f"{datasets.num_examples(part):,}" for part in parts)
    options = ", ".join(f"{name}={value}" for name, value in objective.items() if name != "name")
    if run.placement.num_devices > 1:
        device += f"; {run.placement.divided} divided among {run.placement.num_devices}"
    header = {
        "device": device,
        "data": f"{data.protocol}; {sizes} train, validation, test examples of {data.shape}",
        "model": f"{describe_model(config.vae)}; {num_parameters:,} parameters",
        "objective": f"{objective.name} ({options})",
        "training": f"{config.training.num_epochs} epochs of {run.steps_per_epoch} steps, "
        f"{len(names)} member(s): {'; '.join(names)}",
        "workdir": str(workdir),
    }
    console.print_header(header)
    for field, num_steps in (
        ("objective.beta_warmup_steps", objective.get("beta_warmup_steps", 0)),
        ("optimizer.boundaries", max(config.optimizer.boundaries, default=0)),
    ):
        if num_steps >= run.num_steps:
            console.say(f"note: {field} ({num_steps}) outlasts the run of {run.num_steps} steps")


def describe_model(vae: ml_collections.ConfigDict) -> str:
    """Return the model in a line: its networks, q(z|x), p(z) and p(x|z)."""
    text = (
        f"{vae.network} {tuple(vae.hidden)} {vae.activation}, {vae.latent_dim} latents: q(z|x) "
        f"{vae.posterior}, p(z) {vae.prior}, p(x|z) {vae.likelihood}"
    )
    if vae.likelihood == "gaussian":
        # E_q (x - mean)^2 + beta KL has its minimum where the ELBO of this sigma has its maximum.
        beta = 2 * vae.likelihood_scale**2
        text += f" (sigma {vae.likelihood_scale:g}: the squared error with beta = {beta:g})"
    return text + (", given y" if vae.conditional else "")


def main() -> None:
    """Parse what the command line says and run it."""
    config = flags.FLAGS.config
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    default = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with cli.user_errors():
        processes.connect(**config.distributed)
        cli.choose_device(config.device)
        cli.keep_compiled(config.compilation_cache)
        cli.set_matmul_precision(config.matmul_precision)
        with processes.only_first_writes(Path(flags.FLAGS.workdir or default)) as workdir:
            train_and_evaluate(config, workdir, flags.FLAGS.extend)


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "what to train, e.g. configs/beta.py")
    flags.DEFINE_string("workdir", None, "folder of the run (default: a new one in runs/)")
    flags.DEFINE_boolean("extend", False, "let a larger training.num_epochs lengthen a run")
    cli.run_program(main, required=("config",))
