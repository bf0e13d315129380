"""Put runs side by side: python -m experiments.compare RUN RUN ... [--output=FOLDER]

Prints a table with a row per run (of a sweep, per point) and the fields of the configs that differ,
and writes comparison.csv, with the numbers of all reports, and comparison.png, with the curves.
"""

from collections.abc import Mapping, Sequence
import json
import math
from pathlib import Path
from typing import Any

from absl import flags
import numpy as np
from rich.markup import escape
from rich.table import Table

from experiments.evaluate import REPORTS
from experiments.support import cli, console, run_folder
from vae_jax import figures

# Fields that say where or how long something is computed, not what.
_SILENT = ("compilation_cache", "distributed.", "device", "sweep", "training.log_every_steps")


def read_run(workdir: Path) -> list[dict[str, Any]]:
    """Return one row per point of the sweep of a finished run: its name, config and numbers.

    Numbers are {name: (mean over seeds, standard error over seeds or None)}.

    Raises:
      ValueError: no run, or one that is not finished.
    """
    content = run_folder.read_content(workdir)
    file = workdir / "summary.json"
    if not file.exists():
        raise ValueError(f"{workdir} has no summary.json: train it to its end, with this --workdir")
    summary = json.loads(file.read_text())
    points = list(summary["elbo"]["points"]) if isinstance(summary["elbo"], dict) else [""]
    config = run_folder.flatten(content["config"])
    reports = {
        n: json.loads(p.read_text()) for n in REPORTS if (p := workdir / f"{n}.json").exists()
    }
    rows = []
    for point in points:
        numbers = {name: number_of(value, point) for name, value in summary.items()}
        for name, report in reports.items():
            found = report.get("scores") or report.get("numbers") or {}
            numbers |= {f"{name}.{each}": number_of(value, point) for each, value in found.items()}
        rows.append(
            {
                "run": str(workdir),
                "point": point,
                "protocol": f"{summary['protocol']}; K = {summary['importance_samples']:,}",
                "config": config | point_of(point),
                "numbers": {name: each for name, each in numbers.items() if each},
            }
        )
    return rows


def point_of(point: str) -> dict[str, str]:
    """Return {field: value} that the name of a sweep's point states."""
    return dict(part.split("=", 1) for part in point.split(", ") if "=" in part)


def number_of(value: Any, point: str) -> tuple[float, float | None] | None:
    """Return (mean, standard error over seeds) of what a summary or report holds, else None."""
    if isinstance(value, Mapping):
        found = value.get("points", value)
        found = found.get(point, found if "mean" in found else None)
        if not isinstance(found, Mapping) or found.get("mean") is None:
            return None
        return found["mean"], found.get("standard_error")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, None) if is_number else None


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fields in which the configs of the rows differ."""
    names = dict.fromkeys(name for row in rows for name in row["config"])
    return [
        name
        for name in names
        if not name.startswith(_SILENT) and len({repr(row["config"].get(name)) for row in rows}) > 1
    ]


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table, and a line where the rows are not comparable."""
    fields = differing(rows)
    table = Table(title="test set, nats; +- standard error over seeds", title_justify="left")
    for name in ("run", *fields):
        table.add_column(escape(name), overflow="fold")
    columns = {
        name: column
        for name, column in console.COLUMNS.items()
        if any(name in row["numbers"] for row in rows)
    }
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    for row in rows:
        cells = [cell(row["numbers"].get(name), form) for name, (_, form) in columns.items()]
        told = [str(row["config"].get(name, "-")) for name in fields]
        table.add_row(*(escape(each) for each in (row["run"], *told, *cells)))
    console.console.print(table)
    protocols = dict.fromkeys(row["protocol"] for row in rows)
    if len(protocols) > 1:
        console.say(f"not comparable: the protocols differ: {'; '.join(map(repr, protocols))}")


def cell(number: tuple[float, float | None] | None, form: str) -> str:
    """Return a number with its standard error."""
    if number is None:
        return "-"
    mean, error = number
    return f"{mean:{form}}" + ("" if error is None else f" +- {error:{form}}")


def lines_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return {column: value} of each row: all numbers, and the fields that differ."""
    names = list(dict.fromkeys(name for row in rows for name in row["numbers"]))
    fields = differing(rows)
    errors = {name for row in rows for name, each in row["numbers"].items() if each[1] is not None}
    lines = []
    for row in rows:
        line = {name: row[name] for name in ("run", "point", "protocol")}
        line |= {name: row["config"].get(name) for name in fields}
        for name in names:
            mean, error = row["numbers"].get(name, (None, None))
            line |= {name: mean}
            line |= {f"{name}_standard_error": error} if name in errors else {}
        lines.append(line)
    return lines


def join_curves(workdirs: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Return the curves of all runs, a line per member, and the run that each belongs to.

    The runs may be of different lengths: each line is NaN at steps that its run did not log.
    """
    curves = [run_folder.read_curves(each / "metrics.jsonl") for each in workdirs]
    joined, groups = {}, []
    for split in ("train", "validation"):
        own = [each[split] for each in curves if split in each]
        if len(own) < len(curves):
            continue
        steps = np.unique(np.concatenate([np.ravel(each["step"]) for each in own]))
        joined[split] = {"step": steps[:, None]}
        for name in ("elbo", "reconstruction", "kl"):
            lines = [at_steps(each[name], np.ravel(each["step"]), steps) for each in own]
            joined[split][name] = np.concatenate(lines, axis=1)
        groups = [
            str(path) for path, each in zip(workdirs, own, strict=True) for _ in each["elbo"].T
        ]
    return joined, groups


def at_steps(values: np.ndarray, own_steps: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return values at the steps, interpolated within their own, NaN outside."""
    columns = [np.interp(steps, own_steps, each, math.nan, math.nan) for each in values.T]
    return np.stack(columns, axis=1)


def main(*folders: str) -> None:
    """Parse what the command line says and compare those runs."""
    with cli.user_errors():
        if len(folders) < 2:
            raise ValueError(f"name two runs or more: their folders; got {len(folders)}")
        workdirs = [Path(folder) for folder in folders]
        rows = [row for workdir in workdirs for row in read_run(workdir)]
        output = Path(flags.FLAGS.output)
        output.mkdir(parents=True, exist_ok=True)
        show(rows)
        run_folder.write_csv(output / "comparison.csv", lines_of(rows))
        curves, groups = join_curves(workdirs)
        written = [output / "comparison.csv"]
        if curves:
            title = (
                "Training of several runs: the ELBO and its two parts, ELBO = reconstruction - KL"
            )
            figure = figures.training_curves(curves, title, groups)
            figure.savefig(output / "comparison.png")
            written.append(output / "comparison.png")
        console.say_written(written, then=f'pandas.read_csv("{written[0]}")')


if __name__ == "__main__":
    flags.DEFINE_string("output", ".", "folder of comparison.csv and comparison.png")
    cli.run_program(main, required=(), takes_arguments=True)
