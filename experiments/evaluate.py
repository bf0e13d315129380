"""Measure a trained run: python -m experiments.evaluate --workdir=DIR [--num_samples=5000]

With --report=NAME it answers one question in depth: likelihood (how sure is -log p(x), how tight is
the bound), latents (what each dimension carries, and which are dead) or disentanglement (scores
against the factors of the data). It then writes NAME.json and pictures, and prints a table.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
import time
from typing import Any, NamedTuple

from absl import flags

from experiments.support import cli, console, measurement, plots, run_folder
from experiments.support.assembly import Evaluation, Run
from experiments.support.loading import load_run
from experiments.support.memory import check_evaluation_memory
from experiments.support.reports import disentanglement, latents, likelihood, likelihood_table
from vae_jax import datasets, evaluation, training
from vae_jax.lookup import check_options, look_up

_FEWEST_DRAWN = 3  # test examples: two axes of the latent means, and a nearest neighbour


def measure_and_report(
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    workdir: Path,
    file: str,
    more: dict[str, float],
) -> list[dict[str, Any]]:
    """Measure every test example, print the table, write it to `file` and, with a row per member,
    to results.csv or evaluation.csv, and draw the pictures; return the rows."""
    started = time.monotonic()
    num_samples, batch_size = how_measured.num_samples, how_measured.batch_size
    test = measurement.model_examples(run, how_measured, "test")
    measure = measurement.make_run_measure(run, how_measured, num_samples)
    track = console.track(f"test examples, {num_samples} importance samples each", batch_size)
    measured = measurement.measure_members(run, state, measure, test, batch_size, track)
    baseline = measurement.measure_baseline(run, test, batch_size)
    summary = evaluation.summarize(measured, run.bits_dimensions, run.vae.latents, baseline)
    summary |= measurement.make_accuracies(run)(state, test, batch_size)
    summary = evaluation.leave_out(measurement.has_failed(state), summary)
    numbers = {name: run_folder.describe(each, run.points) for name, each in summary.items()}
    numbers |= more | {"evaluation_seconds": time.monotonic() - started}
    context = {
        "protocol": run.dataset.protocol,
        "step": int(state.step),
        "test_examples": datasets.num_examples(test),
        "importance_samples": num_samples,
        "members": run.member_names,
    }
    run_folder.write_json(workdir / file, context | numbers)
    rows = rows_of_members(run, summary)
    table = "results.csv" if file == "summary.json" else "evaluation.csv"
    run_folder.write_csv(workdir / table, rows)
    if context["test_examples"] < _FEWEST_DRAWN:
        console.say(f"no pictures: they need at least {_FEWEST_DRAWN} test examples")
    else:
        plots.draw_members(workdir / "figures", run, how_measured, state, test, measured)
    console.print_summary(context["protocol"], numbers, context["members"])
    for line in evaluation.describe_gains(summary, run.member_names, run.is_conditional):
        console.say(line)
    return rows


def rows_of_members(run: Run, summary: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return a row per member: its name, what the sweep sets, its seed and its numbers."""
    return [
        {"member": member.name, **member.point, "seed": member.seed}
        | {name: values[i] for name, values in summary.items()}
        for i, member in enumerate(run.members)
    ]


class Report(NamedTuple):
    """A report, whose keyword-only arguments are its options."""

    make: Callable[..., dict[str, Any]]
    show: Callable[[dict[str, Any]], None]


REPORTS = {
    "likelihood": Report(likelihood.report, likelihood_table.show),
    "latents": Report(latents.report, latents.show),
    "disentanglement": Report(disentanglement.report, disentanglement.show),
}
# {flag: what it sets}
OPTIONS = {
    "protocol": "examples and estimators of the metrics: quick, or full as in the papers",
    "leave_out": "factors that do not enter, with commas between",
}


def check_report(name: str, options: dict[str, Any]) -> None:
    """Refuse a report that there is not, and options that it does not take.

    Raises:
      ValueError: with the reports that are known, or that take the option.
    """
    look_up(REPORTS, name, "--report")
    check_options(options, [("report", name)], {"report": REPORTS})


def write_report(
    name: str,
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    workdir: Path,
    options: dict[str, Any],
) -> None:
    """Measure what a report says, write it to workdir/NAME.json and print its table."""
    started = time.monotonic()
    content = REPORTS[name].make(run, how_measured, state, workdir, **options)
    about = {"report": name, "versions": run_folder.versions(), "device": console.device_line()}
    seconds = {"report_seconds": round(time.monotonic() - started, 1)}
    run_folder.write_json(workdir / f"{name}.json", about | content | seconds)
    REPORTS[name].show(content)
    console.say_written([workdir / f"{name}.json", workdir / "figures"])


def main() -> None:
    """Parse what the command line says and measure that run."""
    with cli.user_errors():
        cli.use_machine_flags()
        workdir, report = Path(flags.FLAGS.workdir), flags.FLAGS.report
        options = {name: flags.FLAGS[name].value for name in OPTIONS}
        options = {name: value for name, value in options.items() if value is not None}
        if report:
            check_report(report, options)
        elif options:
            raise ValueError(f"--{next(iter(options))} is an option of --report")
        run_folder.check_places(workdir)
        run, how_measured, state = load_run(workdir, given=cli.given_config())
        run_folder.check_figures(workdir / "figures", plots.figure_folders(run))
        if flags.FLAGS.num_samples is not None:
            how_measured = how_measured._replace(num_samples=flags.FLAGS.num_samples)
        check_evaluation_memory(run, how_measured, datasets.num_examples(run.dataset.test))
        if report:
            write_report(report, run, how_measured, state, workdir, options)
        else:
            measure_and_report(run, how_measured, state, workdir, "evaluation.json", {})
            console.say_written(
                [workdir / name for name in ("evaluation.json", "evaluation.csv", "figures/")],
                then=f"python -m experiments.evaluate --workdir={workdir} --report=likelihood",
            )


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_integer("num_samples", None, "importance samples per example", lower_bound=1)
    flags.DEFINE_string("report", None, f"what to measure in depth: {', '.join(REPORTS)}")
    for option, meaning in OPTIONS.items():
        flags.DEFINE_string(option, None, f"of a report: {meaning}")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir",))
